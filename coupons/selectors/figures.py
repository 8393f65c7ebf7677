"""What became of coupons, template by template."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django.db import connection

from accounts.tenancy import current_brand_id

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime


@dataclass(frozen=True)
class Figures:
    """How the coupons of a template stand, and what they took off, in fen.

    Those of staff, test and blocked people count in no report, from the day their flag begins on.
    """

    given: int = 0
    unused: int = 0
    used: int = 0
    expired: int = 0
    void: int = 0
    saved: int = 0

    @property
    def rate(self) -> float | None:
        """Give the share of what was given that was used."""
        return self.used / self.given if self.given else None


_FIGURES: Final = """
SELECT template_id, count(*),
    count(*) FILTER (WHERE state IN ('UNUSED', 'HELD') AND valid_until > %(at)s),
    count(*) FILTER (WHERE state = 'USED'),
    count(*) FILTER (WHERE state = 'EXPIRED' OR (state IN ('UNUSED', 'HELD') AND valid_until <= %(at)s)),
    count(*) FILTER (WHERE state = 'VOID'), coalesce(sum(saved), 0)::bigint
FROM coupons_coupon c WHERE brand_id = %(brand)s AND template_id = ANY(%(templates)s)
    AND NOT EXISTS (
        SELECT 1 FROM members_flag f WHERE f.brand_id = c.brand_id AND f.member_id = c.member_id
            AND (f.since IS NULL OR f.since <= c.issued_at) AND (f.until IS NULL OR f.until > c.issued_at))
GROUP BY template_id
"""


def figures_of(template_ids: Iterable[int], *, at: datetime) -> dict[int, Figures]:
    """Give the figures of templates."""
    with connection.cursor() as cursor:
        cursor.execute(_FIGURES, {"brand": current_brand_id(), "at": at, "templates": list(template_ids)})
        return {row[0]: Figures(*row[1:]) for row in cursor.fetchall()}
