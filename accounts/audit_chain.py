"""The audit log under seal: blocks that are chained and keyed, and anchors of them outside of the database.

Whoever writes an entry pays nothing: a worker seals what has been written since, every minute. Each block keeps of
every entry its number, its moment and two keyed digests (the act; the words, which an erasure replaces), and the hash
of the block before. Every hour the newest hash goes into a signed file: a chain that was cut, or written anew by
somebody who has the keys, does not end where the anchors say.
"""

from __future__ import annotations

import hmac
import logging
import struct
import time
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import orjson
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.db import connection
from django.db.models import Max

from accounts.models import AuditBlock, AuditChange, AuditEntry, AuditState, Brand
from accounts.sealing import audit_key, sign
from accounts.tenancy import brand_scope

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)

#: Of one entry: number, moment in microseconds, digest of the act, digest of the words.
RECORD: Final = struct.Struct(">qq16s16s")
BLOCK: Final = 1_000
ANCHOR_EVERY: Final = timedelta(hours=1)
FOLDER: Final = "audit-anchors"
FIRST: Final = -(2**63)  # the first block begins here: nothing can be put in front of it
GENESIS: Final = bytes(32)
_A_ROUND: Final = 200
_PATIENCE: Final = 5.0
_LOCK: Final = 7_461_001  # advisory, with the brand: one sealer at a time

# The moment as a whole number and the changes as PostgreSQL writes jsonb: one form, whatever time zone or client reads.
_ROWS = """
SELECT id, (extract(epoch FROM at) * 1000000)::bigint, actor_id, actor_label, role, via, action, object_type, object_id,
    ip, request_id, object_label, changes::text, reason
FROM accounts_auditentry WHERE brand_id = %s AND id > %s AND id <= %s ORDER BY id LIMIT %s
"""
_CHANGES = """
SELECT id, kind, entry, (extract(epoch FROM upto) * 1000000)::bigint, rows, (extract(epoch FROM at) * 1000000)::bigint
FROM accounts_auditchange WHERE brand_id = %s AND id > %s AND id <= %s ORDER BY id
"""
_WRITERS = """
SELECT virtualtransaction FROM pg_locks
WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND granted AND pid <> pg_backend_pid()
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND relation IN ('accounts_auditentry'::regclass, 'accounts_auditchange'::regclass)
"""


def rows_between(brand_id: int, after: int, upto: int, most: int | None = None) -> list[tuple[Any, ...]]:
    """Read entries in the order of their numbers, in the one form in which they are sealed."""
    with connection.cursor() as cursor:
        cursor.execute(_ROWS, [brand_id, after, upto, most])
        return list(cursor.fetchall())


def changes_between(brand_id: int, after: int, upto: int) -> bytes:
    """Give the digest of what the law took out of the log meanwhile."""
    with connection.cursor() as cursor:
        cursor.execute(_CHANGES, [brand_id, after, upto])
        return sha256(orjson.dumps(cursor.fetchall())).digest()


def digests(key: bytes, brand_id: int, row: tuple[Any, ...]) -> tuple[bytes, bytes]:
    """Give the digest of an act (who, what, to what, when) and that of its words."""
    act = orjson.dumps([brand_id, *row[:11]])
    words = orjson.dumps([brand_id, row[0], *row[11:]])
    return hmac.digest(key, b"act" + act, "sha256")[:16], hmac.digest(key, b"words" + words, "sha256")[:16]


def block_hash(key: bytes, block: AuditBlock, after: int, changes: bytes) -> bytes:
    """Give the hash of a block: over its entries, its place, what the law changed, and the block before."""
    told = {
        "after": after,
        "at": microseconds(block.sealed_at),
        "brand": block.brand_id,
        "changes": changes.hex(),
        "changes_upto": block.changes_upto,
        "number": block.number,
        "previous": bytes(block.previous).hex(),
        "records": sha256(bytes(block.records)).hexdigest(),
        "upto": block.upto,
    }
    return hmac.digest(key, orjson.dumps(told, option=orjson.OPT_SORT_KEYS), "sha256")


def microseconds(moment: datetime) -> int:
    """Give a moment as a whole number, without the rounding of a float."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def seal_log(brand_id: int, *, at: datetime, patience: float = _PATIENCE) -> int:
    """Seal what has been written since the last block; gives how many entries.

    Numbers are given before a transaction commits, so a lower one may appear after a higher one. What is written now is
    sealed only when everybody who was writing has ended; who takes longer than `patience` is waited for the next time.
    """
    with brand_scope(brand_id):
        entries = AuditEntry.objects.aggregate(most=Max("pk"))["most"]
        changes = AuditChange.objects.aggregate(most=Max("pk"))["most"] or 0
        last = _last()
    if last is not None and changes <= last.changes_upto and (entries or FIRST) <= last.upto:
        return 0
    if (entries is None and not changes) or not _all_have_ended(patience):
        return 0
    sealed = 0
    for _round in range(_A_ROUND):
        with brand_scope(brand_id):
            more = _seal_one(brand_id, FIRST if entries is None else entries, changes, at)
        if more is None:
            break
        sealed += more
    return sealed


def _last() -> AuditBlock | None:
    return AuditBlock.objects.defer("records").order_by("-number").first()


def _all_have_ended(patience: float) -> bool:
    """Wait for those who are writing now; whoever begins later gets higher numbers."""
    waited_for: set[str] | None = None
    until = time.monotonic() + patience
    while True:
        with connection.cursor() as cursor:
            cursor.execute(_WRITERS)
            writing = {each for (each,) in cursor.fetchall()}
        waited_for = writing if waited_for is None else waited_for & writing
        if not waited_for:
            return True
        if time.monotonic() >= until:
            return False
        time.sleep(0.02)


def _seal_one(brand_id: int, upto: int, changes_upto: int, at: datetime) -> int | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [_LOCK, brand_id])
        if not cursor.fetchone()[0]:
            return None
    last = _last()
    after, changed = (last.upto, last.changes_upto) if last else (FIRST, 0)
    rows = rows_between(brand_id, after, upto, BLOCK)
    if not rows and changes_upto <= changed:
        return None
    key = audit_key(brand_id)
    block = AuditBlock(
        brand_id=brand_id,
        number=last.number + 1 if last else 1,
        upto=rows[-1][0] if rows else after,
        changes_upto=max(changes_upto, changed),
        records=b"".join(RECORD.pack(row[0], row[1], *digests(key, brand_id, row)) for row in rows),
        previous=bytes(last.hash) if last else GENESIS,
        sealed_at=at,
    )
    block.hash = block_hash(key, block, after, changes_between(brand_id, changed, block.changes_upto))
    block.save(force_insert=True)
    AuditState.objects.update_or_create(defaults={"sealed_block": block.number, "sealed_at": at})
    return len(rows)


def anchor_log(brand_id: int, *, at: datetime, again: bool = False) -> dict[str, Any] | None:
    """Write the newest hash into a signed file outside of the database, once an hour; None when it is not due.

    `again`: now, although nothing is new (there is another master key to sign with).
    """
    with brand_scope(brand_id):
        state = AuditState.objects.first()
        if state is None or (state.sealed_block <= state.anchored_block and not again):
            return None
        if state.anchored_at is not None and timedelta(0) <= at - state.anchored_at < ANCHOR_EVERY and not again:
            return None
        anchor = anchor_now(brand_id, at=at)
        if anchor is None:
            return None
        _write(brand_id, at, anchor)
        AuditState.objects.update(anchored_block=anchor["block"], anchored_at=at)
    # The log of the processes usually leaves the machine: a second place that is hard to bend.
    logger.info("audit anchor brand=%s block=%s hash=%s", brand_id, anchor["block"], anchor["hash"])
    return anchor


def anchor_now(brand_id: int, *, at: datetime) -> dict[str, Any] | None:
    """Make a signed anchor of the newest block of the brand in scope; None when nothing is sealed."""
    last = _last()
    if last is None:
        return None
    slug = Brand.objects.values_list("slug", flat=True).get(pk=brand_id)
    told: dict[str, Any] = {
        "at": at.astimezone(UTC).isoformat(),
        "block": last.number,
        "brand": brand_id,
        "hash": bytes(last.hash).hex(),
        "slug": slug,
        "upto": last.upto,
    }
    name, signature = sign(anchored_text(told))
    return {**told, "key": name, "signature": signature}


def anchored_text(anchor: dict[str, Any]) -> bytes:
    """Give what the signature of an anchor is over: everything but itself."""
    told = {name: value for name, value in anchor.items() if name not in ("key", "signature")}
    return orjson.dumps(told, option=orjson.OPT_SORT_KEYS)


def _write(brand_id: int, at: datetime, anchor: dict[str, Any]) -> None:
    storage, name = storages["private"], f"{FOLDER}/{brand_id}/{at.astimezone(UTC):%Y-%m}.jsonl"
    line = orjson.dumps(anchor, option=orjson.OPT_SORT_KEYS) + b"\n"
    if not storage.exists(name):
        storage.save(name, ContentFile(line))
        return
    with storage.open(name, "ab") as file:
        file.write(line)


def kept_anchors(brand_id: int) -> Iterator[dict[str, Any]]:
    """Read all anchors of a brand, oldest first; a line that cannot be read comes as an empty one."""
    storage, folder = storages["private"], f"{FOLDER}/{brand_id}"
    if not storage.exists(folder):
        return
    for name in sorted(storage.listdir(folder)[1]):
        if not name.endswith(".jsonl"):
            continue
        with storage.open(f"{folder}/{name}", "rb") as file:
            yield from read_anchors(file.read())


def read_anchors(body: bytes) -> Iterator[dict[str, Any]]:
    """Read a file of anchors, one a line."""
    for line in body.splitlines():
        if not line.strip():
            continue
        try:
            said = orjson.loads(line)
        except orjson.JSONDecodeError:
            said = {}
        yield said if isinstance(said, dict) else {}
