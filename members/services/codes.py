"""The member code for counters: it changes every half minute, is worth one use, and cannot be guessed.

A code is ten digits that only the brand's key can make, and the member number. Nothing is stored until one is used.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from django.db import IntegrityError, transaction

from accounts.sealing import blind_index
from accounts.tenancy import current_brand_id
from common.secret import Secret
from members.errors import CodeExpired, CodeKeyReused, CodeNotForYou, CodeUnknown, CodeUsed, TillClockOff
from members.models import CodeUse, Flag, FlagKind, Member
from members.selectors import surviving

if TYPE_CHECKING:
    from collections.abc import Callable

    from members.models import Follower

STEP_SECONDS: Final = 30
DIGITS: Final = 10
LONGEST: Final = DIGITS + 20
# A till (or the way to it) may be half a minute off; further away its own clock is of no use.
CLOCK_OFF: Final = timedelta(seconds=60)
KEPT: Final = timedelta(days=30)
_TOLD_AS_EXPIRED: Final = 120  # steps: within the hour somebody is told that a code is old, not that it is unknown


@dataclass(frozen=True)
class ShownCode:
    """What a phone shows, and for how many seconds."""

    code: str
    seconds_left: int


def current_code(*, member_id: int, at: datetime) -> ShownCode:
    """Give the code a member shows now. Raises `CodeNotForYou` for people who have not joined."""
    member = Member.objects.get(pk=member_id)
    _require_member(member)
    step = _step(at)
    left = (step + 1) * STEP_SECONDS - int(at.timestamp())
    return ShownCode(_proof(member, step) + member.member_no, left)


@transaction.atomic
def use_code(
    *, code: str, actor: str, key: str, at: datetime, scanned_at: datetime | None = None
) -> tuple[CodeUse, Member]:
    """Take a code at a counter, once; the same key of the same actor gives the same use again, with its answer.

    Gives the use and whoever the member is today. Raises `CodeUnknown`, `CodeExpired`, `CodeUsed`, `CodeKeyReused`,
    `CodeNotForYou`, `TillClockOff`.
    """
    index = blind_index(current_brand_id(), "used member code", code)
    known = _use_of(actor, key, index)
    if known is not None:
        return known, surviving(known.member)
    moment = scanned_at or at
    if abs(moment - at) > CLOCK_OFF:
        raise TillClockOff(int((moment - at).total_seconds()))
    member = _member_of(code)
    step = _step_of(member, code, moment)
    member = Member.objects.select_for_update().get(pk=member.pk)
    _require_member(member)
    known = _use_of(actor, key, index)  # of the same call, sent twice, while this one waited
    if known is not None:
        return known, surviving(known.member)
    if CodeUse.objects.filter(member=member, step__gte=step).exists():
        raise CodeUsed
    CodeUse.objects.filter(member=member, at__lt=at - KEPT).delete()
    try:
        with transaction.atomic():
            use = CodeUse.objects.create(member=member, step=step, actor=actor, key=key, code_index=index, at=at)
    except IntegrityError:  # the same key at the same moment, for another member's code
        raise CodeKeyReused from None
    return use, surviving(member)


def _use_of(actor: str, key: str, index: object) -> CodeUse | None:
    """Give what a key of an actor did; raises `CodeKeyReused` when that was another code."""
    known = CodeUse.objects.select_related("member").filter(actor=actor, key=key).first()
    if known is not None and known.code_index != index:
        raise CodeKeyReused
    return known


def first_answer(*, use: CodeUse, answer: Callable[[], str]) -> str:
    """Give what the till was told of a use; if it was not told yet, make the answer and keep it."""
    kept: Secret | None = use.answer
    if kept:
        return kept.reveal()
    told = answer()
    use.answer = Secret(told)
    use.save(update_fields=["answer"])
    return told


def forget_uses(*, follower: Follower, whole: bool, at: datetime) -> int:
    """When a person's data is deleted: at which counters they were goes too."""
    return CodeUse.objects.filter(member_id=follower.member_id).delete()[0] if whole else 0


def _require_member(member: Member) -> None:
    blocked = Flag.objects.filter(member=member, kind=FlagKind.BLOCKED, until=None)
    if member.joined_at is None or member.erased_at is not None or blocked.exists():
        raise CodeNotForYou


def _member_of(code: str) -> Member:
    if not (code.isascii() and code[:DIGITS].isdigit() and DIGITS < len(code) <= LONGEST):
        raise CodeUnknown
    member = Member.objects.filter(member_no=code[DIGITS:]).first()
    if member is None:
        raise CodeUnknown
    return member


def _step_of(member: Member, code: str, at: datetime) -> int:
    """Give the half minute a code was shown in, allowing for clocks half a minute off."""
    now = _step(at)
    for step in (now, now - 1, now + 1):
        if hmac.compare_digest(_proof(member, step), code[:DIGITS]):
            return step
    for step in range(now - 2, now - _TOLD_AS_EXPIRED, -1):
        if hmac.compare_digest(_proof(member, step), code[:DIGITS]):
            raise CodeExpired
    raise CodeUnknown


def _step(at: datetime) -> int:
    return int(at.astimezone(UTC).timestamp()) // STEP_SECONDS


def _proof(member: Member, step: int) -> str:
    made = blind_index(current_brand_id(), "member code", f"{member.public_id}:{step}").int
    return f"{made % 10**DIGITS:0{DIGITS}d}"
