"""Several brands' rows in one round trip: each statement runs as the caller, under its own brand's row security."""

from typing import Any

from django.conf import settings
from django.db import migrations

ROWS_OF_BRANDS = """
CREATE OR REPLACE FUNCTION zhiyin_rows_of_brands(brands bigint[], statements text[])
RETURNS TABLE (place integer, answer jsonb) LANGUAGE plpgsql SECURITY INVOKER AS $$
BEGIN
    FOR number IN 1 .. cardinality(brands) LOOP
        place := number;
        PERFORM set_config('app.brand_id', brands[place]::text, true);
        FOR answer IN EXECUTE 'SELECT to_jsonb(r) FROM (' || statements[place] || ') AS r' LOOP
            RETURN NEXT;
        END LOOP;
    END LOOP;
    PERFORM set_config('app.brand_id', '', true);
END
$$
"""


def make(_apps: Any, schema_editor: Any) -> None:
    """Make the function; only the application may call it."""
    name = "FUNCTION zhiyin_rows_of_brands(bigint[], text[])"
    for statement in (
        ROWS_OF_BRANDS,
        f"REVOKE ALL ON {name} FROM PUBLIC",
        f'GRANT EXECUTE ON {name} TO "{settings.DATABASE_APP_ROLE}"',
    ):
        schema_editor.execute(statement, params=None)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_desk_and_region_roles")]

    operations = [migrations.RunPython(make, migrations.RunPython.noop, elidable=False)]
