"""What rules always ask about a person, as a function: PostgreSQL keeps its plan, a statement sent as text is planned anew.

It runs as the caller, so row security holds; the brand is the one in scope.
"""

from typing import Any

from django.conf import settings
from django.db import migrations

PERSON = """
CREATE OR REPLACE FUNCTION conversations_person(wanted_account bigint, wanted_openid text, with_touches boolean)
RETURNS TABLE (member_id bigint, left_at timestamptz, tag_ids bigint[], touchpoint_ids bigint[])
LANGUAGE plpgsql STABLE SECURITY INVOKER AS $$
DECLARE
    brand bigint := nullif(current_setting('app.brand_id', true), '')::bigint;
BEGIN
    RETURN QUERY
    SELECT m.id, f.unfollowed_at, m.tag_ids, CASE WHEN with_touches THEN ARRAY(
        SELECT DISTINCT t.touchpoint_id FROM touchpoints_touch t
        WHERE t.brand_id = brand AND t.member_id = m.id AND t.touchpoint_id IS NOT NULL
    ) END
    FROM members_follower f JOIN members_member m ON m.brand_id = f.brand_id AND m.id = f.member_id
    WHERE f.brand_id = brand AND f.account_id = wanted_account AND f.openid = wanted_openid;
END
$$
"""
_NAME = "FUNCTION conversations_person(bigint, text, boolean)"


def make(_apps: Any, schema_editor: Any) -> None:
    """Make the function; only the application may call it."""
    for statement in (
        PERSON,
        f"REVOKE ALL ON {_NAME} FROM PUBLIC",
        f'GRANT EXECUTE ON {_NAME} TO "{settings.DATABASE_APP_ROLE}"',
    ):
        schema_editor.execute(statement, params=None)


class Migration(migrations.Migration):
    dependencies = [
        ("conversations", "0005_taps_and_retention"),
        ("members", "0001_initial"),
        ("touchpoints", "0001_initial"),
    ]

    operations = [migrations.RunPython(make, migrations.RunPython.noop, elidable=False)]
