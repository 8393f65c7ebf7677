"""Many rows of a brand in one statement, without an object for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.postgres.fields import ArrayField
from django.db import connection

from accounts.tenancy import current_brand_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from accounts.tenancy import BrandOwned


def insert_many(
    model: type[BrandOwned], columns: Mapping[str, Sequence[Any]], *, same: Mapping[str, Any], by: str = ""
) -> dict[Any, int]:
    """Insert rows of the brand in scope: `columns` holds a value for each row, `same` what all rows share.

    Both are named by the attributes of the model; every column without a default in the database must be there. Values
    are written as they are: the caller checks and seals. Gives the keys of the rows by the column `by`, whose values
    must differ; without it nothing. A column of arrays takes sequences of plain numbers or UUIDs.
    """
    # A value of another brand's scope cannot slip in: the brand is written here, and row security checks it again.
    table = connection.ops.quote_name(model._meta.db_table)
    fields = {field.attname: field for field in model._meta.concrete_fields}
    names = [connection.ops.quote_name(str(fields[name].column)) for name in (*same, *columns)]
    types = [
        fields[name].rel_db_type(connection) if fields[name].is_relation else fields[name].db_type(connection)
        for name in columns
    ]
    # unnest() would take an array of arrays apart to the last value: each goes as its text.
    arrays = {at for at, name in enumerate(columns) if isinstance(fields[name], ArrayField)}
    given = ["text" if at in arrays else each for at, each in enumerate(types)]
    sql = (
        f"INSERT INTO {table} (brand_id, {', '.join(names)}) "  # noqa: S608 - names of models, no values
        f"SELECT {', '.join(['%s'] * (1 + len(same)))}, "
        f"{', '.join(f'u.c{at}::{each}' for at, each in enumerate(types))}"
        f" FROM unnest({', '.join(f'%s::{each}[]' for each in given)})"
        f" AS u({', '.join(f'c{at}' for at in range(len(types)))})"
    )
    values = [
        [f"{{{','.join(map(str, each))}}}" for each in said] if at in arrays else list(said)
        for at, said in enumerate(columns.values())
    ]
    if by:
        sql += f" RETURNING {connection.ops.quote_name(str(fields[by].column))}, id"
    with connection.cursor() as cursor:
        cursor.execute(sql, [current_brand_id(), *same.values(), *values])
        return dict(cursor.fetchall()) if by else {}


def plan_anew() -> None:
    """Have the server drop the plans it keeps for this connection, and make new ones for the tables as they are now.

    Checks of foreign keys are planned once and kept. Planned while a table was nearly empty they read all of it for
    each row, which is nothing then, and minutes after a hundred thousand rows were written on the same connection.
    """
    with connection.cursor() as cursor:
        cursor.execute("DISCARD PLANS")
