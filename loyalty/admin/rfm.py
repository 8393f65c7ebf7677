"""The RFM matrix: how many buyers stand in each cell, and the people behind it as a segment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext

from common.clock import now
from console import formats
from console.http import viewer_of
from console.registry import Page, Tab, nav, pages
from console.site import page_response
from loyalty.errors import BandsInvalid
from loyalty.rfm_matrix import BANDS, Bands, Cell, fifths_lately, matrix_lately, read_bands, rule_of
from members.rule_form import builder_link

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from django.http import HttpRequest, HttpResponse

_FIELDS: Final = ("recency", "frequency", "money")
_LONGEST: Final = 60


def rfm(request: HttpRequest) -> HttpResponse:
    """Show the matrix by the cuts the address asks for."""
    at, everybody, given = now(), "everybody" in request.GET, request.GET
    bands, errors = Bands(), {}
    try:
        if "recency" in given:
            bands = read_bands(**{key: given.get(key, "")[:_LONGEST] for key in ("window", *_FIELDS)})
    except BandsInvalid as error:
        errors[error.field or ""] = error.message
    if "fifths" in given and not errors:
        bands = fifths_lately(bands, at=at, everybody=everybody)
    money = int(given["money_band"]) if given.get("money_band", "") in _bands() else None
    by_money = given.get("shade") == "money"
    typed = "recency" in given and "fifths" not in given
    context: dict[str, Any] = {
        "title": _("RFM matrix"),
        "can_edit": viewer_of(request).can("segments.edit"),
        "errors": errors,
        "everybody": everybody,
        "by_money": by_money,
        "money": money,
        "at": at,
        "window": given["window"][:_LONGEST] if typed and "window" in given else bands.window,
        "fields": [_field(key, bands, errors, given if typed else {}) for key in _FIELDS],
        "money_bands": [(number, _money_label(bands, number)) for number in range(1, BANDS + 1)],
    }
    if not errors:
        found, context["at"] = matrix_lately(bands, at=at, money=money, everybody=everybody)
        context["table"] = _table(bands, found, money=money, by_money=by_money, everybody=everybody)
    return page_response(request, "loyalty/rfm.html", context, status=422 if errors else 200)


def _bands() -> set[str]:
    return {str(number) for number in range(1, BANDS + 1)}


def _field(key: str, bands: Bands, errors: Mapping[str, str], given: Mapping[str, str]) -> dict[str, Any]:
    labels = {
        "recency": _("R: last bought within days"),
        "frequency": _("F: purchases from"),
        "money": _("M: yuan from"),
    }
    value = given.get(key, "")[:_LONGEST] or ", ".join(str(number) for number in getattr(bands, key))
    return {"name": key, "label": labels[key], "value": value, "error": errors.get(key, "")}


def _table(
    bands: Bands, found: Mapping[tuple[int, int], Cell], *, money: int | None, by_money: bool, everybody: bool
) -> dict[str, Any]:
    """Give rows of R from the best down, columns of F from the best on, with sums; every figure opens its people."""
    most = max((_weight(cell, by_money=by_money) for cell in found.values()), default=0)

    def shown(cell: Cell, recency: int | None, frequency: int | None) -> dict[str, Any]:
        rule = rule_of(bands, recency=recency, frequency=frequency, money=money, everybody=everybody)
        weight = _weight(cell, by_money=by_money)
        return {
            "people": cell.people,
            "average": formats.fen(round(cell.fen / cell.people)) if cell.people else "",
            "share": round(weight * 100 / most) if most else 0,
            "link": builder_link(rule, name=_name(recency, frequency, money)),
        }

    numbers = range(BANDS, 0, -1)
    nobody = Cell(0, 0)
    rows = [
        {
            "name": f"R{r}",
            "label": _recency_label(bands, r),
            "cells": [shown(found.get((r, f), nobody), r, f) for f in numbers],
            "sum": shown(_sum(cell for (row, _f), cell in found.items() if row == r), r, None),
        }
        for r in numbers
    ]
    return {
        "columns": [(f"F{f}", _frequency_label(bands, f)) for f in numbers],
        "rows": rows,
        "sums": [shown(_sum(cell for (_r, column), cell in found.items() if column == f), None, f) for f in numbers],
        "sum": shown(_sum(found.values()), None, None),
    }


def _weight(cell: Cell, *, by_money: bool) -> float:
    return (cell.fen / cell.people if cell.people else 0) if by_money else cell.people


def _sum(cells: Iterable[Cell]) -> Cell:
    listed = list(cells)
    return Cell(sum(cell.people for cell in listed), sum(cell.fen for cell in listed))


def _name(recency: int | None, frequency: int | None, money: int | None) -> str:
    parts = [f"{letter}{band}" for letter, band in (("R", recency), ("F", frequency), ("M", money)) if band is not None]
    return " ".join(["RFM", *parts])


def _recency_label(bands: Bands, band: int) -> str:
    if band == 1:
        return _("longer ago")
    return _("within %(days)s days") % {"days": bands.recency[BANDS - band]}


def _frequency_label(bands: Bands, band: int) -> str:
    one = pgettext("purchases", "once") if band == 1 else _("%(low)s times")
    return _span(bands.frequency, band, one, _("%(low)s–%(high)s times"), _("%(low)s times or more"))


def _money_label(bands: Bands, band: int) -> str:
    cuts = bands.money
    if band == 1:
        return _("below ¥%(yuan)s") % {"yuan": formats.count(cuts[0])}
    if band == BANDS:
        return _("¥%(yuan)s or more") % {"yuan": formats.count(cuts[-1])}
    return _("¥%(low)s to below ¥%(high)s") % {
        "low": formats.count(cuts[band - 2]),
        "high": formats.count(cuts[band - 1]),
    }


def _span(cuts: tuple[int, ...], band: int, one: str, several: str, last: str) -> str:
    low = 1 if band == 1 else cuts[band - 2]
    if band == BANDS:
        return last % {"low": low}
    high = cuts[band - 1] - 1
    return (one if low == high else several) % {"low": low, "high": high}


nav.register("segments.rfm", Tab("segments", gettext_lazy("RFM matrix"), "rfm", "segments", 25))
pages.register("rfm", Page("segments/rfm/", rfm, "rfm", "segments"))
