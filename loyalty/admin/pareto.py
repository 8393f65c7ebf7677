"""The curve of turnover: which share of it how few people bring, and any point of it as a segment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from common.clock import now
from console import formats
from console.http import viewer_of
from console.registry import Page, Tab, nav, pages
from console.site import page_response
from loyalty.pareto import ALL, LONGEST, Curve, Step, curve_lately, rule_of
from members.rule_form import builder_link

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

_SHOWN: Final = (1, 5, 10, 20, 30, 50, 80)
_WINDOWS: Final = (30, 90, 180, 365, 730, LONGEST)
_USUAL: Final = 365
_FAMOUS: Final = 0.8


def pareto(request: HttpRequest) -> HttpResponse:
    """Show the curve of a window, its usual points and one that is asked for."""
    days = _number(request.GET.get("days", ""), _USUAL, _WINDOWS)
    percent = _number(request.GET.get("percent", ""), None, range(1, ALL + 1))
    found, at = curve_lately(at=now(), days=days or _USUAL)
    wrong = bool(request.GET.get("percent")) and percent is None
    context: dict[str, Any] = {
        "title": _("Who brings the turnover"),
        "can_edit": viewer_of(request).can("segments.edit"),
        "windows": [(each, _window(each)) for each in _WINDOWS],
        "days": days,
        "percent": percent,
        "wrong": wrong,
        "at": at,
        "people": found.people,
        "fen": formats.fen(found.fen),
    }
    if found.steps:
        context |= _shown(found, days or _USUAL, percent)
    return page_response(request, "loyalty/pareto.html", context, status=422 if wrong else 200)


def _shown(found: Curve, days: int, percent: int | None) -> dict[str, Any]:
    wanted = sorted({*_SHOWN, *([percent] if percent else [])})
    famous = found.reaching(_FAMOUS)
    mark = found.at(percent) if percent else found.at(20)
    return {
        "rows": [_row(found.at(each), days, is_asked=each == percent) for each in wanted],
        "line": " ".join(f"{step.percent},{_height(step)}" for step in found.steps),
        "mark": {"x": mark.percent, "y": _height(mark), "share": _share(mark.share)},
        "says": _("%(percent)s%% of buyers bring %(share)s of the turnover.")
        % {"percent": mark.percent, "share": _share(mark.share)},
        "famous": _("80%% of the turnover comes from %(percent)s%% of buyers.") % {"percent": famous.percent}
        if famous
        else "",
    }


def _row(step: Step, days: int, *, is_asked: bool) -> dict[str, Any]:
    name = _("Top %(percent)s%% by amount") % {"percent": step.percent}
    return {
        "percent": step.percent,
        "people": step.people,
        "fen": formats.fen(step.fen),
        "share": _share(step.share),
        "least": formats.fen(step.least),
        "is_asked": is_asked,
        "link": builder_link(rule_of(step.percent, days), name=name),
    }


def _height(step: Step) -> str:
    return f"{100 - step.share * 100:.2f}"


def _share(share: float) -> str:
    return f"{share * 100:.1f}%"


def _window(days: int) -> str:
    return _("all") if days == LONGEST else _("last %(days)s days") % {"days": days}


def _number(text: str, usual: int | None, allowed: Any) -> int | None:
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else None
    return number if number in allowed else usual


nav.register("segments.pareto", Tab("segments", gettext_lazy("Turnover curve"), "pareto", "segments", 26))
pages.register("pareto", Page("segments/pareto/", pareto, "pareto", "segments"))
