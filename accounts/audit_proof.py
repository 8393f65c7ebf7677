"""Verify that the audit log says today what it said when it was sealed, and that no piece of it is missing."""

from __future__ import annotations

import hmac
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Max

from accounts.audit_chain import (
    FIRST,
    GENESIS,
    RECORD,
    anchored_text,
    block_hash,
    changes_between,
    digests,
    kept_anchors,
    microseconds,
    rows_between,
)
from accounts.models import AuditBlock, AuditChange, AuditEntry, AuditState
from accounts.sealing import audit_key, is_signed
from accounts.tenancy import brand_scope

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

ALTERED: Final = "altered"
REMOVED: Final = "removed"
INSERTED: Final = "inserted"
BLOCK: Final = "block"
MISSING: Final = "missing"
CUT: Final = "cut"
REWRITTEN: Final = "rewritten"
FORGED: Final = "forged"
UNANCHORED: Final = "unanchored"

FORGOTTEN: Final = "FORGOTTEN"
TRIMMED: Final = "TRIMMED"

#: Blocks that are read at once, and findings that are kept: the first hundred say enough.
_AT_ONCE: Final = 20
MOST_FINDINGS: Final = 100
#: Anchors are made every hour; a block that is older has one, or somebody took it away.
_UNANCHORED_AFTER: Final = timedelta(hours=2)
#: As in `zhiyin_trim_audit`.
_KEPT_AT_LEAST: Final = timedelta(days=180)


@dataclass(slots=True)
class Report:
    """What a verification has found. `findings` are (what, where): a number of an entry or of a block."""

    blocks: int = 0
    entries: int = 0
    nameless: int = 0  # entries whose words an erasure took out
    trimmed: int = 0  # entries that were old enough to go
    waiting: int = 0  # entries that are not sealed yet
    anchors: int = 0
    unreadable_anchors: int = 0  # signed by a master key that is not configured any more
    findings: list[tuple[str, int]] = field(default_factory=list)

    def found(self, what: str, where: int) -> None:
        """Note what is wrong."""
        if len(self.findings) < MOST_FINDINGS and (what, where) not in self.findings:
            self.findings.append((what, where))

    def as_json(self) -> dict[str, Any]:
        """Give it as it is kept."""
        return {**asdict(self), "findings": [list(each) for each in self.findings]}

    @classmethod
    def of(cls, said: dict[str, Any]) -> Report:
        """Read what was kept."""
        report = cls(**said) if said else cls()
        report.findings = [(str(what), int(where)) for what, where in report.findings]
        return report


def verify_log(brand_id: int, *, at: datetime, more_anchors: Iterable[dict[str, Any]] = ()) -> Report:
    """Verify the whole audit log of a brand, a piece a transaction; `more_anchors` were kept elsewhere."""
    report, number = Report(), 0
    while True:
        with brand_scope(brand_id):
            reached = _verify_blocks(brand_id, report, number, _AT_ONCE)
        if reached is None:
            break
        number = reached
    with brand_scope(brand_id):
        _verify_end(brand_id, report, at, more_anchors)
    return report


def verify_on(brand_id: int, *, at: datetime, most: int = 200) -> Report | None:
    """Go on with a verification in the background, at most so many blocks; gives the report when it is through."""
    for _piece in range(0, most, _AT_ONCE):
        with brand_scope(brand_id):
            state, _made = AuditState.objects.select_for_update().get_or_create()
            report = Report.of(state.looking)
            reached = _verify_blocks(brand_id, report, state.looking_block, _AT_ONCE)
            if reached is None:
                _verify_end(brand_id, report, at, ())
                AuditState.objects.update(looking_block=0, looking={}, verified_at=at, verified=report.as_json())
                return report
            AuditState.objects.update(looking_block=reached, looking=report.as_json())
    return None


def keep_report(brand_id: int, report: Report, *, at: datetime) -> None:
    """Keep what a verification by hand has found, for the page of the log."""
    with brand_scope(brand_id):
        AuditState.objects.update_or_create(
            defaults={"looking_block": 0, "looking": {}, "verified_at": at, "verified": report.as_json()}
        )


def _verify_blocks(brand_id: int, report: Report, number: int, most: int) -> int | None:
    """Verify the blocks after `number`; gives the last one, None when there are no more."""
    blocks = list(AuditBlock.objects.filter(number__gt=number).order_by("number")[:most])
    if not blocks:
        return None
    before = AuditBlock.objects.filter(number=number).first() if number else None
    after, changed, previous = (before.upto, before.changes_upto, bytes(before.hash)) if before else (FIRST, 0, GENESIS)
    key = audit_key(brand_id)
    held: dict[int, tuple[Any, ...]] = {row[0]: row for row in rows_between(brand_id, after, blocks[-1].upto)}
    trimmed_upto = _trimmed_upto()
    expected = number + 1
    for block in blocks:
        if block.number != expected:
            report.found(MISSING, expected)
        if not hmac.compare_digest(bytes(block.previous), previous):
            report.found(BLOCK, block.number)
        changes = changes_between(brand_id, changed, block.changes_upto)
        if not hmac.compare_digest(block_hash(key, block, after, changes), bytes(block.hash)):
            report.found(BLOCK, block.number)
        _verify_entries(brand_id, key, report, block, held, trimmed_upto)
        for stray in [pk for pk in held if pk <= block.upto]:
            report.found(INSERTED, stray)
            del held[stray]
        report.blocks += 1
        after, changed, previous, expected = block.upto, block.changes_upto, bytes(block.hash), block.number + 1
    return blocks[-1].number


def _trimmed_upto() -> int | None:
    """Up to which moment entries may be gone; whatever is claimed, never any of the last 180 days."""
    claimed = AuditChange.objects.filter(kind=TRIMMED).aggregate(most=Max("upto"))["most"]
    newest = AuditEntry.objects.aggregate(most=Max("at"))["most"]
    if claimed is None or newest is None:
        return None
    return microseconds(min(claimed, newest - _KEPT_AT_LEAST))


def _verify_entries(
    brand_id: int,
    key: bytes,
    report: Report,
    block: AuditBlock,
    held: dict[int, tuple[Any, ...]],
    trimmed_upto: int | None,
) -> None:
    records = bytes(block.records)
    if len(records) % RECORD.size:
        report.found(BLOCK, block.number)
        records = b""
    unlike = []
    for pk, moment, act, words in RECORD.iter_unpack(records):
        row = held.pop(pk, None)
        if row is None:
            if trimmed_upto is not None and moment <= trimmed_upto:
                report.trimmed += 1
            else:
                report.found(REMOVED, pk)
            continue
        report.entries += 1
        now_act, now_words = digests(key, brand_id, row)
        if not hmac.compare_digest(now_act, act):
            report.found(ALTERED, pk)
        elif not hmac.compare_digest(now_words, words):
            unlike.append((pk, row[11]))
    if unlike:
        lawful = set(
            AuditChange.objects.filter(kind=FORGOTTEN, entry__in=[pk for pk, _label in unlike])
            .order_by()
            .values_list("entry", flat=True)
        )
        for pk, label in unlike:
            if pk in lawful and label == "***":
                report.nameless += 1
            else:
                report.found(ALTERED, pk)


def _verify_end(brand_id: int, report: Report, at: datetime, more_anchors: Iterable[dict[str, Any]]) -> None:
    last = AuditBlock.objects.defer("records").order_by("-number").first()
    report.waiting = AuditEntry.objects.filter(pk__gt=last.upto if last else FIRST).count()
    anchors = [*kept_anchors(brand_id), *more_anchors]
    known = {
        number: bytes(value).hex()
        for number, value in AuditBlock.objects.filter(
            number__in=[each["block"] for each in anchors if isinstance(each.get("block"), int)]
        )
        .order_by("number")
        .values_list("number", "hash")
    }
    newest = 0
    for anchor in anchors:
        report.anchors += 1
        signed = is_signed(anchored_text(anchor), str(anchor.get("key")), str(anchor.get("signature")))
        number = anchor.get("block")
        if not isinstance(number, int) or signed is False or anchor.get("brand") != brand_id:
            report.found(FORGED, report.anchors)
        elif signed is None:
            report.unreadable_anchors += 1
        elif number not in known:
            report.found(CUT if last is None or number > last.number else MISSING, number)
        else:
            newest = max(newest, number)
            if known[number] != anchor.get("hash"):
                report.found(REWRITTEN, number)
    if last is not None and last.number > newest and at - last.sealed_at > _UNANCHORED_AFTER:
        report.found(UNANCHORED, last.number)
