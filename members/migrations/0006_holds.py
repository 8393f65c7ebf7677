import django.db.models.deletion
from django.db import migrations, models

import accounts.tenancy
from accounts.operations import SecureBrandTables

# Whoever is new enters the control group in the very statement that opens their record, whoever runs it.
_NEW_MEMBERS = """
CREATE FUNCTION members_enter_control() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO members_optout (brand_id, member_id, purpose, at, withdrawn, listed, control)
    SELECT m.brand_id, m.id, 'MARKETING', m.created_at, false, false, true
    FROM fresh m JOIN members_controlgroup g ON g.brand_id = m.brand_id
    WHERE (('x' || substr(md5(g.salt || m.public_id::text), 1, 8))::bit(32)::bigint % 1000) < g.per_mille;
    RETURN NULL;
END $$;
CREATE TRIGGER members_member_control AFTER INSERT ON members_member
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION members_enter_control();
"""
_NO_NEW_MEMBERS = "DROP TRIGGER members_member_control ON members_member; DROP FUNCTION members_enter_control();"


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_initial"),
        ("members", "0005_tags_with_sources"),
    ]

    operations = [
        migrations.CreateModel(
            name="ControlGroup",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("per_mille", models.PositiveSmallIntegerField(default=0, verbose_name="share")),
                ("salt", models.CharField(max_length=32)),
                ("changed_at", models.DateTimeField(verbose_name="changed")),
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
                "verbose_name": "control group",
                "verbose_name_plural": "control groups",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [
                    models.UniqueConstraint(fields=("brand",), name="one_control_group"),
                    models.CheckConstraint(condition=models.Q(("per_mille__lte", 500)), name="control_group_is_a_part"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Suppression",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("reason", models.CharField(max_length=120, verbose_name="reason")),
                ("by", models.CharField(blank=True, max_length=60, verbose_name="added by")),
                ("at", models.DateTimeField(verbose_name="since")),
                ("until", models.DateTimeField(blank=True, null=True, verbose_name="until")),
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
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="members.member",
                        verbose_name="member",
                    ),
                ),
            ],
            options={
                "verbose_name": "entry of the do-not-send list",
                "verbose_name_plural": "do-not-send list",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["brand", "-at"], name="suppressed_newest"),
                    models.Index(
                        condition=models.Q(("until__isnull", False)), fields=["brand", "until"], name="suppression_ends"
                    ),
                ],
                "constraints": [models.UniqueConstraint(fields=("brand", "member"), name="suppressed_once")],
            },
        ),
        migrations.AddField(
            model_name="optout",
            name="control",
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name="optout",
            name="listed",
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name="optout",
            name="withdrawn",
            field=models.BooleanField(db_default=True, default=True),
        ),
        migrations.AddConstraint(
            model_name="optout",
            constraint=models.CheckConstraint(
                condition=models.Q(("withdrawn", True), ("listed", True), ("control", True), _connector="OR"),
                name="opted_out_for_a_reason",
            ),
        ),
        SecureBrandTables("members", append_only=("Consent", "MergeRecord")),
        migrations.RunSQL(_NEW_MEMBERS, _NO_NEW_MEMBERS),
    ]
