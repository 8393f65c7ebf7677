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
from console.code import code_svg
from console.http import row_id, viewer_of
from console.registry import Page, Tab, nav, pages
from console.site import page_response
from guides import services
from guides.models import Assignment, Guide
from guides.selectors import in_reach, joinings_in_reach, member_counts, policy
from members import services as member_services
from members.errors import SmsCodeRefused
from members.opened import Way, shows
from members.selectors import purposes, texts_in_force, visible_members
from members.services.identity import masked_phone, normalised_phone

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

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
    member_services.note_opened(member_id=member.pk, page="guide", at=now())
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


PRINTED = "printed"  # the version where the brand publishes no text here: the one printed in the store


def join_page(request: HttpRequest) -> HttpResponseBase:
    """Make somebody in the store a member: by the code their phone gets, or by the join code that they scan."""
    at, offered = now(), list(_working(request).select_related("store")[:500])
    wanted = row_id(request.POST.get("guide") or request.GET.get("guide"))
    guide = next((each for each in offered if each.pk == wanted), offered[0] if offered else None)
    if request.method == "GET" and request.GET.get("part") == "code":
        return page_response(request, "guides/_join_code.html", {"title": "", **_shown(guide, at)})
    shown: dict[str, Any] = {
        "phone": request.POST.get("phone", "")[:24],
        "name": request.POST.get("name", "")[:60],
        "code": request.POST.get("code", "")[:10],
        "agreed": request.POST.getlist("purpose"),
    }
    if request.method == "POST":
        if guide is None or (wanted is not None and guide.pk != wanted):
            raise Http404
        try:
            if request.POST.get("act") == "join":
                return _join(request, guide, shown)
            shown |= _send(request, shown)
        except AppError as error:
            shown["error"], shown["hint"] = error.message, error.hint
            shown["sent"] = request.POST.get("act") == "join"
    recent = joinings_in_reach(viewer_of(request))
    member_services.note_listed(people=[each.member_id for each in recent], page="guides.joined", at=at)
    context = {
        "title": gettext("Join in the store"),
        "offered": offered,
        "guide": guide,
        "shown": shown,
        "texts": _texts(at),
        "recent": recent,
        "sends": bool(member_services.sms_settings().way),
        **_shown(guide, at),
    }
    return page_response(request, "guides/join.html", context, status=422 if shown.get("error") else 200)


def _shown(guide: Guide | None, at: datetime) -> dict[str, Any]:
    if guide is None:
        return {"guide": None}
    shown = services.join_code(guide=guide, at=at)
    return {"guide": guide, "join_code": shown.code, "join_svg": code_svg(shown.code)}


def _texts(at: datetime) -> list[dict[str, str]]:
    texts = texts_in_force(at=at)
    return [
        {
            "purpose": purpose,
            "label": label,
            "version": texts[purpose].version if purpose in texts else PRINTED,
            "body": texts[purpose].body if purpose in texts else "",
        }
        for purpose, label in purposes()
    ]


def _send(request: HttpRequest, shown: dict[str, Any]) -> dict[str, Any]:
    member_services.ask_code(phone=shown["phone"], asker=f"staff:{viewer_of(request).staff_id}", address="", at=now())
    return {"sent": True, "masked": masked_phone(normalised_phone(shown["phone"]))}


def _join(request: HttpRequest, guide: Guide, shown: dict[str, Any]) -> HttpResponseBase:
    viewer, at = viewer_of(request), now()
    versions = {each["purpose"]: each["version"] for each in _texts(at)}
    joined = services.join_at_counter(
        phone=shown["phone"],
        code=shown["code"].strip(),
        guide=guide,
        agreed={purpose: versions[purpose] for purpose in shown["agreed"] if purpose in versions},
        asker=f"staff:{viewer.staff_id}",
        by=viewer.label,
        name=shown["name"].strip(),
        at=at,
    )
    if joined is None:
        raise SmsCodeRefused
    words = {"member": joined.member, "number": joined.member.member_no}
    if joined.is_new:
        messages.success(request, gettext("%(member)s has joined. Member number %(number)s.") % words)
    else:
        messages.success(request, gettext("%(member)s was a member before. Member number %(number)s.") % words)
    return HttpResponseRedirect(f"{reverse('admin:guides_join')}?guide={guide.pk}")


for _page in (
    Page("guides/join/", join_page, "guides_join", "counter"),
    Page("guides/rules/", rules_page, "guides_rules", "guides", "edit"),
    Page("guides/member/<int:pk>/", member_page, "members_member_guide", "guides", "edit"),
    Page("guides/hand-over/<int:pk>/", guide_page, "guides_guide_hand_over", "guides", "edit"),
):
    pages.register(_page.name, _page)

nav.register("guides.join", Tab("guides", gettext_lazy("Join in the store"), "guides_join", "counter", 30))


shows("guide", gettext_lazy("Exclusive guide"), "name", "relations")
shows("guides.joined", gettext_lazy("Joined in the store"), "name", "relations", way=Way.LIST)
