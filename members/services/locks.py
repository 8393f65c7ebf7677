"""Who decides about identities waits for whoever else decides about the same ones."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from django.db import connection

from accounts.tenancy import current_brand_id

if TYPE_CHECKING:
    from collections.abc import Iterable


def lock_identities(ties: Iterable[tuple[str, str, str]]) -> None:
    """Make whoever else decides about these identities wait until this transaction ends: (kind, issuer, value) each.

    The locks are those of `identity.bind_phone` and its like, taken in one order.
    """
    names = {"\x1f".join((str(current_brand_id()), *tie)) for tie in ties}
    keys = {int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), signed=True) for name in names}
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(k) FROM unnest(%s::bigint[]) AS u(k)", [sorted(keys)])
        cursor.fetchall()
