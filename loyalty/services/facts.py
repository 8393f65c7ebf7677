"""Facts as they are reported, what the rules give for them, and what a refund takes back and returns."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import BigIntegerField, Exists, OuterRef, Sum
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast
from django.utils.translation import gettext as _

from accounts.tenancy import current_brand_id
from common.divisions import Why
from common.registry import Registry
from loyalty import taken_back
from loyalty.earn_rules import Happening, Line, earn_kinds
from loyalty.errors import FactChanged, FactRefused, MemberGone, OperationRunning
from loyalty.models import (
    Benefit,
    BenefitKind,
    EarnRuleVersion,
    Fact,
    FactKind,
    Journal,
    JournalKind,
    Standing,
    TierChange,
)
from loyalty.selectors import points as point_selectors
from loyalty.selectors import tiers as tier_selectors
from loyalty.services.ledger import SYSTEM, Operation, claimed, fingerprint, open_account
from loyalty.services.points import earn_points, reverse
from loyalty.services.tiers import refresh_tier
from members import services as member_services
from members.left_out import held
from members.models import Flag, Member
from members.selectors import records_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from common.divisions import Located

AHEAD: Final = timedelta(minutes=5)
MOST_FEN: Final = 100_000_000_00
ORDER: Final = "order"
# What a fact sets off beside points and tiers: called once for each new fact, in the transaction that keeps it.
on_fact: Registry[Callable[[Fact], None]] = Registry("fact listeners", purpose="what a reported fact sets off")
PURCHASED: Final = "loyalty.purchase"  # as automatic tags and segments know it
REFUNDED: Final = "loyalty.refund"
_NOTED: Final = {FactKind.PURCHASE: PURCHASED, FactKind.REFUND: REFUNDED}


@dataclass(frozen=True)
class Report:
    """A fact as somebody reports it. `refers` is the number of the purchase a refund is about.

    `ship_to` is where a purchase was sent to: province, city and district, never the address itself. Like the store it
    is no part of what makes a repeated number the same report: what was said first counts.
    """

    system: str
    kind: str
    number: str
    happened_at: datetime
    member_id: int | None = None
    amount: int = 0
    lines: tuple[Line, ...] = ()
    name: str = ""
    store_id: int | None = None
    refers: str = ""
    ship_to: Located | None = None

    def asked(self) -> Any:
        """Give a fingerprint of everything in it."""
        return fingerprint(
            kind=self.kind,
            member=None if self.kind == FactKind.REFUND else self.member_id,
            amount=self.amount,
            lines=[[line.sku, line.category, line.amount] for line in self.lines],
            name=self.name,
            happened=self.happened_at.astimezone(UTC).isoformat(),
            refers=self.refers,
        )


@dataclass(frozen=True)
class Outcome:
    """What a fact led to: entries of the ledger, in order.

    `member_erased`: a refund of somebody whose data was deleted before. It counts as sold less; no points move.
    """

    fact: Fact
    journals: tuple[Journal, ...]
    is_new: bool = field(default=True)
    member_erased: bool = field(default=False)


@transaction.atomic
def record_fact(*, report: Report, at: datetime) -> Outcome:
    """Keep a fact and do what follows from it; the same number again gives the first outcome.

    Raises FactChanged, FactRefused, AmountInvalid, MemberGone, RefundBlocked, OperationRunning.
    """
    asked = report.asked()
    if not claimed(f"fact\x1f{report.system}\x1f{report.kind}\x1f{report.number}\x1f{current_brand_id()}"):
        raise OperationRunning
    known = (
        Fact.objects.select_related("refers")
        .filter(system=report.system, kind=report.kind, number=report.number)
        .first()
    )
    if known is not None:
        if known.fingerprint != asked:
            raise FactChanged
        journals = tuple(outcome_of(known))
        return Outcome(known, journals, is_new=False, member_erased=not journals and _came_after_erasure(known))
    check_report(report, at)
    purchase = _purchase(report) if report.kind == FactKind.REFUND else None
    whose = purchase.member_id if purchase else report.member_id
    if whose is None:
        raise FactRefused(_("Nothing was recorded. The member is missing."), field="member_no")
    member_id, is_erased = _opened(whose, purchase)
    if purchase is not None:
        _check_refund(report, purchase)
    fact = Fact.objects.create(
        system=report.system,
        kind=report.kind,
        number=report.number,
        fingerprint=asked,
        member_id=member_id,
        store_id=report.store_id,
        refers=purchase,
        amount=report.amount,
        body=body_of(report),
        happened_at=report.happened_at,
        received_at=at,
    )
    if is_erased:
        return Outcome(fact, (), member_erased=True)
    if purchase is not None:
        _take_back(fact, purchase, at)
    else:
        _give_for(fact, at)
    noted = _NOTED.get(FactKind(fact.kind))
    if noted is not None:
        member_services.note_fact(kind=noted, member_ids=[member_id])
    for _key, listener in on_fact.items():
        listener(fact)
    refresh_tier(member_id=member_id, at=at, happened_at=fact.happened_at)
    return Outcome(fact, tuple(outcome_of(fact)))


def _opened(whose: int, purchase: Fact | None) -> tuple[int, bool]:
    """Lock the account a fact is about; gives whose it is today, and whether their data was deleted.

    Only a refund is kept of somebody whose data was deleted: the sale is less, whoever it was. Raises MemberGone.
    """
    try:
        return open_account(whose).member_id, False
    except MemberGone:
        if purchase is None:
            raise
        return whose, True  # locked all the same


def _came_after_erasure(fact: Fact) -> bool:
    gone = Member.objects.filter(pk=fact.member_id).values_list("erased_at", flat=True).first()
    return fact.kind == FactKind.REFUND and gone is not None and gone <= fact.received_at


def check_report(report: Report, at: datetime) -> None:
    """Say whether a report can be kept at all. Raises FactRefused."""
    if report.happened_at > at + AHEAD:
        raise FactRefused(
            _("Nothing was recorded. The moment lies in the future."),
            field="happened_at",
            hint=_("Check the clock of the system that reports."),
        )
    if not 0 <= report.amount <= MOST_FEN:
        raise FactRefused(_("Nothing was recorded. The amount cannot be right."), field="amount")
    if report.kind in (FactKind.PURCHASE, FactKind.REFUND) and report.amount == 0:
        raise FactRefused(_("Nothing was recorded. The amount is 0."), field="amount")
    if report.ship_to is not None and report.kind != FactKind.PURCHASE:
        raise FactRefused(
            _("Nothing was recorded. Only a purchase is sent to somebody."),
            field="ship_to",
            hint=_("Leave the address out; a refund is where its purchase is."),
        )
    if sum(line.amount for line in report.lines) > report.amount:
        raise FactRefused(
            _("Nothing was recorded. The lines are more than the amount."),
            field="lines",
            hint=_("Give for each line what was paid for it after discounts."),
        )


def _purchase(report: Report) -> Fact:
    # The account that is locked next keeps two refunds of one purchase apart.
    found = taken_back.latest(report.system, [report.refers]).get(report.refers)
    if found is None:
        raise FactRefused(
            _("Nothing was recorded. This purchase is unknown."),
            field="refers",
            hint=_("Report the purchase first, with the same system."),
        )
    return found


def _check_refund(report: Report, purchase: Fact) -> None:
    before = refunded(purchase)
    if before + report.amount > purchase.amount:
        raise FactRefused(
            _("Nothing was recorded. More would be refunded than was paid."),
            field="amount",
            hint=_("Look at what was refunded before."),
        )
    if report.happened_at < purchase.happened_at:
        raise FactRefused(_("Nothing was recorded. The refund lies before the purchase."), field="happened_at")


def body_of(report: Report) -> dict[str, Any]:
    """Give what a fact keeps of a report beside its columns."""
    body: dict[str, Any] = {}
    if report.lines:
        body["lines"] = [{"sku": each.sku, "category": each.category, "amount": each.amount} for each in report.lines]
    if report.name:
        body["name"] = report.name
    if report.ship_to is not None and report.ship_to.place is not None:
        body["place"] = list(report.ship_to.place.codes)
    elif report.ship_to is not None and report.ship_to.why != Why.EMPTY:
        body["unplaced"] = str(report.ship_to.why)
    return body


def lines_of(fact: Fact) -> tuple[Line, ...]:
    """Give the lines of a fact."""
    return tuple(Line(each["sku"], each["category"], each["amount"]) for each in fact.body.get("lines", ()))


def happening_of(fact: Fact, *, is_first: bool) -> Happening:
    """Give a fact as rules see it."""
    return Happening(fact.kind, fact.amount, lines_of(fact), str(fact.body.get("name", "")), is_first)


def refunded(purchase: Fact) -> int:
    """Give how much of a purchase was refunded, in fen."""
    total: int | None = Fact.objects.filter(refers=purchase).aggregate(all=Sum("amount"))["all"]
    return total or 0


# --- giving ----------------------------------------------------------------------------------------------------------


def _give_for(fact: Fact, at: datetime) -> None:
    if member_services.is_left_out(member_id=fact.member_id, at=fact.happened_at):
        return  # staff, test and blocked people earn nothing
    versions = [
        version
        for version in EarnRuleVersion.objects.select_related("rule")
        .filter(since__lte=fact.happened_at)
        .exclude(until__lte=fact.happened_at)
        .order_by("rule_id", "number")
        if reads(version, fact.kind)
    ]
    if not versions:
        return
    earlier = Fact.objects.filter(member_id=fact.member_id, kind=FactKind.PURCHASE).exclude(pk=fact.pk)
    earlier = earlier.filter(~taken_back.undone())
    is_first = fact.kind == FactKind.PURCHASE and not earlier.exists()
    happening = happening_of(fact, is_first=is_first)
    extra = _extra_percent(fact) if fact.kind == FactKind.PURCHASE else []
    for version in versions:
        granted, explained = explain(version, happening, extra)
        limit = version.params.get("limit_points") if version.params.get("limit_period") else None
        if limit is not None:
            room = max(0, limit - _given(fact, version))
            explained["limit"] = {"period": version.params["limit_period"], "points": limit, "room": room}
            granted = min(granted, room)
        if granted:
            earn_points(
                operation=Operation(SYSTEM, f"fact:{fact.pk}:{version.rule_id}"),
                member_id=fact.member_id,
                points=granted,
                source=f"rule:{version.rule_id}",
                number=fact.number,
                reason=version.rule.name,
                detail=explained | {"fact": fact.pk, "is_first": is_first},
                at=at,
            )


def reads(version: EarnRuleVersion, kind: str) -> bool:
    """Say whether a rule looks at facts of a kind."""
    found = earn_kinds.find(version.rule.kind)
    return found is not None and found.reads == kind


def explain(version: EarnRuleVersion, happening: Happening, extra: list[dict[str, Any]]) -> tuple[int, dict[str, Any]]:
    """Give the points of a rule for a happening, and everything they were made of."""
    kind = earn_kinds.get(version.rule.kind)
    raw = kind.points(version.params, happening)
    percent = sum(each["percent"] for each in extra) if happening.kind == FactKind.PURCHASE else 0
    values = kind.values(version.params, happening)
    detail = {
        "rule": version.rule_id,
        "kind": version.rule.kind,
        "version": version.number,
        "raw": raw,
        "values": values,
    }
    if extra and raw:
        detail["extra"] = extra
    return more(raw, percent), detail


def _extra_percent(fact: Fact) -> list[dict[str, Any]]:
    """Give what the member's tier adds: which benefit, of which tier, and how many percent."""
    tier = tier_selectors.tier_at(fact.member_id, fact.happened_at)
    return [
        {"benefit": benefit.kind, "tier": benefit.tier.name, "percent": benefit.value}
        for benefit in tier_selectors.benefits_of(tier.pk if tier else None)
        if benefit.kind == BenefitKind.POINTS
        or (benefit.kind == BenefitKind.BIRTHDAY and _is_birth_month(fact.member_id, fact.happened_at))
    ]


def _is_birth_month(member_id: int, at: datetime) -> bool:
    mmdd = Member.objects.filter(pk=member_id).values_list("birth_mmdd", flat=True).first()
    return mmdd is not None and mmdd // 100 == at.astimezone(point_selectors.zone()).month


def _given(fact: Fact, version: EarnRuleVersion) -> int:
    """Give what a rule gave somebody for facts of the period of its limit a fact lies in.

    It is what happened that counts, not when it was reported. With every record that became theirs.
    """
    rows = Journal.objects.filter(
        member_id__in=records_of(fact.member_id), kind=JournalKind.EARN, source=f"rule:{version.rule_id}"
    )
    period, zone = version.params["limit_period"], point_selectors.zone()
    since = period_start(period, fact.happened_at, zone)
    if since is not None:
        within = Fact.objects.filter(happened_at__gte=since, happened_at__lt=period_end(period, since, zone))
        of_fact = Cast(KeyTextTransform("fact", "detail"), BigIntegerField())
        rows = rows.alias(of_fact=of_fact).filter(Exists(within.filter(pk=OuterRef("of_fact"))))
    total: int | None = rows.aggregate(all=Sum("points"))["all"]
    return total or 0


def period_start(period: str, at: datetime, zone: ZoneInfo) -> datetime | None:
    """Give the beginning of the day, month or year of the brand a moment lies in; None: since ever."""
    day = at.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    starts = {"DAY": day, "MONTH": day.replace(day=1), "YEAR": day.replace(month=1, day=1)}
    return starts[period].astimezone(UTC) if period in starts else None


def period_end(period: str, since: datetime, zone: ZoneInfo) -> datetime:
    """Give the end of the period that began then: the beginning of the next."""
    longest = {"DAY": 1, "MONTH": 31, "YEAR": 366}[period]
    return period_start(period, since + timedelta(days=longest, hours=12), zone) or since


# --- taking back -----------------------------------------------------------------------------------------------------


def _take_back(refund: Fact, purchase: Fact, at: datetime) -> None:
    """Bring a purchase to where it would be without what was refunded so far: order and parts change nothing."""
    back = refunded(purchase)
    by_sku: Counter[str] = Counter()
    for each in Fact.objects.filter(refers=purchase).order_by("pk"):
        for line in lines_of(each):
            by_sku[line.sku] += line.amount
    for journal in grants_of(purchase):
        happening = happening_of(purchase, is_first=bool(journal.detail.get("is_first"))).less(back, by_sku)
        keep = min(_again(journal, happening), journal.points)
        gone = journal.points - keep - point_selectors.reversed_points(journal.pk)
        if gone > 0:
            _reverse(refund, journal, gone, at)
    for journal in spent_on(purchase):
        due = journal.points if back >= purchase.amount else journal.points * back // purchase.amount
        due -= point_selectors.reversed_points(journal.pk)
        if due > 0:
            _reverse(refund, journal, due, at)


def _again(journal: Journal, happening: Happening) -> int:
    """Give what the version that gave the points would have given for what is left."""
    if happening.amount == 0:
        return 0
    version = (
        EarnRuleVersion.objects.select_related("rule")
        .filter(rule_id=journal.detail["rule"], number=journal.detail["version"])
        .get()
    )
    return explain(version, happening, journal.detail.get("extra", []))[0]


def _reverse(refund: Fact, journal: Journal, points: int, at: datetime) -> None:
    reverse(
        operation=Operation(SYSTEM, f"fact:{refund.pk}:{journal.pk}"),
        journal=journal,
        points=points,
        number=refund.number,
        reason=_("Refund %(number)s") % {"number": refund.number},
        at=at,
    )


def grants_of(fact: Fact) -> list[Journal]:
    """Give the entries by which rules gave points for a fact."""
    rules = EarnRuleVersion.objects.order_by().values_list("rule_id", flat=True).distinct()
    sources = [f"rule:{rule}" for rule in rules]
    rows = Journal.objects.filter(source__in=sources, number=fact.number, kind=JournalKind.EARN).order_by("pk")
    return [row for row in rows if row.detail.get("fact") == fact.pk]


def spent_on(purchase: Fact) -> list[Journal]:
    """Give the entries by which points were spent on a purchase: those of its buyer that name its number.

    Only the buyer's, with every record that became theirs: orders of two systems may have the same number.
    """
    rows = Journal.objects.filter(source=ORDER, number=purchase.number).order_by("pk")
    spent = [row for row in rows if row.kind in (JournalKind.BURN, JournalKind.CAPTURE)]
    if any(row.member_id != purchase.member_id for row in spent):
        buyer = set(records_of(purchase.member_id))
        spent = [row for row in spent if row.member_id in buyer]
    return spent


def outcome_of(fact: Fact) -> list[Journal]:
    """Give the entries a fact led to, in order."""
    if fact.refers is None:
        return grants_of(fact)
    about = [*grants_of(fact.refers), *spent_on(fact.refers)]
    keys = [f"fact:{fact.pk}:{journal.pk}" for journal in about]
    return list(Journal.objects.filter(actor=SYSTEM, key__in=keys).order_by("pk"))


# --- trying out ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DryRun:
    """What a rule would have given for the facts of a window: to how many people, how many points, at what cost."""

    since: datetime
    until: datetime
    facts: int
    rewarded: int
    people: int
    points: int
    cost: int
    limited: int
    examples: tuple[tuple[str, str, int], ...]  # number, member number, points


def dry_run(*, kind: str, params: dict[str, Any], since: datetime, until: datetime) -> DryRun:
    """Let a rule read the facts of a window without giving anything; it counts as giving does.

    People who are left out of rewards have none, tiers add what they add, a limit is used up by what was given before
    a refund took some of it back.
    """
    found, here = earn_kinds.get(kind), point_selectors.zone()
    flags = Flag.objects.filter(member=OuterRef("member_id"))
    rows = Fact.objects.filter(
        ~Exists(flags.filter(held(at=OuterRef("happened_at")))),
        kind=found.reads,
        happened_at__gte=since,
        happened_at__lt=until,
    )
    buys = found.reads == FactKind.PURCHASE
    firsts = _first_purchases(rows) if buys else frozenset[int]()
    refunds = _refunds_of(rows) if buys else {}
    percent_of = _extra_percents(rows) if buys else _nothing_more
    given: dict[tuple[int, datetime | None], int] = defaultdict(int)
    limit = params.get("limit_points") if params.get("limit_period") else None
    facts = rewarded = points = limited = 0
    people: set[int] = set()
    examples: list[tuple[str, str, int]] = []
    for fact in rows.select_related("member").order_by("happened_at", "pk").iterator(chunk_size=2000):
        facts += 1
        happening, percent = happening_of(fact, is_first=fact.pk in firsts), percent_of(fact)
        granted = more(found.points(params, happening), percent)
        if limit is not None:
            period = (fact.member_id, period_start(str(params["limit_period"]), fact.happened_at, here))
            room = max(0, limit - given[period])
            limited += granted > room
            granted = min(granted, room)
            given[period] += granted
        if fact.pk in refunds:
            left = happening.less(*refunds[fact.pk])
            granted = min(granted, more(found.points(params, left), percent)) if left.amount else 0
        if granted:
            rewarded, points = rewarded + 1, points + granted
            people.add(fact.member_id)
            if len(examples) < 5:
                examples.append((fact.number, fact.member.member_no, granted))
    cost = round(points * point_selectors.policy().cost_per_100 / 100)
    return DryRun(since, until, facts, rewarded, len(people), points, cost, limited, tuple(examples))


def more(raw: int, percent: int) -> int:
    """Give the points of a rule with what the tier adds."""
    return raw + raw * percent // 100


def _nothing_more(_fact: Fact) -> int:
    return 0


def _extra_percents(rows: Any) -> Callable[[Fact], int]:
    """Give a function that says how many percent the tier added in which a buyer stood before a purchase."""
    tiers = tier_selectors.tiers()
    kinds = (BenefitKind.POINTS, BenefitKind.BIRTHDAY)
    adds: dict[int, list[Benefit]] = defaultdict(list)
    for benefit in Benefit.objects.filter(kind__in=kinds).order_by("pk"):
        adds[benefit.tier_id].append(benefit)
    if not adds or not tiers:
        return _nothing_more
    by_name = {tier.name: tier.pk for tier in tiers}
    buyers = rows.order_by().values("member_id")
    stands = dict(Standing.objects.filter(member_id__in=buyers).order_by().values_list("member_id", "tier_id"))
    moves: dict[int, list[tuple[datetime, str, str]]] = defaultdict(list)
    changes = TierChange.objects.filter(member_id__in=buyers).order_by("member_id", "at", "pk")
    for member_id, at, before, after in changes.values_list("member_id", "at", "before", "after"):
        moves[member_id].append((at, before, after))

    def stood(fact: Fact) -> int:
        own = moves.get(fact.member_id)
        if not own:
            return stands.get(fact.member_id, tiers[0].pk)
        name = own[0][1]
        for at, _before, after in own:
            if at >= fact.happened_at:
                break
            name = after
        return by_name.get(name, tiers[0].pk)

    zone = point_selectors.zone()

    def percent(fact: Fact) -> int:
        mmdd, month = fact.member.birth_mmdd, fact.happened_at.astimezone(zone).month
        return sum(
            benefit.value
            for benefit in adds.get(stood(fact), ())
            if benefit.kind == BenefitKind.POINTS or (mmdd is not None and mmdd // 100 == month)
        )

    return percent


def _first_purchases(rows: Any) -> frozenset[int]:
    members = rows.order_by().values("member_id")
    firsts = Fact.objects.filter(~taken_back.undone(), kind=FactKind.PURCHASE, member_id__in=members)
    first = firsts.order_by("member_id", "happened_at", "pk").distinct("member_id")
    return frozenset(first.values_list("pk", flat=True))


def _refunds_of(rows: Any) -> dict[int, tuple[int, Counter[str]]]:
    found: dict[int, tuple[int, Counter[str]]] = {}
    refunds: Iterable[Fact] = Fact.objects.filter(refers__in=rows.order_by().values("pk")).order_by("pk")
    for refund in refunds:
        amount, by_sku = found.get(refund.refers_id or 0, (0, Counter()))
        for line in lines_of(refund):
            by_sku[line.sku] += line.amount
        found[refund.refers_id or 0] = (amount + refund.amount, by_sku)
    return found
