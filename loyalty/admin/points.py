"""Points of the brand as a whole: what it owes at any day, what ends soon, and how points work."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext, pgettext, pgettext_lazy

from common.clock import now
from common.errors import AppError
from console import formats
from console.admin import site
from console.http import viewer_of
from console.registry import Page, Tab, Todo, home_cards, nav, pages
from loyalty import on_screen, services
from loyalty.models import PointsPolicy
from loyalty.news import kinds
from loyalty.selectors import points as selectors

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponseBase

    from accounts.viewer import Viewer

SHOWN_DAYS = 12


def _day(text: str | None, today: date) -> date:
    """Read the day asked for; anything that is none, or lies ahead, is today."""
    try:
        day = date.fromisoformat(text or "")
    except ValueError:
        return today
    return min(day, today)


def overview(request: HttpRequest) -> HttpResponseBase:
    """Show what the brand owes at the end of a day, and what ends soon."""
    at, zone = now(), selectors.zone()
    today = at.astimezone(zone).date()
    day = _day(request.GET.get("day"), today)
    until = at if day == today else datetime.combine(day + timedelta(days=1), time(0), tzinfo=zone)
    found = selectors.liability_at(until)
    settings = selectors.policy()
    soon: dict[date, list[int]] = {}
    for _member, last, points, _lots in selectors.ending_soon(at=at, days=settings.warn_days):
        row = soon.setdefault(last, [0, 0])
        row[0] += 1
        row[1] += points
    context = {
        **site.each_context(request),
        "title": pgettext("loyalty", "Points"),
        "day": day,
        "today": today,
        "at": until,
        "rows": on_screen.liability_rows(found),
        "found": found,
        "outstanding_cost": found.cost(found.outstanding),
        "soon": [{"day": last, "people": people, "points": points} for last, (people, points) in sorted(soon.items())][
            :SHOWN_DAYS
        ],
        "warn_days": settings.warn_days,
        "settings_link": reverse("admin:loyalty_settings") if viewer_of(request).can("points.edit") else "",
    }
    return TemplateResponse(request, "loyalty/points.html", context)


_OVERVIEW = Page("loyalty/points/", overview, "loyalty_points", "points")
pages.register(_OVERVIEW.name, _OVERVIEW)
nav.register(
    "rewards.points",
    Tab("rewards", pgettext_lazy("loyalty", "Points"), "loyalty_points", "points", 10, "loyalty_settings"),
)


class PolicyForm(forms.ModelForm):  # type: ignore[type-arg]
    """How points work."""

    class Meta:
        model = PointsPolicy
        fields = (
            "expiry",
            "expiry_span",
            "warn_days",
            "warn_text",
            "reinstate_days",
            "negative",
            "adjust_limit",
            "hold_minutes",
            "cost_per_100",
            "tier_months",
            "tier_grace_days",
        )

    def __init__(self, *args: Any, may_approve: bool, **kwargs: Any) -> None:
        """Dress the fields as the console does."""
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.widget.attrs["class"] = "zy-input"
        self.fields["expiry"].help_text = gettext("Lots that are there keep their day; a change counts for new points.")
        self.fields["negative"].help_text = gettext(
            "After a refund, when points of the purchase were spent meanwhile. Those that expired unused are gone "
            "already: nobody pays for them with other points or with a debt."
        )
        self.fields["adjust_limit"].help_text = gettext(
            "What one person gives or takes one member within 24 hours. Above it a second person approves."
        )
        if not may_approve:
            self.fields["adjust_limit"].widget.attrs["readonly"] = True
            self.fields["adjust_limit"].help_text = gettext(
                "What one person gives or takes one member within 24 hours. Above it a second person approves. Only "
                "somebody who may approve adjustments changes it."
            )
        # In the language of the console: what is filled in stands in braces, in either language.
        news = kinds.get("points")
        said = gettext(
            "Sent between 9:00 and 21:00 to whoever may be written to. %(points)s, %(day)s and %(lots)s are filled in; "
            "with %(lots)s all days within the time of warning come in one message, without it one comes for each day. "
            "Empty: nobody is told."
        )
        self.fields["warn_text"].help_text = said % news.spelled()
        self.initial["warn_text"] = news.shown(str(self.initial.get("warn_text", "")))
        self.fields["cost_per_100"].help_text = gettext("For the report of what is owed and for trying rules out.")


def settings_page(request: HttpRequest) -> HttpResponseBase:
    """Show and change how points work."""
    viewer = viewer_of(request)
    if not viewer.can("points.edit"):
        raise PermissionDenied
    may_approve = viewer.can(services.APPROVES)
    form = PolicyForm(request.POST or None, instance=selectors.policy(), may_approve=may_approve)
    if request.method == "POST" and form.is_valid():
        try:
            services.set_policy(settings=form.save(commit=False), at=now())
        except AppError as error:
            form.add_error(error.field or None, f"{error.message} {error.hint}".strip())
        else:
            messages.success(request, gettext("Saved."))
            return HttpResponseRedirect(reverse("admin:loyalty_points"))
    context = {
        **site.each_context(request),
        "title": gettext("Points settings"),
        "zy_deeper": True,
        "form": form,
        "list_link": reverse("admin:loyalty_points"),
        "verb": gettext("Save"),
    }
    return TemplateResponse(request, "console/connect.html", context)


_SETTINGS = Page("loyalty/settings/", settings_page, "loyalty_settings", "points", "edit")
pages.register(_SETTINGS.name, _SETTINGS)


@home_cards.add("loyalty.adjustments")
def waiting(viewer: Viewer) -> Todo | None:
    """Show how many corrections wait for a second person."""
    if not viewer.can("points.approve"):
        return None
    rows = list(selectors.waiting_adjustments().values_list("points", "asked_at")[:100])
    return Todo(
        gettext("Points adjustments waiting for a second person"),
        len(rows),
        reverse("admin:loyalty_adjustment_changelist") + "?state=PENDING",
        gettext("Decide"),
        detail=gettext("the oldest since %(when)s") % {"when": formats.local_time(rows[0][1])} if rows else "",
        order=40,
    )
