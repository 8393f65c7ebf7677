"""How fast people were answered: a page per store, region or person, and the same as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from common.clock import now
from common.spreadsheets import write_csv
from console.http import row_id, viewer_of
from console.site import page_response
from inbox import figures, on_screen, routing

if TYPE_CHECKING:
    from inbox.figures import ResponseTime


def speed(request: HttpRequest) -> HttpResponse:
    """Show how long people waited for their first answer; with `as=csv` give it as a table."""
    at = now()
    by = request.GET.get("by", "")
    by = by if by in figures.GROUPS else "store"
    asked = row_id(request.GET.get("days"))
    days = asked if asked in figures.DAYS else figures.DAYS[0]
    found = figures.response_times(viewer_of(request), by=by, at=at, days=days)
    nobody = {"store": _("Without a store"), "region": _("Without a region"), "person": _("Unknown")}[by]
    if request.GET.get("as") == "csv":
        return _table(found, by=by, days=days, nobody=nobody)
    target = routing.TARGET.total_seconds()
    context = {
        "title": _("First response times"),
        "zy_deeper": True,
        "rows": [
            {
                "label": row.label or nobody,
                "count": row.count,
                "median": on_screen.seconds(row.median),
                "slow": on_screen.seconds(row.slow),
                "late": row.median > target,
            }
            for row in found
        ],
        "column": figures.COLUMNS[by],
        "groups": [
            {"label": label, "link": f"?by={key}&days={days}", "active": key == by}
            for key, label in figures.GROUPS.items()
        ],
        "windows": [
            {"label": _("last %(days)s days") % {"days": each}, "link": f"?by={by}&days={each}", "active": each == days}
            for each in figures.DAYS
        ],
        "table": f"?by={by}&days={days}&as=csv",
        "target": on_screen.seconds(int(target)),
        "at": at,
    }
    return page_response(request, "inbox/speed.html", context)


def _table(found: list[ResponseTime], *, by: str, days: int, nobody: str) -> HttpResponse:
    head = [str(figures.COLUMNS[by]), _("Conversations"), _("Median (seconds)"), _("9 of 10 within (seconds)")]
    rows = [[row.label or nobody, str(row.count), str(row.median), str(row.slow)] for row in found]
    response = HttpResponse(write_csv([head, *rows]), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="first-response-{by}-{days}.csv"'
    return response
