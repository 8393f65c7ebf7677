"""Third-party platforms as the reference says: tickets before tokens, codes once, only what was granted (section 7)."""

import pytest

COMPONENT = "wxc0de0000000000b2"
SHOP = "wxabcdefabcdef0002"


@pytest.fixture
def world(simulator_process):
    simulator = simulator_process
    simulator.post(
        "/_sim/world",
        components=[{"appid": COMPONENT, "secret": "s" * 20}],
        accounts=[{"appid": SHOP, "name": "店"}],
    )
    simulator.post(f"/_sim/components/{COMPONENT}/unauthorize", account=SHOP)
    return simulator


def ask(simulator, api, token="", **body):
    path = f"/cgi-bin/component/{api}" + (f"?component_access_token={token}" if token else "")
    return simulator.post(path, **{"component_appid": COMPONENT, **body})


def ticket_of(simulator):
    simulator.post(f"/_sim/components/{COMPONENT}/ticket")
    events = simulator.get("/_sim/components")["events"]
    return [
        event["fields"]["ComponentVerifyTicket"]
        for event in events
        if event["appid"] == COMPONENT and event["fields"]["InfoType"] == "component_verify_ticket"
    ][-1]


def token_of(simulator):
    secret = {"component_appsecret": "s" * 20, "component_verify_ticket": ticket_of(simulator)}
    return ask(simulator, "api_component_token", **secret)["component_access_token"]


def test_token_needs_secret_and_a_ticket_that_was_pushed(world):
    ticket = ticket_of(world)

    def code(**changes):
        body = {"component_appsecret": "s" * 20, "component_verify_ticket": ticket, **changes}
        return ask(world, "api_component_token", **body).get("errcode")

    assert code() is None
    assert code(component_appsecret="wrong") == 40125
    assert code(component_verify_ticket="ticket@@@other") == 61006
    assert code(component_appid="wx0") == 40013
    ticket_of(world)
    assert code() is None  # the one before still counts
    ticket_of(world)
    assert code() == 61006


def test_code_of_an_authorisation_works_once(world):
    token = token_of(world)
    code = world.post(f"/_sim/components/{COMPONENT}/authorize", account=SHOP, sets=[1, 2])["auth_code"]

    info = ask(world, "api_query_auth", token, authorization_code=code)["authorization_info"]

    assert info["authorizer_appid"] == SHOP
    assert [item["funcscope_category"]["id"] for item in info["func_info"]] == [1, 2]
    assert ask(world, "api_query_auth", token, authorization_code=code)["errcode"] == 61009


def test_accounts_token_does_what_was_granted_and_ends_with_the_authorisation(world):
    token = token_of(world)
    code = world.post(f"/_sim/components/{COMPONENT}/authorize", account=SHOP, sets=[2])["auth_code"]
    info = ask(world, "api_query_auth", token, authorization_code=code)["authorization_info"]
    own = info["authorizer_access_token"]

    assert "total" in world.get(f"/cgi-bin/user/get?access_token={own}")
    assert world.get(f"/cgi-bin/menu/get?access_token={own}")["errcode"] == 61007
    assert world.get(f"/cgi-bin/user/get?access_token={token}")["errcode"] == 61014

    world.post(f"/_sim/components/{COMPONENT}/unauthorize", account=SHOP)
    refresh = {"authorizer_appid": SHOP, "authorizer_refresh_token": info["authorizer_refresh_token"]}
    assert world.get(f"/cgi-bin/user/get?access_token={own}")["errcode"] == 40001
    assert ask(world, "api_authorizer_token", token, **refresh)["errcode"] == 61003


def test_refresh_token_gives_a_new_token_and_a_wrong_one_does_not(world):
    token = token_of(world)
    code = world.post(f"/_sim/components/{COMPONENT}/authorize", account=SHOP)["auth_code"]
    info = ask(world, "api_query_auth", token, authorization_code=code)["authorization_info"]

    def renewed(refresh_token):
        return ask(world, "api_authorizer_token", token, authorizer_appid=SHOP, authorizer_refresh_token=refresh_token)

    again = renewed(info["authorizer_refresh_token"])
    assert again["authorizer_access_token"] != info["authorizer_access_token"]
    assert renewed("refreshtoken@@@other")["errcode"] == 61023


def test_events_tell_of_every_change_and_of_no_repetition(world):
    def kinds():
        return [
            event["fields"]["InfoType"]
            for event in world.get("/_sim/components")["events"]
            if event["appid"] == COMPONENT and event["fields"].get("AuthorizerAppid") == SHOP
        ]

    before = len(kinds())
    for sets in ([1], [1], [1, 2]):
        world.post(f"/_sim/components/{COMPONENT}/authorize", account=SHOP, sets=sets)
    world.post(f"/_sim/components/{COMPONENT}/unauthorize", account=SHOP)

    assert kinds()[before:] == ["authorized", "updateauthorized", "unauthorized"]
