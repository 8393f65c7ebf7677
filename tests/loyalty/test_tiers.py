"""Tiers: up at once, kept or down at the evaluation, never by the balance; three years of it against a slow walk."""

from __future__ import annotations

import os
import random
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from loyalty import ladder, services
from loyalty.errors import KeyReused, TierRefused
from loyalty.ladder import Place, Rung, Terms
from loyalty.models import Benefit, Standing, Tier, TierChange
from loyalty.selectors import points as point_selectors
from loyalty.selectors import tiers as selectors
from loyalty.services import Report
from loyalty.services.till import Till
from members.models import Member
from members.segments import matching
from members.services.identity import merge_members
from tests.factories import AT, make_member
from tests.loyalty.conftest import burn, earn, policy

DAY = timedelta(days=1)
SEEDS = int(os.environ.get("ZHIYIN_CASES", "240")) // 20
SHANGHAI = ZoneInfo("Asia/Shanghai")


@pytest.fixture
def tiers(people):
    policy(tier_months=12, tier_grace_days=90)
    names = {"初见": 0, "常来": 2000, "知音": 8000}
    return {name: Tier.objects.create(name=name, threshold=threshold) for name, threshold in names.items()}


def buy(member, yuan, number, at):
    report = Report("pos", "PURCHASE", number, at, member_id=member.pk, amount=yuan * 100)
    return services.record_fact(report=report, at=at).fact


def stands(member):
    row = Standing.objects.select_related("tier").filter(member_id=member.pk).first()
    return (row.tier.name, row.in_grace) if row else None


def history(member):
    return list(TierChange.objects.filter(member_id=member.pk).order_by("pk").values_list("kind", "after"))


def local(*day):
    return datetime(*day, tzinfo=SHANGHAI)


def test_enough_bought_lifts_at_once_and_the_balance_has_no_part_in_it(people, tiers):
    earn(people.ben, 1_000_000)
    services.refresh_tier(member_id=people.ben.pk, at=AT)
    buy(people.ann, 1_999, "1", AT)
    assert (stands(people.ann), stands(people.ben)) == (("初见", False), ("初见", False))
    buy(people.ann, 1, "2", AT + DAY)
    assert stands(people.ann) == ("常来", False)
    earn(people.ann, 100, at=AT + DAY)
    burn(people.ann, 100, at=AT + DAY)
    assert stands(people.ann) == ("常来", False)
    assert history(people.ann) == [("ENTER", "初见"), ("UPGRADE", "常来")]


@pytest.mark.parametrize("by", ["one", "till"])
def test_a_purchase_by_a_till_whose_clock_is_ahead_lifts_at_once(people, tiers, by):
    report = Report("pos", "PURCHASE", "1", AT + timedelta(minutes=2), member_id=people.ann.pk, amount=300_000)
    if by == "one":
        services.record_fact(report=report, at=AT)
    else:
        till = Till([people.ann.pk])
        till.report(report, at=AT)
        till.flush()
    assert (stands(people.ann), history(people.ann)) == (("常来", False), [("ENTER", "常来")])


def test_a_tier_is_kept_in_grace_and_lost_after_it(people, tiers):
    buy(people.ann, 8_000, "1", AT)
    row = Standing.objects.get(member=people.ann)
    assert row.evaluates_at == local(2026, 6, 2)
    assert services.evaluate_due(at=row.evaluates_at - timedelta(seconds=1)) == 0
    services.evaluate_due(at=row.evaluates_at)
    assert stands(people.ann) == ("知音", True)
    services.evaluate_due(at=row.evaluates_at + 90 * DAY)
    assert stands(people.ann) == ("初见", False)
    assert history(people.ann) == [("ENTER", "知音"), ("GRACE", "知音"), ("DOWNGRADE", "初见")]
    assert services.evaluate_due(at=row.evaluates_at + 900 * DAY) == 0


def test_buying_in_the_grace_keeps_the_tier_at_once(people, tiers):
    buy(people.ann, 8_000, "1", AT)
    due = Standing.objects.get(member=people.ann).evaluates_at
    services.evaluate_due(at=due)
    buy(people.ann, 8_000, "2", due + 10 * DAY)
    assert stands(people.ann) == ("知音", False)
    assert history(people.ann)[-1] == ("KEEP", "知音")


def test_refunds_lower_the_value_and_show_at_the_next_evaluation(people, tiers):
    buy(people.ann, 8_000, "1", AT)
    services.record_fact(report=Report("pos", "REFUND", "R", AT + DAY, amount=700_000, refers="1"), at=AT + DAY)
    assert stands(people.ann) == ("知音", False)
    view = selectors.view_of(people.ann.pk, at=AT + 2 * DAY)
    assert (view.value, view.next_tier) == (1_000, None)


def test_a_lock_keeps_a_tier_until_its_day_and_needs_a_reason(people, tiers):
    until = AT + 400 * DAY
    with pytest.raises(TierRefused):
        services.lock_tier(member_id=people.ann.pk, tier=tiers["知音"], until=until, reason=" ", at=AT)
    with pytest.raises(TierRefused):
        services.lock_tier(member_id=people.ann.pk, tier=tiers["知音"], until=AT, reason="贵宾", at=AT)
    services.lock_tier(member_id=people.ann.pk, tier=tiers["知音"], until=until, reason="贵宾", at=AT)
    buy(people.ann, 100, "1", AT + 380 * DAY)
    services.evaluate_due(at=until - timedelta(seconds=1))
    assert stands(people.ann) == ("知音", False)
    services.evaluate_due(at=until)
    assert stands(people.ann) == ("知音", True)
    services.evaluate_due(at=until + 90 * DAY)
    assert stands(people.ann) == ("初见", False)


def test_an_ended_lock_is_evaluated_by_the_next_sweep(people, tiers):
    services.lock_tier(member_id=people.ann.pk, tier=tiers["知音"], until=AT + 400 * DAY, reason="贵宾", at=AT)
    services.unlock_tier(member_id=people.ann.pk, reason="弄错了", at=AT + DAY)
    services.evaluate_due(at=AT + DAY)
    assert stands(people.ann) == ("知音", True)
    with pytest.raises(TierRefused):
        services.unlock_tier(member_id=people.ann.pk, reason="再来", at=AT + DAY)


def test_the_preview_says_what_the_next_evaluation_would_do_and_then_it_does(people, tiers):
    buy(people.ann, 8_000, "1", AT)
    buy(people.ben, 2_000, "2", AT)
    buy(people.ben, 2_500, "3", AT + 300 * DAY)
    at = AT + 340 * DAY
    found = {
        each.standing.member_id: (each.kind, each.after, each.value, each.needed)
        for each in selectors.forecasts(at=at, days=30).page
    }
    assert found == {people.ann.pk: ("GRACE", "知音", 0, 8_000), people.ben.pk: ("KEEP", "常来", 2_500, 0)}
    assert selectors.forecasts(at=at, days=10) == selectors.Forecasts(0, [])
    assert TierChange.objects.count() == 2
    services.evaluate_due(at=AT + 370 * DAY)
    assert (stands(people.ann), stands(people.ben)) == (("知音", True), ("常来", False))


def test_evaluating_twice_or_years_late_changes_nothing(people, tiers):
    buy(people.ann, 8_000, "1", AT)
    for days in range(0, 1100, 30):
        services.evaluate_due(at=AT + days * DAY)
    assert services.evaluate_due(at=AT + 1100 * DAY) == 0
    buy(people.ben, 8_000, "2", AT)
    services.evaluate_due(at=AT + 1100 * DAY)
    often = list(
        TierChange.objects.filter(member=people.ann).order_by("pk").values_list("kind", "after", "value", "at")
    )
    same = list(TierChange.objects.filter(member=people.ben).order_by("pk").values_list("kind", "after", "value", "at"))
    assert often == same


def test_a_merge_keeps_the_higher_tier_and_counts_what_both_bought(people, tiers):
    buy(people.ann, 1_500, "1", AT)
    buy(people.ben, 2_100, "2", AT)
    before = Standing.objects.get(member=people.ann).since, Standing.objects.get(member=people.ben).evaluates_at
    merge_members(kept=people.ann, merged=people.ben, evidence="t", at=AT + DAY)
    assert (stands(people.ann), stands(people.ben)) == (("常来", False), None)
    assert selectors.view_of(people.ann.pk, at=AT + DAY).value == 3_600
    services.undo_merge(kept=people.ann, merged=people.ben, at=AT + DAY)
    after = Standing.objects.get(member=people.ann).since, Standing.objects.get(member=people.ben).evaluates_at
    assert (stands(people.ann), stands(people.ben), after) == (("初见", False), ("常来", False), before)
    assert selectors.view_of(people.ann.pk, at=AT + DAY).value == 1_500


def test_whoever_bought_enough_while_merged_keeps_the_tier_when_that_is_undone(people, tiers):
    buy(people.ann, 1_500, "1", AT)
    buy(people.ben, 2_100, "2", AT)
    merge_members(kept=people.ann, merged=people.ben, evidence="t", at=AT + DAY)
    buy(people.ann, 7_000, "3", AT + 2 * DAY)
    assert stands(people.ann) == ("知音", False)
    services.undo_merge(kept=people.ann, merged=people.ben, at=AT + 3 * DAY)
    assert (stands(people.ann), stands(people.ben)) == (("知音", False), ("常来", False))
    assert selectors.view_of(people.ann.pk, at=AT + 3 * DAY).value == 8_500


def test_the_card_says_in_one_query_what_the_page_says_in_many(people, tiers):
    policy(expiry="MONTH_END", expiry_span=0, warn_days=40)
    buy(people.ann, 2_500, "1", AT)
    earn(people.ann, 70, at=AT)
    for at in (AT, AT + 10 * DAY, AT + 366 * DAY):
        for member in (people.ann, people.ben):
            card, view = selectors.card_of(member.pk, at=at), selectors.view_of(member.pk, at=at)
            following = view.next_tier.name if view.next_tier else None
            assert (card.tier, card.value, card.next_tier, card.missing) == (
                view.tier.name, view.value, following, view.missing,
            )  # fmt: skip
            ending = next(iter(point_selectors.endings_of(member.pk, at=at, days=40)), None)
            assert card.balance == point_selectors.balance_of(member.pk)
            assert card.ending == (ending.points if ending else None)


def test_one_cart_costs_three_tiers_three_totals_and_says_by_which_rule(people, tiers):
    Benefit.objects.create(tier=tiers["常来"], kind="PRICE", value=5)
    Benefit.objects.create(tier=tiers["知音"], kind="PRICE", value=10)
    Benefit.objects.create(tier=tiers["知音"], kind="FREE_SHIPPING", value=9_900)
    totals = []
    for name in tiers:
        Standing.objects.update_or_create(member=people.ann, defaults={"tier": tiers[name], "since": AT})
        found = selectors.applied(people.ann.pk, amount=100_000, at=AT)
        totals.append(
            (100_000 - sum(each.saved for each in found), [(each.kind, each.tier, each.threshold) for each in found])
        )
    assert totals == [
        (100_000, []),
        (95_000, [("PRICE", "常来", 2000)]),
        (90_000, [("FREE_SHIPPING", "知音", 8000), ("PRICE", "知音", 8000)]),
    ]
    for key, number in (("1", "SO1"), ("1", "SO1"), ("2", "SO1")):  # again, and the same order under another key
        use = services.use_benefits(
            operation=services.Operation("till", key), member_id=people.ann.pk, number=number, amount=100_000, at=AT
        )
        assert [each["kind"] for each in use.applied] == ["FREE_SHIPPING", "PRICE"]
    assert sorted(Benefit.objects.values_list("used", flat=True)) == [0, 1, 1]
    with pytest.raises(KeyReused):
        services.use_benefits(
            operation=services.Operation("till", "1"), member_id=people.ann.pk, number="SO1", amount=5, at=AT
        )


# --- three years -----------------------------------------------------------------------------------------------------

RUNGS = [Rung(1, 0), Rung(2, 2000), Rung(3, 8000)]
TERMS = Terms(12, 90, SHANGHAI)


def top(amount):
    return max(number for number, rung in enumerate(RUNGS) if rung.threshold <= amount)


def same_day(moment, years):
    """The same day of another year; the 29th of February becomes the 28th."""
    day = moment.astimezone(SHANGHAI)
    return day.replace(year=day.year + years, day=28 if (day.month, day.day) == (2, 29) else day.day)


def a_year_on(moment):
    return same_day(moment, 1).replace(hour=0, minute=0, second=0) + DAY


class Walk:
    """The rules on paper: where somebody stands, and since when nobody has looked."""

    def __init__(self, purchases):
        self.purchases, self.tier, self.until, self.grace = purchases, 0, None, False

    def value(self, since, until):
        return sum(yuan for at, yuan in self.purchases if since <= at < until)

    def evaluate(self, moment):
        earned = top(self.value(same_day(moment, -1), moment))
        if earned >= self.tier:
            self.until, self.grace = (a_year_on(moment) if self.tier else None), False
        elif not self.grace:
            self.until, self.grace = moment + 90 * DAY, True
        else:
            self.tier, self.until, self.grace = earned, (a_year_on(moment) if earned else None), False

    def bought(self, now):
        earned = top(self.value(same_day(now, -1), now + timedelta(seconds=1)))
        if earned > self.tier or (self.grace and earned == self.tier):
            self.tier, self.until, self.grace = earned, a_year_on(now), False


def day_by_day(purchases, days):
    """Every day hold what is due, then look at what was bought."""
    walk, seen = Walk(purchases), []
    for number in range(days):
        now = AT + number * DAY
        while walk.until and walk.until <= now:
            walk.evaluate(walk.until)
        if any(at == now for at, _yuan in purchases):
            walk.bought(now)
        seen.append((walk.tier + 1, walk.grace))
    return seen


@pytest.mark.parametrize("seed", range(SEEDS))
def test_three_years_equal_a_walk_on_paper_however_often_one_looks(seed):
    chance = random.Random(seed)
    purchases = [
        (AT + chance.randrange(1095) * DAY, chance.choice([300, 900, 2500, 7000]))
        for _ in range(chance.randrange(3, 14))
    ]
    days = {at for at, _yuan in purchases}

    def value_between(since, until):
        return sum(yuan for at, yuan in purchases if since <= at < until)

    for every in (1, 30, 400):
        place, seen = Place(1, AT), []
        for number in range(1095):
            now = AT + number * DAY
            if number % every == 0 or now in days:
                for step in ladder.catch_up(place, RUNGS, TERMS, value_between, now):
                    place = step.place
            if now in days:
                value = value_between(ladder.window_of(now, TERMS), now + timedelta(seconds=1))
                step = ladder.rise(place, RUNGS, TERMS, value, now)
                place = step.place if step else place
            if every == 1:
                seen.append((place.tier_id, place.in_grace))
        for step in ladder.catch_up(place, RUNGS, TERMS, value_between, AT + 1094 * DAY):
            place = step.place
        paper = day_by_day(purchases, 1095)
        if every == 1:
            assert seen == paper
        assert (place.tier_id, place.in_grace) == paper[-1]


def test_the_window_begins_a_year_earlier_on_a_leap_day_too():
    at = timezone.make_aware(datetime(2024, 2, 29, 12), SHANGHAI)  # noqa: DTZ001
    assert ladder.window_of(at, TERMS) == local(2023, 2, 28, 12)
    assert ladder.lasts_until(at, TERMS) == local(2025, 3, 1)


def test_without_a_decision_people_stand_in_the_lowest_tier_wherever_it_is_asked(people):
    for member in (people.ann, people.ben):
        Member.objects.filter(pk=member.pk).update(joined_at=AT)
    visitor = make_member(people.account)
    assert (selectors.tier_of(people.ann.pk), selectors.people_in([], at=AT)) == (None, {})
    low, high = (Tier.objects.create(name=name, threshold=value) for name, value in (("初见", 0), ("知音", 1000)))
    Standing.objects.create(member=people.ben, tier=high, since=AT)

    assert [selectors.tier_of(each.pk) for each in (people.ann, people.ben, visitor)] == [low, high, low]
    assert selectors.card_of(people.ann.pk, at=AT).tier == selectors.view_of(people.ann.pk, at=AT).tier.name == "初见"
    assert selectors.people_in([low.pk, high.pk], at=AT) == {low.pk: 1, high.pk: 1}
    for tier in (low, high):
        rule = {"all": [{"condition": "tier", "params": {"tiers": [tier.pk]}}]}
        assert matching(rule, at=AT).count() == 1
