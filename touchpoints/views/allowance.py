"""Permanent codes: how many each account has spent, what happens next, and WeChat's limit where it is another."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from common.clock import now
from console.http import row_id, viewer_of
from console.site import page_response
from touchpoints import on_screen, services
from wechat_gateway.models import OfficialAccount

LARGEST = 10_000_000


class AllowanceForm(forms.Form):
    """What WeChat allows one account."""

    permanent_codes = forms.IntegerField(
        min_value=0,
        max_value=LARGEST,
        label=gettext_lazy("Permanent codes in all"),
        help_text=gettext_lazy("WeChat documents 100,000. Change it only when WeChat has told you another number."),
    )
    made_elsewhere = forms.IntegerField(
        min_value=0,
        max_value=LARGEST,
        label=gettext_lazy("Made elsewhere"),
        help_text=gettext_lazy("Permanent codes made by other tools. WeChat counts them and tells nobody how many."),
    )
    repeats_are_free = forms.BooleanField(
        required=False,
        label=gettext_lazy("Asking again for the same scene costs nothing"),
        help_text=gettext_lazy(
            "Not confirmed by WeChat. Untick it if codes run out faster than counted: lost answers then count as spent."
        ),
    )


def allowance(request: HttpRequest) -> HttpResponse:
    """Show the meters with a form for each account; take one form."""
    forms_of: dict[int, AllowanceForm] = {}
    if request.method == "POST":
        viewer_of(request).require("touchpoints.edit")
        account = OfficialAccount.objects.filter(is_active=True, pk=row_id(request.POST.get("account")) or 0).first()
        if account is None:
            raise Http404
        form = AllowanceForm(request.POST, prefix=str(account.pk))
        if form.is_valid():
            services.set_allowance(account=account, at=now(), **form.cleaned_data)
            messages.success(request, _("The allowance of “%(name)s” was changed.") % {"name": account.name})
            return HttpResponseRedirect(request.path)
        forms_of[account.pk] = form
    lines = on_screen.code_meters(now())
    for line in lines:
        line["form"] = forms_of.get(line["meter"].account.pk) or _form(line["meter"])
    context: dict[str, Any] = {
        "title": _("Permanent codes"),
        "zy_object": _("Permanent codes"),
        "lines": lines,
        "may_edit": viewer_of(request).can("touchpoints.edit"),
    }
    return page_response(request, "touchpoints/allowance.html", context, status=422 if forms_of else 200)


def _form(meter: Any) -> AllowanceForm:
    return AllowanceForm(
        prefix=str(meter.account.pk),
        initial={
            "permanent_codes": meter.limit,
            "made_elsewhere": meter.elsewhere,
            "repeats_are_free": meter.repeats_are_free,
        },
    )
