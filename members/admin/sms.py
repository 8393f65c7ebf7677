"""How the brand sends codes by text message, and how that goes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import messages
from django.db.models import Count, Q
from django.http import HttpResponseRedirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from common.clock import now
from common.errors import AppError
from console.http import viewer_of
from console.registry import Page, Tab, nav, pages
from console.site import page_response
from members import services, sms
from members.models import SmsCode, SmsState
from members.services.sms import MOST_A_DAY

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


class SmsForm(forms.Form):
    """Way, address and secret."""

    way = forms.ChoiceField(label=gettext_lazy("Sent by"), required=False)
    url = forms.CharField(
        label=gettext_lazy("Address"),
        max_length=300,
        required=False,
        help_text=gettext_lazy("https://…; gets phone, code, text, signature and template as JSON."),
    )
    secret = forms.CharField(
        label=gettext_lazy("Secret"),
        max_length=300,
        required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text=gettext_lazy("Sent as “Authorization: Bearer …”. Never shown again; empty keeps the one there is."),
    )
    signature = forms.CharField(
        label=pgettext_lazy("text message", "Signature"),
        max_length=20,
        required=False,
        help_text=gettext_lazy("Stands in front of the text, in 【】."),
    )
    template = forms.CharField(label=gettext_lazy("Number of the provider's template"), max_length=64, required=False)
    daily_limit = forms.IntegerField(label=gettext_lazy("Codes a day at most"), min_value=1, max_value=MOST_A_DAY)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Offer the ways of this installation."""
        super().__init__(*args, **kwargs)
        offered = [(key, str(way.label)) for key, way in sms.ways.items() if way.offered()]
        self.fields["way"].choices = [("", _("not at all")), *offered]  # type: ignore[attr-defined]
        for field in self.fields.values():
            field.widget.attrs["class"] = "zy-input"


def text_messages(request: HttpRequest) -> HttpResponse:
    """Show and change how codes are sent; how many went, failed and were used within a day."""
    viewer, at = viewer_of(request), now()
    row = services.sms_settings()
    initial = {name: getattr(row, name) for name in ("way", "url", "signature", "template", "daily_limit")}
    form = SmsForm(request.POST or None, initial=initial)
    if request.method == "POST":
        viewer.require("accounts.edit")
        if form.is_valid():
            try:
                services.set_sms(at=at, **form.cleaned_data)
            except AppError as error:
                form.add_error(error.field if error.field in form.fields else None, error.message)
            else:
                messages.success(request, _("Saved."))
                return HttpResponseRedirect(request.path)
    lately = SmsCode.objects.filter(asked_at__gt=at - timedelta(days=1))
    figures = lately.aggregate(
        asked=Count("pk"),
        sent=Count("pk", filter=Q(state=SmsState.SENT)),
        failed=Count("pk", filter=Q(state=SmsState.FAILED)),
        spent=Count("pk", filter=Q(spent_at__isnull=False)),
    )
    last = lately.filter(state=SmsState.FAILED).order_by("-asked_at", "-pk").first()
    context = {
        "title": _("Text messages"),
        "can_edit": viewer.can("accounts.edit"),
        "form": form,
        "has_secret": row.secret is not None,
        "figures": figures,
        "last": last,
    }
    return page_response(request, "members/text_messages.html", context, status=422 if form.errors else 200)


nav.register("settings.sms", Tab("settings", gettext_lazy("Text messages"), "text_messages", "accounts", 12))
pages.register("text_messages", Page("members/text-messages/", text_messages, "text_messages", "accounts"))
