"""What people can agree to and choose from: purposes, the wordings they are shown, and the topics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import messages
from django.db.models import Count
from django.http import HttpResponseRedirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from common.clock import now
from common.errors import AppError
from console.http import viewer_of
from console.registry import Page, Tab, nav, pages
from console.site import page_response
from members import selectors, services
from members.choices import PERSONAL, QUIET, carrier_key, topic_key
from members.models import ConsentPurpose, ConsentText, OptOut, Topic
from members.reach import carriers
from members.services.consent_texts import LONGEST

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


class TopicForm(forms.Form):
    """A topic people can refuse."""

    code = forms.CharField(
        label=gettext_lazy("Code"),
        max_length=20,
        widget=UnfoldAdminTextInputWidget(),
        help_text=gettext_lazy("Small letters and digits, for the mini-program; a known code changes its topic."),
    )
    name = forms.CharField(label=gettext_lazy("Name"), max_length=30, widget=UnfoldAdminTextInputWidget())
    meaning = forms.CharField(
        label=gettext_lazy("What it is about"), max_length=120, required=False, widget=UnfoldAdminTextInputWidget()
    )
    is_active = forms.BooleanField(label=gettext_lazy("Offer it to members"), required=False, initial=True)


class PurposeForm(forms.Form):
    """A purpose of the brand's own."""

    code = forms.CharField(label=gettext_lazy("Code"), max_length=20, widget=UnfoldAdminTextInputWidget())
    name = forms.CharField(label=gettext_lazy("Name"), max_length=30, widget=UnfoldAdminTextInputWidget())
    meaning = forms.CharField(
        label=gettext_lazy("What the data is used for"), max_length=200, widget=UnfoldAdminTextInputWidget()
    )


class TextForm(forms.Form):
    """A wording, for good."""

    purpose = forms.ChoiceField(label=pgettext_lazy("consent", "Purpose"))
    version = forms.CharField(label=gettext_lazy("Version"), max_length=20, widget=UnfoldAdminTextInputWidget())
    body = forms.CharField(
        label=gettext_lazy("Text"), max_length=LONGEST, widget=UnfoldAdminTextareaWidget(attrs={"rows": 6})
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Offer the brand's purposes."""
        super().__init__(*args, **kwargs)
        self.fields["purpose"].choices = selectors.purposes()  # type: ignore[attr-defined]


def _save(act: str, given: dict[str, Any], by: str) -> None:
    at = now()
    if act == "topic":
        services.save_topic(at=at, **given)
    elif act == "purpose":
        services.add_purpose(at=at, **given)
    else:
        services.write_text(by=by, effective_at=at, at=at, **given)


def consents(request: HttpRequest) -> HttpResponse:
    """Show topics, purposes and wordings with how many use them; add to them."""
    viewer = viewer_of(request)
    made: dict[str, forms.Form] = {"topic": TopicForm(), "purpose": PurposeForm(), "text": TextForm()}
    if request.method == "POST":
        viewer.require("privacy.edit")
        act = request.POST.get("act", "")
        kind = {"topic": TopicForm, "purpose": PurposeForm, "text": TextForm}.get(act)
        if kind is not None:
            form = made[act] = kind(request.POST)
            if form.is_valid():
                try:
                    _save(act, form.cleaned_data, viewer.label)
                except AppError as error:
                    form.add_error(error.field if error.field in form.fields else None, error.message)
                else:
                    messages.success(request, _("Saved."))
                    return HttpResponseRedirect(request.path)
    refused = dict(OptOut.objects.order_by().values_list("purpose").annotate(people=Count("pk")))
    names = dict(selectors.purposes())
    texts = ConsentText.objects.order_by("purpose", "-effective_at", "-pk")
    context: dict[str, Any] = {
        "title": _("Consent and preferences"),
        "can_edit": viewer.can("privacy.edit"),
        "topics": [
            {"row": row, "refused": refused.get(topic_key(row.pk), 0)} for row in Topic.objects.order_by("name", "pk")
        ],
        "ways": [{"label": way.label, "refused": refused.get(carrier_key(key), 0)} for key, way in carriers.items()],
        "impersonal": refused.get(PERSONAL, 0),
        "quiet": refused.get(QUIET, 0),
        "purposes": ConsentPurpose.objects.order_by("name", "pk"),
        "texts": [{"row": row, "purpose": names.get(row.purpose, row.purpose)} for row in texts[:50]],
        "forms": made,
    }
    status = 422 if any(form.errors for form in made.values()) else 200
    return page_response(request, "members/privacy/consents.html", context, status=status)


nav.register("settings.consents", Tab("settings", gettext_lazy("Consent and preferences"), "consents", "privacy", 46))
pages.register("consents", Page("members/consents/", consents, "consents", "privacy"))
