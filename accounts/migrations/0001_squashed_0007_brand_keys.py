"""Brands, staff and their roles, API keys, the sealed audit log, and the functions of the database that change it."""

import django.contrib.auth.models
import django.contrib.auth.validators
import django.core.validators
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import accounts.sealing
from accounts.operations import ApplicationFunction, FirstMigration, SecureBrandTables

# Several brands' rows in one round trip: each statement runs as the caller, under its own brand's row security.
_ROWS_OF_BRANDS = """
CREATE FUNCTION zhiyin_rows_of_brands(brands bigint[], statements text[])
RETURNS TABLE (place integer, answer jsonb) LANGUAGE plpgsql SECURITY INVOKER AS $$
BEGIN
    FOR number IN 1 .. cardinality(brands) LOOP
        place := number;
        PERFORM set_config('app.brand_id', brands[place]::text, true);
        FOR answer IN EXECUTE 'SELECT to_jsonb(r) FROM (' || statements[place] || ') AS r' LOOP
            RETURN NEXT;
        END LOOP;
    END LOOP;
    PERFORM set_config('app.brand_id', '', true);
END
$$
"""

# The audit log is append-only; the one thing that ever changes in it are the names of people who were erased. This
# runs as the owner of the tables, whom row security binds as well: only the brand in scope is touched. It can replace
# words by a mark in entries on the objects named, and nothing else; each is noted in the same transaction.
_FORGET = """
CREATE FUNCTION zhiyin_forget_in_audit(kinds text[], ids text[], words text[])
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

# What is older than the brand keeps it goes. Logs are kept for six months at least (Cybersecurity Law, article 21):
# what is younger than that, seen from the newest entry, stays whoever asks. Up to which moment entries went is noted
# in the same transaction.
_TRIM = """
CREATE FUNCTION zhiyin_trim_audit(older_than timestamptz, most integer)
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

# What the tables have in common.
_ID = models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")
_BRAND = models.ForeignKey(db_index=False, on_delete=models.DO_NOTHING, related_name="+", to="accounts.brand")


class Migration(FirstMigration):
    replaces = [
        ("accounts", "0001_initial"),
        ("accounts", "0002_desk_and_region_roles"),
        ("accounts", "0003_rows_of_brands"),
        ("accounts", "0004_forget_in_audit"),
        ("accounts", "0005_trim_audit"),
        ("accounts", "0006_seal_audit"),
        ("accounts", "0007_brand_keys"),
    ]

    initial = True

    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    operations = [
        migrations.CreateModel(
            name="Brand",
            fields=[
                ("id", _ID),
                (
                    "slug",
                    models.SlugField(
                        max_length=40,
                        unique=True,
                        validators=[django.core.validators.RegexValidator("^[a-z][a-z0-9-]{1,39}$")],
                        verbose_name="address",
                    ),
                ),
                ("name", models.CharField(max_length=60, verbose_name="name")),
                ("name_en", models.CharField(blank=True, max_length=60, verbose_name="English name")),
                ("timezone", models.CharField(default="Asia/Shanghai", max_length=40, verbose_name="time zone")),
                ("is_active", models.BooleanField(default=True, verbose_name="active")),
                ("data_key", models.BinaryField(default=accounts.sealing.new_wrapped_key)),
                ("created_at", models.DateTimeField(auto_now_add=True, verbose_name="created")),
            ],
            options={
                "verbose_name": "brand",
                "verbose_name_plural": "brands",
            },
        ),
        migrations.CreateModel(
            name="StaffUser",
            fields=[
                ("id", _ID),
                ("password", models.CharField(max_length=128, verbose_name="password")),
                ("last_login", models.DateTimeField(blank=True, null=True, verbose_name="last login")),
                (
                    "is_superuser",
                    models.BooleanField(
                        default=False,
                        help_text="Designates that this user has all permissions without explicitly assigning them.",
                        verbose_name="superuser status",
                    ),
                ),
                (
                    "username",
                    models.CharField(
                        error_messages={"unique": "A user with that username already exists."},
                        help_text="Required. 150 characters or fewer. Letters, digits and @/./+/-/_ only.",
                        max_length=150,
                        unique=True,
                        validators=[django.contrib.auth.validators.UnicodeUsernameValidator()],
                        verbose_name="username",
                    ),
                ),
                ("first_name", models.CharField(blank=True, max_length=150, verbose_name="first name")),
                ("last_name", models.CharField(blank=True, max_length=150, verbose_name="last name")),
                ("email", models.EmailField(blank=True, max_length=254, verbose_name="email address")),
                (
                    "is_staff",
                    models.BooleanField(
                        default=False,
                        help_text="Designates whether the user can log into this admin site.",
                        verbose_name="staff status",
                    ),
                ),
                (
                    "is_active",
                    models.BooleanField(
                        default=True,
                        help_text="Designates whether this user should be treated as active. Unselect this instead of deleting accounts.",
                        verbose_name="active",
                    ),
                ),
                ("date_joined", models.DateTimeField(default=django.utils.timezone.now, verbose_name="date joined")),
                ("name", models.CharField(blank=True, max_length=60, verbose_name="name")),
                ("language", models.CharField(blank=True, max_length=10, verbose_name="language")),
                (
                    "groups",
                    models.ManyToManyField(
                        blank=True,
                        help_text="The groups this user belongs to. A user will get all permissions granted to each of their groups.",
                        related_name="user_set",
                        related_query_name="user",
                        to="auth.group",
                        verbose_name="groups",
                    ),
                ),
                (
                    "user_permissions",
                    models.ManyToManyField(
                        blank=True,
                        help_text="Specific permissions for this user.",
                        related_name="user_set",
                        related_query_name="user",
                        to="auth.permission",
                        verbose_name="user permissions",
                    ),
                ),
            ],
            options={
                "verbose_name": "staff member",
                "verbose_name_plural": "staff",
            },
            managers=[
                ("objects", django.contrib.auth.models.UserManager()),
            ],
        ),
        migrations.CreateModel(
            name="ApiKey",
            fields=[
                ("id", _ID),
                ("label", models.CharField(max_length=60, verbose_name="what it is for")),
                ("prefix", models.CharField(max_length=12, unique=True, verbose_name="begins with")),
                ("fingerprint", models.CharField(max_length=64)),
                ("scopes", models.JSONField(default=list, verbose_name="scopes")),
                ("created_at", models.DateTimeField(verbose_name="created")),
                ("last_used_at", models.DateTimeField(blank=True, null=True, verbose_name="last used")),
                ("revoked_at", models.DateTimeField(blank=True, null=True, verbose_name="revoked")),
                ("brand", _BRAND),
            ],
            options={
                "verbose_name": "API key",
                "verbose_name_plural": "API keys",
                "abstract": False,
                "base_manager_name": "objects",
            },
        ),
        migrations.CreateModel(
            name="AuditEntry",
            fields=[
                ("id", _ID),
                ("at", models.DateTimeField(verbose_name="when")),
                ("actor_label", models.CharField(max_length=120, verbose_name="who")),
                ("role", models.CharField(blank=True, max_length=20, verbose_name="role")),
                ("via", models.CharField(max_length=20, verbose_name="through")),
                ("action", models.CharField(max_length=60, verbose_name="what")),
                ("object_type", models.CharField(max_length=60, verbose_name="kind")),
                ("object_id", models.CharField(max_length=40)),
                ("object_label", models.CharField(max_length=200, verbose_name="object")),
                ("changes", models.JSONField(default=dict, verbose_name="before and after")),
                ("reason", models.CharField(blank=True, max_length=200, verbose_name="reason")),
                ("ip", models.CharField(blank=True, max_length=45, verbose_name="IP")),
                ("request_id", models.CharField(blank=True, max_length=36)),
                (
                    "actor",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=models.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("brand", _BRAND),
            ],
            options={
                "verbose_name": "log entry",
                "verbose_name_plural": "audit log",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["brand", "-at", "-id"], name="audit_newest"),
                    models.Index(fields=["brand", "object_type", "object_id"], name="audit_of_object"),
                ],
            },
        ),
        migrations.CreateModel(
            name="RoleGrant",
            fields=[
                ("id", _ID),
                (
                    "role",
                    models.CharField(
                        choices=[
                            ("OWNER", "Owner"),
                            ("MARKETER", "Marketer"),
                            ("REGION_MANAGER", "Region manager"),
                            ("STORE_MANAGER", "Store manager"),
                            ("GUIDE", "Guide"),
                            ("SERVICE_DESK", "Service desk"),
                            ("ANALYST", "Analyst"),
                            ("AUDITOR", "Auditor"),
                        ],
                        max_length=20,
                        verbose_name="role",
                    ),
                ),
                (
                    "scope",
                    models.CharField(
                        choices=[("BRAND", "Whole brand"), ("STORES", "Own stores"), ("OWN", "Own members")],
                        default="BRAND",
                        max_length=10,
                        verbose_name="data scope",
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True, verbose_name="granted")),
                ("brand", _BRAND),
                (
                    "staff_user",
                    models.ForeignKey(
                        on_delete=models.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="staff member",
                    ),
                ),
            ],
            options={
                "verbose_name": "role",
                "verbose_name_plural": "roles",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "staff_user"), name="one_role_per_person_and_brand")
                ],
            },
        ),
        migrations.CreateModel(
            name="AuditBlock",
            fields=[
                ("id", _ID),
                ("number", models.BigIntegerField()),
                ("upto", models.BigIntegerField()),
                ("changes_upto", models.BigIntegerField(default=0)),
                ("records", models.BinaryField()),
                ("previous", models.BinaryField()),
                ("hash", models.BinaryField()),
                ("sealed_at", models.DateTimeField()),
                ("brand", _BRAND),
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
                ("id", _ID),
                ("kind", models.CharField(max_length=10)),
                ("entry", models.BigIntegerField(null=True)),
                ("upto", models.DateTimeField(null=True)),
                ("rows", models.IntegerField(default=1)),
                ("at", models.DateTimeField()),
                ("brand", _BRAND),
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
                ("id", _ID),
                ("sealed_block", models.BigIntegerField(default=0)),
                ("sealed_at", models.DateTimeField(null=True)),
                ("anchored_block", models.BigIntegerField(default=0)),
                ("anchored_at", models.DateTimeField(null=True)),
                ("looking_block", models.BigIntegerField(default=0)),
                ("looking", models.JSONField(default=dict)),
                ("verified_at", models.DateTimeField(null=True)),
                ("verified", models.JSONField(default=dict)),
                ("brand", _BRAND),
            ],
            options={
                "verbose_name": "state of the audit log",
                "verbose_name_plural": "states of the audit log",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [models.UniqueConstraint(fields=("brand",), name="one_audit_state_per_brand")],
            },
        ),
        migrations.CreateModel(
            name="BrandKey",
            fields=[
                ("id", _ID),
                ("number", models.PositiveIntegerField(verbose_name="number")),
                ("wrapped", models.BinaryField(default=accounts.sealing.new_wrapped_key)),
                ("created_at", models.DateTimeField(verbose_name="created")),
                ("turned", models.BigIntegerField(default=0, verbose_name="values sealed anew")),
                ("settled_at", models.DateTimeField(blank=True, null=True, verbose_name="done")),
                (
                    "owner",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=models.CASCADE,
                        related_name="keys",
                        to="accounts.brand",
                        verbose_name="brand",
                    ),
                ),
            ],
            options={
                "verbose_name": "data key",
                "verbose_name_plural": "data keys",
                "constraints": [models.UniqueConstraint(fields=("owner", "number"), name="brand_key_by_number")],
            },
        ),
        ApplicationFunction("zhiyin_rows_of_brands(bigint[], text[])", _ROWS_OF_BRANDS),
        ApplicationFunction("zhiyin_forget_in_audit(text[], text[], text[])", _FORGET),
        ApplicationFunction("zhiyin_trim_audit(timestamptz, integer)", _TRIM),
        SecureBrandTables("accounts", append_only=("AuditEntry", "AuditBlock", "AuditChange")),
    ]
