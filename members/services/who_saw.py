"""Whose data somebody saw: all lines of the access log of one person of the staff, or one API key, in some days."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson
from django.db import connection

from accounts.models import ApiKey, RoleGrant
from accounts.services import record_audit
from accounts.tenancy import current_brand_id
from members.opened import opened_pages

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

A_PAGE: Final = 50


@dataclass(frozen=True)
class Looker:
    """Who looked: somebody of the staff, or one of the brand's other systems; and when, from midnight to midnight.

    Lines of the log stand for an hour, so the ends of the time have to be full hours.
    """

    staff_id: int | None
    key_id: int | None
    label: str
    since: datetime
    until: datetime


@dataclass(frozen=True)
class Seen:
    """One page or list on which somebody was shown: how often (in how many hours, and lists), and which fields."""

    member_id: int
    page: str
    fields: tuple[str, ...]
    times: int
    first: datetime
    last: datetime


@dataclass(frozen=True)
class Overview:
    """All of it in figures: people, those of them since erased, people by field and by page."""

    people: int
    erased: int
    first: datetime | None
    last: datetime | None
    fields: Mapping[str, int]
    pages: Mapping[str, int]


# A merged record is the person it was merged into. A line from before fields were kept shows what its page shows today.
_SEEN: Final = """
WITH line AS (
    SELECT e.member_id, e.page, e.fields, e.at FROM members_accessentry e
    WHERE e.brand_id = %(brand)s AND e.at >= %(since)s AND e.at < %(until)s AND {who}
    UNION ALL
    SELECT shown.id, e.page, e.fields, e.at FROM members_listaccess e CROSS JOIN unnest(e.people) AS shown (id)
    WHERE e.brand_id = %(brand)s AND e.at >= %(since)s AND e.at < %(until)s AND {who}
), seen AS (
    SELECT coalesce(m.merged_into_id, m.id) AS person, line.page, line.at,
        coalesce(nullif(line.fields::text[], '{{}}'),
            ARRAY(SELECT jsonb_array_elements_text(%(known)s::jsonb -> line.page::text))) AS fields
    FROM line JOIN members_member m ON m.brand_id = %(brand)s AND m.id = line.member_id
)
"""
_BY_KEY: Final = """(e.api_key_id = %(key)s
    OR (e.api_key_id IS NULL AND e.actor_id IS NULL AND e.via = 'api' AND e.actor_label = %(label)s))"""
_LINES: Final = """
SELECT person, page, fields, count(*), min(at), max(at) FROM seen
WHERE person > %(after)s {some} GROUP BY person, page, fields ORDER BY person, min(at), page, fields
"""


def overview_of(looker: Looker) -> Overview:
    """Count everything."""
    rows = _asked(
        looker,
        """SELECT '', '', count(DISTINCT s.person), min(s.at), max(s.at),
            (SELECT count(*) FROM members_member m WHERE m.brand_id = %(brand)s AND m.erased_at IS NOT NULL
                AND m.id IN (SELECT person FROM seen)) FROM seen s
        UNION ALL SELECT 'field', field, count(DISTINCT person), NULL, NULL, 0
            FROM seen CROSS JOIN unnest(fields) AS field GROUP BY field
        UNION ALL SELECT 'page', page, count(DISTINCT person), NULL, NULL, 0 FROM seen GROUP BY page
        ORDER BY 1, 2""",
    )
    (_kind, _key, people, first, last, erased), *others = rows
    fields = {key: count for kind, key, count, *_rest in others if kind == "field"}
    pages = {key: count for kind, key, count, *_rest in others if kind == "page"}
    return Overview(people, erased, first, last, fields, pages)


def seen_by(looker: Looker, *, after: int = 0, people: int | None = None) -> list[Seen]:
    """Give who was seen, by the keys of their records, of at most so many people after a key."""
    some = ""
    if people is not None:
        some = "AND person IN (SELECT DISTINCT person FROM seen WHERE person > %(after)s ORDER BY 1 LIMIT %(people)s)"
    rows = _asked(looker, _LINES.format(some=some), after=after, people=people)
    return [Seen(person, page, tuple(fields), *rest) for person, page, fields, *rest in rows]


def everyone_seen_by(looker: Looker) -> Iterator[Seen]:
    """Give the same for everybody, some ten thousand people at a time."""
    after = 0
    while found := seen_by(looker, after=after, people=50_000):
        yield from found
        after = found[-1].member_id


def measures_taken(looker: Looker) -> tuple[str, datetime | None]:
    """Say whether access has been taken away: `GONE` (with the moment, where it is known) or `STANDS`."""
    if looker.key_id is not None:
        revoked = ApiKey.objects.filter(pk=looker.key_id).values_list("revoked_at", flat=True).first()
        return ("GONE", revoked) if revoked else ("STANDS", None)
    return ("STANDS" if RoleGrant.objects.filter(staff_user_id=looker.staff_id).exists() else "GONE", None)


def note_file_of_seen(looker: Looker, *, people: int, brand: Any) -> None:
    """Write to the audit log that somebody took the list out."""
    days = f"{looker.since.isoformat()} – {looker.until.isoformat()}"
    record_audit(
        action="download who saw what",
        obj=brand,
        label=looker.label[:200],
        changes={"when": [None, days], "people": [None, people]},
    )


def _asked(looker: Looker, tail: str, **more: Any) -> list[tuple[Any, ...]]:
    known = {key: page.fields for key, page in opened_pages.items()}
    who = _BY_KEY if looker.key_id is not None else "e.actor_id = %(staff)s"
    with connection.cursor() as cursor:
        cursor.execute(
            _SEEN.format(who=who) + tail,
            {
                "brand": current_brand_id(),
                "since": looker.since,
                "until": looker.until,
                "staff": looker.staff_id,
                "key": looker.key_id,
                "label": looker.label[:120],
                "known": orjson.dumps(known).decode(),
                **more,
            },
        )
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows
