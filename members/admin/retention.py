"""How long each class of data is kept: what the law asks, what goes next, what went last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.http import HttpResponseRedirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from common.clock import now
from common.errors import AppError
from console.http import row_id, viewer_of
from console.registry import Page, Tab, nav, pages
from console.site import page_response
from members import services
from members.errors import RetentionInvalid
from members.models import RetentionRule, RetentionRun
from members.retention import classes
from members.services.retention import chosen_days

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


def retention(request: HttpRequest) -> HttpResponse:
    """Show the schedule with a dry run of every class; change one after another dry run."""
    viewer, at = viewer_of(request), now()
    can_edit, wrong, asked = viewer.can("privacy.edit"), {}, {}
    key = request.POST.get("class", "")
    if request.method == "POST":
        viewer.require("privacy.edit")
        days = row_id(request.POST.get("days", "")) or 0
        data = classes.find(key)
        if data is not None and data.can_change:
            try:
                if request.POST.get("act") == "save":
                    services.set_retention(key=key, days=days, by=viewer.label, at=at)
                    messages.success(request, _("Saved. What is older goes within the hour."))
                    return HttpResponseRedirect(request.path)
                asked[key] = _tried(key, days, at)
            except AppError as error:
                wrong[key] = error.message
    chosen = chosen_days()
    last = {row.data_class: row for row in RetentionRun.objects.order_by("data_class", "-at").distinct("data_class")}
    rules = {row.data_class: row for row in RetentionRule.objects.order_by("pk")}
    rows = []
    for name, data in sorted(classes.items(), key=lambda pair: pair[1].order):
        days = services.keep_days(name, chosen=chosen)
        rows.append(
            {
                "key": name,
                "data": data,
                "days": asked[name]["days"] if name in asked else days,
                "kept": days,
                "now": services.preview(name, at=at, days=days),
                "asked": asked.get(name),
                "error": wrong.get(name),
                "last": last.get(name),
                "rule": rules.get(name),
                "goes": data.drop is not None or bool(days and days < 3_650),
            }
        )
    context: dict[str, Any] = {"title": _("Retention of data"), "rows": rows, "can_edit": can_edit, "at": at}
    return page_response(request, "members/privacy/retention.html", context, status=422 if wrong else 200)


def _tried(key: str, days: int, at: Any) -> dict[str, Any]:
    data = classes.get(key)
    if not data.least <= days <= data.most:
        raise RetentionInvalid(data.least, data.most)
    return {"days": days, "preview": services.preview(key, at=at, days=days)}


nav.register("settings.retention", Tab("settings", gettext_lazy("Retention of data"), "retention", "privacy", 47))
pages.register("retention", Page("members/retention/", retention, "retention", "privacy"))
