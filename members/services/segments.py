"""Saving segments, and counting them again so that no figure is older than it says."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import F, Q
from django.utils.translation import gettext_lazy

from accounts.services import record_audit
from accounts.tenancy import brand_scope, current_brand_id, reporting
from common.registry import Registry
from members.errors import RuleInvalid, SegmentNameTaken
from members.models import Segment
from members.segments import compile_rule, matching
from wechat_gateway import incidents

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

logger = logging.getLogger(__name__)

COUNTED_EVERY: Final = timedelta(hours=1)
AT_ONCE: Final = 50
NOT_COUNTED: Final = "members.segments"

incidents.kinds.register(
    NOT_COUNTED,
    incidents.Kind(
        gettext_lazy("The segment “%(subject)s” can no longer be counted"),
        gettext_lazy("Its figure is as old as the page says. Campaigns to it do not start."),
        cause=gettext_lazy("Its rule names a tag, a store or a condition that is gone, or takes too long."),
        action=gettext_lazy("Open the segment, correct the marked place and save it."),
    ),
)

# What apps above do when a segment has another rule: callable(segment), in the transaction that saves it.
on_segment: Registry[Callable[[Segment], None]] = Registry(
    "segment listeners", purpose="what a changed segment sets off"
)


def save_segment(
    *,
    name: str,
    rule: dict[str, Any],
    at: datetime,
    segment: Segment | None = None,
    counted: int | None = None,
) -> Segment:
    """Make or change a segment. Raises `RuleInvalid` for a rule that cannot be used, `SegmentNameTaken`."""
    compile_rule(rule, at=at)
    before = {"name": segment.name, "rule": segment.rule} if segment else {"name": None, "rule": None}
    row = segment or Segment(created_at=at)
    row.name, row.rule, row.updated_at = name, rule, at
    if counted is not None:
        row.counted, row.counted_at = counted, at
    try:
        with transaction.atomic():
            row.save()
    except IntegrityError:
        raise SegmentNameTaken from None
    changes = {key: [before[key], getattr(row, key)] for key in before if before[key] != getattr(row, key)}
    record_audit(action="change segment" if segment else "create segment", obj=row, changes=changes)
    if "rule" in changes:
        for _key, listener in on_segment.items():
            listener(row)
    return row


def recount_segments(brand_id: int, *, at: datetime) -> int:
    """Count again the segments whose figure is older than an hour; gives how many were counted.

    One that cannot be counted keeps its figure with its age and opens an incident, which ends with the next count.
    """
    with brand_scope(brand_id):
        old = Segment.objects.filter(Q(counted_at=None) | Q(counted_at__lte=at - COUNTED_EVERY))
        due = list(old.order_by(F("counted_at").asc(nulls_first=True), "pk")[:AT_ONCE])
    counted = 0
    for segment in due:
        with brand_scope(brand_id):
            counted += _recount(segment, at)
    return counted


def _recount(segment: Segment, at: datetime) -> bool:
    try:
        with transaction.atomic(), reporting(current_brand_id()):
            people = matching(segment.rule, at=at).count()
    except RuleInvalid as error:
        incidents.open_incident(kind=NOT_COUNTED, subject=segment.name, detail=error.message, at=at)
        return False
    except DatabaseError:
        logger.exception("segment %s was not counted", segment.pk)
        incidents.open_incident(kind=NOT_COUNTED, subject=segment.name, at=at)
        return False
    # Whoever saved it meanwhile has counted another rule.
    Segment.objects.filter(pk=segment.pk, updated_at=segment.updated_at).update(counted=people, counted_at=at)
    incidents.close_incident(kind=NOT_COUNTED, subject=segment.name, at=at)
    return True
