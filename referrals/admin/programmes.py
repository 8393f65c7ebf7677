"""Programmes of invitations: what both sides get, when, and within which limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.http import HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy, ngettext, pgettext_lazy

from common.clock import now
from common.errors import AppError
from console.admin import ConsoleModelAdmin, site
from console.columns import state
from console.formats import fen, local
from console.forms import BrandModelForm
from console.registry import BulkColumn
from coupons.models import Template, TemplateState
from referrals import services
from referrals.models import Act, Programme
from referrals.selectors import figures

if TYPE_CHECKING:
    from django.http import HttpRequest

MOST_YUAN = 1_000_000


class ProgrammeForm(BrandModelForm):
    """What is given to whom, for what, and how often."""

    yuan = forms.DecimalField(
        label=gettext_lazy("An order of at least (yuan)"),
        min_value=0,
        max_value=MOST_YUAN,
        decimal_places=2,
        required=False,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Offer the coupons that are given now; begin today."""
        super().__init__(*args, **kwargs)
        fields: Any = self.fields
        fields["yuan"].widget.attrs["class"] = "zy-input"
        if self.instance.at_least:
            self.initial["yuan"] = f"{self.instance.at_least / 100:.2f}"
        if "name" not in fields:
            return
        offered = Template.objects.filter(state=TemplateState.ACTIVE)
        for side in ("inviter", "invited"):
            kept = Template.objects.filter(pk=getattr(self.instance, f"{side}_template_id"))
            fields[f"{side}_template"].queryset = (offered | kept).order_by("name", "pk")
            fields[f"{side}_points"].required = False
        self.initial.setdefault("first_day", local(now()).date())
        fields["yuan"].help_text = gettext_lazy("Only where an order is asked for; refunds are taken off.")
        fields["last_day"].help_text = gettext_lazy("Both days count; empty: without end.")
        fields["within_days"].help_text = gettext_lazy("Counted from the day the invited person came.")
        fields["wait_days"].help_text = gettext_lazy(
            "Time to notice made-up people and orders that are sent back, before anything is given."
        )
        for name in ("per_day", "per_month", "in_all"):
            fields[name].help_text = gettext_lazy(
                "For one inviter; empty: no limit. Who is invited beyond it still gets theirs."
            )
        fields["fast"].help_text = gettext_lazy("More people by one inviter within an hour wait for a decision.")
        fields["account"].help_text = gettext_lazy(
            "Whose followers the pictures of invitations bring; empty: the first."
        )

    def clean(self) -> dict[str, Any]:
        """Ask the service's rules, so that a refusal stands beside its field."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        yuan = cleaned.get("yuan")
        self.instance.at_least = int((yuan or 0) * 100) if cleaned.get("act") == Act.ORDER else 0
        for side in ("inviter", "invited"):
            cleaned[f"{side}_points"] = cleaned.get(f"{side}_points") or 0
        return cleaned

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc] # Django's own hook, where the instance has its values
        if self.errors:
            return
        fault = services.programme_fault(self.instance)
        if fault is not None:
            field = "yuan" if fault[0] == "at_least" else fault[0]
            self.add_error(field, fault[1])


def _shown(ids: list[int], name: str) -> dict[int, int]:
    return {pk: getattr(found, name) for pk, found in figures(ids).items()}


@admin.register(Programme, site=site)
class ProgrammeAdmin(ConsoleModelAdmin):
    """Programmes; of those that run, no two share a day."""

    area = "points"
    place = "rewards"
    tab = gettext_lazy("Invitation programmes")
    tab_order = 70
    add_label = gettext_lazy("New programme")
    audit_writes = False  # the service writes the entries
    form = ProgrammeForm
    fields = (
        "name", "first_day", "last_day", "act", "yuan", "within_days", "wait_days", "inviter_points",
        "inviter_template", "invited_points", "invited_template", "per_day", "per_month", "in_all", "fast", "account",
        "is_on",
    )  # fmt: skip
    empty_text = gettext_lazy(
        "Members who bring friends can be rewarded, and the friends too; each person counts once."
    )
    list_display = (
        "name",
        "asks",
        "gives",
        BulkColumn("invited", gettext_lazy("Came"), lambda ids: _shown(ids, "invited"), number=True),
        BulkColumn("paid", pgettext_lazy("invitation", "Rewarded"), lambda ids: _shown(ids, "paid"), number=True),
        "status",
    )
    list_display_links = ("name",)
    list_select_related = ("inviter_template", "invited_template")
    ordering = ("brand", "-first_day", "-id")
    number_columns: ClassVar[tuple[str, ...]] = ("invited", "paid")
    phone_columns: ClassVar[tuple[str, ...]] = ("name", "paid", "status")
    field_labels: ClassVar[dict[str, Any]] = {}

    @admin.display(description=gettext_lazy("what the invited person does"))
    def asks(self, row: Programme) -> str:
        """Say what must be done."""
        if row.act == Act.ORDER:
            return gettext("orders for %(amount)s or more") % {"amount": fen(row.at_least)}
        return str(row.get_act_display())

    @admin.display(description=gettext_lazy("who invites / who is invited gets"))
    def gives(self, row: Programme) -> str:
        """Say what both sides get."""
        return f"{_gift(row, 'inviter')} / {_gift(row, 'invited')}"

    @admin.display(description=gettext_lazy("state"))
    def status(self, row: Programme) -> Any:
        """Show whether it runs."""
        if not row.is_on:
            return state(gettext("Off"), "warning")
        today = local(now()).date()
        if row.last_day is not None and row.last_day < today:
            return state(gettext("Over"))
        return state(gettext("Planned")) if row.first_day > today else state(gettext("Running"), "success")

    def save_model(self, request: HttpRequest, obj: Programme, form: Any, change: bool) -> None:
        """Save through the service."""
        try:
            services.save_programme(programme=obj, at=now())
        except AppError as error:  # another was saved since the form was checked
            request.zy_refused = True  # type: ignore[attr-defined]
            messages.error(request, f"{error.message} {error.hint}".strip())

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: Any = None) -> Any:
        """Say for whom it holds."""
        if not getattr(request, "zy_refused", False):
            messages.success(
                request, gettext("Saved. It holds for people who come from now on and those on their way.")
            )
        return HttpResponseRedirect(reverse("admin:referrals_programme_changelist"))

    response_change = response_add

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Keep what was given explained; turn it off instead."""
        return False


def _gift(row: Programme, side: str) -> str:
    points, template = getattr(row, f"{side}_points"), getattr(row, f"{side}_template")
    parts = [ngettext("%(points)s point", "%(points)s points", points) % {"points": f"{points:,}"}] if points else []
    return " + ".join([*parts, str(template)] if template else parts) or gettext("nothing")
