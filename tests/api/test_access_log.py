"""Who read whom over the API: one line for each key, person, address and hour."""

import uuid

import pytest

from accounts.tenancy import brand_scope
from members.models import AccessEntry, Member
from tests.factories import AT

pytestmark = pytest.mark.django_db


def test_system_that_reads_a_person_leaves_a_line_and_the_person_none(a, b):
    with brand_scope(a.brand.pk):
        Member.objects.create(public_id=uuid.uuid4(), member_no="90001", merged_into=a.member, created_at=AT)
    system = a.key("members.read", "points.read")
    for number in (a.member.member_no, "90001"):
        for _twice in range(2):
            assert system.get(f"/members/{number}/").status_code == 200
    assert system.get(f"/members/{a.member.member_no}/points/ledger/").status_code == 200
    assert system.get("/members/", member_no=a.member.member_no).status_code == 200
    assert system.get("/members/", phone="13800138000").status_code == 200
    assert system.get("/members/").status_code == 200  # a list is no look at a person
    assert system.get(f"/members/{b.member.member_no}/").status_code == 404
    assert a.me.get("/me/").status_code == 200

    with brand_scope(a.brand.pk):
        rows = AccessEntry.objects.order_by("pk").values_list("actor_label", "member_id", "page", "via")
        assert list(rows) == [
            ("shop system", a.member.pk, "api:", "api"),
            ("shop system", a.member.pk, "api:points/ledger/", "api"),
        ]
    with brand_scope(b.brand.pk):
        assert not AccessEntry.objects.exists()
