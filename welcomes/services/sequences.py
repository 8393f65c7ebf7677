"""Writing a sequence and turning it on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import transaction

from accounts.services import record_audit
from touchpoints.models import SentBy
from touchpoints.services import page_that_counts
from welcomes.errors import SequenceInvalid
from welcomes.models import Sequence
from welcomes.plan import MINI, faults, read_steps

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

_AUDITED = ("name", "topic_id", "is_enabled", "control_percent", "ends_on_act", "steps", "quiet_from", "quiet_until")


@transaction.atomic
def save_sequence(*, sequence: Sequence, at: datetime, channels: Mapping[str, int] | None = None) -> Sequence:
    """Keep a sequence; whoever is under way goes on by it. Raises `SequenceInvalid` when it is on and cannot be.

    `channels` says for which channel whoever opens a step's mini program counts, by the step's key: its page then
    carries a short scene. Raises `NotInTree` for one that is not in use.
    """
    for step in sequence.steps:
        if step.get("key") in (channels or {}) and step.get("kind") == MINI:
            step["page"] = page_that_counts(
                page=str(step.get("page", "")),
                appid=str(step.get("appid", "")),
                touchpoint_id=(channels or {})[step["key"]],
                sent_by=SentBy.WELCOME,
                sender=sequence.name,
                at=at,
            )
    if sequence.is_enabled:
        for fault in faults(read_steps(sequence.steps), at=at):
            raise SequenceInvalid(fault.number, fault.message)
    before: dict[str, Any] = dict(Sequence.objects.filter(pk=sequence.pk).values(*_AUDITED).first() or {})
    sequence.updated_at = at
    sequence.save()
    after = {name: getattr(sequence, name) for name in _AUDITED}
    changes = {
        name: [_plain(before.get(name)), _plain(value)] for name, value in after.items() if before.get(name) != value
    }
    record_audit(action="change sequence" if before else "create sequence", obj=sequence, changes=changes)
    return sequence


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value
