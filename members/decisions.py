"""What programs decide about people, in words: every app registers what its own programs decide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from django.utils import timezone
from django.utils.translation import gettext as _

from common.registry import Registry
from members.errors import RuleInvalid
from members.segments import sentence
from stores.selectors import brand_zone

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from members.models import Member
    from members.why import Part


@dataclass(frozen=True)
class Decision:
    """One thing that was decided about a person: what, why (each a sentence), and when."""

    what: str
    because: tuple[str, ...]
    at: datetime | None = None


@dataclass(frozen=True)
class Decider:
    """A kind of decision. `refusing` says how a person gets out of it, or who looks at it again where they cannot.

    `ends_with_switch`: it is not made of who has turned personalised messages off.
    """

    label: Any
    refusing: Any
    explain: Callable[[Member, datetime], list[Decision]]
    order: int
    ends_with_switch: bool = False


deciders: Registry[Decider] = Registry(
    "automated decisions", purpose="what members are told about decisions that programs make of them"
)


@dataclass(frozen=True)
class Explained:
    """What programs decided about one person in one respect."""

    key: str
    label: str
    refusing: str
    ends_with_switch: bool
    decisions: tuple[Decision, ...]


def decisions_about(member: Member, *, at: datetime) -> list[Explained]:
    """Explain everything programs decided about a person, by the brand's clock; kinds without any are there, too."""
    with timezone.override(ZoneInfo(brand_zone())):
        return [
            Explained(key, str(item.label), str(item.refusing), item.ends_with_switch, tuple(item.explain(member, at)))
            for key, item in sorted(deciders.items(), key=lambda pair: (pair[1].order, pair[0]))
        ]


def said(rule: object) -> str:
    """Say a rule as a sentence; one that names what is gone says so."""
    try:
        return sentence(rule)
    except RuleInvalid:
        return _("a rule that names something which is no longer there")


def broken(part: Part, *, wanted: bool = True) -> list[str]:
    """Give the conditions because of which a rule did not come out as `wanted`, each with the fact behind it."""
    if part.holds is wanted:
        return []
    if part.sentence:
        text = _("“%(rule)s” is not so") if wanted else _("“%(rule)s” is so")
        text = _("whether “%(rule)s” is not known any more") if part.holds is None else text
        fact = _(" (%(fact)s)") % {"fact": part.fact} if part.fact and part.holds is not None else ""
        return [text % {"rule": part.sentence} + fact]
    inner = wanted is not (part.kind == "none")
    return [line for each in part.parts for line in broken(each, wanted=inner)]
