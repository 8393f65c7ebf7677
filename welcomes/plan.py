"""The steps of a sequence and what is done now for one person: pure, so that preview and engine are the same."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from django.utils.translation import gettext as _

from wechat_gateway import windows

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

LASTS: Final = timedelta(hours=48)
MOST_STEPS: Final = 6
MAX_BYTES: Final = 2048  # reference: service account 5.9
SPACING: Final = timedelta(seconds=15)  # between two of our messages to one person
AFTER_ACT: Final = timedelta(seconds=5)  # what answers an act comes first

# Why a step was skipped, or a sequence ended for somebody (labels: `reason`).
JOINED: Final = "JOINED"
ACTED: Final = "ACTED"
PERSON: Final = "PERSON"
LEFT: Final = "LEFT"
OPTED_OUT: Final = "OPTED_OUT"
OFF: Final = "OFF"
TIME: Final = "TIME"
NO_TAG: Final = "NO_TAG"
CLOSED: Final = "CLOSED"


def reason(key: str) -> str:
    """Give a reason in words."""
    words = {
        JOINED: _("became a member"),
        ACTED: _("wrote or tapped by themselves"),
        PERSON: _("talks with a person"),
        LEFT: _("stopped following"),
        OPTED_OUT: _("has opted out of marketing"),
        OFF: _("the sequence was turned off"),
        TIME: _("48 hours are over"),
        NO_TAG: _("does not have the tag"),
        CLOSED: _("nothing they did allowed a message"),
    }
    return words.get(key, key)


@dataclass(frozen=True)
class Step:
    """One message: when after the follow at the earliest, for whom, and whether it waits for an act that allows it."""

    key: str
    after: timedelta
    text: str
    unless_joined: bool = True
    unless_acted: bool = False
    tag_id: int | None = None
    waits: bool = True


@dataclass(frozen=True)
class Fault:
    """Something wrong with step `number` (from 1; 0 for all of them)."""

    number: int
    field: str
    message: str


@dataclass(frozen=True)
class Facts:
    """What is known of one person now. `left` is how many messages their own acts allow."""

    followed_at: datetime
    left: int
    done: frozenset[str] = frozenset()
    joined: bool = False
    acted: bool = False
    tag_ids: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Decision:
    """What is done now: steps skipped for good, one that is sent, and when to look again (None: at an act)."""

    skipped: tuple[tuple[str, str], ...] = ()
    send: Step | None = None
    look_at: datetime | None = None


def read_steps(rows: Iterable[dict[str, Any]]) -> tuple[Step, ...]:
    """Read stored steps, in the order in which they are due."""
    steps = [
        Step(
            key=str(row.get("key", "")),
            after=timedelta(seconds=int(row.get("after", 0))),
            text=str(row.get("text", "")),
            unless_joined=bool(row.get("unless_joined", True)),
            unless_acted=bool(row.get("unless_acted", False)),
            tag_id=row.get("tag_id"),
            waits=bool(row.get("waits", True)),
        )
        for row in rows
    ]
    return tuple(sorted(steps, key=lambda step: step.after))


def written(step: Step) -> dict[str, Any]:
    """Give a step as it is stored."""
    return {
        "key": step.key,
        "after": int(step.after.total_seconds()),
        "text": step.text,
        "unless_joined": step.unless_joined,
        "unless_acted": step.unless_acted,
        "tag_id": step.tag_id,
        "waits": step.waits,
    }


def faults(steps: Sequence[Step], *, at: datetime) -> list[Fault]:
    """Give everything that keeps a sequence from being turned on."""
    if not steps:
        return [Fault(0, "text", _("A sequence needs at least one step."))]
    found = []
    for number, step in enumerate(steps, 1):
        if not step.text.strip():
            found.append(Fault(number, "text", _("Write what is said.")))
        elif len(step.text.encode()) > MAX_BYTES:
            found.append(Fault(number, "text", _("The text is too long: at most 2,048 bytes, about 600 characters.")))
        if not timedelta() <= step.after < LASTS:
            found.append(Fault(number, "after", _("A step comes within 48 hours after the follow.")))
    most = _messages(windows.Act.FOLLOW, at)
    if sum(needs_no_act(step, at=at) for step in steps) > most:
        text = _("Following allows only %(count)s messages within one minute: let the others come later.")
        found.append(Fault(0, "after", text % {"count": most}))
    return found


def needs_no_act(step: Step, *, at: datetime) -> bool:
    """Say whether following alone allows a step; later ones need a message or tap of the person."""
    return step.after < next(rule.lasts for rule in windows.rules_at(at) if rule.act == windows.Act.FOLLOW)


def decide(steps: Sequence[Step], facts: Facts, *, at: datetime) -> Decision:
    """Say what is done now for one person: never more than one message, never one that is not allowed."""
    skipped: list[tuple[str, str]] = []
    waiting = [step for step in steps if step.key not in facts.done]
    for number, step in enumerate(waiting):
        if facts.followed_at + step.after > at:
            return Decision(tuple(skipped), None, facts.followed_at + step.after)
        why = _unfit(step, facts)
        if not why and not facts.left:
            if step.waits:
                return Decision(tuple(skipped))
            why = CLOSED
        if why:
            skipped.append((step.key, why))
            continue
        rest = waiting[number + 1 :]
        later = max(at + SPACING, facts.followed_at + rest[0].after) if rest else None
        return Decision(tuple(skipped), step, later)
    return Decision(tuple(skipped))


def in_control(*, sequence_id: int, follower_id: int, percent: int) -> bool:
    """Say whether somebody belongs to the control group: always the same, and by chance alone."""
    digest = blake2b(f"{sequence_id}:{follower_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) % 10_000 < percent * 100


def remaining(steps: Sequence[Step], done: Collection[str]) -> list[str]:
    """Give the keys of steps that have not been settled."""
    return [step.key for step in steps if step.key not in done]


def _unfit(step: Step, facts: Facts) -> str:
    if step.unless_joined and facts.joined:
        return JOINED
    if step.unless_acted and facts.acted:
        return ACTED
    if step.tag_id is not None and step.tag_id not in facts.tag_ids:
        return NO_TAG
    return ""


def _messages(act: windows.Act, at: datetime) -> int:
    return next(rule.messages for rule in windows.rules_at(at) if rule.act == act)
