"""Batches of codes: made in portions, derived from a sealed secret, each redeemed once."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.utils.translation import gettext as _

from accounts.sealing import blind_index, blind_indexes
from accounts.services import record_audit
from accounts.tasks_base import ring
from accounts.tenancy import current_brand_id
from accounts.viewer import current_viewer
from coupons import codes, tasks
from coupons.errors import BatchRefused, BudgetGone, CodeInvalid, CodeOver, CodeUnknown, TemplateClosed
from coupons.models import Code, CodeBatch, Move, Template, TemplateState, Way
from coupons.rules import read, valid_between
from coupons.services.issue import Given, current_version, make
from coupons.services.moves import done_before, give_back, take
from loyalty.selectors.points import zone
from loyalty.services.ledger import fingerprint, open_account

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from loyalty.services import Operation

MOST_CODES: Final = 1_000_000
PORTION: Final = 50_000
_PURPOSE: Final = "coupons.code"


@transaction.atomic
def create_batch(
    *, template: Template, label: str, count: int, at: datetime, until: datetime | None = None
) -> CodeBatch:
    """Order codes; they come out of the budget at once and are made soon after. Raises BatchRefused, BudgetGone."""
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= MOST_CODES:
        raise BatchRefused(_("Nothing was made. A batch has 1 to %(most)s codes.") % {"most": f"{MOST_CODES:,}"})
    if not label.strip():
        raise BatchRefused(_("Nothing was made. Say what the codes are for."), field="label")
    if until is not None and until <= at:
        raise BatchRefused(_("Nothing was made. The last day is over."), field="until")
    version = current_version(template.pk)
    if template.state != TemplateState.ACTIVE or version is None:
        raise TemplateClosed
    if not take(template.pk, count):
        row = Template.objects.get(pk=template.pk)
        raise BudgetGone(max(0, (row.total or 0) - row.taken))
    viewer = current_viewer()
    batch = CodeBatch.objects.create(
        template=template,
        version=version,
        label=label.strip()[:60],
        count=count,
        secret=secrets.token_hex(32),
        until=until,
        created_by_id=viewer.staff_id if viewer else None,
        created_at=at,
    )
    record_audit(action="make coupon codes", obj=batch, changes={"count": [0, count]})
    ring(tasks.make_codes, current_brand_id(), batch.pk)
    return batch


_INSERT: Final = """
INSERT INTO coupons_code (brand_id, batch_id, serial, fingerprint)
SELECT %s, %s, c.serial, c.fingerprint
FROM unnest(%s::int[], string_to_array(%s, ',')::uuid[]) AS c(serial, fingerprint)
"""
_SKIP_KNOWN: Final = "ON CONFLICT (brand_id, fingerprint) DO NOTHING"


@transaction.atomic
def make_portion(*, batch_id: int, at: datetime, size: int = PORTION) -> int:
    """Make the next codes of a batch; gives how many are still missing.

    A code that is there already (by chance, or from another batch) is left out and the next number takes its place.
    """
    batch = CodeBatch.objects.select_for_update().get(pk=batch_id)
    missing = min(size, batch.count - batch.made)
    if missing <= 0 or batch.stopped_at is not None:
        return 0
    secret, brand_id = _secret(batch), current_brand_id()
    serials = list(range(batch.next_serial, batch.next_serial + missing))
    fresh = (codes.derive(secret, serial) for serial in serials)
    # In the order of the index: neighbours come to the same page of it, once.
    rows = sorted(zip(blind_indexes(brand_id, _PURPOSE, fresh), serials, strict=True))
    prints = ",".join(each.hex() for each, _serial in rows)
    made = _insert([brand_id, batch.pk, [serial for _each, serial in rows], prints])
    batch.made, batch.next_serial = batch.made + made, batch.next_serial + missing
    batch.save(update_fields=["made", "next_serial"])
    return batch.count - batch.made


def _insert(values: list[Any]) -> int:
    """Write a portion; gives how many are new. Looking for known codes row by row costs, so only when there are any."""
    with connection.cursor() as cursor:
        try:
            with transaction.atomic():
                cursor.execute(_INSERT, values)
        except IntegrityError:
            cursor.execute(_INSERT + _SKIP_KNOWN, values)
        return int(cursor.rowcount)


def _secret(batch: CodeBatch) -> bytes:
    secret = batch.secret
    return bytes.fromhex(secret.reveal()) if secret else b""


@transaction.atomic
def stop_batch(*, batch_id: int, at: datetime) -> CodeBatch:
    """Take no more codes of a batch; what nobody has redeemed goes back into the budget."""
    batch = CodeBatch.objects.select_for_update().get(pk=batch_id)
    if batch.stopped_at is None:
        batch.stopped_at = at
        batch.save(update_fields=["stopped_at"])
        give_back(batch.template_id, batch.count - batch.redeemed)
        record_audit(action="stop coupon codes", obj=batch, changes={"redeemed": [None, batch.redeemed]})
    return batch


def read_codes(*, batch: CodeBatch) -> Iterator[tuple[str, bool]]:
    """Give the codes of a batch as they are printed, with whether each was redeemed. The reading is audited."""
    secret = _secret(batch)
    record_audit(action="download coupon codes", obj=batch, changes={"count": [None, batch.made]})
    rows = Code.objects.filter(batch=batch).order_by("serial").values_list("serial", "redeemed_at")
    for serial, redeemed_at in rows.iterator(chunk_size=10_000):
        yield codes.shown(codes.derive(secret, serial)), redeemed_at is not None


@transaction.atomic
def redeem_code(*, operation: Operation, code: str, member_id: int, at: datetime) -> Move:
    """Give a member the coupon of a code. Raises CodeInvalid, CodeUnknown, CodeOver, MemberLimit, KeyReused."""
    plain = codes.folded(code)
    asked = fingerprint(act="code", code=plain, member=member_id)
    known = done_before(operation, asked)
    if known is not None:
        return known
    if plain is None:
        raise CodeInvalid
    member_id = open_account(member_id).member_id
    index = blind_index(current_brand_id(), _PURPOSE, plain)
    row = Code.objects.select_for_update().filter(fingerprint=index).first()
    if row is None:
        raise CodeUnknown
    if row.redeemed_at is not None:
        raise CodeOver(used=True)
    batch = CodeBatch.objects.select_related("version", "template").get(pk=row.batch_id)
    valid = valid_between(read(batch.version.rule), issued_at=at, zone=zone())
    if batch.stopped_at is not None or (batch.until is not None and batch.until <= at) or valid[1] <= at:
        raise CodeOver(used=False)
    given = Given(Way.CODE, reason=batch.label)
    move = make(operation, asked, batch.version, member_id, given, at, valid, batch.template.per_member)
    row.coupon_id, row.redeemed_at = move.coupon_id, at
    row.save(update_fields=["coupon", "redeemed_at"])
    done = CodeBatch.objects.filter(pk=batch.pk, stopped_at__isnull=True).update(redeemed=F("redeemed") + 1)
    if not done:
        raise CodeOver(used=False)
    return move
