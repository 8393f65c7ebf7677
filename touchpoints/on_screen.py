"""How channels appear on pages: which days and which model, the lines of the tree, states in words, links to rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from common.clock import now
from console import formats
from console.http import brand_of, viewer_of
from stores.selectors import store_ids_of_grant
from touchpoints import selectors, services
from touchpoints.models import TouchCase, Touchpoint
from touchpoints.selectors import (
    Ailment,
    CodeHealth,
    CodeMeter,
    Cohort,
    Figures,
    Freshness,
    Node,
    Path,
    Row,
    TreeFigures,
    Window,
)
from wechat_gateway.models import OfficialAccount

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from django.db.models import QuerySet
    from django.http import HttpRequest

    from accounts.viewer import Viewer

DAYS: Final = (1, 7, 30, 90, 0)  # 0 is everything
DEFAULT_DAYS: Final = 30
LONGEST_PATH: Final = 120


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

    def figures(self, nodes: Sequence[Node], *, model: str = "", settled: bool = False) -> TreeFigures:
        """Give the figures of the tree: from the sums, or counted from the touches while there are none."""
        return selectors.tree_figures(
            selectors.settled_window(self.at, self.zone) if settled else self.window,
            model=model or self.model,
            now=self.at,
            zone=self.zone,
            as_it_was=settled or self.as_it_was,
            nodes=nodes,
            credited=selectors.summed_credits if self.fresh.is_ready else selectors.credits_by_code,
        )

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


def in_reach(viewer: Viewer, queryset: QuerySet[Touchpoint]) -> QuerySet[Touchpoint]:
    """Narrow channels to those of a store manager's stores."""
    if viewer.scope == "STORES":
        return queryset.filter(store_id__in=store_ids_of_grant(viewer.grant_id))
    return queryset


def reachable_ids(request: HttpRequest) -> frozenset[int] | None:
    """Give the channels the person may see; None means all."""
    viewer = viewer_of(request)
    if viewer.scope == "BRAND":
        return None
    return frozenset(in_reach(viewer, Touchpoint.objects.order_by("pk")).values_list("pk", flat=True))


# --- words -----------------------------------------------------------------------------------------------------------


def kind_of(row: Touchpoint) -> str:
    """Say what a node is: a code is an object, the top is a medium, all between are places."""
    if row.scene:
        return _("Channel code")
    return _("Medium") if row.parent_id is None else _("Place")


def state_of(row: Touchpoint, health: CodeHealth | None, at: datetime) -> dict[str, str]:
    """Give the state of a node: word, tone and what it means."""
    ailments = health.ailments if health else ()
    label, tone, detail = _("in use"), "success", ""
    if row.archived_at is not None:
        label, tone, detail = _("archived"), "", _still_scanned(Ailment.ARCHIVED, health)
    elif not row.scene:
        label, tone = "", ""
    elif row.problem:
        label, tone, detail = _("needs attention"), "warning", row.problem
    elif not row.is_active:
        label, tone = _("not in use"), ""
    elif row.ends_at is not None and row.ends_at <= at:
        label, tone, detail = _("ended"), "", _still_scanned(Ailment.ENDED, health)
    elif health is not None and ailments:
        worst = min(ailments, key=_WORST.index)
        label, tone, detail = ailment_label(worst), _TONES[worst], ailment_text(worst, health)
    return {"label": label, "tone": "warning" if detail and not tone else tone, "detail": detail}


def _still_scanned(ailment: Ailment, health: CodeHealth | None) -> str:
    return ailment_text(ailment, health) if health and ailment in health.ailments else ""


_WORST: Final = [
    Ailment.EXPIRED,
    Ailment.PRINT_ENDS,
    Ailment.NOT_MADE,
    Ailment.ENDED,
    Ailment.ARCHIVED,
    Ailment.NO_SCAN,
]
_TONES: Final = {
    Ailment.EXPIRED: "danger",
    Ailment.PRINT_ENDS: "warning",
    Ailment.NOT_MADE: "info",
    Ailment.ENDED: "warning",
    Ailment.ARCHIVED: "warning",
    Ailment.NO_SCAN: "warning",
}


def ailment_label(ailment: Ailment) -> str:
    """Name what is wrong with a code."""
    return {
        Ailment.EXPIRED: _("expired"),
        Ailment.PRINT_ENDS: _("print expires"),
        Ailment.NOT_MADE: _("code not made yet"),
        Ailment.ENDED: _("ended"),
        Ailment.ARCHIVED: _("archived"),
        Ailment.NO_SCAN: _("no scan in 30 days"),
    }[ailment]


def ailment_text(ailment: Ailment, health: CodeHealth) -> str:
    """Say what is wrong with a code and what to do."""
    local = _local(health)
    return {
        Ailment.EXPIRED: _("Its picture no longer works. Make the code anew and print it again."),
        Ailment.PRINT_ENDS: _("What was printed stops working %(when)s. Print the new picture.") % local,
        Ailment.NOT_MADE: _("WeChat makes it in a moment; if not, open it and try again."),
        Ailment.ENDED: _("People still scan it: last %(scan)s. Take it down, or extend it.") % local,
        Ailment.ARCHIVED: _("People still scan it: last %(scan)s. Take it down, or restore it.") % local,
        Ailment.NO_SCAN: _("Last scan: %(scan)s. Look whether it still hangs there.") % local,
    }[ailment]


def _local(health: CodeHealth) -> dict[str, str]:
    return {
        "when": formats.local_time(health.print_ends_at),
        "scan": formats.local_time(health.last_scan) if health.last_scan else _("never"),
    }


def case_label(case: str, kind: str = "") -> str:
    """Name who scanned."""
    if case in TouchCase.values:
        return str(TouchCase(case).label)
    return {"FOLLOW": str(TouchCase.NEW.label), "REFOLLOW": str(TouchCase.RETURNING.label)}.get(
        kind, str(TouchCase.FOLLOWING.label)
    )


# --- the tree --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cell:
    """A figure as the tree shows it: text, rows behind it, both parts of a rate; phones leave `wide` ones out."""

    text: str
    link: str = ""
    title: str = ""
    wide: bool = False


def cells(figures: Figures, links: dict[str, str]) -> list[Cell]:
    """Give the figures of a line: scans, new followers, new members, who stayed, cost, cost of a new member."""
    kept, old = figures.people("kept_30"), figures.people("old_30")
    stayed = figures.rate("kept_30", "old_30")
    each = figures.cost_of_each("join")
    return [
        Cell(formats.count(figures.scans), links["scans"] if figures.scans else ""),
        *(
            Cell(formats.count(number), links[key] if number else "", wide=wide)
            for key, number, wide in (
                ("follow", figures.people("follow"), False),
                ("join", figures.people("join"), True),
            )
        ),
        Cell(formats.rate(stayed), links["kept_30"] if kept else "", f"{kept:,} / {old:,}" if old else "", wide=True),
        Cell(formats.fen(figures.cost or None), wide=True),
        Cell(formats.fen(each), wide=True),
    ]


@dataclass(frozen=True)
class Line:
    """One line of the tree: a node at one place, its figures, and where they open."""

    row: Touchpoint
    path: Path
    level: int
    figures: Figures
    cells: list[Cell]
    state: dict[str, str]
    kind: str
    owner: str
    moved_away: bool
    children: int
    tags: list[str]
    link: str


def tree_lines(
    rows: Sequence[Touchpoint],
    figures: TreeFigures,
    options: Options,
    *,
    health: dict[int, CodeHealth],
    tags: dict[int, list[str]],
    owners: dict[tuple[str, int], str],
) -> list[Line]:
    """Give the lines of the tree from top to bottom; places from before a move follow those of today."""
    known = {row.pk: row for row in rows}
    today = {pk: row.parent_id for pk, row in known.items()}
    all_today = figures.shape.parents[-1]
    homes = {pk: selectors.path_of(all_today, pk) for pk in known}
    paths = {(path, False) for path in homes.values()}
    paths |= {(path, True) for path in figures.paths if path[-1] in known and homes[path[-1]] != path}
    shown: dict[Path, list[tuple[bool, str, Path]]] = {}
    for path, moved in paths:
        above = _nearest(path, paths, known)
        shown.setdefault(above, []).append((moved, known[path[-1]].name, path))
    lines: list[Line] = []
    waiting = [(each, 1) for each in sorted(shown.get((), []), reverse=True)]
    while waiting:
        (moved, _name, path), level = waiting.pop()
        row, mine = known[path[-1]], figures.paths.get(path) or Figures()
        below = shown.get(path, [])
        lines.append(
            Line(
                row=row,
                path=path,
                level=level,
                figures=mine,
                cells=cells(mine, row_links(options, path=path)),
                state=state_of(row, health.get(row.pk), options.at),
                kind=kind_of(row),
                owner=owners.get((row.owner_kind, row.owner_id or 0), ""),
                moved_away=moved and today[row.pk] != (path[-2] if len(path) > 1 else None),
                children=len(below),
                tags=tags.get(row.pk, []),
                link=reverse("admin:touchpoints_touchpoint_change", args=[row.pk]) + options.query(),
            )
        )
        waiting.extend((each, level + 1) for each in sorted(below, reverse=True))
    return lines


def _nearest(path: Path, paths: set[tuple[Path, bool]], known: dict[int, Touchpoint]) -> Path:
    """Give the line a path hangs below: the nearest place above that is shown."""
    above = path[:-1]
    while above and (above[-1] not in known or ((above, False) not in paths and (above, True) not in paths)):
        above = above[:-1]
    return above


def row_links(options: Options, *, path: Path = (), touchpoint_id: int | None = None) -> dict[str, str]:
    """Give the addresses of the rows behind every figure of a place in the tree, or of a node."""
    where: dict[str, Any] = {"at": "-".join(map(str, path)) or None, "channel": touchpoint_id}
    page = reverse("admin:touchpoints_touchpoint_rows")
    keys = ["scans", "people", *(key for key, _stage in selectors.stages())]
    keys += [f"{prefix}_{days}" for prefix in ("kept", "old") for days in selectors.STAYS]
    links = {key: page + options.query(figure=key, **where) for key in keys}
    return links | {case: page + options.query(figure="scans", case=case, **where) for case in TouchCase.values}


def path_of_text(text: str) -> Path:
    """Read a path from an address; anything else gives no path."""
    parts = text.split("-") if text and len(text) <= LONGEST_PATH else []
    if all(part.isascii() and part.isdigit() and len(part) < 19 for part in parts):
        return tuple(int(part) for part in parts)
    return ()


def funnel(figures: Figures, links: dict[str, str]) -> list[dict[str, Any]]:
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


def nodes_of(rows: Iterable[Touchpoint]) -> list[Node]:
    """Give rows as the shape of the tree needs them."""
    return [Node(row.pk, row.name, row.parent_id, bool(row.scene), row.archived_at) for row in rows]


def scoped_whole(lines: Sequence[Line]) -> Figures:
    """Give the sum of the lines at the top: the whole of what the person sees."""
    whole = Figures()
    for line in lines:
        if line.level == 1:
            whole.add(line.figures)
    return whole


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


# --- permanent codes -------------------------------------------------------------------------------------------------

NEARLY_SPENT: Final = 0.8


def code_meters(at: datetime) -> list[dict[str, Any]]:
    """Give how many permanent codes each account has spent, and what happens next."""
    accounts = OfficialAccount.objects.filter(is_active=True).order_by("pk")
    return [
        {"meter": meter, "label": meter.account.name, "parts": _spent_on(meter), "next": _what_next(meter)}
        for meter in selectors.code_meters(accounts, now=at)
    ]


def _spent_on(meter: CodeMeter) -> list[str]:
    parts = [ngettext("%(count)s made here", "%(count)s made here", meter.made) % {"count": f"{meter.made:,}"}]
    if meter.ordered:
        parts.append(_("%(count)s ordered and not made yet") % {"count": f"{meter.ordered:,}"})
    if meter.elsewhere:
        parts.append(_("%(count)s made elsewhere") % {"count": f"{meter.elsewhere:,}"})
    if meter.lost and not meter.repeats_are_free:
        parts.append(_("%(count)s perhaps spent: WeChat's answer was lost") % {"count": f"{meter.lost:,}"})
    return parts


def _what_next(meter: CodeMeter) -> str:
    if not meter.left:
        return _("No permanent code can be made any more: WeChat takes none back. Temporary codes go on as before.")
    months = meter.months_left
    if months is not None and months < MONTHS_AHEAD:
        text = _(
            "At the pace of the last 30 days the rest lasts %(months)s months, then only temporary codes are left."
        )
        return text % {"months": months}
    if meter.used >= NEARLY_SPENT * meter.limit:
        return _("Nearly spent. At the limit only temporary codes can be made: keep the rest for signs that stay.")
    return ""


MONTHS_AHEAD: Final = 24
