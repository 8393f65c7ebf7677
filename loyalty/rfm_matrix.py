"""RFM as a matrix: buyers by how lately (R) and how often (F) they bought, and for how much (M), in five bands each.

A cell and the rule of the segment behind it ask the very same, so that both find the same people.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from django.db import connection
from django.db.models import Count, Max
from django.utils.translation import gettext as _

from accounts.tenancy import current_brand_id, reporting
from loyalty.errors import BandsInvalid
from loyalty.segment_conditions import MOST_YUAN, NET, bought, paid
from members.figures import counted, figures
from members.left_out import left_out
from members.segments import days_back

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from django.db.models import QuerySet

BANDS: Final = 5
WINDOW: Final = 365
LONGEST: Final = 3650
MOST_TIMES: Final = 1000


@dataclass(frozen=True)
class Bands:
    """Where bands end: R at so many days ago, F and M from so many purchases and yuan on; four ascending cuts each.

    Purchases of `window` days count. Band 5 is the best, band 1 whatever lies below the first cut.
    """

    window: int = WINDOW
    recency: tuple[int, ...] = (30, 60, 90, 180)
    frequency: tuple[int, ...] = (2, 3, 5, 8)
    money: tuple[int, ...] = (500, 1000, 2000, 5000)


@dataclass(frozen=True)
class Cell:
    """How many people, and for how much they bought together, in fen."""

    people: int
    fen: int


def read_bands(*, window: str, recency: str, frequency: str, money: str) -> Bands:
    """Read what an operator wrote: a number of days, and three lists of four. Raises `BandsInvalid` with the field."""
    days = _numbers("window", window, LONGEST, how_many=1)[0]
    found = Bands(
        days,
        _numbers("recency", recency, LONGEST),
        _numbers("frequency", frequency, MOST_TIMES, least=2),
        _numbers("money", money, MOST_YUAN),
    )
    if found.recency[-1] >= days:
        raise BandsInvalid(
            "recency", _("The last of these days must lie within the %(days)s days that count.") % {"days": days}
        )
    return found


def _numbers(field: str, text: str, most: int, *, least: int = 1, how_many: int = BANDS - 1) -> tuple[int, ...]:
    parts = [part.strip() for part in text.replace("，", ",").replace("、", ",").split(",")]
    numbers = [int(part) for part in parts if part.isascii() and part.isdigit() and len(part) < 10]
    rises = all(one < other for one, other in pairwise(numbers))
    if (
        len(numbers) != len(parts)
        or len(numbers) != how_many
        or not rises
        or not least <= numbers[0] <= numbers[-1] <= most
    ):
        raise BandsInvalid(
            field,
            _("Write %(count)s rising whole numbers from %(low)s to %(high)s, with commas between them.")
            % {"count": how_many, "low": least, "high": most},
        )
    return tuple(numbers)


_BUYERS: Final = """
WITH buys AS MATERIALIZED ({bought}), pays AS MATERIALIZED ({paid})
SELECT b.member_id, b.last, b.times, coalesce(p.fen, 0) AS fen
FROM buys b JOIN members_member m ON m.brand_id = %s AND m.id = b.member_id AND m.merged_into_id IS NULL
    AND m.erased_at IS NULL
LEFT JOIN pays p ON p.member_id = b.member_id{flags}
"""


def _buyers(bands: Bands, at: datetime, *, everybody: bool) -> tuple[str, list[Any]]:
    often = bought(at, bands.window).order_by().values("member_id").annotate(last=Max("happened_at"), times=Count("pk"))
    spent = paid(at, bands.window).order_by().values("member_id").annotate(fen=NET)
    buys, first = _written(often, "member_id", "last", "times")
    pays, second = _written(spent, "member_id", "fen")
    flags, third = ("", ()) if everybody else left_out(by=at).query.sql_with_params()
    more = f" WHERE b.member_id NOT IN ({flags})" if flags else ""
    return _BUYERS.format(bought=buys, paid=pays, flags=more), [*first, *second, current_brand_id(), *third]


def _written(rows: QuerySet[Any], *columns: str) -> tuple[str, tuple[Any, ...]]:
    text, params = rows.values_list(*columns).query.sql_with_params()
    return text, tuple(params)


def matrix(
    bands: Bands, *, at: datetime, money: int | None = None, everybody: bool = False
) -> dict[tuple[int, int], Cell]:
    """Count buyers by (R, F), those of one band of M or all of them; cells of nobody are left out.

    Staff, test people and blocked ones are left out unless `everybody`.
    """
    text, params = _buyers(bands, at, everybody=everybody)
    cuts: list[Any] = [
        *(days_back(at, days) for days in bands.recency),
        *bands.frequency,
        *(yuan * 100 for yuan in bands.money),
    ]
    recent, often, much = ("1" + f" + (x.{column} {sign} %s)::int" * (BANDS - 1) for column, sign in _ASKED)
    statement = (
        f"SELECT r, f, count(*), sum(fen)::bigint FROM (SELECT {recent} AS r, {often} AS f, {much} AS m, x.fen "  # noqa: S608 - names of ours
        f"FROM ({text}) x) y WHERE %s::int IS NULL OR m = %s GROUP BY r, f"
    )
    with reporting(current_brand_id()), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_nestloop = off")  # nobody can say beforehand how many bought
        cursor.execute(statement, [*cuts, *params, money, money])
        found = {(r, f): Cell(people, fen) for r, f, people, fen in cursor.fetchall()}
        cursor.execute("SET LOCAL enable_nestloop = on")
    return found


_ASKED: Final = (("last", ">"), ("times", ">="), ("fen", ">="))


_FIFTHS: Final = """
SELECT percentile_disc(%s::float8[]) WITHIN GROUP (ORDER BY ceil(extract(epoch FROM %s - x.last) / 86400)::int),
    percentile_disc(%s::float8[]) WITHIN GROUP (ORDER BY x.times),
    percentile_disc(%s::float8[]) WITHIN GROUP (ORDER BY x.fen / 100)
FROM ({buyers}) x
"""


def fifths(bands: Bands, *, at: datetime, everybody: bool = False) -> Bands:
    """Give the cuts that part the buyers of the window into fifths as equal as their purchases allow."""
    text, params = _buyers(bands, at, everybody=everybody)
    statement = _FIFTHS.format(buyers=text)
    shares = [number / BANDS for number in range(1, BANDS)]
    with reporting(current_brand_id()), connection.cursor() as cursor:
        cursor.execute(statement, [shares, at, shares, shares, *params])
        recency, frequency, money = cursor.fetchone()
    if not recency:
        return bands
    return replace(
        bands,
        recency=_rising(recency, least=1, most=bands.window - 1),
        frequency=_rising(frequency, least=2, most=MOST_TIMES),
        money=_rising(money, least=1, most=MOST_YUAN),
    )


def _rising(cuts: Sequence[int], *, least: int, most: int) -> tuple[int, ...]:
    """Give four cuts that rise, as near to these as can be."""
    found: list[int] = []
    for cut in cuts:
        found.append(max(int(cut), least, found[-1] + 1 if found else least))
    for index in reversed(range(len(found))):
        found[index] = min(found[index], most - (len(found) - 1 - index))
    return tuple(found)


def rule_of(
    bands: Bands, *, recency: int | None, frequency: int | None, money: int | None = None, everybody: bool = False
) -> dict[str, Any]:
    """Give the rule of a cell, a row, a column or everybody in the matrix (None: whatever the band)."""
    window = bands.window
    parts = [_asks("orders", "least", times=1, days=window)]
    if recency is not None:
        if recency > 1:
            parts.append(_asks("orders", "least", times=1, days=bands.recency[BANDS - recency]))
        if recency < BANDS:
            parts.append(_asks("orders", "less", times=1, days=bands.recency[BANDS - 1 - recency]))
    parts += _between("orders", "times", bands.frequency, frequency, window)
    parts += _between("spent", "yuan", bands.money, money, window)
    if not everybody:
        parts.append({"condition": "flagged", "params": {"value": "no"}})
    return {"all": parts}


def _between(key: str, name: str, cuts: tuple[int, ...], band: int | None, days: int) -> list[dict[str, Any]]:
    found = []
    if band is not None and band > 1:
        found.append(_asks(key, "least", **{name: cuts[band - 2]}, days=days))
    if band is not None and band < BANDS:
        found.append(_asks(key, "less", **{name: cuts[band - 1]}, days=days))
    return found


def _asks(key: str, how: str, **params: int) -> dict[str, Any]:
    return {"condition": key, "params": {"how": how, **params}}


def matrix_lately(
    bands: Bands, *, at: datetime, money: int | None = None, everybody: bool = False
) -> tuple[dict[tuple[int, int], Cell], datetime]:
    """Give the matrix as a page shows it, and as of when: see `members.figures`."""
    found = counted("loyalty.rfm", {**asdict(bands), "band": money, "everybody": everybody}, at=at)
    return {(r, f): Cell(people, fen) for r, f, people, fen in found.value}, found.as_of


@figures.add("loyalty.rfm")
def _matrix_figure(params: dict[str, Any], at: datetime) -> list[tuple[int, int, int, int]]:
    found = matrix(_bands(params), at=at, money=params["band"], everybody=params["everybody"])
    return [(r, f, cell.people, cell.fen) for (r, f), cell in sorted(found.items())]


def fifths_lately(bands: Bands, *, at: datetime, everybody: bool = False) -> Bands:
    """Give the cuts into fifths as a page shows them: see `members.figures`."""
    found = counted("loyalty.rfm_fifths", {**asdict(bands), "everybody": everybody}, at=at)
    return _bands(found.value)


@figures.add("loyalty.rfm_fifths")
def _fifths_figure(params: dict[str, Any], at: datetime) -> dict[str, Any]:
    return asdict(fifths(_bands(params), at=at, everybody=params["everybody"]))


def _bands(params: Mapping[str, Any]) -> Bands:
    cuts = {key: tuple(params[key]) for key in ("recency", "frequency", "money")}
    return Bands(params["window"], **cuts)
