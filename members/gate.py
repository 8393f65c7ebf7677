"""What anybody asks before writing to people by itself: who has refused, and whose quiet hours hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from members.choices import PERSONAL, QUIET, keys_for, refusal_of, topic_key
from members.models import OptOut, Purpose

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import time


@dataclass(frozen=True)
class Gate:
    """The answers for some people: who refuses the message, who refuses to be chosen, and whose hours are quiet.

    `control`: those of `refusing` who said nothing and stand on no list; the brand's control group holds them out.
    """

    refusing: frozenset[int] = frozenset()
    control: frozenset[int] = frozenset()
    objecting: frozenset[int] = frozenset()
    quiet: dict[int, tuple[time, time]] = field(default_factory=dict)


def gate_for(member_ids: Collection[int], *, purpose: str, topic_id: int | None = None, carrier: str = "") -> Gate:
    """Ask for some people at once, in one query. Service messages know neither objections nor quiet hours."""
    keys = keys_for(purpose=purpose, topic_id=topic_id, carrier=carrier)
    asked = [*keys, PERSONAL, QUIET] if purpose == Purpose.MARKETING else keys
    rows = OptOut.objects.filter(member_id__in=member_ids, purpose__in=asked).order_by("member_id", "pk")
    refusing, refused, objecting, quiet = set(), set(), set(), {}
    for row in rows:
        if row.purpose == PERSONAL:
            objecting.add(row.member_id)
        elif row.purpose != QUIET:
            refusing.add(row.member_id)
            if not row.is_control_alone:
                refused.add(row.member_id)
        elif row.quiet_from is not None and row.quiet_until is not None:
            quiet[row.member_id] = (row.quiet_from, row.quiet_until)
    return Gate(frozenset(refusing), frozenset(refusing - refused), frozenset(objecting), quiet)


def withheld_for(member_id: int, keys: Collection[str]) -> str:
    """Say why a message that was to ask for some choices is not for somebody now; "" when it is. One query.

    For what has waited between being decided and being sent.
    """
    if not keys:
        return ""
    rows = OptOut.objects.filter(member_id=member_id, purpose__in=list(keys)).order_by("purpose", "pk")
    refused = {row.purpose: row for row in rows}
    return next((refusal_of(key, refused[key]) for key in keys if key in refused), "")


def topics_refused(member_ids: Collection[int], topic_ids: Collection[int]) -> frozenset[tuple[int, int]]:
    """Give who has turned off which of some topics, in one query; none when there are no topics."""
    by_key = {topic_key(topic_id): topic_id for topic_id in topic_ids}
    if not by_key:
        return frozenset()
    rows = OptOut.objects.filter(member_id__in=member_ids, purpose__in=list(by_key)).order_by()
    return frozenset((member_id, by_key[key]) for member_id, key in rows.values_list("member_id", "purpose"))
