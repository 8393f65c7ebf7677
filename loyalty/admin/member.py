"""One member's points: balance, lots, ledger, freezes, tier; corrections and locks; and the block on their card."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef
from django.http import Http404, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.dateparse import parse_date
from django.utils.translation import gettext, gettext_lazy, pgettext, pgettext_lazy

from common.clock import now
from common.days import OUT_OF_YEARS, in_years
from common.errors import AppError
from console import formats
from console.admin import site
from console.http import row_id, viewer_of
from console.person import marked, once
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
from loyalty import on_screen, services
from loyalty.errors import AdjustmentRefused, TierRefused
from loyalty.models import Fact, FactKind, Journal, Tier, TierChangeKind
from loyalty.selectors import points as selectors
from loyalty.selectors import tiers as tier_selectors
from loyalty.selectors.facts import facts_of
from loyalty.services import Operation
from members.opened import shows
from members.selectors import records_within
from members.services import note_opened

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponseBase

    from members.models import Member

A_PAGE = 50


def _whole(text: str) -> int:
    """Read a number of points as people type it: with commas, in full width, with a sign."""
    plain = text.strip().replace(",", "").replace("，", "").replace("−", "-")
    digits = plain.removeprefix("+").removeprefix("-")
    if not digits.isdigit() or len(digits) > 10:
        raise AdjustmentRefused(
            gettext("Nothing was done. “%(text)s” is no whole number of points.") % {"text": text[:20]},
            hint=gettext("Enter a number such as 500; below zero takes points away."),
            field="points",
        )
    return int(plain)


def member_points(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Show a member's points and tier; correct them; lock the tier."""
    member = records_within(viewer_of(request)).filter(pk=pk).first()
    if member is None:
        raise Http404
    note_opened(member_id=member.pk, page="points", at=now())
    if request.method == "POST":
        return _act(request, member)
    at = now()
    before = row_id(request.GET.get("before"))
    rows = selectors.ledger_of(member.pk).select_related("other")
    if before is not None:
        rows = rows.filter(pk__lt=before)
    page = list(rows[: A_PAGE + 1])
    balance, view = selectors.balance_of(member.pk), tier_selectors.view_of(member.pk, at=at)
    settings = selectors.policy()
    viewer = viewer_of(request)
    context = {
        **site.each_context(request),
        "title": gettext("Points and tier"),
        "zy_object": str(member),
        "zy_deeper": True,
        "member": member,
        "balance": balance,
        "lots": [
            {
                "row": lot,
                "source": on_screen.sentence(lot.journal),
                "last_day": formats.local(lot.expires_at - timedelta(microseconds=1)) if lot.expires_at else None,
            }
            for lot in selectors.lots_of(member.pk)
        ],
        "endings": selectors.endings_of(member.pk, at=at, days=settings.warn_days),
        "warn_days": settings.warn_days,
        "holds": selectors.holds_of(member.pk),
        "entries": [_entry(row) for row in page[:A_PAGE]],
        "older": page[A_PAGE - 1].pk if len(page) > A_PAGE else None,
        "view": view,
        "benefits": [
            on_screen.benefit_sentence(each) for each in tier_selectors.benefits_of(view.tier.pk if view.tier else None)
        ],
        "changes": [
            {"row": row, "label": TierChangeKind(row.kind).label}
            for row in tier_selectors.changes_of(member.pk, limit=20)
        ],
        "tiers": tier_selectors.tiers(),
        "may_adjust": viewer.can("points.adjust"),
        "may_lock": viewer.can("points.edit"),
        "limit": settings.adjust_limit,
        "key": f"{member.pk}:{at.isoformat()}",
        "at": at,
        "member_link": reverse("admin:members_member_change", args=[member.pk]),
    }
    return TemplateResponse(request, "loyalty/member.html", context)


def _entry(row: Journal) -> dict[str, Any]:
    return {
        "row": row,
        "sentence": on_screen.sentence(row),
        "because": on_screen.because(row),
        "signed": on_screen.signed(row),
    }


def _act(request: HttpRequest, member: Member) -> HttpResponseRedirect:
    acts = {"adjust": ("points.adjust", _adjust), "reinstate": ("points.adjust", _reinstate)}
    acts |= {"lock": ("points.edit", _lock), "unlock": ("points.edit", _unlock)}
    capability, act = acts.get(request.POST.get("act", ""), ("", None))
    if act is None:
        raise Http404
    if not viewer_of(request).can(capability):
        raise PermissionDenied
    try:
        messages.success(request, act(request, member))
    except AppError as error:
        messages.error(request, f"{error.message} {error.hint}".strip())
    return HttpResponseRedirect(reverse("admin:members_member_points", args=[member.pk]))


def _adjust(request: HttpRequest, member: Member) -> str:
    done = services.adjust_points(
        member_id=member.pk,
        points=_whole(request.POST.get("points", "")),
        reason=request.POST.get("reason", ""),
        at=now(),
        key=request.POST.get("key", "")[:80],  # tapping twice sends the same form twice
    )
    if done.journal_id:
        return gettext("Adjusted by %(points)s points.") % {"points": f"{done.points:+,}"}
    if done.earlier:
        said = gettext("Waits for a second person: with %(points)s points of the last 24 hours it is above the limit.")
        return said % {"points": formats.count(done.earlier)}
    return gettext("Waits for a second person: it is above the limit.")


def _reinstate(request: HttpRequest, member: Member) -> str:
    viewer = viewer_of(request)
    key = f"reinstate:{member.pk}:{now().isoformat()}"
    journal = services.reinstate_points(
        operation=Operation(f"staff:{viewer.staff_id}", key), member_id=member.pk, reason=viewer.label[:100], at=now()
    )
    return gettext("%(points)s expired points came back.") % {"points": formats.count(journal.points)}


def _lock(request: HttpRequest, member: Member) -> str:
    tier = Tier.objects.filter(pk=row_id(request.POST.get("tier")) or 0).first()
    try:
        day = parse_date(request.POST.get("until", ""))
    except ValueError:
        day = None
    if tier is None or day is None:
        raise TierRefused(
            gettext("Not locked. A tier and a day are needed."), hint=gettext("Choose both and try again.")
        )
    if not in_years(day):
        raise TierRefused(gettext("Not locked. The day is too far away."), hint=str(OUT_OF_YEARS), field="until")
    until = datetime.combine(day + timedelta(days=1), time(0), tzinfo=selectors.zone())
    services.lock_tier(member_id=member.pk, tier=tier, until=until, reason=request.POST.get("reason", ""), at=now())
    return gettext("“%(tier)s” is kept until %(day)s.") % {"tier": tier.name, "day": day.isoformat()}


def _unlock(request: HttpRequest, member: Member) -> str:
    services.unlock_tier(member_id=member.pk, reason=request.POST.get("reason", ""), at=now())
    return gettext("Unlocked: the next evaluation decides.")


_PAGE = Page("loyalty/member/<int:pk>/", member_points, "members_member_points", "members")
pages.register(_PAGE.name, _PAGE)


# --- what the card and the timeline show -----------------------------------------------------------------------------


def card_on(member: Member) -> tier_selectors.Card:
    """Give what a person's card says of points and tier; asked once a page."""
    return once(member, "points and tier", lambda: tier_selectors.card_of(member.pk, at=now()))


@panels.add("loyalty.points")
def points_of(member: Member, request: HttpRequest) -> Panel | None:
    """Show balance, what ends soon, and the tier."""
    found = card_on(member)
    link = reverse("admin:members_member_points", args=[member.pk])
    why = gettext("%(held)s frozen") % {"held": formats.count(found.balance.held)} if found.balance.held else ""
    rows = [
        {
            "label": pgettext("loyalty", "Points"),
            "value": formats.count(found.balance.spendable),
            "link": link,
            "why": why,
        }
    ]
    if found.ends_at is not None:
        last = formats.local_time(formats.local(found.ends_at - timedelta(microseconds=1)).date())
        can = gettext("can be spent until %(day)s") % {"day": last}
        rows.append({"label": gettext("Ends soon"), "value": formats.count(found.ending), "link": "", "why": can})
    if found.tier is not None:
        missing = gettext("the highest tier")
        if found.next_tier is not None:
            words = {"value": formats.count(found.missing), "tier": found.next_tier}
            missing = gettext("%(value)s more for “%(tier)s”") % words
        rows.append({"label": gettext("Tier"), "value": found.tier, "link": link, "why": missing})
    return Panel(gettext("Points and tier"), "console/panel_facts.html", {"rows": rows, "hint": ""}, 20)


timeline_kinds.register("loyalty.points", TimelineKind(pgettext_lazy("loyalty", "Points"), order=40))


@timelines.add("loyalty.points")
def moments(member: Member, limit: int) -> list[Moment]:
    """Give what happened to a member's points."""
    rows = selectors.ledger_of(member.pk).select_related("other")[:limit]
    link = reverse("admin:members_member_points", args=[member.pk])
    return [
        Moment(
            at=row.at,
            sentence=on_screen.sentence(row),
            kind=pgettext("loyalty", "Points"),
            detail=on_screen.because(row),
            link=link,
        )
        for row in rows
    ]


person_marks.register("loyalty.facts", lambda: Exists(Fact.objects.filter(member=OuterRef("pk"))))
timeline_kinds.register("loyalty.facts", TimelineKind(gettext_lazy("Purchases and visits"), order=35))


@timelines.add("loyalty.facts")
def reported(member: Member, limit: int) -> list[Moment]:
    """Give what systems reported that somebody bought, sent back and did, whether or not points came of it."""
    if not marked(member, "loyalty.facts"):
        return []
    rows = facts_of(member.pk).order_by("-happened_at", "-pk")[:limit]
    link = reverse("admin:members_member_points", args=[member.pk])
    return [
        Moment(
            at=row.happened_at,
            sentence=on_screen.fact_sentence(row),
            kind=str(FactKind(row.kind).label),
            detail=on_screen.fact_detail(row),
            link=link,
            tone="warning" if row.kind == FactKind.REFUND else "",
        )
        for row in rows
    ]


shows("points", gettext_lazy("Points and tier"), "name", "points", "purchases")
