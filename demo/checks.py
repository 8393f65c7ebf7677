"""What the product's own reports say of a demo brand, compared with what is true of it.

A check gives the figure of a report under the name the truth has for it: a number, or numbers by name. `planted` truths
are what the loader did, `crowd` those of a planted crowd, `whole` both together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db.models import Count

from accounts.tenancy import current_brand_id
from accounts.viewer import Viewer
from coupons.models import Template
from coupons.selectors.figures import Figures, figures_of
from demo.truth import COUPONS, coupon_key
from inbox.figures import response_times
from inbox.selectors import waiting_counts
from loyalty import rfm_matrix
from loyalty.models import Tier
from loyalty.places import added_up
from loyalty.selectors.points import zone
from loyalty.selectors.tiers import people_in
from members.figures import PEOPLE_PER_TAG, count_anew, figures
from members.models import Doubt, DoubtState, Identity, Tag
from members.segments import matching
from members.selectors import how_many
from stores.models import Store
from touchpoints.models import Touch, Touchpoint
from touchpoints.selectors import Window, counted_credits, freshness, summed_credits, tree_figures

FEW: Final = 5_000  # touches that are looked at one by one
FATES: Final = ("given", "used", "expired", "unused")
Report = Callable[[Viewer, datetime], "int | Mapping[str, int]"]
checks: Final[dict[str, Report]] = {}


@dataclass(frozen=True)
class Compared:
    """A figure as it is, and as a report tells it; None: the report does not tell it at all."""

    key: str
    true: int
    told: int | None

    @property
    def is_right(self) -> bool:
        """Say whether both are the same."""
        return self.true == self.told


def check(key: str) -> Callable[[Report], Report]:
    """Register the report that tells a figure of the truth."""

    def register(report: Report) -> Report:
        checks[key] = report
        return report

    return register


def compare(true: Mapping[str, Any], *, at: datetime) -> Iterator[Compared]:
    """Ask the report of every figure of a truth that has one; in the brand's scope."""
    viewer = Viewer(None, "demo", current_brand_id(), "OWNER")
    for key, report in checks.items():
        if key not in true:
            continue
        told, known = report(viewer, at), true[key]
        if isinstance(told, Mapping):
            yield from (Compared(f"{key}: {name}", figure, told.get(name)) for name, figure in known.items())
        else:
            yield Compared(key, known, told)


def _people(condition: str, at: datetime, **params: Any) -> int:
    return how_many({"all": [{"condition": condition, "params": params}]}, at=at)


@check("following")
def _following(_viewer: Viewer, at: datetime) -> int:
    return _people("subscribed", at, value="yes")


@check("members")
def _members(_viewer: Viewer, at: datetime) -> int:
    return _people("joined", at, value="yes")


@check("with_guide")
def _with_guide(_viewer: Viewer, at: datetime) -> int:
    return _people("any_guide", at, value="yes")


@check("tags")
def _tags(_viewer: Viewer, at: datetime) -> dict[str, int]:
    tags = dict(Tag.objects.order_by("pk").values_list("pk", "name"))
    people = figures.get(PEOPLE_PER_TAG)({"tags": list(tags)}, at)
    return {name: people.get(str(pk), 0) for pk, name in tags.items()}


@check("people_by_store")
def _people_by_store(_viewer: Viewer, at: datetime) -> dict[str, int]:
    stores = dict(Store.objects.order_by("pk").values_list("pk", "name"))
    anywhere = matching({"all": [{"condition": "store", "params": {"stores": list(stores)}}]}, at=at)
    people = dict(anywhere.order_by().values_list("store_id").annotate(people=Count("pk")))
    return {name: people.get(pk, 0) for pk, name in stores.items()}


@check("came_by_code")
def _came_by_code(_viewer: Viewer, at: datetime) -> dict[str, int]:
    """Ask the report of channels: of few touches at once, of many once workers have made the sums it reads then.

    Until then it would ask person by person for a quarter of an hour; the touches are counted instead.
    """
    codes = dict(Touchpoint.objects.exclude(scene="").order_by("pk").values_list("pk", "name"))
    fresh = freshness(at=at, zone=zone())
    if not (fresh.is_ready and not fresh.waiting) and Touch.objects.order_by("pk")[FEW : FEW + 1].exists():
        firsts = Touch.objects.order_by("member_id", "at", "pk").distinct("member_id")
        rows = Touch.objects.filter(pk__in=firsts.values("pk"), touchpoint__in=codes).order_by()
        people = dict(rows.values_list("touchpoint_id").annotate(people=Count("pk")))
        return {name: people.get(pk, 0) for pk, name in codes.items()}
    credited = summed_credits if fresh.is_ready and not fresh.waiting else counted_credits
    found = tree_figures(Window(None, at), model="first", now=at, zone=zone(), credited=credited)
    return {name: found.nodes[pk].people("follow") for pk, name in codes.items() if pk in found.nodes}


@check("buyers")
def _buyers(_viewer: Viewer, at: datetime) -> int:
    return sum(cell.people for cell in _matrix(at).values())


@check("net_fen")
def _net(_viewer: Viewer, at: datetime) -> int:
    return sum(cell.fen for cell in _matrix(at).values())


def _matrix(at: datetime) -> dict[tuple[int, int], rfm_matrix.Cell]:
    return rfm_matrix.matrix(rfm_matrix.Bands(), at=at, everybody=True)


@check("buyers_by_province")
def _buyers_by_province(_viewer: Viewer, at: datetime) -> dict[str, int]:
    return {row[1]: row[3] for row in added_up(at=at, days=365) if row[0] == "province"}


@check("members_by_tier")
def _members_by_tier(_viewer: Viewer, at: datetime) -> dict[str, int]:
    tiers = dict(Tier.objects.values_list("pk", "name"))
    count_anew("loyalty.newcomers", {}, at=at)  # of a large brand the page shows what was counted last
    return {tiers[pk]: people for pk, people in people_in(tiers, at=at).items()}


@check("coupons")
def _coupons(_viewer: Viewer, at: datetime) -> dict[str, int]:
    names = {name: which for which, (name, _fen) in enumerate(COUPONS)}
    templates = dict(Template.objects.filter(name__in=names).order_by("pk").values_list("pk", "name"))
    told = {}
    for pk, row in (dict.fromkeys(templates, Figures()) | figures_of(list(templates), at=at)).items():
        for what, figure in zip(FATES, (row.given, row.used, row.expired, row.unused), strict=True):
            told[coupon_key(names[templates[pk]], what)] = figure
    return told


@check("answered")
def _answered(viewer: Viewer, at: datetime) -> int:
    return sum(row.count for row in response_times(viewer, by="store", at=at, days=90))


@check("waiting")
def _waiting(viewer: Viewer, _at: datetime) -> int:
    return waiting_counts(viewer)["waiting"]


@check("to_decide")
def _to_decide(_viewer: Viewer, _at: datetime) -> int:
    return Doubt.objects.filter(state=DoubtState.OPEN).count()


@check("pending_ids")
def _pending_ids(_viewer: Viewer, _at: datetime) -> int:
    return Identity.objects.filter(kind="PENDING", ended_at=None).count()
