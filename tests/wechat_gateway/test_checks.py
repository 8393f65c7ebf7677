"""Checking a connection against the simulated WeChat: each mistake is named, with its code and what to do."""

import http.server
import threading
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection
from django.urls import set_urlconf

from accounts.services import create_brand
from accounts.tenancy import brand_scope
from campaigns.models import Campaign, MessageTemplate, Tally
from campaigns.selectors import held_by
from campaigns.services import sync_templates
from common import clock
from conversations.models import ReplyRecord
from tests.factories import AT, make_account, make_follower, make_mini_program
from wechat_gateway import checks, incidents, on_screen, pulse, selectors, services, tokens
from wechat_gateway.admin.accounts import ConnectForm
from wechat_gateway.answers import Answer, Outcome
from wechat_gateway.models import AccountCheck, CheckResult, Incident, MiniProgram, OfficialAccount
from wechat_gateway.on_screen import check_lines

pytestmark = pytest.mark.django_db(transaction=True)

FAILED, PASSED, UNKNOWN = CheckResult.FAILED, CheckResult.PASSED, CheckResult.UNKNOWN


@pytest.fixture
def shop(simulator):
    """A brand whose account WeChat knows."""
    tokens.forget_cached()
    brand = create_brand(slug="lanyu", name="澜屿")
    with brand_scope(brand.pk):
        account = make_account()
    simulator.know(account, ip_allow=[])
    yield account
    tokens.forget_cached()


def run(app, at=AT):
    services.run_checks(brand_id=app.brand_id, appid=app.appid, at=at)
    with brand_scope(app.brand_id):
        return {
            row.key: (CheckResult(row.result), row.code, row.reason)
            for row in AccountCheck.objects.filter(appid=app.appid)
        }


def open_kinds(brand_id):
    with brand_scope(brand_id):
        return [(row.kind, row.subject, row.code) for row in selectors.open_incidents()]


def test_connection_that_is_well_passes_everything_that_can_be_known(shop, simulator):
    simulator.crowd(shop, 1)
    simulator.post("/_sim/world", accounts=[{"appid": shop.appid, "templates": [{"title": "提醒", "keys": []}]}])

    found = run(shop)

    assert {key: result for key, (result, _code, _reason) in found.items()} == {
        "ip_list": PASSED,
        "credentials": PASSED,
        "address": FAILED,  # no gateway runs in this test
        "callback": UNKNOWN,
        "permissions": PASSED,
        "unionid": PASSED,
        "same_subject": PASSED,
        "templates": PASSED,
        "quota": PASSED,
    }
    assert found["address"][2] == "OWN_ADDRESS"
    assert found["callback"][2] == "WAITING"
    assert open_kinds(shop.brand_id) == []


@pytest.mark.parametrize(
    ("world", "expected"),
    [
        ({"secret": "another-secret-0123456789"}, {"ip_list": (PASSED, None, ""), "credentials": (FAILED, 40125, "")}),
        ({"secret_frozen": True}, {"credentials": (FAILED, 40243, "")}),
        ({"limited": True}, {"credentials": (FAILED, 50002, "")}),
        ({"ip_allow": ["203.0.113.8"]}, {"ip_list": (FAILED, 40164, ""), "credentials": (UNKNOWN, None, "FIRST")}),
        ({"verified": False}, {"credentials": (PASSED, None, ""), "permissions": (FAILED, 48001, "")}),
        ({"subject": ""}, {"unionid": (FAILED, None, "NO_UNIONID")}),
    ],
)
def test_each_mistake_is_named(shop, simulator, world, expected):
    simulator.crowd(shop, 1)
    simulator.post("/_sim/world", accounts=[{"appid": shop.appid, **world}])

    found = run(shop)

    assert {key: found[key] for key in expected} == expected


def test_unknown_appid_is_named(simulator):
    brand = create_brand(slug="lanyu", name="澜屿")
    with brand_scope(brand.pk):
        account = make_account(appid="wxffffffffffffffff")

    found = run(account)

    assert found["credentials"] == (FAILED, 40013, "")
    assert {found[key] for key in ("permissions", "unionid", "templates", "quota")} == {(UNKNOWN, None, "FIRST")}
    assert open_kinds(brand.pk) == [("wechat.token", "", 40013)]


def test_address_to_allow_is_shown(shop, simulator):
    simulator.post("/_sim/world", accounts=[{"appid": shop.appid, "ip_allow": ["203.0.113.8"]}])
    run(shop)

    with brand_scope(shop.brand_id):
        line = next(line for line in check_lines(shop, at=AT) if line.key == "ip_list")

    assert line.code == 40164
    assert "127.0.0.1" in line.fact
    assert line.action


def test_refusal_of_another_kind_is_not_taken_for_the_address_that_wechat_sees(shop):
    with brand_scope(shop.brand_id):
        for key in ("ip_list", "permissions"):
            AccountCheck.objects.create(
                appid=shop.appid, key=key, result=UNKNOWN, code=-1, fact="system error", seconds=0.1, at=AT
            )
        lines = {line.key: line.fact for line in check_lines(shop, at=AT)}

    assert (lines["ip_list"], lines["permissions"]) == ("system error", "system error")


class Gateway(http.server.BaseHTTPRequestHandler):
    """Knows an address from the second question on, as a gateway does that has just heard of an account."""

    def do_GET(self):
        self.server.asked += 1
        known = self.server.asked > self.server.refuses
        self.send_response(200 if known else 403)
        self.end_headers()
        self.wfile.write(parse_qs(urlsplit(self.path).query)["echostr"][0].encode() if known else b"")

    def log_message(self, *_):
        pass


@pytest.mark.parametrize(("refuses", "result"), [(0, PASSED), (1, PASSED), (2, FAILED)])
def test_gateway_gets_a_moment_to_hear_of_a_new_account(shop, settings, monkeypatch, refuses, result):
    monkeypatch.setattr(checks, "_LEARNS_SECONDS", 0.0)
    with http.server.HTTPServer(("127.0.0.1", 0), Gateway) as server:
        server.asked, server.refuses = 0, refuses
        threading.Thread(target=server.serve_forever, daemon=True).start()
        settings.PUBLIC_URL = f"http://127.0.0.1:{server.server_port}"
        found = run(shop)["address"]
        server.shutdown()

    assert found[0] == result
    assert server.asked == min(refuses + 1, 2)


def test_account_that_names_no_subject_is_not_said_to_have_given_unionids(shop):
    with brand_scope(shop.brand_id):
        OfficialAccount.objects.filter(pk=shop.pk).update(open_platform_subject="")

    assert run(shop)["same_subject"] == (UNKNOWN, None, "UNNAMED")


def test_everything_malformed_is_named_at_once():
    typed = {
        "name": "澜屿",
        "appid": "bad",
        "original_id": "x",
        "app_secret": "short",
        "callback_token": "!!",
        "encoding_aes_key": "zz",
        "mode": "SAFE",
    }
    form = ConnectForm(typed)

    assert set(form.errors) == {"appid", "original_id", "app_secret", "callback_token", "encoding_aes_key"}


def test_account_without_followers_and_subject_says_what_is_missing(shop, simulator):
    assert run(shop)["unionid"] == (UNKNOWN, None, "NO_FOLLOWERS")
    with brand_scope(shop.brand_id):
        OfficialAccount.objects.filter(pk=shop.pk).update(open_platform_subject="")
    simulator.crowd(shop, 1)

    assert run(shop)["unionid"] == (FAILED, None, "NO_SUBJECT")


def test_apps_of_one_brand_with_another_open_platform_account_are_named(shop, simulator):
    with brand_scope(shop.brand_id):
        make_account("快闪店", open_platform_subject="another")
        make_mini_program(open_platform_subject="subject")
        make_account("旧店", open_platform_subject="old", is_active=False)
    with brand_scope(create_brand(slug="zaowu", name="灶物").pk):
        make_account("灶物", open_platform_subject="foreign")

    assert run(shop)["same_subject"] == (FAILED, None, "OTHER_SUBJECT")
    with brand_scope(shop.brand_id):
        line = next(line for line in check_lines(shop, at=AT) if line.key == "same_subject")
        assert (line.fact, bool(line.why), bool(line.action)) == ("快闪店", True, True)
        OfficialAccount.objects.filter(name="快闪店").update(open_platform_subject="")
    assert run(shop)["same_subject"] == (UNKNOWN, None, "SUBJECT_MISSING")
    with brand_scope(shop.brand_id):
        OfficialAccount.objects.filter(name="快闪店").update(open_platform_subject="subject")
        program = MiniProgram.objects.get()
    assert run(shop)["same_subject"] == (PASSED, None, "")
    assert run(program)["same_subject"] == (PASSED, None, "")


def test_spent_quota_is_seen_before_wechat_refuses(shop, simulator):
    simulator.post("/_sim/quotas", appid=shop.appid, path="/cgi-bin/message/template/send", per_day=1)
    simulator.post(
        "/_sim/world", accounts=[{"appid": shop.appid, "templates": [{"title": "提醒", "template_id": "t1"}]}]
    )
    (openid,) = simulator.crowd(shop, 1)
    from wechat_gateway.calls import send_template

    assert send_template(shop, {"touser": openid, "template_id": "t1", "data": {}}, at=AT).ok
    found = run(shop)

    assert found["quota"] == (FAILED, 45009, "USED_UP")
    services.watch_brand(brand_id=shop.brand_id, at=AT)
    assert open_kinds(shop.brand_id) == [("wechat.quota", "/cgi-bin/message/template/send", 45009)]
    services.watch_brand(brand_id=shop.brand_id, at=AT + timedelta(days=1))
    assert open_kinds(shop.brand_id) == []


def test_mini_program_is_checked_for_what_it_has(simulator):
    brand = create_brand(slug="lanyu", name="澜屿")
    with brand_scope(brand.pk):
        program = make_mini_program()
    simulator.know(program)

    well = (PASSED, None, "")
    assert run(program) == {"ip_list": well, "credentials": well, "same_subject": well}


def test_repaired_secret_ends_the_incident_and_the_pause(shop, simulator):
    simulator.post("/_sim/world", accounts=[{"appid": shop.appid, "secret_frozen": True}])
    run(shop)
    assert open_kinds(shop.brand_id) == [("wechat.token", "", 40243)]
    simulator.post("/_sim/world", accounts=[{"appid": shop.appid, "secret_frozen": False}])

    run(shop)

    assert open_kinds(shop.brand_id) == []
    with brand_scope(shop.brand_id):
        assert OfficialAccount.objects.get(pk=shop.pk).parked_until is None


def test_nothing_is_asked_inside_a_transaction(shop, simulator, monkeypatch):
    asked = []
    perform = checks.transport.perform

    def watching(request):
        asked.append((request.url.partition("?")[0].rpartition("/")[2], connection.in_atomic_block))
        return perform(request)

    monkeypatch.setattr(checks.transport, "perform", watching)
    tokens.current(shop, at=AT)  # the one fetch that the row's lock makes single
    asked.clear()

    run(shop)

    assert len(asked) >= 6
    assert [name for name, inside in asked if inside] == []


def test_another_brands_check_is_not_shown(shop, simulator):
    run(shop)
    other = create_brand(slug="zaoshan", name="灶山")
    with brand_scope(other.pk):
        same = make_account(appid=shop.appid)
        assert check_lines(same, at=AT) == []


# -- incidents --------------------------------------------------------------------------------------------------------


def test_fifty_who_notice_at_once_open_one_incident(shop):
    opened = []
    ready = threading.Barrier(50)

    def notice():
        ready.wait()
        try:
            with brand_scope(shop.brand_id):
                opened.append(incidents.open_incident(kind=incidents.TOKEN, appid=shop.appid, code=40001, at=AT))
        finally:
            connection.close()

    threads = [threading.Thread(target=notice) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert sorted(opened) == [False] * 49 + [True]
    with brand_scope(shop.brand_id):
        assert Incident.objects.count() == 1


def test_incident_that_is_over_opens_anew_beside_the_old_one(shop):
    with brand_scope(shop.brand_id):
        assert incidents.open_incident(kind=incidents.QUOTA, appid=shop.appid, subject="a", at=AT)
        assert incidents.open_incident(kind=incidents.QUOTA, appid=shop.appid, subject="b", at=AT)
        assert incidents.close_incident(kind=incidents.QUOTA, appid=shop.appid, subject="a", at=AT) == 1
        assert incidents.open_incident(kind=incidents.QUOTA, appid=shop.appid, subject="a", at=AT)
        assert Incident.objects.count() == 3
        assert [row.subject for row in selectors.open_incidents()] == ["a", "b"]


def test_same_incident_of_another_brand_is_another(shop):
    other = create_brand(slug="zaoshan", name="灶山")
    for brand_id in (shop.brand_id, other.pk):
        with brand_scope(brand_id):
            assert incidents.open_incident(kind=incidents.TOKEN, appid=shop.appid, at=AT)
    with brand_scope(other.pk):
        incidents.close_incident(kind=incidents.TOKEN, appid=shop.appid, at=AT)

    assert open_kinds(shop.brand_id) == [("wechat.token", "", None)]
    assert open_kinds(other.pk) == []


def test_permission_that_is_refused_opens_and_closes_by_itself(shop, simulator):
    from wechat_gateway.calls import get_menu

    path = "/cgi-bin/menu/get"
    simulator.fault(kind="errcode", errcode=48001, appid=shop.appid, path=path, count=1)
    get_menu(shop, at=AT)
    get_menu_again = open_kinds(shop.brand_id)
    get_menu(shop, at=AT)

    assert get_menu_again == [("wechat.permission", path, 48001)]
    assert open_kinds(shop.brand_id) == []


def test_watch_asks_for_a_refused_permission_until_it_is_there(shop, simulator):
    path = "/cgi-bin/menu/create"
    with brand_scope(shop.brand_id):
        incidents.open_incident(kind=incidents.PERMISSION, appid=shop.appid, subject=path, code=48001, at=AT)
    simulator.fault(kind="errcode", errcode=48001, appid=shop.appid, path="/cgi-bin/menu/get", count=1)

    services.watch_brand(brand_id=shop.brand_id, at=AT + timedelta(minutes=11))
    still = open_kinds(shop.brand_id)
    services.watch_brand(brand_id=shop.brand_id, at=AT + timedelta(minutes=22))

    assert ("wechat.permission", path, 48001) in still
    assert ("wechat.permission", path, 48001) not in open_kinds(shop.brand_id)


def test_banned_template_is_named_and_well_again_once_a_message_is_accepted(shop, simulator):
    from wechat_gateway.client import send_many, template_message

    simulator.post("/_sim/world", accounts=[{"appid": shop.appid, "templates": [
        {"title": "好", "template_id": "good"}, {"title": "坏", "template_id": "bad", "banned": True}]}])  # fmt: skip
    (openid,) = simulator.crowd(shop, 1)

    def send(template_id):
        message = template_message(openid=openid, template_id=template_id, data={})
        return [answer.code for _index, answer in send_many(shop, [message], concurrency=1, at=AT)]

    codes = send("bad")
    assert open_kinds(shop.brand_id) == [("wechat.template", "bad", codes[0])]
    send("good")
    assert open_kinds(shop.brand_id) == [("wechat.template", "bad", codes[0])]
    simulator.post(
        "/_sim/world", accounts=[{"appid": shop.appid, "templates": [{"title": "坏", "template_id": "bad"}]}]
    )
    assert send("bad") == [0]
    assert open_kinds(shop.brand_id) == []


def test_paused_account_is_tried_when_its_pause_is_over_though_nobody_calls(shop, simulator):
    simulator.fault(kind="errcode", errcode=40164, appid=shop.appid, path="/cgi-bin/stable_token", count=1)
    run(shop)
    assert [kind for kind, _subject, _code in open_kinds(shop.brand_id)] == ["wechat.token"]

    services.watch_brand(brand_id=shop.brand_id, at=AT + timedelta(seconds=1))
    assert [kind for kind, _subject, _code in open_kinds(shop.brand_id)] == ["wechat.token"]
    services.watch_brand(brand_id=shop.brand_id, at=AT + timedelta(hours=2))

    assert open_kinds(shop.brand_id) == []


def beat(account, *events):
    """Let the gateway's writer note what came: (verified or a reason, when)."""
    import asyncio

    from django.conf import settings

    async def write():
        writer = pulse.PulseWriter(settings.REDIS_URL)
        for what, at in events:
            if what == "verified":
                writer.verified(account.brand_id, account.pk, at.timestamp())
            else:
                writer.refused(account.brand_id, account.pk, what, at.timestamp())
            await writer.flush()
        await writer.stop()

    asyncio.run(write())


def test_refused_callbacks_are_an_incident_until_one_is_verified(shop, simulator):
    minute = timedelta(minutes=1)
    beat(shop, ("verified", AT), ("SIGNATURE", AT + minute), ("SIGNATURE", AT + 2 * minute))
    services.watch_brand(brand_id=shop.brand_id, at=AT + 2 * minute)
    assert open_kinds(shop.brand_id) == []
    beat(shop, ("SIGNATURE", AT + 3 * minute))
    services.watch_brand(brand_id=shop.brand_id, at=AT + 3 * minute)
    assert open_kinds(shop.brand_id) == [("wechat.callback", "", None)]

    beat(shop, ("verified", AT + 4 * minute))
    services.watch_brand(brand_id=shop.brand_id, at=AT + 4 * minute)

    assert open_kinds(shop.brand_id) == []


def test_busy_account_that_falls_silent_is_an_incident_and_a_quiet_one_is_not(shop, simulator):
    with brand_scope(shop.brand_id):
        quiet = make_account(name="安静")
    simulator.know(quiet)
    beat(shop, *[("verified", AT)] * 60)
    beat(quiet, ("verified", AT))

    services.watch_brand(brand_id=shop.brand_id, at=AT + timedelta(hours=25))

    with brand_scope(shop.brand_id):
        assert [(row.kind, row.appid) for row in selectors.open_incidents()] == [("wechat.callback", shop.appid)]


def test_disconnecting_ends_the_incidents_of_an_account(shop):
    with brand_scope(shop.brand_id):
        incidents.open_incident(kind=incidents.TOKEN, appid=shop.appid, at=AT)
        services.set_active(account=shop, is_active=False)

    services.watch_brand(brand_id=shop.brand_id, at=AT)

    assert open_kinds(shop.brand_id) == []


def test_watch_rings_for_brands_with_accounts_and_with_open_incidents(shop, monkeypatch):
    rung = []
    monkeypatch.setattr("wechat_gateway.services.health.ring", lambda task, *args: rung.append((task.name, args)))
    create_brand(slug="empty", name="空")
    other = create_brand(slug="zaoshan", name="灶山")
    with brand_scope(other.pk):
        incidents.open_incident(kind=incidents.TOKEN, appid="wx0", at=AT)

    services.watch_health(at=clock.now())

    name = "wechat_gateway.tasks.watch_brand"
    assert rung == [(name, (shop.brand_id,)), (name, (other.pk,))]


def test_check_lost_with_its_worker_says_so(shop):
    with brand_scope(shop.brand_id):
        services.start_checks(app=shop, at=AT)
        lines = check_lines(shop, at=AT)
        late = check_lines(shop, at=AT + timedelta(minutes=1))

    assert {line.tone for line in lines} == {"info"}
    assert all(line.is_live for line in lines)
    assert not any(line.is_live for line in late)
    assert all(line.why for line in late)


def test_every_kind_of_incident_has_words(shop):
    for key, kind in incidents.kinds.items():
        row = Incident(kind=key, appid=shop.appid, code=40001, opened_at=AT, seen_at=AT)
        assert all(str(text) for text in (kind.title, kind.consequence)), key
        assert str(incidents.cause_of(row)), key
        assert str(incidents.action_of(row)), key
    assert MiniProgram  # the other kind of app


@pytest.fixture
def console_addresses(settings):
    set_urlconf(settings.CONSOLE_URLCONF)
    yield
    set_urlconf(None)


def parked(account, name, code, **more):
    """A campaign that waits for a reason, with messages that wait."""
    row = Campaign.objects.create(
        name=name, account=account, state="PARKED", parked_code=code, created_at=AT, updated_at=AT,
        **({"carrier": "template"} | more),
    )  # fmt: skip
    Tally.objects.create(campaign=row, shard=0, state="PENDING", count=7)
    Tally.objects.create(campaign=row, shard=0, state="SENT", count=100)
    return row


def opened(kind, appid, subject="", code=None):
    incidents.open_incident(kind=kind, appid=appid, subject=subject, code=code, at=AT)
    return Incident.objects.get(kind=kind, appid=appid, subject=subject, closed_at=None)


@pytest.mark.usefixtures("console_addresses")
def test_incident_names_what_waits_because_of_it_and_nothing_else(shop, simulator):
    """Campaigns of another account, or parked for another reason, are none of its effects."""
    send = "/cgi-bin/message/template/send"
    with brand_scope(shop.brand_id):
        second = make_account(name="第二个号")
        person = make_follower(shop)
        make_follower(second)
        bad = MessageTemplate.objects.create(account=shop, template_id="bad", title="坏", synced_at=AT)
        whole = parked(shop, "等账号", "ACCOUNT")
        quota = parked(shop, "等额度", "45009")
        banned = parked(shop, "等模板", "43106", template=bad)
        parked(shop, "等另一个模板", "43106")
        denied = parked(shop, "等权限", "48001")
        parked(shop, "等客服权限", "48001", carrier="custom")
        parked(second, "别的号", "ACCOUNT")
        Campaign.objects.create(name="草稿", account=shop, created_at=AT, updated_at=AT, carrier="template")
        for number in range(2):
            ReplyRecord.objects.create(
                account=shop, follower=person, push_id=number, trigger="KEYWORD", way="SERVICE", why="LATE",
                state="WAITING", at=AT,
            )  # fmt: skip
        found = {}
        for kind, subject in (
            (incidents.TOKEN, ""),
            (incidents.QUOTA, send),
            (incidents.PERMISSION, send),
            (incidents.TEMPLATE, "bad"),
            (incidents.CALLBACK, ""),
        ):
            row = opened(kind, shop.appid, subject)
            effects = incidents.effects_of(row)
            assert all(f"incident={row.pk}" in effect.link for effect in effects if "/follower/" not in effect.link)
            found[kind] = ([effect.count for effect in effects], [each.pk for each in held_by(row)])

    assert found == {
        incidents.TOKEN: ([1, 7, 2, 1, 1], [whole.pk]),
        incidents.QUOTA: ([1, 7], [quota.pk]),
        incidents.PERMISSION: ([1, 7], [denied.pk]),
        incidents.TEMPLATE: ([1, 7], [banned.pk]),
        incidents.CALLBACK: ([1], []),
    }


def test_template_incident_ends_when_nothing_uses_the_template_any_more(shop, simulator):
    """Choosing another template, as the page advises, is enough."""
    with brand_scope(shop.brand_id):
        bad, good = (
            MessageTemplate.objects.create(account=shop, template_id=name, title=name, synced_at=AT)
            for name in ("bad", "good")
        )
        waits = parked(shop, "等模板", "43106", template=bad)
        opened(incidents.TEMPLATE, shop.appid, "bad", 43106)
    later = AT + timedelta(minutes=11)
    services.watch_brand(brand_id=shop.brand_id, at=later)
    assert open_kinds(shop.brand_id) == [("wechat.template", "bad", 43106)]

    with brand_scope(shop.brand_id):
        Campaign.objects.filter(pk=waits.pk).update(template=good)
    services.watch_brand(brand_id=shop.brand_id, at=AT + timedelta(minutes=1))
    assert open_kinds(shop.brand_id) != []  # seen a moment ago
    services.watch_brand(brand_id=shop.brand_id, at=later)
    assert open_kinds(shop.brand_id) == []


def test_template_that_was_unknown_is_well_again_once_wechat_lists_it(shop, simulator):
    simulator.post("/_sim/world", accounts=[{"appid": shop.appid, "templates": [
        {"title": "好", "template_id": "back"}, {"title": "坏", "template_id": "banned"}]}])  # fmt: skip
    with brand_scope(shop.brand_id):
        opened(incidents.TEMPLATE, shop.appid, "back", 40037)
        opened(incidents.TEMPLATE, shop.appid, "banned", 43106)
        sync_templates(account=shop, at=AT)

    assert open_kinds(shop.brand_id) == [("wechat.template", "banned", 43106)]  # listed, and may still not be used


def test_permission_that_cannot_be_probed_is_well_after_a_day_without_a_refusal(shop, simulator):
    with brand_scope(shop.brand_id):
        opened(incidents.PERMISSION, shop.appid, "/cgi-bin/message/mass/send", 48001)
    for hours in (1, 23):
        services.watch_brand(brand_id=shop.brand_id, at=AT + timedelta(hours=hours))
        assert open_kinds(shop.brand_id) == [("wechat.permission", "/cgi-bin/message/mass/send", 48001)]

    services.watch_brand(brand_id=shop.brand_id, at=AT + timedelta(hours=24))
    assert open_kinds(shop.brand_id) == []


def test_quiet_account_whose_address_does_not_answer_is_an_incident_until_it_does(shop, simulator, settings):
    """A shop with a handful of messages a day hears of a dead address within the hour, not after a day."""
    minute = timedelta(minutes=1)
    settings.PUBLIC_URL = "http://127.0.0.1:9"
    beat(shop, ("verified", AT))
    for minutes in (59, 60, 63):
        services.watch_brand(brand_id=shop.brand_id, at=AT + minutes * minute)
        assert open_kinds(shop.brand_id) == []  # one failure is no incident
    services.watch_brand(brand_id=shop.brand_id, at=AT + 66 * minute)
    assert open_kinds(shop.brand_id) == [("wechat.callback", "", None)]
    with brand_scope(shop.brand_id):
        assert str(on_screen.cause_shown(Incident.objects.get())) == str(checks.REASONS["OWN_ADDRESS"][0])
    services.watch_brand(brand_id=shop.brand_id, at=AT + 67 * minute)
    assert open_kinds(shop.brand_id) != []

    with http.server.HTTPServer(("127.0.0.1", 0), Gateway) as server:
        server.asked, server.refuses = 0, 0
        threading.Thread(target=server.serve_forever, daemon=True).start()
        settings.PUBLIC_URL = f"http://127.0.0.1:{server.server_port}"
        services.watch_brand(brand_id=shop.brand_id, at=AT + 72 * minute)
        services.watch_brand(brand_id=shop.brand_id, at=AT + 80 * minute)
        server.shutdown()
    assert server.asked == 1  # well: not asked again before the hour is over
    assert open_kinds(shop.brand_id) == []
    with brand_scope(shop.brand_id):
        assert check_lines(shop, at=AT) == []  # nobody has checked the connection by hand


def test_a_push_that_comes_ends_what_we_found_ourselves(shop, simulator, settings):
    settings.PUBLIC_URL = "http://127.0.0.1:9"
    beat(shop, ("verified", AT))
    for minutes in (60, 66):
        services.watch_brand(brand_id=shop.brand_id, at=AT + timedelta(minutes=minutes))
    assert open_kinds(shop.brand_id) != []
    beat(shop, ("verified", AT + timedelta(minutes=67)))
    services.watch_brand(brand_id=shop.brand_id, at=AT + timedelta(minutes=68))
    assert open_kinds(shop.brand_id) == []


@pytest.mark.parametrize(
    ("said", "result"),
    [
        ({"dns": [{"ip": "1.2.3.4"}], "ping": [{"package_loss": "0%"}]}, PASSED),
        ({"dns": [{"ip": "1.2.3.4"}], "ping": [{"package_loss": "100%"}, {"package_loss": "20%"}]}, PASSED),
        ({"dns": [{"ip": "1.2.3.4"}], "ping": [{"package_loss": "100%"}]}, PASSED),
        ({"dns": [], "ping": []}, FAILED),
        ({"dns": "?", "ping": "?"}, PASSED),
        (None, UNKNOWN),
    ],
)
def test_what_wechats_own_check_finds_is_read(shop, simulator, monkeypatch, said, result):
    monkeypatch.setattr(checks, "address", lambda run: checks.Finding(PASSED))
    answer = Answer(Outcome.ACCEPTED, data=said) if said is not None else Answer(Outcome.NOT_SENT, cause="PARKED")
    monkeypatch.setattr(checks.calls, "check_callback", lambda account, at: answer)
    assert checks.reach(shop, at=AT).result == result
