"""Finding people: by what somebody has in hand, whom the viewer may see, and with an index for each thing."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.roles import Role
from accounts.tenancy import brand_scope
from accounts.viewer import Viewer
from members.models import Identity
from members.selectors import find_members
from tests.factories import AT, make_account, make_member

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
        assert [found(brand, text) for text in ("%", "一", "VIP", "VIP-9", "")] == [[]] * 5
        openid = Identity.objects.get(kind="OPENID", member__name="吴三").value
        Identity.objects.filter(value=openid).update(value="oTail_x7Kd92")
        assert found(brand, "x7Kd92") == ["吴三"]


def test_nothing_in_hand_makes_the_database_read_everybody(brand):
    """Row security lets only leakproof comparisons use an index: a name is a range, not a pattern."""
    with brand_scope(brand.pk):
        person(make_account(), 1, "陈一")
        with CaptureQueriesContext(connection) as seen:
            assert found(brand, "陈") == ["陈一"]
        asked = next(each["sql"] for each in seen if "陈%" in each["sql"])
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute(f"EXPLAIN {asked}")
            plan = [line for (line,) in cursor.fetchall()]
    conditions = [line for line in plan if "Index Cond" in line]
    assert any("name" in line and ">=" in line for line in conditions), plan
