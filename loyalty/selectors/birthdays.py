"""Questions about birthday benefits: what is given, to whom it was, to whom it would be."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db import connection

from accounts.tenancy import current_brand_id
from loyalty.birthdays import benefits, due, window_of
from loyalty.models import BirthdayGrant, BirthdayProgramme
from loyalty.selectors.points import zone
from loyalty.selectors.tiers import lowest
from members.figures import counted, figures
from members.models import Member
from members.selectors import is_left_out

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True)
class Outlook:
    """What a programme would give within some days: to how many people, how many points."""

    days: int
    people: int
    points: int
    as_of: datetime


@dataclass(frozen=True)
class Own:
    """A member's own birthday benefit: what it is, the window of the next (or running) birthday, when it was given."""

    benefit: str
    first: date
    last: date
    given_on: date | None


def programme() -> BirthdayProgramme:
    """Give what the brand in scope gives for birthdays; nothing where it has not chosen."""
    return BirthdayProgramme.objects.select_related("tier").first() or BirthdayProgramme()


_AHEAD: Final = """
SELECT count(DISTINCT m.id) FROM unnest(%(mmdd)s::smallint[], %(years)s::smallint[], %(given)s::smallint[])
    AS d(mmdd, year, given)
JOIN members_member m ON m.brand_id = %(brand)s AND m.birth_mmdd = d.mmdd
WHERE m.brand_id = %(brand)s AND m.joined_at <= %(at)s AND m.merged_into_id IS NULL AND m.erased_at IS NULL
    AND (%(threshold)s::int IS NULL OR EXISTS (
        SELECT 1 FROM loyalty_standing s JOIN loyalty_tier t ON t.brand_id = s.brand_id AND t.id = s.tier_id
        WHERE s.brand_id = m.brand_id AND s.member_id = m.id AND t.threshold >= %(threshold)s)
        OR %(lowest)s::int >= %(threshold)s AND NOT EXISTS (
            SELECT 1 FROM loyalty_standing s WHERE s.brand_id = m.brand_id AND s.member_id = m.id))
    AND NOT EXISTS (SELECT 1 FROM members_flag f WHERE f.brand_id = m.brand_id AND f.member_id = m.id
        AND (f.since IS NULL OR f.since <= %(at)s) AND (f.until IS NULL OR f.until > %(at)s))
    AND NOT EXISTS (SELECT 1 FROM loyalty_birthdaygrant g WHERE g.brand_id = m.brand_id AND g.member_id = m.id
        AND (g.year = d.year OR g.given_year = d.given))
"""


def outlook(row: BirthdayProgramme, *, at: datetime, days: int = 30) -> Outlook:
    """Say what a programme (saved or not) would give from today on."""
    today, first = at.astimezone(zone()).date(), lowest()
    wanted: dict[tuple[int, int, int], None] = {}
    for number in range(days):
        day = today + timedelta(days=number)
        found = due(day, mode=row.mode, before=row.days_before, after=row.days_after, leap=row.leap)
        wanted |= {(mmdd, year, day.year): None for mmdd, year in found.items()}
    with connection.cursor() as cursor:
        cursor.execute(
            _AHEAD,
            {
                "brand": current_brand_id(),
                "mmdd": [mmdd for mmdd, _year, _given in wanted],
                "years": [year for _mmdd, year, _given in wanted],
                "given": [given for _mmdd, _year, given in wanted],
                "at": at,
                "threshold": row.tier.threshold if row.tier else None,
                "lowest": first.threshold if first else None,
            },
        )
        answer = cursor.fetchone()
    return _outlook(row, int(answer[0]) if answer else 0, days, at)


def _outlook(row: BirthdayProgramme, people: int, days: int, as_of: datetime) -> Outlook:
    kind = benefits.find(row.benefit)
    return Outlook(days, people, people * kind.points(row.params) if kind else 0, as_of)


def outlook_lately(row: BirthdayProgramme, *, at: datetime, days: int = 30) -> Outlook:
    """Give the outlook of the saved programme as a page shows it: see `members.figures`."""
    settings = [row.mode, row.days_before, row.days_after, row.leap, row.tier_id]
    found = counted("loyalty.birthdays_ahead", {"settings": settings, "days": days}, at=at)
    return _outlook(row, int(found.value), days, found.as_of)


@figures.add("loyalty.birthdays_ahead")
def _ahead(params: dict[str, Any], at: datetime) -> int:
    return outlook(programme(), at=at, days=params["days"]).people


def newest_grants(limit: int = 20) -> list[BirthdayGrant]:
    """Give the last benefits that were given."""
    return list(BirthdayGrant.objects.select_related("member").order_by("-day", "-pk")[:limit])


def own_birthday(member_id: int, *, at: datetime) -> Own | None:
    """Give a member's own birthday benefit; None where there is none.

    The brand gives nothing, the birthday is unknown, or the person is left out of rewards.
    """
    row = programme()
    kind = benefits.find(row.benefit)
    mmdd = Member.objects.filter(pk=member_id).values_list("birth_mmdd", flat=True).first()
    if not row.is_on or kind is None or mmdd is None or is_left_out(member_id, at=at):
        return None
    today = at.astimezone(zone()).date()
    grants = dict(BirthdayGrant.objects.filter(member_id=member_id).values_list("year", "day"))
    for year in range(today.year - 1, today.year + 2):
        first, last = window_of(mmdd, year, mode=row.mode, before=row.days_before, after=row.days_after, leap=row.leap)
        if last >= today:
            return Own(kind.says(row.params), first, last, grants.get(year))
    return None
