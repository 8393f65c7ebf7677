import uuid

import django.db.models.deletion
from django.db import migrations, models

import accounts.fields
import accounts.tenancy
from accounts.operations import SecureBrandTables


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_initial"),
        ("members", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="MiniProgramSession",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False)),
                ("appid", models.CharField(max_length=32, verbose_name="AppID")),
                ("openid", models.CharField(max_length=64, verbose_name="OpenID")),
                ("session_key", accounts.fields.SealedTextField(bind=("public_id",), blank=True, null=True)),
                ("phone_code", models.UUIDField(blank=True, editable=False, null=True)),
                ("created_at", models.DateTimeField(verbose_name="signed in")),
                ("expires_at", models.DateTimeField(verbose_name="until")),
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
                "verbose_name": "mini-program session",
                "verbose_name_plural": "mini-program sessions",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["brand", "member"], name="sessions_of_member"),
                    models.Index(fields=["brand", "expires_at"], name="session_over"),
                ],
                "constraints": [models.UniqueConstraint(fields=("brand", "public_id"), name="session_in_brand")],
            },
        ),
        SecureBrandTables("members", append_only=("Consent", "MergeRecord")),
    ]
