"""Birthday benefits: one statement finds whose window a day lies in, each grant is carried out once."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db import connection, transaction
from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts.services import record_audit
from accounts.tenancy import current_brand_id
from common.failpoints import point
from loyalty.birthdays import benefits, due
from loyalty.errors import BirthdayInvalid
from loyalty.models import BirthdayGrant, BirthdayProgramme, GrantState
from loyalty.selectors import birthdays as selectors
from loyalty.selectors import points as point_selectors
from loyalty.selectors.tiers import lowest
from loyalty.services.ledger import MOST_POINTS, SYSTEM
from loyalty.services.many import Gain, earn_many
from loyalty.services.notices import AGAIN, Owed, by_day, tell
from members.left_out import held
from members.models import Flag, Member

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from django_stubs_ext import StrOrPromise

AT_ONCE: Final = 500
MOST_MISSED: Final = 40  # days that are made up for after a pause
MOST_WINDOW: Final = 30


class BirthdayPoints:
    """Points, at once."""

    label = gettext_lazy("Points at once")
    numbers = {"points": (gettext_lazy("Points for a birthday"), 1, MOST_POINTS)}
    picks: Mapping[str, tuple[StrOrPromise, Callable[[], list[tuple[int, str]]]]] = {}

    def says(self, params: dict[str, Any]) -> str:
        """Say how many."""
        points = int(params.get("points", 0))
        return ngettext("%(points)s point", "%(points)s points", points) % {"points": f"{points:,}"}

    def points(self, params: dict[str, Any]) -> int:
        """Give how many."""
        return int(params.get("points", 0))

    def give(self, grants: Sequence[BirthdayGrant], *, at: datetime) -> dict[int, str]:
        """Post them; whose data was deleted or who was flagged meanwhile gets none."""
        people = [each.member_id for each in grants]
        flagged = Flag.objects.filter(held(at=at), member_id__in=people)
        gone = set(
            Member.objects.filter(pk__in=people, erased_at__isnull=False).order_by().values_list("pk", flat=True)
        ) | set(flagged.values_list("member_id", flat=True))
        here = [each for each in grants if each.member_id not in gone]
        made = earn_many(
            gains=[Gain(f"birthday:{each.pk}", each.member_id, self.points(each.params)) for each in here],
            actor=SYSTEM,
            source="birthday",
            reason=_("Birthday"),
            at=at,
        )
        return {each.pk: f"journal {made[f'birthday:{each.pk}']}" for each in here}


benefits.register("points", BirthdayPoints())


@transaction.atomic
def save_birthday_programme(*, programme: BirthdayProgramme, at: datetime) -> BirthdayProgramme:
    """Save what is given for birthdays. Turned on, it gives to those whose window the day lies in.

    Raises BirthdayInvalid.
    """
    kind = benefits.find(programme.benefit)
    if kind is None:
        raise BirthdayInvalid(_("Not saved. This benefit is unknown."), field="benefit")
    for name, (_label, low, high) in kind.numbers.items():
        value = programme.params.get(name)
        if not isinstance(value, int) or not low <= value <= high:
            said = _("Not saved. A whole number from %(low)s to %(high)s is needed.")
            raise BirthdayInvalid(said % {"low": f"{low:,}", "high": f"{high:,}"}, field=name)
    for name, (_label, offered) in kind.picks.items():
        if programme.params.get(name) not in dict(offered()):
            raise BirthdayInvalid(_("Not saved. Choose one of the list."), field=name)
    if not (0 <= programme.days_before <= MOST_WINDOW and 0 <= programme.days_after <= MOST_WINDOW):
        raise BirthdayInvalid(
            _("Not saved. The window has at most %(days)s days on each side.") % {"days": MOST_WINDOW},
            field="days_after",
        )
    before = selectors.programme()
    was_on = before.is_on and before.pk is not None
    today = at.astimezone(point_selectors.zone()).date()
    programme.pk, programme.updated_at = before.pk, at
    programme.last_day = before.last_day if was_on and before.last_day else today
    programme.save()
    names = ("is_on", "benefit", "params", "mode", "days_before", "days_after", "leap", "tier_id", "text")
    changes = {
        name: [getattr(before, name), getattr(programme, name)]
        for name in names
        if getattr(before, name) != getattr(programme, name)
    }
    if changes:
        record_audit(action="change birthday benefit", obj=programme, changes=changes)
    return programme


_FIND: Final = """
INSERT INTO loyalty_birthdaygrant
    (brand_id, member_id, year, given_year, day, benefit, params, state, reference, at)
SELECT m.brand_id, m.id, d.year, %(given_year)s, %(day)s, %(benefit)s, %(params)s::jsonb, 'DUE', '', %(at)s
FROM unnest(%(mmdd)s::smallint[], %(years)s::smallint[]) AS d(mmdd, year)
JOIN members_member m ON m.brand_id = %(brand)s AND m.birth_mmdd = d.mmdd
WHERE m.brand_id = %(brand)s AND m.joined_at < %(until)s AND m.merged_into_id IS NULL AND m.erased_at IS NULL
    AND (%(threshold)s::int IS NULL OR EXISTS (
        SELECT 1 FROM loyalty_standing s JOIN loyalty_tier t ON t.brand_id = s.brand_id AND t.id = s.tier_id
        WHERE s.brand_id = m.brand_id AND s.member_id = m.id AND t.threshold >= %(threshold)s)
        OR %(lowest)s::int >= %(threshold)s AND NOT EXISTS (
            SELECT 1 FROM loyalty_standing s WHERE s.brand_id = m.brand_id AND s.member_id = m.id))
    AND NOT EXISTS (SELECT 1 FROM members_flag f WHERE f.brand_id = m.brand_id AND f.member_id = m.id
        AND (f.since IS NULL OR f.since <= %(at)s) AND (f.until IS NULL OR f.until > %(at)s))
    AND NOT EXISTS (SELECT 1 FROM loyalty_birthdaygrant g WHERE g.brand_id = m.brand_id AND g.member_id = m.id
        AND (g.year = d.year OR g.given_year = %(given_year)s))
ON CONFLICT DO NOTHING
"""


@transaction.atomic
def find_birthdays(*, at: datetime) -> int:
    """Write down who gets something today, and on days that were missed; gives how many are new."""
    row = BirthdayProgramme.objects.select_for_update(of=("self",)).select_related("tier").filter(is_on=True).first()
    if row is None:
        return 0
    zone = point_selectors.zone()
    today = at.astimezone(zone).date()
    first = max(row.last_day or today, today - timedelta(days=MOST_MISSED))
    found = 0
    for number in range((today - first).days + 1):
        found += _find(row, first + timedelta(days=number), today, zone, at)
    if row.last_day != today:
        BirthdayProgramme.objects.filter(pk=row.pk).update(last_day=today)
    point("birthdays: found, not committed")
    return found


def _find(row: BirthdayProgramme, day: date, today: date, zone: Any, at: datetime) -> int:
    """Write down whose window a day lies in; what is made up for counts as given today."""
    import json

    wanted, first = due(day, mode=row.mode, before=row.days_before, after=row.days_after, leap=row.leap), lowest()
    ends = datetime.combine(day + timedelta(days=1), time(0), tzinfo=zone).astimezone(UTC)
    with connection.cursor() as cursor:
        cursor.execute(
            _FIND,
            {
                "brand": current_brand_id(),
                "mmdd": list(wanted),
                "years": list(wanted.values()),
                "given_year": today.year,
                "day": today,
                "benefit": row.benefit,
                "params": json.dumps(row.params),
                "until": min(ends, at + timedelta(microseconds=1)),
                "at": at,
                "threshold": row.tier.threshold if row.tier else None,
                "lowest": first.threshold if first else None,
            },
        )
        found: int = cursor.rowcount
    return found


@transaction.atomic
def give_birthdays(*, at: datetime, limit: int = AT_ONCE) -> int:
    """Carry some grants out; gives how many were looked at. Killed anywhere, nothing is given twice."""
    rows = list(
        BirthdayGrant.objects.select_for_update(skip_locked=True).filter(state=GrantState.DUE).order_by("pk")[:limit]
    )
    by_benefit: dict[str, list[BirthdayGrant]] = {}
    for row in rows:
        by_benefit.setdefault(row.benefit, []).append(row)
    for key, grants in by_benefit.items():
        made = benefits.get(key).give(grants, at=at)
        point("birthdays: given, not noted")
        for grant in grants:
            grant.state = GrantState.GIVEN if grant.pk in made else GrantState.DROPPED
            grant.reference = made.get(grant.pk, "")
        BirthdayGrant.objects.bulk_update(grants, ["state", "reference"])
    return len(rows)


_TELL_WITHIN: Final = timedelta(days=7)  # after that a birthday is over


@transaction.atomic
def carry_birthdays(*, at: datetime, limit: int = AT_ONCE) -> int:
    """Tell some of those who were given something and were not told; gives how many were looked at.

    The same ways and hours as warnings that points end; killed anywhere, nobody is told twice.
    """
    text, today = selectors.programme().text, at.astimezone(point_selectors.zone()).date()
    if not text or not by_day(at):
        return 0
    rows = list(
        BirthdayGrant.objects.select_for_update(skip_locked=True)
        .filter(Q(tried_at=None) | Q(tried_at__lt=at - AGAIN), state=GrantState.GIVEN, way="")
        .filter(day__gte=today - _TELL_WITHIN, day__lte=today)
        .order_by("day", "pk")[:limit]
    )
    kinds = dict(benefits.items())
    people = {
        row.member_id: Owed({"benefit": kinds[row.benefit].says(row.params)}, (row.pk,), row.ways_held, row.why)
        for row in rows
    }
    told = tell(text, people, about="birthday", at=at)
    for row in rows:
        row.tried_at = at
        row.way, row.why = told[row.member_id]
    BirthdayGrant.objects.bulk_update(rows, ["tried_at", "way", "why"])
    point("birthdays: told, not noted")
    return len(rows)


def move_grants(*, kept: Member, merged: Member, at: datetime) -> None:
    """When two records become one, what either had counts for the one; of one year the kept record's stays.

    What is still due is dropped when the other record had it: a worker that is giving it is waited for.
    """
    rows = list(BirthdayGrant.objects.select_for_update().filter(member__in=[kept, merged]).order_by("pk"))
    mine = [row for row in rows if row.member_id == kept.pk]
    for row in rows:
        if row.member_id == kept.pk:
            continue
        same = [each for each in mine if each.year == row.year or each.given_year == row.given_year]
        if not same:
            row.member = kept
            row.save(update_fields=["member"])
            continue
        for each in [row] if row.state == GrantState.DUE else same:
            if each.state == GrantState.DUE:
                each.state = GrantState.DROPPED
                each.save(update_fields=["state"])
