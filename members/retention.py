"""How long each class of data is kept: what the law asks and allows, what the product proposes, and how it goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from common.registry import Registry

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet
    from django_stubs_ext import StrOrPromise

PIECE: Final = 2_000


@dataclass(frozen=True)
class DataClass:
    """One class of data of the brand in scope.

    `old(before)` gives the rows older than a moment that are still there. `drop(before)` takes away at most a piece of
    them and says how many rows it has looked after; 0 when nothing is left. Without `drop` another job takes them away
    (`by` says which) or they are kept; `days()` is then how long.
    """

    label: StrOrPromise
    law: StrOrPromise
    old: Callable[[datetime], QuerySet[Any]]
    proposed: int = 0
    least: int = 0
    most: int = 0
    drop: Callable[[datetime], int] | None = None
    days: Callable[[], int] | None = None
    by: StrOrPromise = ""
    anonymous: bool = False
    order: int = 100

    @property
    def can_change(self) -> bool:
        """Whether the brand chooses how long."""
        return self.drop is not None and self.days is None


classes: Registry[DataClass] = Registry(
    "data classes", purpose="how long each kind of data is kept, and how what is older goes"
)


def piece(rows: QuerySet[Any]) -> int:
    """Delete a piece of rows, the oldest key first; gives how many went. Nothing else hangs on them."""
    ids = list(rows.order_by("pk").values_list("pk", flat=True)[:PIECE])
    if not ids:
        return 0
    rows.model._default_manager.filter(pk__in=ids).delete()
    return len(ids)


def blank_piece(rows: QuerySet[Any], **blank: Any) -> int:
    """Empty what a piece of rows says of a person; gives how many. `rows` must leave out those that are empty."""
    ids = list(rows.order_by("pk").values_list("pk", flat=True)[:PIECE])
    if ids:
        rows.model._default_manager.filter(pk__in=ids).update(**blank)
    return len(ids)
