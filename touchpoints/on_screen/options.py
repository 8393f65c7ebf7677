"""What a page of figures looks at: which days, which model, how moved branches count; and where figures come from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _

from common.clock import now
from console.http import brand_of
from touchpoints import selectors, services
from touchpoints.selectors import Cohort, Freshness, Node, Row, TreeFigures, Window

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from django.http import HttpRequest

DAYS: Final = (1, 7, 30, 90, 0)  # 0 is everything
DEFAULT_DAYS: Final = 30


@dataclass(frozen=True)
class Options:
    """What a page of figures looks at; every link of the page carries it on."""

    days: int
    model: str
    as_it_was: bool
    at: datetime
    zone: ZoneInfo
    fresh: Freshness

    @property
    def as_of(self) -> datetime:
        """Give the moment up to which everything is counted."""
        return self.fresh.as_of or self.at

    @property
    def minutes_behind(self) -> int:
        """Give how old the figures are, a part of a minute as a whole one."""
        return -(-int((self.at - self.as_of).total_seconds()) // 60)

    def figures(self, nodes: Sequence[Node], *, settled: bool = False, below: int | None = None) -> TreeFigures:
        """Give the figures of the tree, or of a branch of it."""
        return selectors.tree_figures(
            selectors.settled_window(self.at, self.zone) if settled else self.window,
            model=self.model,
            now=self.at,
            zone=self.zone,
            as_it_was=settled or self.as_it_was,
            nodes=nodes,
            below=below,
            credited=self._credits,
        )

    def by_model(self, nodes: Sequence[Node], *, models: Collection[str], key: str) -> dict[str, TreeFigures]:
        """Give one figure of the tree under several models."""
        return selectors.trees_by_model(
            self.window,
            models=models,
            now=self.at,
            zone=self.zone,
            as_it_was=self.as_it_was,
            nodes=nodes,
            keys=[key],
            credited=self._credits,
        )

    @property
    def _credits(self) -> selectors.Credits:
        """Give where figures are read from: the sums, or the touches while there are none."""
        return selectors.summed_credits if self.fresh.is_ready else selectors.counted_credits

    def cohorts(self, touchpoint_ids: Sequence[int]) -> list[Cohort]:
        """Give the followers of the last months by some codes."""
        read = selectors.summed_cohorts if self.fresh.is_ready else selectors.cohorts
        return read(self.at, model=self.model, zone=self.zone, touchpoint_ids=touchpoint_ids)

    def rows(self, **which: Any) -> list[Row]:
        """Give the touches behind a figure, from where the figure is."""
        read = selectors.summed_rows if self.fresh.is_ready else selectors.rows_behind
        return read(self.window, model=self.model, now=self.at, zone=self.zone, as_it_was=self.as_it_was, **which)

    @property
    def window(self) -> Window:
        """Give the days as moments: the last ones including today, in the brand's zone."""
        if not self.days:
            return Window(None, self.at + timedelta(seconds=1))
        midnight = self.at.astimezone(self.zone).replace(hour=0, minute=0, second=0, microsecond=0)
        return Window(midnight - timedelta(days=self.days - 1), self.at + timedelta(seconds=1))

    @property
    def window_label(self) -> str:
        """Say which days."""
        return window_label(self.days)

    def query(self, **more: Any) -> str:
        """Give the options as a query string, without what is usual."""
        own = {
            "days": self.days if self.days != DEFAULT_DAYS else None,
            "model": self.model if self.model != "first" else None,
            "past": None if self.as_it_was else "now",
        }
        return "?" + urlencode({key: value for key, value in (own | more).items() if value not in (None, "")})

    def choices(self) -> dict[str, Any]:
        """Give what the page offers: days, models, and how the past of moved branches counts."""
        models = sorted(selectors.attributions.items(), key=lambda item: MODEL_ORDER.get(item[0], 9))
        return {
            "days": [{"label": window_label(days), "value": days, "active": days == self.days} for days in DAYS],
            "models": [
                {"label": model.label, "value": key, "meaning": model.meaning, "active": key == self.model}
                for key, model in models
            ],
            "meaning": selectors.attributions.get(self.model).meaning,
            "as_it_was": self.as_it_was,
            "model": self.model,
            "day": self.days,
        }


MODEL_ORDER: Final = {"first": 1, "last": 2, "position": 3}


def window_label(days: int) -> str:
    """Say which days a figure is of."""
    return {
        0: _("since the beginning"),
        1: _("today so far"),
    }.get(days, _("last %(days)s days with today") % {"days": days})


def read_options(request: HttpRequest) -> Options:
    """Read the options of a page; what is not offered becomes what is usual."""
    days = request.GET.get("days", "")
    model = request.GET.get("model", "first")
    at, zone = now(), ZoneInfo(brand_of(request).timezone)
    return Options(
        days=int(days) if days in {str(each) for each in DAYS} else DEFAULT_DAYS,
        model=model if selectors.attributions.find(model) else "first",
        as_it_was=request.GET.get("past") != "now",
        at=at,
        zone=zone,
        fresh=services.catch_up(at=at, zone=zone) if request.method == "GET" else selectors.freshness(at=at, zone=zone),
    )
