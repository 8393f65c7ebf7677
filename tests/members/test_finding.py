"""Finding people: by what somebody has in hand, whom the viewer may see, and with an index for each thing."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.roles import Role
from accounts.tenancy import brand_scope, reporting
from accounts.viewer import Viewer
from members.models import Identity, Member
from members.selectors import find_members
from tests.factories import AT, make_account, make_member, make_staff

pytestmark = pytest.mark.django_db


def person(account, number, name, **fields):
    member = make_member(account, name=name, member_no=f"88{number:06d}", **fields)
    Identity.objects.create(member=member, kind="CARD", value=f"VIP-{number}", source="test", since=AT)
    return member


def found(brand, text, **more):
    viewer = Viewer(None, "", brand.pk, Role.OWNER)
    return [each.name for each in find_members(viewer, text, **more)]


def test_people_are_found_by_each_thing_in_hand_and_only_in_their_brand(brand, other_brand):
    with brand_scope(other_brand.pk):
        person(make_account(), 1, "陈别家", phone_tail="6721")
    with brand_scope(brand.pk):
        account = make_account()
        person(account, 1, "陈一", phone_tail="6721", last_interaction_at=AT)
        person(account, 2, "陈二", phone_tail="0042", last_interaction_at=AT + timedelta(days=1))
        person(account, 6721, "吴三", last_interaction_at=None)
        person(account, 4, "100%_的")
        assert found(brand, " 陈 ") == ["陈二", "陈一"]  # who was in contact last comes first
        assert found(brand, "陈", limit=1) == ["陈二"]
        assert found(brand, "6721") == ["陈一"]
        assert found(brand, "88000002") == ["陈二"]
        assert found(brand, "VIP-6721") == ["吴三"]
        assert found(brand, "100%") == ["100%_的"]
        Identity.objects.filter(value="VIP-4").update(namespace="till-2")
        assert found(brand, "VIP-4") == ["100%_的"]  # whoever issued the card
        assert [found(brand, text) for text in ("%", "一", "VIP", "VIP-9", "")] == [[]] * 5
        openid = Identity.objects.get(kind="OPENID", member__name="吴三").value
        Identity.objects.filter(value=openid).update(value="oTail_x7Kd92")
        assert found(brand, "x7Kd92") == ["吴三"]


@pytest.fixture
def others(brand):
    """So many people that their rows fill pages: of next to none every index is as good as the other."""
    with brand_scope(brand.pk):
        people = Member.objects.bulk_create(
            Member(name=f"赵{number}", member_no=f"99{number:06d}", public_id=uuid.uuid4(), created_at=AT)
            for number in range(4_000)
        )
        Identity.objects.bulk_create(
            Identity(member=each, kind="OPENID", namespace="wx0", value=f"oOther{each.pk}", source="test", since=AT)
            for each in people
        )


def plan_of(seen, part):
    """Give what the statement with a part of its text asks of indexes."""
    asked = next(each["sql"] for each in seen if part in each["sql"])
    with connection.cursor() as cursor:
        bare = cursor.cursor  # the reports role is sent nothing but statements of Django's
        bare.execute("SET LOCAL enable_seqscan = off")
        bare.execute(f"EXPLAIN {asked}")
        return [line for (line,) in bare.fetchall()]


def test_nothing_in_hand_makes_the_database_read_everybody(brand, others):
    """Row security lets only leakproof comparisons use an index: a name is a range, not a pattern."""
    with brand_scope(brand.pk):
        person(make_account(), 1, "陈一")
        with CaptureQueriesContext(connection) as seen:
            assert found(brand, "陈") == ["陈一"]
        plan = plan_of(seen, '"name" >= ')
    conditions = [line for line in plan if "Index Cond" in line]
    assert any("name" in line and ">=" in line for line in conditions), plan


def test_card_of_any_issuer_is_found_by_an_index(brand, others):
    with brand_scope(brand.pk):
        Identity.objects.filter(kind="OPENID", value__endswith="7").update(kind="CARD")
        with CaptureQueriesContext(connection) as seen:
            found(brand, "VIP-1")
        plan = plan_of(seen, "'CARD'")
    assert any("card_by_its_number" in line for line in plan), plan


def test_end_of_an_openid_is_read_backwards_from_an_index(brand, others):
    """Turned round its end is a beginning; row security would not let that index be used, the reports role may."""
    with brand_scope(brand.pk):
        person(make_account(), 1, "陈一")
        Identity.objects.filter(kind="OPENID", member__name="陈一").update(value="oTail_x7Kd92")
        with CaptureQueriesContext(connection) as seen:
            assert found(brand, "x7Kd92") == ["陈一"]
            assert found(brand, "X7Kd92") == []
        with reporting(brand.pk):
            plan = plan_of(seen, "REVERSE")
    assert any("openid_by_its_end" in line for line in plan), plan
    assert any("Index Cond" in line and "reverse" in line for line in plan), plan


def test_later_pages_of_lists_join_nothing(brand):
    """PostgreSQL would join everybody on the way to a page; how it walks there is in tests/plans/test_lists.py."""
    with brand_scope(brand.pk):
        account = make_account()
        for number in range(60):
            person(account, number, f"陈{number}")
        staff = make_staff("owner", "OWNER")
    client = Client()
    client.force_login(staff, backend="django.contrib.auth.backends.ModelBackend")

    asked = {}
    for kind in ("member", "follower"):
        with CaptureQueriesContext(connection) as seen:
            assert client.get(f"/b/{brand.slug}/members/{kind}/?p=2").status_code == 200
        asked[kind] = [each["sql"] for each in seen]

    for sent in asked.values():
        (page,) = [sql for sql in sent if "OFFSET 50" in sql]
        assert "JOIN" not in page
