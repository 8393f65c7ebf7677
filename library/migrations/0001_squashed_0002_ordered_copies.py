"""Pictures and texts that are used again, and their copies at WeChat."""

from django.db import migrations, models

from accounts.operations import FirstMigration, SecureBrandTables
from accounts.tenancy import BrandForeignKey

# What the tables have in common.
_ID = models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")
_BRAND = models.ForeignKey(db_index=False, on_delete=models.DO_NOTHING, related_name="+", to="accounts.brand")


class Migration(FirstMigration):
    replaces = [("library", "0001_initial"), ("library", "0002_ordered_copies")]

    initial = True

    dependencies = [
        ("accounts", "0001_squashed_0007_brand_keys"),
        ("wechat_gateway", "0001_squashed_0009_previous_tokens"),
    ]

    operations = [
        migrations.CreateModel(
            name="MediaItem",
            fields=[
                ("id", _ID),
                (
                    "kind",
                    models.CharField(
                        choices=[("IMAGE", "Picture"), ("VOICE", "Voice"), ("VIDEO", "Video"), ("THUMB", "Card cover")],
                        default="IMAGE",
                        max_length=8,
                        verbose_name="kind",
                    ),
                ),
                ("name", models.CharField(max_length=60, verbose_name="name")),
                ("description", models.CharField(blank=True, max_length=120, verbose_name="description")),
                ("content_type", models.CharField(max_length=40)),
                ("size", models.PositiveIntegerField(verbose_name="bytes")),
                ("sha256", models.CharField(max_length=64)),
                ("path", models.CharField(max_length=200)),
                ("sent", models.PositiveIntegerField(default=0, verbose_name="sent")),
                ("created_at", models.DateTimeField(verbose_name="added")),
                ("archived_at", models.DateTimeField(blank=True, null=True, verbose_name="put away")),
                ("brand", _BRAND),
            ],
            options={
                "verbose_name": "file",
                "verbose_name_plural": "files",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [models.Index(fields=["brand", "-created_at", "-id"], name="media_newest")],
                "constraints": [models.UniqueConstraint(fields=("brand", "kind", "sha256"), name="media_once")],
            },
        ),
        migrations.CreateModel(
            name="MediaCopy",
            fields=[
                ("id", _ID),
                ("permanent", models.BooleanField(default=False, verbose_name="permanent")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("WAITING", "Being uploaded"),
                            ("THERE", "At WeChat"),
                            ("REFUSED", "Not kept"),
                            ("LEAVING", "Being taken away"),
                        ],
                        default="THERE",
                        max_length=8,
                        verbose_name="state",
                    ),
                ),
                ("media_id", models.CharField(blank=True, max_length=256)),
                ("expires_at", models.DateTimeField(blank=True, null=True, verbose_name="until")),
                ("due_at", models.DateTimeField(blank=True, null=True)),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                ("code", models.IntegerField(blank=True, null=True, verbose_name="WeChat's code")),
                ("cause", models.CharField(blank=True, max_length=40, verbose_name="cause")),
                (
                    "account",
                    BrandForeignKey(
                        on_delete=models.PROTECT,
                        related_name="+",
                        to="wechat_gateway.officialaccount",
                        verbose_name="service account",
                    ),
                ),
                ("brand", _BRAND),
                ("item", BrandForeignKey(on_delete=models.CASCADE, related_name="copies", to="library.mediaitem")),
                ("ordered_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "verbose_name": "file at WeChat",
                "verbose_name_plural": "files at WeChat",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(
                        condition=models.Q(("due_at__isnull", False)), fields=["brand", "due_at"], name="media_copy_due"
                    ),
                    models.Index(fields=["brand", "account", "permanent"], name="media_copies_of_account"),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "item", "account", "permanent"), name="one_copy_of_a_kind")
                ],
            },
        ),
        migrations.CreateModel(
            name="MediaCount",
            fields=[
                ("id", _ID),
                ("images", models.PositiveIntegerField(default=0)),
                ("voices", models.PositiveIntegerField(default=0)),
                ("videos", models.PositiveIntegerField(default=0)),
                ("at", models.DateTimeField(verbose_name="as of")),
                (
                    "account",
                    BrandForeignKey(
                        on_delete=models.CASCADE,
                        related_name="+",
                        to="wechat_gateway.officialaccount",
                        verbose_name="service account",
                    ),
                ),
                ("brand", _BRAND),
            ],
            options={
                "verbose_name": "files of an account",
                "verbose_name_plural": "files of accounts",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [models.UniqueConstraint(fields=("brand", "account"), name="one_media_count")],
            },
        ),
        SecureBrandTables("library"),
    ]
