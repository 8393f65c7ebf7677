"""Who gets no marketing: the do-not-send list, the control group fixed by hash, and consent beside them."""

from datetime import timedelta
from threading import Thread
from uuid import NAMESPACE_OID, uuid5

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client

from accounts.models import Brand
from accounts.tenancy import brand_scope, current_brand_id
from members.errors import ShareInvalid, SuppressionInvalid
from members.models import ControlGroup, Member, OptOut, Suppression
from members.selectors import consents_in_force
from members.services import (
    end_suppressions,
    give_consent,
    merge_members,
    release_members,
    set_control_group,
    suppress_members,
    withdraw_consent,
)
from members.services.people import new_member, new_member_no
from tests.factories import AT, make_account, make_member, make_staff

DAY = timedelta(days=1)


def held(member):
    """Why somebody gets no marketing."""
    row = OptOut.objects.filter(member=member, purpose="MARKETING").first()
    return [] if row is None else [name for name in ("withdrawn", "listed", "control") if getattr(row, name)]


def in_control():
    return set(OptOut.objects.filter(control=True).values_list("member_id", flat=True))


def people(count):
    """The same ones every time: who belongs to the control group follows from their ids and the brand's salt."""
    slug, first = Brand.objects.get(pk=current_brand_id()).slug, Member.objects.count()
    return Member.objects.bulk_create(
        Member(public_id=uuid5(NAMESPACE_OID, f"{slug}{number}"), member_no=new_member_no(), created_at=AT)
        for number in range(first, first + count)
    )


@pytest.fixture
def salt(in_brand):
    ControlGroup.objects.create(salt="0123456789abcdef", changed_at=AT)


def test_reasons_come_and_go_each_by_itself(in_brand):
    member = make_member(make_account())
    suppress_members(member_ids=[member.pk], reason="投诉", by="王敏", at=AT)
    withdraw_consent(member=member, purpose="MARKETING", source="t", at=AT)
    assert held(member) == ["withdrawn", "listed"]

    give_consent(member=member, purpose="MARKETING", text_version="1", source="t", at=AT)
    assert held(member) == ["listed"]  # agreeing is not a way off the brand's list
    withdraw_consent(member=member, purpose="MARKETING", source="t", at=AT)
    assert release_members(member_ids=[member.pk]) == 1
    assert held(member) == ["withdrawn"]
    give_consent(member=member, purpose="MARKETING", text_version="1", source="t", at=AT)
    assert held(member) == []


def test_control_group_is_the_same_whenever_and_grows_by_itself(salt):
    before = people(600)
    set_control_group(per_mille=50, at=AT)
    small = in_control()
    set_control_group(per_mille=200, at=AT)
    large = in_control()
    after = people(600) + [new_member(at=AT) for _ in range(20)]
    grown = in_control()
    set_control_group(per_mille=50, at=AT)

    assert small < large
    assert 15 <= len(small) <= 45  # about 5 % of 600
    assert 90 <= len(large) <= 150
    assert grown & {row.pk for row in before} == large
    assert 90 <= len(grown - large) <= 170
    assert {row.pk for row in after} >= grown - large
    assert in_control() & {row.pk for row in before} == small
    set_control_group(per_mille=0, at=AT)
    assert OptOut.objects.count() == 0
    set_control_group(per_mille=200, at=AT)
    assert in_control() == grown


def test_ending_the_control_group_leaves_the_other_reasons(salt):
    some = people(40)
    suppress_members(member_ids=[row.pk for row in some], reason="测试", by="", at=AT)
    set_control_group(per_mille=500, at=AT)
    assert 0 < len(in_control()) < 40
    set_control_group(per_mille=0, at=AT)

    assert (in_control(), OptOut.objects.filter(listed=True).count()) == (set(), 40)


def test_who_stays_after_a_merge_decides_about_the_control_group(in_brand):
    account = make_account()
    set_control_group(per_mille=500, at=AT)
    inside, outside = [], []
    while len(inside) < 3 or len(outside) < 3:  # chance decides
        row = make_member(account)
        (inside if row.pk in in_control() else outside).append(row)
    suppress_members(member_ids=[inside[1].pk], reason="投诉", by="", at=AT, until=AT + DAY)
    merge_members(kept=outside[0], merged=inside[0], evidence="t", at=AT)
    merge_members(kept=outside[1], merged=inside[1], evidence="t", at=AT)
    merge_members(kept=inside[2], merged=outside[2], evidence="t", at=AT)

    assert [held(row) for row in (outside[0], outside[1], inside[2])] == [[], ["listed"], ["control"]]
    assert Suppression.objects.get().member_id == outside[1].pk
    assert held(inside[0]) == held(inside[1]) == []


def test_entry_ends_on_its_day(in_brand):
    one, two = people(2)
    suppress_members(member_ids=[one.pk], reason="短", by="", at=AT, until=AT + DAY)
    suppress_members(member_ids=[two.pk], reason="长", by="", at=AT)
    assert suppress_members(member_ids=[one.pk, two.pk], reason="再", by="", at=AT, until=AT + 2 * DAY) == 0

    assert end_suppressions(at=AT + DAY) == 0
    assert end_suppressions(at=AT + 2 * DAY) == 2
    assert (held(one), Suppression.objects.count()) == ([], 0)


def test_what_makes_no_sense_is_refused(in_brand):
    (one,) = people(1)
    for share in (-1, 501):
        with pytest.raises(ShareInvalid):
            set_control_group(per_mille=share, at=AT)
    for bad in ({"reason": " "}, {"reason": "x" * 121}, {"reason": "x", "until": AT}):
        with pytest.raises(SuppressionInvalid):
            suppress_members(member_ids=[one.pk], by="", at=AT, **bad)
    with pytest.raises(IntegrityError), transaction.atomic():
        OptOut.objects.create(member=one, purpose="MARKETING", at=AT, withdrawn=False)
    assert held(one) == []


def test_control_group_of_another_brand_holds_nobody_here(brand, other_brand):
    with brand_scope(other_brand.pk):
        ControlGroup.objects.create(salt="0123456789abcdef", changed_at=AT)
        set_control_group(per_mille=500, at=AT)
        theirs = people(30)
    with brand_scope(brand.pk):
        people(30)
        assert (OptOut.objects.count(), ControlGroup.objects.count()) == (0, 0)
    with brand_scope(other_brand.pk):
        assert in_control() <= {row.pk for row in theirs}
        assert in_control()


def test_page_puts_people_on_the_list_and_takes_them_off(brand, other_brand):
    with brand_scope(other_brand.pk):
        theirs = make_member(make_account(), name="别家")
    with brand_scope(brand.pk):
        staff = make_staff("marketer", "MARKETER")
        one, two = make_member(make_account(), name="陈子涵"), make_member(make_account(), name="吴晓明")
    client = Client()
    client.force_login(staff, backend="django.contrib.auth.backends.ModelBackend")
    address = "/b/lanyu/segments/held-back/"

    refused = client.post(address, {"act": "list", "numbers": f"{one.member_no} {theirs.member_no}", "reason": "投诉"})
    assert (refused.status_code, theirs.member_no in refused.content.decode()) == (422, True)
    with brand_scope(brand.pk):
        assert Suppression.objects.count() == 0
    given = {"act": "list", "numbers": f"{one.member_no}，{two.member_no}", "reason": "投诉", "days": ""}
    assert client.post(address, given).status_code == 302
    page = client.get(address).content.decode()
    assert ("陈子涵" in page, "吴晓明" in page, "别家" in page) == (True, True, False)
    assert "投诉" in client.get(f"/b/lanyu/members/member/{one.pk}/change/").content.decode()
    assert client.post(address, {"act": "release", "member": one.pk}).status_code == 302
    assert client.post(address, {"act": "share", "percent": "50.1"}).status_code == 422
    assert client.post(address, {"act": "share", "percent": "12.5"}).status_code == 302
    with brand_scope(brand.pk):
        assert (held(one), held(two)[:1]) == (held(one), ["listed"])
        assert "listed" not in held(one)
        assert ControlGroup.objects.get().per_mille == 125


def test_who_withdrew_on_one_record_has_withdrawn_after_a_merge_and_may_agree_again(in_brand):
    one, other = (make_member(make_account(), joined_at=AT) for _ in range(2))
    withdraw_consent(member=other, purpose="MARKETING", source="t", at=AT)
    give_consent(member=one, purpose="MARKETING", text_version="1", source="t", at=AT + DAY)
    kept = merge_members(kept=one, merged=other, evidence="t", at=AT + 2 * DAY)

    assert (held(kept), consents_in_force(kept.pk)["MARKETING"].granted) == (["withdrawn"], False)
    give_consent(member=kept, purpose="MARKETING", text_version="1", source="t", at=AT + 3 * DAY)
    assert (held(kept), consents_in_force(kept.pk)["MARKETING"].granted) == ([], True)


@pytest.mark.django_db(transaction=True)
def test_withdrawal_beside_the_end_of_another_hold_is_not_lost(brand):
    with brand_scope(brand.pk):
        member = make_member(make_account())
        suppress_members(member_ids=[member.pk], reason="投诉", by="王敏", at=AT)

    def withdraw():
        try:
            with brand_scope(brand.pk):
                withdraw_consent(member=member, purpose="MARKETING", source="t", at=AT)
        finally:
            connection.close()

    other = Thread(target=withdraw)
    with brand_scope(brand.pk), transaction.atomic():
        release_members(member_ids=[member.pk])  # the row of the list goes …
        other.start()
        other.join(0.3)  # … while the withdrawal wants to change it
    other.join(30)
    with brand_scope(brand.pk):
        assert held(member) == ["withdrawn"]
