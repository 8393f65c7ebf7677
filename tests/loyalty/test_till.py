"""Purchases taken by the hundred lead to the same rows as purchases that are reported one by one."""

from __future__ import annotations

from datetime import timedelta
from random import Random

import pytest
from django.db import transaction

from accounts.tenancy import brand_scope
from coupons.models import PurchaseGift, PurchaseGrant
from loyalty import services
from loyalty.earn_rules import Line
from loyalty.errors import AmountInvalid, FactRefused, PointsShort
from loyalty.invariants import breaches
from loyalty.models import Account, Benefit, EarnRule, Entry, Fact, Journal, Lot, Standing, Tier, TierChange
from loyalty.selectors import points as selectors
from loyalty.services import Report
from loyalty.services.till import Till
from members.models import Member
from members.services import set_flag
from tests.coupons.conftest import make_template
from tests.factories import AT, make_account, make_brand, make_member
from tests.loyalty.conftest import once, policy

DAY = timedelta(days=1)
GOODS = (("A", "shirts", 89_900), ("B", "new", 129_900), ("C", "scarves", 45_900))


class OneByOne:
    """What a till stands for."""

    def __init__(self, people):
        pass

    def report(self, report, *, at):
        return services.record_fact(report=report, at=at)

    def burn(self, **asked):
        return services.burn_points(**asked)

    def flush(self):
        pass


def furnish():
    """Rules, tiers that add points, a coupon for large purchases, and six people of whom one is a tester."""
    for name, kind, params in (
        ("消费", "spend", {"points": 1, "per_fen": 100}),
        ("首单", "first_purchase", {"points": 200, "from_fen": 10_000}),
        ("新品", "category", {"points": 1, "per_fen": 100, "codes": "new"}),
    ):
        row = EarnRule(name=name, kind=kind, draft=params)
        services.save_rule(rule=row, at=AT - 400 * DAY)
        services.activate_rule(rule_id=row.pk, at=AT - 400 * DAY)
    for name, threshold in (("初见", 0), ("常来", 1_000), ("知音", 5_000)):
        tier = Tier.objects.create(name=name, threshold=threshold)
        Benefit.objects.create(tier=tier, kind="BIRTHDAY", value=100)
        Benefit.objects.create(tier=tier, kind="POINTS", value=threshold // 100)
    PurchaseGift.objects.create(
        template=make_template(), at_least=100_000, first_day=(AT - 90 * DAY).date(), updated_at=AT
    )
    account = make_account()
    people = [make_member(account, name=f"买家 {number}") for number in range(6)]
    Member.objects.filter(pk=people[0].pk).update(birth_mmdd=(AT - 30 * DAY).month * 100 + 3)
    set_flag(member_id=people[5].pk, kind="TEST", since=None, reason="试机号码", by="test", at=AT)
    return [person.pk for person in people]


def live(people, kind, chance):
    """Two years of purchases, refunds and points spent, in the order in which they were reported."""
    for part in range(2):  # the second till finds what the first one left
        till = kind(people)
        for number in range(24):
            member_id = chance.choice(people)
            at = AT - chance.randrange(1, 700) * DAY / 2
            lines = tuple(Line(*goods) for goods in chance.sample(GOODS, chance.randrange(1, 3)))
            amount = sum(line.amount for line in lines)
            name = f"SO{part}{number}"
            till.report(Report("pos", "PURCHASE", name, at, member_id=member_id, amount=amount, lines=lines), at=at)
            if chance.random() < 0.4:
                try:
                    till.burn(
                        operation=once(f"burn:{name}"),
                        member_id=member_id,
                        points=900,
                        source="order",
                        number=name,
                        at=at + timedelta(minutes=1),
                    )
                except PointsShort:
                    chance.random()
            if chance.random() < 0.2:
                back = Report("pos", "REFUND", f"R{name}", at + DAY, amount=lines[0].amount, refers=name)
                till.report(back, at=at + DAY)
        till.flush()


def told():
    """Everything that is in the tables, by names instead of keys."""
    who = dict(Member.objects.values_list("pk", "name"))
    fact_of = dict(Fact.objects.values_list("pk", "number"))
    source = {f"rule:{pk}": name for pk, name in EarnRule.objects.values_list("pk", "name")}
    names = dict(Tier.objects.values_list("pk", "name"))

    def plain(journal):
        detail = dict(journal.detail)
        detail.pop("rule", None)
        if "fact" in detail:
            detail["fact"] = fact_of[detail["fact"]]
        return (
            who[journal.member_id], journal.kind, journal.points, source.get(journal.source, journal.source),
            journal.number, journal.reason, str(detail), journal.available, journal.held, journal.owed, journal.at,
            journal.actor, [(leg.pocket, leg.points, leg.member_id is None, leg.lot_id is None, leg.at)
                            for leg in journal.entries.order_by("pk")],
        )  # fmt: skip

    return {
        "facts": [
            (who[row.member_id], row.kind, row.number, row.amount, row.body, row.happened_at, row.received_at)
            for row in Fact.objects.order_by("kind", "number")
        ],
        "journals": [plain(row) for row in Journal.objects.order_by("member_id", "pk") if row.kind != "EXPIRE"],
        "lots": [
            (who[row.member_id], row.granted, row.remaining, row.held, row.earned_at, row.expires_at)
            for row in Lot.objects.order_by("member_id", "earned_at", "granted", "remaining")
        ],
        "accounts": [
            (who[row.member_id], row.available, row.held, row.owed, row.active_at)
            for row in Account.objects.order_by("member_id")
        ],
        "standings": [
            (who[row.member_id], names[row.tier_id], row.since, row.evaluates_at, row.in_grace)
            for row in Standing.objects.order_by("member_id")
        ],
        "changes": [
            (who[row.member_id], row.kind, row.before, row.after, row.value, row.window_from, row.at)
            for row in TierChange.objects.order_by("member_id", "pk")
        ],
        "coupons": sorted(PurchaseGrant.objects.values_list("fact__number", "member__name")),
        "entries": Entry.objects.count(),
        "owed": selectors.liability_at(AT),
    }


@pytest.mark.parametrize("settings", [{}, {"expiry": "ROLLING", "expiry_span": 2}])
def test_a_till_leads_to_the_rows_that_reports_one_by_one_lead_to(db, settings):
    found = []
    for number, kind in enumerate((OneByOne, Till)):
        with brand_scope(make_brand(f"brand-{number}", f"牌 {number}").pk):
            policy(**settings)
            live(furnish(), kind, Random(7))
            found.append(told())
            assert breaches() == []
    one, other = found
    for name in one:
        assert one[name] == other[name], name
    assert min(len(one[name]) for name in one if name not in ("entries", "owed")) > 2
    assert {row[1] for row in one["changes"]} >= {"ENTER", "UPGRADE"}


def test_a_till_refuses_what_one_report_refuses(in_brand):
    people = furnish()
    till = Till(people)
    with pytest.raises(FactRefused):
        till.report(Report("pos", "PURCHASE", "SO1", AT, member_id=people[0], amount=0), at=AT)
    with pytest.raises(PointsShort):
        till.burn(operation=once(), member_id=people[0], points=5, source="order", number="SO1", at=AT)
    till.flush()
    assert (Fact.objects.count(), Journal.objects.count()) == (0, 0)


@pytest.mark.parametrize("kind", [OneByOne, Till])
def test_points_beyond_what_one_journal_may_hold_are_refused_before_anything_is_kept(in_brand, kind):
    people = furnish()
    row = EarnRule(name="太多", kind="spend", draft={"points": 10_000, "per_fen": 100})
    services.save_rule(rule=row, at=AT - 400 * DAY)
    services.activate_rule(rule_id=row.pk, at=AT - 400 * DAY)
    till = kind(people)
    dear = Report("pos", "PURCHASE", "SO1", AT, member_id=people[0], amount=20_000_000)
    with pytest.raises(AmountInvalid), transaction.atomic():
        till.report(dear, at=AT)
    till.flush()
    assert [model.objects.count() for model in (Fact, Journal, Lot, Entry)] == [0, 0, 0, 0]
    assert not Account.objects.exclude(available=0).exists()
