"""What people bought, sent back and did, as it was reported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import BigIntegerField, OuterRef, Subquery, Sum

from loyalty.models import Fact

if TYPE_CHECKING:
    from django.db.models import QuerySet


def facts_of(member_id: int) -> QuerySet[Fact]:
    """Give what was reported of a person, each with `back` and `refunds`: how much was sent back of it, and by what."""
    refunds = Fact.objects.filter(refers=OuterRef("pk")).order_by().values("refers")
    return (
        Fact.objects.filter(member_id=member_id)
        .select_related("store", "refers")
        .annotate(
            back=Subquery(refunds.annotate(all=Sum("amount")).values("all"), output_field=BigIntegerField()),
            refunds=Subquery(refunds.annotate(all=ArrayAgg("number", order_by="pk")).values("all")),
        )
    )
