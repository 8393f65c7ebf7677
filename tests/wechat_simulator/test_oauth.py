"""Web sign-in of the simulated WeChat: the page, the code once, what each scope gives, refresh, third-party platforms."""

from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.wechat_simulator.conftest import APPID, OTHER

HOST = "lanyu.example.com"
BACK = f"https://{HOST}/h5/member?from=menu"
AUTHORIZE = "/connect/oauth2/authorize"


@pytest.fixture
def site(simulator):
    simulator.control("/world", {"accounts": [{"appid": APPID, "oauth_domains": [HOST]}]})
    simulator.control("/world", {"accounts": [{"appid": OTHER, "oauth_domains": ["zaoshan.example.com"]}]})
    return simulator


def link(scope="snsapi_userinfo", **changes):
    asked = {"appid": APPID, "redirect_uri": BACK, "response_type": "code", "scope": scope, "state": "s1"} | changes
    return f"https://open.weixin.qq.com{AUTHORIZE}?{urlencode(asked)}#wechat_redirect"


def come(site, scope="snsapi_userinfo", person="小雨", **more):
    """What comes back to the brand's page."""
    where = site.act(person, "authorize", url=link(scope), **more)["redirect"]
    assert where.startswith(BACK + "&")
    return {name: values[0] for name, values in parse_qs(urlsplit(where).query).items()}


def exchange(site, code, appid=APPID, **changes):
    given = {"appid": appid, "secret": site.secret(appid), "code": code, "grant_type": "authorization_code"}
    given |= changes.pop("instead", {}) | changes
    return site.get("/sns/oauth2/access_token", **given).json()


def test_a_code_becomes_token_and_profile(site):
    came = come(site)
    assert came["state"] == "s1"
    got = exchange(site, came["code"])
    assert (got["expires_in"], got["scope"], "is_snapshotuser" in got) == (7200, "snsapi_userinfo", False)
    assert got["openid"] == site.openid("小雨")
    profile = site.get("/sns/userinfo", access_token=got["access_token"], openid=got["openid"], lang="zh_CN").json()
    unionid = site.look("/people/小雨")["unionids"]["lanyu"]
    assert profile == {
        "openid": got["openid"], "nickname": "小雨", "sex": 0, "province": "", "city": "", "country": "",
        "headimgurl": profile["headimgurl"], "privilege": [], "unionid": unionid,
    }  # fmt: skip
    assert got["unionid"] == unionid
    assert site.get("/sns/auth", access_token=got["access_token"], openid=got["openid"]).json()["errcode"] == 0
    assert (
        site.get("/cgi-bin/user/get", access_token=got["access_token"]).json()["errcode"] != 0
    )  # a person's, no account's


def test_the_small_scope_is_silent_and_gives_no_profile(site):
    got = exchange(site, come(site, "snsapi_base")["code"])
    assert "unionid" not in got
    answer = site.get("/sns/userinfo", access_token=got["access_token"], openid=got["openid"]).json()
    assert answer["errcode"] == 48001


def test_a_code_is_good_once_for_five_minutes_and_for_its_account(site):
    code = come(site)["code"]
    assert exchange(site, "made-up")["errcode"] == 40029
    assert exchange(site, code, OTHER)["errcode"] == 40029
    assert "access_token" in exchange(site, code)
    assert exchange(site, code)["errcode"] == 40163
    late = come(site)["code"]
    site.control("/clock", {"advance": 301})
    assert exchange(site, late)["errcode"] == 42003


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"grant_type": "client_credential"}, 40002),
        ({"secret": "wrong"}, 40125),
        ({"appid": "wxnobody"}, 40013),
        ({"code": ""}, 41008),
    ],
)
def test_odd_exchanges_are_refused(site, changes, code):
    assert exchange(site, come(site)["code"], instead=changes)["errcode"] == code


def test_tokens_end_after_two_hours_and_are_refreshed_for_thirty_days(site):
    got = exchange(site, come(site)["code"])
    ask = {"access_token": got["access_token"], "openid": got["openid"]}
    assert site.get("/sns/auth", **ask | {"openid": "oElse"}).json()["errcode"] == 40003
    assert site.get("/sns/auth", **ask | {"access_token": "made-up"}).json()["errcode"] == 40001
    site.control("/clock", {"advance": 7_201})
    assert site.get("/sns/auth", **ask).json()["errcode"] == 42001
    assert site.get("/sns/userinfo", **ask).json()["errcode"] == 42001

    def again(text=got["refresh_token"], appid=APPID):
        return site.get("/sns/oauth2/refresh_token", appid=appid, grant_type="refresh_token", refresh_token=text).json()

    fresh = again()
    assert (fresh["openid"], fresh["refresh_token"], fresh["scope"]) == (
        got["openid"], got["refresh_token"], "snsapi_userinfo",
    )  # fmt: skip
    assert site.get("/sns/auth", access_token=fresh["access_token"], openid=got["openid"]).json()["errcode"] == 0
    assert (again("made-up")["errcode"], again(appid=OTHER)["errcode"]) == (40030, 40030)
    site.control("/clock", {"advance": 30 * 86_400})
    assert again()["errcode"] == 42002


def test_a_page_without_a_tap_gives_somebody_who_is_not_real(site):
    got = exchange(site, come(site, snapshot=True)["code"])
    assert (got["is_snapshotuser"], "unionid" in got) == (1, False)
    assert got["openid"] != site.openid("小雨")
    profile = site.get("/sns/userinfo", access_token=got["access_token"], openid=got["openid"]).json()
    assert profile["nickname"] == "微信用户"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (link(redirect_uri="https://evil.example.com/"), "redirect_uri"),
        (link(redirect_uri=f"https://www.{HOST}/"), "redirect_uri"),
        (link(redirect_uri=f"https://{HOST}:8443/"), "redirect_uri"),
        (link(redirect_uri=f"https://{HOST}@evil.example.com/"), "redirect_uri"),
        (link(redirect_uri="javascript:alert(1)"), "redirect_uri"),
        (link("snsapi_login"), "scope"),
        (link(response_type="token"), "scope"),
        (link(state="a b"), "state"),
        (link(state="x" * 129), "state"),
        (link(appid="wxnobody"), "appid"),
        (link(component_appid="wxcomp"), "component_appid"),
        (
            f"https://open.weixin.qq.com{AUTHORIZE}?redirect_uri={BACK}&appid={APPID}&response_type=code&scope=snsapi_base&state=1",
            "顺序",
        ),
    ],
)
def test_links_that_wechat_refuses_say_so_on_the_page(site, url, said):
    assert said in site.act("小雨", "authorize", url=url)["problem"] if APPID in url else True
    page = site.http.get(f"{site.url}{AUTHORIZE}?{urlsplit(url).query}", allow_redirects=False, timeout=30)
    assert page.status_code == 400
    assert said in page.text
    assert "evil" not in page.headers.get("location", "")


def test_the_page_asks_whose_phone_it_is_and_for_leave(site):
    query = urlsplit(link()).query
    assert "sim_person=xiaoyu" in site.get(f"{AUTHORIZE}?{query}").text
    page = site.get(f"{AUTHORIZE}?{query}&sim_person=xiaoyu").text
    assert "oauth-allow" in page
    form = dict(parse_qs(query)) | {"sim_person": "xiaoyu"}
    said = lambda answer: site.http.post(  # noqa: E731
        f"{site.url}/_sim/web_logins", data=form | {"answer": answer}, allow_redirects=False, timeout=30
    )
    assert "oauth-refused" in said("refuse").text
    allowed = said("allow")
    assert (allowed.status_code, allowed.headers["location"].startswith(BACK)) == (303, True)
    silent = site.http.get(
        f"{site.url}{AUTHORIZE}?{urlsplit(link('snsapi_base')).query}&sim_person=xiaoyu",
        allow_redirects=False,
        timeout=30,
    )
    assert (silent.status_code, silent.headers["location"].startswith(BACK)) == (302, True)
    assert site.act("小雨", "authorize", url=link(), allow=False)["refused"] is True


def test_a_third_party_platform_exchanges_by_its_own_token(site):
    site.control("/world", {"components": [{"appid": "wxcomp000000000001", "name": "知音平台"}]})
    site.control("/components/wxcomp000000000001/authorize", {"account": APPID})
    component = site.sim.components.known["wxcomp000000000001"]
    token = site.sim.tokens.issue(component.appid, "component", site.sim.clock.now()).text
    assert "component_appid" in site.act("小雨", "authorize", url=link())["problem"]
    where = site.act("小雨", "authorize", url=link(component_appid=component.appid))["redirect"]
    came = parse_qs(urlsplit(where).query)
    assert came["appid"] == [APPID]
    assert exchange(site, came["code"][0])["errcode"] == 40029  # the account's own secret does not take it
    given = {
        "appid": APPID, "code": came["code"][0], "grant_type": "authorization_code", "component_appid": component.appid,
        "component_access_token": token,
    }  # fmt: skip
    got = site.get("/sns/oauth2/component/access_token", **given).json()
    assert got["openid"] == site.openid("小雨")
    ask = given | {"grant_type": "refresh_token", "refresh_token": got["refresh_token"]}
    assert site.get("/sns/oauth2/component/refresh_token", **ask).json()["openid"] == got["openid"]


def test_calls_have_their_minute(site):
    site.control("/quotas", {"appid": APPID, "path": "/sns/oauth2/access_token", "per_minute": 2})
    codes = [exchange(site, come(site)["code"]).get("errcode", 0) for _ in range(3)]
    assert codes == [0, 0, 45011]
