"""What the brand gives for birthdays: settings, what they would give within 30 days, what was given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import messages
from django.http import HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext, gettext_lazy, pgettext_lazy

from common.clock import now
from common.errors import AppError
from console.admin import site
from console.http import viewer_of
from console.registry import Page, Tab, nav, pages
from loyalty import services
from loyalty.admin.warnings import told_by
from loyalty.birthdays import benefits
from loyalty.models import BirthdayGrant, BirthdayProgramme, GrantState, Tier
from loyalty.news import kinds
from loyalty.selectors import birthdays as selectors
from members.opened import Way, shows
from members.selectors import visible_members
from members.services import note_listed

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponseBase

_TONES = {GrantState.DUE: "info", GrantState.GIVEN: "success", GrantState.DROPPED: ""}


class ProgrammeForm(forms.ModelForm):  # type: ignore[type-arg]
    """What is given, when, and to whom."""

    class Meta:
        model = BirthdayProgramme
        fields = ("is_on", "benefit", "mode", "days_before", "days_after", "leap", "text")

    tier: Any = forms.ModelChoiceField(queryset=None, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Offer the registered benefits and ask for what they need."""
        super().__init__(*args, **kwargs)
        self.fields["benefit"] = forms.ChoiceField(
            label=gettext("benefit"), choices=[(key, item.label) for key, item in benefits.items()]
        )
        tier: Any = self.fields["tier"]
        tier.label = gettext("from this tier on")
        tier.queryset = Tier.objects.order_by("threshold", "pk")
        tier.empty_label = gettext("every member")
        self.initial["tier"] = self.instance.tier_id
        for _key, item in benefits.items():
            for name, (label, low, high) in item.numbers.items():
                self.fields[name] = forms.IntegerField(label=label, min_value=low, max_value=high, required=False)
                self.initial[name] = self.instance.params.get(name, 100)
            for name, (label, offered) in item.picks.items():
                self.fields[name] = forms.TypedChoiceField(
                    label=label, choices=[("", "--"), *offered()], coerce=int, empty_value=None, required=False
                )
                self.initial[name] = self.instance.params.get(name)
        self.fields["days_after"].help_text = gettext("Whoever joins within these days still gets it.")
        self.fields["mode"].help_text = gettext("With the whole month it is given on the first day of the window.")
        news = kinds.get("birthday")
        said = gettext(
            "Sent once, between 9:00 and 21:00 within a week, to whoever may be written to. %(benefit)s is filled in. "
            "Empty: nobody is told."
        )
        self.fields["text"].help_text = said % news.spelled()
        self.initial["text"] = news.shown(str(self.initial.get("text", "")))
        for field in self.fields.values():
            if not isinstance(field, forms.BooleanField):
                field.widget.attrs["class"] = "zy-input"
        asked = [name for _key, item in benefits.items() for name in (*item.numbers, *item.picks)]
        self.order_fields(["is_on", "benefit", *asked, "text", "mode", "days_before", "days_after", "leap", "tier"])

    def clean(self) -> dict[str, Any]:
        """Keep what the chosen benefit needs."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        kind = benefits.find(str(cleaned.get("benefit", "")))
        self.instance.tier = cleaned.get("tier")
        self.instance.params = {name: cleaned.get(name) for name in (*kind.numbers, *kind.picks)} if kind else {}
        return cleaned


def birthdays(request: HttpRequest) -> HttpResponseBase:
    """Show and change the programme."""
    viewer, at = viewer_of(request), now()
    may = viewer.can("points.edit")
    form = ProgrammeForm(request.POST or None, instance=selectors.programme())
    if request.method == "POST":
        viewer.require("points.edit")
        if form.is_valid():
            try:
                services.save_birthday_programme(programme=form.save(commit=False), at=at)
            except AppError as error:
                form.add_error(error.field if error.field in form.fields else None, error.message)
            else:
                messages.success(request, gettext("Saved."))
                return HttpResponseRedirect(request.path)
    stored = selectors.programme()
    kind = benefits.find(stored.benefit)
    grants = selectors.newest_grants()
    visible = set(
        visible_members(viewer).filter(pk__in=[each.member_id for each in grants]).values_list("pk", flat=True)
    )
    note_listed(people=visible, page="loyalty.birthdays", at=at)
    context = {
        **site.each_context(request),
        "title": gettext("Birthday benefit"),
        "form": form,
        "may": may,
        "stored": stored,
        "says": kind.says(stored.params) if kind and stored.pk else "",
        "outlook": selectors.outlook_lately(stored, at=at) if stored.pk else None,
        "grants": [
            {
                "row": each,
                "who": str(each.member) if each.member_id in visible else "--",
                "tone": _TONES[GrantState(each.state)],
                "gave": _gave(each),
                "told": told_by(each.way, each.why),
            }
            for each in grants
        ],
    }
    return TemplateResponse(request, "loyalty/birthdays.html", context, status=422 if form.errors else 200)


def _gave(grant: BirthdayGrant) -> str:
    kind = benefits.find(grant.benefit)
    return kind.says(grant.params) if kind else "--"


_PAGE = Page("loyalty/birthdays/", birthdays, "loyalty_birthdays", "points")
pages.register(_PAGE.name, _PAGE)
nav.register("rewards.birthdays", Tab("rewards", pgettext_lazy("tab", "Birthdays"), "loyalty_birthdays", "points", 60))


shows("loyalty.birthdays", gettext_lazy("Birthday benefits given"), "name", "points", way=Way.LIST)
