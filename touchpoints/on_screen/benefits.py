"""What a form offers as the benefit of a code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from touchpoints import selectors

if TYPE_CHECKING:
    from touchpoints.models import Touchpoint

NOTHING: Final = ("", "--")


def chosen_pair(text: str) -> tuple[str, int] | None:
    """Read a choice of a kind and an id."""
    kind, _colon, pk = text.partition(":")
    return (kind, int(pk)) if pk else None


def benefit_choices(row: Touchpoint | None = None) -> list[Any]:
    """Offer what codes can give now, and what a code gives already even where it is no longer on offer."""
    groups: list[tuple[str, list[tuple[str, str]]]] = []
    for key, kind in sorted(selectors.benefit_kinds.items()):
        rows = dict(kind.choices())
        if row is not None and row.benefit_kind == key and row.benefit_id not in rows:
            rows |= {pk: offer.name for pk, offer in kind.offers([row.benefit_id or 0]).items()}
        groups.append((str(kind.label), [(f"{key}:{pk}", name) for pk, name in rows.items()]))
    return [NOTHING, *((label, rows) for label, rows in groups if rows)]
