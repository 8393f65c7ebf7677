"""Many codes in one action: what is to be made is shown first, then made; WeChat draws the codes afterwards."""

from __future__ import annotations

import re
from datetime import datetime, time
from typing import Any, Final
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from common.clock import now
from common.errors import AppError
from console.http import brand_of
from console.site import page_response
from members.models import Tag
from stores.models import Store
from touchpoints import on_screen, selectors, services
from wechat_gateway.models import OfficialAccount

MOST_OBJECTS: Final = 20
MOST_CODES: Final = 1000
_TAG: Final = re.compile(r"\s[#＃]")  # also as Chinese keyboards write it


class BatchForm(forms.Form):
    """What the codes of a batch have in common."""

    account: Any = forms.ModelChoiceField(queryset=None, label=gettext_lazy("Service account"), empty_label=None)
    parent: Any = forms.ModelChoiceField(
        queryset=None, required=False, label=gettext_lazy("below"), empty_label=gettext_lazy("(top of the tree)")
    )
    stores: Any = forms.ModelMultipleChoiceField(
        queryset=None,
        required=False,
        label=gettext_lazy("Stores"),
        widget=forms.CheckboxSelectMultiple,
        help_text=gettext_lazy("Each gets a place of its own below. Without stores each code is made once."),
    )
    objects = forms.CharField(
        label=gettext_lazy("Codes for each"),
        max_length=1200,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text=gettext_lazy(
            "One per line, such as door, counter, fitting room. After a blank and # stands a tag for the codes of this "
            "line only: “gift box #gift boxes”."
        ),
    )
    is_permanent = forms.BooleanField(required=False, label=gettext_lazy("permanent code"))
    tags: Any = forms.ModelMultipleChoiceField(
        queryset=None, required=False, label=gettext_lazy("Tags"), widget=forms.CheckboxSelectMultiple
    )
    benefit = forms.CharField(
        required=False,
        max_length=120,
        label=gettext_lazy("benefit"),
        help_text=gettext_lazy("Printed below the code. The words store and object in braces are filled in."),
    )
    gives = forms.ChoiceField(
        required=False,
        label=gettext_lazy("What scanning it gives"),
        help_text=gettext_lazy(
            "Once to each person, within seconds. In the welcome, the word benefit in braces becomes its name."
        ),
    )
    welcome = forms.CharField(
        required=False,
        max_length=600,
        widget=forms.Textarea(attrs={"rows": 4}),
        label=gettext_lazy("welcome"),
        help_text=gettext_lazy(
            "What people read who follow by the code. The words store and object in braces are filled in."
        ),
    )
    ends_on = forms.DateField(
        required=False,
        label=gettext_lazy("in use until"),
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text=gettext_lazy("The last day. Leave it empty for codes without end."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Offer this brand's rows."""
        super().__init__(*args, **kwargs)
        self.fields["account"].queryset = OfficialAccount.objects.filter(is_active=True).order_by("pk")  # type: ignore[attr-defined]
        self.fields["parent"].queryset = selectors.folders().filter(archived_at__isnull=True).order_by("name")  # type: ignore[attr-defined]
        self.fields["stores"].queryset = Store.objects.filter(is_active=True).order_by("name", "pk")  # type: ignore[attr-defined]
        self.fields["gives"].choices = on_screen.benefit_choices()  # type: ignore[attr-defined]
        self.fields["tags"].queryset = Tag.objects.order_by("name")  # type: ignore[attr-defined]

    def clean_objects(self) -> dict[str, list[Tag]]:
        """Give what the lines name, each once, with the tags of its own."""
        wanted: dict[str, dict[str, int]] = {}  # the tags of each, by the line that names them first
        faults = []
        for number, line in enumerate(self.cleaned_data["objects"].splitlines(), 1):
            name, *tags = (part.strip() for part in _TAG.split(" " + line))
            if not name and not tags:
                continue
            if not name or "" in tags:
                faults.append(_("Line %(line)s: write a name, a blank, # and a tag.") % {"line": number})
            if len(name) > 30:
                faults.append(_("Line %(line)s: a name has at most 30 characters.") % {"line": number})
            known = wanted.setdefault(name, {})
            for tag in tags:
                known.setdefault(tag, number)
        if len(wanted) > MOST_OBJECTS:
            faults.append(_("At most %(number)s lines.") % {"number": MOST_OBJECTS})
        named = {tag for tags in wanted.values() for tag in tags}
        found = {tag.name: tag for tag in Tag.objects.filter(name__in=named)} if named else {}
        for asked in wanted.values():
            faults += [
                _("Line %(line)s: there is no tag “%(name)s”. Make it first, under Tags.") % {"line": line, "name": tag}
                for tag, line in asked.items()
                if tag and tag not in found
            ]
        if faults:
            raise forms.ValidationError(faults)
        return {name: [found[tag] for tag in asked] for name, asked in wanted.items()}


def batch(request: HttpRequest) -> HttpResponse:
    """Show the form, then the preview, then make the codes."""
    form = BatchForm(request.POST or None)
    context: dict[str, Any] = {
        "title": _("New codes by the batch"),
        "zy_object": _("New codes by the batch"),
        "form": form,
        "accounts": OfficialAccount.objects.filter(is_active=True).exists(),
    }
    if request.method != "POST" or not form.is_valid():
        return page_response(request, "touchpoints/batch.html", context, status=422 if form.errors else 200)
    chosen = form.cleaned_data
    plan = services.plan_codes(
        stores=list(chosen["stores"]),
        objects=list(chosen["objects"]),
        tags_of=chosen["objects"],
        parent=chosen["parent"],
        welcome=chosen["welcome"],
        benefit=chosen["benefit"],
    )
    fresh = [each for each in plan if not each.exists]
    meter = selectors.code_meters([chosen["account"]], now=now())[0]
    left = meter.left
    context.update(
        plan=plan[:MOST_CODES],
        fresh=len(fresh),
        skipped=len(plan) - len(fresh),
        left=left,
        limit=meter.limit,
        after=left - len(fresh),
        too_many=len(fresh) > MOST_CODES,
        most=MOST_CODES,
    )
    if "create" not in request.POST or not fresh or context["too_many"]:
        return page_response(request, "touchpoints/batch.html", context)
    return _create(request, chosen, plan)


def _create(request: HttpRequest, chosen: dict[str, Any], plan: list[services.PlannedCode]) -> HttpResponse:
    zone = ZoneInfo(brand_of(request).timezone)
    ends = chosen["ends_on"] and datetime.combine(chosen["ends_on"], time.max, zone)
    try:
        made = services.create_touchpoints(
            plan=plan,
            account=chosen["account"],
            parent=chosen["parent"],
            at=now(),
            tags=list(chosen["tags"]),
            is_permanent=chosen["is_permanent"],
            ends_at=ends or None,
            gives=on_screen.chosen_pair(chosen["gives"]),
        )
    except AppError as error:
        messages.error(request, f"{error.message} {error.hint}")
        return HttpResponseRedirect(request.path)
    services.make_codes(brand_of(request).pk, [each.pk for each in made])
    said = ngettext(
        "%(number)s code was created. WeChat is drawing it; print it when it is ready.",
        "%(number)s codes were created. WeChat is drawing them; print them when they are ready.",
        len(made),
    )
    if made:
        messages.success(request, said % {"number": len(made)})
    else:
        messages.info(request, _("All of these codes exist already; nothing was created."))
    parent = chosen["parent"]
    sheet = reverse("admin:touchpoints_touchpoint_sheet") + (f"?channel={parent.pk}" if parent else "")
    return HttpResponseRedirect(sheet)
