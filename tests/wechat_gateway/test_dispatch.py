"""Stored pushes in workers: in order per follower, effects once, poison set aside, replay on demand."""

from datetime import timedelta

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.core.management import call_command
from django.db import connection

from accounts.models import AuditEntry
from accounts.tenancy import brand_scope
from tests.wechat_gateway import forge
from tests.wechat_gateway.conftest import NOW, make_account
from wechat_gateway import selectors, services, tasks
from wechat_gateway.errors import NotReplayable, PushNotFound, ReasonMissing, StillUnreadable
from wechat_gateway.events import lane_of, read_head
from wechat_gateway.models import HandledEffect, InboundPush, QuotaLimit
from wechat_gateway.registries import on_event, prepares
from wechat_gateway.services import inbox
from wechat_gateway.wire import read_fields

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_registries")]
LANE = lane_of(forge.OPENID)


def store(account, message, **changes):
    head = read_head(read_fields(message.encode()), now=forge.NOW)
    with brand_scope(account.brand_id):
        return InboundPush.objects.create(
            **{
                "account": account, "dedupe_key": head.dedupe_key, "digest": head.digest, "kind": head.kind,
                "openid": head.openid, "lane": head.lane, "event_at": NOW + timedelta(seconds=head.event_at - forge.NOW),
                "received_at": NOW, "body": message, **changes,
            },
        )  # fmt: skip


def again(account, push):
    with brand_scope(account.brand_id):
        return InboundPush.objects.get(pk=push.pk)


def handle(account, lane=LANE):
    return services.handle_inbound(brand_id=account.brand_id, lane=lane, at=NOW)


def let_waits_pass(account):
    with brand_scope(account.brand_id):
        InboundPush.objects.update(retry_at=None)


def test_handlers_run_in_order_of_the_events(account):
    seen = []

    @on_event("text", key="test.later", rank=2)
    def later(push):
        seen.append(("later", push.content))

    @on_event("TEXT", "text", key="test.first", rank=1)
    def first(push):
        seen.append(("first", push.content))

    for number in (3, 1, 2):
        store(account, forge.text_message(msgid=str(number), content=str(number), created=int(forge.NOW) + number))
    assert handle(account) == 3
    assert seen == [(who, str(number)) for number in (1, 2, 3) for who in ("first", "later")]
    with brand_scope(account.brand_id):
        assert set(InboundPush.objects.values_list("state", "handled_at")) == {("HANDLED", NOW)}


def test_handler_sees_the_typed_push_in_its_brand(account):
    make_account(appid="wxaaaaaaaaaaaaaaaa")
    seen = []

    @on_event("subscribe", key="test.follow")
    def follow(push):
        seen.append((push.openid, push.scene, push.account_id, push.appid, selectors.official_accounts().count()))

    row = store(account, forge.event("subscribe", EventKey="qrscene_s1"))
    handle(account)
    assert seen == [(forge.OPENID, "s1", account.pk, forge.APPID, 1)]
    assert again(account, row).state == "HANDLED"


def test_handled_push_is_not_handled_again(account):
    seen = []

    @on_event("text", key="test.once")
    def once(push):
        seen.append(push.msgid)

    store(account, forge.text_message())
    assert [handle(account), handle(account)] == [1, 0]
    assert len(seen) == 1


def test_failing_handler_undoes_itself_only_and_the_others_run_once(account):
    calls = []

    @on_event("text", key="test.good", rank=1)
    def good(push):
        calls.append("good")
        QuotaLimit.objects.create(api="/good", window="DAY", limit=1, valid_from=NOW.date())

    @on_event("text", key="test.bad", rank=2)
    def bad(push):
        calls.append("bad")
        QuotaLimit.objects.create(api="/bad", window="DAY", limit=1, valid_from=NOW.date())
        raise ValueError("13800138000 is no phone")

    @on_event("text", key="test.last", rank=3)
    def last(push):
        calls.append("last")

    row = store(account, forge.text_message())
    for _ in range(3):
        handle(account)
        let_waits_pass(account)
    found = again(account, row)
    assert calls == ["good", "bad", "good", "bad", "last", "bad", "bad"]  # what the first two did was undone
    assert set(QuotaLimit.objects.filter(api__in=["/good", "/bad"]).values_list("api", flat=True)) == {"/good"}
    assert (found.state, found.attempts) == ("FAILED", 3)
    assert found.reason == "test.bad: ValueError: 138****8000 is no phone"


def test_what_a_handler_found_before_it_failed_is_unknown_to_the_next(account):
    seen = []

    @on_event("text", key="test.finds", rank=1)
    def finds(push):
        push.found["made"] = "a row that is undone"
        raise ValueError

    @on_event("text", key="test.asks", rank=2)
    def asks(push):
        seen.append(push.found.get("made"))

    store(account, forge.text_message())
    handle(account)
    assert seen == [None]


def test_pushes_are_prepared_together_and_one_by_one_not(account):
    seen, prepared, broken = [], [], True

    @prepares(key="test.prepares")
    def prepare(pushes):
        prepared.append(len(pushes))
        for push in pushes:
            push.found["prepared"] = True

    @on_event("text", key="test.maybe")
    def maybe(push):
        seen.append((push.content, push.found.get("prepared", False)))
        if broken and push.content == "2":
            raise ValueError

    for number in (1, 2):
        store(account, forge.text_message(msgid=str(number), content=str(number)))
    handle(account)
    broken = False
    let_waits_pass(account)
    handle(account)
    assert seen == [("1", True), ("2", True), ("1", False), ("2", False), ("2", False)]
    assert prepared == [2]


def test_a_handler_that_used_up_the_time_is_not_begun_again_at_once(account):
    seen = []

    @on_event("text", key="test.hangs")
    def hangs(push):
        seen.append(push.content)
        raise SoftTimeLimitExceeded

    row = store(account, forge.text_message(content="slow"))
    handle(account)
    found = again(account, row)
    assert (seen, found.state, found.attempts) == (["slow"], "NEW", 1)
    assert "SoftTimeLimitExceeded" in found.reason


def test_later_pushes_of_a_follower_wait_for_the_failed_one_and_others_do_not(account):
    seen = []
    broken = True

    @on_event("text", key="test.maybe")
    def maybe(push):
        if push.content == "1" and broken:
            raise ValueError
        seen.append((push.openid, push.content))

    neighbour = next(f"oOther{n}" for n in range(1000) if lane_of(f"oOther{n}") == LANE)
    store(account, forge.text_message(msgid="1", content="1"))
    store(account, forge.text_message(msgid="2", content="2", created=int(forge.NOW) + 1))
    store(account, forge.text_message(msgid="3", content="3", created=int(forge.NOW) + 2, openid=neighbour))
    handle(account)
    assert seen == [(neighbour, "3")]
    broken = False
    let_waits_pass(account)
    handle(account)
    assert seen == [(neighbour, "3"), (forge.OPENID, "1"), (forge.OPENID, "2")]


def test_push_that_kills_its_worker_is_set_aside_after_three_attempts(transactional_db):
    account = make_account()
    seen = []

    @on_event("text", key="test.kills")
    def kills(push):
        seen.append(push.content)
        if push.content == "poison":
            raise SystemExit  # ends the worker: nothing of ours may catch it

    store(account, forge.text_message(msgid="1", content="before"))
    poison = store(account, forge.text_message(msgid="2", content="poison", created=int(forge.NOW) + 1))
    store(account, forge.text_message(msgid="3", content="after", created=int(forge.NOW) + 2))
    for _ in range(3):
        with pytest.raises(SystemExit):
            handle(account)
    let_waits_pass(account)
    handle(account)
    assert again(account, poison).state == "FAILED"
    assert again(account, poison).reason.startswith("WORKER_DIED")
    assert seen.count("poison") == 3
    assert seen[-1] == "after"
    with brand_scope(account.brand_id):
        assert sorted(InboundPush.objects.values_list("state", flat=True)) == ["FAILED", "HANDLED", "HANDLED"]


def test_a_last_attempt_that_is_about_to_begin_is_not_taken_for_a_dead_one(transactional_db):
    account = make_account()
    seen = []

    @on_event("text", key="test.last")
    def last(push):
        seen.append(push.content)

    row = store(account, forge.text_message(msgid="1", content="last"), attempts=2)
    claims = inbox._claim(account.brand_id, LANE)
    assert handle(account) == 0  # another worker comes by
    assert again(account, row).state == "NEW"
    assert inbox._run_claims(account.brand_id, LANE, claims, NOW) == 1
    assert (again(account, row).state, again(account, row).retry_at, seen) == ("HANDLED", None, ["last"])


def test_postgresql_that_goes_away_under_a_push_is_not_the_pushs_fault(transactional_db):
    account = make_account()
    seen = []

    @on_event("text", key="test.unlucky")
    def unlucky(push):
        seen.append(push.content)
        if len(seen) <= 3:
            end_own_session()

    row = store(account, forge.text_message(msgid="1", content="unlucky"))
    for _ in range(4):
        handle(account)

    assert (again(account, row).state, again(account, row).attempts) == ("HANDLED", 1)
    assert seen == ["unlucky"] * 4


def test_push_under_which_postgresql_always_goes_away_is_set_aside(transactional_db):
    account = make_account()
    seen = []

    @on_event("text", key="test.deadly")
    def deadly(push):
        seen.append(push.content)
        end_own_session()

    row = store(account, forge.text_message(msgid="1", content="deadly"))
    for _ in range(12):
        let_waits_pass(account)
        handle(account)

    assert again(account, row).state == "FAILED"
    assert len(seen) == 6


def end_own_session():
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")


def test_unreadable_body_is_put_into_quarantine(account):
    row = store(account, forge.text_message())
    with brand_scope(account.brand_id):
        InboundPush.objects.filter(pk=row.pk).update(body="<xml>")
    handle(account)
    assert (again(account, row).state, again(account, row).reason) == ("QUARANTINED", "XML")


def test_unknown_event_is_kept_without_effect(account):
    row = store(account, forge.event("moon_phase"))
    assert handle(account) == 1
    assert (again(account, row).state, again(account, row).kind) == ("HANDLED", "unknown:moon_phase")


def test_failed_push_is_handled_again_after_the_repair(account):
    seen = []

    @on_event("text", key="test.good", rank=1)
    def good(push):
        seen.append("good")

    @on_event("text", key="test.repaired", rank=2)
    def repaired(push):
        seen.append("repaired")

    row = store(account, forge.text_message(), state="FAILED", attempts=3, reason="x")
    with brand_scope(account.brand_id):
        HandledEffect.objects.create(push=row, handler="test.good")
        services.replay_push(push_id=row.pk, at=NOW, reason="fixed")
        entry = AuditEntry.objects.get(action="replay push")
    assert entry.changes == {"state": ["FAILED", "NEW"]}
    handle(account)
    assert again(account, row).state == "HANDLED"
    assert seen == ["repaired"]


def test_quarantined_push_is_read_again(account):
    row = store(account, forge.event("subscribe"), state="QUARANTINED", kind="unreadable", openid="", lane=0)
    with brand_scope(account.brand_id):
        services.replay_push(push_id=row.pk, at=NOW)
    found = again(account, row)
    assert (found.state, found.kind, found.openid, found.lane) == ("NEW", "subscribe", forge.OPENID, LANE)


def test_replay_refuses_what_cannot_be_replayed(account):
    fine = store(account, forge.text_message(), state="HANDLED")
    broken = store(account, forge.text_message(msgid="2"), state="QUARANTINED", body="<xml>")
    with brand_scope(account.brand_id):
        with pytest.raises(NotReplayable):
            services.replay_push(push_id=fine.pk, at=NOW)
        with pytest.raises(StillUnreadable):
            services.replay_push(push_id=broken.pk, at=NOW)
        with pytest.raises(PushNotFound):
            services.replay_push(push_id=10**9, at=NOW)


def test_push_that_is_set_aside_waits_for_nobody_and_leaves_by_its_age(account):
    broken = store(account, forge.text_message(), state="QUARANTINED", body="<xml>", reason="XML")
    failed = store(account, forge.text_message(msgid="2"), state="FAILED", reason="x: y")
    fine = store(account, forge.text_message(msgid="3"), state="HANDLED")
    foreign = store(make_account(appid="wxaaaaaaaaaaaaaaaa"), forge.text_message(), state="FAILED")
    with brand_scope(account.brand_id):
        with pytest.raises(ReasonMissing):
            services.set_push_aside(push_id=broken.pk, reason="  ", at=NOW)
        with pytest.raises(NotReplayable):
            services.set_push_aside(push_id=fine.pk, reason="x", at=NOW)
        with pytest.raises(PushNotFound):
            services.set_push_aside(push_id=foreign.pk, reason="x", at=NOW)
        services.set_push_aside(push_id=broken.pk, reason="坏的测试工具", at=NOW)
        services.set_push_aside(push_id=failed.pk, reason="已人工处理", at=NOW)
        entry = AuditEntry.objects.filter(action="set push aside").first()
        assert (entry.changes, entry.reason) == ({"state": ["QUARANTINED", "HANDLED"]}, "坏的测试工具")
        assert list(selectors.pushes_for_people()) == []
        services.replay_push(push_id=failed.pk, at=NOW)  # somebody has thought again
        with pytest.raises(NotReplayable):
            services.replay_push(push_id=fine.pk, at=NOW)
    assert again(account, failed).state == "NEW"

    late = broken.received_at + timedelta(days=31)
    services.purge_brand_inbound(brand_id=account.brand_id, at=late)
    with brand_scope(account.brand_id):
        assert list(InboundPush.objects.values_list("pk", flat=True)) == [failed.pk]


def test_what_nobody_ever_looked_at_goes_after_the_long_limit(account):
    from members.services import set_retention
    from members.services.retention import retain

    old = store(account, forge.text_message(), state="FAILED")
    with brand_scope(account.brand_id):
        HandledEffect.objects.create(push=old, handler="test.good")
        InboundPush.objects.filter(pk=old.pk).update(received_at=NOW - timedelta(days=31))
        kept = [store(account, forge.text_message(msgid=str(n)), state=state).pk
                for n, state in enumerate(("FAILED", "QUARANTINED", "NEW"), 5)]  # fmt: skip
        InboundPush.objects.filter(pk=kept[2]).update(received_at=NOW - timedelta(days=400))
        InboundPush.objects.filter(pk__in=kept[:2]).update(received_at=NOW - timedelta(days=29))
    assert retain(account.brand_id, at=NOW)["unsettled_pushes"] == 1
    with brand_scope(account.brand_id):
        assert sorted(InboundPush.objects.values_list("pk", flat=True)) == sorted(kept)
        set_retention(key="unsettled_pushes", days=7, by="x", at=NOW)
    assert retain(account.brand_id, at=NOW)["unsettled_pushes"] == 2
    with brand_scope(account.brand_id):
        assert InboundPush.objects.get().state == "NEW"


def test_replay_does_not_reach_into_another_brand(account):
    other = make_account(appid="wxaaaaaaaaaaaaaaaa")
    row = store(other, forge.text_message(), state="FAILED")
    with brand_scope(account.brand_id), pytest.raises(PushNotFound):
        services.replay_push(push_id=row.pk, at=NOW)
    assert again(other, row).state == "FAILED"


def test_command_replays_what_failed_in_one_brand(account, capsys):
    other = make_account(appid="wxaaaaaaaaaaaaaaaa")
    row, foreign = (store(each, forge.text_message(), state="FAILED") for each in (account, other))
    call_command("replay_inbound", brand=account.brand.slug)
    assert capsys.readouterr().out == "1 of 1 pushes are handled again\n"
    assert (again(account, row).state, again(other, foreign).state) == ("NEW", "FAILED")


def test_sweep_rings_for_each_lane_that_waits(account, monkeypatch):
    rung = []
    monkeypatch.setattr("wechat_gateway.services.inbox.ring", lambda task, *args: rung.append((task.name, *args)))
    other = make_account(appid="wxaaaaaaaaaaaaaaaa")
    store(account, forge.text_message())
    store(account, forge.text_message(msgid="2"))
    store(account, forge.text_message(msgid="3"), state="HANDLED", lane=(LANE + 1) % 8)
    store(other, forge.text_message())
    assert services.sweep_inbound() == 2
    name = "wechat_gateway.tasks.handle_inbound"
    assert sorted(rung) == sorted([(name, account.brand_id, LANE), (name, other.brand_id, LANE)])


def test_group_of_pushes_costs_a_constant_number_of_queries(account, django_assert_max_num_queries):
    for number in range(16):
        store(account, forge.text_message(msgid=str(number + 1), created=int(forge.NOW) + number))
    with django_assert_max_num_queries(30):
        assert handle(account) == 16


def test_old_handled_pushes_are_dropped_and_others_stay(account):
    old = NOW - timedelta(days=7, seconds=1)
    store(account, forge.text_message(msgid="1"), state="HANDLED", received_at=old)
    kept = [
        store(account, forge.text_message(msgid="2"), state="HANDLED", received_at=NOW - timedelta(days=7)),
        store(account, forge.text_message(msgid="3"), state="QUARANTINED", received_at=old),
    ]
    assert services.purge_brand_inbound(brand_id=account.brand_id, at=NOW) == 1
    with brand_scope(account.brand_id):
        assert list(InboundPush.objects.order_by("pk").values_list("pk", flat=True)) == [row.pk for row in kept]


def test_many_old_pushes_go_in_pieces_and_another_brands_stay(account, monkeypatch):
    monkeypatch.setattr(services.inbox, "PURGE_PIECE", 3)
    other = make_account(slug="other", appid="wxffffffffffffffff")
    old = NOW - timedelta(days=31)
    for number in range(1, 9):
        store(account, forge.text_message(msgid=str(number)), state="HANDLED", received_at=old)
    store(other, forge.text_message(msgid="1"), state="HANDLED", received_at=old)
    young = store(account, forge.text_message(msgid="20"), state="HANDLED")

    assert services.purge_brand_inbound(brand_id=account.brand_id, at=NOW) == 8

    with brand_scope(account.brand_id):
        assert list(InboundPush.objects.values_list("pk", flat=True)) == [young.pk]
    with brand_scope(other.brand_id):
        assert InboundPush.objects.count() == 1


def test_purge_asks_once_where_nothing_is_old(account, django_assert_num_queries):
    for number in range(1, 30):
        store(account, forge.text_message(msgid=str(number)), state="HANDLED")

    with django_assert_num_queries(3):  # the scope's savepoint, and one statement
        assert services.purge_brand_inbound(brand_id=account.brand_id, at=NOW) == 0


def test_effects_of_an_old_push_go_with_it(account):
    push = store(account, forge.text_message(msgid="1"), state="HANDLED", received_at=NOW - timedelta(days=31))
    with brand_scope(account.brand_id):
        HandledEffect.objects.create(push=push, handler="x")

    assert services.purge_brand_inbound(brand_id=account.brand_id, at=NOW) == 1

    with brand_scope(account.brand_id):
        assert HandledEffect.objects.count() == 0


def test_one_wake_up_call_rings_for_the_lanes_that_came_with_it(account, monkeypatch):
    rung, handled = [], []
    monkeypatch.setattr("wechat_gateway.tasks.ring", lambda task, *args: rung.append((task.name, *args)))
    monkeypatch.setattr(services, "handle_inbound", lambda **facts: handled.append((facts["brand_id"], facts["lane"])))
    tasks.handle_inbound.run(account.brand_id, 3, also=[[account.brand_id, 4], [account.brand_id + 1, 0]])
    name = "wechat_gateway.tasks.handle_inbound"
    assert rung == [(name, account.brand_id, 4), (name, account.brand_id + 1, 0)]
    assert handled == [(account.brand_id, 3)]
