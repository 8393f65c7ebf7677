"""What is opened all day over a large brand is read from an index alone, or from the few rows an index names."""

import re

from django.db import connection
from django.db.models import Q
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.tenancy import brand_scope
from members.models import Follower, Identity, Member
from members.selectors import find_members
from tests.factories import make_staff
from tests.plans.test_plans import viewer, watch

__all__ = ["watch"]


def held(model, name):
    """Give the columns an index holds, or has settled by its condition."""
    index = next(each for each in model._meta.indexes if each.name == name)
    fields = [*index.fields, *(key.partition("__")[0] for key, _value in index.condition.children)]
    return {model._meta.get_field(field).column for field in fields}


def test_home_counts_people_by_what_an_index_holds(brand):
    with brand_scope(brand.pk):
        staff = make_staff("owner", "OWNER")
    client = Client()
    client.force_login(staff, backend="django.contrib.auth.backends.ModelBackend")

    with CaptureQueriesContext(connection) as seen:
        assert client.get(f"/b/{brand.slug}/").status_code == 200

    counts = [each["sql"] for each in seen if ' AS "today"' in each["sql"] and "COUNT(" in each["sql"]]
    for model, name in ((Follower, "following_since"), (Member, "present_by_joining")):
        table = model._meta.db_table
        named = [set(re.findall(rf'"{table}"\."(\w+)"', sql)) for sql in counts if f'FROM "{table}"' in sql]
        assert len(named) == 1, table
        assert named[0] <= held(model, name), table


def test_end_of_an_openid_has_its_index(in_brand, watch):
    watch.seen.clear()

    find_members(viewer(in_brand), "x7Kd92")

    # As an index over few rows the plan would vary; what it is asked for is what the index holds, in its order.
    (asked,) = [sql for sql, _plan in watch.seen if "REVERSE(" in sql]
    turned = 'REVERSE("members_identity"."value")'
    assert f"{turned} >= " in asked
    assert f"{turned} < " in asked
    assert f'ORDER BY "members_identity"."brand_id" ASC, {turned}' in asked
    index = next(each for each in Identity._meta.indexes if each.name == "openid_by_its_end")
    assert [str(each) for each in index.expressions] == ["F(brand)", "Reverse(F(value))"]
    assert index.condition == Q(kind="OPENID", ended_at__isnull=True)
