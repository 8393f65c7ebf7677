"""Triggers that write down, in the same transaction, of whom something changed that figures of channels depend on.

They run with the rights of whoever makes the change, so row security holds for them as well. Everything is marked by
what it is, never by what was counted so far: a change that comes while somebody counts leaves its mark all the same.
"""

from __future__ import annotations

from django.db import migrations

# A person comes, is moved to another record, or is marked as staff.
_TOUCHES = """
CREATE FUNCTION touchpoints_recount_touched() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO touchpoints_recount (brand_id, member_id) SELECT DISTINCT brand_id, member_id FROM fresh;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO touchpoints_recount (brand_id, member_id) SELECT DISTINCT brand_id, member_id FROM stale;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER touchpoints_touch_recount_new AFTER INSERT ON touchpoints_touch
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION touchpoints_recount_touched();
CREATE TRIGGER touchpoints_touch_recount_changed AFTER UPDATE ON touchpoints_touch
    REFERENCING OLD TABLE AS stale NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION touchpoints_recount_touched();
CREATE TRIGGER touchpoints_touch_recount_gone AFTER DELETE ON touchpoints_touch
    REFERENCING OLD TABLE AS stale FOR EACH STATEMENT EXECUTE FUNCTION touchpoints_recount_touched();
"""

# Somebody left, or it turned out that they had.
_LEAVING = """
CREATE FUNCTION touchpoints_recount_left() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO touchpoints_recount (brand_id, member_id)
    SELECT brand_id, member_id FROM members_follower
    WHERE brand_id = coalesce(NEW.brand_id, OLD.brand_id) AND id IN (NEW.follower_id, OLD.follower_id);
    RETURN NULL;
END $$;
CREATE TRIGGER touchpoints_unfollow_recount AFTER INSERT OR UPDATE OR DELETE ON touchpoints_unfollow
    FOR EACH ROW EXECUTE FUNCTION touchpoints_recount_left();

CREATE FUNCTION touchpoints_recount_follower() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO touchpoints_recount (brand_id, member_id) VALUES (NEW.brand_id, NEW.member_id);
    RETURN NULL;
END $$;
CREATE TRIGGER touchpoints_follower_recount AFTER UPDATE ON members_follower FOR EACH ROW
    WHEN (OLD.unfollowed_at IS DISTINCT FROM NEW.unfollowed_at)
    EXECUTE FUNCTION touchpoints_recount_follower();
"""

# Somebody joined, or was heard of on a later day. Days begin at quarters of an hour in every time zone, so of all that
# somebody says within one only the first leaves a mark.
_PEOPLE = """
CREATE FUNCTION touchpoints_recount_member() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO touchpoints_recount (brand_id, member_id) VALUES (NEW.brand_id, NEW.id);
    RETURN NULL;
END $$;
CREATE TRIGGER touchpoints_member_recount AFTER UPDATE ON members_member FOR EACH ROW
    WHEN (OLD.joined_at IS DISTINCT FROM NEW.joined_at
        OR date_bin('15 minutes', OLD.last_interaction_at, '2000-01-01 00:00Z')
            IS DISTINCT FROM date_bin('15 minutes', NEW.last_interaction_at, '2000-01-01 00:00Z'))
    EXECUTE FUNCTION touchpoints_recount_member();
"""

# A branch moved at a moment that some touches are later than already.
_MOVES = """
CREATE FUNCTION touchpoints_recount_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO touchpoints_recount (brand_id, member_id)
    SELECT DISTINCT brand_id, member_id FROM touchpoints_touch
    WHERE brand_id = NEW.brand_id AND at >= NEW.at AND touchpoint_id IS NOT NULL;
    RETURN NULL;
END $$;
CREATE TRIGGER touchpoints_move_recount AFTER INSERT ON touchpoints_move FOR EACH ROW
    WHEN (NOT NEW.restates) EXECUTE FUNCTION touchpoints_recount_moved();
"""

_GONE = """
DROP TRIGGER touchpoints_touch_recount_new ON touchpoints_touch;
DROP TRIGGER touchpoints_touch_recount_changed ON touchpoints_touch;
DROP TRIGGER touchpoints_touch_recount_gone ON touchpoints_touch;
DROP TRIGGER touchpoints_unfollow_recount ON touchpoints_unfollow;
DROP TRIGGER touchpoints_follower_recount ON members_follower;
DROP TRIGGER touchpoints_member_recount ON members_member;
DROP TRIGGER touchpoints_move_recount ON touchpoints_move;
DROP FUNCTION touchpoints_recount_touched, touchpoints_recount_left, touchpoints_recount_follower,
    touchpoints_recount_member, touchpoints_recount_moved;
"""


class Migration(migrations.Migration):
    """Put the triggers in place."""

    dependencies = [
        ("members", "0004_erasure_clocks"),
        ("touchpoints", "0004_sums_orders_openings"),
    ]

    operations = [
        migrations.RunSQL(_TOUCHES + _LEAVING + _PEOPLE + _MOVES, _GONE),
    ]
