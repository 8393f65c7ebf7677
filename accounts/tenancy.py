"""Which brand is meant: the Python half of keeping brands apart (row-level security in PostgreSQL is the other half).

A brand is always known. Touching brand rows without a scope raises; a scope sets the brand for the transaction only.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeAlias, TypeVar

import orjson
from django.apps import apps
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, IntegrityError, connection, models, transaction
from django.db.models.constants import OnConflict
from django.db.models.lookups import Exact
from django.db.models.sql.where import WhereNode

from accounts.errors import BrandMismatch, NoBrandInScope, ReadOnlyScope

logger = logging.getLogger(__name__)

M = TypeVar("M", bound=models.Model)

# Whoever is stopped, or cut off, in the middle of a transaction must not keep its locks: PostgreSQL ends the session.
IDLE_SECONDS = 60


@dataclass(frozen=True)
class Scope:
    """What the current code may touch: one brand's rows, or (read-only) every brand's."""

    brand_id: int | None
    read_only: bool = False


_current: ContextVar[Scope | None] = ContextVar("zhiyin_scope", default=None)


def current_scope() -> Scope | None:
    """Give the open scope, or None."""
    return _current.get()


def current_brand_id() -> int:
    """Give the brand in scope; raises `NoBrandInScope` when there is none (or when every brand is in scope)."""
    scope = _current.get()
    if scope is None or scope.brand_id is None:
        raise NoBrandInScope
    return scope.brand_id


def _set_brand(value: str) -> None:
    if not connection.in_atomic_block:
        raise NoBrandInScope  # outside a transaction the setting would be lost at once
    _send_ahead(
        "SELECT set_config('app.brand_id', %s, true), set_config('idle_in_transaction_session_timeout', %s, true)",
        value,
        f"{IDLE_SECONDS}s",
    )


def _set_role(role: str | None) -> None:
    _send_ahead(f'SET LOCAL ROLE "{role}"' if role else "RESET ROLE")


def _send_ahead(statement: str, *values: str) -> None:
    """Let a setting travel with the next statement: every scope opens with one, and a round trip costs more."""
    wrapper: Any = connection
    wrapper.send_ahead(statement, values)


@contextmanager
def brand_scope(brand_id: int) -> Iterator[int]:
    """Open a transaction in which exactly this brand's rows exist.

    Nesting the same brand gives a savepoint; nesting another raises `BrandMismatch`.
    """
    outer = _current.get()
    if outer is not None:
        if outer.brand_id != brand_id:
            raise BrandMismatch
        with transaction.atomic():
            yield brand_id
        return
    nested = connection.in_atomic_block
    with transaction.atomic():
        _set_brand(str(int(brand_id)))
        token = _current.set(Scope(int(brand_id)))
        try:
            yield brand_id
        finally:
            _current.reset(token)
        if nested:
            _set_brand("")


@contextmanager
def every_brand(*, reason: str) -> Iterator[None]:
    """Read across all brands: the only way out, greppable and logged. Writing inside raises.

    The transaction runs as the reports role, which may only read.
    """
    if _current.get() is not None:
        raise BrandMismatch
    logger.debug("every brand: %s", reason)
    nested = connection.in_atomic_block
    with transaction.atomic():
        _set_role(settings.DATABASE_REPORTS_ROLE)
        token = _current.set(Scope(None, read_only=True))
        try:
            yield
        finally:
            _current.reset(token)
        if nested:
            _set_role(None)


Statement: TypeAlias = tuple[str, Sequence[Any]]


@dataclass(frozen=True, slots=True)
class BrandRead:
    """One SELECT of a brand's rows. `write` gives it with its parameters and is called in the brand's scope."""

    brand_id: int
    write: Callable[[], Statement]


def read_brands(reads: Sequence[BrandRead], *, seconds: float) -> list[list[dict[str, Any]]]:
    """Read rows of several brands in one round trip: for each read its rows, as JSON has them.

    Each statement runs under its own brand's row security and may only read. All of them together may take `seconds`;
    one that fails or is late fails all. Raises `BrandMismatch` inside a scope.
    """
    if _current.get() is not None:
        raise BrandMismatch
    found: list[list[dict[str, Any]]] = [[] for _ in reads]
    with transaction.atomic():
        _send_ahead("SET TRANSACTION READ ONLY")
        _send_ahead("SELECT set_config('statement_timeout', %s, true)", f"{int(seconds * 1000)}ms")
        with connection.cursor() as cursor:
            statements = [cursor.mogrify(*_written(read)).decode() for read in reads]
            cursor.execute(
                "SELECT place, answer::text FROM zhiyin_rows_of_brands(%s, %s)",
                [[read.brand_id for read in reads], statements],
            )
            for place, row in cursor.fetchall():
                found[place - 1].append(orjson.loads(row))
    return found


def _written(read: BrandRead) -> Statement:
    token = _current.set(Scope(read.brand_id, read_only=True))
    try:
        return read.write()
    finally:
        _current.reset(token)


@contextmanager
def reporting(brand_id: int) -> Iterator[None]:
    """Read one brand's rows as the reports role, so that array and trigram indexes can be used.

    Row security would forbid those indexes (their operators are not leakproof). In its place every statement is read
    before it is sent: one that takes a brand table without naming this brand raises `NoBrandInScope`.
    """
    with brand_scope(brand_id), transaction.atomic(), connection.execute_wrapper(_NamesTheBrand(brand_id)):
        _set_role(settings.DATABASE_REPORTS_ROLE)
        token = _current.set(Scope(brand_id, read_only=True))
        try:
            yield
        finally:
            _current.reset(token)
        _set_role(None)


_TAKEN = re.compile(r'\bFROM\s+"(\w+)"(?:\s+"?([A-Z]+\d+)"?)?')
_BRAND = '."brand_id" = '


@lru_cache(maxsize=1)
def _brand_tables() -> frozenset[str]:
    return frozenset(model._meta.db_table for model in apps.get_models() if issubclass(model, BrandOwned))


class _NamesTheBrand:
    """Lets a statement of Django's pass only when each brand table it takes comes with this brand as its value.

    What is joined is bound to the brand by the foreign key (brand_id, x_id).
    """

    def __init__(self, brand_id: int) -> None:
        self._brand_id = brand_id

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        taken = [alias or table for table, alias in _TAKEN.findall(sql) if table in _brand_tables()]
        if taken:
            for name in self._named(sql, params or ()):
                if name in taken:
                    taken.remove(name)
        if taken:
            logger.error("a statement of the reports role names no brand for %s", ", ".join(sorted(set(taken))))
            raise NoBrandInScope
        return execute(sql, params, many, context)

    def _named(self, sql: str, params: Any) -> Iterator[str]:
        """Names that must be of this brand. Django writes a manager's condition first: under no NOT, beside no OR."""
        pieces = sql.replace("%%", "").split("%s")
        for before, value, after in zip(pieces, params, pieces[1:], strict=False):
            if value == self._brand_id and before.endswith(_BRAND) and not after.startswith(" OR "):
                name = before.removesuffix(_BRAND).rpartition(" WHERE ")[2].lstrip("(").strip('"')
                if name.isidentifier():
                    yield name


class BrandQuerySet(models.QuerySet[M]):
    """A queryset that only ever creates and changes rows of the brand in scope."""

    def bulk_create(self, objs: Iterable[M], *args: Any, **kwargs: Any) -> list[M]:
        """Insert rows of the brand in scope; another brand's row raises `BrandMismatch`."""
        rows = list(objs)
        for row in rows:
            claim_for_scope(row)
        return super().bulk_create(rows, *args, **kwargs)

    def insert_new(self, *rows: M) -> bool:
        """Insert rows unless some with the same unique values are there, in one statement; gives whether they were new.

        Several are new together or not at all. Only rows that were new get their ids.
        """
        for row in rows:
            claim_for_scope(row)
        key: Any = self.model._meta.pk
        fields = [field for field in self.model._meta.concrete_fields if field is not key]
        insert: Any = self._insert  # type: ignore[attr-defined] # Django's stubs leave it out
        found = [ids for ids in insert(rows, fields, returning_fields=[key], on_conflict=OnConflict.IGNORE) if ids]
        if found and len(found) != len(rows):
            raise IntegrityError("some of the rows that belong together were there")
        for row, ids in zip(rows, found, strict=False):
            now_stored(row, ids[0])
        return bool(found)

    def update(self, **kwargs: Any) -> int:
        """Change rows; moving a row to another brand is refused."""
        _require_writable()
        if "brand" in kwargs or "brand_id" in kwargs:
            raise BrandMismatch
        return super().update(**kwargs)

    def delete(self) -> tuple[int, dict[str, int]]:
        """Delete rows of the brand in scope."""
        _require_writable()
        return super().delete()


def columns_of(row: BrandOwned) -> dict[str, Any]:
    """Give what a new row holds by column, its key apart, for a statement that inserts it by hand."""
    claim_for_scope(row)
    fields: Any = [field for field in row._meta.concrete_fields if not field.primary_key and not field.has_db_default()]
    return {field.column: field.get_db_prep_save(field.pre_save(row, True), connection) for field in fields}


def now_stored(row: models.Model, pk: int) -> None:
    """Leave a row that was inserted as saving would have left it."""
    row.pk = pk
    row._state.adding, row._state.db = False, DEFAULT_DB_ALIAS  # noqa: SLF001


_rows_of: dict[tuple[type[models.Model], int], Any] = {}
_MOST_ROWS_OF: Final = 2_000  # some seven megabytes


def forget_conditions() -> None:
    """Begin as a new process would."""
    _rows_of.clear()


class BrandManager(models.Manager[M]):
    """The guarded manager of every brand table: no scope, no query."""

    use_in_migrations = False

    def get_queryset(self) -> BrandQuerySet[M]:
        """Give the rows of the brand in scope; raises `NoBrandInScope` when nothing is in scope."""
        scope = _current.get()
        if scope is None:
            raise NoBrandInScope
        if scope.brand_id is None:
            return BrandQuerySet(self.model, using=self._db)
        # Writing the same condition for every query anew would cost more than all else that a short query needs.
        written = _rows_of.get((self.model, scope.brand_id))
        if written is None:
            written = BrandQuerySet(self.model).filter(brand_id=scope.brand_id).query
            if len(_rows_of) >= _MOST_ROWS_OF:
                _rows_of.clear()
            _rows_of[self.model, scope.brand_id] = written
        return BrandQuerySet(self.model, written.chain(), self._db)


def _require_writable() -> Scope:
    scope = _current.get()
    if scope is None:
        raise NoBrandInScope
    if scope.read_only:
        raise ReadOnlyScope
    return scope


def claim_for_scope(row: models.Model) -> None:
    """Give a row the brand in scope; raises when it carries another, or when the scope is read-only."""
    scope = _require_writable()
    brand_id: int | None = getattr(row, "brand_id", None)
    if brand_id is None:
        row.brand_id = scope.brand_id  # type: ignore[attr-defined]
    elif brand_id != scope.brand_id:
        raise BrandMismatch


class BrandOwned(models.Model):
    """A table whose every row belongs to one brand. Keys and indexes start with the brand.

    In SQL the primary key is (brand_id, id) and foreign keys carry the brand (`SecureBrandTables`).
    """

    # DO_NOTHING: whether rows are left is PostgreSQL's answer; asking in Python would need every brand in scope.
    brand = models.ForeignKey("accounts.Brand", on_delete=models.DO_NOTHING, related_name="+", db_index=False)

    objects = BrandManager()

    class Meta:
        abstract = True
        base_manager_name = "objects"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write the row for the brand in scope."""
        claim_for_scope(self)
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Delete the row; it must belong to the brand in scope."""
        claim_for_scope(self)
        return super().delete(*args, **kwargs)


class BrandForeignKey(models.ForeignKey):  # type: ignore[type-arg]
    """A reference between rows of one brand: the constraint is (brand_id, x_id), made by `SecureBrandTables`.

    `guarded`: for rows that one statement writes by the hundred thousand from the row they belong to. Instead of a
    check per row, triggers keep the row they belong to from going away and the reference from being changed.
    """

    def __init__(self, to: Any, on_delete: Any, *, guarded: bool = False, **kwargs: Any) -> None:
        self.guarded = guarded
        kwargs["db_constraint"] = False
        kwargs.setdefault("db_index", False)
        super().__init__(to, on_delete, **kwargs)

    def get_extra_restriction(self, alias: str | None, related_alias: str | None) -> WhereNode | None:
        """Join by the brand as well, so that no join reaches beyond it even where no policy stands."""
        if alias is None or related_alias is None:  # a join that Django has trimmed to one table
            return None
        theirs: Any = self.remote_field.model._meta.get_field("brand")
        ours: Any = self.model._meta.get_field("brand")
        same_brand: Any = Exact(theirs.get_col(alias), ours.get_col(related_alias))
        return WhereNode([same_brand])

    def deconstruct(self) -> tuple[str, str, Any, Any]:
        """Describe the field for migration files."""
        name, path, args, kwargs = super().deconstruct()
        if self.guarded:
            kwargs["guarded"] = True
        return name, path, args, kwargs
