import django.core.validators
import django.db.models.deletion
from django.db import migrations, models

import accounts.tenancy
from accounts.operations import SecureBrandTables


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0005_trim_audit"),
        ("coupons", "0007_scan_grants"),
        ("loyalty", "0005_channel_figures"),
        ("members", "0019_lists_of_large_brands"),
    ]

    operations = [
        migrations.AlterField(
            model_name="scangrant",
            name="outcome",
            field=models.CharField(
                blank=True,
                choices=[
                    ("GIVEN", "Given"),
                    ("HAD_IT", "Has as many as one may have"),
                    ("NONE_LEFT", "None were left"),
                    ("CLOSED", "The coupon was turned off or its last day was over"),
                    ("FLAGGED", "Left out: works here, test person or blocked"),
                    ("MINOR", "Under 14"),
                    ("ON_LIST", "On the do-not-send list"),
                    ("CONTROL", "In the control group"),
                    ("NOT_CHOSEN", "Does not want to be chosen by a rule"),
                    ("TAKEN_BACK", "Taken back after a refund"),
                    ("REFUNDED", "Refunded before it was given"),
                    ("GONE", "The personal data was deleted"),
                    ("MERGED", "Got it under another record"),
                ],
                default="",
                max_length=10,
                verbose_name="what came of it",
            ),
        ),
        migrations.AlterField(
            model_name="coupon",
            name="way",
            field=models.CharField(
                choices=[
                    ("CLAIM", "Claimed"),
                    ("PUSH", "Given by the brand"),
                    ("GUIDE", "Handed out"),
                    ("CODE", "By a code"),
                    ("EXCHANGE", "For points"),
                    ("SYSTEM", "By another system"),
                    ("TIER", "Benefit of a tier"),
                    ("SCAN", "By scanning a channel code"),
                    ("PURCHASE", "After a purchase"),
                    ("BIRTHDAY", "For a birthday"),
                ],
                max_length=10,
                verbose_name="came by",
            ),
        ),
        migrations.AlterField(
            model_name="pushperson",
            name="outcome",
            field=models.CharField(
                blank=True,
                choices=[
                    ("GIVEN", "Given"),
                    ("HAD_IT", "Has as many as one may have"),
                    ("NONE_LEFT", "None were left"),
                    ("CLOSED", "The coupon was turned off or its last day was over"),
                    ("FLAGGED", "Left out: works here, test person or blocked"),
                    ("MINOR", "Under 14"),
                    ("ON_LIST", "On the do-not-send list"),
                    ("CONTROL", "In the control group"),
                    ("NOT_CHOSEN", "Does not want to be chosen by a rule"),
                    ("TAKEN_BACK", "Taken back after a refund"),
                    ("REFUNDED", "Refunded before it was given"),
                    ("GONE", "The personal data was deleted"),
                    ("MERGED", "Got it under another record"),
                ],
                default="",
                max_length=10,
                verbose_name="what came of it",
            ),
        ),
        migrations.AlterField(
            model_name="tiergrant",
            name="outcome",
            field=models.CharField(
                blank=True,
                choices=[
                    ("GIVEN", "Given"),
                    ("HAD_IT", "Has as many as one may have"),
                    ("NONE_LEFT", "None were left"),
                    ("CLOSED", "The coupon was turned off or its last day was over"),
                    ("FLAGGED", "Left out: works here, test person or blocked"),
                    ("MINOR", "Under 14"),
                    ("ON_LIST", "On the do-not-send list"),
                    ("CONTROL", "In the control group"),
                    ("NOT_CHOSEN", "Does not want to be chosen by a rule"),
                    ("TAKEN_BACK", "Taken back after a refund"),
                    ("REFUNDED", "Refunded before it was given"),
                    ("GONE", "The personal data was deleted"),
                    ("MERGED", "Got it under another record"),
                ],
                default="",
                max_length=10,
                verbose_name="what came of it",
            ),
        ),
        migrations.CreateModel(
            name="PurchaseGift",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "at_least",
                    models.PositiveIntegerField(
                        validators=[django.core.validators.MinValueValidator(1)],
                        verbose_name="from this amount on (fen)",
                    ),
                ),
                ("first_day", models.DateField(verbose_name="first day")),
                ("last_day", models.DateField(blank=True, null=True, verbose_name="last day")),
                ("takes_back", models.BooleanField(default=True, verbose_name="taken back after a refund")),
                ("is_on", models.BooleanField(default=True, verbose_name="is given")),
                ("updated_at", models.DateTimeField(verbose_name="changed")),
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
                    "template",
                    accounts.tenancy.BrandForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="coupons.template",
                        verbose_name="coupon template",
                    ),
                ),
            ],
            options={
                "verbose_name": "coupon after a purchase",
                "verbose_name_plural": "coupons after purchases",
                "abstract": False,
                "base_manager_name": "objects",
            },
        ),
        migrations.CreateModel(
            name="PurchaseGrant",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "outcome",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("GIVEN", "Given"),
                            ("HAD_IT", "Has as many as one may have"),
                            ("NONE_LEFT", "None were left"),
                            ("CLOSED", "The coupon was turned off or its last day was over"),
                            ("FLAGGED", "Left out: works here, test person or blocked"),
                            ("MINOR", "Under 14"),
                            ("ON_LIST", "On the do-not-send list"),
                            ("CONTROL", "In the control group"),
                            ("NOT_CHOSEN", "Does not want to be chosen by a rule"),
                            ("TAKEN_BACK", "Taken back after a refund"),
                            ("REFUNDED", "Refunded before it was given"),
                            ("GONE", "The personal data was deleted"),
                            ("MERGED", "Got it under another record"),
                        ],
                        default="",
                        max_length=10,
                        verbose_name="what came of it",
                    ),
                ),
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
                    "coupon",
                    accounts.tenancy.BrandForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="coupons.coupon",
                        verbose_name="coupon",
                    ),
                ),
                (
                    "fact",
                    accounts.tenancy.BrandForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="loyalty.fact",
                        verbose_name="purchase",
                    ),
                ),
                (
                    "gift",
                    accounts.tenancy.BrandForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="coupons.purchasegift",
                        verbose_name="coupon after a purchase",
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
                "verbose_name": "coupon a purchase brought",
                "verbose_name_plural": "coupons purchases brought",
                "abstract": False,
                "base_manager_name": "objects",
            },
        ),
        migrations.AddConstraint(
            model_name="purchasegift",
            constraint=models.CheckConstraint(
                condition=models.Q(("at_least__gt", 0)), name="purchase_gift_has_an_amount"
            ),
        ),
        migrations.AddConstraint(
            model_name="purchasegift",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("last_day__isnull", True), ("last_day__gte", models.F("first_day")), _connector="OR"
                ),
                name="purchase_gift_days_in_order",
            ),
        ),
        migrations.AddIndex(
            model_name="purchasegrant",
            index=models.Index(fields=["brand", "member"], name="purchase_grants_of_member"),
        ),
        migrations.AddIndex(
            model_name="purchasegrant",
            index=models.Index(fields=["brand", "gift", "outcome"], name="purchase_grants_counted"),
        ),
        migrations.AddIndex(
            model_name="purchasegrant",
            index=models.Index(
                condition=models.Q(("outcome", "")), fields=["brand", "id"], name="purchase_grants_to_give"
            ),
        ),
        migrations.AddConstraint(
            model_name="purchasegrant",
            constraint=models.UniqueConstraint(fields=("brand", "fact", "gift"), name="purchase_grant_once"),
        ),
        SecureBrandTables("coupons", append_only=("Move", "TemplateVersion")),
    ]
