"""Regions and stores, when they are open, and whose roles are limited to which of them."""

from django.db import migrations, models

from accounts.operations import FirstMigration, SecureBrandTables
from accounts.tenancy import BrandForeignKey

# What the tables have in common.
_ID = models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")
_BRAND = models.ForeignKey(db_index=False, on_delete=models.DO_NOTHING, related_name="+", to="accounts.brand")


class Migration(FirstMigration):
    replaces = [("stores", "0001_initial"), ("stores", "0002_regions_of_roles")]

    initial = True

    dependencies = [
        ("accounts", "0001_squashed_0007_brand_keys"),
    ]

    operations = [
        migrations.CreateModel(
            name="Region",
            fields=[
                ("id", _ID),
                ("name", models.CharField(max_length=40, verbose_name="name")),
                ("brand", _BRAND),
                (
                    "parent",
                    BrandForeignKey(
                        blank=True,
                        null=True,
                        on_delete=models.PROTECT,
                        related_name="+",
                        to="stores.region",
                        verbose_name="belongs to",
                    ),
                ),
            ],
            options={
                "verbose_name": "region",
                "verbose_name_plural": "regions",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [models.UniqueConstraint(fields=("brand", "name"), name="region_name_in_brand")],
            },
        ),
        migrations.CreateModel(
            name="Store",
            fields=[
                ("id", _ID),
                ("code", models.CharField(max_length=20, verbose_name="store code")),
                ("name", models.CharField(max_length=60, verbose_name="name")),
                ("city", models.CharField(blank=True, max_length=40, verbose_name="city")),
                ("address", models.CharField(blank=True, max_length=200, verbose_name="address")),
                ("telephone", models.CharField(blank=True, max_length=30, verbose_name="telephone")),
                ("lat", models.FloatField(blank=True, null=True, verbose_name="latitude")),
                ("lng", models.FloatField(blank=True, null=True, verbose_name="longitude")),
                ("is_active", models.BooleanField(default=True, verbose_name="in operation")),
                ("brand", _BRAND),
                (
                    "region",
                    BrandForeignKey(
                        blank=True,
                        null=True,
                        on_delete=models.PROTECT,
                        related_name="+",
                        to="stores.region",
                        verbose_name="region",
                    ),
                ),
            ],
            options={
                "verbose_name": "store",
                "verbose_name_plural": "stores",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["brand", "lat", "lng"], name="store_in_box"),
                    models.Index(fields=["brand", "name"], name="store_by_name"),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "code"), name="store_code_in_brand"),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("lat__isnull", True),
                            models.Q(("lat__gte", -90), ("lat__lte", 90), ("lng__gte", -180), ("lng__lte", 180)),
                            _connector="OR",
                        ),
                        name="store_is_on_earth",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="OpeningHours",
            fields=[
                ("id", _ID),
                ("weekday", models.SmallIntegerField(verbose_name="weekday")),
                ("opens", models.TimeField(verbose_name="opens")),
                ("closes", models.TimeField(verbose_name="closes")),
                ("brand", _BRAND),
                (
                    "store",
                    BrandForeignKey(
                        on_delete=models.CASCADE, related_name="hours", to="stores.store", verbose_name="store"
                    ),
                ),
            ],
            options={
                "verbose_name": "opening hours",
                "verbose_name_plural": "opening hours",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "store", "weekday", "opens"), name="opening_span_of_day"),
                    models.CheckConstraint(
                        condition=models.Q(("weekday__gte", 0), ("weekday__lte", 6)), name="weekday_exists"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="DayException",
            fields=[
                ("id", _ID),
                ("day", models.DateField(verbose_name="day")),
                ("opens", models.TimeField(blank=True, null=True, verbose_name="opens")),
                ("closes", models.TimeField(blank=True, null=True, verbose_name="closes")),
                ("reason", models.CharField(blank=True, max_length=60, verbose_name="reason")),
                ("brand", _BRAND),
                (
                    "store",
                    BrandForeignKey(
                        on_delete=models.CASCADE, related_name="exceptions", to="stores.store", verbose_name="store"
                    ),
                ),
            ],
            options={
                "verbose_name": "exception",
                "verbose_name_plural": "exceptions",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [models.UniqueConstraint(fields=("brand", "store", "day"), name="one_exception_a_day")],
            },
        ),
        migrations.CreateModel(
            name="StoreGrant",
            fields=[
                ("id", _ID),
                ("brand", _BRAND),
                (
                    "grant",
                    BrandForeignKey(
                        on_delete=models.CASCADE, related_name="stores", to="accounts.rolegrant", verbose_name="role"
                    ),
                ),
                (
                    "store",
                    BrandForeignKey(
                        on_delete=models.CASCADE, related_name="+", to="stores.store", verbose_name="store"
                    ),
                ),
            ],
            options={
                "verbose_name": "store of a role",
                "verbose_name_plural": "stores of a role",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "grant", "store"), name="store_of_grant_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="RegionGrant",
            fields=[
                ("id", _ID),
                ("brand", _BRAND),
                (
                    "grant",
                    BrandForeignKey(
                        on_delete=models.CASCADE, related_name="regions", to="accounts.rolegrant", verbose_name="role"
                    ),
                ),
                (
                    "region",
                    BrandForeignKey(
                        on_delete=models.CASCADE, related_name="+", to="stores.region", verbose_name="region"
                    ),
                ),
            ],
            options={
                "verbose_name": "region of a role",
                "verbose_name_plural": "regions of a role",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "grant", "region"), name="region_of_grant_once")
                ],
            },
        ),
        SecureBrandTables("stores"),
    ]
