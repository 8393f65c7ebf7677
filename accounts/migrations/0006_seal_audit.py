"""The audit log is sealed in blocks; the two functions that may change it write down what they did."""

from typing import Any

import django.db.models.deletion
from django.db import migrations, models

from accounts.operations import SecureBrandTables

# As in 0004; each entry whose words go is noted in the same transaction.
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
        INSERT INTO public.accounts_auditchange (brand_id, kind, entry, rows, at)
        VALUES (entry.brand_id, 'FORGOTTEN', entry.id, 1, now());
        gone := gone + 1;
    END LOOP;
    RETURN gone;
END
$$
"""

# As in 0005; up to which moment entries went is noted in the same transaction.
TRIM = """
CREATE OR REPLACE FUNCTION zhiyin_trim_audit(older_than timestamptz, most integer)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    brand bigint := nullif(current_setting('app.brand_id', true), '')::bigint;
    bound timestamptz;
    youngest timestamptz;
    gone bigint;
BEGIN
    SELECT least(older_than, max(e.at) - interval '180 days') INTO bound
    FROM public.accounts_auditentry e WHERE e.brand_id = brand;
    WITH old AS (
        SELECT e.brand_id, e.id FROM public.accounts_auditentry e
        WHERE e.brand_id = brand AND e.at < bound
        ORDER BY e.at, e.id LIMIT most
    ), went AS (
        DELETE FROM public.accounts_auditentry e USING old WHERE e.brand_id = old.brand_id AND e.id = old.id
        RETURNING e.at
    )
    SELECT count(*), max(went.at) INTO gone, youngest FROM went;
    IF gone > 0 THEN
        INSERT INTO public.accounts_auditchange (brand_id, kind, upto, rows, at)
        VALUES (brand, 'TRIMMED', youngest, gone, now());
    END IF;
    RETURN gone;
END
$$
"""


def make(_apps: Any, schema_editor: Any) -> None:
    """Replace both functions; who may call them stays as it was."""
    for statement in (FORGET, TRIM):
        schema_editor.execute(statement, params=None)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0005_trim_audit")]

    operations = [
        migrations.CreateModel(
            name="AuditBlock",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.BigIntegerField()),
                ("upto", models.BigIntegerField()),
                ("changes_upto", models.BigIntegerField(default=0)),
                ("records", models.BinaryField()),
                ("previous", models.BinaryField()),
                ("hash", models.BinaryField()),
                ("sealed_at", models.DateTimeField()),
                (
                    "brand",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="accounts.brand",
                    ),
                ),
            ],
            options={
                "verbose_name": "seal of the audit log",
                "verbose_name_plural": "seals of the audit log",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [models.UniqueConstraint(fields=("brand", "number"), name="one_block_after_another")],
            },
        ),
        migrations.CreateModel(
            name="AuditChange",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.CharField(max_length=10)),
                ("entry", models.BigIntegerField(null=True)),
                ("upto", models.DateTimeField(null=True)),
                ("rows", models.IntegerField(default=1)),
                ("at", models.DateTimeField()),
                (
                    "brand",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="accounts.brand",
                    ),
                ),
            ],
            options={
                "verbose_name": "lawful change of the audit log",
                "verbose_name_plural": "lawful changes of the audit log",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [models.Index(fields=["brand", "kind", "entry"], name="audit_change_of_entry")],
            },
        ),
        migrations.CreateModel(
            name="AuditState",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("sealed_block", models.BigIntegerField(default=0)),
                ("sealed_at", models.DateTimeField(null=True)),
                ("anchored_block", models.BigIntegerField(default=0)),
                ("anchored_at", models.DateTimeField(null=True)),
                ("looking_block", models.BigIntegerField(default=0)),
                ("looking", models.JSONField(default=dict)),
                ("verified_at", models.DateTimeField(null=True)),
                ("verified", models.JSONField(default=dict)),
                (
                    "brand",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="accounts.brand",
                    ),
                ),
            ],
            options={
                "verbose_name": "state of the audit log",
                "verbose_name_plural": "states of the audit log",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [models.UniqueConstraint(fields=("brand",), name="one_audit_state_per_brand")],
            },
        ),
        SecureBrandTables("accounts", append_only=("AuditEntry", "AuditBlock", "AuditChange")),
        migrations.RunPython(make, migrations.RunPython.noop, elidable=False),
    ]
