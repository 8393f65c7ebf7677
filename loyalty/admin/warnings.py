"""Who was told news of what they have, who was not, and why not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import Http404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy, pgettext_lazy

from common.clock import now
from console.admin import site
from console.http import row_id, viewer_of
from console.registry import Page, Tab, nav, pages
from loyalty.models import ExpiryWarning, NewsText, Notice, Unreached
from loyalty.news import kinds
from loyalty.selectors import points as selectors
from loyalty.selectors.warnings import STATES, figures_of, warnings_of
from members.opened import Way, shows
from members.selectors import visible_members
from members.services import note_listed

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponseBase

A_PAGE = 50
_STATES = {
    "told": gettext_lazy("Told"),
    "waiting": gettext_lazy("Not told yet"),
    "missed": gettext_lazy("Never told: the day is over"),
    "dropped": gettext_lazy("Not needed: no longer true"),
}
_WAYS = {
    "inbox.window": gettext_lazy("Message within the reply window"),
    "subscribe.notification": gettext_lazy("Subscribe notification"),
    "template.message": gettext_lazy("Template message"),
}

LISTED = "loyalty.warnings"  # in the access log


def told_by(way: str, why: str) -> str:
    """Say how somebody was told, or why not."""
    if way:
        return str(_WAYS.get(way, way))
    return str(Unreached(why).label) if why in Unreached.values else "--"


def warnings(request: HttpRequest) -> HttpResponseBase:
    """Count whom the warnings of the last 90 days reached, and list them, one kind at a time."""
    at = now()
    offered = {key: kind for key, kind in kinds.items() if kind.source is not None or key == "points"}
    about = request.GET.get("about", "points")
    if about not in offered:
        raise Http404
    chosen = request.GET.get("state", "")
    chosen = chosen if chosen in STATES else ""
    before = row_id(request.GET.get("before"))
    rows = warnings_of(chosen, about=about, at=at, before=before, limit=A_PAGE + 1)
    figures = figures_of(about=about, at=at)
    people = {row.member_id for row in rows}
    seen = set(visible_members(viewer_of(request)).filter(pk__in=people).values_list("pk", flat=True))
    note_listed(people=[row.member_id for row in rows[:A_PAGE] if row.member_id in seen], page=LISTED, at=at)
    is_points = about == "points"
    is_silent = (
        not selectors.policy().warn_text if is_points else not NewsText.objects.filter(about=about, is_on=True).exists()
    )
    context = {
        **site.each_context(request),
        "title": gettext("Reminders and news"),
        "about": about,
        "is_points": is_points,
        "abouts": [
            {"label": kind.label, "link": f"?about={key}", "active": key == about} for key, kind in offered.items()
        ],
        "views": [{"label": gettext("All"), "link": f"?about={about}", "active": not chosen}]
        + [
            {"label": label, "link": f"?about={about}&state={key}", "active": chosen == key}
            for key, label in _STATES.items()
        ],
        "figures": [{"label": label, "people": figures.get(key, 0)} for key, label in _STATES.items()],
        "reasons": [
            {"label": Unreached(key).label if key else gettext("Not tried yet"), "people": people}
            for key, people in sorted(figures.get("why", {}).items())
        ],
        "rows": [_line(row, row.member_id in seen) for row in rows[:A_PAGE]],
        "older": rows[A_PAGE - 1].pk if len(rows) > A_PAGE else None,
        "chosen": chosen,
        "is_silent": is_silent,
        "settings_link": reverse("admin:loyalty_settings") if viewer_of(request).can("points.edit") else "",
    }
    return TemplateResponse(request, "loyalty/warnings.html", context)


def _line(row: ExpiryWarning | Notice, seen: bool) -> dict[str, Any]:
    return {
        "row": row,
        "who": str(row.member) if seen else "--",
        "link": reverse("admin:members_member_points", args=[row.member_id]) if seen else "",
        "lots": len(row.lots) if isinstance(row, ExpiryWarning) else 0,
        "told": told_by(row.way, row.why) if row.way or row.why else gettext("Not tried yet"),
        "tone": "success" if row.way else "",
    }


_PAGE = Page("loyalty/warnings/", warnings, "loyalty_warnings", "points")
pages.register(_PAGE.name, _PAGE)
nav.register("rewards.warnings", Tab("rewards", pgettext_lazy("tab", "Reminders"), "loyalty_warnings", "points", 12))
shows(LISTED, gettext_lazy("Reminders and news"), "name", "points", way=Way.LIST)
