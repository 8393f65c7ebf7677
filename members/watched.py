"""Which tables kept segments follow: triggers on them write down, with each change, of whom something changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from common.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Sequence

# Table to the column that names the person, or the follower they are known by. A rule that reads another table of
# people is found anew each time. Without a column its rows say nothing of anybody (names, thresholds): what they change
# is seen when everything is found anew.
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
# Of tables that know a follower, not a person. `{what}` is what of a row counts: other columns may change all day long.
_OF_FOLLOWERS: Final = """
CREATE OR REPLACE FUNCTION {table}_segments() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM members_segment WHERE freshness = 'MINUTES') THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        INSERT INTO members_segmentdue (brand_id, member_id)
        SELECT DISTINCT w.brand_id, w.member_id FROM fresh f
        JOIN stale s ON s.brand_id = f.brand_id AND s.id = f.id
        JOIN members_follower w ON w.brand_id = f.brand_id AND w.id IN (f.follower_id, s.follower_id)
        WHERE (f.follower_id, {fresh}) IS DISTINCT FROM (s.follower_id, {stale});
    ELSIF TG_OP = 'INSERT' THEN
        INSERT INTO members_segmentdue (brand_id, member_id)
        SELECT DISTINCT w.brand_id, w.member_id FROM fresh f
        JOIN members_follower w ON w.brand_id = f.brand_id AND w.id = f.follower_id;
    ELSE
        INSERT INTO members_segmentdue (brand_id, member_id)
        SELECT DISTINCT w.brand_id, w.member_id FROM stale s
        JOIN members_follower w ON w.brand_id = s.brand_id AND w.id = s.follower_id;
    END IF;
    RETURN NULL;
END $$;
"""
_TRIGGERS: Final = _FUNCTION[_FUNCTION.index("CREATE TRIGGER") :]
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


def watch_followers(table: str, what: str) -> tuple[str, str]:
    """Give the statements for a table that knows a follower; `what` of a row counts, as SQL with `{row}` for the row.

    Whoever the follower belongs to is noted. When that changes, the follower's own table tells it.
    """
    function = _OF_FOLLOWERS.format(table=table, fresh=what.format(row="f"), stale=what.format(row="s"))
    return function + _TRIGGERS.format(table=table), _GONE.format(table=table)
