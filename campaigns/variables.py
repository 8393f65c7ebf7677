"""Variables in a message, written `{姓名}` or with a fallback `{姓名|会员}`: facts frozen per person at the launch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from common.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from django.utils.functional import _StrPromise

    from members.models import Member

_VARIABLE: Final = re.compile(r"\{([^{}|\n]{1,30})(?:\|([^{}\n]{0,60}))?\}")


@dataclass(frozen=True)
class Variable:
    """A fact about a person. `name` is what operators write between braces.

    `column` gives it in SQL for the member row `m` (text, never null); `read` gives the same in Python.
    """

    key: str
    name: str
    label: _StrPromise
    column: str
    read: Callable[[Member], str]


variables: Registry[Variable] = Registry("message variables", purpose="what can be written between braces in a message")


def register(variable: Variable) -> Variable:
    """Add a variable, known by its key and by its name."""
    return variables.register(variable.key, variable, aliases=(variable.name,))


register(Variable("name", "姓名", pgettext_lazy("of a person", "name"), "m.name", lambda member: member.name))
register(Variable("member_no", "会员号", _("member number"), "m.member_no", lambda member: member.member_no))
register(Variable("phone_tail", "手机尾号", _("phone tail"), "m.phone_tail", lambda member: member.phone_tail))
register(Variable("city", "城市", _("city"), "m.city", lambda member: member.city))
register(
    Variable(
        "store",
        "门店",
        _("store"),
        "coalesce((SELECT s.name FROM stores_store s WHERE s.brand_id = m.brand_id AND s.id = m.store_id), '')",
        lambda member: member.store.name if member.store else "",
    ),
)


@dataclass(frozen=True)
class Rendered:
    """A text with its variables filled in, and what could not be filled."""

    text: str
    unknown: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()


def names_in(texts: Iterable[str]) -> tuple[list[Variable], list[str]]:
    """Give the known variables that texts use, ordered by key, and the names nobody knows."""
    used: dict[str, Variable] = {}
    unknown: list[str] = []
    for text in texts:
        for match in _VARIABLE.finditer(text):
            variable = variables.find(match[1].strip())
            if variable is None:
                unknown.append(match[1])
            else:
                used[variable.key] = variable
    return [used[key] for key in sorted(used)], unknown


def facts_of(member: Member, used: Iterable[Variable]) -> dict[str, str]:
    """Give the facts of one person as they would be frozen."""
    return {variable.key: variable.read(member) for variable in used}


def render(text: str, facts: Mapping[str, str]) -> Rendered:
    """Fill in the variables of a text; a fact that is empty takes the fallback."""
    unknown: list[str] = []
    empty: list[str] = []

    def fill(match: re.Match[str]) -> str:
        variable = variables.find(match[1].strip())
        if variable is None:
            unknown.append(match[1])
            return match[0]
        value = facts.get(variable.key, "") or match[2] or ""
        if not value:
            empty.append(match[1])
        return value

    return Rendered(_VARIABLE.sub(fill, text), tuple(unknown), tuple(empty))
