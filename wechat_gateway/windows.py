"""How many customer-service messages a person's own acts allow, and until when (reference: service account 5.9).

Each kind of act allows a number of messages for a time; a new act of the same kind starts afresh. Allowances do not
add up: one message counts in every window that is open, so the largest remainder decides. Leaving ends all of them.
Pure: a `Ledger` and a moment in, an `Allowance` out. Ledgers are kept by `inbox.services.ledger`: whoever sends such a
message takes it from there first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from wechat_gateway.events import MESSAGE_KINDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wechat_gateway.events import Push


class Act(StrEnum):
    """What a person did."""

    MESSAGE = "message"
    MENU = "menu"
    FOLLOW = "follow"
    SCAN = "scan"
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class Rule:
    """What WeChat allows after an act, from a date on."""

    act: Act
    messages: int
    lasts: timedelta
    valid_from: date


# WeChat's numbers are data: a new rule is a new line with the date from which it holds.
RULES: Final[tuple[Rule, ...]] = (
    Rule(Act.MESSAGE, 5, timedelta(hours=48), date(2023, 6, 12)),
    Rule(Act.MENU, 3, timedelta(minutes=1), date(2023, 6, 12)),
    Rule(Act.FOLLOW, 3, timedelta(minutes=1), date(2023, 6, 12)),
    Rule(Act.SCAN, 3, timedelta(minutes=1), date(2023, 6, 12)),
)
# Only these buttons count as a menu tap: opening a page, a mini program or a picture does not.
MENU_TAPS: Final = frozenset({"CLICK", "scancode_push", "scancode_waitmsg"})
# The acts that open windows, in the order of the columns in which ledgers are stored.
OPENING: Final = (Act.MESSAGE, Act.MENU, Act.FOLLOW, Act.SCAN)
KEPT: Final = timedelta(hours=48)
CLOSED: Final = 45015
USED_UP: Final = 45047


@dataclass(frozen=True, slots=True)
class Ledger:
    """The newest act of each kind, and when something was sent."""

    message_at: datetime | None = None
    menu_at: datetime | None = None
    follow_at: datetime | None = None
    scan_at: datetime | None = None
    left_at: datetime | None = None
    sends: tuple[datetime, ...] = ()

    def when(self, act: Act) -> datetime | None:
        """Give when an act last happened."""
        moment: datetime | None = getattr(self, f"{act}_at")
        return moment

    def acted(self, act: Act, at: datetime) -> Ledger:
        """Give the ledger after an act; an older one than is known changes nothing."""
        known = self.when(act)
        if known is not None and known >= at:
            return self
        changed: dict[str, Any] = {f"{act}_at": at}
        return replace(self, **changed)

    def sent(self, at: datetime) -> Ledger:
        """Give the ledger after a message of ours; what is too old to count is forgotten."""
        return replace(self, sends=(*(each for each in self.sends if each > at - KEPT), at))

    def refused(self, code: int, at: datetime) -> Ledger:
        """Give the ledger as WeChat's refusal shows it: nothing is open (45015), or all that is open is used (45047).

        WeChat knows better: there was a send by another system, or an act that we never heard of did not count.
        """
        if code == CLOSED:
            return self.acted(Act.LEFT, at)
        ledger, rules = self, rules_at(at)
        for _ in range(max(rule.messages for rule in rules)):
            if not allowance(ledger, at, rules).open:
                break
            ledger = ledger.sent(at)
        return ledger

    def taken_back(self, at: datetime) -> Ledger:
        """Give the ledger without a message that did not leave after all."""
        sends = list(self.sends)
        if at in sends:
            sends.remove(at)
        return replace(self, sends=tuple(sends))


@dataclass(frozen=True, slots=True)
class Window:
    """An open window: from which act, how many messages it allows, how many are left, until when."""

    act: Act
    messages: int
    left: int
    until: datetime


@dataclass(frozen=True, slots=True)
class Allowance:
    """What may be sent at a moment: `left` messages, the last of them until `until`.

    `messages` is what the window that decides allowed at first. `refusal` is the code WeChat would answer with: 45015
    when no window is open, 45047 when one is but used up, 0 when a message may go.
    """

    left: int
    messages: int
    until: datetime | None
    windows: tuple[Window, ...] = ()
    refusal: int = 0

    @property
    def open(self) -> bool:
        """Say whether a message may go now."""
        return self.left > 0


def act_of(push: Push) -> Act | None:
    """Give the act that a push reports, None when it allows nothing."""
    if push.kind in MESSAGE_KINDS:
        return Act.MENU if push.menu_item_id else Act.MESSAGE  # a tap on a menu inside a message is a menu tap
    if push.kind in MENU_TAPS:
        return Act.MENU
    if push.kind == "subscribe":
        return Act.SCAN if push.scene else Act.FOLLOW
    return {"SCAN": Act.SCAN, "unsubscribe": Act.LEFT}.get(push.kind)


def rules_at(at: datetime) -> tuple[Rule, ...]:
    """Give the rules in force at a moment, one per act."""
    day = at.astimezone(UTC).date()
    found: dict[Act, Rule] = {}
    for rule in sorted(RULES, key=lambda each: each.valid_from):
        if rule.valid_from <= day:
            found[rule.act] = rule
    return tuple(found.values())


def allowance(ledger: Ledger, at: datetime, rules: Sequence[Rule] | None = None) -> Allowance:
    """Say what may be sent at a moment."""
    living = [
        window
        for rule in (rules_at(at) if rules is None else rules)
        if (window := _window(ledger, rule)) is not None and at < window.until
    ]
    usable = [window for window in living if window.left]
    if not usable:
        return Allowance(0, 0, None, tuple(living), USED_UP if living else CLOSED)
    # What can still be sent in all is the largest remainder; it ends with the window that has it.
    best = max(usable, key=lambda window: (window.left, window.until))
    return Allowance(best.left, best.messages, best.until, tuple(living))


def granted_by(push: Push) -> Rule | None:
    """Give what a push by itself allows; None when it opens no window."""
    act = act_of(push)
    return next((rule for rule in rules_at(push.event_at) if rule.act == act), None)


def spans(at: datetime) -> list[timedelta]:
    """Give how long each act of `OPENING` lets us write, in that order."""
    lasts = {rule.act: rule.lasts for rule in rules_at(at)}
    return [lasts.get(act, timedelta()) for act in OPENING]


def open_until(ledger: Ledger, at: datetime, rules: Sequence[Rule] | None = None) -> datetime | None:
    """Say until when at least one message may be sent, if nothing else happens."""
    ends = [
        window.until
        for rule in (rules_at(at) if rules is None else rules)
        if (window := _window(ledger, rule)) is not None and window.left and at < window.until
    ]
    return max(ends, default=None)


def _window(ledger: Ledger, rule: Rule) -> Window | None:
    since = ledger.when(rule.act)
    if since is None or (ledger.left_at is not None and ledger.left_at >= since):
        return None
    until = since + rule.lasts
    used = sum(since <= moment < until for moment in ledger.sends)
    return Window(rule.act, rule.messages, max(0, rule.messages - used), until)
