"""Many rows in one statement: of the brand in scope, as they were given, found again by a column."""

from __future__ import annotations

import uuid

import pytest
from django.db import Error, connection, transaction

from accounts.bulk import insert_many
from accounts.tenancy import NoBrandInScope, brand_scope
from common.clock import now
from members.models import Identity, Member
from tests.factories import make_account, make_member

pytestmark = pytest.mark.django_db


def tie(member_ids, values):
    rows = {"member_id": member_ids, "value": values}
    return insert_many(
        Identity, rows, same={"kind": "CARD", "namespace": "", "source": "test", "since": now()}, by="value"
    )


def test_rows_belong_to_the_brand_in_scope_and_name_no_other_brands_rows(brand, other_brand):
    with brand_scope(other_brand.pk):
        theirs = make_member(make_account())
    with brand_scope(brand.pk):
        ours = make_member(make_account())
        made = tie([ours.pk, ours.pk], ["C-1", "C'2\\"])
        assert made == {each.value: each.pk for each in Identity.objects.filter(member=ours, kind="CARD")}
        assert set(made) == {"C-1", "C'2\\"}
        with pytest.raises(Error), transaction.atomic():
            tie([theirs.pk], ["C-3"])
            connection.check_constraints()
    with brand_scope(other_brand.pk):
        assert not Identity.objects.filter(kind="CARD").exists()


def test_without_a_brand_nothing_is_written():
    with pytest.raises(NoBrandInScope):
        insert_many(Member, {"public_id": [str(uuid.uuid4())]}, same={})
