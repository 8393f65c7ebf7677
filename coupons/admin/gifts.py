"""Which coupon a tier gives how often, and how many it gave in the running period."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin, messages
from django.http import HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy, pgettext_lazy

from common.clock import now
from console.admin import ConsoleModelAdmin, site
from console.columns import state
from console.forms import BrandModelForm
from console.registry import BulkColumn
from coupons import services
from coupons.models import Template, TemplateState, TierGift
from coupons.selectors.gifts import given_now
from loyalty.models import Tier

if TYPE_CHECKING:
    from django.http import HttpRequest


class GiftForm(BrandModelForm):
    """Which tier, which coupon, how often."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Offer the tiers and the coupons that are given now."""
        super().__init__(*args, **kwargs)
        fields: Any = self.fields
        if "tier" in fields:
            fields["tier"].queryset = Tier.objects.order_by("threshold", "pk")
            offered = Template.objects.filter(state=TemplateState.ACTIVE)
            kept = Template.objects.filter(pk=self.instance.template_id)
            fields["template"].queryset = (offered | kept).order_by("name", "pk")
            fields["template"].help_text = gettext_lazy(
                "Its limit for a member counts: for one every month it needs as many as months, or none."
            )


def _given(ids: list[int]) -> dict[int, int]:
    return given_now(ids, at=now())


@admin.register(TierGift, site=site)
class TierGiftAdmin(ConsoleModelAdmin):
    """Coupons that tiers give."""

    area = "coupons"
    place = "rewards"
    tab = pgettext_lazy("tab", "For tiers")
    tab_order = 57
    add_label = gettext_lazy("Give one to a tier")
    audit_writes = False  # the service writes the entries
    form = GiftForm
    fields = ("tier", "template", "period", "is_on")
    empty_text = gettext_lazy("A tier can give a coupon: once, or every month, quarter or year. Nobody gets it twice.")
    list_display = (
        "named",
        "coupon",
        "often",
        BulkColumn("given_now", gettext_lazy("given in this period"), _given, number=True),
        "status",
    )
    list_display_links = ("named",)
    list_select_related = ("tier", "template")
    ordering = ("brand", "id")
    number_columns: ClassVar[tuple[str, ...]] = ("given_now",)
    phone_columns: ClassVar[tuple[str, ...]] = ("named", "coupon", "status")
    field_labels: ClassVar[dict[str, Any]] = {"template": gettext_lazy("Coupon"), "tier": gettext_lazy("Tier")}

    @admin.display(description=gettext_lazy("Tier"))
    def named(self, row: TierGift) -> str:
        """Show the tier."""
        return str(row.tier)

    @admin.display(description=gettext_lazy("Coupon"))
    def coupon(self, row: TierGift) -> str:
        """Show the coupon."""
        return str(row.template)

    @admin.display(description=gettext_lazy("how often"))
    def often(self, row: TierGift) -> str:
        """Show how often."""
        return row.get_period_display()

    @admin.display(description=gettext_lazy("state"))
    def status(self, row: TierGift) -> Any:
        """Show whether it is given."""
        return state(gettext("Is given"), "success") if row.is_on else state(gettext("Off"), "warning")

    def save_model(self, request: HttpRequest, obj: TierGift, form: Any, change: bool) -> None:
        """Save through the service."""
        services.save_gift(gift=obj, at=now())

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: Any = None) -> Any:
        """Say when it is given."""
        messages.success(request, gettext("Saved. Whoever stands in the tier gets it within a minute."))
        return HttpResponseRedirect(reverse("admin:coupons_tiergift_changelist"))

    response_change = response_add

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Keep what was given explained; turn it off instead."""
        return False
