"""Imports and exports, in chunks."""

import uuid

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models

from accounts.fields import SealedTextField
from accounts.operations import FirstMigration, SecureBrandTables
from accounts.tenancy import BrandForeignKey

# What the tables have in common.
_ID = models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")
_BRAND = models.ForeignKey(db_index=False, on_delete=models.DO_NOTHING, related_name="+", to="accounts.brand")


class Migration(FirstMigration):
    replaces = [("imports", "0001_initial"), ("imports", "0002_export_fields"), ("imports", "0003_exports_of_systems")]

    initial = True

    dependencies = [
        ("accounts", "0001_squashed_0007_brand_keys"),
        ("members", "0001_squashed_0026_sampled_people"),
    ]

    operations = [
        migrations.CreateModel(
            name="Export",
            fields=[
                ("id", _ID),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("named", models.CharField(blank=True, max_length=80, verbose_name="who")),
                ("search", models.CharField(blank=True, max_length=60, verbose_name="search")),
                (
                    "file_format",
                    models.CharField(
                        choices=[("CSV", "CSV"), ("XLSX", "XLSX")], default="CSV", max_length=4, verbose_name="format"
                    ),
                ),
                ("unmasked", models.BooleanField(default=False, verbose_name="phones in full")),
                ("reason", models.CharField(blank=True, max_length=200, verbose_name="reason")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("WAITING", "Being written"),
                            ("READY", "Ready"),
                            ("REFUSED", "Not written"),
                            ("GONE", "Deleted"),
                        ],
                        default="WAITING",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                ("problem", models.CharField(blank=True, max_length=300, verbose_name="problem")),
                ("rows", models.PositiveIntegerField(default=0, verbose_name="rows")),
                ("size", models.PositiveIntegerField(default=0, verbose_name="bytes")),
                ("asked_label", models.CharField(max_length=80, verbose_name="asked by")),
                (
                    "role",
                    models.CharField(
                        blank=True,
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
                        max_length=10,
                        verbose_name="data scope",
                    ),
                ),
                ("grant_id", models.BigIntegerField(blank=True, null=True)),
                ("asked_at", models.DateTimeField(verbose_name="asked")),
                ("written_at", models.DateTimeField(blank=True, null=True, verbose_name="written")),
                ("delete_at", models.DateTimeField(verbose_name="file is deleted")),
                ("downloads", models.PositiveIntegerField(default=0, verbose_name="downloads")),
                (
                    "asked_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=models.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="asked by",
                    ),
                ),
                ("brand", _BRAND),
                (
                    "segment",
                    BrandForeignKey(
                        blank=True,
                        null=True,
                        on_delete=models.SET_NULL,
                        related_name="+",
                        to="members.segment",
                        verbose_name="segment",
                    ),
                ),
                (
                    "fields",
                    ArrayField(
                        base_field=models.CharField(max_length=40),
                        blank=True,
                        default=list,
                        size=None,
                        verbose_name="profile fields",
                    ),
                ),
                (
                    "api_key",
                    BrandForeignKey(
                        blank=True,
                        null=True,
                        on_delete=models.PROTECT,
                        related_name="+",
                        to="accounts.apikey",
                        verbose_name="API key",
                    ),
                ),
                ("idempotency", models.CharField(blank=True, editable=False, max_length=80)),
            ],
            options={
                "verbose_name": "export",
                "verbose_name_plural": "exports",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["brand", "-id"], name="export_newest"),
                    models.Index(
                        condition=models.Q(("state", "WAITING")), fields=["brand", "state"], name="export_waiting"
                    ),
                    models.Index(
                        condition=models.Q(("state", "READY")), fields=["brand", "delete_at"], name="export_to_delete"
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("api_key__isnull", False), models.Q(("idempotency", ""), _negated=True)),
                        fields=("brand", "api_key", "idempotency"),
                        name="export_once_per_key",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="ExportChunk",
            fields=[
                ("id", _ID),
                ("number", models.PositiveIntegerField()),
                ("body", SealedTextField(bind=("job_id", "number"), blank=True, null=True)),
                ("brand", _BRAND),
                ("job", BrandForeignKey(on_delete=models.CASCADE, related_name="+", to="imports.export")),
            ],
            options={
                "verbose_name": "piece of an exported file",
                "verbose_name_plural": "pieces of exported files",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [models.UniqueConstraint(fields=("brand", "job", "number"), name="export_chunk_once")],
            },
        ),
        migrations.CreateModel(
            name="Import",
            fields=[
                ("id", _ID),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("kind", models.CharField(max_length=20, verbose_name="what it holds")),
                ("name", models.CharField(max_length=120, verbose_name="file")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("UPLOADED", "Columns to be confirmed"),
                            ("CHECKING", "Trying out"),
                            ("CHECKED", "Tried out"),
                            ("RUNNING", "Importing"),
                            ("DONE", "Imported"),
                            ("UNDOING", "Being undone"),
                            ("UNDONE", "Undone"),
                            ("REFUSED", "Not readable"),
                        ],
                        default="UPLOADED",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                ("size", models.PositiveIntegerField(verbose_name="bytes")),
                ("content", models.UUIDField(editable=False)),
                ("key", models.CharField(blank=True, editable=False, max_length=80)),
                ("header", models.JSONField(default=list, verbose_name="titles")),
                ("samples", SealedTextField(bind=("public_id",), blank=True, null=True)),
                ("columns", models.JSONField(default=list, verbose_name="columns")),
                ("options", models.JSONField(default=dict, verbose_name="options")),
                ("problem", models.CharField(blank=True, max_length=300, verbose_name="problem")),
                ("notes", models.JSONField(default=list)),
                ("read", models.PositiveIntegerField(default=0, verbose_name="rows read")),
                ("total", models.PositiveIntegerField(default=0, verbose_name="rows")),
                ("done", models.PositiveIntegerField(default=0)),
                ("found", models.JSONField(default=dict, verbose_name="found")),
                ("became", models.JSONField(default=dict, verbose_name="outcome")),
                ("asked_label", models.CharField(blank=True, max_length=80, verbose_name="uploaded by")),
                ("created_at", models.DateTimeField(verbose_name="uploaded")),
                ("started_at", models.DateTimeField(blank=True, null=True, verbose_name="started")),
                ("ended_at", models.DateTimeField(blank=True, null=True, verbose_name="ended")),
                ("undone_at", models.DateTimeField(blank=True, null=True, verbose_name="undone")),
                ("touched_at", models.DateTimeField(verbose_name="last worked on")),
                ("delete_at", models.DateTimeField(verbose_name="file is deleted")),
                ("deleted_at", models.DateTimeField(blank=True, null=True, verbose_name="file was deleted")),
                (
                    "asked_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=models.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="uploaded by",
                    ),
                ),
                ("brand", _BRAND),
            ],
            options={
                "verbose_name": "import",
                "verbose_name_plural": "imports",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["brand", "-id"], name="import_newest"),
                    models.Index(
                        condition=models.Q(("state__in", ["CHECKING", "RUNNING", "UNDOING"])),
                        fields=["brand", "state"],
                        name="import_under_way",
                    ),
                    models.Index(
                        condition=models.Q(("deleted_at__isnull", True)),
                        fields=["brand", "delete_at"],
                        name="import_to_delete",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("key", ""), _negated=True),
                        fields=("brand", "asked_label", "key"),
                        name="import_once_per_key",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="ImportChunk",
            fields=[
                ("id", _ID),
                ("number", models.PositiveIntegerField()),
                ("body", SealedTextField(bind=("job_id", "number"), blank=True, null=True)),
                ("brand", _BRAND),
                ("job", BrandForeignKey(on_delete=models.CASCADE, related_name="+", to="imports.import")),
            ],
            options={
                "verbose_name": "piece of an uploaded file",
                "verbose_name_plural": "pieces of uploaded files",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [models.UniqueConstraint(fields=("brand", "job", "number"), name="import_chunk_once")],
            },
        ),
        migrations.CreateModel(
            name="ImportRow",
            fields=[
                ("id", _ID),
                ("number", models.PositiveIntegerField(verbose_name="row")),
                ("content", models.UUIDField(editable=False)),
                ("person", models.UUIDField(editable=False, null=True)),
                ("cells", SealedTextField(bind=("job_id", "number"), blank=True, null=True)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("NEW", "New"),
                            ("MATCHED", "Adds to somebody known"),
                            ("UNCHANGED", "Nothing to change"),
                            ("CONFLICT", "Contradicts what is known"),
                            ("ERROR", "Cannot be read"),
                            ("UNDONE", "Undone"),
                            ("LEFT", "Left: changed since"),
                        ],
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                ("problems", models.JSONField(default=list, verbose_name="problems")),
                ("has_error", models.BooleanField(default=False)),
                ("did", SealedTextField(bind=("job_id", "number"), blank=True, null=True)),
                ("applied_at", models.DateTimeField(blank=True, null=True, verbose_name="imported")),
                ("brand", _BRAND),
                (
                    "job",
                    BrandForeignKey(
                        on_delete=models.CASCADE, related_name="+", to="imports.import", verbose_name="import"
                    ),
                ),
                (
                    "member",
                    BrandForeignKey(
                        blank=True,
                        null=True,
                        on_delete=models.PROTECT,
                        related_name="+",
                        to="members.member",
                        verbose_name="member",
                    ),
                ),
            ],
            options={
                "verbose_name": "row of an import",
                "verbose_name_plural": "rows of imports",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(
                        condition=models.Q(("applied_at__isnull", True), ("state__in", ["NEW", "MATCHED"])),
                        fields=["brand", "job", "number"],
                        name="import_rows_to_do",
                    ),
                    models.Index(
                        condition=models.Q(("applied_at__isnull", False), ("state__in", ["NEW", "MATCHED"])),
                        fields=["brand", "job", "number"],
                        name="import_rows_to_undo",
                    ),
                    models.Index(fields=["brand", "job", "state", "number"], name="import_rows_by_state"),
                    models.Index(fields=["brand", "job", "person"], name="import_rows_of_person"),
                    models.Index(fields=["brand", "member"], name="import_rows_of_member"),
                ],
                "constraints": [models.UniqueConstraint(fields=("brand", "job", "number"), name="import_row_once")],
            },
        ),
        SecureBrandTables("imports"),
    ]
