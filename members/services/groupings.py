"""Groupings: everybody in one of several stages, kept month by month, and who moved from where to where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.db import IntegrityError, connection, transaction
from django.db.models import Case, SmallIntegerField, Value, When
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.services import record_audit
from accounts.tenancy import brand_scope, current_brand_id
from members.errors import GroupingInvalid, RuleInvalid
from members.happenings import happenings
from members.models import Grouping, Member, Segment, Snapshot
from members.segments import compile_rule, sentence
from members.services.segments import save_segment

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

MOST_STAGES: Final = 12
NAME_LENGTH: Final = 40
NOWHERE: Final = -1


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
    row = Grouping.objects.select_for_update().get(pk=grouping.pk) if grouping else Grouping(created_at=at)
    before = {"name": row.name, "stages": row.stages, "is_monthly": row.is_monthly} if grouping else {}
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
    return row


def _heard_of(days: int) -> dict[str, Any]:
    return {"condition": "last_interaction", "params": {"how": "within", "days": days}}


def _yes(key: str) -> dict[str, Any]:
    return {"condition": key, "params": {"value": "yes"}}


def lifecycle() -> list[tuple[str, dict[str, Any]]]:
    """Give the stages of the life cycle, latest first, with a rule each; buying counts where an app tells of it."""
    bought = next((key for key, _item in happenings.items() if key.endswith(".purchase")), None)

    def buys(times: int) -> dict[str, Any]:
        return {"condition": "event", "params": {"how": "did", "event": bought, "times": times, "days": 365}}

    stages = [(_("Bought again"), {"all": [buys(2)]}), (_("Bought"), {"all": [buys(1)]})] if bought else []
    return [
        *stages,
        (_("Brand member"), {"all": [_yes("joined"), _heard_of(90)]}),
        (_("Takes part"), {"all": [_heard_of(7)]}),
        (_("Interested"), {"all": [_heard_of(30)]}),
        (_("Knows the brand"), {"all": [_yes("subscribed")]}),
        (_("Contact only"), {"none": [_yes("subscribed")]}),
    ]


@transaction.atomic
def begin_lifecycle(*, at: datetime) -> Grouping:
    """Make the segments of the life cycle and a grouping of them; both are the brand's to change from then on.

    Doing it again gives the grouping that is there. A segment of the same name is used as it is.
    """
    name = _("Life cycle")
    known = Grouping.objects.filter(name=name).first()
    if known is not None:
        return known
    chosen = []
    for stage, rule in lifecycle():
        segment = Segment.objects.filter(name=stage).first()
        chosen.append(segment or save_segment(name=stage, rule=rule, at=at))
    return save_grouping(name=name, segment_ids=[segment.pk for segment in chosen], at=at)


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
    kept = [{"name": each.name, "rule": each.rule, "sentence": sentence(each.rule)} for each in stages]
    newest = Snapshot.objects.filter(grouping=row).order_by("-at", "-pk").first()
    if newest is not None and newest.version == row.version and _rules(newest.stages) != _rules(kept):
        row.version += 1  # the stages are the same segments, but one of them has another rule
        row.save(update_fields=["version"])
    snapshot = Snapshot.objects.create(
        grouping=row, version=row.version, month=month, at=at, stages=kept, counts=[0] * len(kept)
    )
    place = Case(
        *(When(compile_rule(each.rule, at=at), then=Value(number)) for number, each in enumerate(stages)),
        default=Value(NOWHERE),
        output_field=SmallIntegerField(),
    )
    people = Member.objects.filter(merged_into=None).annotate(place=place).values_list("pk", "place")
    statement, params = people.order_by().query.sql_with_params()
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
        month = timezone.localtime(at).date().replace(day=1)
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


def _rules(stages: list[dict[str, Any]]) -> list[Any]:
    return [each["rule"] for each in stages]
