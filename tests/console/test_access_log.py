"""Who saw what: each page about a person, in the console and over the API, leaves one line an hour."""

from datetime import timedelta

import pytest
from django.db import DatabaseError, transaction

from accounts.models import ApiKey
from accounts.services import issue_api_key
from accounts.tenancy import brand_scope
from accounts.viewer import Viewer, viewing
from members import services
from members.models import AccessEntry
from members.retention import classes
from tests.factories import AT, make_account, make_member, make_staff

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def lines(**wanted):
    return list(AccessEntry.objects.filter(**wanted).order_by("pk").values_list("actor_label", "member_id", "page"))


def a_viewer(brand, name="lin"):
    return Viewer(make_staff(name, "OWNER").pk, name, brand.pk, "OWNER")


@pytest.fixture
def member(in_brand):
    return make_member(make_account(), name="陈子涵")


def test_somebody_looking_again_within_the_hour_leaves_one_line(in_brand, member):
    with viewing(a_viewer(in_brand)):
        for minutes in (0, 1, 59):
            services.note_opened(member_id=member.pk, page="card", at=AT.replace(minute=minutes))
        services.note_opened(member_id=member.pk, page="privacy", at=AT)
        services.note_opened(member_id=member.pk, page="card", at=AT + HOUR)
    services.note_opened(member_id=member.pk, page="card", at=AT)  # a worker: nobody looks

    assert lines() == [("lin", member.pk, "card"), ("lin", member.pk, "privacy"), ("lin", member.pk, "card")]
    with pytest.raises(KeyError), viewing(a_viewer(in_brand, "wu")):
        services.note_opened(member_id=member.pk, page="nowhere", at=AT)


@pytest.mark.parametrize(
    ("path", "page"),
    [
        ("members/member/{}/change/", "card"),
        ("members/member/{}/history/", "history"),
        ("members/identity/{}/", "identity"),
        ("members/privacy/{}/", "privacy"),
        ("members/decisions/{}/", "decisions"),
        ("members/flags/{}/", "flags"),
        ("members/profile/{}/", "profile"),
        ("loyalty/member/{}/", "points"),
        ("coupons/member/{}/", "coupons"),
    ],
)
def test_every_page_about_a_person_leaves_a_line(as_owner, ours, path, page):
    assert as_owner.get(f"/b/lanyu/{path.format(ours.member.pk)}").status_code == 200
    assert as_owner.get("/b/lanyu/members/member/").status_code == 200  # a list is none

    with brand_scope(ours.brand.pk):
        assert [(member, what) for _who, member, what in lines()] == [(ours.member.pk, page)]


def test_page_that_is_refused_leaves_no_line(as_owner, ours, theirs):
    assert as_owner.get(f"/b/lanyu/members/member/{theirs.member.pk}/change/").status_code == 404

    for side in (ours, theirs):
        with brand_scope(side.brand.pk):
            assert not AccessEntry.objects.exists()


def test_log_is_searched_by_person_and_by_who_looked(as_owner, ours, theirs):
    with brand_scope(theirs.brand.pk), viewing(a_viewer(theirs.brand, "spy")):
        services.note_opened(member_id=theirs.member.pk, page="card", at=AT)
    with brand_scope(ours.brand.pk):
        lin, wu = a_viewer(ours.brand), a_viewer(ours.brand, "wu")
        other = make_member(ours.account, name="吴敏")
        key = ApiKey.objects.get(pk=issue_api_key(label="收银", scopes=["members.read"], at=AT)[0].pk)
        for who, whom in ((lin, ours.member), (wu, ours.member), (wu, other)):
            with viewing(who):
                services.note_opened(member_id=whom.pk, page="card", at=AT)
        with viewing(Viewer(None, "收银", ours.brand.pk, "", via="api")):
            services.note_read(member_no=other.member_no, page="points/", at=AT)
    here = "/b/lanyu/members/accessentry/"

    def shown(query):
        page = as_owner.get(f"{here}?{query}")
        assert page.status_code == 200
        return [(row.actor_label, row.member_id) for row in page.context["cl"].result_list][::-1]

    assert shown(f"q={ours.member.member_no}") == [("lin", ours.member.pk), ("wu", ours.member.pk)]
    assert shown(f"who={wu.staff_id}") == [("wu", ours.member.pk), ("wu", other.pk)]
    assert shown(f"who=key-{key.pk}") == [("收银", other.pk)]
    assert shown("who=nobody") == []
    assert shown(f"q={theirs.member.member_no}x") == []
    assert "spy" not in as_owner.get(here).content.decode()


@pytest.mark.parametrize(("role", "status"), [("AUDITOR", 200), ("MARKETER", 403), ("GUIDE", 403)])
def test_log_opens_for_those_who_see_the_audit_log(client, ours, role, status):
    with brand_scope(ours.brand.pk):
        staff = make_staff(f"{role.lower()}-x", role)
    client.force_login(staff, backend="django.contrib.auth.backends.ModelBackend")

    assert client.get("/b/lanyu/members/accessentry/").status_code == status
    card = client.get(f"/b/lanyu/members/member/{ours.member.pk}/change/").content.decode()
    assert ("accessentry" in card) == (status == 200)


def test_nothing_changes_or_deletes_a_line(in_brand, member):
    with viewing(a_viewer(in_brand)):
        services.note_opened(member_id=member.pk, page="card", at=AT)
    for act in (lambda: AccessEntry.objects.update(actor_label="x"), lambda: AccessEntry.objects.all().delete()):
        with pytest.raises(DatabaseError), transaction.atomic():
            act()


def test_erased_person_stays_in_the_log_without_a_name(as_owner, ours):
    as_owner.get(f"/b/lanyu/members/member/{ours.member.pk}/change/")
    with brand_scope(ours.brand.pk):
        proof = services.erase_member(member=ours.member, reason="x", at=AT)

    page = as_owner.get(f"/b/lanyu/members/accessentry/?q={ours.member.member_no}").content.decode()
    assert page.count(ours.member.member_no) > 1  # the box of the search says it once
    assert "没有" not in page.split("<tbody", 1)[-1]
    assert ours.member.name not in page
    (line,) = [each for each in proof["lines"] if each["table"] == "members.AccessEntry"]
    assert (line["fate"], line["before"], line["after"]) == ("KEPT", 1, 1)


def test_old_lines_go_and_those_of_half_a_year_stay_whoever_asks(in_brand, member):
    with viewing(a_viewer(in_brand)):
        for days in (0, 100, 200, 1_200):
            services.note_opened(member_id=member.pk, page="card", at=AT - timedelta(days=days))
    drop = classes.get("access").drop

    assert drop(AT - timedelta(days=1_095)) == 1
    assert drop(AT + timedelta(days=1)) == 1
    assert AccessEntry.objects.count() == 2
