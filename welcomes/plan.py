"""The steps of a sequence and what is done now for one person: pure, so that preview and engine are the same."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

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
IN_CONTROL: Final = "IN_CONTROL"
OFF: Final = "OFF"
TIME: Final = "TIME"
NO_TAG: Final = "NO_TAG"
CLOSED: Final = "CLOSED"
QUIET: Final = "QUIET"
NOT_CHOSEN: Final = "NOT_CHOSEN"
OFF_TOPIC: Final = "OFF_TOPIC"

# Why a step that was handed over did not leave after all.
WITHHELD: Final = (OPTED_OUT, IN_CONTROL, OFF_TOPIC, NOT_CHOSEN)

# What a step sends.
TEXT: Final = "TEXT"
IMAGE: Final = "IMAGE"
MINI: Final = "MINI"


def reason(key: str) -> str:
    """Give a reason in words."""
    words = {
        JOINED: _("became a member"),
        ACTED: _("wrote or tapped by themselves"),
        PERSON: _("talks with a person"),
        LEFT: _("stopped following"),
        OPTED_OUT: _("wants no marketing, or not by this way"),
        IN_CONTROL: _("in the brand's control group, which gets no marketing"),
        OFF: _("the sequence was turned off"),
        TIME: _("48 hours are over"),
        NO_TAG: _("does not have the tag"),
        CLOSED: _("nothing they did allowed a message"),
        NOT_CHOSEN: _("does not want messages that are chosen for them"),
        OFF_TOPIC: _("has turned off the topic of the sequence"),
        QUIET: _("quiet hours until the 48 hours were over"),
    }
    return words.get(key, key)


@dataclass(frozen=True)
class Step:
    """One message: when after the follow at the earliest, for whom, and whether it waits for an act that allows it.

    `kind` is TEXT, IMAGE (the library's file `item`) or MINI (a card of a mini program: title, AppID, page and cover).
    """

    key: str
    after: timedelta
    text: str
    unless_joined: bool = True
    unless_acted: bool = False
    tag_id: int | None = None
    waits: bool = True
    kind: str = TEXT
    item: int | None = None
    title: str = ""
    appid: str = ""
    page: str = ""


@dataclass(frozen=True)
class Quiet:
    """Hours of the day, in the brand's zone, in which nobody is written to; they may go over midnight."""

    begins: time
    ends: time
    zone: ZoneInfo

    def over_at(self, at: datetime) -> datetime | None:
        """Give when the quiet hours that hold now are over; None outside of them."""
        local = at.astimezone(self.zone)
        now = local.time().replace(tzinfo=None)
        over_midnight = self.begins > self.ends
        begun, ended = now >= self.begins, now >= self.ends
        if not (begun or not ended if over_midnight else begun and not ended):
            return None
        day = local.date() + timedelta(days=int(over_midnight and begun))
        return datetime.combine(day, self.ends, self.zone)


@dataclass(frozen=True)
class Hours:
    """Several quiet hours at once, the brand's and a person's own: nobody is written to while any of them holds."""

    each: tuple[Quiet, ...]

    def over_at(self, at: datetime) -> datetime | None:
        """Give when the last of those that hold now is over; None outside of all."""
        moment = at
        for _again in range(2 * len(self.each)):
            ends = [end for quiet in self.each if (end := quiet.over_at(moment)) is not None]
            if not ends:
                break
            moment = max(ends)
        return moment if moment > at else None


@dataclass(frozen=True)
class Fault:
    """Something wrong with step `number` (from 1; 0 for all of them)."""

    number: int
    field: str
    message: str


@dataclass(frozen=True)
class Facts:
    """What is known of one person now. `left` is how many messages their own acts allow.

    `objects`: they want nothing that is chosen by what they are (PIPL 24), such as a step for a tag.
    """

    followed_at: datetime
    left: int
    done: frozenset[str] = frozenset()
    joined: bool = False
    acted: bool = False
    tag_ids: frozenset[int] = frozenset()
    objects: bool = False


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
            kind=str(row.get("kind", TEXT)),
            item=row.get("item"),
            title=str(row.get("title", "")),
            appid=str(row.get("appid", "")),
            page=str(row.get("page", "")),
        )
        for row in rows
    ]
    return tuple(sorted(steps, key=lambda step: step.after))


def written(step: Step) -> dict[str, Any]:
    """Give a step as it is stored."""
    sent: dict[str, Any] = {}
    if step.kind != TEXT:
        sent = {"kind": step.kind, "item": step.item}
    if step.kind == MINI:
        sent |= {"title": step.title, "appid": step.appid, "page": step.page}
    return {
        "key": step.key,
        "after": int(step.after.total_seconds()),
        "text": step.text,
        "unless_joined": step.unless_joined,
        "unless_acted": step.unless_acted,
        "tag_id": step.tag_id,
        "waits": step.waits,
        **sent,
    }


def faults(steps: Sequence[Step], *, at: datetime) -> list[Fault]:
    """Give everything that keeps a sequence from being turned on."""
    if not steps:
        return [Fault(0, "text", _("A sequence needs at least one step."))]
    found = []
    for number, step in enumerate(steps, 1):
        found += [Fault(number, field, message) for field, message in _wrong(step)]
        if not timedelta() <= step.after < LASTS:
            found.append(Fault(number, "after", _("A step comes within 48 hours after the follow.")))
    most = _messages(windows.Act.FOLLOW, at)
    if sum(needs_no_act(step, at=at) for step in steps) > most:
        text = _("Following allows only %(count)s messages within one minute: let the others come later.")
        found.append(Fault(0, "after", text % {"count": most}))
    return found


def _wrong(step: Step) -> list[tuple[str, str]]:
    """Give what is missing or wrong in what a step sends, by field."""
    found = []
    if step.kind == TEXT:
        if not step.text.strip():
            found.append(("text", _("Write what is said.")))
        elif len(step.text.encode()) > MAX_BYTES:
            found.append(("text", _("The text is too long: at most 2,048 bytes, about 600 characters.")))
    elif step.item is None:
        found.append(("item", _("Choose a picture of the library.")))
    if step.kind == MINI:
        if not step.title.strip():
            found.append(("title", _("Give the card a title.")))
        if not step.appid:
            found.append(("appid", _("Choose a mini program.")))
        if not step.page or step.page.startswith("/") or "://" in step.page or " " in step.page:
            found.append(("page", _("A page looks like pages/home/index, without “/” in front and without blanks.")))
    return found


def needs_no_act(step: Step, *, at: datetime) -> bool:
    """Say whether following alone allows a step; later ones need a message or tap of the person."""
    return step.after < next(rule.lasts for rule in windows.rules_at(at) if rule.act == windows.Act.FOLLOW)


def decide(steps: Sequence[Step], facts: Facts, *, at: datetime, quiet: Quiet | Hours | None = None) -> Decision:
    """Say what is done now for one person: never more than one message, never one that is not allowed.

    In quiet hours a message moves to their end, or is skipped where the 48 hours are over by then. What following alone
    allows answers the follow, and comes at any time.
    """
    resting = quiet.over_at(at) if quiet else None
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
        if not why and resting is not None and not needs_no_act(step, at=at):
            if resting < facts.followed_at + LASTS:
                return Decision(tuple(skipped), None, resting)
            why = QUIET
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
    if step.tag_id is not None and facts.objects:
        return NOT_CHOSEN
    if step.tag_id is not None and step.tag_id not in facts.tag_ids:
        return NO_TAG
    return ""


def _messages(act: windows.Act, at: datetime) -> int:
    return next(rule.messages for rule in windows.rules_at(at) if rule.act == act)
