"""Groupings out of the box: a few numbers that an operator understands become the rules of all stages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext

from common.registry import Registry
from members.errors import GroupingInvalid
from members.happenings import happenings
from members.segments import Field

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from django_stubs_ext import StrOrPromise


LIFECYCLE: Final = "lifecycle"
LONGEST: Final = 3650  # days


@dataclass(frozen=True)
class Recipe:
    """One grouping: its name, what it is good for, its numbers, and the stages (name, rule) that follow from them."""

    label: StrOrPromise
    meaning: StrOrPromise
    fields: tuple[Field, ...]
    stages: Callable[[Mapping[str, int]], list[tuple[str, dict[str, Any]]]]


recipes: Registry[Recipe] = Registry("grouping recipes", purpose="groupings that a brand gets at one tap")


def defaults(recipe: Recipe) -> dict[str, int]:
    """Give the numbers a recipe begins with."""
    return {each.name: each.default for each in recipe.fields}


def read_settings(recipe: Recipe, given: Mapping[str, Any]) -> dict[str, int]:
    """Check the numbers of a recipe; those left out keep their defaults. Raises `GroupingInvalid` with the field."""
    unknown = set(given) - {each.name for each in recipe.fields}
    if unknown:
        raise GroupingInvalid(min(unknown)[:40], _("This parameter is unknown."))
    found = {}
    for each in recipe.fields:
        value = given.get(each.name, each.default)
        low, high = each.minimum or 0, each.maximum or 0
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise GroupingInvalid(
                each.name, _("A number from %(low)s to %(high)s is expected here.") % {"low": low, "high": high}
            )
        found[each.name] = value
    return found


def _days(name: str, label: StrOrPromise, default: int) -> Field:
    return Field(name, label, "number", default=default, minimum=1, maximum=LONGEST)


def _lifecycle(numbers: Mapping[str, int]) -> list[tuple[str, dict[str, Any]]]:
    """Give the eight stages, the last one first: whoever fits several stands in the furthest.

    A stage is entered when its rule begins to hold and no stage above it fits; it is left when its rule holds no more
    (its days have passed, the purchase came back, the account is not followed any more) or one above it fits.
    """
    bought, scanned = _ending(".purchase"), _ending(".scanned")

    def did(event: str, times: int, days: int) -> dict[str, Any]:
        return {"condition": "event", "params": {"how": "did", "event": event, "times": times, "days": days}}

    def heard_of(days: int) -> dict[str, Any]:
        return {"condition": "last_interaction", "params": {"how": "within", "days": days}}

    def yes(key: str) -> dict[str, Any]:
        return {"condition": key, "params": {"value": "yes"}}

    stages: list[tuple[str, dict[str, Any]]] = []
    likes: list[dict[str, Any]] = []
    if scanned:
        likes.append(did(scanned, numbers["preference_times"], numbers["preference_days"]))
    if bought:
        days = numbers["buying_days"]
        # Longer ago than what counts as a purchase above; whoever has gone since is outside.
        likes.append({"all": [did(bought, 1, LONGEST), yes("subscribed")]})
        stages = [
            (pgettext("life cycle", "Buys again"), {"all": [did(bought, 2, days)]}),
            (
                pgettext("life cycle", "Brand user"),
                {"all": [did(bought, 1, days), yes("joined"), heard_of(numbers["member_days"])]},
            ),
            (pgettext("life cycle", "Bought"), {"all": [did(bought, 1, days)]}),
        ]
    return [
        *stages,
        (pgettext("life cycle", "Takes part"), {"all": [yes("joined"), heard_of(numbers["active_days"])]}),
        *([(pgettext("life cycle", "Prefers products"), {"any": likes})] if likes else []),
        (pgettext("life cycle", "Interested in the brand"), {"all": [heard_of(numbers["interested_days"])]}),
        (pgettext("life cycle", "Knows the brand"), {"all": [yes("subscribed")]}),
        (pgettext("life cycle", "Came in from outside"), {"none": [yes("subscribed")]}),
    ]


def _ending(name: str) -> str | None:
    return next((key for key, _item in happenings.items() if key.endswith(name)), None)


recipes.register(
    LIFECYCLE,
    Recipe(
        gettext_lazy("Life cycle"),
        gettext_lazy("From the first contact to buying again: where everybody stands with the brand."),
        (
            _days("buying_days", gettext_lazy("Bought within days"), 365),
            _days("member_days", gettext_lazy("Brand user: a member heard of within days"), 90),
            _days("active_days", gettext_lazy("Takes part: a member heard of within days"), 7),
            Field(
                "preference_times",
                gettext_lazy("Prefers products: scanned codes, times at least"),
                "number",
                default=2,
                minimum=1,
                maximum=1000,
            ),
            _days("preference_days", gettext_lazy("Prefers products: within days"), 90),
            _days("interested_days", gettext_lazy("Interested: heard of within days"), 30),
        ),
        _lifecycle,
    ),
)
