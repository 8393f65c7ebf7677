"""The two nets, each of which can be taken away: the guard in Python, and row security in PostgreSQL."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection

from accounts import tenancy
from accounts.tenancy import BrandQuerySet, brand_scope, every_brand
from launcher import roles
from tests.isolation.world import World, brand_models

TABLE = re.compile(r'(?:FROM|JOIN|UPDATE|INTO)\s+"(\w+)"', re.IGNORECASE)


class Unguarded:
    """Counts statements on brand tables that name no brand: proof that the guard is gone."""

    def __init__(self) -> None:
        self.statements: Counter[str] = Counter()
        self._tables = {model._meta.db_table for model in brand_models()}

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "brand_id" not in sql.partition(" FROM ")[2]:
            for table in TABLE.findall(sql):
                if table in self._tables:
                    self.statements[table] += 1
        return execute(sql, params, many, context)


@contextmanager
def guard_open() -> Iterator[Unguarded]:
    """Replace the guarded managers by open ones: every row, no scope needed, any brand may be written."""

    def everything(self):
        return BrandQuerySet(self.model, using=self._db)

    def claim(row):
        scope = tenancy.current_scope()
        if row.brand_id is None and scope is not None:
            row.brand_id = scope.brand_id

    counter = Unguarded()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tenancy.BrandManager, "get_queryset", everything)
        patch.setattr(tenancy, "claim_for_scope", claim)
        patch.setattr(tenancy, "_require_writable", lambda: None)
        patch.setattr(tenancy.BrandQuerySet, "update", super(BrandQuerySet, BrandQuerySet).update)
        with connection.execute_wrapper(counter):
            yield counter


def owner_statements(*statements: str) -> None:
    """Run as the owner of the tables, committed at once."""
    roles.statements(os.environ["DATABASE_OWNER_URL"], *statements)


def spread_sequences(start: int) -> None:
    """Let ids begin far apart and with many digits, so that no id is met by chance in a page or in another table."""
    tables = [*(model._meta.db_table for model in brand_models()), "accounts_staffuser", "accounts_brand"]
    owner_statements(
        *(
            f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), {start + 20_000 * number})"
            for number, table in enumerate(tables)
        )
    )
    with connection.cursor() as cursor:
        cursor.execute("DISCARD SEQUENCES")  # numbers this connection has put by


@contextmanager
def row_security_off() -> Iterator[None]:
    """Disable row security on every brand table of this worker's database."""
    tables = [model._meta.db_table for model in brand_models()]
    owner_statements(*(f'ALTER TABLE "{table}" DISABLE ROW LEVEL SECURITY' for table in tables))
    try:
        yield
    finally:
        owner_statements(*(f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY' for table in tables))


def rows_held_by_postgres(world: World) -> dict[str, int]:
    """With the guard open: per table, how many rows a plain query asked for and PostgreSQL did not give."""
    with every_brand(reason="count what row security holds back"):
        there = {model: model._base_manager.count() for model in brand_models()}
    with brand_scope(world.a.brand.pk):
        return {model._meta.label: there[model] - model.objects.count() for model in brand_models()}


def rows_held_by_python(world: World) -> dict[str, int]:
    """With row security off: per table, how many rows PostgreSQL gives to A and the guard does not."""
    held = {}
    with brand_scope(world.a.brand.pk), connection.cursor() as cursor:
        for model in brand_models():
            cursor.execute(f'SELECT count(*) FROM "{model._meta.db_table}"')
            held[model._meta.label] = cursor.fetchone()[0] - model.objects.count()
    return held
