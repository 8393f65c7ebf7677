"""Looking at unusually many people's data opens an incident."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.services import record_audit
from accounts.tenancy import brand_scope
from accounts.viewer import Viewer, viewing
from console.reveal import reveal
from members import services
from members.services import bind_phone
from members.services.access import MANY_REVEALED, TAKEN, UNUSUAL
from tests.factories import AT, make_account, make_member, make_staff
from wechat_gateway.models import Incident

pytestmark = pytest.mark.django_db


def viewer(brand, role):
    user = make_staff(f"{role.lower()}-a", role)
    return Viewer(user.pk, user.username, brand.pk, role)


@pytest.fixture
def member(in_brand):
    member = make_member(make_account())
    return bind_phone(member=member, number="13911112222", source="t", at=AT)


def test_many_revealed_phones_open_one_incident_for_one_person(in_brand, other_brand, member):
    owner, at = viewer(in_brand, "OWNER"), timezone.now()
    with viewing(owner):
        for _each in range(MANY_REVEALED):
            assert reveal(owner, member, "phone", reason="核实", at=at) == "+8613911112222"
        assert not Incident.objects.exists()
        for _each in range(3):
            reveal(owner, member, "phone", reason="核实", at=at)

    assert list(Incident.objects.values_list("kind", "subject")) == [(UNUSUAL, "owner-a")]


def test_many_exported_rows_open_an_incident_here_and_in_no_other_brand(db, brand, other_brand):
    for each, rows in ((brand, (3_000, 3_000)), (other_brand, (3_000,))):
        with brand_scope(each.pk):
            member, who, at = make_member(make_account()), viewer(each, "OWNER"), timezone.now()
            with viewing(who):
                for count in rows:
                    record_audit(action=TAKEN, obj=member, changes={"rows": [None, count]})
                    services.watch_access(viewer=who, at=at + timedelta(seconds=5))
            assert list(Incident.objects.values_list("kind", flat=True)) == ([UNUSUAL] if each == brand else [])
