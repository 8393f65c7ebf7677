"""Rows that conditions pick: tags, stores, segments; apps above register theirs."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db.models import Q
from django.utils.translation import gettext_lazy

from common.registry import Registry
from members.models import ProfileField, Segment, Sensitivity, Tag
from stores.models import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from django.db.models import Model, QuerySet
    from django_stubs_ext import StrOrPromise


@dataclass(frozen=True)
class Pick:
    """A kind of row: its model, the column with its name, how a term finds it, and what the field says.

    `search` is what the field asks for, `none` what it says while there are no such rows, `missing` what a rule hears
    that names one which the brand does not have; `shown` says what is in the column. `within` is the column with the
    name of what a row belongs to, where its own says too little.
    """

    model: type[Model]
    search: StrOrPromise
    none: StrOrPromise
    missing: StrOrPromise
    find: Callable[[str], Q]
    name: str = "name"
    shown: Callable[[Any], str] = str
    within: str = ""

    def names(self, rows: QuerySet[Any]) -> list[tuple[int, str]]:
        """Give (id, name) of rows, in their order."""
        if not self.within:
            return [(pk, self.shown(name)) for pk, name in rows.values_list("pk", self.name)]
        found = rows.values_list("pk", self.within, self.name)
        return [(pk, f"{within} · {self.shown(name)}") for pk, within, name in found]


picks: Registry[Pick] = Registry("rows to pick", purpose="what fields of segment conditions let operators choose")

picks.register(
    "tags",
    Pick(
        Tag,
        gettext_lazy("Search tags"),
        gettext_lazy("There are no tags yet."),
        gettext_lazy("This tag does not exist."),
        lambda term: Q(name__icontains=term) | Q(synonyms__contains=[term]),
    ),
)
picks.register(
    "stores",
    Pick(
        Store,
        gettext_lazy("Search stores"),
        gettext_lazy("There are no stores yet."),
        gettext_lazy("This store does not exist."),
        lambda term: Q(name__icontains=term) | Q(code__istartswith=term),
    ),
)
picks.register(
    "segments",
    Pick(
        Segment,
        gettext_lazy("Search segments"),
        gettext_lazy("There are no segments yet."),
        gettext_lazy("This segment does not exist."),
        lambda term: Q(name__icontains=term),
    ),
)

picks.register(
    "profile_fields",
    Pick(
        ProfileField,
        gettext_lazy("Search profile fields"),
        gettext_lazy("There are no profile fields yet."),
        gettext_lazy("This profile field does not exist."),
        lambda term: Q(label__icontains=term, sensitivity=Sensitivity.PLAIN),
        "label",
    ),
)

# Names read once for many rules (a list of segments); None: each condition asks for its own.
_remembered: ContextVar[Mapping[str, Mapping[int, str]] | None] = ContextVar("names_in_segments", default=None)


@contextmanager
def remembering(names: Mapping[str, Mapping[int, str]]) -> Iterator[None]:
    """Say rules with these names (kind to id to name) instead of asking for each condition's."""
    token = _remembered.set(names)
    try:
        yield
    finally:
        _remembered.reset(token)


def names_of(kind: str, ids: Iterable[int]) -> Mapping[int, str]:
    """Give the names of rows of a kind by id; those the brand does not have are left out."""
    remembered = _remembered.get()
    if remembered is not None and kind in remembered:
        return {pk: remembered[kind][pk] for pk in ids if pk in remembered[kind]}
    pick = picks.get(kind)
    rows: Any = pick.model._default_manager.filter(pk__in=list(ids))
    return dict(pick.names(rows.order_by("pk")))


def unknown(kind: str, ids: Iterable[int]) -> str | None:
    """Say that a row does not exist; None when all do. Another brand's looks like one that does not."""
    wanted = set(ids)
    return None if len(names_of(kind, wanted)) == len(wanted) else str(picks.get(kind).missing)
