"""Purchases of earlier times, by the hundred: they count for tiers and segments and give no points."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loyalty.models import Fact, FactKind
from loyalty.services.facts import PURCHASED, body_of
from loyalty.services.tiers import refresh_tier
from members import services as member_services

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from loyalty.services.facts import Report


def record_history(*, reports: Sequence[Report], at: datetime) -> list[int]:
    """Keep purchases as facts without giving points; gives their keys in order.

    The caller has checked that their numbers are new and that their members are there.
    """
    rows = Fact.objects.bulk_create(
        [
            Fact(
                system=report.system,
                kind=FactKind.PURCHASE,
                number=report.number,
                fingerprint=report.asked(),
                member_id=report.member_id or 0,
                store_id=report.store_id,
                amount=report.amount,
                body=body_of(report),
                happened_at=report.happened_at,
                received_at=at,
            )
            for report in reports
        ],
        batch_size=1000,
    )
    people = sorted({report.member_id for report in reports if report.member_id is not None})
    member_services.note_fact(kind=PURCHASED, member_ids=people)
    for member_id in people:
        refresh_tier(member_id=member_id, at=at, is_news=False)
    return [row.pk for row in rows]
