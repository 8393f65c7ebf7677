"""Kept segments: who is in them, brought up to date by what changed and by what time moves, or found anew.

One at a time per brand. Whoever changed is taken from `SegmentDue` before anybody is looked at: what changes meanwhile
leaves a row of its own, and what is cut off in the middle leaves everything as it was.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.apps import apps
from django.db import DatabaseError, connection, transaction
from django.db.models import Exists, F, OuterRef
from django.utils.translation import gettext_lazy

from accounts.tasks_base import ring
from accounts.tenancy import brand_scope, current_brand_id
from common.failpoints import point
from members import freshness, tasks
from members.errors import RuleInvalid
from members.models import Freshness, Grouping, Member, Segment, SegmentMember, StageMember, StageMove
from members.segments import matching, mentioned, turning
from members.watched import watched
from wechat_gateway import incidents

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from django.db.models import QuerySet

    from members.models import Follower

logger = logging.getLogger(__name__)

MOST_AT_ONCE: Final = 20_000  # more people than these are found anew more cheaply than looked at
SETTLED: Final = timedelta(minutes=10)  # no transaction is older; whoever began before segments were kept has ended
AGAIN_AFTER: Final = timedelta(minutes=5)
STALE: Final = "members.segment_late"
_TABLE: Final = re.compile(r'"(\w+)"')

incidents.kinds.register(
    STALE,
    incidents.Kind(
        gettext_lazy("The people of segment “%(subject)s” are older than they may be"),
        gettext_lazy("Campaigns to it do not start; planned ones wait and go on by themselves."),
        cause=gettext_lazy("Its last refresh failed, or the workers that do it are behind."),
        action=gettext_lazy("Open the segment: it says why, and can be refreshed there."),
    ),
)

_TAKE: Final = """
WITH taken AS (DELETE FROM members_segmentdue WHERE brand_id = %s RETURNING member_id)
SELECT DISTINCT member_id FROM taken
"""
_FIRST: Final = """
INSERT INTO members_segmentmember (brand_id, segment_id, member_id, since)
SELECT %s, %s, m.id, %s FROM ({people}) m
"""
# `only` narrows both sides to the people who are looked at.
_SETTLE: Final = """
WITH wanted AS MATERIALIZED (SELECT m.id FROM ({people}) m{only_wanted}),
gone AS (
    DELETE FROM members_segmentmember s WHERE s.brand_id = %s AND s.segment_id = %s{only_kept}
        AND NOT EXISTS (SELECT 1 FROM wanted w WHERE w.id = s.member_id)
    RETURNING 1
), came AS (
    INSERT INTO members_segmentmember (brand_id, segment_id, member_id, since)
    SELECT %s, %s, w.id, %s FROM wanted w WHERE NOT EXISTS (
        SELECT 1 FROM members_segmentmember s WHERE s.brand_id = %s AND s.segment_id = %s AND s.member_id = w.id)
    RETURNING 1
)
SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM came)
"""


@dataclass(frozen=True)
class Moved:
    """How many people came into a segment and how many left it."""

    came: int
    gone: int


def refresh_segments(brand_id: int, *, at: datetime) -> int:
    """Bring the brand's kept segments that are due up to date; gives how many were.

    One that cannot be keeps its people with their age and opens an incident; the others go on.
    """
    with brand_scope(brand_id):
        kept = list(Segment.objects.exclude(freshness=Freshness.LIVE).order_by("pk"))
    for segment in kept:
        if freshness.age_of(segment, at=at).is_late and segment.refreshed_at is not None:
            with brand_scope(brand_id):
                incidents.open_incident(kind=STALE, subject=segment.name, detail=segment.problem, at=at)
    done = 0
    for segment in kept:
        if segment.rebuild_at is not None and segment.rebuild_at <= at:
            with brand_scope(brand_id):
                done += _in_turn(segment, at, anew=True)
    if any(_is_due(each, at) for each in kept):
        with brand_scope(brand_id):
            done += _follow(at)
    return done


def refresh_segment(*, segment: Segment, at: datetime) -> Segment:
    """Find the people of a kept segment anew, now. Raises `RuleInvalid` when its rule cannot be used."""
    with transaction.atomic():
        _lock()
        row = Segment.objects.select_for_update().get(pk=segment.pk)
        if row.freshness != Freshness.LIVE:
            rebuild(row, at=at)
            incidents.close_incident(kind=STALE, subject=row.name, at=at)
    return row


def keep_anew(row: Segment, *, at: datetime) -> None:
    """Have the people of a segment found anew: its rule or the way it is kept has changed. The caller saves it."""
    if row.freshness == Freshness.LIVE:
        row.rebuild_at, row.refreshed_at, row.problem = None, None, ""
        return
    row.rebuild_at, row.refreshed_at, row.problem = at, None, ""
    ring(tasks.refresh_segments, current_brand_id())


def forget_people(*, segment: Segment) -> int:
    """Take away whom a segment has kept; gives how many."""
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM members_segmentmember WHERE brand_id = %s AND segment_id = %s",
            [current_brand_id(), segment.pk],
        )
        gone: int = cursor.rowcount
    return gone


# One that has failed must be found anew: whoever changed meanwhile was not looked at for it.
_FOLLOWING: Final = {"freshness": Freshness.MINUTES, "refreshed_at__isnull": False, "problem": ""}


def forget_in_segments(*, follower: Follower, whole: bool, at: datetime) -> int:
    """Take somebody who is being erased out of every kept segment, and their moves between stages away."""
    if not whole:
        return 0
    # A record that was merged into theirs a moment ago is still in the segments it was in.
    people = [follower.member_id, *Member.objects.filter(merged_into=follower.member_id).values_list("pk", flat=True)]
    here = SegmentMember.objects.filter(segment=OuterRef("pk"), member_id__in=people)
    # Locked first, in the order in which refreshes lock them: their people change only by whoever holds them.
    kept = Segment.objects.select_for_update().filter(Exists(here)).order_by("pk")
    segments = list(kept.values_list("pk", flat=True))
    rows = SegmentMember.objects.filter(segment__in=segments, member_id__in=people)
    left = Counter(rows.order_by().values_list("segment_id", flat=True))
    gone = rows.delete()[0]
    for segment_id, people_gone in sorted(left.items()):
        Segment.objects.filter(pk=segment_id).update(counted=F("counted") - people_gone)
    groupings = Grouping.objects.values("pk")
    StageMember.objects.filter(grouping__in=groupings, member_id=follower.member_id).delete()
    moves, _kinds = StageMove.objects.filter(member_id=follower.member_id).delete()
    return gone + moves


def _is_due(segment: Segment, at: datetime) -> bool:
    if segment.freshness != Freshness.MINUTES or segment.refreshed_at is None or segment.problem:
        return False
    return at - segment.refreshed_at >= freshness.EVERY[segment.freshness]


def _lock() -> None:
    """Let one worker at a time decide who is in the brand's segments; the lock ends with the transaction."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"members.segments:{current_brand_id()}"]
        )


def _follow(at: datetime) -> int:
    """Look at everybody of whom something changed, for every segment that follows changes."""
    with transaction.atomic():
        _lock()
        with connection.cursor() as cursor:
            cursor.execute(_TAKE, [current_brand_id()])
            changed = [member_id for (member_id,) in cursor.fetchall()]
        rows = Segment.objects.select_for_update().filter(**_FOLLOWING)
        done = sum(_in_turn(row, at, changed=changed) for row in rows.order_by("pk"))
        point("segments: followed, not committed")
    return done


def _in_turn(segment: Segment, at: datetime, *, changed: list[int] | None = None, anew: bool = False) -> bool:
    """Bring one segment up to date; what goes wrong is its own affair. Gives whether it is."""
    try:
        with transaction.atomic():
            if anew:
                _lock()
                row = Segment.objects.select_for_update().get(pk=segment.pk)
                if row.freshness == Freshness.LIVE or row.rebuild_at is None or row.rebuild_at > at:
                    return False
                rebuild(row, at=at)
            else:
                follow(segment, changed or [], at=at)
    except RuleInvalid as error:
        _failed(segment, error.message, at)
        return False
    except DatabaseError as error:
        logger.exception("segment %s was not brought up to date", segment.pk)
        _failed(segment, str(error).splitlines()[0] if str(error) else type(error).__name__, at)
        return False
    incidents.close_incident(kind=STALE, subject=segment.name, at=at)
    return True


def _failed(segment: Segment, why: str, at: datetime) -> None:
    Segment.objects.filter(pk=segment.pk).update(problem=why[:200], rebuild_at=at + AGAIN_AFTER)
    incidents.open_incident(kind=STALE, subject=segment.name, detail=why[:200], at=at)


def rebuild(row: Segment, *, at: datetime) -> Moved:
    """Find everybody in a segment anew, in one statement, and write down that it is true as of `at`."""
    people, params = _statement(matching(row.rule, at=at))
    brand_id = current_brand_id()
    is_first = not SegmentMember.objects.filter(segment=row.pk).exists()
    with connection.cursor() as cursor:
        # Right after an import the planner knows nothing of the tables and would compare everybody with everybody.
        cursor.execute("SET LOCAL enable_nestloop = off")
        if is_first:
            cursor.execute(_FIRST.format(people=people), [brand_id, row.pk, at, *params])
            moved = Moved(cursor.rowcount, 0)
        else:
            where = [brand_id, row.pk]
            statement = _SETTLE.format(people=people, only_wanted="", only_kept="")
            cursor.execute(statement, [*params, *where, *where, at, *where])
            gone, came = cursor.fetchone()
            moved = Moved(came, gone)
        cursor.execute("SET LOCAL enable_nestloop = on")
    # Whoever was at work when the segment was first kept did not know of it: once more when all of them have ended.
    first_time = row.refreshed_at is None and row.freshness == Freshness.MINUTES
    row.rebuild_at = at + (SETTLED if first_time else freshness.REBUILT_EVERY)
    if row.freshness == Freshness.DAILY:
        row.rebuild_at = at + freshness.EVERY[row.freshness]
    row.counted = SegmentMember.objects.filter(segment=row.pk).count() if not is_first else moved.came
    _note(row, at)
    return moved


def follow(row: Segment, changed: Iterable[int], *, at: datetime) -> Moved:
    """Look at those who changed and those whom time moves; everybody is found anew where that cannot be told."""
    if row.refreshed_at is None:
        return rebuild(row, at=at)
    people = matching(row.rule, at=at)
    turns = turning(row.rule, since=row.refreshed_at, until=at) if _is_followed(people) else None
    looked_at = set(changed)
    for moved in turns or ():
        if len(looked_at) <= MOST_AT_ONCE:
            looked_at.update(moved[: MOST_AT_ONCE + 1])
    if turns is None or len(looked_at) > MOST_AT_ONCE:
        return rebuild(row, at=at)
    found = Moved(0, 0)
    if looked_at:
        statement, params = _statement(people)
        ids, where = sorted(looked_at), [current_brand_id(), row.pk]
        settle = _SETTLE.format(
            people=statement, only_wanted=" WHERE m.id = ANY(%s)", only_kept=" AND s.member_id = ANY(%s)"
        )
        with connection.cursor() as cursor:
            cursor.execute(settle, [*params, ids, *where, ids, *where, at, *where])
            gone, came = cursor.fetchone()
        found = Moved(came, gone)
    row.counted = (row.counted or 0) + found.came - found.gone
    _note(row, at)
    return found


def _note(row: Segment, at: datetime) -> None:
    row.refreshed_at, row.counted_at, row.problem = at, at, ""
    row.save(update_fields=["refreshed_at", "rebuild_at", "counted", "counted_at", "problem"])


def _statement(people: QuerySet[Any]) -> tuple[str, tuple[Any, ...]]:
    statement, params = people.order_by().values("id").query.sql_with_params()
    return statement, tuple(params)


def _is_followed(people: QuerySet[Any]) -> bool:
    """Say whether every table that a rule reads tells of its changes."""
    statement, _params = _statement(people)
    tables = {model._meta.db_table for model in apps.get_models()}
    read = tables.intersection(_TABLE.findall(statement))
    return all(table in watched for table in read)


def asking(segment_id: int) -> list[Segment]:
    """Give the kept segments whose rule leads to a segment, directly or through others."""
    rows = list(Segment.objects.order_by("pk"))
    reached, grown = {segment_id}, True
    while grown:
        more = {row.pk for row in rows if row.pk not in reached and _names(row.rule) & reached}
        grown, reached = bool(more), reached | more
    return [row for row in rows if row.pk in reached - {segment_id} and row.freshness != Freshness.LIVE]


def _names(rule: object) -> set[int]:
    return set(mentioned(rule, "segments"))


def rebuild_asking(*, segment_id: int, at: datetime) -> int:
    """Have the people of every kept segment that asks for this one found anew; gives how many there are."""
    rows = asking(segment_id)
    return Segment.objects.filter(pk__in=[row.pk for row in rows]).update(rebuild_at=at, refreshed_at=None)
