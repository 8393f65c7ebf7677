"""Which coupon a purchase brings, from which amount on and between which days; how many it brought."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.http import HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy, pgettext_lazy

from common.clock import now
from common.errors import AppError
from console.admin import ConsoleModelAdmin, site
from console.columns import state
from console.formats import fen, local
from console.forms import BrandModelForm
from console.registry import BulkColumn
from coupons import services
from coupons.models import PurchaseGift, Template, TemplateState
from coupons.selectors.gifts import brought

if TYPE_CHECKING:
    from django.http import HttpRequest

MOST_YUAN = 1_000_000


class PurchaseGiftForm(BrandModelForm):
    """Which coupon, from which amount on, between which days."""

    yuan = forms.DecimalField(
        label=gettext_lazy("From this amount on (yuan)"), min_value=0, max_value=MOST_YUAN, decimal_places=2
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Offer the coupons that are given now; begin today."""
        super().__init__(*args, **kwargs)
        fields: Any = self.fields
        fields["yuan"].widget.attrs["class"] = "zy-input"
        if self.instance.pk:
            self.initial["yuan"] = f"{self.instance.at_least / 100:.2f}"
        if "template" in fields:
            offered = Template.objects.filter(state=TemplateState.ACTIVE)
            kept = Template.objects.filter(pk=self.instance.template_id)
            fields["template"].queryset = (offered | kept).order_by("name", "pk")
            fields["template"].help_text = gettext_lazy("Its limit for a member and its budget count.")
            self.initial.setdefault("first_day", local(now()).date())
            fields["last_day"].help_text = gettext_lazy("Both days count; empty: without end.")
            fields["takes_back"].help_text = gettext_lazy(
                "When too little of the purchase is left after refunds and the coupon was not used."
            )

    def clean(self) -> dict[str, Any]:
        """Ask the service's rules of the form, so that each refusal stands beside its field."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        yuan = cleaned.get("yuan")
        if yuan is not None:
            self.instance.at_least = int(yuan * 100)
            if self.instance.at_least < 1:
                self.add_error("yuan", gettext("The amount must be above 0."))
        first, last = cleaned.get("first_day"), cleaned.get("last_day")
        if first and last and last < first:
            self.add_error("last_day", gettext("The last day lies before the first."))
        template = cleaned.get("template")
        if cleaned.get("is_on") and template is not None and template.state != TemplateState.ACTIVE:
            self.add_error("template", gettext("This coupon is a draft or turned off."))
        return cleaned


def _brought(ids: list[int]) -> dict[int, int]:
    return brought(ids)


@admin.register(PurchaseGift, site=site)
class PurchaseGiftAdmin(ConsoleModelAdmin):
    """Coupons that purchases bring."""

    area = "coupons"
    place = "rewards"
    tab = pgettext_lazy("tab", "After purchases")
    tab_order = 58
    add_label = gettext_lazy("Give one after purchases")
    audit_writes = False  # the service writes the entries
    form = PurchaseGiftForm
    fields = ("template", "yuan", "first_day", "last_day", "takes_back", "is_on")
    empty_text = gettext_lazy("Whoever buys for so much at once can get a coupon; each purchase brings one once.")
    list_display = (
        "coupon",
        "amount",
        "days",
        BulkColumn("brought", pgettext_lazy("coupon push", "Given"), _brought, number=True),
        "status",
    )
    list_display_links = ("coupon",)
    list_select_related = ("template",)
    ordering = ("brand", "id")
    number_columns: ClassVar[tuple[str, ...]] = ("brought", "amount")
    phone_columns: ClassVar[tuple[str, ...]] = ("coupon", "amount", "status")
    field_labels: ClassVar[dict[str, Any]] = {"template": gettext_lazy("Coupon")}

    @admin.display(description=gettext_lazy("Coupon"))
    def coupon(self, row: PurchaseGift) -> str:
        """Show the coupon."""
        return str(row.template)

    @admin.display(description=pgettext_lazy("purchase", "From"))
    def amount(self, row: PurchaseGift) -> str:
        """Show from which amount on."""
        return str(fen(row.at_least))

    @admin.display(description=pgettext_lazy("purchase", "Days"))
    def days(self, row: PurchaseGift) -> str:
        """Show between which days."""
        if row.last_day is None:
            return gettext("from %(first)s on") % {"first": row.first_day.isoformat()}
        return f"{row.first_day.isoformat()} – {row.last_day.isoformat()}"

    @admin.display(description=gettext_lazy("state"))
    def status(self, row: PurchaseGift) -> Any:
        """Show whether it is given."""
        if not row.is_on:
            return state(gettext("Off"), "warning")
        today = local(now()).date()
        if row.last_day is not None and row.last_day < today:
            return state(gettext("Over"))
        return state(gettext("Planned")) if row.first_day > today else state(gettext("Is given"), "success")

    def save_model(self, request: HttpRequest, obj: PurchaseGift, form: Any, change: bool) -> None:
        """Save through the service."""
        try:
            services.save_purchase_gift(gift=obj, at=now())
        except AppError as error:  # the coupon was turned off since the form was checked
            request.zy_refused = True  # type: ignore[attr-defined]
            messages.error(request, f"{error.message} {error.hint}".strip())

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: Any = None) -> Any:
        """Say for which purchases it holds."""
        if not getattr(request, "zy_refused", False):
            messages.success(request, gettext("Saved. It holds for purchases that are reported from now on."))
        return HttpResponseRedirect(reverse("admin:coupons_purchasegift_changelist"))

    response_change = response_add

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Keep what was given explained; turn it off instead."""
        return False
