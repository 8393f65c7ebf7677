"""Take every value out of what the audit log says of an erased person's profile, not only the last ones."""

from django.db import migrations

from accounts.operations import ApplicationFunction

# As in the first migration; of a change of a profile only which fields it was about stays.
_FORGET = """
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
        SELECT e.brand_id, e.id, e.action, e.changes::text AS changes, e.reason
        FROM unnest(kinds, ids) AS o(kind, id)
        JOIN public.accounts_auditentry e ON e.object_type = o.kind AND e.object_id = o.id
            AND e.brand_id = nullif(current_setting('app.brand_id', true), '')::bigint
    LOOP
        changed := entry.changes;
        IF entry.action = 'change profile' THEN
            SELECT coalesce(jsonb_object_agg(field.key, (
                SELECT coalesce(jsonb_agg(
                    CASE WHEN said.value IN ('""', 'null') THEN said.value ELSE '"***"' END ORDER BY said.number
                ), '[]')
                FROM jsonb_array_elements(field.value) WITH ORDINALITY AS said (value, number)
            )), '{}')::text INTO changed
            FROM jsonb_each(entry.changes::jsonb) AS field;
        END IF;
        told := entry.reason;
        FOREACH word IN ARRAY words LOOP
            quoted := to_jsonb(word)::text;
            changed := replace(changed, substr(quoted, 2, length(quoted) - 2), '***');
            told := replace(told, word, '***');
        END LOOP;
        UPDATE public.accounts_auditentry e SET object_label = '***', changes = changed::jsonb, reason = left(told, 200)
        WHERE e.brand_id = entry.brand_id AND e.id = entry.id;
        INSERT INTO public.accounts_auditchange (brand_id, kind, entry, rows, at)
        VALUES (entry.brand_id, 'FORGOTTEN', entry.id, 1, now());
        gone := gone + 1;
    END LOOP;
    RETURN gone;
END
$$
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_squashed_0007_brand_keys")]
    operations = [ApplicationFunction("zhiyin_forget_in_audit(text[], text[], text[])", _FORGET)]
