"""Purchases of many people in few statements: the same facts, points and tiers as reported one by one.

What is special is done by `record_fact` and `burn_points` themselves, in its turn: refunds and other facts, people who
owe points or are flagged, brands whose points end after the last activity or whose rules have a limit.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db import connection
from django.db.models import Sum

from accounts.tenancy import current_brand_id
from loyalty import ladder, taken_back
from loyalty.errors import PointsShort
from loyalty.expiry import expires_at
from loyalty.models import (
    Benefit,
    BenefitKind,
    EarnRuleVersion,
    Entry,
    ExpiryKind,
    Fact,
    FactKind,
    Journal,
    JournalKind,
    Lot,
    Pocket,
    Standing,
    TierChange,
)
from loyalty.selectors import points as point_selectors
from loyalty.selectors import tiers as tier_selectors
from loyalty.services.facts import (
    PURCHASED,
    Outcome,
    Report,
    body_of,
    check_report,
    explain,
    happening_of,
    on_fact,
    reads,
    record_fact,
)
from loyalty.services.ledger import SYSTEM, Operation, checked_points, fingerprint, lock_accounts
from loyalty.services.points import burn_points
from loyalty.services.tiers import change_of
from loyalty.tier_news import note_changes
from members import services as member_services
from members.models import Flag, Member

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from loyalty.models import Account

_INSTANT: Final = timedelta(microseconds=1)
_NEVER: Final = datetime.max.replace(tzinfo=UTC)
_AT_ONCE: Final = 200
_IDS: Final = "SELECT nextval(pg_get_serial_sequence(%s, 'id')) FROM generate_series(1, %s)"
_ACCOUNTS: Final = """
UPDATE loyalty_account a SET available = v.available, active_at = greatest(a.active_at, v.at)
FROM unnest(%s::bigint[], %s::bigint[], %s::timestamptz[]) AS v(member_id, available, at)
WHERE a.brand_id = %s AND a.member_id = v.member_id
"""
_LOTS: Final = """
UPDATE loyalty_lot l SET remaining = v.remaining FROM unnest(%s::bigint[], %s::bigint[]) AS v(id, remaining)
WHERE l.brand_id = %s AND l.id = v.id
"""


@dataclass
class _Person:
    """What decides about somebody's next purchase."""

    account: Account
    birth_mmdd: int | None
    standing: Standing | None = None
    has_bought: bool = False
    lots: list[Lot] = field(default_factory=list)
    bought: list[tuple[datetime, int]] = field(default_factory=list)  # when, and what is left of it in fen
    active_at: datetime | None = None


class Till:
    """Takes purchases of some people and writes them with `flush`, in the transaction it was opened in.

    Their accounts are locked until it ends. The caller has checked that the numbers of purchases and the keys of
    operations are new, and moves the points of these people by nothing else in this transaction: what they have is
    remembered here, and `flush` writes it over what is there.
    """

    def __init__(self, member_ids: Iterable[int]) -> None:
        """Lock the accounts of these people and look up what decides about their purchases."""
        self._policy, self._zone, self._terms = point_selectors.policy(), point_selectors.zone(), tier_selectors.terms()
        rows = EarnRuleVersion.objects.select_related("rule").order_by("rule_id", "number")
        self._versions = [version for version in rows if reads(version, FactKind.PURCHASE)]
        self._tiers = tier_selectors.tiers()
        self._rungs = tier_selectors.rungs()
        self._benefits: dict[int, list[Benefit]] = defaultdict(list)
        for benefit in Benefit.objects.select_related("tier").order_by("kind", "pk"):
            self._benefits[benefit.tier_id].append(benefit)
        limited = any(version.params.get("limit_period") for version in self._versions)
        self._is_plain = self._policy.expiry != ExpiryKind.ACTIVITY and not limited
        self._people: dict[int, _Person] = {}
        self._ids: dict[str, list[int]] = defaultdict(list)
        self._begin()
        if self._is_plain:
            self._look_up(sorted(set(member_ids)))

    def _begin(self) -> None:
        self._facts: list[Fact] = []
        self._journals: list[Journal] = []
        self._lots: list[Lot] = []
        self._entries: list[Entry] = []
        self._changes: list[TierChange] = []
        self._spent: dict[int, Lot] = {}
        self._moved: set[int] = set()
        self._stand: dict[int, Standing] = {}

    def report(self, report: Report, *, at: datetime) -> Outcome:
        """Take a fact; what it leads to is in the tables after `flush`. Raises as `record_fact` does."""
        person = self._people.get(report.member_id or 0)
        if report.kind == FactKind.PURCHASE and person is not None:
            check_report(report, at)
            return self._purchase(report, person, at)
        self.flush()
        outcome = record_fact(report=report, at=at)
        if outcome.fact.member_id in self._people:
            self._look_up([outcome.fact.member_id])
        return outcome

    def burn(
        self, *, operation: Operation, member_id: int, points: int, source: str, number: str, at: datetime
    ) -> Journal:
        """Spend points as `burn_points` does, but the key of the operation must be new: it is not looked up.

        Raises AmountInvalid, PointsShort; where `burn_points` itself is asked, MemberGone and KeyReused as well.
        """
        person = self._people.get(member_id)
        if person is None or any(lot.remaining and (lot.expires_at or _NEVER) <= at for lot in person.lots):
            self.flush()
            said: dict[str, Any] = {"operation": operation, "points": points, "source": source, "number": number}
            journal = burn_points(member_id=member_id, at=at, **said)
            if person is not None:
                self._look_up([member_id])
            return journal
        checked_points(points)
        if person.account.available < points:
            raise PointsShort(asked=points, there=person.account.available)
        asked = fingerprint(act="burn", member=member_id, points=points, source=source, number=number)
        legs: list[tuple[str, int, int | None, int | None]] = []
        left = points
        for lot in sorted(person.lots, key=lambda each: (each.expires_at or _NEVER, each.earned_at, each.pk)):
            part = min(lot.remaining, left)
            if part:
                lot.remaining, left = lot.remaining - part, left - part
                self._spent[lot.pk] = lot
                legs.append((str(Pocket.AVAILABLE), -part, member_id, lot.pk))
        legs.append((str(Pocket.REDEEMED), points, None, None))
        said = {"kind": JournalKind.BURN, "source": source, "number": number, "detail": {}, "reason": ""}
        return self._post(operation, asked, person, -points, legs, said, at)

    def flush(self) -> None:
        """Write what was taken."""
        facts = self._facts
        Fact.objects.bulk_create(facts, batch_size=1000)
        Journal.objects.bulk_create(self._journals, batch_size=1000)
        Lot.objects.bulk_create(self._lots, batch_size=1000)
        Entry.objects.bulk_create(self._entries, batch_size=1000)
        note_changes(TierChange.objects.bulk_create(self._changes, batch_size=1000))
        before = [row for row in self._stand.values() if row.pk is not None]
        Standing.objects.bulk_create([row for row in self._stand.values() if row.pk is None], batch_size=1000)
        for row in before:
            row.save(update_fields=["tier_id", "since", "evaluates_at", "in_grace", "locked_until"])
        new = {lot.pk for lot in self._lots}
        old = [lot for lot in self._spent.values() if lot.pk not in new]
        moved = [(pk, self._people[pk]) for pk in sorted(self._moved)]
        with connection.cursor() as cursor:
            if old:
                cursor.execute(_LOTS, [[lot.pk for lot in old], [lot.remaining for lot in old], current_brand_id()])
            if moved:
                held: list[Any] = [[each.account.available for _pk, each in moved]]
                held.append([each.active_at for _pk, each in moved])
                cursor.execute(_ACCOUNTS, [[pk for pk, _each in moved], *held, current_brand_id()])
        self._begin()
        self._ids.clear()  # keys of what others write in between lie in its turn
        member_services.note_fact(kind=PURCHASED, member_ids={fact.member_id for fact in facts})
        for fact in facts:
            for _key, listener in on_fact.items():
                listener(fact)

    # --- one purchase ------------------------------------------------------------------------------------------------

    def _purchase(self, report: Report, person: _Person, at: datetime) -> Outcome:
        member_id = person.account.member_id
        fact = Fact(
            pk=self._id("loyalty_fact"),
            system=report.system,
            kind=report.kind,
            number=report.number,
            fingerprint=report.asked(),
            member_id=member_id,
            store_id=report.store_id,
            amount=report.amount,
            body=body_of(report),
            happened_at=report.happened_at,
            received_at=at,
        )
        grants = self._grants(fact, person)  # may refuse: nothing is kept before
        self._facts.append(fact)
        journals = self._give(fact, person, grants, at)
        person.has_bought = True
        person.bought.append((fact.happened_at, fact.amount))
        self._rise(person, at, fact.happened_at)
        return Outcome(fact, tuple(journals))

    def _grants(self, fact: Fact, person: _Person) -> list[tuple[EarnRuleVersion, int, dict[str, Any]]]:
        """Work out what the rules give for a purchase. Raises AmountInvalid."""
        is_first, grants = not person.has_bought, []
        happening, extra = happening_of(fact, is_first=is_first), self._extra(fact, person)
        for version in self._versions:
            if version.since > fact.happened_at or (version.until is not None and version.until <= fact.happened_at):
                continue
            granted, explained = explain(version, happening, extra)
            if granted:
                detail = explained | {"fact": fact.pk, "is_first": is_first}
                grants.append((version, checked_points(granted), detail))
        return grants

    def _give(
        self, fact: Fact, person: _Person, grants: list[tuple[EarnRuleVersion, int, dict[str, Any]]], at: datetime
    ) -> list[Journal]:
        journals = []
        for version, granted, detail in grants:
            source = f"rule:{version.rule_id}"
            asked = fingerprint(act="earn", member=fact.member_id, points=granted, source=source, number=fact.number)
            said = {
                "kind": JournalKind.EARN,
                "source": source,
                "number": fact.number,
                "reason": version.rule.name,
                "detail": detail,
            }
            lot = self._lot(person, granted, at)
            legs = [
                (str(Pocket.ISSUED), -granted, None, None),
                (str(Pocket.AVAILABLE), granted, fact.member_id, lot.pk),
            ]
            operation = Operation(SYSTEM, f"fact:{fact.pk}:{version.rule_id}")
            journal = self._post(operation, asked, person, granted, legs, said, at)
            lot.journal_id = journal.pk
            journals.append(journal)
        return journals

    def _lot(self, person: _Person, points: int, at: datetime) -> Lot:
        ends = expires_at(self._policy.expiry, self._policy.expiry_span, earned_at=at, zone=self._zone)
        lot = Lot(
            pk=self._id("loyalty_lot"),
            member_id=person.account.member_id,
            granted=points,
            remaining=points,
            earned_at=at,
            expires_at=ends,
        )
        person.lots.append(lot)
        self._lots.append(lot)
        return lot

    def _post(
        self,
        operation: Operation,
        asked: Any,
        person: _Person,
        change: int,
        legs: Sequence[tuple[str, int, int | None, int | None]],
        said: dict[str, Any],
        at: datetime,
    ) -> Journal:
        account = person.account
        account.available += change
        person.active_at = max(filter(None, (person.active_at, at)))
        self._moved.add(account.member_id)
        journal = Journal(
            pk=self._id("loyalty_journal"),
            actor=operation.actor,
            key=operation.key,
            fingerprint=asked,
            member_id=account.member_id,
            points=abs(change),
            available=account.available,
            held=account.held,
            owed=account.owed,
            at=at,
            **said,
        )
        self._journals.append(journal)
        self._entries += [
            Entry(journal_id=journal.pk, pocket=pocket, points=points, member_id=member_id, lot_id=lot_id, at=at)
            for pocket, points, member_id, lot_id in legs
        ]
        return journal

    def _extra(self, fact: Fact, person: _Person) -> list[dict[str, Any]]:
        """Give what the member's tier adds."""
        tier_id = self._tier_then(fact, person.standing)
        month = fact.happened_at.astimezone(self._zone).month
        is_birth_month = person.birth_mmdd is not None and person.birth_mmdd // 100 == month
        return [
            {"benefit": benefit.kind, "tier": benefit.tier.name, "percent": benefit.value}
            for benefit in self._benefits.get(tier_id or 0, ())
            if benefit.kind == BenefitKind.POINTS or (benefit.kind == BenefitKind.BIRTHDAY and is_birth_month)
        ]

    def _tier_then(self, fact: Fact, standing: Standing | None) -> int | None:
        """Give the tier the member stood in just before something happened, as `tier_at` does."""
        lowest = self._tiers[0].pk if self._tiers else None
        if standing is None or standing.since <= fact.happened_at:
            return standing.tier_id if standing else lowest
        later = TierChange.objects.filter(member_id=fact.member_id, at__gte=fact.happened_at).order_by("at", "pk")
        waiting = [each for each in self._changes if each.member_id == fact.member_id and each.at >= fact.happened_at]
        change = min([*later[:1], *waiting], key=lambda each: each.at, default=None)
        if change is None:
            return standing.tier_id
        return next((tier.pk for tier in self._tiers if tier.name == change.before), lowest)

    # --- tiers -------------------------------------------------------------------------------------------------------

    def _rise(self, person: _Person, at: datetime, happened_at: datetime) -> None:
        """Bring the tier up to date, as `refresh_tier` does."""
        if not self._rungs:
            return

        def value(since: datetime, until: datetime) -> int:
            return max(0, sum(fen for when, fen in person.bought if since <= when < until) // 100)

        standing = person.standing
        if standing is not None:
            steps = ladder.catch_up(tier_selectors.place_of(standing), self._rungs, self._terms, value, at)
            self._walk(person, steps)
            if not steps and standing.evaluates_at is not None and standing.evaluates_at <= at:
                standing.evaluates_at = standing.locked_until
                self._stand[standing.member_id] = standing
        place = tier_selectors.place_of(person.standing) if person.standing else None
        reached = value(ladder.window_of(at, self._terms), max(at, happened_at) + _INSTANT)
        step = ladder.rise(place, self._rungs, self._terms, reached, at)
        self._walk(person, [step] if step else [])

    def _walk(self, person: _Person, steps: list[ladder.Step]) -> None:
        if not steps:
            return
        names = {tier.pk: tier.name for tier in self._tiers}
        member_id = person.account.member_id
        self._changes += [change_of(member_id, step, names) for step in steps]
        place, row = steps[-1].place, person.standing or Standing(member_id=member_id)
        row.tier_id, row.since, row.evaluates_at = place.tier_id, place.since, place.evaluates_at
        row.in_grace, row.locked_until = place.in_grace, place.locked_until
        person.standing = self._stand[member_id] = row

    # --- looking up --------------------------------------------------------------------------------------------------

    def _id(self, table: str) -> int:
        if not self._ids[table]:
            with connection.cursor() as cursor:
                cursor.execute(_IDS, [table, _AT_ONCE])
                self._ids[table] = [pk for (pk,) in reversed(cursor.fetchall())]
        return self._ids[table].pop()

    def _look_up(self, member_ids: list[int]) -> None:
        """Read where people are; those about whom something is special are left to others."""
        for member_id in member_ids:
            self._people.pop(member_id, None)
        accounts = lock_accounts(member_ids)
        members = Member.objects.filter(pk__in=member_ids, merged_into=None, erased_at=None)
        flagged = set(Flag.objects.filter(member_id__in=member_ids).values_list("member_id", flat=True))
        for pk, birth_mmdd in members.order_by("pk").values_list("pk", "birth_mmdd"):
            if pk not in flagged and accounts[pk].owed == 0:
                self._people[pk] = _Person(accounts[pk], birth_mmdd)
        found = {pk: self._people[pk] for pk in member_ids if pk in self._people}
        standings = Standing.objects.select_for_update().filter(member_id__in=list(found)).order_by("member_id")
        for standing in standings:
            found[standing.member_id].standing = standing
        for lot in Lot.objects.filter(member_id__in=list(found), remaining__gt=0).order_by("pk"):
            found[lot.member_id].lots.append(lot)
        purchases = Fact.objects.filter(member_id__in=list(found), kind=FactKind.PURCHASE)
        firsts = purchases.filter(~taken_back.undone()).order_by().values_list("member_id", flat=True).distinct()
        for member_id in firsts:
            found[member_id].has_bought = True
        refunds = Fact.objects.filter(refers__in=purchases.order_by().values("pk")).order_by()
        back = Counter(dict(refunds.values_list("refers_id").annotate(all=Sum("amount")).order_by()))
        for pk, member_id, happened_at, amount in purchases.order_by("pk").values_list(
            "pk", "member_id", "happened_at", "amount"
        ):
            found[member_id].bought.append((happened_at, amount - back[pk]))
