"""Whoever is erased stands in no column of any table any more; their neighbours and the counters stay."""

from datetime import timedelta

import pytest
from django.db import ProgrammingError, connection, transaction

from accounts.models import AuditEntry
from accounts.services import forget_in_audit
from accounts.tenancy import brand_scope
from accounts.viewer import Viewer, viewing
from campaigns.models import Campaign, Delivery, DeliveryState, FinishEvent, Tally, TestSend
from conversations.models import Dialogue, DialogueRun, DialogueVersion, ReplyRecord, UnmatchedPhrase
from conversations.services import note_unmatched
from coupons import services as coupons
from loyalty import services as loyalty
from loyalty.invariants import breaches
from loyalty.models import Journal, Tier
from members import services
from members.models import ErasureReason, Follower, Member
from tests.coupons.conftest import make_template
from tests.factories import (
    AT,
    make_account,
    make_follower,
    make_guide,
    make_mini_program,
    make_staff,
    make_store,
    make_tag,
)
from tests.inbox.conftest import say
from tests.loyalty.conftest import earn, once, policy
from tests.wechat_gateway import forge
from touchpoints.services import create_touchpoint, record_touch
from wechat_gateway.models import InboundPush

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
PHONE = "13912345678"
NAME = "欧阳忘我"
REASONS = {
    *("loyalty_adjustment.reason", "loyalty_adjustment.note", "loyalty_journal.reason", "loyalty_tierchange.reason"),
    *("coupons_move.reason", "members_legalhold.reason", "members_rightsrequest.refusal", "accounts_auditentry.reason"),
}


def everywhere(*texts):
    """Every column of every table that holds one of the texts: {"table.column"}."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.table_name, c.column_name FROM information_schema.columns c JOIN information_schema.tables t "
            "USING (table_schema, table_name) WHERE t.table_type = 'BASE TABLE' AND c.table_schema = 'public' AND "
            "c.data_type IN ('text', 'character varying', 'character', 'json', 'jsonb', 'ARRAY', 'bytea')"
        )
        columns = cursor.fetchall()
        found = set()
        for table, column in columns:
            like = " OR ".join(f'"{column}"::text LIKE %s' for _text in texts)
            cursor.execute(f'SELECT count(*) FROM "{table}" WHERE {like}', [f"%{text}%" for text in texts])
            if cursor.fetchone()[0]:
                found.add(f"{table}.{column}")
    assert len(columns) > 200  # or nothing was looked at
    return found


def live(account, openid, phone, name):
    """A life with the brand that leaves something in every part of the product."""
    follower = make_follower(account, openid)
    member = services.bind_phone(member=follower.member, number=phone, source="test", at=AT)
    services.change_profile(member_id=member.pk, name=f"旧{openid[-4:]}", city="喀什", birth_mmdd=229)
    services.change_profile(member_id=member.pk, name=name, city="上海")
    follower = Follower.objects.get(pk=follower.pk)
    services.tag_members(member_ids=[member.pk], tag_ids=[make_tag(f"标签{openid[-3:]}").pk], source="test", at=AT)
    store = make_store(code=openid[-4:], name=f"店{openid[-3:]}")
    make_guide(store, staff_no=openid[-6:], name=f"导购{openid[-3:]}")
    record_touch(
        follower=follower,
        scene=create_touchpoint(name=openid[-3:], account=account, at=AT).scene,
        is_follow=True,
        at=AT,
    )
    say(follower, f"我叫{name}，电话{phone}", at=AT)
    note_unmatched(account_id=account.pk, text=f"请打{phone}", at=AT)
    number = InboundPush.objects.count() + 1
    InboundPush.objects.create(
        account=account, dedupe_key=f"{number:032x}", digest=f"{number:032x}", kind="text", openid=openid, lane=0,
        event_at=AT, received_at=AT, body=forge.text_message(f"电话{phone}", openid=openid), state="HANDLED",
    )  # fmt: skip
    dialogue = Dialogue.objects.create(account=account, name=openid[-3:], updated_at=AT)
    version = DialogueVersion.objects.create(dialogue=dialogue, number=1, published_at=AT)
    DialogueRun.objects.create(
        version=version, follower=follower, step="a", answers={"a": phone, "b": name}, started_at=AT, updated_at=AT
    )
    ReplyRecord.objects.create(
        account=account, follower=follower, push_id=number, trigger="KEYWORD", way="SERVICE", why="LATE", at=AT,
        state="WAITING", waiting=[{"msgtype": "text", "text": {"content": f"{name}您好"}}],
    )  # fmt: skip
    services.open_session(
        member=member, appid=make_mini_program().appid, openid=f"m{openid}", session_key=None, lifetime=DAY, at=AT
    )
    leave_reasons(member, store, name)
    return follower


def leave_reasons(member, store, name):
    """Whatever the staff may say about somebody in words of their own."""
    policy(adjust_limit=0)
    services.end_hold(member=services.hold_member(member=member, reason=f"{name}退款", by="x", at=AT).member, at=AT)
    asked = services.ask(member=member, kind="CORRECT", words=f"我叫{name}", channel="DESK", at=AT)
    services.refuse(request=asked, reason=f"不是{name}本人", by="x", at=AT)
    tier, _made = Tier.objects.get_or_create(name="银卡", defaults={"threshold": 100_000})
    loyalty.lock_tier(member_id=member.pk, tier=tier, until=AT + DAY, reason=f"{name}投诉", at=AT)
    loyalty.unlock_tier(member_id=member.pk, reason=f"{name}满意", at=AT)
    earn(member, 50, reason=f"补给{name}")
    waits = loyalty.adjust_points(member_id=member.pk, points=5, reason=f"{name}的五分", at=AT)
    colleague = make_staff(f"two{store.code}", "OWNER")
    with viewing(Viewer(colleague.pk, colleague.name, member.brand_id, "OWNER")):
        loyalty.decide_adjustment(adjustment_id=waits.pk, approve=True, note=f"{name}属实", at=AT)
    template = make_template(f"券{store.code}")
    move = coupons.issue_coupon(operation=once(), template=template, member_id=member.pk, reason=f"向{name}致歉", at=AT)
    coupons.void_coupon(operation=once(), coupon_id=move.coupon_id, reason=f"{name}已退货", at=AT)


def send(account, *followers):
    """A campaign that has reached some and waits for others; with a test message and a result nobody expected."""
    campaign = Campaign.objects.create(name="会员日", account=account, created_at=AT, updated_at=AT, state="SENDING")
    for number, (follower, state) in enumerate(followers):
        Delivery.objects.create(
            campaign=campaign, seq=number + 1, member_id=follower.member_id, follower_id=follower.pk,
            account_id=account.pk, openid=follower.openid, variables={"姓名": follower.member.name, "号": follower.openid}, state=state,
            due_at=AT if state == DeliveryState.PENDING else None,
        )  # fmt: skip
        Tally.objects.create(campaign=campaign, shard=number, state=state, reason="", count=1)
        TestSend.objects.create(
            campaign=campaign, account_id=account.pk, openid=follower.openid, outcome="ACCEPTED", sent_at=AT
        )
        FinishEvent.objects.create(
            account_id=account.pk, msgid=number, openid=follower.openid, status="success", event_at=AT
        )
    return campaign


def counted(campaign):
    totals = {}
    for row in Tally.objects.filter(campaign=campaign):
        totals[row.state, row.reason] = totals.get((row.state, row.reason), 0) + row.count
    return {key: count for key, count in totals.items() if count}


def test_no_column_of_any_table_names_somebody_who_was_erased(in_brand):
    account = make_account()
    gone = live(account, "oGoneForEver00000000000000gone", PHONE, NAME)
    stays = live(account, "oStaysHere000000000000000stay1", "13800138000", "陈子涵")
    sent = send(account, (gone, DeliveryState.SENT), (stays, DeliveryState.SENT))
    InboundPush.objects.update(state="HANDLED")  # what still waits is about to be worked on, and kept until then
    before = everywhere(gone.openid, PHONE)
    kept = everywhere(stays.openid, "13800138000")
    assert everywhere(NAME) >= {"accounts_auditentry.object_label", "accounts_auditentry.changes"}
    named = everywhere("陈子涵")
    assert named >= REASONS
    assert {"campaigns_delivery.openid", "campaigns_delivery.variables", "campaigns_testsend.openid"} <= before
    assert {"members_follower.openid", "inbox_message.text", "conversations_dialoguerun.answers"} <= before

    services.start_clocks(followers=[gone], reason=ErasureReason.CANCELLED, at=AT)
    assert services.erase_due(gone.brand_id, at=AT + 30 * DAY) == 1

    assert everywhere(gone.openid, PHONE) == set()
    assert everywhere(NAME, "旧gone") == set()  # not even in the audit log
    log = AuditEntry.objects.filter(object_type="members.member", object_id=str(gone.member_id)).order_by("pk")
    assert [(entry.action, entry.object_label) for entry in log[:3]] == [
        ("bind phone", "***"), ("change profile", "***"), ("change profile", "***"),
    ]  # fmt: skip
    assert (log[1].changes["name"], log[2].changes["name"]) == (["", "***"], ["***", "***"])
    assert log[1].changes["birth_mmdd"] == [None, "***"]
    assert everywhere(stays.openid, "13800138000") == kept
    assert everywhere("陈子涵") == named
    assert counted(sent) == {("SENT", ""): 2}
    assert Member.objects.get(pk=gone.member_id).erased_at
    assert UnmatchedPhrase.objects.exists()
    assert Journal.objects.filter(member_id=gone.member_id, reason="***").count() == 2
    assert breaches() == []


def test_reasons_of_somebody_who_is_there_stay_whoever_asks(in_brand):
    follower = make_follower(make_account())
    store = make_store()
    leave_reasons(follower.member, store, NAME)
    before = everywhere(NAME)
    with connection.cursor() as cursor:
        for table in ("loyalty_journal", "loyalty_tierchange", "coupons_move"):
            cursor.execute(f"SELECT {table.replace('_', '_forget_')}(array_agg(id)) FROM {table}")
            assert cursor.fetchone() == (0,)
            with pytest.raises(ProgrammingError), transaction.atomic():
                cursor.execute(f"UPDATE {table} SET reason = '***'")
    assert everywhere(NAME) == before


def test_a_message_that_still_waits_for_somebody_erased_is_left_out(in_brand):
    account = make_account()
    gone, stays = make_follower(account), make_follower(account)
    campaign = send(account, (gone, DeliveryState.PENDING), (stays, DeliveryState.PENDING))

    services.start_clocks(followers=[gone], reason=ErasureReason.CANCELLED, at=AT)
    services.erase_due(gone.brand_id, at=AT + 30 * DAY)

    rows = Delivery.objects.order_by("seq").values_list("state", "reason", "openid", "due_at")
    assert list(rows) == [("SUPPRESSED", "UNFOLLOWED", "", None), ("PENDING", "", stays.openid, AT)]
    assert counted(campaign) == {("SUPPRESSED", "UNFOLLOWED"): 1, ("PENDING", ""): 1}


def test_equal_openids_of_another_brand_stay(brand, other_brand):
    sides = []
    for each in (brand, other_brand):
        with brand_scope(each.pk):
            follower = make_follower(make_account(), "oTheSameInBothBrands")
            send(follower.account, (follower, DeliveryState.SENT))
            sides.append(follower)
    with brand_scope(brand.pk):
        services.start_clocks(followers=[sides[0]], reason=ErasureReason.CANCELLED, at=AT)
    services.erase_due(brand.pk, at=AT + 30 * DAY)
    found = []
    for each in (brand, other_brand):
        with brand_scope(each.pk):
            found.append([*Delivery.objects.values_list("openid", flat=True), FinishEvent.objects.count()])
    assert found == [["", 0], ["oTheSameInBothBrands", 1]]


def test_the_log_of_another_brand_and_of_other_objects_keeps_its_names(brand, other_brand):
    people = []
    for each in (brand, other_brand):
        with brand_scope(each.pk):
            member = make_follower(make_account()).member
            services.change_profile(member_id=member.pk, name="同名", city="")
            people.append(member)
    with brand_scope(brand.pk):
        Member.objects.filter(pk=people[0].pk).update(name="")
        objects = [("members.member", member.pk) for member in people]  # both numbers, also the stranger's
        assert forget_in_audit(objects=objects, words=["同名"]) == 1
        assert forget_in_audit(objects=[], words=["同名"]) == 0
        assert list(AuditEntry.objects.filter(object_label="同名")) == []
        with pytest.raises(ProgrammingError), transaction.atomic():
            AuditEntry.objects.update(object_label="x")  # nobody else changes the log
    with brand_scope(other_brand.pk):
        (entry,) = AuditEntry.objects.filter(object_type="members.member", object_id=str(people[1].pk))
        assert (entry.object_label, entry.changes["name"]) == ("同名", ["", "同名"])


def test_quotes_and_braces_in_a_name_leave_the_entry_readable(in_brand):
    follower = make_follower(make_account())
    name = 'A"},{"x\\'
    services.change_profile(member_id=follower.member_id, name=name, city="")
    forget_in_audit(objects=[("members.member", follower.member_id)], words=[name])
    entry = AuditEntry.objects.get(action="change profile")
    assert entry.changes["name"] == ["", "***"]
