"""The audit log is append-only; the one thing that ever changes in it are the names of people who were erased."""

from typing import Any

from django.conf import settings
from django.db import migrations

# Runs as the owner of the tables, whom row security binds as well: only the brand in scope is touched. It can replace
# words by a mark in entries on the objects named, and nothing else.
FORGET = """
CREATE OR REPLACE FUNCTION zhiyin_forget_in_audit(kinds text[], ids text[], words text[])
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    entry record;
    word text;
    quoted text;
    changed text;
    told text;
    gone bigint := 0;
BEGIN
    FOR entry IN
        SELECT e.brand_id, e.id, e.changes::text AS changes, e.reason
        FROM unnest(kinds, ids) AS o(kind, id)
        JOIN public.accounts_auditentry e ON e.object_type = o.kind AND e.object_id = o.id
            AND e.brand_id = nullif(current_setting('app.brand_id', true), '')::bigint
    LOOP
        changed := entry.changes;
        told := entry.reason;
        FOREACH word IN ARRAY words LOOP
            quoted := to_jsonb(word)::text;
            changed := replace(changed, substr(quoted, 2, length(quoted) - 2), '***');
            told := replace(told, word, '***');
        END LOOP;
        UPDATE public.accounts_auditentry e SET object_label = '***', changes = changed::jsonb, reason = left(told, 200)
        WHERE e.brand_id = entry.brand_id AND e.id = entry.id;
        gone := gone + 1;
    END LOOP;
    RETURN gone;
END
$$
"""


def make(_apps: Any, schema_editor: Any) -> None:
    """Make the function; only the application may call it."""
    name = "FUNCTION zhiyin_forget_in_audit(text[], text[], text[])"
    for statement in (
        FORGET,
        f"REVOKE ALL ON {name} FROM PUBLIC",
        f'GRANT EXECUTE ON {name} TO "{settings.DATABASE_APP_ROLE}"',
    ):
        schema_editor.execute(statement, params=None)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0003_rows_of_brands")]

    operations = [migrations.RunPython(make, migrations.RunPython.noop, elidable=False)]
