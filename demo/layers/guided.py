"""Who of a crowd has which guide: one of their store, in turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from django.db.backends.utils import CursorWrapper

from demo.layers.ground import Ground, member_no
from demo.truth import Person

_ASSIGNMENTS: Final = """
INSERT INTO guides_assignment (brand_id, member_id, guide_id, since, reason)
SELECT m.brand_id, m.id, a.guide, m.created_at, %(reason)s
FROM unnest(%(numbers)s::text[], %(guides)s::bigint[]) AS a(member_no, guide)
JOIN members_member m ON m.brand_id = %(brand)s AND m.member_no = a.member_no
"""


def plant(some: Sequence[Person], ground: Ground, cursor: CursorWrapper) -> None:
    """Give guides to those who have one."""
    numbers, guides = [], []
    for person in some:
        staff = ground.guides.get(ground.store_of(person) or 0)
        if person.guided and staff:
            numbers.append(member_no(person.number))
            guides.append(staff[person.number // 4 % len(staff)])
    cursor.execute(_ASSIGNMENTS, ground.given(numbers=numbers, guides=guides, reason="老客名单"))
