"""A full phone number finds its person: for roles that may see one, a few times a day, written down each time."""

import pytest

from accounts.models import AuditEntry
from accounts.roles import CAPABILITIES
from accounts.tenancy import brand_scope
from campaigns.models import Campaign
from members.models import AccessEntry
from members.services import bind_phone
from tests.factories import AT, make_member, make_staff

pytestmark = pytest.mark.django_db
PHONE = "13900008321"
LIST = "/b/lanyu/members/member/"
SEARCHES = (LIST + "?q=", "/b/lanyu/search/?s=", "/b/lanyu/members/follower/?q=")


@pytest.fixture
def caller(ours, theirs):
    """The same phone is known to another brand too."""
    with brand_scope(theirs.brand.pk):
        bind_phone(member=theirs.member, number=PHONE, source="test", at=AT)
    with brand_scope(ours.brand.pk):
        member = make_member(ours.account, name="澜来电人")
        bind_phone(member=member, number=PHONE, source="test", at=AT)
        return member


def body(client, path, text):
    answer = client.get(path + text, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def looked_up(ours):
    with brand_scope(ours.brand.pk):
        found = AuditEntry.objects.filter(action="look up phone").order_by("pk")
        return [(row.object_type, row.object_id) for row in found]


@pytest.mark.parametrize("path", SEARCHES)
@pytest.mark.parametrize("typed", [PHONE, "139 0000 8321", "%2B86 139-0000-8321"])
def test_full_phone_finds_its_person_and_is_written_down_once(as_owner, ours, caller, path, typed):
    assert caller.name in body(as_owner, path, typed)

    assert looked_up(ours) == [("members.member", str(caller.pk))]
    with brand_scope(ours.brand.pk):
        assert list(AccessEntry.objects.values_list("member_id", "page")) == [(caller.pk, "phone")]
        entry = AuditEntry.objects.get(action="look up phone")
        assert PHONE not in f"{entry.object_label}{entry.changes}{entry.reason}"


def test_look_up_that_finds_nobody_is_written_down_and_part_of_a_number_is_none(as_owner, ours, caller):
    assert caller.name not in body(as_owner, LIST + "?q=", "13900008322")
    assert looked_up(ours) == [("accounts.brand", str(ours.brand.pk))]
    assert caller.name in body(as_owner, LIST + "?q=", "8321")
    assert caller.name not in body(as_owner, LIST + "?q=", PHONE[:-1])
    assert len(looked_up(ours)) == 1


@pytest.mark.parametrize("role", sorted(role for role, may in CAPABILITIES.items() if "members.reveal" not in may))
def test_roles_that_see_no_full_phone_find_nobody_and_are_told_nothing(client, ours, caller, role):
    with brand_scope(ours.brand.pk):
        staff = make_staff(f"x-{role.lower()}", role)
    client.force_login(staff, backend="django.contrib.auth.backends.ModelBackend")

    known, unknown = (
        client.get(f"{LIST}?q={phone}").content.decode().replace(phone, "") for phone in (PHONE, "13900008322")
    )
    assert caller.name not in known
    assert len(known) == len(unknown)
    assert looked_up(ours) == []


def test_it_goes_fifty_times_a_day_and_the_fifty_first_is_refused_in_words(as_owner, ours, caller, monkeypatch):
    monkeypatch.setattr("members.services.lookups.PER_DAY", 2)
    for _time in range(2):
        assert caller.name in body(as_owner, LIST + "?q=", PHONE)

    refused = as_owner.get(LIST + f"?q={PHONE}", follow=True)

    assert refused.redirect_chain
    assert "2" in str(next(iter(refused.context["messages"])))
    assert len(looked_up(ours)) == 2


TRIALS = (
    "/b/lanyu/conversations/replyrule/?try=几点&try_kind=KEYWORD&try_who=",
    "/b/lanyu/conversations/menu/?who=",
)
ROLES_WITHOUT = sorted(role for role, may in CAPABILITIES.items() if "members.reveal" not in may)
WHY = "不能按完整手机号查找"


def composed(client, campaign, typed):
    answer = client.post(f"/b/lanyu/campaigns/{campaign.pk}/recipients/", {"recipient": typed})
    assert answer.status_code == 200
    return answer.content.decode()


@pytest.fixture
def campaign(ours):
    with brand_scope(ours.brand.pk):
        return Campaign.objects.create(
            name="秋冬", account=ours.account, purpose="MARKETING", created_at=AT, updated_at=AT
        )


@pytest.mark.parametrize("path", TRIALS)
def test_what_one_person_sees_is_shown_by_their_full_phone_and_written_down(as_owner, ours, caller, path):
    assert caller.name in body(as_owner, path, PHONE)
    assert looked_up(ours) == [("members.member", str(caller.pk))]


def test_recipient_of_a_test_is_found_by_their_full_phone_and_written_down(as_owner, ours, caller, campaign):
    assert caller.name in composed(as_owner, campaign, PHONE)
    assert looked_up(ours) == [("members.member", str(caller.pk))]


@pytest.mark.parametrize("role", ROLES_WITHOUT)
def test_roles_that_see_no_full_phone_read_why_whoever_has_the_number(client, ours, caller, campaign, role):
    with brand_scope(ours.brand.pk):
        staff = make_staff(f"t-{role.lower()}", role)
    client.force_login(staff, backend="django.contrib.auth.backends.ModelBackend")
    may = CAPABILITIES[role]
    for path in TRIALS:
        if client.get(path + "0").status_code != 200:
            continue
        known, unknown = (body(client, path, phone).replace(phone, "") for phone in (PHONE, "13900008322"))
        assert caller.name not in known
        assert WHY in known
        assert len(known) == len(unknown)
    if "campaigns.edit" in may:
        assert caller.name not in composed(client, campaign, PHONE)
        assert WHY in composed(client, campaign, PHONE)
    assert looked_up(ours) == []


def test_fifty_first_look_up_says_so_beside_the_field_and_the_page_goes_on(
    as_owner, ours, caller, campaign, monkeypatch
):
    monkeypatch.setattr("members.services.lookups.PER_DAY", 1)
    assert caller.name in composed(as_owner, campaign, PHONE)
    for shown in (composed(as_owner, campaign, PHONE), *(body(as_owner, path, PHONE) for path in TRIALS)):
        assert caller.name not in shown
        assert "今天已按完整手机号查找 1 次" in shown
    assert len(looked_up(ours)) == 1
