"""Requests about one's own data: a clock, an answer, a copy that is fetched once, an erasure with its proof."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from accounts.models import AuditEntry
from accounts.tenancy import brand_scope
from members import services
from members.errors import CopyGone, ErasureHeld, RequestAnswered, RequestAsked, RequestInvalid
from members.models import Member, RequestFile, RightsRequest
from members.services.proof import is_intact
from members.services.rights import after_working_days
from tests.factories import AT, make_account, make_member

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


@pytest.fixture
def member(in_brand):
    return make_member(make_account(), name="陈子涵")


def asked(member, kind, **more):
    return services.ask(member=member, kind=kind, channel="MINI_PROGRAM", at=AT, **more)


def test_last_day_is_fifteen_working_days_on():
    friday = datetime(2025, 6, 6, 12, tzinfo=UTC)
    assert after_working_days(friday, 1) == datetime(2025, 6, 9, 12, tzinfo=UTC)
    assert after_working_days(friday, 15) == datetime(2025, 6, 27, 12, tzinfo=UTC)


def test_same_is_asked_once_until_it_is_answered(member):
    first = asked(member, "ERASE")
    with pytest.raises(RequestAsked):
        asked(member, "ERASE")
    services.refuse(request=first, reason="尚有退款", by="x", at=AT)
    assert asked(member, "ERASE").pk != first.pk
    assert asked(member, "COPY").due_at == after_working_days(AT, 15)
    for words in ("", "x" * 201):
        with pytest.raises(RequestInvalid):
            asked(member, "CORRECT", words=words)


def test_copy_is_made_sealed_and_handed_out_once(member):
    row = asked(member, "COPY")
    assert services.make_copies(member.brand_id, at=AT) == 1
    assert services.make_copies(member.brand_id, at=AT) == 0
    row.refresh_from_db()
    assert row.state == "READY"
    with connection.cursor() as cursor:
        cursor.execute("SELECT content FROM members_requestfile")
        assert "陈子涵".encode() not in bytes(cursor.fetchone()[0])

    content = services.fetch_copy(request=row, by="王敏", at=AT + DAY)

    assert content["json"]["member_no"] == member.member_no
    assert "陈子涵" in content["html"]
    row.refresh_from_db()
    kept = RequestFile.objects.get()
    assert (row.state, kept.content, kept.fetched_by) == ("DONE", None, "王敏")
    assert AuditEntry.objects.filter(action="fetch copy", object_id=str(row.pk)).count() == 1
    with pytest.raises(CopyGone):
        services.fetch_copy(request=row, by="王敏", at=AT + DAY)


def test_copy_nobody_fetches_goes_after_its_days(member):
    row = asked(member, "COPY")
    services.make_copies(member.brand_id, at=AT)
    assert services.drop_copies(at=AT + 6 * DAY) == 0
    with pytest.raises(CopyGone):
        services.fetch_copy(request=row, by="x", at=AT + 7 * DAY)
    assert services.drop_copies(at=AT + 7 * DAY) == 1
    assert RequestFile.objects.get().content is None


def test_erasure_waits_for_a_dispute_and_then_leaves_a_proof(member):
    row = asked(member, "ERASE")
    services.hold_member(member=member, reason="退款争议", by="x", at=AT)
    with pytest.raises(ErasureHeld):
        services.answer_erasure(request=row, by="王敏", at=AT + DAY)
    assert RightsRequest.objects.get().state == "OPEN"

    services.end_hold(member=member, at=AT)
    services.answer_erasure(request=row, by="王敏", at=AT + DAY)

    row.refresh_from_db()
    assert (row.state, row.answered_by, is_intact(row.proof)) == ("DONE", "王敏", True)
    assert Member.objects.get(pk=member.pk).erased_at == AT + DAY
    with pytest.raises(RequestAnswered):
        services.answer_erasure(request=row, by="x", at=AT)


def test_member_without_any_follower_can_be_erased(in_brand):
    member = Member.objects.create(
        public_id="0b0f6a3e-6d0b-4c52-9a54-1f1d0f6f7c11", member_no="k1", name="柜台客", created_at=AT
    )
    services.erase_member(member=member, reason="test", at=AT)
    assert Member.objects.get(pk=member.pk).name == ""


def test_refusal_tells_why_and_a_correction_says_done(member):
    row = asked(member, "CORRECT", words="名字写错了")
    with pytest.raises(RequestInvalid):
        services.refuse(request=row, reason=" ", by="x", at=AT)
    services.answer_correction(request=row, by="x", at=AT)
    assert RightsRequest.objects.get().state == "DONE"
    with pytest.raises(RequestAnswered):
        services.take_back(request=row, at=AT)


def test_each_brand_makes_its_own_copies(db, brand, other_brand):
    for each in (brand, other_brand):
        with brand_scope(each.pk):
            services.ask(member=make_member(make_account()), kind="COPY", channel="CONSOLE", at=AT)

    assert services.make_copies(brand.pk, at=AT) == 1

    with brand_scope(other_brand.pk):
        assert RightsRequest.objects.get().state == "OPEN"
