"""Leaving a person out of rewards, marketing and reports: the page, and the block on the card."""

from __future__ import annotations

from datetime import datetime, time
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.db.models import Exists, OuterRef
from django.http import Http404, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.utils.translation import gettext

from common.clock import now
from common.errors import AppError
from console import formats
from console.admin import site
from console.http import viewer_of
from console.person import marked
from console.registry import Page, Panel, pages, panels, person_marks
from members import services
from members.errors import FlagInvalid
from members.models import Flag, FlagKind, Member
from members.selectors import records_within

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponseBase


def member_flags(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Show who left somebody out and since when; leave them out, or let them in again."""
    viewer = viewer_of(request)
    member = records_within(viewer).filter(pk=pk).first()
    if member is None:
        raise Http404
    services.note_opened(member_id=member.pk, page="flags", at=now())
    may = viewer.can("members.merge")
    if request.method == "POST":
        viewer.require("members.merge")
        try:
            messages.success(request, _act(request, member))
        except AppError as error:
            messages.error(request, f"{error.message} {error.hint}".strip())
        return HttpResponseRedirect(reverse("admin:members_member_flags", args=[member.pk]))
    rows = list(Flag.objects.filter(member=member).order_by("pk"))
    context = {
        **site.each_context(request),
        "title": gettext("Leave out"),
        "zy_object": str(member),
        "zy_deeper": True,
        "member": member,
        "rows": [{"row": row, "since": _since(row)} for row in rows],
        "kinds": FlagKind.choices,
        "may": may,
        "today": formats.local(now()).date().isoformat(),
        "member_link": reverse("admin:members_member_change", args=[member.pk]),
    }
    return TemplateResponse(request, "members/flags.html", context)


def _act(request: HttpRequest, member: Member) -> str:
    facts: dict[str, Any] = {
        "member_id": member.pk,
        "kind": request.POST.get("kind", ""),
        "reason": request.POST.get("reason", ""),
        "by": viewer_of(request).label,
        "at": now(),
    }
    if request.POST.get("act") == "clear":
        if request.POST.get("how") == "from":
            day = request.POST.get("until", "")
            services.clear_flag(until=_moment(day, "until") or facts["at"], **facts)
            return gettext("Let in again from that day on; what was left out until then stays left out.")
        services.clear_flag(**facts)
        return gettext("Let in again: reports are as if the flag had never been.")
    if request.POST.get("act") != "set":
        raise Http404
    services.set_flag(since=_moment(request.POST.get("since", ""), "since"), **facts)
    return gettext("Left out: no rewards, no marketing, and reports are restated.")


def _moment(text: str, field: str) -> datetime | None:
    if not text:
        return None
    try:
        day = parse_date(text)
    except ValueError:
        day = None
    if day is None:
        raise FlagInvalid(field)
    return timezone.make_aware(datetime.combine(day, time(0)))


def _since(row: Flag) -> str:
    begins = gettext("from the start") if row.since is None else formats.local_time(row.since)
    if row.until is None:
        return begins
    return gettext("%(begins)s until %(ends)s") % {"begins": begins, "ends": formats.local_time(row.until)}


_PAGE = Page("members/flags/<int:pk>/", member_flags, "members_member_flags", "members")
pages.register(_PAGE.name, _PAGE)


person_marks.register("members.flags", lambda: Exists(Flag.objects.filter(member=OuterRef("pk"))))


@panels.add("members.flags")
def flags_panel(member: Member, request: HttpRequest) -> Panel | None:
    """Say on the card that somebody is left out."""
    if not marked(member, "members.flags"):
        return None
    link = reverse("admin:members_member_flags", args=[member.pk])
    flags = list(Flag.objects.filter(member=member).order_by("pk"))
    if not flags:
        return None
    rows: list[dict[str, Any]] = [
        {"label": row.get_kind_display(), "value": _since(row), "why": row.reason, "link": link} for row in flags
    ]
    holds = any(row.until is None for row in flags)
    title = gettext("Left out of rewards, marketing and reports") if holds else gettext("Was left out of reports")
    return Panel(title, "console/panel_facts.html", {"rows": rows}, 5)
