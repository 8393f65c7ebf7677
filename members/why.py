"""Why somebody is in a segment or not: the rule as a tree, each part with yes, no or unknown and the fact behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db.models import BooleanField, Case, Q, Value, When
from django.utils.translation import gettext as _

from accounts.tenancy import current_brand_id, reporting
from members.models import Member
from members.person import PersonAt
from members.segments import walk

if TYPE_CHECKING:
    from datetime import datetime

    from members.segments import Condition


@dataclass(frozen=True)
class Part:
    """A group (`kind` and `parts`) or a condition (`sentence`, and the `fact` used). `holds` is None where unknown."""

    holds: bool | None
    kind: str = ""
    parts: tuple[Part, ...] = ()
    sentence: str = ""
    fact: str = ""


@dataclass(frozen=True)
class Why:
    """The answer for one person at a moment. `was_known`: whether the brand had met them by then."""

    member: Member
    at: datetime
    is_past: bool
    was_known: bool
    tree: Part


@dataclass(frozen=True)
class _Leaf:
    item: Condition
    params: Any
    number: int


def explain(rule: object, *, member: Member, at: datetime, then: datetime | None = None) -> Why:
    """Say why somebody is in a rule now (`at`), or was at an earlier moment `then`. Raises `RuleInvalid`.

    Now, the very predicates of the rule are asked, all in one statement. For the past, conditions answer from what was
    written down; one that cannot is unknown, and so is whatever hangs on it.
    """
    moment = then or at
    person = PersonAt(member, moment)
    leaves: list[_Leaf] = []

    def leaf(item: Condition, params: Any) -> _Leaf:
        leaves.append(_Leaf(item, params, len(leaves)))
        return leaves[-1]

    shape = walk(rule, leaf, lambda kind, parts: (kind, parts))
    with reporting(current_brand_id()):
        holds = _verdicts(leaves, person, at, then)
        tree = _tree(shape, holds, person, is_past=then is not None)
    known = person.was_known
    if not known:
        tree = Part(False, tree.kind, tree.parts, tree.sentence, tree.fact)
    return Why(member, moment, then is not None, known, tree)


def holds(rule: object, *, member: Member, then: datetime) -> bool | None:
    """Say whether somebody fitted a rule at a past moment; None where it is not known any more."""
    person = PersonAt(member, then)
    leaves: list[_Leaf] = []

    def leaf(item: Condition, params: Any) -> _Leaf:
        leaves.append(_Leaf(item, params, len(leaves)))
        return leaves[-1]

    shape = walk(rule, leaf, lambda kind, parts: (kind, parts))
    found = _verdicts(leaves, person, then, then)
    return _tree(shape, found, person, is_past=True).holds


def _verdicts(leaves: list[_Leaf], person: PersonAt, at: datetime, then: datetime | None) -> list[bool | None]:
    moment = then or at
    asked = [leaf for leaf in leaves if then is None or getattr(leaf.item, "exact_past", False)]
    columns = {
        f"leaf_{leaf.number}": Case(
            When(leaf.item.to_q(leaf.params, moment), then=Value(True)),
            default=Value(False),
            output_field=BooleanField(),
        )
        for leaf in asked
    }
    row = Member.objects.filter(Q(pk=person.member.pk)).annotate(**columns).values(*columns).first() if columns else {}
    found: list[bool | None] = []
    for leaf in leaves:
        if f"leaf_{leaf.number}" in columns:
            found.append(bool(row and row[f"leaf_{leaf.number}"]))
        else:
            was = getattr(leaf.item, "was", None)
            found.append(was(leaf.params, person) if was is not None else None)
    return found


def _tree(shape: Any, holds: list[bool | None], person: PersonAt, *, is_past: bool) -> Part:
    if isinstance(shape, _Leaf):
        verdict = holds[shape.number]
        fact = getattr(shape.item, "fact", None)
        if is_past and verdict is None:
            said = _("not kept for past times")
        else:
            said = fact(shape.params, person) if fact is not None else ""
        return Part(verdict, sentence=shape.item.sentence(shape.params), fact=said)
    kind, inside = shape
    parts = tuple(_tree(each, holds, person, is_past=is_past) for each in inside)
    return Part(_joined(kind, [part.holds for part in parts]), kind=kind, parts=parts)


def _joined(kind: str, parts: list[bool | None]) -> bool | None:
    if kind == "all":
        return False if False in parts else (None if None in parts else True)
    some = True if True in parts else (None if None in parts else False)
    if kind == "any":
        return some if parts else True
    return None if some is None else not some
