"""Where people buy: provinces as tiles, their cities as a table, and the people behind each figure as a segment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from common.clock import now
from common.divisions import by_code, name_of, provinces, said, short_name
from console import formats
from console.http import viewer_of
from console.person import marked
from console.registry import Page, Panel, Tab, nav, pages, panels
from console.site import page_response
from loyalty.places import (
    UNPLACED,
    WINDOW,
    Added,
    bought_where,
    places_of_stores,
    report_lately,
)
from members.rule_form import builder_link
from stores.models import Store

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpRequest, HttpResponse

    from members.models import Member

LONGEST: Final = 3650
CHOICES: Final = (30, 90, 365, 1095)
SHOWN: Final = 100
# Each province has a tile of one size where it lies: nothing draws a border. (code, letter, row, column).
TILES: Final = (
    ("230000", "黑", 0, 7), ("150000", "蒙", 1, 5), ("220000", "吉", 1, 7), ("650000", "新", 2, 0),
    ("620000", "甘", 2, 2), ("640000", "宁", 2, 3), ("110000", "京", 2, 5), ("120000", "津", 2, 6),
    ("210000", "辽", 2, 7), ("630000", "青", 3, 1), ("610000", "陕", 3, 3), ("140000", "晋", 3, 4),
    ("130000", "冀", 3, 5), ("370000", "鲁", 3, 6), ("540000", "藏", 4, 0), ("410000", "豫", 4, 4),
    ("340000", "皖", 4, 5), ("320000", "苏", 4, 6), ("310000", "沪", 4, 7), ("510000", "川", 5, 2),
    ("500000", "渝", 5, 3), ("420000", "鄂", 5, 4), ("360000", "赣", 5, 5), ("330000", "浙", 5, 6),
    ("530000", "滇", 6, 2), ("520000", "黔", 6, 3), ("430000", "湘", 6, 4), ("350000", "闽", 6, 6),
    ("710000", "台", 6, 7), ("450000", "桂", 7, 3), ("440000", "粤", 7, 4), ("810000", "港", 7, 5),
    ("460000", "琼", 8, 3), ("820000", "澳", 8, 4),
)  # fmt: skip
_SHADES: Final = ("people", "orders", "amount")
_NOBODY: Final = Added(0, 0, 0)


def places(request: HttpRequest) -> HttpResponse:
    """Show where purchases were sent to or made."""
    given, at, everybody = request.GET, now(), "everybody" in request.GET
    days, error = _days(given.get("days", ""))
    shade = given["shade"] if given.get("shade") in _SHADES else _SHADES[0]
    province = given["province"] if given.get("province") in provinces() else ""
    context: dict[str, Any] = {
        "title": _("Where people buy"),
        "can_edit": viewer_of(request).can("segments.edit"),
        "error": error,
        "days": given.get("days", "")[:10] if error else days,
        "choices": CHOICES,
        "shade": shade,
        "everybody": everybody,
        "province": province,
        "province_name": name_of(province) if province else "",
    }
    if not error:
        found, context["at"] = report_lately(at=at, days=days, everybody=everybody)
        context |= {
            "sum": _shown(found.everywhere),
            "shipped": found.everywhere.shipped,
            "tiles": [_tile(each, found.provinces, shade, days, everybody=everybody) for each in TILES],
            "rows": _rows(found, province, shade, days, everybody=everybody),
            "unplaced": [
                {"why": _why(key), **_shown(found.unplaced[key])} for key in UNPLACED if key in found.unplaced
            ],
            "stores": _stores_nowhere(),
        }
    return page_response(request, "loyalty/places.html", context, status=422 if error else 200)


def _days(text: str) -> tuple[int, str]:
    if not text:
        return WINDOW, ""
    if text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= LONGEST:
        return int(text), ""
    return WINDOW, _("A number from %(low)s to %(high)s is expected here.") % {"low": 1, "high": LONGEST}


def _weight(found: Added, shade: str) -> int:
    return {"people": found.people, "orders": found.orders, "amount": found.fen}[shade]


def _shown(found: Added) -> dict[str, Any]:
    return {"people": found.people, "orders": found.orders, "amount": formats.fen(found.fen)}


def _tile(
    tile: tuple[str, str, int, int], found: Mapping[str, Added], shade: str, days: int, *, everybody: bool
) -> dict[str, Any]:
    code, letter, row, column = tile
    here, most = found.get(code, _NOBODY), max((_weight(each, shade) for each in found.values()), default=0)
    weight = _weight(here, shade)
    figure = formats.fen(here.fen) if shade == "amount" else formats.count(weight)
    return {
        "letter": letter,
        "name": name_of(code),
        "row": row + 1,
        "column": column + 1,
        "share": round(weight * 100 / most) if most else 0,
        "figure": figure,
        "short": formats.wan(weight / 100 if shade == "amount" else weight) if weight else "",
        "link": _here(province=code, shade=shade, days=days, everybody=everybody) if here.orders else "",
    }


def _here(*, province: str, shade: str, days: int, everybody: bool) -> str:
    more = "&everybody=1" if everybody else ""
    return f"?days={days}&shade={shade}&province={province}{more}#cities"


def _rows(found: Any, province: str, shade: str, days: int, *, everybody: bool) -> list[dict[str, Any]]:
    """Give a line for each province, or for each city of one; the largest first."""
    lines: list[tuple[tuple[str, ...], Added]] = [((code,), each) for code, each in found.provinces.items()]
    if province:
        cities = [(codes, each) for codes, each in found.cities.items() if codes[0] == province]
        lines = [(codes if codes[1] else codes[:1], each) for codes, each in cities]
    lines.sort(key=lambda line: (-_weight(line[1], shade), line[0]))
    most = max((_weight(each, shade) for _codes, each in lines), default=0)
    rows = []
    for codes, each in lines[:SHOWN]:
        only_province = bool(province) and len(codes) == 1
        rows.append(
            {
                "name": _("city not said") if only_province else short_name(codes[-1]),
                "more": "" if province else _here(province=codes[0], shade=shade, days=days, everybody=everybody),
                "average": formats.fen(round(each.fen / each.people)) if each.people else "",
                "shipped": each.shipped,
                "in_stores": each.orders - each.shipped,
                "share": round(_weight(each, shade) * 100 / most) if most else 0,
                "link": "" if only_province else _segment(codes, days, everybody=everybody),
                **_shown(each),
            }
        )
    return rows


def _segment(codes: tuple[str, ...], days: int, *, everybody: bool) -> str:
    """Give the address that shows who is behind a line, as a segment that is not saved yet."""
    name = said(codes)
    rule: dict[str, Any] = {
        "all": [{"condition": "bought_in", "params": {"how": "some", "places": [_word(codes)], "days": days}}]
    }
    if not everybody:
        rule["all"].append({"condition": "flagged", "params": {"value": "no"}})
    return builder_link(rule, name=_("Bought in %(place)s") % {"place": name})


def _word(codes: tuple[str, ...]) -> str:
    """Give a place as people write it, where that says the same."""
    place = by_code(codes[-1])
    return "".join(dict.fromkeys(name_of(code) for code in place.codes)) if place else codes[-1]


def _why(key: str) -> str:
    return {
        "NOTHING": _("neither an address nor a store was reported"),
        "STORE_UNKNOWN": _("bought in a store whose city is not understood"),
        "AMBIGUOUS": _("the address may be in several cities"),
        "UNKNOWN": _("no place that is known is in the address"),
        "ABROAD": _("sent abroad"),
    }[key]


def _stores_nowhere() -> list[dict[str, str]]:
    known = places_of_stores()
    rows = Store.objects.exclude(pk__in=known).order_by("name", "pk")[:20]
    return [{"name": row.name, "link": reverse("admin:stores_store_change", args=[row.pk])} for row in rows]


nav.register("segments.places", Tab("segments", gettext_lazy("Where people buy"), "loyalty_places", "segments", 26))
pages.register("loyalty_places", Page("segments/places/", places, "loyalty_places", "segments"))


@panels.add("loyalty.places")
def shopping_city(member: Member, request: HttpRequest) -> Panel | None:
    """Show in which cities somebody buys, with what says so; most people have bought nothing and are asked nothing."""
    if not marked(member, "loyalty.facts"):
        return None
    found = bought_where(member.pk, at=now())
    rows = []
    for number, each in enumerate(found.places[:3]):
        says = []
        if each.shipped:
            says.append(_("%(count)s sent there") % {"count": each.shipped})
        if each.orders > each.shipped:
            says.append(_("%(count)s in stores there") % {"count": each.orders - each.shipped})
        label = _("Shopping city") if number == 0 else _("also in")
        why = _("; ").join([*says, formats.fen(each.fen)])
        rows.append({"label": label, "value": said(each.codes), "link": "", "why": why})
    if not rows:
        return None
    hint = _("By purchases of %(days)s days, less what came back whole.") % {"days": WINDOW}
    return Panel(_("Where they buy"), "console/panel_facts.html", {"rows": rows, "hint": hint}, 21)
