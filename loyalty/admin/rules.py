"""Rules by which points are earned: what they say, what they would have given last month, whether they are on."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy, pgettext_lazy
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from common.clock import now
from common.errors import AppError
from console.admin import ConsoleModelAdmin, site
from console.columns import state, two_lines
from console.forms import BrandModelForm
from loyalty import on_screen, services
from loyalty.earn_rules import MOST, PERIODS, earn_kinds, faults
from loyalty.models import EarnRule, RuleState

if TYPE_CHECKING:
    from django.http import HttpRequest

TRIED = timedelta(days=30)
_TONES = {RuleState.DRAFT: "", RuleState.ACTIVE: "success", RuleState.STOPPED: "warning"}
NUMBERS = ("points", "per_fen", "from_fen", "limit_points")
TEXTS = ("codes", "name_of_event")


def _number(label: Any, hint: Any = "", low: int = 0) -> forms.IntegerField:
    return forms.IntegerField(
        label=label,
        help_text=hint,
        required=False,
        min_value=low,
        max_value=MOST,
        widget=UnfoldAdminIntegerFieldWidget,
    )


class RuleForm(BrandModelForm):
    """A rule with the settings of every kind; those its kind does not know are not kept."""

    kind = forms.ChoiceField(label=gettext_lazy("What it is given for"), widget=UnfoldAdminSelectWidget)
    points = _number(pgettext_lazy("loyalty", "Points"), low=1)
    per_fen = _number(
        gettext_lazy("for every … fen"),
        gettext_lazy("Spending, products: 100 fen are one yuan; parts of it give nothing."),
        1,
    )
    codes = forms.CharField(
        label=gettext_lazy("Product or category codes"),
        required=False,
        max_length=500,
        help_text=gettext_lazy("Products or categories: separated by commas."),
        widget=UnfoldAdminTextInputWidget,
    )
    from_fen = _number(gettext_lazy("from so many fen"), gettext_lazy("First purchase: a smaller one gives nothing."))
    name_of_event = forms.CharField(
        label=gettext_lazy("Name of the event"),
        required=False,
        max_length=64,
        help_text=gettext_lazy("Events: as the system reports it."),
        widget=UnfoldAdminTextInputWidget,
    )
    limit_period = forms.ChoiceField(
        label=gettext_lazy("Limit for a member"),
        required=False,
        choices=list(PERIODS.items()),
        widget=UnfoldAdminSelectWidget,
    )
    limit_points = _number(gettext_lazy("at most so many points"), low=1)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Show what is stored in the form's own fields."""
        super().__init__(*args, **kwargs)
        if "kind" in self.fields:
            field: Any = self.fields["kind"]
            field.choices = [(key, item.label) for key, item in earn_kinds.items()]
        stored = self.instance.draft or {"points": 1, "per_fen": 100}
        self.initial.update({name: stored.get(name) for name in (*NUMBERS, "codes", "limit_period")})
        self.initial.update(kind=self.instance.kind or "spend", name_of_event=stored.get("name", ""))

    def clean(self) -> dict[str, Any]:
        """Keep the settings of the kind, and check them."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        kind = earn_kinds.find(str(cleaned.get("kind") or self.instance.kind))
        if kind is None or self.errors:
            return cleaned
        params: dict[str, Any] = {}
        for param in kind.params:
            given = cleaned.get("name_of_event" if param.name == "name" else param.name)
            params[param.name] = (given or "") if param.is_text else given
        if cleaned.get("limit_period"):
            params |= {"limit_period": cleaned["limit_period"], "limit_points": cleaned.get("limit_points")}
        for name, message in faults(kind, params).items():
            self.add_error("name_of_event" if name == "name" else name, str(message))
        self.instance.kind, self.instance.draft = kind.key, params
        return cleaned


@admin.register(EarnRule, site=site)
class EarnRuleAdmin(ConsoleModelAdmin):
    """What points are given for."""

    area = "points"
    place = "rewards"
    tab = gettext_lazy("Earn rules")
    tab_order = 20
    add_label = gettext_lazy("New rule")
    audit_writes = False  # the services write the entries
    empty_text = gettext_lazy(
        "A rule gives points for what tills, shops and the mini program report. Try it out over the last 30 days "
        "before it is on."
    )
    form = RuleForm
    list_display = ("titled", "says", "status")
    list_display_links = ("titled",)
    ordering = ("brand", "name", "pk")
    phone_columns: ClassVar[tuple[str, ...]] = ("titled", "status")
    change_form_template = "loyalty/rule_form.html"
    field_labels: ClassVar[dict[str, Any]] = {"name": pgettext_lazy("rule", "Name")}
    fields = (
        "name",
        "kind",
        "points",
        "per_fen",
        "codes",
        "from_fen",
        "name_of_event",
        "limit_period",
        "limit_points",
    )

    @admin.display(description=pgettext_lazy("rule", "Name"))
    def titled(self, row: EarnRule) -> Any:
        """Show the rule and its kind."""
        kind = earn_kinds.find(row.kind)
        return two_lines(row.name, kind.label if kind else row.kind)

    @admin.display(description=gettext_lazy("what it gives"))
    def says(self, row: EarnRule) -> str:
        """Show the rule as a sentence."""
        return on_screen.rule_sentence(row.kind, row.draft)

    @admin.display(description=gettext_lazy("state"))
    def status(self, row: EarnRule) -> Any:
        """Show whether it gives points."""
        return state(row.get_state_display(), _TONES[RuleState(row.state)])

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Show roles that may only look the rule as a sentence."""
        may = self.has_change_permission(request, obj) if obj is not None else self.has_add_permission(request)
        if not may:
            return ((None, {"fields": ("name", "says", "status")}),)
        kind = earn_kinds.find(obj.kind) if obj is not None else None
        if kind is None:
            return ((None, {"fields": self.fields}),)
        own = tuple("name_of_event" if param.name == "name" else param.name for param in kind.params)
        return ((None, {"fields": ("name", *own, "limit_period", "limit_points")}),)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Give what only-lookers see as text."""
        return () if self.has_change_permission(request, obj) else ("name", "says", "status")

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Save, try out, turn on and off."""
        act = request.POST.get("act", "") if request.method == "POST" else ""
        if object_id and act:
            return self._act(request, object_id, act)
        return super().changeform_view(request, object_id, form_url, extra_context)

    def _act(self, request: HttpRequest, object_id: str, act: str) -> HttpResponseRedirect:
        row = self.get_object(request, object_id)
        if row is None:
            raise Http404
        if not self.has_change_permission(request, row):
            raise PermissionDenied
        try:
            if act == "activate":
                version = services.activate_rule(rule_id=row.pk, at=now())
                said = gettext("On: version %(number)s gives points from now on.") % {"number": version.number}
            elif act == "stop":
                services.stop_rule(rule_id=row.pk, at=now())
                said = gettext("Off: nothing more is given. What was given stays.")
            else:
                raise Http404
        except AppError as error:
            messages.error(request, f"{error.message} {error.hint}".strip())
        else:
            messages.success(request, said)
        return HttpResponseRedirect(reverse("admin:loyalty_earnrule_change", args=[row.pk]))

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Show what the saved draft says, what it would have given, and its versions."""
        obj: EarnRule | None = kwargs.get("obj")
        if obj is not None and obj.pk:
            at = now()
            context["rule"] = obj
            context["tried_days"] = TRIED.days
            context["sentence"] = on_screen.rule_sentence(obj.kind, obj.draft)
            context["tone"] = _TONES[RuleState(obj.state)]
            context["versions"] = [
                {"row": row, "sentence": on_screen.rule_sentence(obj.kind, row.params)}
                for row in obj.versions.order_by("-number")[:20]
            ]
            newest = context["versions"][0]["row"] if context["versions"] else None
            in_force = newest if newest is not None and newest.until is None else None
            context["in_force"] = in_force
            context["may_activate"] = in_force is None or in_force.params != obj.draft
            kind = earn_kinds.find(obj.kind)
            context["may_try"] = kind is not None and not faults(kind, obj.draft)
            if context["may_try"] and request.GET.get("try") == "1":  # it reads all facts of these days
                context["tried"] = services.dry_run(kind=obj.kind, params=obj.draft, since=at - TRIED, until=at)
        return super().render_change_form(request, context, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: EarnRule, form: Any, change: bool) -> None:
        """Save through the service."""
        services.save_rule(rule=obj, at=now())

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: Any = None) -> Any:
        """Show what the new rule would have given."""
        messages.success(request, gettext("Saved as a draft. See below what it would have given, then turn it on."))
        return HttpResponseRedirect(reverse("admin:loyalty_earnrule_change", args=[obj.pk]) + "?try=1")

    response_change = response_add
