"""A table of members through upload, dry run, import and undo, and plain statements that write the same rows.

Runs in the product's environment as the stand's child; measures what it is asked for, line by line.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Final

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.db import connection, transaction  # noqa: E402 - Django must be set up first

from accounts.services import create_brand  # noqa: E402
from accounts.tenancy import brand_scope  # noqa: E402
from common import clock  # noqa: E402
from imports import services  # noqa: E402
from imports.models import Import  # noqa: E402
from loyalty.invariants import breaches  # noqa: E402
from members.models import Member  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

    from accounts.models import Brand

ROWS: Final = int(os.environ.get("BENCH_ROWS", "100000"))
_brands = itertools.count(1)

# The rows that one imported member leaves, written at once with nothing looked up, sealed, checked or remembered.
_PLAIN: Final = (
    """INSERT INTO members_member (brand_id, public_id, member_no, name, phone, phone_index, phone_tail, phone_masked,
           birth_mmdd, city, created_at, joined_at, subscribed, tag_ids)
       SELECT %(brand)s, gen_random_uuid(), n::text, '人' || n, '\\x00'::bytea, gen_random_uuid(), '0000',
           '139****0000', 817, '上海', now(), now(), false, '{}' FROM generate_series(1, %(rows)s) AS n""",
    """INSERT INTO members_identity (brand_id, member_id, kind, namespace, value, source, since)
       SELECT brand_id, id, 'PHONE', '', phone_index::text, 'plain', now() FROM members_member
       WHERE brand_id = %(brand)s""",
    """INSERT INTO loyalty_account (brand_id, member_id, available, held, owed)
       SELECT brand_id, id, 10, 0, 0 FROM members_member WHERE brand_id = %(brand)s""",
    """INSERT INTO loyalty_journal (brand_id, public_id, kind, actor, key, fingerprint, member_id, points, source,
           number, reason, detail, available, held, owed, at)
       SELECT brand_id, gen_random_uuid(), 'EARN', 'plain', id::text, gen_random_uuid(), id, 10, 'plain', '', '', '{}',
           10, 0, 0, now() FROM members_member WHERE brand_id = %(brand)s""",
    """INSERT INTO loyalty_lot (brand_id, member_id, journal_id, granted, remaining, held, earned_at)
       SELECT brand_id, member_id, id, 10, 10, 0, now() FROM loyalty_journal WHERE brand_id = %(brand)s""",
    """INSERT INTO loyalty_entry (brand_id, journal_id, pocket, member_id, lot_id, points, at)
       SELECT brand_id, journal_id, 'AVAILABLE', member_id, id, 10, now() FROM loyalty_lot WHERE brand_id = %(brand)s
       UNION ALL
       SELECT brand_id, id, 'ISSUED', NULL, NULL, -10, now() FROM loyalty_journal WHERE brand_id = %(brand)s""",
)


def _table() -> bytes:
    lines = ["手机号,姓名,生日,城市,期初积分"]
    lines += [f"139{number:08d},人{number},08-17,上海,10" for number in range(ROWS)]
    return "\n".join(lines).encode()


def _brand() -> Brand:
    number = next(_brands)
    return create_brand(slug=f"table{number}", name=f"表 {number}")


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def imported() -> dict[str, float]:
    """Take a table through every stage; gives rows a second of each, and how many people the import made."""
    brand, body, at = _brand(), _table(), clock.now()
    with brand_scope(brand.pk):
        job = services.take_file(name="bench.csv", body=body, kind="members", at=at)
        services.begin_dry_run(job_id=job.pk, columns=job.columns, options={}, at=at)
    dry = _seconds(lambda: services.try_out(brand_id=brand.pk, job_id=job.pk))
    with brand_scope(brand.pk):
        services.start_import(job_id=job.pk, at=at)
    run = _seconds(lambda: services.importing(brand_id=brand.pk, job_id=job.pk))
    with brand_scope(brand.pk):
        people = Member.objects.count()
        wrong = len(breaches())
        services.undo_import(job_id=job.pk, at=at)
    undo = _seconds(lambda: services.undoing(brand_id=brand.pk, job_id=job.pk))
    with brand_scope(brand.pk):
        left = Member.objects.filter(erased_at=None).count()
        state = Import.objects.get(pk=job.pk).state
    return {
        "rows": ROWS / run,
        "dry": ROWS / dry,
        "undo": ROWS / undo,
        "seconds": dry + run,
        "wrong": wrong + (people != ROWS) + left + (state != "UNDONE"),
    }


def plain() -> dict[str, float]:
    """Write the same rows, one statement a table."""
    brand = _brand()

    def write() -> None:
        with brand_scope(brand.pk), transaction.atomic(), connection.cursor() as cursor:
            for statement in _PLAIN:
                cursor.execute(statement, {"brand": brand.pk, "rows": ROWS})

    took = _seconds(write)
    return {"rows": ROWS / took, "seconds": took, "wrong": 0}


def main() -> None:
    """Answer each line with the figures of the side it names."""
    print(json.dumps({"ready": 1}), flush=True)
    for line in sys.stdin:
        print(json.dumps(imported() if line.strip() == "import" else plain()), flush=True)


if __name__ == "__main__":
    main()
