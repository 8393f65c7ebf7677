"""What the page of one channel shows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Q
from django.utils.translation import gettext_lazy

from common.clock import now
from console.code import code_svg
from console.http import viewer_of
from members.opened import Way, shows
from members.selectors import visible_members
from members.services import note_listed
from touchpoints import on_screen, selectors
from touchpoints.models import CodeIssue, Cost, MiniCode, Move, Touch, TouchCase
from touchpoints.services.codes import SAME_CLICK
from wechat_gateway.models import MiniProgram

if TYPE_CHECKING:
    from django.http import HttpRequest

    from touchpoints.models import Touchpoint

LATEST: Final = 12
PATIENCE: Final = timedelta(seconds=60)


def channel_context(request: HttpRequest, row: Touchpoint, *, may_edit: bool) -> dict[str, Any]:
    """Give everything above the form of a channel."""
    options = on_screen.read_options(request)
    nodes = selectors.tree_nodes()
    figures = options.figures(nodes, below=row.pk).nodes[row.pk]
    settled = options.figures(nodes, settled=True)
    codes = [node.pk for node in nodes if node.is_code]
    ranked = {each.touchpoint_id: each for each in selectors.ranking(settled, codes)}
    links = on_screen.RowLinks(options, touchpoint_id=row.pk)
    names = {node.pk: node.name for node in nodes}
    above = selectors.path_of({node.pk: node.parent_id for node in nodes}, row.pk)
    inside = selectors.below(nodes, row.pk)
    return {
        "touchpoint": row,
        "options": options,
        "choices": options.choices(),
        **code_context(request, row, may_edit=may_edit),
        "kind": on_screen.kind_of(row),
        "owner_name": selectors.owner_names([row]).get((row.owner_kind, row.owner_id or 0), ""),
        "above": [names[pk] for pk in above[:-1]],
        "figures": figures,
        "links": links,
        **_benefit(row),
        "funnel": on_screen.funnel(figures, links),
        "cases": [
            {"label": label, "count": figures.cases[case], "link": links[case]}
            for case, label in TouchCase.choices
            if case != TouchCase.STAFF and (case != TouchCase.VISITOR or figures.cases[case])
        ],
        "staff_scans": _staff_scans(inside, options),
        "cohorts": on_screen.cohort_lines(options.cohorts(sorted(inside))),
        "stays": selectors.STAYS,
        "values": on_screen.value_lines(figures, links),
        "quality": ranked.get(row.pk) or selectors.quality(row.pk, settled.nodes[row.pk]),
        "bargain_link": links["bargain_30"] if figures.people("bargain_30") else "",
        "fewest": selectors.FEWEST,
        "issues": CodeIssue.objects.filter(touchpoint=row).order_by("-issued_at", "-pk")[:LATEST],
        "costs": Cost.objects.filter(touchpoint=row).order_by("-starts_on", "-pk")[:LATEST],
        "moves": Move.objects.filter(touchpoint=row).select_related("before", "after").order_by("-at")[:LATEST],
        "carried": MiniCode.objects.filter(touchpoint=row)
        .exclude(sent_by="")
        .select_related("program")
        .defer("picture")
        .order_by("-created_at", "-pk")[:LATEST],
        "minis": MiniCode.objects.filter(touchpoint=row, sent_by="")
        .select_related("program")
        .annotate(drawn=Q(picture__isnull=False))
        .defer("picture")
        .order_by("-created_at", "-pk")[:LATEST],
        "programs": MiniProgram.objects.filter(is_active=True).order_by("pk"),
        "places": [node for node in nodes if not node.is_code and node.pk not in inside and not node.archived_at],
        "latest": _latest(request, inside),
        "codes_below": len(inside & set(codes)),
        "today": options.at.astimezone(options.zone).date(),
    }


def _benefit(row: Touchpoint) -> dict[str, Any]:
    """Say what the code gives and what came of it; a code without a benefit asks nothing."""
    offer = selectors.offers_of([row]).get(row.pk)
    if offer is None:
        return {}
    kind, tally = selectors.benefit_kinds.get(row.benefit_kind), selectors.tally_of(row)
    refused = [{"label": kind.reason(key), "count": number} for key, number in sorted(tally.refused.items())]
    return {"offer": offer, "offer_kind": kind.label, "tally": tally, "refused": refused}


def _latest(request: HttpRequest, inside: set[int]) -> list[dict[str, Any]]:
    rows = selectors.latest_touches(inside, limit=LATEST)
    people = visible_members(viewer_of(request)).filter(pk__in=[row.member_id for row in rows])
    visible = set(people.values_list("pk", flat=True))
    note_listed(people=visible, page="touchpoints.channel", at=now())
    came = selectors.outcomes_of(rows)
    return [
        {
            "row": row,
            "name": str(row.member) if row.member_id in visible else "",
            "member_id": row.member_id if row.member_id in visible else None,
            "case": on_screen.case_label(row.case, row.kind),
            "by": on_screen.sent_by(row.mini_code),
            "is_staff": row.case == TouchCase.STAFF,
            "benefit": came.get((row.touchpoint_id or 0, row.member_id), ""),
            "old_print": bool(row.issue and row.touchpoint and row.issue.ticket != row.touchpoint.ticket),
        }
        for row in rows
    ]


def code_context(request: HttpRequest, row: Touchpoint, *, may_edit: bool) -> dict[str, Any]:
    """Give the part of the page that shows the code itself."""
    at = now()
    health = selectors.code_health([row], now=at).get(row.pk)
    return {
        "touchpoint": row,
        "code": code_svg(row.code_url),
        "state": on_screen.state_of(row, health, at),
        "ailments": [on_screen.ailment_text(each, health) for each in health.ailments] if health else [],
        "waiting": waiting_since(request, row),
        "may_edit": may_edit,
    }


def waiting_since(request: HttpRequest, row: Touchpoint) -> str:
    """Give the moment since which the page waits for a code; nothing once WeChat has answered."""
    text = request.GET.get("waiting", "")
    try:
        asked = datetime.fromtimestamp(float(text), UTC)
    except (ValueError, OverflowError, OSError):
        return ""
    if row.problem or now() - asked > PATIENCE:
        return ""
    return "" if CodeIssue.objects.filter(touchpoint=row, issued_at__gte=asked - SAME_CLICK).exists() else text


def _staff_scans(inside: set[int], options: on_screen.Options) -> int:
    rows = Touch.objects.filter(touchpoint_id__in=inside, case=TouchCase.STAFF, at__lt=options.window.until)
    return (rows.filter(at__gte=options.window.since) if options.window.since else rows).count()


shows("touchpoints.channel", gettext_lazy("Newest scans of a channel"), "name", "behaviour", way=Way.LIST)
