"""How much of the turnover comes from how few: buyers by what they spent, the biggest first.

The curve and the condition of the segment behind a point rank the very same people by the very same statement.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from django.db import connection
from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.tenancy import current_brand_id, reporting
from console import formats
from loyalty.segment_conditions import DAYS_BACK, NET, paid
from loyalty.shopping_conditions import Those
from members.figures import counted, figures
from members.left_out import left_out
from members.segments import Field, condition

if TYPE_CHECKING:
    from datetime import datetime

    from members.person import PersonAt

ALL: Final = 100
LONGEST: Final = 3650

# A place for each buyer: 1 spent most. Equal amounts stand in the order of their records, so that places are places.
_RANKED: Final = """
WITH pays AS MATERIALIZED ({paid}), buyers AS (
    SELECT p.member_id, p.fen FROM pays p JOIN members_member m ON m.brand_id = %s AND m.id = p.member_id
        AND m.merged_into_id IS NULL AND m.erased_at IS NULL
    WHERE p.fen > 0 AND p.member_id NOT IN ({flags})
)
SELECT member_id, fen, row_number() OVER (ORDER BY fen DESC, member_id) AS place, count(*) OVER () AS people FROM buyers
"""


@dataclass(frozen=True)
class Step:
    """Everybody up to a percentage: how many, what they spent together and at least, and their share of all of it."""

    percent: int
    people: int
    fen: int
    least: int
    share: float


@dataclass(frozen=True)
class Curve:
    """All hundred steps; none where nobody bought anything."""

    people: int
    fen: int
    steps: tuple[Step, ...]

    def at(self, percent: int) -> Step:
        """Give the step of a percentage."""
        return self.steps[percent - 1]

    def reaching(self, share: float) -> Step | None:
        """Give the first step whose people brought such a share."""
        return next((step for step in self.steps if step.share >= share), None)


def _ranked(at: datetime, days: int) -> tuple[str, list[Any]]:
    rows = paid(at, days).order_by().values("member_id").annotate(fen=NET).values_list("member_id", "fen")
    pays, first = rows.query.sql_with_params()
    flags, second = left_out(by=at).query.sql_with_params()
    return _RANKED.format(paid=pays, flags=flags), [*first, current_brand_id(), *second]


# The first p percent are the first ceil(people * p / 100): somebody is in the hundredth of all in which they stand.
_HUNDREDTHS: Final = """
SELECT (x.place - 1) * 100 / x.people + 1 AS percent, count(*), sum(x.fen)::bigint, min(x.fen)::bigint
FROM ({ranked}) x GROUP BY 1 ORDER BY 1
"""


def curve(*, at: datetime, days: int) -> Curve:
    """Rank the buyers of a window by what they paid less what came back; flagged people are left out."""
    return _curve(_hundredths({"days": days}, at))


def curve_lately(*, at: datetime, days: int) -> tuple[Curve, datetime]:
    """Give the curve as a page shows it, and as of when: see `members.figures`."""
    found = counted("loyalty.pareto", {"days": days}, at=at)
    return _curve(found.value), found.as_of


@figures.add("loyalty.pareto")
def _hundredths(params: dict[str, Any], at: datetime) -> list[list[int]]:
    text, values = _ranked(at, params["days"])
    with reporting(current_brand_id()), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_nestloop = off")  # nobody can say beforehand how many bought
        cursor.execute(_HUNDREDTHS.format(ranked=text), values)
        found = [list(row) for row in cursor.fetchall()]
        cursor.execute("SET LOCAL enable_nestloop = on")
    return found


def _curve(rows: list[list[int]]) -> Curve:
    whole, everybody = sum(row[2] for row in rows), sum(row[1] for row in rows)
    parts = {row[0]: row for row in rows}
    steps, people, fen, least = [], 0, 0, 0
    for percent in range(1, ALL + 1):
        if percent in parts:
            _percent, more, spent, least = parts[percent]
            people, fen = people + more, fen + spent
        steps.append(Step(percent, people, fen, least, fen / whole if whole else 0.0))
    return Curve(everybody, whole, tuple(steps) if rows else ())


def rule_of(percent: int, days: int) -> dict[str, Any]:
    """Give the rule of a point of the curve."""
    return {"all": [{"condition": TopSpenders.key, "params": {"percent": percent, "days": days}}]}


@condition
class TopSpenders:
    """Is among the buyers who spent most within some days, so many percent of them all."""

    key: ClassVar[str] = "top_spenders"
    label = gettext_lazy("Spent most")
    fields = (
        Field("percent", gettext_lazy("are among the first percent"), "number", default=20, minimum=1, maximum=ALL),
        DAYS_BACK,
    )

    @dataclass(frozen=True)
    class Params:
        """`percent`: of all buyers of the window; `days`: how far back."""

        percent: int
        days: int

    def clean(self, params: Params) -> str | None:
        """Nothing more to check."""
        return None

    def to_q(self, params: Params, at: datetime) -> Q:
        """Rank everybody who bought, as the curve does. What one person does moves others: it follows no changes."""
        text, values = _ranked(at, params.days)
        chosen = f"SELECT x.member_id FROM ({text}) x WHERE (x.place - 1) * 100 / x.people < %s"  # noqa: S608 - ours
        return Q(pk__in=Those(chosen, [*values, params.percent]))

    def sentence(self, params: Params) -> str:
        """Say it."""
        return _("is among the %(percent)s%% of buyers who spent most within %(days)s days") % {
            "percent": params.percent,
            "days": params.days,
        }

    def fact(self, params: Params, person: PersonAt) -> str:
        """Say how much they spent."""
        fen = paid(person.at, params.days).filter(member=person.member).aggregate(fen=NET)["fen"]
        return _("%(amount)s in these days") % {"amount": formats.fen(fen or 0)}
