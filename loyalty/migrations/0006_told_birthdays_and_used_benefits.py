import django.db.models.deletion
from django.db import migrations, models

import accounts.tenancy
from accounts.operations import SecureBrandTables


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0005_trim_audit"),
        ("loyalty", "0005_channel_figures"),
        ("members", "0019_lists_of_large_brands"),
    ]

    operations = [
        migrations.AddField(
            model_name="birthdaygrant",
            name="tried_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name="birthdaygrant",
            name="way",
            field=models.CharField(blank=True, db_default="", default="", max_length=40, verbose_name="told by"),
        ),
        migrations.AddField(
            model_name="birthdaygrant",
            name="why",
            field=models.CharField(
                blank=True,
                choices=[
                    ("REFUSED", "Wants no service notices"),
                    ("NOT_FOLLOWING", "Follows no service account"),
                    ("NO_WINDOW", "Has not written or tapped lately, so WeChat lets no message through"),
                ],
                db_default="",
                default="",
                max_length=14,
                verbose_name="why not",
            ),
        ),
        migrations.AddField(
            model_name="birthdayprogramme",
            name="text",
            field=models.CharField(
                blank=True, db_default="", default="", max_length=200, verbose_name="what they are told"
            ),
        ),
        migrations.AddField(
            model_name="expirywarning",
            name="why",
            field=models.CharField(
                blank=True,
                choices=[
                    ("REFUSED", "Wants no service notices"),
                    ("NOT_FOLLOWING", "Follows no service account"),
                    ("NO_WINDOW", "Has not written or tapped lately, so WeChat lets no message through"),
                ],
                db_default="",
                default="",
                max_length=14,
                verbose_name="why not",
            ),
        ),
        migrations.AlterField(
            model_name="pointspolicy",
            name="warn_text",
            field=models.CharField(
                blank=True,
                default="您有 {points} 积分即将到期：{lots}。记得使用。",
                max_length=200,
                verbose_name="what they are told",
            ),
        ),
        migrations.CreateModel(
            name="BenefitUse",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("actor", models.CharField(max_length=60)),
                ("key", models.CharField(max_length=120)),
                ("fingerprint", models.UUIDField()),
                ("number", models.CharField(max_length=64, verbose_name="order number")),
                ("amount", models.BigIntegerField(verbose_name="amount")),
                ("applied", models.JSONField(default=list, verbose_name="benefits")),
                ("at", models.DateTimeField(verbose_name="when")),
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
                "verbose_name": "use of benefits",
                "verbose_name_plural": "uses of benefits",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [models.Index(fields=["brand", "member", "-at"], name="benefit_uses_of_member")],
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "actor", "key"), name="benefit_use_once"),
                    models.UniqueConstraint(fields=("brand", "actor", "number"), name="benefit_use_of_order"),
                ],
            },
        ),
        SecureBrandTables("loyalty", append_only=("Journal", "Entry", "TierChange")),
    ]
