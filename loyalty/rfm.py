"""RFM: eight groups by how lately, how often and for how much people bought."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.utils.translation import gettext_lazy

from members.recipes import Recipe, recipes
from members.segments import Field

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django_stubs_ext import StrOrPromise

# Lately, often, much: the usual eight names, the most valuable first.
GROUPS: Final[tuple[tuple[StrOrPromise, bool, bool, bool], ...]] = (
    (gettext_lazy("Important: champions"), True, True, True),
    (gettext_lazy("Important: to develop"), True, False, True),
    (gettext_lazy("Important: to keep"), False, True, True),
    (gettext_lazy("Important: to win back"), False, False, True),
    (gettext_lazy("Ordinary: regulars"), True, True, False),
    (gettext_lazy("Ordinary: to develop"), True, False, False),
    (gettext_lazy("Ordinary: to keep"), False, True, False),
    (gettext_lazy("Ordinary: to win back"), False, False, False),
)


def _stages(numbers: Mapping[str, int]) -> list[tuple[str, dict[str, Any]]]:
    window, recent = numbers["window_days"], numbers["recent_days"]

    def asks(key: str, holds: bool, **params: int) -> dict[str, Any]:
        return {"condition": key, "params": {"how": "least" if holds else "less", **params}}

    return [
        (
            str(name),
            {
                "all": [
                    asks("orders", True, times=1, days=window),
                    asks("orders", lately, times=1, days=recent),
                    asks("orders", often, times=numbers["times"], days=window),
                    asks("spent", much, yuan=numbers["yuan"], days=window),
                ]
            },
        )
        for name, lately, often, much in GROUPS
    ]


recipes.register(
    "rfm",
    Recipe(
        gettext_lazy("RFM"),
        gettext_lazy("Buyers in eight groups by how lately, how often and for how much they bought."),
        (
            Field("window_days", gettext_lazy("Purchases of how many days"), "number", (), 365, 1, 3650),
            Field("recent_days", gettext_lazy("Lately: bought within days"), "number", (), 90, 1, 3650),
            Field("times", gettext_lazy("Often: purchases at least"), "number", (), 3, 1, 1000),
            Field("yuan", gettext_lazy("Much: yuan at least"), "number", (), 2000, 1, 100_000_000),
        ),
        _stages,
    ),
)
