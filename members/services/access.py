"""Who looks at whose data: written down for each page about a person; word to the brand when it is unusual."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from django.db import connection
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import AuditEntry
from accounts.tenancy import current_brand_id
from accounts.viewer import current_viewer
from members.models import AccessEntry, ListAccess
from members.opened import API, fields_of, opened_pages
from wechat_gateway import incidents

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from accounts.viewer import Viewer

UNUSUAL: Final = "members.unusual_access"
TAKEN: Final = "download export"  # the entry of whoever takes a list of people out
WITHIN: Final = timedelta(hours=1)
AT_ONCE: Final = 10_000  # people in one line
#: How many values somebody reveals within the hour, and rows they export, before the brand is told.
MANY_REVEALED: Final = 20
MANY_EXPORTED: Final = 5_000

incidents.kinds.register(
    UNUSUAL,
    incidents.Kind(
        gettext_lazy("Somebody looks at unusually much personal data"),
        gettext_lazy("Nothing is blocked. The audit log says what was looked at: %(subject)s."),
        cause=gettext_lazy("More values were revealed, or more rows exported, within an hour than daily work needs."),
        action=gettext_lazy(
            "Ask the person what it is for. If it was not them, take the role away and reset the password."
        ),
    ),
)


def watch_access(*, viewer: Viewer, at: datetime) -> bool:
    """Open an incident when somebody has revealed or exported unusually much in an hour; gives whether it is new."""
    mine = AuditEntry.objects.filter(actor_id=viewer.staff_id, at__gt=at - WITHIN, action__in=("reveal", TAKEN))
    if viewer.staff_id is None:  # one of the brand's other systems: each by itself
        mine = mine.filter(actor_label=viewer.label)
    revealed = exported = 0
    for action, changes in mine.order_by("pk").values_list("action", "changes"):
        revealed += action == "reveal"
        exported += changes.get("rows", [0, 0])[1] if action == TAKEN else 0
    if revealed <= MANY_REVEALED and exported <= MANY_EXPORTED:
        return False
    return incidents.open_incident(
        kind=UNUSUAL,
        at=at,
        subject=viewer.label,
        detail=_("%(revealed)s revealed, %(exported)s rows exported within an hour")
        % {"revealed": revealed, "exported": exported},
    )


def note_opened(*, member_id: int, page: str, at: datetime) -> None:
    """Write down that whoever acts now has opened a page about a person; once an hour, in one statement.

    `page` is a key of `opened_pages`. In a worker nobody looks.
    """
    viewer = current_viewer()
    if viewer is None:
        return
    row = AccessEntry(
        member_id=member_id,
        page=page,
        fields=opened_pages.get(page).fields,  # a page without a name is a mistake
        **_who(viewer, at),
    )
    AccessEntry.objects.bulk_create([row], ignore_conflicts=True)


def note_listed(*, people: Iterable[int | None], page: str, at: datetime, fields: Iterable[str] = ()) -> None:
    """Write down that whoever acts now was shown many people at once; the same once an hour, in one statement.

    `people` are keys of members, None for rows that lead to nobody. `page` is a key of `opened_pages`, or the model of
    one of `lists_of_people`, optionally with `/page`; `fields` stand beside those that it always shows.
    """
    viewer = current_viewer()
    found = sorted({pk for pk in people if pk is not None})
    if viewer is None or not found:
        return
    shown = sorted({*fields_of(page), *fields})
    ListAccess.objects.bulk_create(
        [
            ListAccess(page=page, fields=shown, people=some, digest=_digest(shown, some), **_who(viewer, at))
            for some in (found[start : start + AT_ONCE] for start in range(0, len(found), AT_ONCE))
        ],
        ignore_conflicts=True,
    )


def _who(viewer: Viewer, at: datetime) -> dict[str, Any]:
    return {
        "actor_id": viewer.staff_id,
        "actor_label": viewer.label[:120],
        "api_key_id": viewer.key_id,
        "via": viewer.via,
        "at": at,
        "hour": at.replace(minute=0, second=0, microsecond=0),
        "ip": viewer.ip,
    }


def _digest(fields: Sequence[str], people: Sequence[int]) -> UUID:
    said = " ".join((*fields, *map(str, people))).encode()
    return UUID(bytes=hashlib.blake2b(said, digest_size=16).digest())


_READ_BY_NUMBER = """
INSERT INTO members_accessentry (brand_id, member_id, actor_label, api_key_id, via, page, fields, at, hour, ip)
SELECT brand_id, coalesce(merged_into_id, id), %s, %s, %s, %s, %s, %s, date_trunc('hour', %s), %s
FROM members_member WHERE brand_id = %s AND member_no = %s
ON CONFLICT DO NOTHING
"""


def note_read(*, member_no: str, page: str, at: datetime) -> None:
    """Write down that one of the brand's other systems has read a person by their number.

    `page` is the address below the person's; an address without a name in `opened_pages` is a mistake.
    """
    viewer = current_viewer()
    if viewer is None:
        return
    key = f"{API}{page}"
    shown = list(opened_pages.get(key).fields)
    who = (viewer.label[:120], viewer.key_id, viewer.via, key, shown, at, at, viewer.ip)
    with connection.cursor() as cursor:
        cursor.execute(_READ_BY_NUMBER, [*who, current_brand_id(), member_no])
