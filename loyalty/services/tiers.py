"""Changes to who stands where: up at once, kept or down at the evaluation, locked by hand."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext as _

from accounts.services import record_audit
from accounts.tenancy import current_brand_id
from loyalty import ladder
from loyalty.errors import KeyReused, OperationRunning, TierRefused
from loyalty.ladder import Step, height
from loyalty.models import Benefit, BenefitUse, Standing, Tier, TierChange, TierChangeKind
from loyalty.selectors import tiers as selectors
from loyalty.services.ledger import claimed, fingerprint, lock_accounts, present
from loyalty.tier_news import note_changes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from loyalty.ladder import Rung, Terms
    from loyalty.services.ledger import Operation

_INSTANT = timedelta(microseconds=1)


@transaction.atomic
def refresh_tier(
    *, member_id: int, at: datetime, happened_at: datetime | None = None, is_news: bool = True
) -> Standing | None:
    """Bring a member's tier up to date after something happened; None while the brand has no tiers.

    What happened counts at once even by a till whose clock is ahead. What was brought over from another system is no
    news to the member.
    """
    every = selectors.rungs()
    if not every:
        return None
    how = selectors.terms()
    lock_accounts([member_id])
    standing = Standing.objects.select_for_update().filter(member_id=member_id).first()
    standing = _catch_up(standing, every, how, at, is_news=is_news) if standing else None
    place = selectors.place_of(standing) if standing else None
    until = max(at, happened_at or at) + _INSTANT
    value = selectors.value_between(member_id, ladder.window_of(at, how), until)
    step = ladder.rise(place, every, how, value, at)
    return _walk(member_id, standing, [step] if step else [], is_news=is_news)


def _catch_up(standing: Standing, every: list[Rung], how: Terms, at: datetime, *, is_news: bool = True) -> Standing:
    def value_between(since: datetime, until: datetime) -> int:
        return selectors.value_between(standing.member_id, since, until)

    place = selectors.place_of(standing)
    steps = ladder.catch_up(place, every, how, value_between, at)
    moved = _walk(standing.member_id, standing, steps, is_news=is_news)
    if not steps and standing.evaluates_at is not None and standing.evaluates_at <= at:
        # Locked: nothing is decided, and nobody has to look again before the lock ends.
        standing.evaluates_at = standing.locked_until
        standing.save(update_fields=["evaluates_at"])
    return moved or standing


def change_of(member_id: int, step: Step, names: dict[int, str]) -> TierChange:
    """Give the line of the history that a decision leaves, not saved; `names` are the tiers' by their ids."""
    return TierChange(
        member_id=member_id,
        kind=step.kind,
        before=names.get(step.before, "") if step.before else "",
        after=names.get(step.place.tier_id, ""),
        value=step.value,
        window_from=step.window_from,
        at=step.at,
    )


def _walk(member_id: int, standing: Standing | None, steps: Iterable[Step], *, is_news: bool) -> Standing | None:
    """Write decisions down and stand where the last one leads."""
    steps = list(steps)
    if not steps:
        return standing
    names = dict(Tier.objects.order_by("pk").values_list("pk", "name"))
    changes = TierChange.objects.bulk_create(change_of(member_id, step, names) for step in steps)
    if is_news:
        note_changes(changes)
    place = steps[-1].place
    row = standing or Standing(member_id=member_id)
    row.tier_id, row.since, row.evaluates_at = place.tier_id, place.since, place.evaluates_at
    row.in_grace, row.locked_until = place.in_grace, place.locked_until
    row.save()
    return row


def evaluate_due(*, at: datetime, limit: int = 100) -> int:
    """Hold the evaluations that are due, member by member; gives how many members were looked at."""
    if not selectors.rungs():
        return 0
    due = Standing.objects.filter(evaluates_at__lte=at).order_by("member_id").values_list("member_id", flat=True)
    members = list(due[:limit])
    for member_id in members:
        with transaction.atomic():
            lock_accounts([member_id])
            standing = Standing.objects.select_for_update().filter(member_id=member_id).first()
            if standing is not None:
                _catch_up(standing, selectors.rungs(), selectors.terms(), at)
    return len(members)


@transaction.atomic
def lock_tier(*, member_id: int, tier: Tier, until: datetime, reason: str, at: datetime) -> Standing:
    """Put a member into a tier by hand and keep them there until a day; above it they may still rise.

    Raises TierRefused, MemberGone.
    """
    member_id, reason = present(member_id), reason.strip()
    if until <= at:
        raise TierRefused(_("Not locked. The day is over already."), hint=_("Choose a later day."), field="until")
    if len(reason) < 2:
        raise TierRefused(_("Not locked. A reason is needed."), hint=_("Say in a few words why."), field="reason")
    lock_accounts([member_id])
    row = Standing.objects.select_for_update().select_related("tier").filter(member_id=member_id).first()
    before = row.tier.name if row else ""
    row = row or Standing(member_id=member_id)
    if row.tier_id != tier.pk:
        row.since = at
    row.tier, row.locked_until, row.evaluates_at, row.in_grace = tier, until, until, False
    row.save()
    _note(row, TierChangeKind.LOCK, before, reason, at)
    record_audit(action="lock tier", obj=row, changes={"tier": [before, tier.name]}, reason=reason)
    return row


@transaction.atomic
def unlock_tier(*, member_id: int, reason: str, at: datetime) -> Standing:
    """End a lock; the next sweep evaluates as usual. Raises TierRefused."""
    row = Standing.objects.select_for_update().select_related("tier").filter(member_id=member_id).first()
    if row is None or row.locked_until is None:
        raise TierRefused(_("Nothing was changed. This tier is not locked."), hint=_("Open the page again."))
    row.locked_until = None
    every = selectors.rungs()
    row.evaluates_at = at if height(row.tier_id, every) else None
    row.save()
    _note(row, TierChangeKind.UNLOCK, row.tier.name, reason, at)
    record_audit(action="unlock tier", obj=row, reason=reason.strip())
    return row


def _note(row: Standing, kind: str, before: str, reason: str, at: datetime) -> None:
    since = ladder.window_of(at, selectors.terms())
    change = TierChange.objects.create(
        member_id=row.member_id,
        kind=kind,
        before=before,
        after=row.tier.name,
        value=selectors.value_between(row.member_id, since, at),
        window_from=since,
        reason=reason.strip()[:200],
        at=at,
    )
    if kind == TierChangeKind.LOCK:
        note_changes([change])


@transaction.atomic
def use_benefits(*, operation: Operation, member_id: int, number: str, amount: int, at: datetime) -> BenefitUse:
    """Count what somebody's tier gives for an order of so many fen; the same key or order again gives the first.

    Raises KeyReused, OperationRunning.
    """
    asked = fingerprint(act="benefits", member=member_id, number=number, amount=amount)
    for name in (f"number\x1f{number}", f"key\x1f{operation.key}"):  # each stands for one use
        if not claimed(f"benefits\x1f{operation.actor}\x1f{name}\x1f{current_brand_id()}"):
            raise OperationRunning
    mine = BenefitUse.objects.filter(actor=operation.actor)
    known = mine.filter(key=operation.key).first() or mine.filter(number=number).first()
    if known is not None:
        if known.fingerprint != asked:
            raise KeyReused
        return known
    found = selectors.applied(member_id, amount=amount, at=at)
    use = BenefitUse.objects.create(
        member_id=member_id,
        actor=operation.actor,
        key=operation.key,
        fingerprint=asked,
        number=number,
        amount=amount,
        applied=[
            {
                "kind": each.kind,
                "value": each.value,
                "saved": each.saved,
                "tier": each.tier,
                "threshold": each.threshold,
            }
            for each in found
        ],
        at=at,
    )
    for benefit_id in sorted(each.benefit_id for each in found):  # in one order: two orders at once never wait in turn
        Benefit.objects.filter(pk=benefit_id).update(used=F("used") + 1)
    return use


# --- merges ----------------------------------------------------------------------------------------------------------


def written(standing: Standing | None) -> dict[str, Any] | None:
    """Give where somebody stands as plain values, for undoing a merge."""
    if standing is None:
        return None
    return {
        "tier": standing.tier_id,
        "since": standing.since.isoformat(),
        "evaluates_at": standing.evaluates_at.isoformat() if standing.evaluates_at else None,
        "in_grace": standing.in_grace,
        "locked_until": standing.locked_until.isoformat() if standing.locked_until else None,
    }


def restore(member_id: int, stood: dict[str, Any] | None) -> None:
    """Let somebody stand where they stood; a tier that is no longer there leaves them without."""
    Standing.objects.filter(member_id=member_id).delete()
    if stood is None or not Tier.objects.filter(pk=stood["tier"]).exists():
        return

    def moment(name: str) -> datetime | None:
        return datetime.fromisoformat(stood[name]) if stood[name] else None

    since = moment("since")
    if since is not None:
        Standing.objects.create(
            member_id=member_id,
            tier_id=stood["tier"],
            since=since,
            evaluates_at=moment("evaluates_at"),
            in_grace=stood["in_grace"],
            locked_until=moment("locked_until"),
        )


def join_standings(*, kept_id: int, merged_id: int, at: datetime) -> None:
    """When two records become one, the higher tier stays, and what both bought counts together."""
    every = selectors.rungs()
    if not every:
        return
    rows = {
        row.member_id: row for row in Standing.objects.select_for_update().filter(member_id__in=[kept_id, merged_id])
    }
    kept, merged = rows.get(kept_id), rows.get(merged_id)
    if merged is not None:
        if kept is None or height(merged.tier_id, every) > height(kept.tier_id, every):
            restore(kept_id, written(merged))
        merged.delete()
    if rows:
        refresh_tier(member_id=kept_id, at=at)
