"""When a campaign has to wait, and until when: WeChat's own answers win over our counting."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from campaigns import reasons
from wechat_gateway import quotas
from wechat_gateway.answers import Outcome
from wechat_gateway.errcodes import Reaction, explain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wechat_gateway.answers import Answer

PROBE_EVERY: Final = timedelta(minutes=5)
CREDENTIAL_EVERY: Final = timedelta(seconds=45)
MINUTE: Final = timedelta(seconds=60)
NETWORK_EVERY: Final = timedelta(seconds=10)
MANY: Final = 20
MANY_EVERY: Final = {reasons.MANY_UNKNOWN: PROBE_EVERY, reasons.WRONG_ACCOUNT: timedelta(hours=1)}
BURST_SECONDS: Final = 1.0
_ALWAYS: Final = (Reaction.PARK_UNTIL_RESET, Reaction.PARK_BRAND, Reaction.PAUSE_MINUTE)
_WHEN_NOBODY_SUCCEEDS: Final = (Reaction.REFRESH_TOKEN, Reaction.PARK_CAMPAIGN)
_WAITS: Final = {
    Reaction.PARK_BRAND: PROBE_EVERY,
    Reaction.PAUSE_MINUTE: MINUTE,
    Reaction.REFRESH_TOKEN: CREDENTIAL_EVERY,
    Reaction.PARK_CAMPAIGN: PROBE_EVERY,
}
_CAUSES: Final = {"QUOTA": reasons.QUOTA, "DISCONNECTED": reasons.DISCONNECTED}


@dataclass(frozen=True)
class Pause:
    """Why a campaign has to wait, and until when it is not worth trying again.

    `whole_account`: every call of the account waits; the gateway may know better for how long.
    """

    code: str
    until: datetime
    whole_account: bool = False


@dataclass(slots=True)
class Streak:
    """How often in a row WeChat has said the same odd thing: once it is about a message, many times about us."""

    reason: str = ""
    count: int = 0

    @classmethod
    def before(cls, parked_code: str) -> Streak:
        """What a probe goes on from: one more of what parked the campaign, and it stays parked."""
        return cls(parked_code, MANY - 1) if parked_code in MANY_EVERY else cls()

    def follow(self, answers: Sequence[Answer]) -> str:
        """Count on; gives the reason to park for, '' while it is no streak."""
        for answer in answers:
            odd = _odd(answer)
            if odd is None:
                continue
            self.count = self.count + 1 if odd == self.reason else int(bool(odd))
            self.reason = odd
        return self.reason if self.count >= MANY else ""


def _odd(answer: Answer) -> str | None:
    """Which streak an answer belongs to: '' ends every one, None says nothing."""
    if answer.outcome is Outcome.UNKNOWN:
        return None if answer.code is None else reasons.MANY_UNKNOWN
    if answer.outcome is Outcome.NOT_SENT:
        return None
    return reasons.WRONG_ACCOUNT if answer.reaction is Reaction.MARK_OPENID_INVALID else ""


def is_of_account(parked_code: str) -> bool:
    """Whether what a campaign waits for is the account as a whole: a token, a secret, an address to allow."""
    return parked_code == reasons.ACCOUNT or (
        parked_code.isdigit() and explain(int(parked_code)).reaction in (Reaction.PARK_BRAND, Reaction.REFRESH_TOKEN)
    )


def refill(rate: int) -> tuple[float, float]:
    """Tokens a second and the most that add up, so that no 60 seconds ever hold more than 60 × rate."""
    return rate * (60 - BURST_SECONDS) / 60, max(1.0, rate * BURST_SECONDS)


def pause_for(answers: Sequence[Answer], at: datetime, streak: Streak) -> Pause | None:
    """Judge a batch: give why the campaign has to wait, or None when it goes on."""
    many = streak.follow(answers)
    first: dict[Reaction, Answer] = {}
    for answer in answers:
        if not answer.ok:
            first.setdefault(answer.reaction, answer)
    for reaction in _ALWAYS if any(answer.ok for answer in answers) else (*_ALWAYS, *_WHEN_NOBODY_SUCCEEDS):
        if reaction in first:
            return _pause(reaction, first[reaction], at)
    if many:
        return Pause(many, at + MANY_EVERY[many])
    return _nobody_answers(answers, at)


def _pause(reaction: Reaction, answer: Answer, at: datetime) -> Pause:
    code = _code(answer)
    if reaction is Reaction.PARK_UNTIL_RESET:
        return Pause(code, quotas.next_reset(at))
    whole_account = reaction in (Reaction.PARK_BRAND, Reaction.REFRESH_TOKEN)
    wait = _WAITS[reaction]
    if answer.cause == "PARKED" and answer.retry_after:  # the gateway knows for how long: seconds, when it was busy
        wait = min(wait, timedelta(seconds=answer.retry_after))
    return Pause(code, at + wait, whole_account=whole_account)


def _nobody_answers(answers: Sequence[Answer], at: datetime) -> Pause | None:
    outcomes = Counter(answer.outcome for answer in answers)
    if not answers or outcomes[Outcome.ACCEPTED] or outcomes[Outcome.REFUSED]:
        return None
    if outcomes[Outcome.NOT_SENT] == len(answers):
        slowest = max(answer.retry_after for answer in answers)
        return Pause(reasons.NETWORK, at + max(NETWORK_EVERY, timedelta(seconds=slowest)))
    if len(answers) >= MANY:
        return Pause(reasons.NO_ANSWER, at + NETWORK_EVERY)
    return None


def _code(answer: Answer) -> str:
    return str(answer.code) if answer.code else _CAUSES.get(answer.cause, reasons.ACCOUNT)
