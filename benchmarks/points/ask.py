"""Earning and spending through the services, and the same rows written by plain INSERTs.

Runs in the product's environment as the stand's child; measures what it is asked for, line by line.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
import uuid
from typing import TYPE_CHECKING, Final

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.db import connection  # noqa: E402 - Django must be set up first

from accounts.services import create_brand  # noqa: E402
from accounts.tenancy import brand_scope  # noqa: E402
from common import clock  # noqa: E402
from loyalty import services  # noqa: E402
from loyalty.invariants import breaches  # noqa: E402
from loyalty.models import Account, Lot  # noqa: E402
from loyalty.services import Operation  # noqa: E402
from members.models import Member  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

PEOPLE: Final = 200
ACTS: Final = int(os.environ.get("BENCH_ACTS", "1500"))
_JOURNAL: Final = """
INSERT INTO loyalty_journal (brand_id, public_id, kind, actor, key, fingerprint, member_id, points, source, number,
    reason, detail, available, held, owed, at)
VALUES (%s, gen_random_uuid(), %s, 'bench', %s, gen_random_uuid(), %s, 5, 'bench', '', '', '{}', 5, 0, 0, now())
RETURNING id
"""
_LOT: Final = """
INSERT INTO loyalty_lot (brand_id, member_id, journal_id, granted, remaining, held, earned_at)
VALUES (%s, %s, %s, 5, 5, 0, now()) RETURNING id
"""
_ENTRIES: Final = """
INSERT INTO loyalty_entry (brand_id, journal_id, pocket, member_id, lot_id, points, at)
VALUES (%s, %s, 'AVAILABLE', %s, %s, %s, now()), (%s, %s, %s, NULL, NULL, %s, now())
"""
_ACCOUNT: Final = "UPDATE loyalty_account SET available = available + %s WHERE brand_id = %s AND member_id = %s"
_SPENT: Final = "UPDATE loyalty_lot SET remaining = remaining - 5 WHERE brand_id = %s AND id = %s"


class Bench:
    """A brand with people whose points are moved one act after another, each in a transaction of its own."""

    def __init__(self) -> None:
        """Make the people."""
        self.brand = create_brand(slug="points", name="积分")
        self.numbers = itertools.count()
        at = clock.now()
        with brand_scope(self.brand.pk):
            people = Member.objects.bulk_create(
                Member(public_id=uuid.uuid4(), member_no=f"{number:08d}", created_at=at, joined_at=at)
                for number in range(PEOPLE)
            )
            Account.objects.bulk_create(Account(member=member) for member in people)
        self.people = [member.pk for member in people]

    def earn(self) -> None:
        """Give five points to the next person."""
        number = next(self.numbers)
        with brand_scope(self.brand.pk):
            services.earn_points(
                operation=Operation("bench", f"{number}"),
                member_id=self.people[number % PEOPLE],
                points=5,
                source="bench",
                at=clock.now(),
            )

    def burn(self) -> None:
        """Spend five points of the person who earned some ACTS acts ago."""
        number = next(self.numbers)
        with brand_scope(self.brand.pk):
            services.burn_points(
                operation=Operation("bench", f"{number}"),
                member_id=self.people[(number - ACTS) % PEOPLE],
                points=5,
                source="order",
                at=clock.now(),
            )

    def plain_earn(self) -> None:
        """Write the rows of an earning, asking nothing."""
        number = next(self.numbers)
        member, brand = self.people[number % PEOPLE], self.brand.pk
        with brand_scope(brand), connection.cursor() as cursor:
            journal = _id(cursor, _JOURNAL, [brand, "EARN", f"{number}", member])
            lot = _id(cursor, _LOT, [brand, member, journal])
            cursor.execute(_ENTRIES, [brand, journal, member, lot, 5, brand, journal, "ISSUED", -5])
            cursor.execute(_ACCOUNT, [5, brand, member])

    def plain_burn(self) -> None:
        """Write the rows of a spending, knowing the lot beforehand."""
        number = next(self.numbers)
        member, lot = self.lots.pop()
        brand = self.brand.pk
        with brand_scope(brand), connection.cursor() as cursor:
            journal = _id(cursor, _JOURNAL, [brand, "BURN", f"{number}", member])
            cursor.execute(_ENTRIES, [brand, journal, member, lot, -5, brand, journal, "REDEEMED", 5])
            cursor.execute(_SPENT, [brand, lot])
            cursor.execute(_ACCOUNT, [-5, brand, member])

    def measure(self, side: str) -> dict[str, float]:
        """Earn and spend the same number of times; gives acts a second."""
        ours = side == "ledger"
        found = {"earn": _rate(self.earn if ours else self.plain_earn)}
        with brand_scope(self.brand.pk):
            rows = Lot.objects.filter(remaining=5).order_by("-pk").values_list("member_id", "pk")
            self.lots = list(rows[:ACTS])
        found["burn"] = _rate(self.burn if ours else self.plain_burn)
        with brand_scope(self.brand.pk):
            wrong = breaches()
        found["breaches"] = float(len(wrong))
        return found


def _id(cursor: object, statement: str, values: list[object]) -> int:
    cursor.execute(statement, values)  # type: ignore[attr-defined]
    return int(cursor.fetchone()[0])  # type: ignore[attr-defined]


def _rate(act: Callable[[], None]) -> float:
    since = time.perf_counter()
    for _number in range(ACTS):
        act()
    return ACTS / (time.perf_counter() - since)


def main() -> None:
    """Answer what is asked for, a line each."""
    bench = Bench()
    print(json.dumps({"people": PEOPLE, "acts": ACTS}), flush=True)
    for line in sys.stdin:
        print(json.dumps(bench.measure(line.strip())), flush=True)


if __name__ == "__main__":
    main()
