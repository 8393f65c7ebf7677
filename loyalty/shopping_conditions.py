"""What segments and automatic tags can ask about how people shop: how often they come back, and what they like best."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib.postgres.aggregates import ArrayAgg
from django.db import connection
from django.db.models import (
    BigIntegerField,
    Count,
    DurationField,
    ExpressionWrapper,
    F,
    Max,
    Min,
    OuterRef,
    Q,
    Subquery,
    Sum,
    Value,
)
from django.db.models.expressions import Expression
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts.tenancy import current_brand_id
from console import formats
from loyalty.models import Fact
from loyalty.segment_conditions import DAYS_BACK, bought, facts_crossed
from members.segments import Field, condition

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

    from members.person import PersonAt


@condition
class BuyingCycle:
    """Buys again every so many days on average, by two purchases or more within some days."""

    key: ClassVar[str] = "cycle"
    label = gettext_lazy("Days between purchases")
    fields = (
        Field(
            "how",
            gettext_lazy("are on average"),
            "choice",
            (("most", gettext_lazy("at most")), ("more", gettext_lazy("more than"))),
            "most",
        ),
        Field("average", gettext_lazy("days"), "number", default=30, minimum=1, maximum=3650),
        DAYS_BACK,
    )
    exact_past: ClassVar[bool] = True

    @dataclass(frozen=True)
    class Params:
        """`how`: most or more; `average`: days between two purchases; `days`: how far back."""

        how: str
        average: int
        days: int

    def clean(self, params: Params) -> str | None:
        """Nothing more to check."""
        return None

    def to_q(self, params: Params, at: datetime) -> Q:
        """Divide the time from the first purchase to the last by the steps between, by their own dates."""
        rows = bought(at, params.days).order_by().values("member_id").annotate(times=Count("pk"))
        often = rows.filter(times__gte=2).annotate(span=_length(Max("happened_at") - Min("happened_at")))
        most = _length((Count("pk") - 1) * Value(timedelta(days=params.average), output_field=DurationField()))
        often = often.filter(span__lte=most) if params.how == "most" else often.filter(span__gt=most)
        return Q(pk__in=often.values("member_id"))

    def sentence(self, params: Params) -> str:
        """Say it."""
        facts = {"average": params.average, "days": params.days}
        if params.how == "most":
            return _("buys again every %(average)s days or sooner, by the last %(days)s days") % facts
        return _("buys again less often than every %(average)s days, by the last %(days)s days") % facts

    def fact(self, params: Params, person: PersonAt) -> str:
        """Say the average, and by how many purchases."""
        rows = bought(person.at, params.days).filter(member=person.member)
        found = rows.aggregate(times=Count("pk"), first=Min("happened_at"), last=Max("happened_at"))
        if found["times"] < 2:
            return _("fewer than two purchases in these days")
        average = (found["last"] - found["first"]).total_seconds() / 86_400 / (found["times"] - 1)
        return _("%(average)s days on average, by %(times)s purchases") % {
            "average": f"{average:.1f}",
            "times": found["times"],
        }

    def turns(self, params: Params, since: datetime, until: datetime) -> list[QuerySet[Any]]:
        """Purchases and refunds that leave the window, or come into it."""
        return facts_crossed(params.days, since, until)


def _length(expression: Any) -> ExpressionWrapper[Any]:
    return ExpressionWrapper(expression, output_field=DurationField())


# By what was paid for the lines of each category, less what came back of them; purchases returned whole are no part.
_LIKED = """
SELECT s.member_id, s.category, s.amount,
    row_number() OVER (PARTITION BY s.member_id ORDER BY s.amount DESC, s.category) AS place
FROM (
    SELECT f.member_id, l ->> 'category' AS category, sum((l ->> 'amount')::bigint * f.sign) AS amount
    FROM (
        SELECT member_id, body, 1 AS sign FROM ({bought}) b
        UNION ALL
        SELECT r.member_id, r.body, -1 FROM loyalty_fact r
        WHERE r.brand_id = %s AND r.kind = 'REFUND' AND r.happened_at <= %s
            AND r.refers_id IN (SELECT id FROM ({bought}) w)
    ) f, jsonb_array_elements(f.body -> 'lines') l
    WHERE l ->> 'category' <> ''
    GROUP BY 1, 2
) s WHERE s.amount > 0
"""


def liked_best(member_id: int, *, at: datetime, days: int, top: int) -> list[tuple[str, int]]:
    """Give the categories on which somebody spent most within some days, with the fen; one query."""
    text, values = _liked(at, days, member_id)
    with connection.cursor() as cursor:
        cursor.execute(f"{text} ORDER BY s.amount DESC, s.category LIMIT %s", [*values, top])
        return [(category, int(amount)) for _member, category, amount, _place in cursor.fetchall()]


@dataclass(frozen=True)
class Bought:
    """What somebody bought within some days: orders not returned whole, and the fen less what came back."""

    orders: int
    fen: int
    last_at: datetime | None
    systems: tuple[str, ...]


def bought_in_all(member_id: int, *, at: datetime, days: int) -> Bought:
    """Add up what somebody bought within some days; one query."""
    back = Fact.objects.filter(refers=OuterRef("pk"), happened_at__lte=at).order_by().values("refers")
    sums = Subquery(back.annotate(fen=Sum("amount")).values("fen"), output_field=BigIntegerField())
    found = (
        bought(at, days, member_id)
        .order_by()
        .annotate(net=F("amount") - Coalesce(sums, Value(0), output_field=BigIntegerField()))
        .aggregate(
            orders=Count("pk"),
            fen=Sum("net"),
            last_at=Max("happened_at"),
            systems=ArrayAgg("system", distinct=True, order_by="system", default=Value([])),
        )
    )
    return Bought(found["orders"], int(found["fen"] or 0), found["last_at"], tuple(found["systems"]))


@condition
class LikesBest:
    """Spent most on one of some categories: it is among the first of theirs within some days."""

    key: ClassVar[str] = "favourite"
    label = gettext_lazy("Favourite category")
    fields = (
        Field("names", gettext_lazy("is one of"), "words"),
        Field("top", gettext_lazy("among the first"), "number", default=2, minimum=1, maximum=10),
        DAYS_BACK,
    )
    exact_past: ClassVar[bool] = True

    @dataclass(frozen=True)
    class Params:
        """`names`: categories as systems report them; `top`: among so many of the person's; `days`: how far back."""

        names: tuple[str, ...]
        top: int
        days: int

    def clean(self, params: Params) -> str | None:
        """Nothing more to check."""
        return None

    def to_q(self, params: Params, at: datetime) -> Q:
        """Rank each person's categories by what they paid for them."""
        text, values = _liked(at, params.days)
        chosen = f"SELECT x.member_id FROM ({text}) x WHERE x.place <= %s AND x.category = ANY (%s)"  # noqa: S608 - ours
        return Q(pk__in=Those(chosen, [*values, params.top, list(params.names)]))

    def sentence(self, params: Params) -> str:
        """Say it."""
        quoted = _(" or ").join(_("“%(name)s”") % {"name": name} for name in params.names)
        said = ngettext(
            "spent most on %(names)s within %(days)s days",
            "has %(names)s among the %(top)s categories they spent most on within %(days)s days",
            params.top,
        )
        return said % {"names": quoted, "top": params.top, "days": params.days}

    def fact(self, params: Params, person: PersonAt) -> str:
        """Name their first categories with the amounts."""
        found = liked_best(person.member.pk, at=person.at, days=params.days, top=max(params.top, 2))
        said = [f"{category} {formats.fen(amount)}" for category, amount in found]
        return _("; ").join(said) or _("nothing with a category in these days")

    def turns(self, params: Params, since: datetime, until: datetime) -> list[QuerySet[Any]]:
        """Purchases and refunds that leave the window, or come into it."""
        return facts_crossed(params.days, since, until)


class Those(Expression):
    """The members a statement names, which looks at this brand's rows alone."""

    def __init__(self, text: str, values: list[Any]) -> None:
        super().__init__(output_field=BigIntegerField())
        self.text, self.values = text, values

    def as_sql(self, _compiler: Any, _connection: Any) -> tuple[str, tuple[Any, ...]]:
        """Give the statement as a subquery, with its values apart."""
        return f"({self.text})", tuple(self.values)


def _liked(at: datetime, days: int, member_id: int | None = None) -> tuple[str, list[Any]]:
    """Give a statement of (member_id, category, amount, place)."""
    rows = bought(at, days, member_id).order_by()
    sql, params = rows.values("id", "member_id", "body").query.sql_with_params()
    return _LIKED.format(bought=sql), [*params, current_brand_id(), at, *params]
