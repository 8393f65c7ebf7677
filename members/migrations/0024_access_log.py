"""Who has looked at whom: append-only, trimmed by a function of the database that never touches the newest 180 days."""

from typing import Any

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import accounts.tenancy
from accounts.operations import SecureBrandTables

# Runs as the owner of the table, whom row security binds as well: only the brand in scope is touched (as the function
# for the audit log).
TRIM = """
CREATE OR REPLACE FUNCTION zhiyin_trim_access(older_than timestamptz, most integer)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    brand bigint := nullif(current_setting('app.brand_id', true), '')::bigint;
    bound timestamptz;
    gone bigint;
BEGIN
    SELECT least(older_than, max(e.at) - interval '180 days') INTO bound
    FROM public.members_accessentry e WHERE e.brand_id = brand;
    WITH old AS (
        SELECT e.brand_id, e.id FROM public.members_accessentry e
        WHERE e.brand_id = brand AND e.at < bound
        ORDER BY e.at, e.id LIMIT most
    )
    DELETE FROM public.members_accessentry e USING old WHERE e.brand_id = old.brand_id AND e.id = old.id;
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END
$$
"""


def make(_apps: Any, schema_editor: Any) -> None:
    """Make the function; only the application may call it."""
    name = "FUNCTION zhiyin_trim_access(timestamptz, integer)"
    for statement in (
        TRIM,
        f"REVOKE ALL ON {name} FROM PUBLIC",
        f'GRANT EXECUTE ON {name} TO "{settings.DATABASE_APP_ROLE}"',
    ):
        schema_editor.execute(statement, params=None)


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0005_trim_audit"),
        ("members", "0023_present_people"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="AccessEntry",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("actor_label", models.CharField(max_length=120, verbose_name="who")),
                ("via", models.CharField(max_length=20, verbose_name="through")),
                ("page", models.CharField(max_length=60, verbose_name="page")),
                ("at", models.DateTimeField(verbose_name="when")),
                ("hour", models.DateTimeField()),
                ("ip", models.CharField(blank=True, max_length=45, verbose_name="IP")),
                (
                    "actor",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "brand",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="accounts.brand",
                    ),
                ),
                (
                    "member",
                    accounts.tenancy.BrandForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="members.member",
                        verbose_name="member",
                    ),
                ),
            ],
            options={
                "verbose_name": "access",
                "verbose_name_plural": "access log",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["brand", "-at", "-id"], name="access_newest"),
                    models.Index(fields=["brand", "actor", "actor_label", "-at"], name="access_by_whom"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("brand", "member", "hour", "page", "actor", "actor_label"),
                        name="access_once_an_hour",
                        nulls_distinct=False,
                    )
                ],
            },
        ),
        SecureBrandTables(
            "members",
            append_only=(
                "AccessEntry",
                "Consent",
                "ConsentText",
                "GroupingVersion",
                "MergeRecord",
                "MergeUndo",
                "SnapshotMember",
            ),
        ),
        migrations.RunPython(make, migrations.RunPython.noop, elidable=False),
    ]
