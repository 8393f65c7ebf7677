"""Tiers: where they begin, what they give, who stands there, and what the next evaluation would change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.db.models import Sum
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy, pgettext_lazy

from accounts.roles import DataScope
from common.clock import now
from console.admin import ConsoleModelAdmin, ConsoleTabularInline, site
from console.columns import two_lines
from console.http import viewer_of
from console.registry import BulkColumn, Page, pages
from loyalty import on_screen
from loyalty.models import Benefit, Tier, TierChangeKind
from loyalty.selectors import tiers as selectors
from members.selectors import visible_members

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponseBase

AHEAD = 60
A_PAGE = 50
_TONES = {"KEEP": "success", "GRACE": "warning", "DOWNGRADE": "danger"}


class BenefitInline(ConsoleTabularInline):
    """What a tier gives."""

    model = Benefit
    fields = ("kind", "value", "used")
    readonly_fields = ("used",)
    verbose_name = gettext_lazy("benefit")
    verbose_name_plural = gettext_lazy("Benefits")


def _people(ids: list[int]) -> dict[int, int]:
    return selectors.people_in(ids, at=now())


def _gives(ids: list[int]) -> dict[int, str]:
    found: dict[int, list[str]] = {}
    for benefit in Benefit.objects.filter(tier_id__in=ids).order_by("tier_id", "kind", "pk"):
        found.setdefault(benefit.tier_id, []).append(on_screen.benefit_sentence(benefit))
    return {pk: gettext(", ").join(texts) for pk, texts in found.items()}


def _used(ids: list[int]) -> dict[int, int]:
    rows = Benefit.objects.filter(tier_id__in=ids).order_by("tier_id").values_list("tier_id")
    return dict(rows.annotate(Sum("used")))


@admin.register(Tier, site=site)
class TierAdmin(ConsoleModelAdmin):
    """The brand's tiers."""

    area = "points"
    place = "rewards"
    tab = gettext_lazy("Tiers")
    tab_order = 40
    add_label = gettext_lazy("New tier")
    empty_text = gettext_lazy(
        "Tiers reward what members bought in a year. Give the lowest the qualifying value 0: everybody begins there."
    )
    list_display = (
        "named",
        "begins",
        BulkColumn("people", gettext_lazy("members"), _people, number=True, missing=0),
        BulkColumn("gives", gettext_lazy("benefits"), _gives, missing="--"),
        BulkColumn("used", gettext_lazy("benefits used"), _used, number=True, missing=0),
    )
    list_display_links = ("named",)
    inlines: ClassVar[list[Any]] = [BenefitInline]
    fields = ("name", "threshold")
    field_labels: ClassVar[dict[str, Any]] = {"name": pgettext_lazy("tier", "Name")}
    ordering = ("brand", "threshold", "pk")
    number_columns: ClassVar[tuple[str, ...]] = ("begins",)
    phone_columns: ClassVar[tuple[str, ...]] = ("named", "people")
    change_list_template = "loyalty/tiers.html"

    @admin.display(description=pgettext_lazy("tier", "Name"))
    def named(self, row: Tier) -> str:
        """Show the name."""
        return row.name

    @admin.display(description=gettext_lazy("qualifying value from"))
    def begins(self, row: Tier) -> str:
        """Show where it begins."""
        return f"{row.threshold:,}"

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Lead to the preview from the list."""
        context = {"preview_link": reverse("admin:loyalty_tier_preview"), **(extra_context or {})}
        return super().changelist_view(request, context)


def preview(request: HttpRequest) -> HttpResponseBase:
    """Show what the evaluations of the coming days would do if nothing happened until then."""
    at = now()
    viewer, asked = viewer_of(request), request.GET.get("p", "1")
    number = int(asked) if asked.isdecimal() and len(asked) < 7 and int(asked) else 1
    people = None if viewer.scope == DataScope.BRAND else visible_members(viewer)
    found = selectors.forecasts(at=at, days=AHEAD, people=people, start=(number - 1) * A_PAGE, limit=A_PAGE)
    context = {
        **site.each_context(request),
        "title": gettext("Next evaluation"),
        "zy_deeper": True,
        "days": AHEAD,
        "at": at,
        "total": found.total,
        "first": (number - 1) * A_PAGE + 1,
        "last": min(number * A_PAGE, found.total),
        "previous": number - 1,
        "next": number + 1 if found.total > number * A_PAGE else None,
        "rows": [
            {
                "who": two_lines(each.standing.member, each.standing.member.member_no),
                "link": reverse("admin:members_member_points", args=[each.standing.member_id]),
                "tier": each.standing.tier.name,
                "when": each.standing.evaluates_at,
                "what": TierChangeKind(each.kind).label,
                "tone": _TONES.get(each.kind, ""),
                "after": each.after,
                "value": each.value,
                "needed": each.needed,
            }
            for each in found.page
        ],
        "list_link": reverse("admin:loyalty_tier_changelist"),
    }
    return TemplateResponse(request, "loyalty/tier_preview.html", context)


_PREVIEW = Page("loyalty/tier-preview/", preview, "loyalty_tier_preview", "points")
pages.register(_PREVIEW.name, _PREVIEW)
