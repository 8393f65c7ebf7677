"""Saving segments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, transaction

from accounts.services import record_audit
from common.registry import Registry
from members.errors import SegmentNameTaken
from members.models import Segment
from members.segments import compile_rule

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

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
