"""How fast people were answered: first answers per store, region and person, counting only time within hours."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from django.db import connection
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts.roles import DataScope
from accounts.tenancy import current_brand_id
from inbox.models import Level
from inbox.selectors import service_times
from stores.models import Region
from stores.selectors import brand_zone, open_time, store_ids_of_grant

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

    from accounts.viewer import Viewer
    from inbox.models import Conversation

DAYS: Final = (7, 30, 90)
GROUPS: Final[dict[str, StrOrPromise]] = {
    "store": pgettext_lazy("figures", "By store"),
    "region": pgettext_lazy("figures", "By region"),
    "person": pgettext_lazy("figures", "By person"),
}
COLUMNS: Final[dict[str, StrOrPromise]] = {"store": _("Store"), "region": _("Region"), "person": _("Who answered")}


@dataclass(frozen=True)
class ResponseTime:
    """How long people waited for the first answer: how many, the median and nine tenths, in seconds within hours.

    `key` is the id of the store, region or person; None for those without one.
    """

    key: int | None
    label: str
    count: int
    median: int
    slow: int


# {key}, {name}: what it is grouped by; {join}: where they come from; {narrow}: what the viewer may see.
_SQL = """
{with_}SELECT {key}, {name}, count(*),
       percentile_cont(0.5) WITHIN GROUP (ORDER BY coalesce(a.office_seconds, a.seconds)),
       percentile_cont(0.9) WITHIN GROUP (ORDER BY coalesce(a.office_seconds, a.seconds))
FROM inbox_answer a {join}
WHERE a.brand_id = %(brand)s AND a.is_first AND a.at >= %(since)s AND a.at < %(until)s{narrow}
GROUP BY 1, 2 ORDER BY 4 DESC, 3 DESC, 1
"""
_STORE = "LEFT JOIN stores_store s ON s.brand_id = a.brand_id AND s.id = a.store_id"
_PERSON = "LEFT JOIN accounts_staffuser p ON p.id = a.staff_user_id"
_REGION = f"{_STORE} LEFT JOIN up u ON u.region = s.region_id"
# Every region with each one above it, so that a region counts what lies below it; a ring of regions ends.
_UP = """WITH RECURSIVE up AS (
  SELECT r.id AS region, r.id AS top FROM stores_region r WHERE r.brand_id = %(brand)s
  UNION
  SELECT u.region, r.parent_id FROM up u JOIN stores_region r ON r.brand_id = %(brand)s AND r.id = u.top
  WHERE r.parent_id IS NOT NULL AND %(rise)s
) """
_GROUPED: Final = {
    "store": {"with_": "", "key": "a.store_id", "name": "coalesce(s.name, '')", "join": _STORE},
    "region": {"with_": _UP, "key": "u.top", "name": "''", "join": _REGION},
    "person": {
        "with_": "",
        "key": "a.staff_user_id",
        "name": "coalesce(nullif(p.name, ''), p.username, '')",
        "join": _PERSON,
    },
}


def response_times(viewer: Viewer, *, by: str = "store", at: datetime, days: int = DAYS[0]) -> list[ResponseTime]:
    """Give first response times over the last days, slowest first, of what a viewer may see.

    `by` is one of `GROUPS`. A region counts what lies below it; for people of single stores it counts their stores
    only, and no region above is shown.
    """
    values: dict[str, Any] = {
        "brand": current_brand_id(),
        "since": at - timedelta(days=days),
        "until": at,
        "rise": viewer.scope == DataScope.BRAND,
    }
    narrow = ""
    if viewer.scope != DataScope.BRAND:
        values["stores"] = store_ids_of_grant(viewer.grant_id) if viewer.scope == DataScope.STORES else []
        values["staff"] = viewer.staff_id
        narrow = " AND (a.store_id = ANY (%(stores)s::bigint[]) OR a.staff_user_id = %(staff)s)"
    with connection.cursor() as cursor:
        cursor.execute(_SQL.format(**_GROUPED[by], narrow=narrow), values)
        rows = cursor.fetchall()
    names = _region_names() if by == "region" else {}
    return [
        ResponseTime(key, names.get(key, name), count, round(half), round(most))
        for key, name, count, half, most in rows
    ]


def office_seconds(conversation: Conversation, *, since: datetime, at: datetime) -> int:
    """Give how long somebody waited while those who answer were at work, in seconds.

    Guides and stores are at work in the store's opening hours, regions and the desk in the service hours. Where nobody
    has said when, always.
    """
    zone = ZoneInfo(brand_zone())
    within: timedelta | None
    if conversation.level in (Level.GUIDE, Level.STORE) and conversation.store_id is not None:
        within = open_time(store_id=conversation.store_id, since=since, until=at, zone=zone)
    else:
        within = service_times().within(since, at, zone)
    return max(0, int((at - since if within is None else within).total_seconds()))


def _region_names() -> dict[int | None, str]:
    """Give each region with those above it: 华东 / 上海."""
    rows = {row.pk: row for row in Region.objects.order_by("pk")}
    found: dict[int | None, str] = {}
    for pk, row in rows.items():
        path, above = [row.name], row.parent_id
        while above is not None and above in rows and len(path) < len(rows):
            path.insert(0, rows[above].name)
            above = rows[above].parent_id
        found[pk] = " / ".join(path)
    return found
