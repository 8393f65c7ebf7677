"""The page of tags that wait for people: a list of phones or UnionIDs, and what came of earlier lists."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import messages
from django.db.models import Count, Max, Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from common.clock import now
from common.errors import AppError
from console.http import viewer_of
from console.registry import Page, Tab, nav, pages
from console.site import page_response
from members import services
from members.errors import PhoneInvalid, PreTagInvalid
from members.models import IdentityKind, PreTag, Tag
from members.services.identity import normalised_phone
from members.services.pre_tags import MOST_AT_ONCE, SOURCE_LENGTH

if TYPE_CHECKING:
    from datetime import datetime

LISTS = 50
_SPLIT = re.compile(r"[\n,，、;；\t]+")
_UNIONID = re.compile(r"[A-Za-z0-9_-]{6,64}")


class PreTagForm(forms.Form):
    """A list: whose, which tag, for how long."""

    kind = forms.ChoiceField(
        label=gettext_lazy("The list has"),
        choices=[(IdentityKind.PHONE.value, gettext_lazy("phones")), (IdentityKind.UNIONID.value, "UnionID")],
        widget=UnfoldAdminSelectWidget(),
    )
    values = forms.CharField(
        label=gettext_lazy("Phones or UnionIDs"),
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 5}),
        max_length=MOST_AT_ONCE * 70,
        help_text=gettext_lazy("One a line, up to 1,000. Of phones only a fingerprint is kept that recognises them."),
    )
    tag: Any = forms.ModelChoiceField(
        queryset=None,
        label=gettext_lazy("Tag"),
        empty_label=gettext_lazy("Choose a tag"),
        widget=UnfoldAdminSelectWidget(),
    )
    source = forms.CharField(
        label=gettext_lazy("Where the list comes from"),
        max_length=SOURCE_LENGTH,
        widget=UnfoldAdminTextInputWidget(),
    )
    wait_days = forms.IntegerField(
        label=gettext_lazy("Waits for days"),
        required=False,
        min_value=1,
        max_value=3650,
        widget=UnfoldAdminIntegerFieldWidget(),
        help_text=gettext_lazy("Whoever comes later gets no tag. Empty: it waits for good."),
    )
    tag_days = forms.IntegerField(
        label=gettext_lazy("The tag ends after days"),
        required=False,
        min_value=1,
        max_value=3650,
        widget=UnfoldAdminIntegerFieldWidget(),
        help_text=gettext_lazy("Counted from today. Empty: as the dictionary says."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Offer the brand's tags."""
        super().__init__(*args, **kwargs)
        self.fields["tag"].queryset = Tag.objects.order_by("name", "pk")  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        """Read the lines; each that is no phone or no UnionID is named by its number."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        lines = [line.strip() for line in _SPLIT.split(cleaned.get("values", "")) if line.strip()]
        found, bad = [], []
        for number, line in enumerate(lines, start=1):
            try:
                found.append(_read(cleaned.get("kind", ""), line))
            except PhoneInvalid:
                bad.append(str(number))
        if bad:
            said = _("These lines cannot be used: %(lines)s.")
            shown = _(", ").join(bad[:10]) + ("…" if len(bad) > 10 else "")
            self.add_error("values", said % {"lines": shown})
        cleaned["found"] = found
        return cleaned


def _read(kind: str, line: str) -> str:
    if kind == IdentityKind.PHONE:
        return normalised_phone(line)
    if not _UNIONID.fullmatch(line):
        raise PhoneInvalid
    return line


def pre_tags(request: HttpRequest) -> HttpResponse:
    """Show what waits and what came of earlier lists; take a list."""
    viewer, at = viewer_of(request), now()
    can_edit = viewer.can("tags.edit")
    form = PreTagForm(request.POST or None)
    if request.method == "POST":
        viewer.require("tags.edit")
        if form.is_valid() and _take(request, form, at):
            return HttpResponseRedirect(request.path)
    live = Q(applied_at=None) & (Q(valid_until=None) | Q(valid_until__gt=at))
    lists = (
        PreTag.objects.values("source", "tag__name")
        .annotate(
            waiting=Count("pk", filter=live),
            applied=Count("pk", filter=Q(applied_at__isnull=False)),
            newest=Max("at"),
        )
        .order_by("-newest", "source", "tag__name")[:LISTS]
    )
    context = {
        "title": _("Tags waiting for people"),
        "can_edit": can_edit,
        "form": form,
        "lists": [row | {"source": row["source"].removeprefix("list: ")} for row in lists],
    }
    return page_response(request, "members/tags/waiting.html", context, status=422 if form.errors else 200)


def _take(request: HttpRequest, form: PreTagForm, at: datetime) -> bool:
    given = form.cleaned_data
    ends = {name: at + timedelta(days=given[name]) if given[name] else None for name in ("wait_days", "tag_days")}
    try:
        done = services.pre_tag(
            kind=given["kind"],
            values=given["found"],
            tag_ids=[given["tag"].pk],
            source=given["source"],
            at=at,
            valid_until=ends["wait_days"],
            tag_until=ends["tag_days"],
        )
    except PreTagInvalid as error:
        form.add_error(error.field if error.field in form.fields else None, error.message)
        return False
    except AppError as error:
        form.add_error(None, error.message)
        return False
    said = _("%(tagged)s were known and are tagged, %(waiting)s wait, %(repeated)s waited already.")
    messages.success(request, said % vars(done))
    return True


nav.register("members.pre_tags", Tab("members", gettext_lazy("Tags waiting for people"), "pre_tags", "tags", 33))
pages.register("pre_tags", Page("tags/waiting/", pre_tags, "pre_tags", "tags"))
