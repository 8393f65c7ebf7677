"""Templates of coupons: what they give, in a sentence that is made while one types; budgets and figures."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.forms import modelform_factory
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy, pgettext_lazy
from unfold.contrib.filters.admin import DropdownFilter

from common.clock import now
from common.errors import AppError
from console import formats
from console.admin import ConsoleModelAdmin, site
from console.columns import state, two_lines
from console.registry import BulkColumn, Page, pages
from coupons import on_screen, services
from coupons.admin.forms import RULE_FIELDS, TemplateForm
from coupons.errors import TemplateRefused
from coupons.models import Template, TemplateState, TemplateVersion
from coupons.rules import Cart, Kind, Line, Rule, faults, judge, read
from coupons.selectors.figures import Figures, figures_of
from coupons.words import rule_sentence, short
from members.models import Member

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

MOST_PUSHED = 100
_SEPARATORS = re.compile(r"[\s,，、;；]+")
EXAMPLES = (9_900, 19_900, 29_900, 59_900)
SETTINGS = ("name", "total", "per_member", "claimable", "by_guides", "points_price")


class StateView(DropdownFilter):  # type: ignore[misc] # Unfold has no types
    """Templates in work, on offer, stopped."""

    title = gettext_lazy("state")
    parameter_name = "state"
    views: ClassVar = list(TemplateState.choices)

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Name the three."""
        return list(self.views)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow to the chosen one."""
        return queryset.filter(state=self.value()) if self.value() in TemplateState.values else queryset


def _used(ids: list[int]) -> dict[int, Any]:
    return {**figures_of(ids, at=now())}


def _used_cell(value: Any, row: Template) -> Any:
    if value is None:
        return formats.NOTHING
    return two_lines(formats.count(value.used), formats.rate(value.rate))


def _saved_cell(value: Any, row: Template) -> str:
    return formats.fen(value.saved) if value is not None else formats.NOTHING


@admin.register(Template, site=site)
class TemplateAdmin(ConsoleModelAdmin):
    """What coupons are issued from."""

    area = "coupons"
    place = "rewards"
    tab = gettext_lazy("Coupons")
    tab_order = 50
    add_label = gettext_lazy("New coupon")
    audit_writes = False  # the services write the entries
    empty_text = gettext_lazy(
        "A template says what a coupon gives, for what, how long, and what a refund does. Its text is made from that."
    )
    form = TemplateForm
    list_display = (
        "titled",
        "says",
        BulkColumn("used", gettext_lazy("used"), _used, number=True, show=_used_cell),
        BulkColumn("saved_by", gettext_lazy("taken off"), _used, number=True, show=_saved_cell),
        "budget",
        "status",
    )
    list_display_links = ("titled",)
    list_filter = (StateView,)
    views_filter = StateView
    ordering = ("brand", "-id")
    number_columns: ClassVar[tuple[str, ...]] = ("used", "saved_by", "budget")
    phone_columns: ClassVar[tuple[str, ...]] = ("titled", "budget", "status")
    change_form_template = "coupons/template_form.html"
    field_labels: ClassVar[dict[str, Any]] = {"name": pgettext_lazy("coupon", "Name")}

    @admin.display(description=pgettext_lazy("coupon", "Name"))
    def titled(self, row: Template) -> Any:
        """Show the template and its kind."""
        kind = row.draft.get("kind")
        return two_lines(row.name, Kind(kind).label if kind in Kind.values else "")

    @admin.display(description=gettext_lazy("what it gives"))
    def says(self, row: Template) -> str:
        """Show the rule in a line."""
        return short(read(row.draft)) if not faults(row.draft) else formats.NOTHING

    @admin.display(description=gettext_lazy("given / at most"))
    def budget(self, row: Template) -> Any:
        """Show what of the budget is gone."""
        return two_lines(
            formats.count(row.taken), formats.count(row.total) if row.total is not None else gettext("no limit")
        )

    @admin.display(description=gettext_lazy("state"))
    def status(self, row: Template) -> Any:
        """Show whether coupons are given."""
        return state(row.get_state_display(), on_screen.TEMPLATE_TONES[TemplateState(row.state)])

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Show roles that may only look the rule as a sentence."""
        may = self.has_change_permission(request, obj) if obj is not None else self.has_add_permission(request)
        if not may:
            return ((None, {"fields": ("name", "says", "budget", "status")}),)
        fields = RULE_FIELDS
        return (
            (None, {"fields": ("name", *fields[:12])}),
            (gettext("Time and refunds"), {"fields": fields[12:]}),
            (gettext("Who gets it, and how many"), {"fields": SETTINGS[1:]}),
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Give what only-lookers see as text."""
        return () if self.has_change_permission(request, obj) else ("name", "says", "budget", "status")

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Save, turn on and off, give to people, make codes."""
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
                version = services.activate_template(template_id=row.pk, at=now())
                said = gettext("On: version %(number)s is given from now on.") % {"number": version.number}
            elif act == "stop":
                services.stop_template(template_id=row.pk, at=now())
                said = gettext("Off: no more are given. Those given can be used.")
            elif act == "push":
                said = _push(request, row)
            else:
                raise Http404
        except AppError as error:
            messages.error(request, f"{error.message} {error.hint}".strip())
        else:
            messages.success(request, said)
        return HttpResponseRedirect(reverse("admin:coupons_template_change", args=[row.pk]))

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Show what the saved draft says, its figures and versions."""
        obj: Template | None = kwargs.get("obj")
        context["preview_link"] = reverse("admin:coupons_template_preview")
        if obj is not None and obj.pk:
            versions = list(TemplateVersion.objects.filter(template=obj).order_by("-number")[:20])
            newest = versions[0] if versions else None
            context |= {
                "row": obj,
                "tone": on_screen.TEMPLATE_TONES[TemplateState(obj.state)],
                "versions": [{"row": each, "sentence": rule_sentence(read(each.rule))} for each in versions],
                "may_activate": not faults(obj.draft)
                and (
                    obj.state != TemplateState.ACTIVE
                    or newest is None
                    or newest.rule != obj.draft
                    or newest.name != obj.name
                ),
                "on": obj.state == TemplateState.ACTIVE,
                "figures": figures_of([obj.pk], at=now()).get(obj.pk, Figures()),
                "most_pushed": MOST_PUSHED,
                "key": now().isoformat(),
                **preview(obj.draft),
            }
        return super().render_change_form(request, context, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: Template, form: Any, change: bool) -> None:
        """Save through the service."""
        services.save_template(template=obj, at=now())

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: Any = None) -> Any:
        """Show what the template says now."""
        messages.success(request, gettext("Saved as a draft. Read the sentence, then turn it on."))
        return HttpResponseRedirect(reverse("admin:coupons_template_change", args=[obj.pk]))

    response_change = response_add


def _push(request: HttpRequest, row: Template) -> str:
    """Give the coupon to the members whose numbers were typed or pasted."""
    numbers = list(dict.fromkeys(_SEPARATORS.split(request.POST.get("numbers", "").strip())))
    if not numbers[0] or len(numbers) > MOST_PUSHED:
        raise TemplateRefused(
            gettext("Nothing was given. Enter 1 to %(most)s member numbers.") % {"most": MOST_PUSHED}, field="numbers"
        )
    found = dict(Member.objects.filter(member_no__in=numbers).order_by("pk").values_list("member_no", "pk"))
    pushed = services.push_coupons(
        key=f"{row.pk}:{request.POST.get('key', '')[:60]}",
        template=row,
        member_ids=list(found.values()),
        reason=request.POST.get("reason", ""),
        at=now(),
    )
    words = {
        "given": formats.count(pushed.given),
        "had": formats.count(pushed.had_it),
        "short": formats.count(pushed.no_more),
        "barred": formats.count(pushed.left_out),
        "unknown": formats.count(len(numbers) - len(found) + pushed.gone),
    }
    said = gettext("Given to %(given)s members. Had their share: %(had)s. None left: %(short)s. Unknown: %(unknown)s.")
    if pushed.left_out:
        said += gettext(" Left out of rewards: %(barred)s.")
    return said % words


def preview(data: dict[str, Any]) -> dict[str, Any]:
    """Give what a rule says, and what it takes off some bills of goods that count."""
    wrong = faults(data)
    if wrong:
        return {"sentence": "", "faults": [str(each) for each in wrong.values()], "examples": []}
    rule = read(data)
    return {"sentence": rule_sentence(rule), "faults": [], "examples": [_example(rule, each) for each in EXAMPLES]}


def _example(rule: Rule, amount: int) -> dict[str, Any]:
    line = Line((rule.products or ("",))[0], (rule.categories or ("",))[0], amount)
    cart = Cart((line,), rule.stores[0].id if rule.stores else None)
    found = judge(rule, cart, tier_id=rule.tiers[0].id if rule.tiers else None)
    return {
        "amount": amount,
        "saving": found.saving,
        "pays": amount - found.saving,
        "usable": found.refusal is None,
    }


def preview_part(request: HttpRequest) -> HttpResponse:
    """Answer what is typed so far with its sentence."""
    form: Any = modelform_factory(Template, form=TemplateForm, fields=SETTINGS)(request.POST)
    form.is_valid()
    wrong = [f"{form.fields[name].label}: {each}" for name in RULE_FIELDS for each in form.errors.get(name, ())]
    if wrong:
        return TemplateResponse(request, "coupons/_preview.html", {"faults": wrong})
    typed = {name: form.cleaned_data.get(name) for name in RULE_FIELDS}
    return TemplateResponse(request, "coupons/_preview.html", preview(form.rule(typed)))


_PREVIEW = Page("coupons/template/preview/", preview_part, "coupons_template_preview", "coupons", "edit")
pages.register(_PREVIEW.name, _PREVIEW)
