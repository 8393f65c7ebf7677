"""Pages of guides beside their list: how long they keep members, and giving members to another guide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy, ngettext, pgettext

from common.clock import now
from common.errors import AppError
from console.http import viewer_of
from console.registry import Page, pages
from console.site import page_response
from guides import services
from guides.models import Assignment, Guide
from guides.selectors import in_reach, member_counts, policy
from members.selectors import visible_members

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponseBase


class _Dressed(forms.Form):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.widget.attrs["class"] = "zy-input"


class RulesForm(_Dressed):
    """How long a guide keeps a member."""

    protected_days = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=services.MOST_DAYS,
        label=gettext_lazy("Protected for so many days"),
        help_text=gettext_lazy(
            "So long another guide's code changes nothing; afterwards it takes the member over. Empty: for ever, "
            "or as long as the relation is valid. A guide who has left protects nobody."
        ),
    )
    valid_days = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=services.MOST_DAYS,
        label=gettext_lazy("Valid for so many days"),
        help_text=gettext_lazy(
            "After that the member has no guide until the next guide's code, also their own one's. Empty: for ever."
        ),
    )


class HandOverForm(_Dressed):
    """To whom, and why."""

    guide: Any = forms.ModelChoiceField(queryset=None, label=gettext_lazy("Guide"))
    reason = forms.CharField(
        min_length=2,
        max_length=100,
        label=gettext_lazy("Reason"),
        help_text=gettext_lazy("It stands in each member's history and in the audit log."),
    )

    def __init__(self, *args: Any, offered: Any, **kwargs: Any) -> None:
        """Offer the working guides whom the person may see."""
        super().__init__(*args, **kwargs)
        self.fields["guide"].queryset = offered  # type: ignore[attr-defined]


def rules_page(request: HttpRequest) -> HttpResponseBase:
    """Show and change how long guides keep members; for those who see the whole brand."""
    viewer = viewer_of(request)
    if not viewer.can("guides.edit") or viewer.scope != "BRAND":
        raise PermissionDenied
    rules = policy()
    initial = {"protected_days": rules.protected_days, "valid_days": rules.valid_days}
    form = RulesForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            services.set_policy(at=now(), **form.cleaned_data)
        except AppError as error:
            form.add_error(error.field or None, f"{error.message} {error.hint}".strip())
        else:
            messages.success(request, gettext("Saved."))
            return HttpResponseRedirect(reverse("admin:guides_guide_changelist"))
    return _form_page(request, form, gettext("Rules of exclusive guides"), gettext("Save"), _list_link())


def member_page(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Give one member to another guide."""
    member = visible_members(viewer_of(request)).filter(pk=pk).first()
    if member is None:
        raise Http404
    back = reverse("admin:members_member_change", args=[member.pk])

    def done(changed: int, guide: Guide) -> str:
        return gettext("%(guide)s looks after them now.") % {"guide": guide}

    title = gettext("Exclusive guide of %(name)s") % {"name": member}
    return _hand_over(request, [member.pk], _working(request), title, back, done)


def guide_page(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Give all members of a guide, as far as one sees them, to another guide."""
    viewer = viewer_of(request)
    guide = in_reach(viewer, Guide.objects.filter(pk=pk)).first()
    if guide is None:
        raise Http404
    theirs = Assignment.objects.filter(guide=guide, until__isnull=True).values("member_id")
    ids = list(visible_members(viewer).filter(pk__in=theirs).order_by("pk").values_list("pk", flat=True))
    hidden = member_counts([guide.pk]).get(guide.pk, 0) - len(ids)
    count = ngettext("%(number)s member of %(guide)s", "%(number)s members of %(guide)s", len(ids))
    title = gettext("Hand over %(members)s") % {"members": count % {"number": f"{len(ids):,}", "guide": guide.name}}

    def done(changed: int, to: Guide) -> str:
        said = ngettext(
            "%(number)s member is looked after by %(guide)s now.",
            "%(number)s members are looked after by %(guide)s now.",
            changed,
        ) % {"number": f"{changed:,}", "guide": to}
        return f"{said} {_hidden(hidden)}".strip()

    back = reverse("admin:guides_guide_change", args=[guide.pk])
    return _hand_over(request, ids, _working(request).exclude(pk=guide.pk), title, back, done)


def _hidden(number: int) -> str:
    if number < 1:
        return ""
    said = ngettext(
        "%(number)s member outside your stores stays.", "%(number)s members outside your stores stay.", number
    )
    return said % {"number": f"{number:,}"}


def _hand_over(
    request: HttpRequest, ids: list[int], offered: Any, title: str, back: str, done: Callable[[int, Guide], str]
) -> HttpResponseBase:
    viewer_of(request).require("guides.edit")
    form = HandOverForm(request.POST or None, offered=offered)
    if request.method == "POST" and form.is_valid():
        guide = form.cleaned_data["guide"]
        try:
            changed = services.hand_over(member_ids=ids, guide=guide, reason=form.cleaned_data["reason"], at=now())
        except AppError as error:
            form.add_error(None, f"{error.message} {error.hint}".strip())
        else:
            messages.success(request, done(changed, guide))
            return HttpResponseRedirect(back)
    return _form_page(request, form, title, pgettext("guides", "Hand over"), back)


def _working(request: HttpRequest) -> Any:
    return in_reach(viewer_of(request), Guide.objects.filter(is_active=True)).order_by("staff_no", "pk")


def _list_link() -> str:
    return reverse("admin:guides_guide_changelist")


def _form_page(request: HttpRequest, form: forms.Form, title: str, verb: str, back: str) -> HttpResponseBase:
    context = {"title": title, "zy_deeper": True, "form": form, "list_link": back, "verb": verb}
    return page_response(request, "console/connect.html", context, status=422 if form.errors else 200)


for _page in (
    Page("guides/rules/", rules_page, "guides_rules", "guides", "edit"),
    Page("guides/member/<int:pk>/", member_page, "members_member_guide", "guides", "edit"),
    Page("guides/hand-over/<int:pk>/", guide_page, "guides_guide_hand_over", "guides", "edit"),
):
    pages.register(_page.name, _page)
