"""An account made in one brand never becomes a way into another."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts.models import AuditEntry, RoleGrant, StaffUser
from accounts.tenancy import brand_scope

FORM = {"person": "小周", "password": "tea-and-rain-2025", "role": "MARKETER", "scope": "BRAND"}


def grants_of(brand, username):
    with brand_scope(brand.pk):
        return list(RoleGrant.objects.filter(staff_user__username=username).values_list("role", flat=True))


def test_an_account_another_brand_made_cannot_be_taken_over(as_owner, ours, theirs):
    planted = StaffUser.objects.create_user("xiaozhou", password="known-to-its-maker-1")
    page = as_owner.post("/b/lanyu/accounts/rolegrant/add/", {"username": "xiaozhou", **FORM})

    assert page.status_code == 200
    assert "username" in page.context["adminform"].form.errors
    assert grants_of(ours.brand, "xiaozhou") == []
    planted.refresh_from_db()
    assert planted.check_password("known-to-its-maker-1")


def test_who_runs_the_installation_can_give_an_account_a_second_brand(ours, theirs):
    StaffUser.objects.create_user("agency", password="made-by-the-platform-1")
    said = StringIO()
    for brand in (ours.brand, theirs.brand):
        call_command("grant_role", brand=brand.slug, user="agency", role="ANALYST", stdout=said)

    assert grants_of(ours.brand, "agency") == grants_of(theirs.brand, "agency") == ["ANALYST"]
    with brand_scope(ours.brand.pk):
        assert AuditEntry.objects.filter(action="grant role", actor_label="system").count() == 1


@pytest.mark.parametrize(("slug", "user"), [("nowhere", "agency"), ("lanyu", "nobody")])
def test_granting_to_nobody_or_nowhere_says_so(ours, slug, user):
    StaffUser.objects.create_user("agency")
    with pytest.raises(CommandError, match="There is no"):
        call_command("grant_role", brand=slug, user=user, role="ANALYST")
