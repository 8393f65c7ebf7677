"""A sealed value that does not open is refused, and the brand is told: once, whatever becomes of the transaction."""

import pytest
from django.db import connection, transaction

from accounts.errors import Unsealable
from accounts.models import AuditEntry
from accounts.tenancy import brand_scope
from members.models import Member
from members.services import bind_phone
from tests.factories import AT, make_member
from wechat_gateway import incidents, refusals
from wechat_gateway.models import Incident

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def nothing_told():
    refusals.until_told()
    refusals._told.clear()
    yield
    refusals.until_told()
    refusals._told.clear()


@pytest.fixture
def swapped(ours):
    """Somebody has put the phone of one person into the row of another; gives (person, the value that was there)."""
    with brand_scope(ours.brand.pk):
        people = [make_member(ours.account, name=name) for name in ("澜一", "澜二")]
        for person, number in zip(people, ("13900000001", "13900000002"), strict=True):
            bind_phone(member=person, number=number, source="test", at=AT)
        (_one, first), (two, second) = (
            Member.objects.filter(pk__in=[each.pk for each in people]).order_by("pk").values_list("pk", "phone")
        )
        put(two, first)
    return two, second


def put(pk, sealed):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE members_member SET phone = %s WHERE id = %s", [bytes(sealed), pk])


def told(ours):
    refusals.until_told()
    with brand_scope(ours.brand.pk):
        return list(Incident.objects.filter(kind=refusals.SEALED).values_list("subject", "closed_at"))


def test_refused_value_opens_one_incident_though_the_transaction_fails(ours, theirs, swapped):
    pk, _value = swapped
    for _time in range(3):
        with pytest.raises(Unsealable), brand_scope(ours.brand.pk), transaction.atomic():
            Member.objects.get(pk=pk).phone  # noqa: B018

    assert told(ours) == [(f"members_member.phone #{pk}", None)]
    with brand_scope(ours.brand.pk):
        entry = AuditEntry.objects.get(action="sealed value refused")
        assert (entry.object_type, entry.object_id) == ("members.member", str(pk))
    assert told(theirs) == []


def test_person_who_wanted_to_see_it_reads_a_sentence_and_no_number(as_owner, ours, swapped):
    pk, _value = swapped
    page = as_owner.post(f"/b/lanyu/members/member/{pk}/change/", {"act": "reveal", "text": "客诉回访"}, follow=True)

    assert page.status_code == 200
    assert "13900000001" not in page.content.decode()
    assert len(list(page.context["messages"])) == 1
    assert [subject for subject, _closed in told(ours)] == [f"members_member.phone #{pk}"]
    with brand_scope(ours.brand.pk):
        assert AuditEntry.objects.get(action="sealed value refused").actor_label == "owner"
        assert not AuditEntry.objects.filter(action="reveal").exists()
    assert f"members_member.phone #{pk}" in as_owner.get("/b/lanyu/").content.decode()


def test_incident_ends_when_the_value_opens_again_and_not_before(ours, swapped):
    pk, value = swapped
    with pytest.raises(Unsealable), brand_scope(ours.brand.pk):
        Member.objects.get(pk=pk).phone  # noqa: B018
    assert len(told(ours)) == 1
    with brand_scope(ours.brand.pk):
        assert refusals.look_again(at=AT) == 0
        put(pk, value)
        assert refusals.look_again(at=AT) == 1
    assert told(ours) == [(f"members_member.phone #{pk}", AT)]


def test_a_column_that_was_renamed_ends_its_incident_and_not_the_watch(ours):
    with brand_scope(ours.brand.pk):
        incidents.open_incident(kind=refusals.SEALED, subject=f"members_member.telephone #{ours.member.pk}", at=AT)
        assert refusals.look_again(at=AT) == 1


def test_somebody_may_end_it_and_it_is_written_down(as_owner, as_marketer, ours, swapped):
    pk, _value = swapped
    with pytest.raises(Unsealable), brand_scope(ours.brand.pk):
        Member.objects.get(pk=pk).phone  # noqa: B018
    assert len(told(ours)) == 1
    with brand_scope(ours.brand.pk):
        here = f"/b/lanyu/wechat_gateway/incident/{Incident.objects.get(kind=refusals.SEALED).pk}/change/"

    assert as_marketer.post(here).status_code == 403
    assert told(ours)[0][1] is None
    assert as_owner.post(here).status_code == 302

    assert told(ours)[0][1] is not None
    with brand_scope(ours.brand.pk):
        assert AuditEntry.objects.filter(action="close incident").count() == 1
    assert as_owner.post(here).status_code == 405  # it is over


def test_of_a_brand_whose_key_is_gone_not_everything_is_named(ours, monkeypatch):
    monkeypatch.setattr(refusals, "MOST", 1)
    with brand_scope(ours.brand.pk):
        people = [make_member(ours.account, name=name) for name in ("澜一", "澜二", "澜三")]
        for number, person in enumerate(people):
            bind_phone(member=person, number=f"1390000000{number}", source="test", at=AT)
            put(person.pk, b"\x01broken")
    for person in people:
        with pytest.raises(Unsealable), brand_scope(ours.brand.pk):
            Member.objects.get(pk=person.pk).phone  # noqa: B018
    assert len(told(ours)) == 1
