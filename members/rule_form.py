"""A segment's rule as a tree on screen: JSON to nodes, posted fields back to JSON, one edit at a time.

Nodes are named by position: the root is `r`, its children `r.0`, `r.1`, their children `r.0.0`. Fields are named after
their node (`r.0.params.days`), so a group may change its kind without renaming what is inside.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.translation import gettext as _

from members.errors import RuleInvalid
from members.picks import names_of, picks
from members.segments import GROUPS, LARGEST_ID, MAX_DEPTH, MAX_LEAVES, conditions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from django.http import QueryDict

    from members.segments import Condition, Field

ROOT: Final = "r"
LEAST_IN_A_CHILD: Final = 2  # a group inside a group and one condition in it
_PATH: Final = re.compile(r"r(\.\d{1,3}){0,8}")
_STEP: Final = re.compile(r"(?:all|any|none)\[(\d+)\]")
_MOST_NODES: Final = 400
_TEXT: Final = 4_000
_BRACKETS: Final = 200
_COMMAS: Final = re.compile(r"[,，、;；]")


@dataclass(frozen=True)
class Fault:
    """Where a rule is wrong on screen: node, field inside it ("" = the node itself) and what is wrong."""

    node: str
    field: str
    message: str


@dataclass(frozen=True)
class Picked:
    """A chosen row: its id and name; `gone` when the brand has no such row (any more)."""

    id: int
    name: str
    gone: bool = False


@dataclass(frozen=True)
class Input:
    """One field of a condition with its value, as a template shows it."""

    name: str
    label: str
    kind: str
    value: Any
    choices: tuple[tuple[str, str], ...] = ()
    picked: tuple[Picked, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    error: str = ""
    search: str = ""


@dataclass(frozen=True)
class Node:
    """A group (`kind` and `children`) or a condition (`key`, `label`, `inputs`).

    A condition nobody knows any more keeps its JSON in `raw`: it is shown, marked, and stands in the way of saving.
    """

    path: str
    depth: int
    kind: str = ""
    children: tuple[Node, ...] = ()
    key: str = ""
    label: str = ""
    inputs: tuple[Input, ...] = ()
    raw: str = ""
    error: str = ""
    can_nest: bool = False
    fresh: bool = False

    @property
    def is_group(self) -> bool:
        """Whether it holds others."""
        return bool(self.kind)


@dataclass
class _Context:
    """What building the tree needs to know on the way."""

    names: Mapping[str, Mapping[int, str]]
    fault: Fault | None
    fresh: str
    seen: list[int] = field(default_factory=list)


def fault_of(error: RuleInvalid) -> Fault:
    """Give the place on screen of a fault such as `all[1].any[0].params.days`."""
    node: list[str] = [ROOT]
    rest: list[str] = []
    for part in error.path.split("."):
        step = _STEP.fullmatch(part)
        if step and not rest:
            node.append(step[1])
        elif part not in ("rule", *GROUPS):
            rest.append(part)
    return Fault(".".join(node), ".".join(rest), error.message)


def tree(rule: object, *, fault: Fault | None = None, fresh: str = "") -> Node:
    """Give the rule as nodes. Never raises: what cannot be read is kept and marked. Two queries at most.

    `fresh` is the path of the node that was just added, so that it can take the focus.
    """
    return _node(_as_group(rule), ROOT, 1, _Context(names_in([rule]), fault, fresh))


def names_in(rules: Iterable[object]) -> dict[str, dict[int, str]]:
    """Give the names of the rows that rules mention: kind to id to name. One query per kind at most."""
    wanted: dict[str, set[int]] = {kind: set() for kind, _pick in picks.items()}
    for leaf in (each for rule in rules for each in _every_leaf(rule)):
        item = conditions.find(str(leaf.get("condition", "")))
        params = leaf.get("params")
        for each in item.fields if item and isinstance(params, dict) else ():
            value = params.get(each.name)  # type: ignore[union-attr] # narrowed by the line above
            if each.kind in wanted and isinstance(value, list):
                wanted[each.kind].update(pk for pk in value if isinstance(pk, int) and abs(pk) <= LARGEST_ID)
    return {kind: dict(names_of(kind, ids)) if ids else {} for kind, ids in wanted.items()}


def tree_context(rule: object, *, fault: Fault | None = None, fresh: str = "", can_edit: bool) -> dict[str, Any]:
    """Give what the template of a tree needs."""
    count = leaves(rule)
    return {
        "root": tree(rule, fault=fault, fresh=fresh),
        "leaves": count,
        "full": count >= MAX_LEAVES,
        "most": MAX_LEAVES,
        "deepest": MAX_DEPTH,
        "menu": [(key, item.label) for key, item in conditions.items()],
        "can_edit": can_edit,
    }


def builder_link(rule: object, *, name: str) -> str:
    """Give the address of the builder with a rule that is not saved yet: who fits, and a segment of them."""
    query = urlencode({"rule": json.dumps(rule, ensure_ascii=False, separators=(",", ":")), "name": name})
    return f"{reverse('admin:segment_new')}?{query}"


def leaves(rule: object) -> int:
    """Count the conditions of a rule."""
    if not isinstance(rule, dict):
        return 0
    if "condition" in rule:
        return 1
    return sum(leaves(child) for value in rule.values() if isinstance(value, list) for child in value)


def rule_of(data: QueryDict) -> dict[str, Any]:
    """Read the rule a form has posted. Raises `RuleInvalid` for a form that was tampered with."""
    nodes: dict[str, dict[str, Any]] = {}
    paths = data.getlist("node")
    if len(paths) > _MOST_NODES:
        raise RuleInvalid("rule", _("A rule may have %(count)s conditions at most.") % {"count": MAX_LEAVES})
    for path in paths:
        if not _PATH.fullmatch(path) or path in nodes:
            raise RuleInvalid("rule", _("A group or a condition is expected here."))
        nodes[path] = _posted(data, path)
        parent = nodes.get(path.rpartition(".")[0])
        if parent is not None:
            _children(parent).append(nodes[path])
    return nodes.get(ROOT, {"all": []})


def add_condition(rule: dict[str, Any], path: str, key: str) -> str:
    """Append a condition with its defaults to the group at `path`; gives the path of the new node."""
    item = conditions.find(key)
    group = _at(rule, path)
    if item is None or group is None or "condition" in group:
        raise RuleInvalid("rule", _("A group or a condition is expected here."))
    if leaves(rule) >= MAX_LEAVES:
        raise RuleInvalid(
            _rule_path(rule, path), _("A rule may have %(count)s conditions at most.") % {"count": MAX_LEAVES}
        )
    return _append(group, path, {"condition": item.key, "params": _defaults(item)})


def add_group(rule: dict[str, Any], path: str) -> str:
    """Append an “any of” group to the group at `path`; gives the path of the new node."""
    group = _at(rule, path)
    if group is None or "condition" in group:
        raise RuleInvalid("rule", _("A group or a condition is expected here."))
    if not _can_nest(path.count(".") + 1):
        raise RuleInvalid(
            _rule_path(rule, path), _("Groups may be nested %(depth)s deep at most.") % {"depth": MAX_DEPTH}
        )
    return _append(group, path, {"any": []})


def remove(rule: dict[str, Any], path: str) -> str:
    """Take out the node at `path` with all that is in it; gives the path of the group it was in."""
    parent, _dot, index = path.rpartition(".")
    group = _at(rule, parent) if parent else None
    if group is not None and index.isdigit() and int(index) < len(_children(group)):
        del _children(group)[int(index)]
    return parent or ROOT


def _append(group: dict[str, Any], path: str, child: dict[str, Any]) -> str:
    siblings = _children(group)
    siblings.append(child)
    return f"{path}.{len(siblings) - 1}"


def _children(group: dict[str, Any]) -> list[Any]:
    value = next(iter(group.values()), None)
    return value if isinstance(value, list) else []


def _at(rule: dict[str, Any], path: str) -> dict[str, Any] | None:
    here: Any = rule
    for index in path.split(".")[1:]:
        inside = _children(here)
        if not index.isdigit() or int(index) >= len(inside):
            return None
        here = inside[int(index)]
    return here if isinstance(here, dict) else None


def _rule_path(rule: dict[str, Any], path: str) -> str:
    parts, here = [], rule
    for index in path.split(".")[1:]:
        parts.append(f"{next(iter(here))}[{index}]")
        here = _children(here)[int(index)]
    return ".".join(parts) or "rule"


def _posted(data: QueryDict, path: str) -> dict[str, Any]:
    kind = data.get(f"{path}.kind")
    if kind in GROUPS:
        return {kind: []}
    raw = data.get(f"{path}.raw")
    if raw is not None:
        return _kept(raw)
    key = data.get(f"{path}.condition", "")[:60]
    item = conditions.find(key)
    if item is None:
        return {"condition": key}
    return {"condition": key, "params": {each.name: _posted_value(data, path, each) for each in item.fields}}


def _posted_value(data: QueryDict, path: str, each: Field) -> Any:
    name = f"{path}.params.{each.name}"
    if each.kind in picks:
        return [int(value) for value in data.getlist(name) if value.isascii() and value.isdigit() and len(value) < 19]
    value = data.get(name, "")[:60]
    if each.kind == "words":
        return [word.strip() for word in _COMMAS.split(data.get(name, "")[:_TEXT]) if word.strip()]
    if each.kind == "number" and re.fullmatch(r"-?[0-9]{1,12}", value):
        return int(value)
    return value


def _kept(raw: str) -> dict[str, Any]:
    raw = raw[:_TEXT]
    try:  # deeper than anything a condition holds, reading and writing it again would run out of stack
        kept = json.loads(raw) if raw.count("[") + raw.count("{") <= _BRACKETS else None
    except ValueError:
        kept = None
    return kept if isinstance(kept, dict) and "condition" in kept else {"condition": ""}


def _as_group(rule: object) -> dict[str, Any]:
    if (
        isinstance(rule, dict)
        and len(rule) == 1
        and next(iter(rule)) in GROUPS
        and isinstance(next(iter(rule.values())), list)
    ):
        return rule
    return {"all": [rule] if isinstance(rule, dict) and rule else []}


def _node(item: object, path: str, depth: int, context: _Context) -> Node:
    mine = context.fault if context.fault and context.fault.node == path else None
    if isinstance(item, dict) and len(item) == 1 and next(iter(item)) in GROUPS:
        kind, inside = next(iter(item.items()))
        children = tuple(
            _node(child, f"{path}.{index}", depth + 1, context)
            for index, child in enumerate(inside if isinstance(inside, list) else [])
        )
        error = mine.message if mine else ""
        return Node(path, depth, kind, children, error=error, can_nest=_can_nest(depth), fresh=path == context.fresh)
    return _leaf(item, path, depth, context, mine)


def _can_nest(depth: int) -> bool:
    return depth + LEAST_IN_A_CHILD <= MAX_DEPTH


def _leaf(item: object, path: str, depth: int, context: _Context, mine: Fault | None) -> Node:
    leaf = item if isinstance(item, dict) else {}
    key = str(leaf.get("condition", ""))
    known = conditions.find(key)
    params = leaf.get("params", {})
    if known is None or not isinstance(params, dict) or set(params) - {each.name for each in known.fields}:
        message = mine.message if mine else _("This condition is unknown: %(key)s") % {"key": key[:40]}
        raw = json.dumps(item, ensure_ascii=False)[:_TEXT]
        return Node(path, depth, key=key, label=key or "?", raw=raw, error=message)
    inputs = tuple(_input(each, params, context, mine) for each in known.fields)
    placed = any(each.error for each in inputs)
    error = mine.message if mine and not placed else ""
    return Node(path, depth, key=key, label=str(known.label), inputs=inputs, error=error, fresh=path == context.fresh)


def _input(each: Field, params: Mapping[str, Any], context: _Context, mine: Fault | None) -> Input:
    value = params.get(each.name, each.default)
    picked: tuple[Picked, ...] = ()
    if each.kind in picks:
        names = context.names[each.kind]
        ids = [pk for pk in value if isinstance(pk, int)] if isinstance(value, list) else []
        picked = tuple(Picked(pk, names.get(pk, str(pk)), pk not in names) for pk in dict.fromkeys(ids))
    if each.kind == "words":
        value = _("、").join(str(word) for word in value) if isinstance(value, list) else ""
    return Input(
        name=each.name,
        label=str(each.label),
        kind=each.kind,
        value=value,
        choices=tuple((key, str(label)) for key, label in each.choices),
        picked=picked,
        minimum=each.minimum,
        maximum=each.maximum,
        error=mine.message if mine and mine.field == f"params.{each.name}" else "",
        search=str(picks.get(each.kind).search) if each.kind in picks else "",
    )


def _defaults(item: Condition) -> dict[str, Any]:
    return {each.name: [] if each.kind in picks or each.kind == "words" else each.default for each in item.fields}


def _every_leaf(rule: object) -> Iterable[dict[str, Any]]:
    if not isinstance(rule, dict):
        return
    if "condition" in rule:
        yield rule
        return
    for value in rule.values():
        for child in value if isinstance(value, list) else ():
            yield from _every_leaf(child)
