"""What is shown of one node: its funnel, its cohorts, the rows behind each of its figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.urls import reverse
from django.utils.translation import gettext as _

from touchpoints import selectors
from touchpoints.models import TouchCase

if TYPE_CHECKING:
    from collections.abc import Iterable

    from touchpoints.on_screen.options import Options
    from touchpoints.selectors import Cohort, Figures, Path

LONGEST_PATH: Final = 120


class RowLinks:
    """The addresses of the rows behind the figures of a place in the tree, or of a node, by figure or case."""

    def __init__(self, options: Options, *, path: Path = (), touchpoint_id: int | None = None) -> None:
        where = {"at": "-".join(map(str, path)) or None, "channel": touchpoint_id}
        self._page = reverse("admin:touchpoints_touchpoint_rows") + options.query(**where)
        self._page += "" if self._page.endswith("?") else "&"

    def __getitem__(self, key: str) -> str:
        """Give an address."""
        return self._page + (f"figure=scans&case={key}" if key in TouchCase.values else f"figure={key}")


def figure_keys() -> set[str]:
    """Give every figure that opens its rows."""
    stays = (f"{prefix}_{days}" for prefix in ("kept", "old") for days in selectors.STAYS)
    bought = (f"bought_{days}" for days in selectors.VALUES)
    return {"scans", "people", "bargain_30", *(key for key, _stage in selectors.stages()), *stays, *bought}


def path_of_text(text: str) -> Path:
    """Read a path from an address; anything else gives no path."""
    parts = text.split("-") if text and len(text) <= LONGEST_PATH else []
    if all(part.isascii() and part.isdigit() and len(part) < 19 for part in parts):
        return tuple(int(part) for part in parts)
    return ()


def funnel(figures: Figures, links: RowLinks) -> list[dict[str, Any]]:
    """Give the steps of a funnel: people, the share of the step before, and of all who scanned."""
    steps = []
    before = whole = figures.parts["people"]
    for key, label in (("people", _("Scanned")), *((key, stage.label) for key, stage in selectors.stages())):
        parts = figures.parts[key]
        steps.append(
            {
                "key": key,
                "label": label,
                "people": figures.people(key),
                "step": parts / before if before and key != "people" else None,
                "total": parts / whole if whole else None,
                "width": round(100 * parts / whole) if whole else 0,
                "link": links[key],
                "cost": figures.cost_of_each(key),
            }
        )
        before = parts
    return steps


def value_lines(figures: Figures, links: RowLinks) -> list[dict[str, Any]]:
    """Give what people bought within so many days of their follow: how many did, for how much, and how much each."""
    lines = []
    for days in selectors.VALUES:
        old, bought = figures.people(f"old_{days}"), figures.people(f"bought_{days}")
        lines.append(
            {
                "days": days,
                "followers": old,
                "followers_link": links[f"old_{days}"] if old else "",
                "bought": bought,
                "bought_link": links[f"bought_{days}"] if bought else "",
                "rate": figures.rate(f"bought_{days}", f"old_{days}"),
                "value": figures.value(days) if old else None,
                "each": figures.value_of_each(days),
                "cost": figures.cost_of_each(f"bought_{days}"),
            }
        )
    return lines


def cohort_lines(cohorts: Iterable[Cohort]) -> list[dict[str, Any]]:
    """Give the lines of a cohort table: how many came, and which share was there after so many days."""
    lines = []
    for each in cohorts:
        found = []
        for days in selectors.STAYS:
            share = each.figures.rate(f"kept_{days}", f"old_{days}")
            kept, old = each.figures.people(f"kept_{days}"), each.figures.people(f"old_{days}")
            heat = f"{0.08 + 0.4 * share:.2f}" if share is not None else ""
            found.append({"rate": share, "title": f"{kept:,} / {old:,}" if old else "", "heat": heat})
        lines.append({"month": f"{each.month:%Y-%m}", "people": each.figures.people("follow"), "cells": found})
    return lines
