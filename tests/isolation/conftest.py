"""Two furnished brands, and people whose data scope is narrower than their role's pages."""

import pytest

from accounts.models import RoleGrant
from accounts.roles import DataScope, Role
from accounts.tenancy import brand_scope
from members.services import save_segment
from stores.models import StoreGrant
from tests.console.conftest import (  # noqa: F401 - fixtures of the console's tests serve here too
    as_guide,
    as_manager,
    as_marketer,
    as_owner,
    guide_user,
    manager,
    marketer,
    ours,
    owner,
    signed_in,
    theirs,
)
from tests.factories import AT, make_member, make_staff, make_store


@pytest.fixture
def far(ours):  # noqa: F811
    """A member of another store of the same brand."""
    with brand_scope(ours.brand.pk):
        store = make_store(code="BJ1", name="北京三里屯店")
        return make_member(ours.account, name="远方的人", store=store, phone_masked="139****0001", phone_tail="0001")


@pytest.fixture
def everybody(ours):  # noqa: F811
    with brand_scope(ours.brand.pk):
        return save_segment(name="全部", rule={"all": []}, at=AT)


def of_one_store(ours, role):  # noqa: F811
    """Somebody with a role whose data scope is one store."""
    with brand_scope(ours.brand.pk):
        user = make_staff(f"{role.lower()}-of-one-store", role, scope=DataScope.STORES)
        StoreGrant.objects.create(grant=RoleGrant.objects.get(staff_user=user), store=ours.store)
    return signed_in(user)


@pytest.fixture
def narrow_marketer(ours):  # noqa: F811
    return of_one_store(ours, Role.MARKETER)


@pytest.fixture
def narrow_analyst(ours):  # noqa: F811
    return of_one_store(ours, Role.ANALYST)
