"""What the product's own reports say of a demo brand, compared with what is true of it.

A check gives the figure of a report under the name the truth has for it: a number, or numbers by name. `planted` truths
are what the loader did, `crowd` those of a planted crowd, `whole` both together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from accounts.tenancy import current_brand_id
from accounts.viewer import Viewer
from coupons.models import Template
from coupons.selectors.figures import Figures, figures_of
from demo.truth import COUPON
from inbox.figures import response_times
from inbox.selectors import waiting_counts
from loyalty import rfm_matrix
from loyalty.models import Tier
from loyalty.places import added_up
from loyalty.selectors.points import zone
from loyalty.selectors.tiers import people_in
from members.models import Doubt, DoubtState, Tag
from members.selectors import how_many
from stores.models import Store
from touchpoints.models import Touchpoint
from touchpoints.selectors import Window, tree_figures

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
    tags = Tag.objects.order_by("pk").values_list("name", "pk")
    return {name: _people("tag", at, how="any", tags=[pk]) for name, pk in tags}


@check("people_by_store")
def _people_by_store(_viewer: Viewer, at: datetime) -> dict[str, int]:
    stores = Store.objects.order_by("pk").values_list("name", "pk")
    return {name: _people("store", at, stores=[pk]) for name, pk in stores}


@check("came_by_code")
def _came_by_code(_viewer: Viewer, at: datetime) -> dict[str, int]:
    found = tree_figures(Window(None, at), model="first", now=at, zone=zone())
    codes = Touchpoint.objects.exclude(scene="").values_list("pk", "name")
    return {name: found.nodes[pk].people("follow") for pk, name in codes if pk in found.nodes}


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
    return {tiers[pk]: people for pk, people in people_in(tiers, at=at).items()}


@check("coupons")
def _coupons(_viewer: Viewer, at: datetime) -> dict[str, int]:
    template = Template.objects.filter(name=COUPON).first()
    row = figures_of([template.pk], at=at).get(template.pk, Figures()) if template else Figures()
    return {"given": row.given, "used": row.used, "expired": row.expired, "unused": row.unused}


@check("answered")
def _answered(viewer: Viewer, at: datetime) -> int:
    return sum(row.count for row in response_times(viewer, by="store", at=at, days=90))


@check("waiting")
def _waiting(viewer: Viewer, _at: datetime) -> int:
    return waiting_counts(viewer)["waiting"]


@check("to_decide")
def _to_decide(_viewer: Viewer, _at: datetime) -> int:
    return Doubt.objects.filter(state=DoubtState.OPEN).count()
