"""Brands through a pooler in transaction mode: `python -m tests.isolation.pooled NUMBER` in the environment of a product.

Six clients share two server connections and take turns at twenty brands: reads, writes, errors, rollbacks, savepoints,
time-outs and streams that end half-way. Prints one JSON line; `wrong` must be empty. With `--session` the brand is set
for the session instead of the transaction, as many a product does: the harness must see that.
"""

from __future__ import annotations

import json
import random
import sys
import threading
from collections import Counter

import django

CLIENTS, BRANDS = 6, 20


def main(number: int, *, session: bool) -> int:
    """Play and print."""
    django.setup()
    from accounts.services import create_brand
    from accounts.tenancy import brand_scope
    from tests.factories import make_tag

    brands = []
    for each in range(BRANDS):
        brand = create_brand(slug=f"pooled-{each:02d}", name=f"品牌 {each}")
        with brand_scope(brand.pk):
            for count in range(4):
                make_tag(f"{brand.pk}:{count}")
        brands.append(brand.pk)
    if session:
        set_for_the_session()
    counted: Counter[str] = Counter()
    wrong: list[str] = []
    lock = threading.Lock()
    clients = [
        threading.Thread(target=client, args=(seed, number // CLIENTS, brands, counted, wrong, lock), daemon=True)
        for seed in range(CLIENTS)
    ]
    for each in clients:
        each.start()
    for each in clients:
        each.join(400)
    alive = sum(each.is_alive() for each in clients)
    print(
        json.dumps(
            {"ran": sum(counted.values()), "kinds": counted, "wrong": len(wrong), "first": wrong[:5], "stuck": alive}
        )
    )
    return 1 if wrong or alive else 0


def set_for_the_session() -> None:
    """Break the product the way that poolers punish."""
    from django.db import connection

    from accounts import tenancy

    def set_brand(value: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('app.brand_id', %s, false)", [value])

    tenancy._set_brand = set_brand


def client(seed, number, brands, counted, wrong, lock):
    """One connection of the application; the same seed plays the same game."""
    from django.db import connection

    draw = random.Random(seed)
    kinds = list(KINDS)
    mine = Counter()
    for _ in range(number):
        kind, brand = draw.choice(kinds), draw.choice(brands)
        try:
            fault = KINDS[kind](brand)
        except Exception as error:
            fault = f"{type(error).__name__}: {error}"[:200]
        mine[kind] += 1
        if fault:
            with lock:
                wrong.append(f"{kind}: {fault}")
        if connection.in_atomic_block:
            with lock:
                wrong.append(f"{kind}: a transaction was left open")
    with lock:
        counted.update(mine)
    connection.close()


class Deliberate(Exception):
    """Ends a block on purpose."""


def rows_seen():
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT brand_id FROM members_tag")
        return {row[0] for row in cursor.fetchall()}


def strangers(brand, seen):
    return "" if set(seen) == {brand} else f"brand {brand} saw {sorted(seen)[:4]}"


def read(brand):
    from accounts.tenancy import brand_scope
    from members.models import Tag

    with brand_scope(brand):
        return strangers(brand, set(Tag.objects.values_list("brand_id", flat=True)))


def plain_read(brand):
    from accounts.tenancy import brand_scope

    with brand_scope(brand):
        return strangers(brand, rows_seen())


def write(brand):
    from accounts.tenancy import brand_scope
    from members.models import Tag

    with brand_scope(brand):
        changed = Tag.objects.update(meaning=f"of {brand}")
    with brand_scope(brand):
        texts = set(Tag.objects.values_list("meaning", flat=True))
    return "" if changed == 4 and texts == {f"of {brand}"} else f"brand {brand} changed {changed}, reads {texts}"


def error(brand):
    from django.db import DatabaseError, connection

    from accounts.tenancy import brand_scope

    try:
        with brand_scope(brand), connection.cursor() as cursor:
            cursor.execute("SELECT nothing FROM nowhere")
    except DatabaseError:
        return nothing_without_a_scope(brand)
    return "the error was lost"


def rolled_back(brand):
    from accounts.tenancy import brand_scope
    from members.models import Tag

    try:
        with brand_scope(brand):
            Tag.objects.update(group="never")
            raise Deliberate  # noqa: TRY301 - the block must end with an error
    except Deliberate:
        pass
    with brand_scope(brand):
        return "the write stayed" if Tag.objects.filter(group="never").exists() else strangers(brand, rows_seen())


def savepoint(brand):
    from accounts.tenancy import brand_scope

    with brand_scope(brand):
        try:
            with brand_scope(brand):
                raise Deliberate  # noqa: TRY301 - the block must end with an error
        except Deliberate:
            return strangers(brand, rows_seen())


def timed_out(brand):
    from django.db import DatabaseError, connection

    from accounts.tenancy import brand_scope

    try:
        with brand_scope(brand), connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 5")
            cursor.execute("SELECT pg_sleep(0.05)")
    except DatabaseError:
        return plain_read(brand)
    return "nothing timed out"


def streamed(brand):
    """A generator that is closed half-way, in a scope of its own."""
    from accounts.tenancy import brand_scope
    from members.models import Tag

    def rows():
        with brand_scope(brand):
            yield from Tag.objects.values_list("brand_id", flat=True).iterator(chunk_size=2)

    stream = rows()
    seen = {next(stream), next(stream)}
    stream.close()
    return strangers(brand, seen) or nothing_without_a_scope(brand)


def reported(brand):
    from django.db import connection

    from accounts.tenancy import brand_scope, reporting
    from members.models import Tag

    with reporting(brand):
        fault = strangers(brand, set(Tag.objects.values_list("brand_id", flat=True)))
    with brand_scope(brand), connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        role = cursor.fetchone()[0]
    return fault or ("" if role == "zhiyin_app" else f"the role {role} stayed")


def nothing_without_a_scope(brand):
    """No rows from SQL, and a raised error instead of an empty list from the managers."""
    from accounts.errors import NoBrandInScope
    from members.models import Tag

    seen = rows_seen()
    if seen:
        return f"without a scope SQL saw {sorted(seen)[:4]}"
    try:
        Tag.objects.count()
    except NoBrandInScope:
        return ""
    return "the manager answered without a scope"


KINDS = {
    "read": read,
    "plain read": plain_read,
    "write": write,
    "error": error,
    "rolled back": rolled_back,
    "savepoint": savepoint,
    "timed out": timed_out,
    "streamed": streamed,
    "reported": reported,
    "without a scope": nothing_without_a_scope,
}

if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), session="--session" in sys.argv))
