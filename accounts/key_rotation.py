"""Another data key for a brand, while everybody goes on reading and writing: every value says which key it is under.

A new key seals from the moment it is committed, and whoever meets a value under it asks for it: reading never fails.
What is under earlier keys is sealed anew in batches, by id. The work may be killed at any line and taken up again;
it waits for nobody's row and overwrites nothing that somebody has changed meanwhile. The new key is marked as settled
when nothing is under an earlier one, asked after everybody who may still have sealed with one has ended.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from django.apps import apps
from django.db import connection
from django.db.models import F
from django.db.models.functions import Now

from accounts import sealing
from accounts.errors import Unsealable
from accounts.fields import SealedTextField
from accounts.models import Brand, BrandKey
from accounts.services import record_audit
from accounts.tenancy import BrandOwned, brand_scope
from common.failpoints import point

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

BATCH: Final = 500
MOST_BYTES: Final = 8_000_000  # of values in a batch: a piece of a file has more than a megabyte
#: So many seconds the end waits for those who began before everybody knew the key, and for rows that others hold.
PATIENCE = 150.0
_LOCK: Final = 7_461_002  # advisory, with the brand: one new key at a time

_OLD = """
SELECT id, {column}{bound} FROM (
    SELECT *, sum(octet_length({column})) OVER (ORDER BY id) - octet_length({column}) AS before_it FROM (
        SELECT id, {column}{bound} FROM {table} WHERE brand_id = %s AND id > %s AND {column} IS NOT NULL
            AND substring({column} FROM 1 FOR %s) <> %s ORDER BY id LIMIT %s
    ) few
) sized WHERE before_it < %s ORDER BY id
"""
# Rows that somebody holds are left for the next round, so nobody ever waits for this in a circle. A row that was
# changed after it was read is under the new key already, or comes again.
_WRITE = """
WITH same AS (
    SELECT t.id, n.fresh FROM unnest(%s::bigint[], %s::bytea[], %s::bytea[]) AS n(id, old, fresh)
    JOIN {table} t ON t.brand_id = %s AND t.id = n.id AND t.{column} = n.old
    FOR NO KEY UPDATE OF t SKIP LOCKED
)
UPDATE {table} t SET {column} = same.fresh FROM same WHERE t.brand_id = %s AND t.id = same.id
"""
_COUNT = """
SELECT substring({column} FROM 1 FOR CASE WHEN substring({column} FROM 1 FOR 1) = '\\x01' THEN 1 ELSE 3 END), count(*)
FROM {table} WHERE brand_id = %s AND {column} IS NOT NULL GROUP BY 1
"""
_EARLIER = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
    AND xact_start < %s::timestamptz
"""


class Place(NamedTuple):
    """A column of sealed values."""

    table: str
    field: SealedTextField
    columns: tuple[str, ...]  # of the fields its values are bound to

    def sql(self, statement: str) -> str:
        """Put the names into a statement."""
        column = connection.ops.quote_name(self.field.column or self.field.name)
        bound = "".join(f", {connection.ops.quote_name(each)}" for each in self.columns)
        return statement.format(table=connection.ops.quote_name(self.table), column=column, bound=bound)


@dataclass
class KeyTurn:
    """What was done for one brand: the newest key, what was sealed anew, how many values are under which key."""

    brand: Brand
    number: int = 0
    begun: bool = False
    turned: int = 0
    held: Counter[int] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    settled_at: datetime | None = None

    @property
    def left(self) -> int:
        """How many values are under an earlier key, or say none."""
        return self.held.total() - self.held[self.number]


def places() -> Iterator[Place]:
    """Every column of sealed values that brands have."""
    for model in apps.get_models():
        if issubclass(model, BrandOwned) and not model._meta.proxy:
            for each in model._meta.local_fields:
                if isinstance(each, SealedTextField):
                    columns = tuple(str(getattr(model._meta.get_field(name), "column", "")) for name in each.bind)
                    yield Place(model._meta.db_table, each, columns)


def begin_another_key(brand: Brand, *, at: datetime) -> bool:
    """Make another key for a brand, which seals from now on; False when one is under way."""
    return _open_key(brand, at=at, new=True)[1]


def rotate_brand_key(
    brand: Brand, *, at: datetime, new: bool = False, tell: Callable[[str], object] = lambda _line: None
) -> KeyTurn:
    """Go on with what was begun, or, when `new` is asked for and nothing is under way, begin with another key."""
    key, begun = _open_key(brand, at=at, new=new)
    known_from = time.monotonic() + sealing.KEY_AGE
    sealing.forget_keys()
    turn = KeyTurn(brand, key.number if key else 0, begun)
    if key is None:
        turn.held = held(brand.pk)
        return turn
    _turn_all(turn, tell)
    if key.settled_at is None:
        time.sleep(max(0.0, known_from - time.monotonic()))
        if not _earlier_have_ended():
            tell("somebody is still writing who began before every process knew the key; run it again")
            turn.held = held(brand.pk)
            return turn
    until = time.monotonic() + PATIENCE
    while True:
        _turn_all(turn, tell)
        turn.held = held(brand.pk)
        if turn.left <= len(turn.lost) or time.monotonic() >= until:
            break
        time.sleep(0.05)
    turn.settled_at = key.settled_at
    if not turn.left and key.settled_at is None:
        turn.settled_at = _settle(key)
    return turn


def look_at_keys(brand: Brand) -> KeyTurn:
    """Count what is under which key, and change nothing."""
    key = _newest(brand)
    return KeyTurn(brand, key.number if key else 0, held=held(brand.pk), settled_at=key.settled_at if key else None)


def held(brand_id: int) -> Counter[int]:
    """Count the brand's values by the number of the key they are under; -1 is what names none."""
    counted: Counter[int] = Counter()
    for place in places():
        with brand_scope(brand_id), connection.cursor() as cursor:
            cursor.execute(place.sql(_COUNT), [brand_id])
            for head, count in cursor.fetchall():
                number = sealing.key_of(bytes(head))
                counted[-1 if number is None else number] += count
    return counted


def _newest(brand: Brand) -> BrandKey | None:
    return BrandKey.objects.filter(owner=brand).order_by("-number").first()


def _open_key(brand: Brand, *, at: datetime, new: bool) -> tuple[BrandKey | None, bool]:
    with brand_scope(brand.pk):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_LOCK, brand.pk])
        key = _newest(brand)
        if not new or (key is not None and key.settled_at is None):
            return key, False
        before = key.number if key else 0
        key = BrandKey.objects.create(owner=brand, number=before + 1, created_at=at)
        record_audit(action="rotate data key", obj=key, changes={"number": [before, key.number]}, label=str(brand))
    point("data key: made")
    return key, True


def _turn_all(turn: KeyTurn, tell: Callable[[str], object]) -> None:
    """Go once through everything that is under an earlier key."""
    turn.lost.clear()
    for place in places():
        after, here, told = 0, 0, 0
        while True:
            with brand_scope(turn.brand.pk):
                after_batch, count = _turn_batch(turn, place, after)
            if after_batch is None:
                break
            after, here = after_batch, here + count
            point("data key: sealed a batch anew")
            if here - told >= BATCH * 20:
                told = here
                tell(f"{place.table}.{place.field.column}: {here} sealed anew, up to id {after}")
        if here:
            turn.turned += here
            tell(f"{place.table}.{place.field.column}: {here} sealed anew")


def _turn_batch(turn: KeyTurn, place: Place, after: int) -> tuple[int | None, int]:
    """Seal the next batch anew; gives its last id, and how many of it nobody else held or had changed."""
    brand_id, head = turn.brand.pk, sealing.head_of(turn.number)
    with connection.cursor() as cursor:
        cursor.execute(place.sql(_OLD), [brand_id, after, len(head), head, BATCH, MOST_BYTES])
        rows = cursor.fetchall()
        ids, old, fresh = [], [], []
        for pk, raw, *bound in rows:
            value, context = bytes(raw), place.field.place(brand_id, bound)
            try:
                fresh.append(sealing.seal(brand_id, sealing.open_sealed(brand_id, value, context), context))
            except Unsealable:
                turn.lost.append(f"{place.table}.{place.field.column} {pk}")
                continue
            ids.append(pk)
            old.append(value)
        count = 0
        if ids:
            cursor.execute(place.sql(_WRITE), [ids, old, fresh, brand_id, brand_id])
            count = cursor.rowcount
            BrandKey.objects.filter(owner=turn.brand, number=turn.number).update(turned=F("turned") + count)
    return (rows[-1][0] if rows else None), count


def _earlier_have_ended() -> bool:
    """Wait for every transaction that began before now; later ones know the key."""
    until = time.monotonic() + PATIENCE
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()::text")
        (now,) = cursor.fetchone()
        while True:
            cursor.execute(_EARLIER, [now])
            if not cursor.fetchone()[0]:
                return True
            if time.monotonic() >= until:
                return False
            time.sleep(0.05)


def _settle(key: BrandKey) -> datetime | None:
    before = key.number - 1
    with brand_scope(key.owner_id):
        if BrandKey.objects.filter(pk=key.pk, settled_at=None).update(settled_at=Now()):
            changes = {"number": [before, key.number]}
            record_audit(action="retire data key", obj=key, changes=changes, label=str(key.owner))
        key.refresh_from_db(fields=["settled_at"])
    return key.settled_at
