"""Questions about brands, roles and keys."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import connection

from accounts.models import Brand, RoleGrant
from accounts.tenancy import every_brand

if TYPE_CHECKING:
    from datetime import datetime

    from accounts.models import StaffUser


@dataclass(frozen=True)
class KeyHolder:
    """Which brand and scopes an API key stands for."""

    key_id: int
    brand_id: int
    label: str
    scopes: tuple[str, ...]
    last_used_at: datetime | None


def brand_by_slug(slug: str) -> Brand | None:
    """Give the active brand at an address."""
    return Brand.objects.filter(slug=slug, is_active=True).first()


def active_brand_ids() -> list[int]:
    """Give the ids of all active brands (the brand table itself is global)."""
    return list(Brand.objects.filter(is_active=True).order_by("pk").values_list("pk", flat=True))


def grant_of(staff_user: StaffUser) -> RoleGrant | None:
    """Give a person's role in the brand in scope."""
    return RoleGrant.objects.filter(staff_user=staff_user).first()


def brands_of(staff_user: StaffUser) -> list[tuple[Brand, str]]:
    """Give the brands a person works for, with the role in each, by name."""
    with every_brand(reason="brands a person may enter"):
        grants = list(
            RoleGrant.objects.filter(staff_user=staff_user, brand__is_active=True)
            .select_related("brand")
            .order_by("brand__name", "brand_id"),
        )
    return [(grant.brand, grant.role) for grant in grants]


# Every call of another system asks this, so it is plain SQL: building the query costs the ORM more than running it.
_KEY_SQL = """
SELECT k.fingerprint, k.id, k.brand_id, k.label, k.scopes::text, k.last_used_at FROM accounts_apikey k
JOIN accounts_brand b ON b.id = k.brand_id WHERE k.prefix = %s AND k.revoked_at IS NULL AND b.is_active
"""


def holder_of_key(clear: str) -> KeyHolder | None:
    """Give whom an API key stands for, or None when it is unknown or revoked."""
    prefix, _, rest = clear.partition(".")
    if not rest or len(clear) > 200:
        return None
    with every_brand(reason="an API key names its brand"), connection.cursor() as cursor:
        cursor.execute(_KEY_SQL, [prefix])
        row = cursor.fetchone()
    given = hashlib.sha256(clear.encode()).hexdigest()
    if row is None or not hmac.compare_digest(row[0], given):
        return None
    return KeyHolder(row[1], row[2], row[3], tuple(json.loads(row[4])), row[5])
