"""Everything that can be done to points, in any order, against a slow model of lots on paper."""

from __future__ import annotations

import itertools
import os
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from accounts.tenancy import brand_scope
from loyalty import services
from loyalty.errors import (
    GiftRefused,
    HoldEnded,
    MemberGone,
    NothingToReverse,
    PointsShort,
    RefundBlocked,
    ReinstateTooLate,
)
from loyalty.invariants import breaches
from loyalty.models import Lot, PointsPolicy
from loyalty.selectors import points as selectors
from members.models import Member
from members.services.identity import merge_members
from tests.factories import AT, make_account, make_brand, make_member
from tests.loyalty.conftest import once

POINTS = st.integers(1, 60)
DAYS = st.integers(0, 25)
WHO = st.integers(0, 2)
LAST = 30  # days a lot lives
FEW, SHORT = 10, 20
EXAMPLES = int(os.environ.get("ZHIYIN_SEQUENCES", FEW))
STEPS = int(os.environ.get("ZHIYIN_STEPS", SHORT))
BACK = 5  # days in which expired points can come back
RING = 30  # days in which points do not go in a ring


class Paper:
    """Points on paper: a list of lots [owner, left, frozen, last moment, what expired, how much of that a refund took], debts."""

    def __init__(self):
        self.lots, self.owed, self.gone, self.gifts = [], {0: 0, 1: 0, 2: 0}, set(), []

    def order(self, who, now):
        """What a purchase takes from, in its order."""
        return sorted(
            (lot for lot in self.lots if lot["who"] == who and lot["left"] and lot["ends"] > now),
            key=lambda lot: (lot["ends"], lot["came"], lot["seq"]),
        )

    def expire(self, who, now):
        for lot in self.lots:
            if lot["who"] == who and lot["ends"] <= now and lot["left"]:
                lot["expired"].append((now, lot["left"]))
                lot["left"] = 0

    def reinstate(self, who, now):
        """Bring back what expired in the days before; gives how much."""
        back = 0
        for lot in self.lots:
            points = sum(part for at, part in lot["expired"] if at > now - timedelta(days=BACK))
            points = min(points, self.expired(lot))
            if lot["who"] == who and points > 0:
                lot["expired"].append((now, -points))
                lot["left"] += points
                back += points
                if lot["ends"] <= now:
                    lot["ends"] = now + timedelta(days=BACK)
        return back

    def expired(self, lot):
        """What of a lot has expired and was not taken back since."""
        return sum(part for _at, part in lot["expired"]) - lot["taken"]

    def thaw(self, parts, points, who):
        """Take parts out of a freeze and let the first so many points be spent; a debt has the next, then the lots."""
        spent = []
        for lot, part in parts:
            used = min(part, points)
            points -= used
            lot["held"] -= part
            paid = min(part - used, self.owed[who])
            self.owed[who] -= paid
            lot["left"] += part - used - paid
            if used:
                spent.append([lot, used])
        return spent

    def ring(self, giver, receiver, now):
        """Say whether points that the receiver gave on would have come to the giver."""
        reached, more = set(), {receiver}
        while more > reached:
            reached = more
            more = reached | {two for one, two, at in self.gifts if one in reached and at > now - timedelta(days=RING)}
        return giver in reached

    def spendable(self, who, now):
        return sum(lot["left"] for lot in self.order(who, now)) - self.owed[who]

    def take(self, who, points, now):
        taken = []
        for lot in self.order(who, now):
            part = min(lot["left"], points)
            if part:
                lot["left"] -= part
                points -= part
                taken.append([lot, part])
        assert points == 0
        return taken

    def balance(self, who):
        mine = [lot for lot in self.lots if lot["who"] == who]
        return sum(lot["left"] for lot in mine), sum(lot["held"] for lot in mine), self.owed[who]


class Ledger(RuleBasedStateMachine):
    """The services beside the paper. Everything happens in one transaction, which is thrown away."""

    @initialize(negative=st.sampled_from(["CAP", "ALLOW", "BLOCK"]))
    def begin(self, negative):
        self.atomic = transaction.atomic()
        self.atomic.__enter__()
        self.scope = brand_scope(make_brand().pk)
        self.scope.__enter__()
        account = make_account()
        self.people = [make_member(account) for _ in range(3)]
        PointsPolicy.objects.create(expiry="NEVER", negative=negative, reinstate_days=BACK, hold_minutes=43200)
        self.negative, self.now, self.paper, self.seq = negative, AT, Paper(), itertools.count()
        self.earned, self.spent, self.holds, self.merged = [], [], [], None

    def teardown(self):
        if hasattr(self, "people"):
            assert breaches() == []
        if hasattr(self, "scope"):
            transaction.set_rollback(True)
            self.scope.__exit__(None, None, None)
            transaction.set_rollback(True)
            self.atomic.__exit__(None, None, None)

    def pk(self, who):
        return self.people[who].pk

    def someone(self, who):
        """Whom an act reaches today: the record that stayed after a merge."""
        return self.merged[0] if self.merged and who == self.merged[1] else who

    @rule(days=DAYS)
    def wait(self, days):
        self.now += timedelta(days=days)

    @rule(who=WHO, points=POINTS, days=st.integers(1, LAST))
    def earn(self, who, points, days):
        if self.someone(who) in self.paper.gone:
            with pytest.raises(MemberGone):
                self._earn(who, points)
            return
        journal = self._earn(who, points)
        today, ends = self.someone(who), self.now + timedelta(days=days)
        paid = min(points, self.paper.owed[today])
        self.paper.owed[today] -= paid
        lot = None
        if points > paid:
            Lot.objects.filter(journal=journal).update(expires_at=ends)
            lot = self._lot(today, points - paid, ends)
        self.earned.append([journal, lot, points, today])

    def _earn(self, who, points):
        return services.earn_points(operation=once(), member_id=self.pk(who), points=points, source="t", at=self.now)

    def _lot(self, who, points, ends, came=None):
        lot = {"who": who, "left": points, "held": 0, "ends": ends, "came": came or self.now}
        lot |= {"seq": next(self.seq), "expired": [], "taken": 0}
        self.paper.lots.append(lot)
        return lot

    def _try(self, act, who, points):
        """Ask for points; gives (what the service gave, which lots on paper), or None where both refuse."""
        today = self.someone(who)
        if today in self.paper.gone:
            with pytest.raises(MemberGone):
                act()
            return None
        if self.paper.spendable(today, self.now) < points:
            with pytest.raises(PointsShort), transaction.atomic():
                act()
            return None
        made = act()
        self.paper.expire(today, self.now)
        return made, self.paper.take(today, points, self.now)

    @rule(who=WHO, points=POINTS)
    def burn(self, who, points):
        done = self._try(
            lambda: services.burn_points(
                operation=once(), member_id=self.pk(who), points=points, source="order", at=self.now
            ),
            who,
            points,
        )
        if done:
            self.spent.append([done[0], done[1], 0])

    @rule(who=WHO, points=POINTS)
    def freeze(self, who, points):
        done = self._try(
            lambda: services.freeze_points(
                operation=once(), member_id=self.pk(who), points=points, source="order", at=self.now
            ),
            who,
            points,
        )
        if done:
            for lot, part in done[1]:
                lot["held"] += part
            self.holds.append(done)

    @precondition(lambda self: self.holds)
    @rule(data=st.data(), capture=st.booleans())
    def unfreeze(self, data, capture):
        hold, parts = self.holds.pop(data.draw(st.integers(0, len(self.holds) - 1)))
        if parts[0][0]["who"] in self.paper.gone:
            return
        late = hold.until <= self.now
        if capture and late:
            with pytest.raises(HoldEnded):
                services.capture(operation=once(), hold=hold, at=self.now)
        who = parts[0][0]["who"]
        if not capture or late:
            services.release(operation=once(), hold=hold, at=self.now)
            self.paper.thaw(parts, 0, who)
            return
        points = data.draw(st.integers(1, hold.points))
        journal = services.capture(operation=once(), hold=hold, points=points, at=self.now)
        self.spent.append([journal, self.paper.thaw(parts, points, who), 0])

    @precondition(lambda self: self.spent)
    @rule(data=st.data(), points=POINTS)
    def refund_spending(self, data, points):
        journal, taken, _back = row = data.draw(st.sampled_from(self.spent))
        if taken and taken[0][0]["who"] in self.paper.gone:
            return
        left = sum(part for _lot, part in taken)
        act = lambda: services.reverse(operation=once(), journal=journal, points=points, at=self.now)  # noqa: E731
        if points > left:
            with pytest.raises(NothingToReverse), transaction.atomic():
                act()
            return
        act()
        row[2] += points
        for each in reversed(taken):
            part = min(each[1], points)
            if not part:
                continue
            each[1] -= part
            points -= part
            each[0]["left"] += part
            if each[0]["ends"] <= self.now:
                each[0]["ends"] = self.now + timedelta(days=5)
        taken[:] = [each for each in taken if each[1]]

    @precondition(lambda self: self.earned)
    @rule(data=st.data(), points=POINTS)
    def refund_earning(self, data, points):
        row = data.draw(st.sampled_from(self.earned))
        journal, own, left, who = row
        today = self.someone(who)
        if today in self.paper.gone:
            return
        act = lambda: services.reverse(operation=once(), journal=journal, points=points, at=self.now)  # noqa: E731
        if points > left:
            with pytest.raises(NothingToReverse), transaction.atomic():
                act()
            return
        # What had ended of it by now is gone already: only the rest is taken out of other lots.
        ends = own is not None and own["who"] == today and own["ends"] <= self.now
        first = [own] if own and own["who"] == today and not ends else []
        expired = (self.paper.expired(own) + (own["left"] if ends else 0)) if own else 0
        expired = min(expired, points - sum(min(lot["left"], points) for lot in first))
        there = sum(lot["left"] for lot in self.paper.order(today, self.now))
        _left, held, owed = self.paper.balance(today)
        missing = max(0, points - expired - there)
        frozen = min(missing, max(0, held - owed))  # what is frozen for something else stays owed
        if self.negative == "BLOCK" and missing > frozen:
            with pytest.raises(RefundBlocked), transaction.atomic():
                act()
            return
        act()
        row[2] -= points
        self.paper.expire(today, self.now)
        if own:
            own["taken"] += expired
        points -= expired
        for lot in [*first, *self.paper.order(today, self.now)]:
            part = min(lot["left"], points)
            lot["left"] -= part
            points -= part
        self.paper.owed[today] += points if self.negative == "ALLOW" else frozen

    @rule(giver=WHO, receiver=WHO, points=POINTS)
    def gift(self, giver, receiver, points):
        one, two = self.someone(giver), self.someone(receiver)
        if one == two or two in self.paper.gone:
            return
        act = lambda: services.gift_points(  # noqa: E731
            operation=once(), giver_id=self.pk(giver), receiver_id=self.pk(receiver), points=points, at=self.now
        )
        if one not in self.paper.gone and self.paper.ring(one, two, self.now):
            with pytest.raises(GiftRefused), transaction.atomic():
                act()
            return
        done = self._try(act, giver, points)
        if done:
            self.paper.gifts.append((one, two, self.now))
        for lot, part in done[1] if done else ():
            self._lot(two, part, lot["ends"], lot["came"])

    @rule(who=WHO)
    def expire(self, who):
        services.expire_lots(member_id=self.pk(who), at=self.now)
        self.paper.expire(who, self.now)

    @rule(who=WHO)
    def reinstate(self, who):
        today = self.someone(who)
        act = lambda: services.reinstate_points(operation=once(), member_id=self.pk(who), at=self.now)  # noqa: E731
        if today in self.paper.gone:
            with pytest.raises(MemberGone):
                act()
            return
        back = self.paper.reinstate(today, self.now)
        if not back:
            with pytest.raises(ReinstateTooLate):
                act()
            return
        assert act().points == back

    @precondition(lambda self: self.merged is None)
    @rule(who=st.permutations([0, 1, 2]))
    def merge(self, who):
        kept, merged = who[:2]
        if {kept, merged} & self.paper.gone:
            return
        merge_members(kept=self.people[kept], merged=self.people[merged], evidence="t", at=self.now)
        moved = [lot for lot in self.paper.lots if lot["who"] == merged]
        for lot in moved:
            lot["who"] = kept
        debt = self.paper.owed[merged]
        self.paper.owed[kept] += debt
        self.paper.owed[merged] = 0
        self.merged = (kept, merged, moved, debt, {hold.pk for hold, _parts in self.holds})

    @precondition(lambda self: self.merged is not None)
    @rule()
    def unmerge(self):
        kept, merged, moved, debt, old = self.merged
        if kept in self.paper.gone:
            return
        services.undo_merge(kept=self.people[kept], merged=self.people[merged], at=self.now)
        Member.objects.filter(pk=self.pk(merged)).update(merged_into=None)
        for each in [each for each in self.holds if self._of_both(each, old, moved)]:
            self.holds.remove(each)
            for lot, part in each[1]:
                lot["held"] -= part
                lot["left"] += part
        for lot in moved:
            lot["who"] = merged
        back = min(debt, self.paper.owed[kept])
        self.paper.owed[kept] -= back
        self.paper.owed[merged] += back
        self.merged = None

    def _of_both(self, held, old, moved):
        """A freeze made after the merge that holds points of lots that go back is released."""
        return held[0].pk not in old and any(lot["seq"] == each["seq"] for lot, _part in held[1] for each in moved)

    @precondition(lambda self: self.merged is None)
    @rule(who=WHO)
    def erase(self, who):
        if who in self.paper.gone or len(self.paper.gone) == 2:
            return
        services.lapse_points(follower=SimpleNamespace(member_id=self.pk(who)), whole=True, at=self.now)
        Member.objects.filter(pk=self.pk(who)).update(erased_at=self.now)
        for lot in self.paper.lots:
            if lot["who"] == who:
                lot["left"] = lot["held"] = 0
        self.paper.owed[who] = 0
        self.paper.gone.add(who)

    @invariant()
    def paper_and_ledger_agree(self):
        if not hasattr(self, "people"):
            return
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS loyalty_entry_balanced IMMEDIATE")
            cursor.execute("SET CONSTRAINTS loyalty_entry_balanced DEFERRED")
        for who in range(3):
            found = selectors.balance_of(self.pk(who))
            assert (found.available, found.held, found.owed) == self.paper.balance(who)


@pytest.mark.django_db
@pytest.mark.timeout(300 if EXAMPLES == FEW else 0)
def test_points_equal_a_model_on_paper_whatever_happens():
    run_state_machine_as_test(
        Ledger,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=(EXAMPLES, STEPS) == (FEW, SHORT),  # the same steps each time; more of them are drawn anew
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
