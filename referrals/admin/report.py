"""What invitations brought and cost, programme by programme."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console import formats
from console.registry import Page, Tab, nav, pages
from console.site import page_response
from referrals.models import Programme
from referrals.selectors import Figures, figures

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

_MOST: Final = 200
_SUMMED: Final = ("invited", "qualified", "paid", "held", "refused", "returned", "points", "coupons", "cost")


def report(request: HttpRequest) -> HttpResponse:
    """Show all programmes and their sum."""
    rows = list(Programme.objects.order_by("-first_day", "-pk")[:_MOST])
    counted = figures(row.pk for row in rows)
    each = [counted.get(row.pk, Figures()) for row in rows]
    total = Figures(**{name: sum(getattr(found, name) for found in each) for name in _SUMMED})
    context: dict[str, Any] = {
        "title": _("What invitations brought"),
        "figures": [
            {"label": _("Came"), "value": formats.count(total.invited)},
            {"label": _("Did what is asked"), "value": formats.count(total.qualified)},
            {"label": _("Rewarded"), "value": formats.count(total.paid)},
            {"label": _("To be looked at"), "value": formats.count(total.held)},
            {"label": _("Refused"), "value": formats.count(total.refused)},
            {"label": _("Cost of points"), "value": formats.fen(total.cost)},
        ],
        "rows": [
            {"row": row, "found": found, "cost": formats.fen(found.cost)} for row, found in zip(rows, each, strict=True)
        ],
        "total": total,
        "cost": formats.fen(total.cost),
        "people_link": reverse("admin:referrals_referral_changelist"),
    }
    return page_response(request, "referrals/report.html", context)


pages.register("referrals_report", Page("referrals/report/", report, "referrals_report", "points"))
nav.register(
    "rewards.referrals_report",
    Tab("rewards", gettext_lazy("What invitations brought"), "referrals_report", "points", 72),
)
