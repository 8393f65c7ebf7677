"""What many callers did at once, with connections that are cut, equals doing the same one after the other.

Every call and its answer is kept, with the account's newest entry before and after it. Then the entries are replayed in
their order on paper: each must say what the paper says, what was called done must be there once, what was refused must
not be there, and where points were short, they were short at some moment between the call and its answer.
"""

from __future__ import annotations

import os
import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from django.db import Error, connection

from accounts.tenancy import brand_scope
from loyalty import services
from loyalty.errors import GiftRefused, OperationRunning, PointsShort
from loyalty.invariants import breaches
from loyalty.models import Entry, Journal
from loyalty.selectors import points as selectors
from loyalty.services import Operation
from tests.factories import AT, make_account, make_member
from tests.loyalty.conftest import earn, policy

CALLERS = int(os.environ.get("ZHIYIN_CALLERS", "8"))
ACTS = int(os.environ.get("ZHIYIN_ACTS", "12"))
ACCOUNTS = 10
BEGINS_WITH = 60

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(0 if CALLERS > 8 else 300)]


@dataclass(frozen=True)
class Call:
    """What somebody asked for and heard: the entry's number, "short" or "refused"."""

    key: str
    member_id: int
    points: int
    heard: int | str
    before: int
    after: int


def newest(member_id):
    """The last entry that anybody can see of an account."""
    rows = Entry.objects.filter(member_id=member_id).order_by("-journal_id")
    return rows.values_list("journal_id", flat=True).first() or 0


class Caller:
    """Asks for one thing after the other; a connection that was cut is opened anew and the same key asked again."""

    def __init__(self, brand, members, number):
        self.brand, self.members, self.chance = brand, members, random.Random(number)
        self.number, self.holds, self.calls, self.cuts = number, [], [], 0

    def run(self):
        try:
            for number in range(ACTS):
                self.act(f"{self.number}-{number}")
        finally:
            connection.close()
        return self

    def act(self, key):
        who, other = self.chance.sample(self.members, 2)
        points = self.chance.randrange(1, 25)
        kind = self.chance.choice(["earn", "burn", "burn", "gift", "freeze", "end"])
        if kind == "end" and self.holds:
            hold = self.holds.pop()
            who, ends = hold.member_id, self.chance.choice([services.capture, services.release])
            self.ask(key, who, 0, lambda operation: ends(operation=operation, hold=hold, at=AT))
        elif kind == "gift":
            self.ask(
                key, who, points, lambda operation: services.gift_points(
                    operation=operation, giver_id=who, receiver_id=other, points=points, at=AT
                ),
            )  # fmt: skip
        else:
            act = {"burn": services.burn_points, "freeze": services.freeze_points}.get(kind, services.earn_points)
            self.ask(
                key, who, points, lambda operation: act(
                    operation=operation, member_id=who, points=points, source="order", at=AT
                ),
            )  # fmt: skip
        if self.calls and self.chance.random() < 0.2:
            self.again(self.calls[-1])

    def ask(self, key, who, points, act):
        with brand_scope(self.brand.pk):
            before = newest(who)
        heard = self.answered(lambda: act(Operation("t", key)))
        with brand_scope(self.brand.pk):
            after = newest(who)
        self.last = act
        self.calls.append(Call(key, who, points, heard, before, after))

    def answered(self, act):
        while True:
            try:
                with brand_scope(self.brand.pk):
                    made = act()
                    if self.chance.random() < 0.03:
                        self.cut()
            except PointsShort:
                return "short"
            except GiftRefused:
                return "refused"
            except OperationRunning:  # what was cut is still being undone
                continue
            except Error:  # nobody knows whether it was done
                connection.close()
                continue
            if isinstance(made, Journal):
                return made.pk
            self.holds.append(made)
            return made.journal_id

    def cut(self):
        """Have the database end this connection before it has committed: what was done comes to nothing."""
        self.cuts += 1
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    def again(self, call):
        """The same key is the same act; what had no effect may find points now."""
        if isinstance(call.heard, int):
            count = len(self.holds)
            assert self.answered(lambda: self.last(Operation("t", call.key))) == call.heard
            del self.holds[count:]


EFFECTS = {
    "EARN": (1, 0), "BURN": (-1, 0), "GIFT": (-1, 0), "FREEZE": (-1, 1), "RELEASE": (1, -1), "CAPTURE": (0, -1),
}  # fmt: skip


def replayed(journals, member_ids):
    """Do on paper what the entries say, in their order; gives each account's states with the entry that led there."""
    states = {member_id: [(0, 0, 0)] for member_id in member_ids}
    wrong = []
    for row in journals:
        available, held = EFFECTS[row.kind]
        _entry, there, frozen = states[row.member_id][-1]
        now = (row.pk, there + available * row.points, frozen + held * row.points)
        states[row.member_id].append(now)
        if now[1:] != (row.available, row.held) or min(now) < 0:
            wrong.append((row.pk, row.kind, now, (row.available, row.held)))
        if row.kind == "GIFT":
            _entry, there, frozen = states[row.other_id][-1]
            states[row.other_id].append((row.pk, there + row.points, frozen))
    return states, wrong


def was_short(call, states):
    """Points were short at some moment between the call and its answer."""
    steps = states[call.member_id]
    first = max(at for at, step in enumerate(steps) if step[0] <= call.before)
    return any(there < call.points for entry, there, _held in steps[first:] if entry <= call.after)


@pytest.mark.long(20)
def test_what_many_do_at_once_equals_some_order_one_after_the_other(brand):
    with brand_scope(brand.pk):
        policy(expiry="NEVER", hold_minutes=43200)
        account = make_account()
        members = [make_member(account).pk for _number in range(ACCOUNTS)]
        for member_id in members:
            services.earn_points(
                operation=Operation("seed", f"{member_id}"), member_id=member_id, points=BEGINS_WITH, source="t", at=AT
            )
    gate = threading.Barrier(CALLERS)

    def run(number):
        caller = Caller(brand, members, number)
        gate.wait(timeout=60)
        return caller.run()

    with ThreadPoolExecutor(CALLERS) as pool:
        callers = list(pool.map(run, range(CALLERS)))

    calls = [call for caller in callers for call in caller.calls]
    assert len(calls) == CALLERS * ACTS
    assert sum(caller.cuts for caller in callers) > 0
    with brand_scope(brand.pk):
        journals = list(Journal.objects.order_by("pk"))
        states, wrong = replayed(journals, members)
        assert wrong == []
        # Nothing lost and nothing invented: each key that was called done is one entry, each other key none.
        keys = Counter(row.key for row in journals if row.actor == "t")
        assert keys == Counter(call.key for call in calls if isinstance(call.heard, int))
        assert {row.key: row.pk for row in journals if row.actor == "t"} == {
            call.key: call.heard for call in calls if isinstance(call.heard, int)
        }
        # An answer is of a moment between the question and itself.
        assert [call for call in calls if call.heard == "short" and not was_short(call, states)] == []
        assert [
            call for call in calls if isinstance(call.heard, int) and not call.before < call.heard <= call.after
        ] == []
        balances = {pk: selectors.balance_of(pk) for pk in members}
        assert {pk: (each.available, each.held) for pk, each in balances.items()} == {
            pk: steps[-1][1:] for pk, steps in states.items()
        }
        assert breaches() == []
    heard = Counter(call.heard if isinstance(call.heard, str) else "done" for call in calls)
    print(f"\n{CALLERS} callers, {len(calls)} calls: {dict(heard)}, {sum(each.cuts for each in callers)} cut")


def test_the_checker_sees_a_lost_update_an_invented_entry_and_a_false_refusal(brand):
    with brand_scope(brand.pk):
        policy(expiry="NEVER")
        member = make_member(make_account())
        first, second = earn(member, 10), earn(member, 5)
        rows = list(Journal.objects.order_by("pk"))
        states, wrong = replayed(rows, [member.pk])
        assert wrong == []
        rows[1].available = 5  # as if the second had not seen the first
        assert [each[0] for each in replayed(rows, [member.pk])[1]] == [second.pk]
    short = Call("k", member.pk, 12, "short", first.pk, first.pk)
    assert was_short(short, states)
    assert not was_short(Call("k", member.pk, 12, "short", second.pk, second.pk), states)
    assert was_short(Call("k", member.pk, 12, "short", first.pk, second.pk), states)
