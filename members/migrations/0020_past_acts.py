"""A trigger that writes down, once a day and person, when they had last been heard of before."""

from __future__ import annotations

from django.db import migrations

_ACTS = """
CREATE FUNCTION members_log_act() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO members_factchange (brand_id, member_id, what, ref, before, after, source, at)
    VALUES (NEW.brand_id, NEW.id, 'act', 0,
        coalesce(to_char(OLD.last_interaction_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'), ''),
        '', '', NEW.last_interaction_at);
    RETURN NULL;
END $$;
CREATE TRIGGER members_member_act_logged AFTER UPDATE OF last_interaction_at ON members_member FOR EACH ROW
    WHEN (NEW.last_interaction_at IS NOT NULL AND (OLD.last_interaction_at IS NULL OR
        (NEW.last_interaction_at AT TIME ZONE 'UTC')::date > (OLD.last_interaction_at AT TIME ZONE 'UTC')::date))
    EXECUTE FUNCTION members_log_act();
"""
_NO_ACTS = """
DROP TRIGGER members_member_act_logged ON members_member;
DROP FUNCTION members_log_act;
"""


class Migration(migrations.Migration):
    dependencies = [("members", "0019_lists_of_large_brands")]

    operations = [migrations.RunSQL(_ACTS, _NO_ACTS)]
