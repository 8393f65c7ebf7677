"""Groupings: everybody in one of several stages, kept month by month, and who moved from where to where."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from django.db import IntegrityError, connection, transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from accounts.services import record_audit
from accounts.tenancy import brand_scope, current_brand_id
from members import placing
from members.errors import GroupingInvalid, RuleInvalid
from members.models import Grouping, GroupingVersion, Segment, Snapshot
from members.recipes import LIFECYCLE, defaults, read_settings, recipes
from members.segments import sentence
from members.services.segments import save_segment
from stores.selectors import brand_zone

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date, datetime

    from members.recipes import Recipe

MOST_STAGES: Final = 12
NAME_LENGTH: Final = 40
NOWHERE: Final = -1
TRACKED_EVERY: Final = timedelta(hours=23)


@transaction.atomic
def save_grouping(
    *,
    name: str,
    segment_ids: Sequence[int],
    at: datetime,
    grouping: Grouping | None = None,
    is_monthly: bool = True,
) -> Grouping:
    """Make a grouping or change it; other stages, or another order, begin a new version. Raises `GroupingInvalid`."""
    name, stages = name.strip(), list(segment_ids)
    if not name or len(name) > NAME_LENGTH:
        raise GroupingInvalid("name", _("Give it a name of 1 to %(count)s characters.") % {"count": NAME_LENGTH})
    if not 2 <= len(stages) <= MOST_STAGES or len(set(stages)) != len(stages):
        raise GroupingInvalid("stages", _("Choose 2 to %(count)s different segments.") % {"count": MOST_STAGES})
    if Segment.objects.filter(pk__in=stages).count() != len(stages):
        raise GroupingInvalid("stages", _("This segment does not exist."))
    is_new = grouping is None or grouping.pk is None
    row = grouping or Grouping(created_at=at)
    if not is_new:
        row = Grouping.objects.select_for_update().get(pk=row.pk)
    before = {} if is_new else {"name": row.name, "stages": row.stages, "is_monthly": row.is_monthly}
    if before and before["stages"] != stages:
        row.version += 1
    row.name, row.stages, row.is_monthly, row.updated_at, row.problem = name, stages, is_monthly, at, ""
    try:
        with transaction.atomic():
            row.save()
    except IntegrityError:
        raise GroupingInvalid("name", _("Another grouping already has this name.")) from None
    now = {"name": name, "stages": stages, "is_monthly": is_monthly}
    changes = {key: [before.get(key), value] for key, value in now.items() if before.get(key) != value}
    if changes:
        record_audit(action="change grouping" if before else "create grouping", obj=row, changes=changes)
    if before.get("stages") != stages:
        _write_version(row, at)
    return row


@transaction.atomic
def begin_recipe(*, key: str, at: datetime, settings: Mapping[str, Any] | None = None) -> Grouping:
    """Make the segments of a recipe and a grouping of them; both are the brand's to change from then on.

    Doing it again gives the grouping that is there. A segment of the same name is used as it is. Raises
    `GroupingInvalid`.
    """
    recipe = recipes.get(key)
    known = Grouping.objects.filter(Q(recipe=key) | Q(name=str(recipe.label))).order_by("pk").first()
    if known is not None:
        return known
    numbers = read_settings(recipe, settings or {})
    return save_grouping(
        name=str(recipe.label),
        segment_ids=_segments_of(recipe, numbers, at),
        at=at,
        grouping=Grouping(created_at=at, recipe=key, settings=numbers),
    )


def _segments_of(recipe: Recipe, numbers: dict[str, int], at: datetime) -> list[int]:
    """Give the segments of a recipe's stages, making those that are not there."""
    chosen = []
    for name, rule in recipe.stages(numbers):
        segment = Segment.objects.filter(name=name).first()
        chosen.append(segment or save_segment(name=name, rule=rule, at=at))
    return [segment.pk for segment in chosen]


def has_other_stages(grouping: Grouping) -> bool:
    """Say whether a grouping has more or fewer stages than its recipe has today: begun before, or changed by hand."""
    recipe = recipes.find(grouping.recipe)
    return recipe is not None and len(grouping.stages) != len(recipe.stages(defaults(recipe)))


@transaction.atomic
def renew_recipe(*, grouping: Grouping, at: datetime) -> Grouping:
    """Give a grouping the stages its recipe has today; numbers it knows stay. The segments it had stay as segments.

    A new version begins. Raises `GroupingInvalid` when there is nothing to renew.
    """
    row = Grouping.objects.select_for_update().get(pk=grouping.pk)
    recipe = recipes.find(row.recipe)
    if recipe is None or not has_other_stages(row):
        raise GroupingInvalid("stages", _("It has the stages that come out of the box."))
    known = {each.name for each in recipe.fields}
    numbers = read_settings(recipe, {key: value for key, value in row.settings.items() if key in known})
    Grouping.objects.filter(pk=row.pk).update(settings=numbers)
    return save_grouping(
        name=row.name, segment_ids=_segments_of(recipe, numbers, at), at=at, grouping=row, is_monthly=row.is_monthly
    )


def begin_lifecycle(*, at: datetime) -> Grouping:
    """Make the segments of the life cycle and a grouping of them."""
    return begin_recipe(key=LIFECYCLE, at=at)


@transaction.atomic
def change_recipe(*, grouping: Grouping, settings: Mapping[str, Any], at: datetime) -> Grouping:
    """Give the stages of a recipe other numbers: their rules follow, and a new version begins.

    Raises `GroupingInvalid` for numbers that are out of range, or stages that are not the recipe's any more.
    """
    row = Grouping.objects.select_for_update().get(pk=grouping.pk)
    recipe = recipes.get(row.recipe)
    numbers = read_settings(recipe, settings)
    stages = recipe.stages(numbers)
    segments = Segment.objects.in_bulk(row.stages)
    if len(segments) != len(stages) or len(row.stages) != len(stages):
        raise GroupingInvalid("stages", _("Its stages were changed by hand; change the rules of its segments instead."))
    for pk, (_name, rule) in zip(row.stages, stages, strict=True):
        if segments[pk].rule != rule:
            save_segment(name=segments[pk].name, rule=rule, at=at, segment=segments[pk])
    before = row.settings
    if before != numbers:
        row.version += 1
        row.settings, row.updated_at = numbers, at
        row.save(update_fields=["version", "settings", "updated_at"])
        _write_version(row, at)
        record_audit(action="change grouping", obj=row, changes={"settings": [before, numbers]})
    return row


@dataclass(frozen=True)
class BackTest:
    """How many people stand in each stage of some numbers, now and at a moment before; the last number is in none.

    `undated` names conditions whose facts are not kept for past times: then nothing is said of the past.
    """

    names: tuple[str, ...]
    now: tuple[int, ...]
    then: tuple[int, ...] | None
    undated: tuple[str, ...]


def back_test(
    *, key: str, settings: Mapping[str, Any], at: datetime, then: datetime, everybody: bool = False
) -> BackTest:
    """Say what numbers would give now and would have given before; nothing is changed. Raises `GroupingInvalid`.

    Staff, test people and blocked ones are left out unless `everybody`.
    """
    recipe = recipes.get(key)
    stages = recipe.stages(read_settings(recipe, settings))
    rules = [rule for _name, rule in stages]
    missing = tuple(placing.undated(rules))
    past = None if missing else tuple(placing.counted(rules, at=then, everybody=everybody, is_past=True))
    now = tuple(placing.counted(rules, at=at, everybody=everybody))
    return BackTest(tuple(name for name, _rule in stages), now, past, missing)


def _kept(stages: Sequence[Segment]) -> list[dict[str, Any]]:
    return [{"name": each.name, "rule": each.rule, "sentence": sentence(each.rule)} for each in stages]


def _write_version(row: Grouping, at: datetime) -> None:
    segments = Segment.objects.in_bulk(row.stages)
    stages = [segments[pk] for pk in row.stages if pk in segments]
    GroupingVersion.objects.get_or_create(
        grouping=row,
        number=row.version,
        defaults={"settings": row.settings, "stages": _kept(stages), "since": at},
    )


@transaction.atomic
def take_snapshot(*, grouping: Grouping, at: datetime, month: date | None = None) -> Snapshot | None:
    """Write down where everybody stands now, in one statement. None when the month has one already.

    Raises `RuleInvalid` when a segment names what is gone.
    """
    row = Grouping.objects.select_for_update().get(pk=grouping.pk)
    if month is not None and Snapshot.objects.filter(grouping=row, month=month).exists():
        return None
    segments = Segment.objects.in_bulk(row.stages)
    stages = [segments[pk] for pk in row.stages if pk in segments]
    kept = _kept(stages)
    newest = Snapshot.objects.filter(grouping=row).order_by("-at", "-pk").first()
    if newest is not None and newest.version == row.version and _rules(newest.stages) != _rules(kept):
        row.version += 1  # the stages are the same segments, but one of them has another rule
        row.save(update_fields=["version"])
    _write_version(row, at)
    snapshot = Snapshot.objects.create(
        grouping=row, version=row.version, month=month, at=at, stages=kept, counts=[0] * len(kept)
    )
    statement, params = placing.placed([each.rule for each in stages], range(len(stages)), nowhere=NOWHERE, at=at)
    brand_id = current_brand_id()
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH placed AS (INSERT INTO members_snapshotmember (brand_id, snapshot_id, member_id, stage) "  # noqa: S608 - a statement of the ORM with its own parameters
            f"SELECT %s, %s, p.* FROM ({statement}) p RETURNING stage) "
            "SELECT stage, count(*) FROM placed GROUP BY stage",
            [brand_id, snapshot.pk, *params],
        )
        counted = dict(cursor.fetchall())
    snapshot.counts = [counted.get(number, 0) for number in [*range(len(kept)), NOWHERE]]
    Snapshot.objects.filter(pk=snapshot.pk).update(counts=snapshot.counts)
    return snapshot


def take_monthly(brand_id: int, *, at: datetime) -> int:
    """Take this month's snapshot of each grouping that has none yet; gives how many were taken."""
    with brand_scope(brand_id):
        month = at.astimezone(ZoneInfo(brand_zone())).date().replace(day=1)
        groupings = list(Grouping.objects.filter(is_monthly=True).order_by("pk"))
    taken = 0
    for grouping in groupings:
        with brand_scope(brand_id):
            try:
                with transaction.atomic():
                    taken += take_snapshot(grouping=grouping, at=at, month=month) is not None
            except RuleInvalid as error:
                Grouping.objects.filter(pk=grouping.pk).update(problem=error.message[:200])
    return taken


_TRACK: Final = """
WITH placed AS MATERIALIZED ({people}),
changed AS MATERIALIZED (
    SELECT p.id, p.place, s.stage_id AS before FROM placed p
    LEFT JOIN members_stagemember s ON s.brand_id = %s AND s.grouping_id = %s AND s.member_id = p.id
    WHERE s.stage_id IS DISTINCT FROM p.place
), noted AS (
    INSERT INTO members_stagemove (brand_id, grouping_id, member_id, before_id, after_id, at)
    SELECT %s, %s, c.id, c.before, c.place, %s FROM changed c WHERE %s RETURNING 1
), stands AS (
    INSERT INTO members_stagemember (brand_id, grouping_id, member_id, stage_id, since)
    SELECT %s, %s, c.id, c.place, %s FROM changed c
    ON CONFLICT (brand_id, grouping_id, member_id) DO UPDATE SET stage_id = excluded.stage_id, since = excluded.since
), gone AS (
    DELETE FROM members_stagemember s WHERE s.brand_id = %s AND s.grouping_id = %s
        AND NOT EXISTS (SELECT 1 FROM placed p WHERE p.id = s.member_id)
)
SELECT count(*) FROM noted
"""


@transaction.atomic
def track_stages(*, grouping: Grouping, at: datetime) -> int:
    """Write down where everybody stands now and who moved since the last time, in one statement; gives how many moved.

    Records that have become part of another person stand nowhere any more.
    When the stages mean something else than the last time, everybody is placed anew and nobody has moved. Raises
    `RuleInvalid`.
    """
    row = Grouping.objects.select_for_update().get(pk=grouping.pk)
    segments = Segment.objects.in_bulk(row.stages)
    stages = [segments[pk] for pk in row.stages if pk in segments]
    _write_version(row, at)
    newest = GroupingVersion.objects.get(grouping=row, number=row.version)
    if _rules(newest.stages) != [each.rule for each in stages]:
        row.version += 1
        _write_version(row, at)
    people, params = placing.placed([each.rule for each in stages], [each.pk for each in stages], nowhere=0, at=at)
    mine = [current_brand_id(), row.pk]
    with connection.cursor() as cursor:
        moves = row.tracked_version == row.version
        cursor.execute(_TRACK.format(people=people), [*params, *mine, *mine, at, moves, *mine, at, *mine])
        moved: int = cursor.fetchone()[0]
    row.tracked_at, row.tracked_version, row.problem = at, row.version, ""
    row.save(update_fields=["tracked_at", "tracked_version", "version", "problem"])
    return moved


def track_due(brand_id: int, *, at: datetime) -> int:
    """Write down the moves of each grouping with a recipe, once a day; gives how many groupings were looked at."""
    with brand_scope(brand_id):
        due = Grouping.objects.exclude(recipe="").filter(Q(tracked_at=None) | Q(tracked_at__lte=at - TRACKED_EVERY))
        groupings = list(due.order_by("pk"))
    done = 0
    for grouping in groupings:
        with brand_scope(brand_id):
            try:
                with transaction.atomic():
                    track_stages(grouping=grouping, at=at)
                done += 1
            except RuleInvalid as error:
                Grouping.objects.filter(pk=grouping.pk).update(problem=error.message[:200])
    return done


def _rules(stages: list[dict[str, Any]]) -> list[Any]:
    return [each["rule"] for each in stages]
