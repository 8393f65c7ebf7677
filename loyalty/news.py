"""Kinds of news that people are told by itself; apps above register theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from django.utils.translation import get_language, gettext_lazy

from common.registry import Registry
from loyalty.models import BirthdayGrant, ExpiryWarning, Notice

if TYPE_CHECKING:
    from datetime import datetime

    from django_stubs_ext import StrOrPromise


@dataclass(frozen=True)
class Item:
    """One thing somebody is still to be told: who, and what its words are, by name."""

    member_id: int
    words: Mapping[str, str]


class Source(Protocol):
    """Where notices of a kind come from, and whether they are still true."""

    def find(self, *, days: int, at: datetime) -> int:
        """Note who is to be told of what ends within some days; gives how many notices are new."""
        ...

    def still(self, rows: Sequence[Notice], *, at: datetime) -> Mapping[int, Item]:
        """Give what is still true of notices, by their keys; what was used, moved or overtaken is left out."""
        ...

    def together(self, items: Sequence[Item]) -> Mapping[str, str]:
        """Give the words of one message about everything somebody is to be told."""
        ...


@dataclass(frozen=True)
class Kind:
    """One kind of news: what is filled in (English and Chinese), and by what it may travel.

    `text` is proposed to brands; nothing is sent before they say so. Without a `source` the kind keeps rows of its own
    and its words stand in settings of its own (points, birthdays). `in_advance`: told so many days before.
    """

    label: StrOrPromise
    words: Mapping[str, str]  # name → how it is written in Chinese; in English it is the name
    samples: Mapping[str, str]
    text: str = ""
    by_template: bool = False  # only what people have, no wishes and no offers (reference: service account 5.6)
    proposed: Mapping[str, str] = field(default_factory=dict)  # by the type of a template's field
    source: Source | None = None
    in_advance: bool = False
    rows: type[ExpiryWarning | BirthdayGrant | Notice] = Notice

    def spellings(self, name: str) -> tuple[str, str]:
        """Give how a word may be written in a text, in either language of the console."""
        return f"{{{name}}}", f"{{{self.words[name]}}}"

    def spelled(self) -> dict[str, str]:
        """Give how each word is written in the language of the console."""
        chinese = (get_language() or "").startswith("zh")
        return {name: self.spellings(name)[chinese] for name in self.words}

    def shown(self, text: str) -> str:
        """Write a stored text in the language of the console."""
        for name, word in self.spelled().items():
            for spelling in self.spellings(name):
                text = text.replace(spelling, word)
        return text


kinds: Final[Registry[Kind]] = Registry("news kinds", purpose="what people are told by itself of what they have")

_NAME: Final = {"name": "{姓名|会员}"}

kinds.register(
    "points",
    Kind(
        gettext_lazy("Points that end soon"),
        words={"points": "积分", "day": "日期", "lots": "明细"},
        samples={"points": "1,280", "day": "2026-12-31", "lots": "2026-12-31：1,280"},
        by_template=True,
        proposed={
            "number": "{points}",
            "character_string": "{points}",
            "date": "{day}",
            "time": "{day} 23:59",
            **_NAME,
        },
        rows=ExpiryWarning,
    ),
)
kinds.register(
    "birthday",
    Kind(
        gettext_lazy("Birthday benefit"),
        words={"benefit": "礼遇"},
        samples={"benefit": "100"},
        proposed=_NAME,
        rows=BirthdayGrant,
    ),
)
