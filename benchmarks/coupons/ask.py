"""Claims at once on connections of their own, and batches of codes, through the services.

Runs in the product's environment as the stand's child; measures what it is asked for, line by line.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.db import connection  # noqa: E402 - Django must be set up first

from accounts.services import create_brand  # noqa: E402
from accounts.tenancy import brand_scope  # noqa: E402
from common import clock  # noqa: E402
from coupons import services  # noqa: E402
from coupons.errors import BudgetGone  # noqa: E402
from coupons.invariants import breaches  # noqa: E402
from coupons.models import Template  # noqa: E402
from loyalty.models import Account  # noqa: E402
from loyalty.services import Operation  # noqa: E402
from members.models import Member  # noqa: E402

CLAIMS: Final = int(os.environ.get("BENCH_CLAIMS", "1000"))
CODES: Final = int(os.environ.get("BENCH_CODES", "1000000"))
THREADS: Final = 32
RULE: Final = {"kind": "AMOUNT", "amount": 500, "days": 30}


class Bench:
    """A brand with as many people as claims."""

    def __init__(self) -> None:
        """Make the people."""
        self.brand = create_brand(slug="coupons", name="优惠券")
        self.numbers = itertools.count()
        at = clock.now()
        with brand_scope(self.brand.pk):
            people = Member.objects.bulk_create(
                Member(public_id=uuid.uuid4(), member_no=f"{number:08d}", created_at=at, joined_at=at)
                for number in range(CLAIMS)
            )
            Account.objects.bulk_create(Account(member=member) for member in people)
        self.people = [member.pk for member in people]

    def template(self, total: int) -> Template:
        """Make a template of which there are so many."""
        at = clock.now()
        with brand_scope(self.brand.pk):
            draft = Template(name=f"券 {next(self.numbers)}", draft=RULE, total=total, claimable=True)
            row = services.save_template(template=draft, at=at)
            services.activate_template(template_id=row.pk, at=at)
            return Template.objects.get(pk=row.pk)

    def claims(self) -> dict[str, float]:
        """Let everybody claim at once what half of them can have; gives claims a second, and what was given."""
        template = self.template(CLAIMS // 2)
        gate = threading.Barrier(THREADS + 1)

        def share(mine: list[int]) -> int:
            won = 0
            gate.wait()
            for member_id in mine:
                try:
                    with brand_scope(self.brand.pk):
                        services.claim_coupon(
                            operation=Operation("bench", f"{template.pk}:{member_id}"),
                            template=template,
                            member_id=member_id,
                            at=clock.now(),
                        )
                    won += 1
                except BudgetGone:
                    continue
            connection.close()
            return won

        with ThreadPoolExecutor(THREADS) as pool:
            shares = [pool.submit(share, self.people[at::THREADS]) for at in range(THREADS)]
            gate.wait()
            since = time.perf_counter()
            won = sum(each.result() for each in shares)
        seconds = time.perf_counter() - since
        with brand_scope(self.brand.pk):
            taken = Template.objects.get(pk=template.pk).taken
            wrong = len(breaches())
        exact = float(won == taken == CLAIMS // 2)
        return {"value": CLAIMS / seconds, "won": float(won), "exact": exact, "breaches": float(wrong)}

    def codes(self) -> dict[str, float]:
        """Make a batch as the task does; gives the seconds."""
        template = self.template(CODES)
        with brand_scope(self.brand.pk):
            batch = services.create_batch(template=template, label="bench", count=CODES, at=clock.now())
        since, more = time.perf_counter(), 1
        while more:
            with brand_scope(self.brand.pk):
                more = services.make_portion(batch_id=batch.pk, at=clock.now())
        seconds = time.perf_counter() - since
        with brand_scope(self.brand.pk):
            batch.refresh_from_db()
        return {"value": seconds, "made": float(batch.made), "exact": float(batch.made == CODES), "breaches": 0.0}


def main() -> None:
    """Answer what is asked for, a line each."""
    bench = Bench()
    print(json.dumps({"claims": CLAIMS, "codes": CODES}), flush=True)
    for line in sys.stdin:
        what = line.strip()
        print(json.dumps(bench.claims() if what == "claims" else bench.codes()), flush=True)


if __name__ == "__main__":
    main()
