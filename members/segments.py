"""Segment rules: JSON in, one SQL predicate and one sentence out.

A rule is `{"all": […]}`, `{"any": […]}` or `{"none": […]}` with groups and leaves inside; a leaf is
`{"condition": "<key>", "params": {…}}`. Conditions are classes that register themselves (docs/extending.md).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from common.registry import Registry
from members import nesting
from members.errors import RuleInvalid
from members.models import Member

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from django.db.models import QuerySet

MAX_DEPTH = 5
MAX_LEAVES = 50
MOST_WORDS = 50
WORD_LENGTH = 40
MOST_PICKED = 200
LARGEST_ID = 2**63 - 1
GROUPS = {"all": gettext_lazy("all of"), "any": gettext_lazy("any of"), "none": gettext_lazy("none of")}


@dataclass(frozen=True)
class Field:
    """One parameter of a condition, as the builder screen and the API describe it.

    `kind` is one of choice, number, words (a list of texts), or a key of `members.picks`; `choices` are (value, label)
    pairs.
    """

    name: str
    label: Any
    kind: str
    choices: tuple[tuple[str, Any], ...] = ()
    default: Any = None
    minimum: int | None = None
    maximum: int | None = None


class Condition(Protocol):
    """A leaf of a rule. `Params` is a frozen dataclass; `clean` checks it, `to_q` gives its predicate on members.

    A condition may also have: `exact_past` (`to_q` is right for past moments, too), `was_q(params, at)` (the predicate
    of a past moment, from what was written down), `was(params, person)` (whether it held for a `PersonAt`, None where
    it is not known), `fact(params, person)` (what it looked at, in words), and
    `turns(params, since, until)`: querysets of ids of members for whom time alone may change the answer between two
    moments. Without `turns` (or when it gives None) a kept segment with it is found anew each time.
    """

    key: ClassVar[str]
    label: ClassVar[Any]
    Params: ClassVar[type]
    fields: ClassVar[tuple[Field, ...]]

    def clean(self, params: Any) -> str | None:
        """Give what is wrong with the parameters, or None."""
        ...

    def to_q(self, params: Any, at: datetime) -> Q:
        """Give the predicate on `Member` at a moment."""
        ...

    def sentence(self, params: Any) -> str:
        """Say the condition in the language of the reader."""
        ...


conditions: Registry[Condition] = Registry("segment conditions", purpose="what a segment can ask about people")


def condition(cls: type) -> type:
    """Register a condition class under its `key`."""
    conditions.register(cls.key, cls())  # type: ignore[attr-defined]
    return cls


def compile_rule(rule: object, *, at: datetime) -> Q:
    """Turn a rule into a predicate; raises `RuleInvalid` with the path of the first fault."""
    predicate: Q = _read(rule, lambda item, params: item.to_q(params, at), _join)
    return predicate


def walk(rule: object, leaf: Callable[[Condition, Any], Any], join: Callable[[str, list[Any]], Any]) -> Any:
    """Read a rule once: `leaf` makes something of each condition, `join` of each group. Raises `RuleInvalid`."""
    return _read(rule, leaf, join)


def turning(rule: object, *, since: datetime, until: datetime) -> list[QuerySet[Any]] | None:
    """Give querysets of ids of members for whom time alone may change the answer between two moments.

    None when a condition of the rule cannot tell.
    """
    parts: list[list[QuerySet[Any]] | None] = []

    def leaf(item: Condition, params: Any) -> None:
        turns = getattr(item, "turns", None)
        parts.append(None if turns is None else turns(params, since, until))

    _read(rule, leaf, lambda _kind, _parts: None)
    return None if None in parts else [each for part in parts if part is not None for each in part]


def crossed(
    rows: QuerySet[Any], member: str, column: str, since: datetime, until: datetime, *, days: int = 0
) -> QuerySet[Any]:
    """Give the ids of members with a row whose moment lies between two moments, both some days back."""
    window = {f"{column}__gte": days_back(since, days), f"{column}__lte": days_back(until, days)}
    return rows.filter(**window).order_by().values_list(member, flat=True)


def matching(rule: object, *, at: datetime) -> QuerySet[Member]:
    """Give the members a rule selects (brand in scope; merged records and people whose data was deleted left out)."""
    return Member.objects.filter(compile_rule(rule, at=at), merged_into__isnull=True, erased_at__isnull=True)


def sentence(rule: object) -> str:
    """Say a rule as one sentence; an empty rule is everybody."""
    text: str = _read(rule, lambda item, params: item.sentence(params), _say)
    return text or _("everybody")


def mentioned(rule: object, kind: str) -> dict[int, str]:
    """Give the rows a rule names in fields of a kind (such as `tags`), each with the path where it does."""
    found: dict[int, str] = {}
    _mentioned(rule, "", kind, found)
    return found


def _mentioned(node: object, path: str, kind: str, found: dict[int, str]) -> None:
    if not isinstance(node, dict):
        return
    if "condition" in node:
        item, params = conditions.find(str(node["condition"])), node.get("params")
        for each in item.fields if item and isinstance(params, dict) else ():
            value = params.get(each.name) if isinstance(params, dict) else None
            if each.kind == kind and isinstance(value, list):
                found.update(dict.fromkeys((pk for pk in value if isinstance(pk, int)), f"{path}.params.{each.name}"))
        return
    for key, children in node.items():
        for index, child in enumerate(children if isinstance(children, list) else ()):
            _mentioned(child, f"{path}.{key}[{index}]".lstrip("."), kind, found)


def describe() -> list[dict[str, Any]]:
    """Describe every condition for a builder: key, label, fields (name, label, kind, choices, default, limits)."""
    return [
        {"key": key, "label": str(item.label), "fields": [_describe_field(each) for each in item.fields]}
        for key, item in conditions.items()
    ]


def _describe_field(each: Field) -> dict[str, Any]:
    described = dataclasses.asdict(each)
    described["label"] = str(each.label)
    described["choices"] = [[value, str(label)] for value, label in each.choices]
    return described


def _join(kind: str, parts: list[Q]) -> Q:
    if kind == "none":
        return ~_join("any", parts) if parts else Q()
    joined = Q()
    for part in parts:
        joined = joined | part if kind == "any" else joined & part
    return joined


class _Phrase(str):
    """Several parts joined by a word: it needs brackets inside another phrase."""

    __slots__ = ()


def _say(kind: str, parts: list[str]) -> str:
    if not parts:
        return ""
    said = [_("(%(parts)s)") % {"parts": part} if isinstance(part, _Phrase) else part for part in parts]
    if kind == "none":
        return _("not (%(parts)s)") % {"parts": _joined(_(" or "), said)}
    if len(said) == 1:
        return parts[0]
    return _Phrase(_joined(_(" and ") if kind == "all" else _(" or "), said))


def _joined(word: str, parts: list[str]) -> str:
    """Put a word between parts; Chinese leaves a blank before figures and Latin letters."""
    if word.endswith(" "):
        return word.join(parts)
    return parts[0] + "".join(f"{word} {part}" if part[:1].isascii() else word + part for part in parts[1:])


def _read(rule: object, leaf: Callable[[Condition, Any], Any], join: Callable[[str, list[Any]], Any]) -> Any:
    with nesting.reading():
        return _group(rule, "", 1, [MAX_LEAVES], leaf, join)


def _group(
    node: object,
    path: str,
    depth: int,
    budget: list[int],
    leaf: Callable[[Condition, Any], Any],
    join: Callable[[str, list[Any]], Any],
) -> Any:
    here = path or "rule"
    if not isinstance(node, dict):
        raise RuleInvalid(here, _("A group or a condition is expected here."))
    if depth > MAX_DEPTH:
        raise RuleInvalid(here, _("Groups may be nested %(depth)s deep at most.") % {"depth": MAX_DEPTH})
    if "condition" in node:
        return _leaf(node, here, budget, leaf)
    if len(node) != 1 or next(iter(node)) not in GROUPS:
        raise RuleInvalid(here, _("A group is “all”, “any” or “none” with a list."))
    kind, children = next(iter(node.items()))
    if not isinstance(children, list):
        raise RuleInvalid(f"{path}.{kind}".lstrip("."), _("A list of conditions is expected here."))
    parts = [
        _group(child, f"{path}.{kind}[{index}]".lstrip("."), depth + 1, budget, leaf, join)
        for index, child in enumerate(children)
    ]
    if path and not parts:
        raise RuleInvalid(here, _("This group is empty."))
    return join(kind, parts)


def _leaf(node: dict[str, Any], path: str, budget: list[int], leaf: Callable[[Condition, Any], Any]) -> Any:
    budget[0] -= 1
    if budget[0] < 0:
        raise RuleInvalid(path, _("A rule may have %(count)s conditions at most.") % {"count": MAX_LEAVES})
    if set(node) - {"condition", "params"}:
        raise RuleInvalid(path, _("A condition has only “condition” and “params”."))
    key = node["condition"]
    item = conditions.find(key) if isinstance(key, str) else None
    if item is None:
        raise RuleInvalid(f"{path}.condition", _("This condition is unknown: %(key)s") % {"key": str(key)[:40]})
    params = read_params(item, node.get("params", {}), f"{path}.params")
    try:
        return leaf(item, params)
    except RuleInvalid as error:  # of a rule inside: the place is here
        raise RuleInvalid(f"{path}.params", error.message) from None


def read_params(item: Condition, given: object, path: str) -> Any:
    """Check the parameters of a leaf and give them as the condition's `Params`."""
    if not isinstance(given, dict):
        raise RuleInvalid(path, _("Parameters are expected here."))
    known = {each.name: each for each in item.fields}
    for name in given:
        if name not in known:
            raise RuleInvalid(f"{path}.{str(name)[:40]}", _("This parameter is unknown."))
    values = {
        each.name: _value(each, given.get(each.name, each.default), f"{path}.{each.name}") for each in item.fields
    }
    params = item.Params(**values)
    problem = item.clean(params)
    if problem:
        raise RuleInvalid(path, problem)
    return params


def _value(each: Field, value: object, path: str) -> Any:
    if each.kind == "choice":
        if not isinstance(value, str) or value not in dict(each.choices):
            raise RuleInvalid(path, _("Choose one of: %(choices)s") % {"choices": ", ".join(dict(each.choices))})
        return value
    if each.kind == "number":
        if not isinstance(value, int) or isinstance(value, bool):
            raise RuleInvalid(path, _("A whole number is expected here."))
        low, high = each.minimum or 0, each.maximum if each.maximum is not None else 2**31 - 1
        if not low <= value <= high:
            raise RuleInvalid(
                path, _("A number from %(low)s to %(high)s is expected here.") % {"low": low, "high": high}
            )
        return value
    if each.kind == "words":
        return _words(value, path)
    ids = value if isinstance(value, list) else []
    if not ids or not all(isinstance(each_id, int) and not isinstance(each_id, bool) for each_id in ids):
        raise RuleInvalid(path, _("Choose at least one."))
    if len(ids) > MOST_PICKED:
        raise RuleInvalid(path, _("Choose %(count)s at most.") % {"count": MOST_PICKED})
    # A number that no row can have is one that does not exist, not a fault of the database.
    return tuple(each_id if 0 < each_id <= LARGEST_ID else 0 for each_id in cast("list[int]", ids))


def _words(value: object, path: str) -> tuple[str, ...]:
    words = value if isinstance(value, list) else []
    if not words or len(words) > MOST_WORDS or not all(isinstance(word, str) and word.strip() for word in words):
        raise RuleInvalid(path, _("Write at least one word, %(count)s at most.") % {"count": MOST_WORDS})
    if any(len(word) > WORD_LENGTH or "\x00" in word for word in words):
        raise RuleInvalid(path, _("A word has %(count)s characters at most.") % {"count": WORD_LENGTH})
    return tuple(dict.fromkeys(word.strip() for word in words))


def days_back(at: datetime, days: int) -> datetime:
    """Give the moment `days` days before."""
    return at - timedelta(days=days)
