"""One member's coupons: how each stands and everything that happened to it; giving one, taking one back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef
from django.http import Http404, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy, ngettext, pgettext

from common.clock import now
from common.errors import AppError
from console import formats
from console.admin import site
from console.http import row_id, viewer_of
from console.person import marked
from console.registry import (
    Moment,
    Page,
    Panel,
    TimelineKind,
    pages,
    panels,
    person_marks,
    timeline_kinds,
    timelines,
)
from coupons import on_screen, services
from coupons.models import Coupon, Outcome, ScanGrant, State, Template, TemplateState
from coupons.rules import read
from coupons.selectors import coupons as selectors
from coupons.selectors.scans import reason
from coupons.words import rule_sentence
from loyalty.services import Operation
from members.opened import shows
from members.selectors import records_within
from members.services import note_opened

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponseBase

    from accounts.viewer import Viewer
    from coupons.models import Move
    from members.models import Member

A_PAGE = 30


def member_coupons(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Show a member's coupons; give one; take one back; undo a redemption."""
    member = records_within(viewer_of(request)).filter(pk=pk).first()
    if member is None:
        raise Http404
    note_opened(member_id=member.pk, page="coupons", at=now())
    if request.method == "POST":
        return _act(request, member)
    at, viewer = now(), viewer_of(request)
    before = row_id(request.GET.get("before"))
    rows = selectors.coupons_of(member.pk)
    if before is not None:
        rows = rows.filter(pk__lt=before)
    page = list(rows[: A_PAGE + 1])
    moves = selectors.moves_of([row.pk for row in page])
    context = {
        **site.each_context(request),
        "title": gettext("Coupons"),
        "zy_object": str(member),
        "zy_deeper": True,
        "member": member,
        "coupons": [_coupon(row, moves.get(row.pk, []), viewer, at) for row in page[:A_PAGE]],
        "older": page[A_PAGE - 1].pk if len(page) > A_PAGE else None,
        "templates": _templates(viewer) if viewer.can("coupons.give") else [],
        "may_give": viewer.can("coupons.give"),
        "key": f"{member.pk}:{at.isoformat()}",
        "at": at,
        "member_link": reverse("admin:members_member_change", args=[member.pk]),
    }
    return TemplateResponse(request, "coupons/member.html", context)


def _templates(viewer: Viewer) -> list[Any]:
    rows = Template.objects.filter(state=TemplateState.ACTIVE)
    if not viewer.can("coupons.edit"):
        rows = rows.filter(by_guides=True)
    return list(rows.order_by("name", "pk")[:200])


def _coupon(row: Coupon, moves: list[Move], viewer: Viewer, at: Any) -> dict[str, Any]:
    state = on_screen.state_at(row, at)
    return {
        "row": row,
        "name": row.version.name,
        "sentence": rule_sentence(read(row.version.rule)),
        "state": state.label,
        "tone": on_screen.STATE_TONES[state],
        "moves": [
            {"row": move, "sentence": on_screen.sentence(move, row.version.name), "because": on_screen.because(move)}
            for move in reversed(moves)
        ],
        "may_void": viewer.can("coupons.edit") and state in (State.UNUSED, State.HELD),
    }


def _act(request: HttpRequest, member: Member) -> HttpResponseRedirect:
    acts = {"give": ("coupons.give", _give), "void": ("coupons.edit", _void)}
    capability, act = acts.get(request.POST.get("act", ""), ("", None))
    if act is None:
        raise Http404
    if not viewer_of(request).can(capability):
        raise PermissionDenied
    try:
        messages.success(request, act(request, member))
    except AppError as error:
        if error.status == 404:
            raise
        messages.error(request, f"{error.message} {error.hint}".strip())
    return HttpResponseRedirect(reverse("admin:members_member_coupons", args=[member.pk]))


def _operation(request: HttpRequest, name: str) -> Operation:
    """Tapping twice sends the same form twice: its key makes that one act."""
    return Operation(f"staff:{viewer_of(request).staff_id}", f"{name}:{request.POST.get('key', '')[:90]}")


def _give(request: HttpRequest, member: Member) -> str:
    template = Template.objects.filter(pk=row_id(request.POST.get("template")) or 0).first()
    if template is None:
        raise Http404
    services.hand_out(
        operation=_operation(request, f"give-{template.pk}"),
        template=template,
        member_id=member.pk,
        reason=request.POST.get("reason", ""),
        at=now(),
    )
    return gettext("“%(name)s” is theirs.") % {"name": template.name}


def _void(request: HttpRequest, member: Member) -> str:
    coupon = Coupon.objects.filter(pk=row_id(request.POST.get("coupon")) or 0, member=member).first()
    if coupon is None:
        raise Http404
    services.void_coupon(
        operation=_operation(request, f"void-{coupon.pk}"),
        coupon_id=coupon.pk,
        reason=request.POST.get("reason", ""),
        at=now(),
    )
    return gettext("Taken back.")


_PAGE = Page("coupons/member/<int:pk>/", member_coupons, "members_member_coupons", "members")
pages.register(_PAGE.name, _PAGE)


@panels.add("coupons.coupons")
def coupons_of(member: Member, request: HttpRequest) -> Panel | None:
    """Show the coupons that can be used, soonest ending first."""
    at = now()
    rows = selectors.coupons_of(member.pk).filter(state__in=[State.UNUSED, State.HELD], valid_until__gt=at)
    found = list(rows.order_by("valid_until", "pk")[:6])
    link = reverse("admin:members_member_coupons", args=[member.pk])
    shown = [
        {
            "label": row.version.name,
            "value": gettext("until %(when)s") % {"when": formats.local_time(row.valid_until)},
            "link": link,
            "why": str(State.HELD.label) if row.state == State.HELD else "",
        }
        for row in found[:5]
    ]
    count = ngettext("%(count)s coupon can be used", "%(count)s coupons can be used", len(found))
    number = {"count": f"{len(found)}" if len(found) < 6 else "5+"}
    label = {"label": pgettext("coupons", "In hand"), "value": count % number, "link": link, "why": ""}
    return Panel(gettext("Coupons"), "console/panel_facts.html", {"rows": [label, *shown], "hint": ""}, 21)


person_marks.register(
    "coupons.scans",
    lambda: Exists(ScanGrant.objects.filter(member=OuterRef("pk")).exclude(outcome__in=["", Outcome.GIVEN])),
)


def _refused_scans(member: Member, limit: int) -> list[Moment]:
    """Give why codes that somebody scanned gave them no coupon; most people's pages ask nothing."""
    if not marked(member, "coupons.scans"):
        return []
    rows = ScanGrant.objects.filter(member=member).exclude(outcome__in=["", Outcome.GIVEN])
    return [
        Moment(
            at=row.at,
            sentence=gettext("“%(code)s” did not give “%(name)s”") % {"code": row.touchpoint, "name": row.template},
            kind=gettext("Coupons"),
            detail=reason(row.outcome),
            link=reverse("admin:members_member_coupons", args=[member.pk]),
        )
        for row in rows.select_related("touchpoint", "template").order_by("-at", "-pk")[:limit]
    ]


timeline_kinds.register("coupons.coupons", TimelineKind(gettext_lazy("Coupons"), order=45))


@timelines.add("coupons.coupons")
def moments(member: Member, limit: int) -> list[Moment]:
    """Give what happened to a member's coupons, and why codes gave none."""
    rows = selectors.moves_of_member(member.pk).select_related("staff")[:limit]
    link = reverse("admin:members_member_coupons", args=[member.pk])
    given = [
        Moment(
            at=row.at,
            sentence=on_screen.sentence(row, row.coupon.version.name),
            kind=gettext("Coupons"),
            detail=on_screen.because(row),
            link=link,
        )
        for row in rows
    ]
    return given + _refused_scans(member, limit)


shows("coupons", gettext_lazy("Coupons"), "name", "coupons")
