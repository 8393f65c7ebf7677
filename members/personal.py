"""Which tables hold data of a person: what of it they get as a copy, and what becomes of it when they are deleted.

Every app registers its own tables in its `personal` module. A test walks all models and fails for a table that leads to
a person and is not registered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from django.apps import apps
from django.utils.translation import gettext_lazy as _

from common.registry import Registry

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django_stubs_ext import StrOrPromise


@dataclass(frozen=True)
class Person:
    """A person in all their shapes: records (merged ones, too), followers, and (account, OpenID) pairs."""

    member_ids: tuple[int, ...]
    follower_ids: tuple[int, ...] = ()
    openids: tuple[tuple[int, str], ...] = ()

    @property
    def plain_openids(self) -> list[str]:
        """The OpenIDs without their accounts."""
        return sorted({openid for _account, openid in self.openids if openid})


class Fate(StrEnum):
    """What becomes of rows when their person is deleted."""

    DELETED = "DELETED"
    ANONYMOUS = "ANONYMOUS"
    KEPT = "KEPT"


Rows = Callable[[Person], "QuerySet[Any]"]

#: Why rows stay, in the words of a proof of deletion.
LEDGER: Final = _("Accounting Law art. 23: books stay, under a number without a name")
TRADE: Final = _("E-Commerce Law art. 31: three years for trade records")
PROOF: Final = _("PIPL art. 69: proof of what was agreed to and done, without a name")
SUMS: Final = _("PIPL art. 4: anonymous figures are no personal data")
#: Stands where somebody had written something; what was empty stays so.
GONE: Final = "***"


@dataclass(frozen=True)
class PersonalTable:
    """One table with data of people.

    `rows` gives a person's rows. `fields` are the paths of the values they get as a copy, `fate` says what becomes of
    rows in a deletion, `law` why those that stay may stay, `blank` what an anonymous row carries instead. Where the
    application may change no row, `through` names the function of the database that puts GONE in the place of reasons.
    """

    model: str
    rows: Rows
    fields: tuple[str, ...]
    fate: Fate
    law: StrOrPromise = ""
    blank: Mapping[str, Any] = field(default_factory=dict)
    through: str = ""

    def __post_init__(self) -> None:
        """Refuse what a proof could not explain."""
        if (self.fate is Fate.DELETED) == bool(self.law):
            message = f"{self.model}: say why rows stay, and only then"
            raise ValueError(message)
        if (self.fate is Fate.ANONYMOUS) != bool(self.blank):
            message = f"{self.model}: anonymous rows need something to carry instead"
            raise ValueError(message)


tables: Registry[PersonalTable] = Registry(
    "personal tables", purpose="tables with data of people: how they are copied and deleted"
)


def register(
    model: str,
    rows: Rows,
    *fields: str,
    fate: Fate = Fate.DELETED,
    law: StrOrPromise = "",
    blank: Mapping[str, Any] | None = None,
    through: str = "",
) -> None:
    """Register a table under its model's name, such as `members.Consent`."""
    tables.register(model.lower(), PersonalTable(model, rows, fields, fate, law, blank or {}, through))


def by_member(model: str, column: str = "member_id") -> Rows:
    """Find rows by the record of a person."""
    return lambda person: _all(model).filter(**{f"{column}__in": person.member_ids}).order_by("pk")


def by_follower(model: str, column: str = "follower_id") -> Rows:
    """Find rows by the followers of a person."""
    return lambda person: _all(model).filter(**{f"{column}__in": person.follower_ids}).order_by("pk")


def by_openid(model: str) -> Rows:
    """Find rows by the OpenIDs of a person; each belongs to one account only."""
    return lambda person: _all(model).filter(openid__in=person.plain_openids).order_by("pk")


def _all(model: str) -> QuerySet[Any]:
    found: Any = apps.get_model(model)
    rows: QuerySet[Any] = found.objects.all()
    return rows
