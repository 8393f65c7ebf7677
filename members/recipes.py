"""Groupings out of the box: a few numbers that an operator understands become the rules of all stages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from common.registry import Registry
from members.errors import GroupingInvalid
from members.happenings import happenings
from members.segments import Field

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from django_stubs_ext import StrOrPromise


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
    return Field(name, label, "number", default=default, minimum=1, maximum=3650)


def _lifecycle(numbers: Mapping[str, int]) -> list[tuple[str, dict[str, Any]]]:
    bought = next((key for key, _item in happenings.items() if key.endswith(".purchase")), None)

    def buys(times: int) -> dict[str, Any]:
        days = numbers["buying_days"]
        return {"condition": "event", "params": {"how": "did", "event": bought, "times": times, "days": days}}

    def heard_of(days: int) -> dict[str, Any]:
        return {"condition": "last_interaction", "params": {"how": "within", "days": days}}

    def yes(key: str) -> dict[str, Any]:
        return {"condition": key, "params": {"value": "yes"}}

    stages = [(_("Bought again"), {"all": [buys(2)]}), (_("Bought"), {"all": [buys(1)]})] if bought else []
    return [
        *stages,
        (_("Brand member"), {"all": [yes("joined"), heard_of(numbers["member_days"])]}),
        (_("Takes part"), {"all": [heard_of(numbers["active_days"])]}),
        (_("Interested"), {"all": [heard_of(numbers["interested_days"])]}),
        (_("Knows the brand"), {"all": [yes("subscribed")]}),
        (_("Contact only"), {"none": [yes("subscribed")]}),
    ]


recipes.register(
    "lifecycle",
    Recipe(
        gettext_lazy("Life cycle"),
        gettext_lazy("From the first contact to buying again: where everybody stands with the brand."),
        (
            _days("buying_days", gettext_lazy("Bought within days"), 365),
            _days("member_days", gettext_lazy("Member heard of within days"), 90),
            _days("active_days", gettext_lazy("Takes part: heard of within days"), 7),
            _days("interested_days", gettext_lazy("Interested: heard of within days"), 30),
        ),
        _lifecycle,
    ),
)
