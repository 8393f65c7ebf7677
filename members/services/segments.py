"""Saving segments, and counting them again so that no figure is older than it says."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import F, Q
from django.utils.translation import gettext_lazy

from accounts.services import record_audit
from accounts.tenancy import brand_scope, current_brand_id, reporting
from common.registry import Registry
from members import nesting
from members.errors import LimitInvalid, RuleInvalid, SegmentNameTaken
from members.freshness import LONGEST_LIMIT
from members.models import Freshness, Segment
from members.segments import compile_rule, matching
from members.services.membership import STALE, forget_people, keep_anew, rebuild_asking
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


@transaction.atomic
def save_segment(
    *,
    name: str,
    rule: dict[str, Any],
    at: datetime,
    segment: Segment | None = None,
    counted: int | None = None,
    freshness: str | None = None,
    limit_minutes: int | None = None,
) -> Segment:
    """Make or change a segment; without `freshness` and `limit_minutes` they stay as they are.

    Raises `RuleInvalid` for a rule that cannot be used (or asks for itself), `SegmentNameTaken`, `LimitInvalid`.
    """
    with nesting.entering(segment.pk) if segment else nullcontext():
        compile_rule(rule, at=at)
    row = Segment.objects.select_for_update().get(pk=segment.pk) if segment else Segment(created_at=at)
    before = {key: getattr(row, key) if segment else None for key in _KEPT}
    row.name, row.rule, row.updated_at = name, rule, at
    row.freshness = freshness or row.freshness
    row.limit_minutes = row.limit_minutes if limit_minutes is None else limit_minutes
    if row.freshness not in Freshness.values:
        raise LimitInvalid("freshness", LONGEST_LIMIT)
    if not 0 <= row.limit_minutes <= LONGEST_LIMIT // timedelta(minutes=1):
        raise LimitInvalid("limit_minutes", LONGEST_LIMIT)
    if counted is not None:
        row.counted, row.counted_at = counted, at
    changes = {key: [before[key], getattr(row, key)] for key in _KEPT if before[key] != getattr(row, key)}
    if {"rule", "freshness"} & set(changes):
        keep_anew(row, at=at)
    try:
        with transaction.atomic():
            row.save()
    except IntegrityError:
        raise SegmentNameTaken from None
    if segment is None:
        changes = {key: change for key, change in changes.items() if key in ("name", "rule") or change[1]}
    record_audit(action="change segment" if segment else "create segment", obj=row, changes=changes)
    if segment is not None:
        _after_change(row, changes, at)
    if "rule" in changes:
        for _key, listener in on_segment.items():
            listener(row)
    return row


_KEPT: Final = ("name", "rule", "freshness", "limit_minutes")


def _after_change(row: Segment, changes: dict[str, Any], at: datetime) -> None:
    if "rule" in changes:
        rebuild_asking(segment_id=row.pk, at=at)
    if row.freshness == Freshness.LIVE and "freshness" in changes:
        forget_people(segment=row)
    if {"name", "rule", "freshness"} & set(changes):  # what was wrong with it is looked at anew, under its new name
        for kind in (NOT_COUNTED, STALE):
            incidents.close_incident(kind=kind, subject=changes.get("name", [row.name])[0], at=at)


def recount_segments(brand_id: int, *, at: datetime) -> int:
    """Count again the segments whose figure is older than an hour; gives how many were counted. Kept ones count along.

    One that cannot be counted keeps its figure with its age and opens an incident, which ends with the next count.
    """
    with brand_scope(brand_id):
        old = Segment.objects.filter(
            Q(counted_at=None) | Q(counted_at__lte=at - COUNTED_EVERY), freshness=Freshness.LIVE
        )
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
