"""Which tables kept segments follow: triggers on them write down, with each change, of whom something changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from common.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Sequence

# Table to the column that names the person. A rule that reads another table of people is found anew each time. Without
# a column its rows say nothing of anybody (names, thresholds): what they change is seen when everything is found anew.
watched: Registry[str] = Registry("watched tables", purpose="whose changes bring kept segments up to date")

watched.register("members_member", "id")
for _table in (
    "members_follower",
    "members_consent",
    "members_factchange",
    "members_flag",
    "members_profilevalue",
    "members_stagemove",
):
    watched.register(_table, "member_id")
_NOBODY = ("accounts_brand", "members_segment", "members_tag", "stores_store", "members_snapshotmember")
for _table in _NOBODY:  # places in snapshots never change
    watched.register(_table, "")

_FUNCTION: Final = """
CREATE OR REPLACE FUNCTION {table}_segments() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM members_segment WHERE freshness = 'MINUTES') THEN
        RETURN NULL;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO members_segmentdue (brand_id, member_id)
        SELECT DISTINCT brand_id, {column} FROM fresh WHERE {column} IS NOT NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO members_segmentdue (brand_id, member_id)
        SELECT DISTINCT brand_id, {column} FROM stale WHERE {column} IS NOT NULL;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER {table}_segments_new AFTER INSERT ON {table}
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION {table}_segments();
CREATE TRIGGER {table}_segments_changed AFTER UPDATE ON {table}
    REFERENCING OLD TABLE AS stale NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION {table}_segments();
CREATE TRIGGER {table}_segments_gone AFTER DELETE ON {table}
    REFERENCING OLD TABLE AS stale FOR EACH STATEMENT EXECUTE FUNCTION {table}_segments();
"""
_GONE: Final = """
DROP TRIGGER {table}_segments_new ON {table};
DROP TRIGGER {table}_segments_changed ON {table};
DROP TRIGGER {table}_segments_gone ON {table};
DROP FUNCTION {table}_segments;
"""


def watch(tables: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """Give the statements of a migration that put the triggers on (table, column) pairs, and those that take them off.

    They run with the rights of whoever makes the change: row security shows them that brand's segments alone.
    """
    on = "".join(_FUNCTION.format(table=table, column=column) for table, column in tables)
    off = "".join(_GONE.format(table=table) for table, _column in tables)
    return on, off
