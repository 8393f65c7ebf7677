from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models

import accounts.tenancy
from accounts.operations import SecureBrandTables

_BRAND = {
    "db_index": False,
    "on_delete": django.db.models.deletion.DO_NOTHING,
    "related_name": "+",
    "to": "accounts.brand",
}
_WITHIN = {"db_constraint": False, "db_index": False}


def _id() -> models.BigAutoField:
    return models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")


def _options(one: str, many: str) -> dict[str, object]:
    return {
        "verbose_name": one,
        "verbose_name_plural": many,
        "abstract": False,
        "base_manager_name": "objects",
    }


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_initial"),
        ("members", "0004_erasure_clocks"),
        ("touchpoints", "0003_tree_codes_figures"),
        ("wechat_gateway", "0005_push_brand_by_account"),
    ]

    operations = [
        # --- openings of mini programs
        migrations.AlterField(
            model_name="touch",
            name="kind",
            field=models.CharField(
                choices=[
                    ("FOLLOW", "New follower"),
                    ("REFOLLOW", "Came back"),
                    ("SCAN", "Already following"),
                    ("OPEN", "Opened the mini program"),
                ],
                max_length=10,
                verbose_name="kind",
            ),
        ),
        migrations.AlterField(
            model_name="touch",
            name="case",
            field=models.CharField(
                blank=True,
                choices=[
                    ("NEW", "New follower"),
                    ("RETURNING", "Came back"),
                    ("FOLLOWING", "Already following"),
                    ("MEMBER", "Already a member"),
                    ("VISITOR", "Not following"),
                    ("STAFF", "Staff"),
                ],
                max_length=10,
                verbose_name="who scanned",
            ),
        ),
        migrations.AlterField(
            model_name="touch",
            name="follower",
            field=accounts.tenancy.BrandForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="members.follower",
                verbose_name="follower",
                **_WITHIN,
            ),
        ),
        migrations.AddField(
            model_name="touch",
            name="mini_code",
            field=accounts.tenancy.BrandForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="touchpoints.minicode",
                **_WITHIN,
            ),
        ),
        migrations.AddField(
            model_name="touch", name="opening", field=models.CharField(blank=True, default="", max_length=100)
        ),
        migrations.AlterField(model_name="touch", name="opening", field=models.CharField(blank=True, max_length=100)),
        migrations.AddConstraint(
            model_name="touch",
            constraint=models.UniqueConstraint(
                condition=models.Q(("opening", ""), _negated=True),
                fields=("brand", "opening"),
                name="one_touch_per_opening",
            ),
        ),
        migrations.AddConstraint(
            model_name="touch",
            constraint=models.CheckConstraint(
                condition=models.Q(("follower__isnull", False), ("kind", "OPEN"), _connector="OR"),
                name="scan_of_a_follower",
            ),
        ),
        migrations.AddIndex(
            model_name="touch",
            index=models.Index(
                condition=models.Q(("case", "STAFF")), fields=["brand", "touchpoint", "at"], name="touch_of_staff"
            ),
        ),
        # --- orders and allowances of codes
        migrations.CreateModel(
            name="CodeOrder",
            fields=[
                ("id", _id()),
                ("is_permanent", models.BooleanField(default=False, verbose_name="permanent code")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("ASKED", "asked"),
                            ("MADE", "made"),
                            ("REFUSED", "refused"),
                            ("LOST", "answer lost"),
                            ("FOUND", "found again"),
                        ],
                        default="ASKED",
                        max_length=8,
                        verbose_name="state",
                    ),
                ),
                ("asked_at", models.DateTimeField(verbose_name="asked")),
                ("answered_at", models.DateTimeField(blank=True, null=True, verbose_name="answered")),
                (
                    "account",
                    accounts.tenancy.BrandForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="wechat_gateway.officialaccount",
                        **_WITHIN,
                    ),
                ),
                ("brand", models.ForeignKey(**_BRAND)),
                (
                    "touchpoint",
                    accounts.tenancy.BrandForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="touchpoints.touchpoint",
                        verbose_name="channel",
                        **_WITHIN,
                    ),
                ),
            ],
            options={
                **_options("order of a code", "orders of codes"),
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("state", "ASKED")),
                        fields=("brand", "touchpoint"),
                        name="one_open_order_per_touchpoint",
                    )
                ],
                "indexes": [
                    models.Index(
                        condition=models.Q(("is_permanent", True), ("state", "LOST")),
                        fields=["brand", "account"],
                        name="lost_orders",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="CodeAllowance",
            fields=[
                ("id", _id()),
                ("permanent_codes", models.PositiveIntegerField(verbose_name="permanent codes in all")),
                ("made_elsewhere", models.PositiveIntegerField(default=0, verbose_name="made elsewhere")),
                (
                    "repeats_are_free",
                    models.BooleanField(default=True, verbose_name="the same scene asked for again costs nothing"),
                ),
                ("changed_at", models.DateTimeField(verbose_name="changed")),
                (
                    "account",
                    accounts.tenancy.BrandForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="wechat_gateway.officialaccount",
                        verbose_name="service account",
                        **_WITHIN,
                    ),
                ),
                ("brand", models.ForeignKey(**_BRAND)),
            ],
            options={
                **_options("allowance of codes", "allowances of codes"),
                "constraints": [models.UniqueConstraint(fields=("brand", "account"), name="allowance_of_account")],
            },
        ),
        # --- sums
        migrations.CreateModel(
            name="CountedTouch",
            fields=[
                ("id", _id()),
                ("touch_id", models.BigIntegerField()),
                ("member_id", models.BigIntegerField()),
                ("touchpoint_id", models.BigIntegerField()),
                ("at", models.DateTimeField()),
                ("day", models.DateField()),
                ("previous_day", models.DateField(null=True)),
                ("seq", models.IntegerField()),
                ("total", models.IntegerField()),
                ("case", models.CharField(max_length=10)),
                ("placed_at", models.DateTimeField()),
                ("followed_at", models.DateTimeField(null=True)),
                ("left_at", models.DateTimeField(null=True)),
                ("cohort", models.IntegerField(default=0)),
                ("outcome", models.IntegerField(default=0)),
                ("due_at", models.DateTimeField(null=True)),
                ("brand", models.ForeignKey(**_BRAND)),
            ],
            options={
                **_options("counted touch", "counted touches"),
                "constraints": [models.UniqueConstraint(fields=("brand", "touch_id"), name="touch_counted_once")],
                "indexes": [
                    models.Index(fields=["brand", "member_id", "seq"], name="counted_of_member"),
                    models.Index(fields=["brand", "touchpoint_id", "-at", "-touch_id"], name="counted_of_point"),
                    models.Index(fields=["brand", "-at", "-touch_id"], name="counted_newest"),
                    models.Index(
                        condition=models.Q(("due_at__isnull", False)), fields=["brand", "due_at"], name="counted_due"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ChannelSum",
            fields=[
                ("id", _id()),
                ("model", models.CharField(blank=True, max_length=20)),
                ("per_month", models.BooleanField(default=False)),
                ("day", models.DateField()),
                ("touchpoint_id", models.BigIntegerField()),
                ("placed_at", models.DateTimeField()),
                ("cohort", models.IntegerField(default=0)),
                ("outcome", models.IntegerField(default=0)),
                ("parts", models.BigIntegerField()),
                ("brand", models.ForeignKey(**_BRAND)),
            ],
            options={
                **_options("sum of a channel", "sums of channels"),
                "constraints": [
                    models.UniqueConstraint(
                        fields=(
                            "brand",
                            "model",
                            "per_month",
                            "day",
                            "touchpoint_id",
                            "placed_at",
                            "cohort",
                            "outcome",
                        ),
                        name="one_sum_per_key",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Recount",
            fields=[
                ("id", _id()),
                ("member_id", models.BigIntegerField()),
                ("brand", models.ForeignKey(**_BRAND)),
            ],
            options=_options("person to be counted again", "people to be counted again"),
        ),
        migrations.CreateModel(
            name="FigureState",
            fields=[
                ("id", _id()),
                ("meaning", models.CharField(blank=True, max_length=64)),
                ("is_complete", models.BooleanField(default=False)),
                ("counted_at", models.DateTimeField(null=True)),
                ("brand", models.ForeignKey(**_BRAND)),
            ],
            options={
                **_options("state of figures", "states of figures"),
                "constraints": [models.UniqueConstraint(fields=("brand",), name="one_figure_state")],
            },
        ),
        SecureBrandTables("touchpoints"),
    ]
