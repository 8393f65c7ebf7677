"""By which code the people of a crowd came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from django.db.backends.utils import CursorWrapper

from demo.layers.ground import Ground, member_no
from demo.truth import Person

_TOUCHES: Final = """
INSERT INTO touchpoints_touch (brand_id, touchpoint_id, follower_id, member_id, kind, "case", scene, opening, at)
SELECT m.brand_id, t.code, f.id, m.id, 'FOLLOW', 'NEW', coalesce(t.scene, ''), '', m.created_at
FROM unnest(%(numbers)s::text[], %(codes)s::bigint[], %(scenes)s::text[]) AS t(member_no, code, scene)
JOIN members_member m ON m.brand_id = %(brand)s AND m.member_no = t.member_no
JOIN members_follower f ON f.brand_id = m.brand_id AND f.member_id = m.id
"""


def plant(some: Sequence[Person], ground: Ground, cursor: CursorWrapper) -> None:
    """Let everybody who follows have come by a code, or by none."""
    follow = [person for person in some if person.follows]
    found = [person.code(len(ground.codes)) for person in follow]
    codes = [(None, "") if each is None else ground.codes[each] for each in found]
    numbers = [member_no(person.number) for person in follow]
    cursor.execute(
        _TOUCHES, ground.given(numbers=numbers, codes=[pk for pk, _ in codes], scenes=[scene for _, scene in codes])
    )
