"""What channel codes give, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.db.models import Count
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from common import clock
from coupons.models import Outcome, ScanGrant, Template, TemplateState, TemplateVersion
from coupons.rules import last_moment, read
from loyalty.selectors.points import zone
from touchpoints.selectors import Offer, Tally

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import datetime

KIND: Final = "coupon"  # of what codes give
LABEL: Final = gettext_lazy("Coupon")


def choices() -> list[tuple[int, str]]:
    """Give the coupons that codes can give: those that are given now."""
    rows = Template.objects.filter(state=TemplateState.ACTIVE).order_by("name", "pk")
    return list(rows.values_list("pk", "name")[:500])


def offers(ids: Iterable[int]) -> dict[int, Offer]:
    """Name some of them, and say of which nobody gets one now."""
    rows = list(Template.objects.filter(pk__in=list(ids)).order_by("pk"))
    versions = TemplateVersion.objects.filter(template__in=rows).order_by("template_id", "-number")
    ends = {row.template_id: last_moment(read(row.rule), zone()) for row in versions.distinct("template_id")}
    return {
        row.pk: Offer(row.name, _problem(row, ends.get(row.pk)), str(row.public_id), ends.get(row.pk)) for row in rows
    }


def _problem(row: Template, ends_at: datetime | None) -> str:
    if row.state != TemplateState.ACTIVE:
        return _("This coupon is not given now: scanning gives nothing. Choose another, or turn it on again.")
    if ends_at is not None and ends_at <= clock.now():
        return _("The last day of this coupon is over: scanning gives nothing. Choose another, or change its days.")
    if row.total is not None and row.taken >= row.total:
        return _("All coupons of this template are given: scanning gives nothing. Raise the number, or choose another.")
    return ""


def tallies(codes: Collection[int]) -> dict[int, Tally]:
    """Count what came of the coupons of some codes, whatever they give now."""
    rows = ScanGrant.objects.filter(touchpoint_id__in=codes).values("touchpoint_id", "outcome")
    found: dict[int, dict[str, int]] = {}
    for row in rows.annotate(people=Count("pk")).order_by("touchpoint_id", "outcome"):
        found.setdefault(row["touchpoint_id"], {})[row["outcome"]] = row["people"]
    return {
        code: Tally(
            given=counts.get(Outcome.GIVEN, 0),
            waiting=counts.get("", 0),
            refused={key: number for key, number in counts.items() if key not in ("", Outcome.GIVEN)},
        )
        for code, counts in found.items()
    }


def outcomes(codes: Collection[int], people: Collection[int]) -> dict[tuple[int, int], str]:
    """Say what came of it for some people at some codes."""
    rows = ScanGrant.objects.filter(touchpoint_id__in=codes, member_id__in=people).order_by("pk")
    return {
        (code, person): _("coupon given") if outcome == Outcome.GIVEN else in_words(outcome)
        for code, person, outcome in rows.values_list("touchpoint_id", "member_id", "outcome")
    }


def in_words(outcome: str) -> str:
    """Say why a code gave somebody no coupon, or that it is about to."""
    if not outcome:
        return _("the coupon is about to be given")
    return _("no coupon: %(why)s") % {"why": reason(outcome)}


def reason(outcome: str) -> str:
    """Name a reason."""
    return str(Outcome(outcome).label) if outcome in Outcome.values else outcome
