"""Who invited whom, and what both got for it."""

import django.core.validators
from django.db import migrations, models

from accounts.operations import FirstMigration, SecureBrandTables
from accounts.tenancy import BrandForeignKey

# What the tables have in common.
_ID = models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")
_BRAND = models.ForeignKey(db_index=False, on_delete=models.DO_NOTHING, related_name="+", to="accounts.brand")


class Migration(FirstMigration):
    initial = True

    dependencies = [
        ("accounts", "0001_squashed_0007_brand_keys"),
        ("coupons", "0001_squashed_0008_after_purchases"),
        ("loyalty", "0001_squashed_0008_visits_in_channel_figures"),
        ("members", "0001_squashed_0026_sampled_people"),
        ("wechat_gateway", "0001_squashed_0009_previous_tokens"),
    ]

    operations = [
        migrations.CreateModel(
            name="Programme",
            fields=[
                ("id", _ID),
                ("name", models.CharField(max_length=40, verbose_name="name")),
                ("first_day", models.DateField(verbose_name="first day")),
                ("last_day", models.DateField(blank=True, null=True, verbose_name="last day")),
                (
                    "act",
                    models.CharField(
                        choices=[
                            ("FOLLOW", "follows the service account"),
                            ("JOIN", "joins as a member"),
                            ("ORDER", "places an order of enough"),
                        ],
                        default="JOIN",
                        max_length=10,
                        verbose_name="what the invited person does",
                    ),
                ),
                ("at_least", models.PositiveIntegerField(default=0, verbose_name="an order of at least (fen)")),
                (
                    "within_days",
                    models.PositiveSmallIntegerField(
                        default=30,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(365),
                        ],
                        verbose_name="within so many days",
                    ),
                ),
                (
                    "wait_days",
                    models.PositiveSmallIntegerField(
                        default=7,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(90),
                        ],
                        verbose_name="days to wait before giving",
                    ),
                ),
                ("inviter_points", models.PositiveIntegerField(default=0, verbose_name="points for who invites")),
                ("invited_points", models.PositiveIntegerField(default=0, verbose_name="points for who is invited")),
                (
                    "per_day",
                    models.PositiveIntegerField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                        verbose_name="rewarded invitations a day",
                    ),
                ),
                (
                    "per_month",
                    models.PositiveIntegerField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                        verbose_name="rewarded invitations a month",
                    ),
                ),
                (
                    "in_all",
                    models.PositiveIntegerField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                        verbose_name="rewarded invitations in all",
                    ),
                ),
                (
                    "fast",
                    models.PositiveSmallIntegerField(
                        default=5,
                        validators=[django.core.validators.MinValueValidator(1)],
                        verbose_name="looked at from more than so many an hour",
                    ),
                ),
                ("is_on", models.BooleanField(default=True, verbose_name="is running")),
                ("updated_at", models.DateTimeField(verbose_name="changed")),
                (
                    "account",
                    BrandForeignKey(
                        blank=True,
                        null=True,
                        on_delete=models.PROTECT,
                        related_name="+",
                        to="wechat_gateway.officialaccount",
                        verbose_name="service account",
                    ),
                ),
                ("brand", _BRAND),
                (
                    "invited_template",
                    BrandForeignKey(
                        blank=True,
                        null=True,
                        on_delete=models.PROTECT,
                        related_name="+",
                        to="coupons.template",
                        verbose_name="coupon for who is invited",
                    ),
                ),
                (
                    "inviter_template",
                    BrandForeignKey(
                        blank=True,
                        null=True,
                        on_delete=models.PROTECT,
                        related_name="+",
                        to="coupons.template",
                        verbose_name="coupon for who invites",
                    ),
                ),
            ],
            options={
                "verbose_name": "invitation programme",
                "verbose_name_plural": "invitation programmes",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "name"), name="referral_programme_name"),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("last_day__isnull", True), ("last_day__gte", models.F("first_day")), _connector="OR"
                        ),
                        name="referral_days_in_order",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Referral",
            fields=[
                ("id", _ID),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("OPEN", "Came, nothing done yet"),
                            ("WAITING", "Counts, waiting"),
                            ("HELD", "To be looked at"),
                            ("PAID", "Rewarded"),
                            ("DOUBTED", "Rewarded, to be looked at"),
                            ("REFUSED", "Refused"),
                            ("LAPSED", "Time was over"),
                            ("RETURNING", "Is taken back"),
                            ("RETURNED", "Taken back"),
                        ],
                        default="OPEN",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                ("bound_at", models.DateTimeField(verbose_name="came")),
                ("act_at", models.DateTimeField(blank=True, null=True, verbose_name="counts since")),
                ("due_at", models.DateTimeField(blank=True, null=True)),
                ("reasons", models.JSONField(default=list, verbose_name="reasons")),
                ("settled_at", models.DateTimeField(blank=True, null=True, verbose_name="settled")),
                ("decided_by", models.CharField(blank=True, max_length=60, verbose_name="decided by")),
                ("note", models.CharField(blank=True, max_length=200, verbose_name="reason")),
                (
                    "inviter_given",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("GIVEN", "Given"),
                            ("PARTLY", "Points given, the coupon was not to be had"),
                            ("NOTHING", "Nothing was promised"),
                            ("LIMIT", "Limit of invitations reached"),
                            ("MISSED", "The coupon was not to be had"),
                            ("BACK", "Taken back"),
                            ("SPENT", "Spent before it could be taken back"),
                        ],
                        max_length=10,
                        verbose_name="who invited got",
                    ),
                ),
                ("inviter_points", models.PositiveIntegerField(default=0, verbose_name="points for who invited")),
                (
                    "invited_given",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("GIVEN", "Given"),
                            ("PARTLY", "Points given, the coupon was not to be had"),
                            ("NOTHING", "Nothing was promised"),
                            ("LIMIT", "Limit of invitations reached"),
                            ("MISSED", "The coupon was not to be had"),
                            ("BACK", "Taken back"),
                            ("SPENT", "Spent before it could be taken back"),
                        ],
                        max_length=10,
                        verbose_name="who was invited got",
                    ),
                ),
                ("invited_points", models.PositiveIntegerField(default=0, verbose_name="points for who was invited")),
                ("brand", _BRAND),
                (
                    "invited",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="+", to="members.member", verbose_name="who was invited"
                    ),
                ),
                (
                    "invited_coupon",
                    BrandForeignKey(
                        blank=True, null=True, on_delete=models.PROTECT, related_name="+", to="coupons.coupon"
                    ),
                ),
                (
                    "inviter",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="+", to="members.member", verbose_name="who invited"
                    ),
                ),
                (
                    "inviter_coupon",
                    BrandForeignKey(
                        blank=True, null=True, on_delete=models.PROTECT, related_name="+", to="coupons.coupon"
                    ),
                ),
                (
                    "order",
                    BrandForeignKey(
                        blank=True,
                        null=True,
                        on_delete=models.PROTECT,
                        related_name="+",
                        to="loyalty.fact",
                        verbose_name="purchase",
                    ),
                ),
                (
                    "programme",
                    BrandForeignKey(
                        on_delete=models.PROTECT,
                        related_name="+",
                        to="referrals.programme",
                        verbose_name="invitation programme",
                    ),
                ),
            ],
            options={
                "verbose_name": "invited person",
                "verbose_name_plural": "invited people",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["brand", "inviter", "bound_at"], name="invited_by"),
                    models.Index(fields=["brand", "programme", "state"], name="invited_counted"),
                    models.Index(fields=["brand", "state", "-id"], name="invited_by_state"),
                    models.Index(
                        condition=models.Q(("state", "WAITING")), fields=["brand", "due_at"], name="invited_due"
                    ),
                    models.Index(
                        condition=models.Q(("order__isnull", False)), fields=["brand", "order"], name="invited_by_order"
                    ),
                ],
                "constraints": [models.UniqueConstraint(fields=("brand", "invited"), name="invited_once")],
            },
        ),
        migrations.CreateModel(
            name="Sign",
            fields=[
                ("id", _ID),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("DEVICE", "the same device"),
                            ("PAYMENT", "the same means of payment"),
                            ("ADDRESS", "the same delivery address"),
                            ("NETWORK", "the same internet address"),
                        ],
                        max_length=10,
                        verbose_name="kind",
                    ),
                ),
                ("value", models.UUIDField()),
                ("at", models.DateTimeField(verbose_name="seen")),
                ("brand", _BRAND),
                (
                    "member",
                    BrandForeignKey(
                        on_delete=models.CASCADE, related_name="+", to="members.member", verbose_name="member"
                    ),
                ),
            ],
            options={
                "verbose_name": "sign of an invitation",
                "verbose_name_plural": "signs of invitations",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["brand", "member"], name="signs_of_member"),
                    models.Index(fields=["brand", "at"], name="signs_by_age"),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "kind", "value", "member"), name="sign_of_member_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="Invitation",
            fields=[
                ("id", _ID),
                ("code", models.CharField(max_length=12, verbose_name="invitation code")),
                ("ticket", models.CharField(blank=True, max_length=200)),
                ("ticket_until", models.DateTimeField(blank=True, null=True)),
                ("created_at", models.DateTimeField(verbose_name="created")),
                ("brand", _BRAND),
                (
                    "member",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="+", to="members.member", verbose_name="member"
                    ),
                ),
                (
                    "ticket_account",
                    BrandForeignKey(
                        blank=True,
                        null=True,
                        on_delete=models.PROTECT,
                        related_name="+",
                        to="wechat_gateway.officialaccount",
                    ),
                ),
            ],
            options={
                "verbose_name": "invitation code",
                "verbose_name_plural": "invitation codes",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [models.Index(fields=["brand", "member"], name="invitations_of_member")],
                "constraints": [models.UniqueConstraint(fields=("brand", "code"), name="invitation_code_once")],
            },
        ),
        SecureBrandTables("referrals"),
    ]
