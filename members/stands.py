"""Where people stood in snapshots and who moved: reports that leave out staff, test people and blocked ones.

Snapshots hold everybody and never change; whoever was flagged then is left out when they are read, and is back when the
flag is taken away as if it had never been.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.db import connection
from django.db.models import OuterRef, Subquery

from accounts.tenancy import current_brand_id
from members.left_out import COUNTS
from members.models import Grouping, Segment, StageMember, StageMove

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from members.models import Snapshot


@dataclass(frozen=True)
class Move:
    """How many people stood in one stage and later in another; None is whoever one of the two did not know."""

    before: int | None
    after: int | None
    people: int


_SIDE: Final = (
    "(SELECT s.member_id, s.stage FROM members_snapshotmember s "
    "WHERE s.brand_id = %(brand)s AND s.snapshot_id = %({side})s AND {counts})"
)
_MOVES: Final = (
    "SELECT a.stage, b.stage, count(*) FROM {before} a FULL JOIN {after} b USING (member_id) "
    "GROUP BY a.stage, b.stage ORDER BY a.stage NULLS LAST, b.stage NULLS LAST"
)


def moves(before: Snapshot, after: Snapshot, *, everybody: bool = False) -> list[Move]:
    """Give who moved from where to where between two snapshots of a grouping; the people add up to both."""
    sides = {
        side: _SIDE.format(
            side=side, counts="true" if everybody else COUNTS.format(who="s.member_id", at=f"%({side}_at)s")
        )
        for side in ("before", "after")
    }
    values: dict[str, Any] = {
        "brand": current_brand_id(),
        "before": before.pk,
        "after": after.pk,
        "before_at": before.at,
        "after_at": after.at,
    }
    with connection.cursor() as cursor:
        cursor.execute(_MOVES.format(**sides), values)
        return [Move(*row) for row in cursor.fetchall()]


_FLAGGED: Final = """
SELECT s.snapshot_id, s.stage, count(DISTINCT s.member_id)
FROM members_flag f
JOIN members_snapshot t ON t.brand_id = f.brand_id AND t.id = ANY (%(snapshots)s)
    AND (f.since IS NULL OR f.since <= t.at) AND (f.until IS NULL OR f.until > t.at)
JOIN members_snapshotmember s ON s.brand_id = f.brand_id AND s.snapshot_id = t.id AND s.member_id = f.member_id
WHERE f.brand_id = %(brand)s GROUP BY s.snapshot_id, s.stage
"""


def counts(taken: Sequence[Snapshot], *, everybody: bool = False) -> dict[int, list[int]]:
    """Give how many people stood in each stage of some snapshots, by snapshot; the last number is those in none."""
    found = {each.pk: list(each.counts) for each in taken}
    if everybody or not found:
        return found
    with connection.cursor() as cursor:
        cursor.execute(_FLAGGED, {"brand": current_brand_id(), "snapshots": list(found)})
        for snapshot_id, stage, people in cursor.fetchall():
            found[snapshot_id][stage] -= people  # stage -1 is the last number
    return found


@dataclass(frozen=True)
class Lately:
    """By stage (id of its segment): who stands there, who came and who left since a moment."""

    people: dict[int, int]
    came: dict[int, int]
    left: dict[int, int]


_LATELY: Final = """
SELECT 'people', stage_id, count(*) FROM {members} m
WHERE m.brand_id = %(brand)s AND m.grouping_id = %(grouping)s AND {stands} GROUP BY stage_id
UNION ALL SELECT 'came', after_id, count(*) FROM {moves} v
WHERE v.brand_id = %(brand)s AND v.grouping_id = %(grouping)s AND v.at > %(since)s AND v.before_id IS NOT NULL
    AND {moved} GROUP BY after_id
UNION ALL SELECT 'left', before_id, count(*) FROM {moves} v
WHERE v.brand_id = %(brand)s AND v.grouping_id = %(grouping)s AND v.at > %(since)s AND v.before_id IS NOT NULL
    AND {moved} GROUP BY before_id
"""


def lately(grouping: Grouping, *, since: datetime, at: datetime, everybody: bool = False) -> Lately:
    """Give where people stand in a grouping that is followed day by day, and the moves since a moment."""
    statement = _LATELY.format(
        members=StageMember._meta.db_table,
        moves=StageMove._meta.db_table,
        stands="true" if everybody else COUNTS.format(who="m.member_id", at="%(at)s"),
        moved="true" if everybody else COUNTS.format(who="v.member_id", at="v.at"),
    )
    values: dict[str, Any] = {"brand": current_brand_id(), "grouping": grouping.pk, "since": since, "at": at}
    found: dict[str, dict[int, int]] = {"people": {}, "came": {}, "left": {}}
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        for what, stage, people in cursor.fetchall():
            found[what][stage] = people
    return Lately(**found)


def cell_rule(before: Snapshot, start: int | None, after: Snapshot, end: int | None) -> dict[str, Any]:
    """Give the rule of whoever stood in one stage of a snapshot and in another of a later one."""
    return {"all": [_stood(before, start), _stood(after, end)]}


def _stood(snapshot: Snapshot, stage: int | None) -> dict[str, Any]:
    where = "any" if stage is None else ("none" if stage < 0 else "in")
    params: dict[str, Any] = {"snapshots": [snapshot.pk], "where": where}
    if stage is not None and stage >= 0:
        params["names"] = [snapshot.stages[stage]["name"]]
    leaf = {"condition": "stood", "params": params}
    return {"none": [leaf]} if stage is None else leaf


@dataclass(frozen=True)
class Stands:
    """Where somebody stands in one grouping, and since when; `stage` is empty for none of its stages."""

    grouping: str
    stage: str
    since: datetime


@dataclass(frozen=True)
class Moved:
    """A move of somebody: from and to which stage, empty for none; `is_first` when nothing is known from before."""

    grouping: str
    before: str
    after: str
    at: datetime
    is_first: bool


def stages_of(member_id: int) -> list[Stands]:
    """Say where somebody stands in each grouping that is followed day by day, in one query."""
    rows = StageMember.objects.filter(member_id=member_id).exclude(grouping__recipe="")
    rows = rows.annotate(stage=_name_of("stage_id")).order_by("grouping__name", "pk")
    found = rows.values_list("grouping__name", "stage", "since")
    return [Stands(grouping, stage or "", since) for grouping, stage, since in found]


def moves_of(member_id: int, *, limit: int) -> list[Moved]:
    """Give the moves of somebody between stages, newest first, in one query; stages by their names of today."""
    rows = StageMove.objects.filter(member_id=member_id).order_by("-at", "-pk")
    rows = rows.annotate(before=_name_of("before_id"), after=_name_of("after_id"))
    found = rows.values_list("grouping__name", "before_id", "before", "after", "at")[:limit]
    return [
        Moved(grouping, before or "", after or "", at, before_id is None)
        for grouping, before_id, before, after, at in found
    ]


def _name_of(column: str) -> Subquery:
    return Subquery(Segment.objects.filter(pk=OuterRef(column)).values("name")[:1])
