"""The audit log is append-only; what is older than the brand keeps it goes, and never anything of the last six months."""

from typing import Any

from django.conf import settings
from django.db import migrations

# Runs as the owner of the tables, whom row security binds as well: only the brand in scope is touched. Logs are kept
# for six months at least (Cybersecurity Law, article 21): what is younger than that, seen from the newest entry, stays
# whoever asks.
TRIM = """
CREATE OR REPLACE FUNCTION zhiyin_trim_audit(older_than timestamptz, most integer)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    brand bigint := nullif(current_setting('app.brand_id', true), '')::bigint;
    bound timestamptz;
    gone bigint;
BEGIN
    SELECT least(older_than, max(e.at) - interval '180 days') INTO bound
    FROM public.accounts_auditentry e WHERE e.brand_id = brand;
    WITH old AS (
        SELECT e.brand_id, e.id FROM public.accounts_auditentry e
        WHERE e.brand_id = brand AND e.at < bound
        ORDER BY e.at, e.id LIMIT most
    )
    DELETE FROM public.accounts_auditentry e USING old WHERE e.brand_id = old.brand_id AND e.id = old.id;
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END
$$
"""


def make(_apps: Any, schema_editor: Any) -> None:
    """Make the function; only the application may call it."""
    name = "FUNCTION zhiyin_trim_audit(timestamptz, integer)"
    for statement in (
        TRIM,
        f"REVOKE ALL ON {name} FROM PUBLIC",
        f'GRANT EXECUTE ON {name} TO "{settings.DATABASE_APP_ROLE}"',
    ):
        schema_editor.execute(statement, params=None)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0004_forget_in_audit")]

    operations = [migrations.RunPython(make, migrations.RunPython.noop, elidable=False)]
