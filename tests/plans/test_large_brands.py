"""What is opened all day over a large brand is read from an index alone, or from the few rows an index names."""

from django.test import Client

from accounts.tenancy import brand_scope
from members.selectors import find_members
from tests.factories import make_staff
from tests.plans.test_plans import _nodes, viewer, watch

__all__ = ["watch"]


def indexes(watch):
    return {
        (node["Index Name"], node["Node Type"])
        for _sql, plan in watch.seen
        for node in _nodes(plan)
        if "Index Name" in node
    }


def test_home_counts_people_without_reading_them(brand, watch):
    with brand_scope(brand.pk):
        staff = make_staff("owner", "OWNER")
    client = Client()
    client.force_login(staff, backend="django.contrib.auth.backends.ModelBackend")

    assert client.get(f"/b/{brand.slug}/").status_code == 200

    found = indexes(watch)
    assert ("following_since", "Index Only Scan") in found
    assert ("people_by_joining", "Index Only Scan") in found


def test_end_of_an_openid_has_its_index(in_brand, watch):
    watch.seen.clear()

    find_members(viewer(in_brand), "x7Kd92")

    assert "openid_by_its_end" in {name for name, _kind in indexes(watch)}
