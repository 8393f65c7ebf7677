"""Rules inside rules: which segments are being read right now, so that none asks for itself."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from django.utils.translation import gettext as _

from members.errors import RuleInvalid
from members.models import Segment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

DEEPEST: Final = 4  # segments in segments
MOST: Final = 30  # rules read for one

_inside: ContextVar[tuple[int, ...]] = ContextVar("segments_being_read", default=())
_left: ContextVar[list[int] | None] = ContextVar("rules_left_to_read", default=None)


def rules_of(ids: Iterable[int]) -> list[tuple[int, Any]]:
    """Give the rules of segments of the brand, by id."""
    return list(Segment.objects.filter(pk__in=list(ids)).order_by("pk").values_list("pk", "rule"))


@contextmanager
def reading() -> Iterator[None]:
    """Read a rule; the outermost one decides how many others may be read for it."""
    if _left.get() is not None:
        yield
        return
    token = _left.set([MOST])
    try:
        yield
    finally:
        _left.reset(token)


@contextmanager
def entering(segment_id: int) -> Iterator[None]:
    """Read the rule of a segment. Raises `RuleInvalid` when it is being read already, or too many are inside it."""
    inside = _inside.get()
    if segment_id in inside:
        raise RuleInvalid(
            "rule", _("This segment would ask for itself: “%(names)s”.") % {"names": _said((*inside, segment_id))}
        )
    if len(inside) >= DEEPEST:
        raise RuleInvalid(
            "rule",
            _("Segments may ask for segments %(depth)s deep at most: “%(names)s”.")
            % {"depth": DEEPEST, "names": _said((*inside, segment_id))},
        )
    left = _left.get()
    if left is not None:
        left[0] -= 1
        if left[0] < 0:
            raise RuleInvalid("rule", _("A rule may ask for %(count)s other segments at most.") % {"count": MOST})
    token = _inside.set((*inside, segment_id))
    try:
        yield
    finally:
        _inside.reset(token)


def _said(ids: tuple[int, ...]) -> str:
    names = dict(Segment.objects.filter(pk__in=ids).values_list("pk", "name"))
    return " → ".join(names.get(pk, "?") for pk in ids)
