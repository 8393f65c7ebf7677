"""The third-party platform over HTTP: the simulated WeChat, a gateway that listens, real cryptography in between."""

import base64
import json
import threading
import time
from datetime import timedelta
from io import StringIO
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
import requests
import uvicorn
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from accounts.services import create_brand
from accounts.tenancy import brand_scope
from common import clock
from launcher.ports import free_numbers
from tests.factories import make_account
from tests.simulator import Simulator
from tests.wechat_gateway import forge
from wechat_gateway import incidents, platforms, selectors, services, tokens
from wechat_gateway.answers import Outcome
from wechat_gateway.asgi import Gateway
from wechat_gateway.calls import get_menu, list_followers
from wechat_gateway.checks import SETS
from wechat_gateway.errcodes import Reaction
from wechat_gateway.errors import CallsParked, InvitationGone, NoPlatform
from wechat_gateway.models import (
    AccessToken,
    InboundPush,
    Invitation,
    InvitationState,
    OfficialAccount,
    Platform,
    PlatformPush,
)
from wechat_gateway.on_screen import check_lines, invitation_words
from wechat_gateway.services import platform as platform_service
from wechat_gateway.tasks import purge_inbound

pytestmark = pytest.mark.django_db(transaction=True)

COMPONENT = "wxc0de0000000000a1"
SHOP = "wxabcdefabcdef0001"
KEYS = {"secret": "component-secret-0123456789", "token": "componentToken01", "aes_key": "k" * 42 + "A"}


@pytest.fixture(scope="module")
def own_simulator():
    """A simulated WeChat whose clock shows the time that the gateway's shows."""
    process = Simulator()
    process.post("/_sim/clock", set=time.time())
    yield process
    process.stop()


@pytest.fixture
def simulator(own_simulator, settings):
    settings.WECHAT_BASE_URL = own_simulator.url
    settings.WECHAT_MP_URL = own_simulator.url
    yield own_simulator
    own_simulator.delete("/_sim/faults")


@pytest.fixture
def served(transactional_db, settings):
    """A gateway that listens; gives its base URL."""
    (port,) = free_numbers(1)
    settings.PUBLIC_URL = f"http://127.0.0.1:{port}"
    server = uvicorn.Server(
        uvicorn.Config(Gateway(lambda lanes: None), port=port, lifespan="on", log_level="error", ws="none")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.02)
    yield settings.PUBLIC_URL
    server.should_exit = True
    thread.join(30)


@pytest.fixture
def platform(served, simulator):
    """The installation's platform, which WeChat knows, and its first ticket."""
    tokens.forget_cached()
    row = services.set_platform(
        name="知音", appid=COMPONENT, app_secret=KEYS["secret"], callback_token=KEYS["token"],
        encoding_aes_key=KEYS["aes_key"], at=clock.now(),
    )  # fmt: skip
    simulator.post(
        "/_sim/world",
        components=[{"appid": COMPONENT, **KEYS, "sets": sorted(SETS), "events_url": platforms.events_url(row),
                     "messages_url": platforms.messages_url()}],
        accounts=[{"appid": SHOP, "kind": "service", "name": "扫码的店", "subject": "op", "ip_allow": []}],
    )  # fmt: skip
    until(lambda: simulator.post(f"/_sim/components/{COMPONENT}/ticket")["outcome"] == "acknowledged")
    yield row
    simulator.post(f"/_sim/components/{COMPONENT}/unauthorize", account=SHOP)
    simulator.post("/_sim/world", components=[{"appid": COMPONENT, "events_url": "", "messages_url": ""}])
    tokens.forget_cached()


@pytest.fixture
def shop(transactional_db):
    return create_brand(slug="lanyu", name="澜屿")


def until(found, seconds=30):
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.05)
    return value


def invite(brand):
    """An invitation whose link is ready."""
    with brand_scope(brand.pk):
        row = services.invite(at=clock.now())
    services.prepare_invitation(brand_id=brand.pk, invitation_id=row.pk, at=clock.now())
    with brand_scope(brand.pk):
        row.refresh_from_db()
        return row, services.link_of(row, back_to="https://console.example/b/lanyu/wechat/authorise/?i=1")


def scan(simulator, link, account=SHOP, sets=None):
    """What the administrator does on WeChat's page; gives the code that the browser brings back."""
    assert link.startswith(f"{simulator.url}/cgi-bin/componentloginpage?")
    page = requests.get(link, timeout=10)
    assert page.status_code == 200
    query = {name: values[0] for name, values in parse_qs(urlsplit(link).query).items()}
    form = {**query, "account": account, "sets": sets or sorted(SETS)}
    answer = requests.post(f"{simulator.url}/_sim/components/login", data=form, timeout=10, allow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith("https://console.example/b/lanyu/wechat/authorise/?i=1&auth_code=")
    return parse_qs(urlsplit(answer.headers["Location"]).query)["auth_code"][0]


def come_back(brand, invitation, code):
    with brand_scope(brand.pk):
        services.accept_return(public_id=invitation.public_id, auth_code=code, at=clock.now())
    services.complete_invitation(brand_id=brand.pk, invitation_id=invitation.pk, at=clock.now())


def authorise(brand, simulator, sets=None):
    invitation, link = invite(brand)
    come_back(brand, invitation, scan(simulator, link, sets=sets))
    return account_of(brand)


def account_of(brand):
    with brand_scope(brand.pk):
        return OfficialAccount.objects.get(appid=SHOP)


def test_ticket_is_kept_and_the_one_before_with_it(platform, simulator):
    platform.refresh_from_db()
    first = platform.ticket.reveal()
    simulator.post(f"/_sim/components/{COMPONENT}/ticket")
    platform.refresh_from_db()

    assert platform.ticket.reveal() != first
    assert platform.previous_ticket.reveal() == first
    assert PlatformPush.objects.count() == 0


def test_older_ticket_that_comes_late_does_not_displace_a_newer(platform):
    platform.refresh_from_db()
    fields = {"InfoType": "component_verify_ticket", "ComponentVerifyTicket": "ticket@@@late"}
    created = str(int(platform.ticket_at.timestamp()) - 600)

    platforms.keep_event({**fields, "CreateTime": created}, now=clock.timestamp())

    before = platform.ticket
    platform.refresh_from_db()
    assert platform.ticket == before


def test_scanned_account_is_connected_and_calls_go_through_its_own_token(platform, simulator, shop):
    simulator.post("/_sim/world", crowds=[{"prefix": "scan", "count": 2, "follows": [SHOP]}])

    account = authorise(shop, simulator)
    answer = list_followers(account)

    assert (account.name, account.platform_appid, account.app_secret) == ("扫码的店", COMPONENT, None)
    assert account.granted_sets == sorted(SETS)
    assert len(answer.data["data"]["openid"]) >= 2
    with brand_scope(shop.pk):
        assert Invitation.objects.get().state == InvitationState.DONE
        assert AccessToken.objects.get(appid=SHOP).generation == 1  # the one that came with the authorisation


def test_event_alone_connects_the_account_when_the_browser_never_returns(platform, simulator, shop):
    _invitation, link = invite(shop)
    scan(simulator, link)
    simulator.post("/_sim/settle", timeout=10)
    until(lambda: PlatformPush.objects.filter(info_type="authorized").exists())

    assert services.handle_platform_pushes(at=clock.now()) == 1

    assert account_of(shop).name == "扫码的店"
    with brand_scope(shop.pk):
        assert Invitation.objects.get().state == InvitationState.DONE


def test_browser_and_event_together_connect_once(platform, simulator, shop):
    invitation, link = invite(shop)
    code = scan(simulator, link)
    until(lambda: PlatformPush.objects.filter(info_type="authorized").exists())
    services.handle_platform_pushes(at=clock.now())
    come_back(shop, invitation, code)

    with brand_scope(shop.pk):
        assert OfficialAccount.objects.count() == 1
        assert Invitation.objects.get().state == InvitationState.DONE
    assert list_followers(account_of(shop)).ok


def test_push_of_an_authorised_account_is_opened_with_the_platforms_key_and_kept_for_its_brand(
    platform, simulator, shop, served
):
    account = authorise(shop, simulator)
    outcome = until(
        lambda: (
            next(
                (
                    push
                    for push in simulator.act("xiaoyu", "follow", SHOP)["pushes"]
                    if push["outcome"] == "acknowledged"
                ),
                None,
            )
            or (simulator.act("xiaoyu", "unfollow", SHOP) and None)
        )
    )

    assert outcome["tries"][-1]["status"] == 200
    with brand_scope(shop.pk):
        push = InboundPush.objects.filter(kind="subscribe").first()
        assert push.account_id == account.pk


def test_push_for_the_platform_under_an_accounts_key_is_refused(platform, served):
    """Vector E of the reference the other way round: the tail must be the platform's appid."""
    path = urlsplit(platforms.events_url(platform)).path
    message = f"<xml><AppId>{COMPONENT}</AppId><InfoType>unauthorized</InfoType></xml>"

    def post(appid, token=KEYS["token"]):
        encrypted = forge.encrypt(message, appid=appid, aes_key=KEYS["aes_key"])
        values = forge.query_of(encrypted, timestamp=str(int(time.time())), token=token)
        body = f"<xml><AppId>{COMPONENT}</AppId><Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>"
        query = forge.as_query(values).decode()
        return requests.post(f"{served}{path}?{query}", data=body, timeout=10).status_code

    assert until(lambda: post(COMPONENT) == 200)
    assert (post("wx1234567890abcdef"), post(COMPONENT, token="anotherToken")) == (403, 403)
    assert requests.post(f"{served}/wx/platform/{'x' * 32}", data=message, timeout=10).status_code == 403
    assert PlatformPush.objects.count() == 1


def test_authorisation_taken_back_stops_the_account_and_scanning_again_heals_it(platform, simulator, shop):
    account = authorise(shop, simulator)
    simulator.post(f"/_sim/components/{COMPONENT}/unauthorize", account=SHOP)
    until(lambda: PlatformPush.objects.filter(info_type="unauthorized").exists())
    services.handle_platform_pushes(at=clock.now() + timedelta(seconds=1))

    account = account_of(shop)
    assert account.revoked_at is not None
    assert account.refresh_token is None
    assert get_menu(account).code == 61003
    with brand_scope(shop.pk):
        assert [row.kind for row in selectors.open_incidents()] == [incidents.REVOKED]

    authorise(shop, simulator)

    assert get_menu(account_of(shop)).ok
    with brand_scope(shop.pk):
        assert list(selectors.open_incidents()) == []


def test_late_word_of_an_older_withdrawal_does_not_stop_a_newer_authorisation(platform, simulator, shop):
    authorise(shop, simulator)

    stopped = services.revoke_account(brand_id=shop.pk, appid=SHOP, at=clock.now() - timedelta(hours=1))

    assert not stopped
    assert account_of(shop).revoked_at is None


def test_token_of_an_account_is_renewed_with_the_newest_refresh_token(platform, simulator, shop):
    account = authorise(shop, simulator)
    later = clock.now() + timedelta(hours=3)
    simulator.post("/_sim/tokens/kill", appid=SHOP, expire=True)
    tokens.forget_cached()

    assert list_followers(account, at=later).ok

    with brand_scope(shop.pk):
        assert AccessToken.objects.get(appid=SHOP).generation == 2


def test_lost_token_of_the_platform_is_fetched_once_by_fifty_who_miss_it(platform, simulator):
    def fetches():
        calls = simulator.get("/_sim/calls?path=/cgi-bin/component/api_component_token&limit=1000")["calls"]
        return sum(call["result"] == "0" for call in calls)

    before, got = fetches(), []
    ready = threading.Barrier(50)

    def ask():
        ready.wait()
        try:
            got.append(platforms.access_token(at=clock.now())[1].reveal())
        finally:
            connection.close()

    threads = [threading.Thread(target=ask) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert (len(got), len(set(got)), fetches() - before) == (50, 1, 1)


def test_refused_token_of_the_platform_is_replaced_once(platform, simulator):
    platforms.access_token(at=clock.now())
    simulator.post("/_sim/tokens/kill", appid=COMPONENT)

    assert platforms.call("api_create_preauthcode", {}, at=clock.now()).ok
    platform.refresh_from_db()
    assert platform.generation == 2


def fetches_of(simulator):
    """How often WeChat was asked for a token of the platform, whatever it said."""
    path = "/cgi-bin/component/api_component_token"
    return len(simulator.get(f"/_sim/calls?path={path}&limit=1000")["calls"])


def test_second_system_on_the_same_platform_costs_a_fetch_a_minute(platform, simulator):
    """Each system that fetches ends the token of the other."""
    at = clock.now()
    platforms.access_token(at=at)
    before, parked = fetches_of(simulator), []
    for second in range(0, 180, 5):
        simulator.post("/_sim/tokens/kill", appid=COMPONENT)
        try:
            platforms.call("api_create_preauthcode", {}, at=at + timedelta(seconds=second))
        except CallsParked as error:
            parked.append((second, error.wechat_code))

    assert fetches_of(simulator) - before == 3
    assert parked == [(second, 42006) for second in range(5, 180, 5) if second % 60]
    assert platforms.call("api_create_preauthcode", {}, at=at + timedelta(seconds=240)).ok
    platform.refresh_from_db()
    assert platform.parked_until is None


def test_platforms_token_that_dies_twice_parks_a_call_of_an_account(platform, simulator, shop):
    account = authorise(shop, simulator)
    later = clock.now() + timedelta(hours=1)
    for second in (0, 10):
        simulator.post("/_sim/tokens/kill", appid=COMPONENT)
        simulator.post("/_sim/tokens/kill", appid=SHOP)
        tokens.forget_cached()
        answer = list_followers(account, at=later + timedelta(minutes=second * 6, seconds=second))
        assert answer.ok
    simulator.post("/_sim/tokens/kill", appid=COMPONENT)
    tokens.forget_cached()
    with brand_scope(shop.pk):
        AccessToken.objects.filter(appid=SHOP).update(expires_at=later)
    before = fetches_of(simulator)
    answers = [list_followers(account, at=later + timedelta(minutes=60, seconds=20 + n)) for n in range(3)]

    assert [(answer.outcome, answer.reaction) for answer in answers] == [(Outcome.NOT_SENT, Reaction.PARK_BRAND)] * 3
    assert fetches_of(simulator) == before
    platform.refresh_from_db()
    assert platform.parked_code == 42006  # written though the account's own transaction was undone


def test_failing_fetch_of_the_platforms_token_is_tried_once_by_all_who_wait(platform, simulator):
    simulator.fault(kind="errcode", path="/cgi-bin/component/api_component_token", errcode=61004)
    before, found, ready, at = fetches_of(simulator), [], threading.Barrier(20), clock.now()

    def ask():
        ready.wait()
        try:
            platforms.access_token(at=at)
        except CallsParked as error:
            found.append((error.wechat_code, error.until))
        finally:
            connection.close()

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert (found, fetches_of(simulator) - before) == ([(61004, at + timedelta(seconds=60))] * 20, 1)
    simulator.delete("/_sim/faults")
    assert platforms.access_token(at=at + timedelta(seconds=61))
    simulator.post(f"/_sim/components/{COMPONENT}/ticket")
    platform.refresh_from_db()
    assert (platform.parked_code, platform.parked_until) == (None, None)


def test_present_token_is_used_while_the_next_one_cannot_be_had(platform, simulator):
    at = clock.now()
    platforms.access_token(at=at)
    simulator.fault(kind="errcode", path="/cgi-bin/component/api_component_token", errcode=61004)
    platform.refresh_from_db()
    before, soon = fetches_of(simulator), platform.expires_at - timedelta(minutes=5)

    for second in range(3):
        assert platforms.access_token(at=soon + timedelta(seconds=second))[0].generation == 1

    assert fetches_of(simulator) - before == 1


def test_platform_that_somebody_holds_for_long_parks_calls(platform, simulator, shop, monkeypatch):
    account = authorise(shop, simulator)
    monkeypatch.setattr(platforms, "_WAIT_MS", 200)
    later = clock.now() + timedelta(hours=3)
    tokens.forget_cached()
    holds, done = threading.Event(), threading.Event()

    def hold():
        try:
            with transaction.atomic():
                Platform.objects.select_for_update().get(pk=platform.pk)
                holds.set()
                done.wait(60)
        finally:
            connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    assert holds.wait(60)
    try:
        answer = list_followers(account, at=later)
    finally:
        done.set()
        holder.join(60)

    assert (answer.outcome, answer.reaction) == (Outcome.NOT_SENT, Reaction.PARK_BRAND)


def test_release_check_of_wechat_is_answered(platform, simulator):
    found = until(
        lambda: (
            (answer := simulator.post(f"/_sim/components/{COMPONENT}/release_check"))
            and answer["text"] != "failed"
            and answer
        )
    )
    services.handle_platform_pushes(at=clock.now())

    assert found["ticket"] == "acknowledged"
    assert found["text"] == "TESTCOMPONENT_MSG_TYPE_TEXT_callback"
    assert found["query"] == "acknowledged"
    chat = simulator.get("/_sim/people/release-tester/conversation?appid=wx570bc396a51b8ff8")["entries"]
    assert f"{found['code']}_from_api" in [entry.get("content") for entry in chat]
    assert PlatformPush.objects.get(info_type="release_check").state == "HANDLED"


def test_missing_grants_are_named(platform, simulator, shop):
    account = authorise(shop, simulator, sets=[1, 2, 3])
    services.run_checks(brand_id=shop.pk, appid=SHOP, at=clock.now())

    with brand_scope(shop.pk):
        lines = {line.key: line for line in check_lines(account_of(shop), at=clock.now())}
    assert lines["granted"].tone == "danger"
    assert "address" not in lines
    assert lines["permissions"].tone == "danger"
    assert get_menu(account).code == 61007


def test_one_permission_that_was_not_granted_stops_nothing_else(platform, simulator, shop):
    account = authorise(shop, simulator, sets=[1, 2, 3])
    menu = get_menu(account)

    with brand_scope(shop.pk):
        found = [(row.kind, row.subject, row.code) for row in selectors.open_incidents()]
    assert menu.code == 61007
    assert found == [("wechat.permission", "/cgi-bin/menu/get", 61007)]
    assert account_of(shop).parked_until is None
    assert list_followers(account_of(shop)).ok


def test_account_authorised_for_another_brand_leaves_the_first(platform, simulator, shop, served):
    other = create_brand(slug="zaoshan", name="灶山")
    authorise(shop, simulator)
    simulator.post(f"/_sim/components/{COMPONENT}/unauthorize", account=SHOP)
    authorise(other, simulator)

    services.revoke_account(brand_id=shop.pk, appid=SHOP, at=clock.now())

    assert account_of(shop).revoked_at is not None
    assert account_of(other).revoked_at is None
    assert list_followers(account_of(other)).ok


def test_invitation_of_another_brand_is_not_there(platform, simulator, shop):
    invitation, _link = invite(shop)
    other = create_brand(slug="zaoshan", name="灶山")

    with brand_scope(other.pk), pytest.raises(InvitationGone):
        services.accept_return(public_id=invitation.public_id, auth_code="x", at=clock.now())


def test_account_whose_code_was_spent_in_vain_is_said_to_be_scanned_again(platform, simulator, shop, monkeypatch):
    """The event spends the code and fails; the browser comes back to a code that is used."""
    invitation, link = invite(shop)
    code = scan(simulator, link)
    until(lambda: PlatformPush.objects.filter(info_type="authorized").exists())
    at = clock.now()
    with monkeypatch.context() as broken:
        broken.setattr(platform_service, "_connect", lambda *args: 1 / 0)
        services.handle_platform_pushes(at=at)
    come_back(shop, invitation, code)
    for minute in range(2, 12, 2):
        services.handle_platform_pushes(at=at + timedelta(minutes=minute))
    push = PlatformPush.objects.get(info_type="authorized")
    assert (push.state, push.reason) == ("FAILED", "CODE_USED")

    assert services.give_up_invitations(at=clock.now() + timedelta(minutes=4)) == 0
    assert services.give_up_invitations(at=clock.now() + timedelta(minutes=6)) == 1

    with brand_scope(shop.pk):
        invitation.refresh_from_db()
    assert (invitation.state, invitation.reason) == (InvitationState.FAILED, "LOST")
    assert "再扫一次码" in str(invitation_words(invitation)[1])
    come_back(shop, *invite_and_scan(shop, simulator))
    assert account_of(shop).platform_appid == COMPONENT


def invite_and_scan(brand, simulator):
    invitation, link = invite(brand)
    return invitation, scan(simulator, link)


def test_invitation_that_was_given_up_is_finished_by_a_worker_that_comes_late(platform, simulator, shop, rings):
    invitation, code = invite_and_scan(shop, simulator)
    with brand_scope(shop.pk):
        services.accept_return(public_id=invitation.public_id, auth_code=code, at=clock.now())
    rings.clear()

    services.give_up_invitations(at=clock.now() + timedelta(minutes=2))
    assert [(name, args) for name, *args in rings] == [
        ("wechat_gateway.tasks.complete_invitation", [shop.pk, invitation.pk])
    ]
    assert services.give_up_invitations(at=clock.now() + timedelta(minutes=6)) == 1
    services.complete_invitation(brand_id=shop.pk, invitation_id=invitation.pk, at=clock.now())

    with brand_scope(shop.pk):
        assert Invitation.objects.get().state == InvitationState.DONE
    assert services.give_up_invitations(at=clock.now() + timedelta(hours=1)) == 0
    assert account_of(shop).platform_appid == COMPONENT


def test_link_that_nobody_prepares_is_given_up(platform, shop, rings):
    with brand_scope(shop.pk):
        row = services.invite(at=clock.now())
    rings.clear()

    assert services.give_up_invitations(at=clock.now() + timedelta(seconds=30)) == 0
    assert rings == []
    assert services.give_up_invitations(at=clock.now() + timedelta(minutes=6)) == 1
    with brand_scope(shop.pk):
        row.refresh_from_db()
    assert (row.state, row.reason) == (InvitationState.FAILED, "NOT_PREPARED")


@pytest.fixture
def rings(monkeypatch):
    """What services ring for: (task, arguments)."""
    rung = []
    monkeypatch.setattr(platform_service, "ring", lambda task, *args: rung.append((task.name, *args)))
    return rung


def test_link_is_over_after_ten_minutes(platform, simulator, shop):
    invitation, _link = invite(shop)

    with brand_scope(shop.pk), pytest.raises(InvitationGone):
        services.accept_return(public_id=invitation.public_id, auth_code="x", at=clock.now() + timedelta(minutes=12))


def test_without_a_platform_nobody_is_invited(shop):
    with brand_scope(shop.pk), pytest.raises(NoPlatform):
        services.invite(at=clock.now())


def test_ticket_that_stays_away_is_an_incident_of_the_brands_that_need_it(platform, simulator, shop):
    authorise(shop, simulator)
    create_brand(slug="zaoshan", name="灶山")
    assert not services.watch_platform(at=clock.now())

    assert services.watch_platform(at=clock.now() + timedelta(minutes=31))
    with brand_scope(shop.pk):
        assert [row.kind for row in selectors.open_incidents()] == [incidents.PLATFORM]
    services.watch_platform(at=clock.now())
    with brand_scope(shop.pk):
        assert list(selectors.open_incidents()) == []


def test_secrets_of_the_platform_are_sealed_and_bound_to_their_column(platform):
    with connection.cursor() as cursor:
        cursor.execute("SELECT app_secret, callback_token FROM wechat_gateway_platform")
        secret, token = (bytes(value) for value in cursor.fetchone())
        assert KEYS["secret"].encode() not in secret
        cursor.execute("UPDATE wechat_gateway_platform SET callback_token = app_secret")
    assert token != secret
    from accounts.errors import Unsealable

    with pytest.raises(Unsealable):
        _ = Platform.objects.get().callback_token


def test_old_handled_events_leave_and_what_waits_for_people_stays(db, settings):
    settings.KEEP_PUSHES_DAYS, at = 30, clock.now()
    for number, (state, days) in enumerate([("HANDLED", 31), ("HANDLED", 29), ("FAILED", 400), ("NEW", 400)]):
        PlatformPush.objects.create(
            info_type="authorized", dedupe_key=f"{number:032x}", body=None, event_at=at, state=state,
            received_at=at - timedelta(days=days),
        )  # fmt: skip
    assert services.purge_platform_pushes(at=at, dry_run=True) == 1
    assert PlatformPush.objects.count() == 4

    out = StringIO()
    call_command("purge_platform_events", "--dry-run", "--days", "10", stdout=out)
    assert out.getvalue() == "2 handled events older than 10 days would go\n"
    call_command("purge_platform_events", stdout=out)
    assert sorted(PlatformPush.objects.values_list("state", flat=True)) == ["FAILED", "HANDLED", "NEW"]
    purge_inbound.run()
    call_command("purge_platform_events", "--days", "10", stdout=out)
    assert sorted(PlatformPush.objects.values_list("state", flat=True)) == ["FAILED", "NEW"]
    with pytest.raises(CommandError):
        call_command("purge_platform_events", "--days", "0")


def kept(kind, body, **more):
    return PlatformPush.objects.create(
        info_type=kind, dedupe_key=uuid4(), body=body, event_at=clock.now(), received_at=clock.now(), **more
    )


def test_an_event_that_nobody_can_handle_fails_alone_after_some_tries(platform, shop, simulator):
    broken, behind = kept("authorized", "[1]"), kept("unauthorized", "{}", appid=SHOP)
    at = clock.now()

    assert services.handle_platform_pushes(at=at) == 1
    behind.refresh_from_db()
    assert behind.state == "HANDLED"
    for minute in range(2, 12, 2):
        services.handle_platform_pushes(at=at + timedelta(minutes=minute))
    broken.refresh_from_db()
    assert (broken.state, broken.attempts, broken.reason) == ("FAILED", 5, "ERROR AttributeError")
    assert services.handle_platform_pushes(at=at + timedelta(hours=1)) == 0


def test_a_refused_answer_to_the_release_check_is_such_a_failure(platform, simulator):
    push = kept(platforms.RELEASE_CHECK, json.dumps({"openid": "o", "code": "no-such-code"}))
    behind = kept("unauthorized", "{}", appid=SHOP)
    assert services.handle_platform_pushes(at=clock.now()) == 1
    push.refresh_from_db()
    behind.refresh_from_db()
    assert push.reason.startswith("RELEASE_CHECK")
    assert (push.state, behind.state) == ("NEW", "HANDLED")


def test_an_unreadable_event_is_kept_once_and_read_when_it_can_be(platform, served):
    raw = b"<xml><AppId>broken"
    encrypted = forge.encrypt(raw, appid=COMPONENT, aes_key=KEYS["aes_key"])
    body = f"<xml><AppId>{COMPONENT}</AppId><Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>"
    address = f"{served}{urlsplit(platforms.events_url(platform)).path}"
    for _ in range(2):
        values = forge.query_of(encrypted, timestamp=str(int(time.time())), token=KEYS["token"])
        answer = requests.post(f"{address}?{forge.as_query(values).decode()}", data=body, timeout=10)
        assert (answer.status_code, answer.text) == (200, "success")
    (push,) = PlatformPush.objects.all()
    assert (push.info_type, push.state, push.reason.split()[0]) == ("unreadable", "FAILED", "unreadable")
    assert base64.b64decode(json.loads(push.body.reveal())["raw"]) == raw

    # Handled again while nothing has changed, it fails again.
    services.replay_platform_push(push_id=push.pk, at=clock.now())
    assert services.handle_platform_pushes(at=clock.now()) == 0
    push.refresh_from_db()
    assert push.reason.startswith("unreadable ")

    # What a later version can read is kept as the event it is.
    good = f"<xml><AppId>{COMPONENT}</AppId><InfoType>unauthorized</InfoType><CreateTime>1</CreateTime></xml>"
    push.body, push.retry_at = json.dumps({"raw": base64.b64encode(good.encode()).decode()}), None
    push.save()
    assert services.handle_platform_pushes(at=clock.now()) == 1
    assert set(PlatformPush.objects.values_list("info_type", "state")) == {
        ("unreadable", "HANDLED"), ("unauthorized", "NEW"),
    }  # fmt: skip


@pytest.mark.parametrize("how", ["revoked", "disconnected", "platform removed"])
def test_missing_ticket_troubles_nobody_whose_last_account_of_the_platform_has_gone(shop, how):
    other, at = create_brand(slug="zaoshan", name="灶山"), clock.now()
    row = services.set_platform(
        name="知音", appid=COMPONENT, app_secret=KEYS["secret"], callback_token=KEYS["token"],
        encoding_aes_key=KEYS["aes_key"], at=at,
    )  # fmt: skip
    for brand in (shop, other):
        with brand_scope(brand.pk):
            account = make_account()
            OfficialAccount.objects.filter(pk=account.pk).update(platform_appid=COMPONENT)

    def ill():
        services.watch_platform(at=at)
        found = []
        for brand in (shop, other):
            with brand_scope(brand.pk):
                found += [(brand.name, row.kind) for row in selectors.open_incidents()]
        return found

    assert ill() == [("澜屿", incidents.PLATFORM), ("灶山", incidents.PLATFORM)]
    if how == "platform removed":
        row.delete()
    with brand_scope(shop.pk):
        gone = {"revoked_at": at} if how == "revoked" else {"is_active": how != "disconnected"}
        OfficialAccount.objects.update(**gone)

    assert ill() == ([] if how == "platform removed" else [("灶山", incidents.PLATFORM)])
