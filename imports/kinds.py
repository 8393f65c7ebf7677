"""What can be imported: each kind judges rows, carries them out and takes them back; a further one registers itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from common.registry import Registry
from imports.models import RowState
from imports.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from django_stubs_ext import StrOrPromise

    from imports.columns import Column


@dataclass(frozen=True)
class Run:
    """One import as a kind sees it: its key, and what was chosen for it."""

    job_id: int
    create_tags: bool = False
    overwrite: bool = False
    source: str = ""
    system: str = "import"
    give_points: bool = False

    @property
    def number(self) -> str:
        """Give how ledgers name this import."""
        return f"import-{self.job_id}"

    @property
    def said(self) -> str:
        """Give how tags and identities name this import as their source."""
        return f"import {self.job_id}"


@dataclass(frozen=True)
class Row:
    """A row of the file: its number there (the first row is 1) and the values of its cells, read.

    `ties` is what its kind found in the cells that identifies somebody, so that it is worked out once.
    """

    number: int
    cells: dict[str, Any]
    ties: list[tuple[str, str]] = field(default_factory=list, compare=False)


@dataclass(frozen=True)
class Verdict:
    """What a row is: a state, what is to be told about it, whom it is about, and what the kind wants to do."""

    row: Row
    state: str
    problems: tuple[Problem, ...] = ()
    member_id: int | None = None
    plan: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Done:
    """What a row led to, in plain values from which it can be taken back."""

    member_id: int | None
    did: dict[str, Any]


@dataclass(frozen=True)
class Carried:
    """A row that was carried out."""

    number: int
    member_id: int | None
    did: dict[str, Any]


class Kind(Protocol):
    """One kind of table."""

    @property
    def label(self) -> StrOrPromise:
        """Say what the table holds."""
        ...

    @property
    def columns(self) -> Sequence[Column]:
        """Give what a row can say; asked with a brand in scope, so that fields of the brand can be among it."""
        ...

    @property
    def needs(self) -> Sequence[tuple[str, ...]]:
        """Give groups of columns of each of which at least one must be there."""
        ...

    def names_of(self, row: Row, member_id: int | None) -> list[tuple[str, str]]:
        """Name whom or what a row is about by everything that says so, so that doubles are found: field and name each.

        `member_id` is whom the row was found to be about.
        """
        ...

    def judge(self, rows: Sequence[Row], run: Run, *, at: datetime) -> list[Verdict]:
        """Say of each row what it is, in order; reads only, in a fixed number of statements."""
        ...

    def lock(self, rows: Sequence[Row]) -> None:
        """Keep others from deciding about the same people until the transaction ends."""
        ...

    def carry_out(self, verdicts: Sequence[Verdict], run: Run, *, at: datetime) -> list[Done]:
        """Do what verdicts NEW and MATCHED want, in order."""
        ...

    def take_back(self, rows: Sequence[Carried], run: Run, *, at: datetime) -> dict[int, Problem]:
        """Undo rows; gives for each that stays (by number) why."""
        ...


kinds: Registry[Kind] = Registry("import kinds", purpose="what a table can hold that is imported")


def refused(row: Row, *problems: Problem, state: str = RowState.ERROR) -> Verdict:
    """Give the verdict on a row that is not imported."""
    return Verdict(row, state, problems)
