"""Stores: where they are, when they are open, and who looks after them."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.models import RoleGrant
from accounts.tenancy import BrandForeignKey, BrandOwned


class Region(BrandOwned):
    """A node of the store tree: region, city, franchise."""

    name = models.CharField(_("name"), max_length=40)
    parent = BrandForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("belongs to")
    )

    class Meta(BrandOwned.Meta):
        verbose_name = _("region")
        verbose_name_plural = _("regions")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand", "name"], name="region_name_in_brand")]

    def __str__(self) -> str:
        return self.name


class Store(BrandOwned):
    """A shop. Coordinates are GCJ-02 (what WeChat sends and shows), in degrees."""

    code = models.CharField(_("store code"), max_length=20)
    name = models.CharField(_("name"), max_length=60)
    region = BrandForeignKey(Region, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("region"))
    city = models.CharField(_("city"), max_length=40, blank=True)
    address = models.CharField(_("address"), max_length=200, blank=True)
    telephone = models.CharField(_("telephone"), max_length=30, blank=True)
    lat = models.FloatField(_("latitude"), null=True, blank=True)
    lng = models.FloatField(_("longitude"), null=True, blank=True)
    is_active = models.BooleanField(_("in operation"), default=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("store")
        verbose_name_plural = _("stores")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "code"], name="store_code_in_brand"),
            models.CheckConstraint(
                condition=models.Q(lat__isnull=True) | models.Q(lat__gte=-90, lat__lte=90, lng__gte=-180, lng__lte=180),
                name="store_is_on_earth",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["brand", "lat", "lng"], name="store_in_box"),  # nearest stores: bounding box first
            models.Index(fields=["brand", "name"], name="store_by_name"),
        ]

    def __str__(self) -> str:
        return self.name


class OpeningHours(BrandOwned):
    """One opening span of a weekday (Monday = 0). `closes` not after `opens` means it closes the next day."""

    store = BrandForeignKey(Store, models.CASCADE, related_name="hours", verbose_name=_("store"))
    weekday = models.SmallIntegerField(_("weekday"))
    opens = models.TimeField(_("opens"))
    closes = models.TimeField(_("closes"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("opening hours")
        verbose_name_plural = _("opening hours")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "store", "weekday", "opens"], name="opening_span_of_day"),
            models.CheckConstraint(condition=models.Q(weekday__gte=0, weekday__lte=6), name="weekday_exists"),
        ]

    def __str__(self) -> str:
        return f"{self.weekday} {self.opens:%H:%M}–{self.closes:%H:%M}"


class DayException(BrandOwned):
    """A day that differs from the week: closed (no times) or with other hours."""

    store = BrandForeignKey(Store, models.CASCADE, related_name="exceptions", verbose_name=_("store"))
    day = models.DateField(_("day"))
    opens = models.TimeField(_("opens"), null=True, blank=True)
    closes = models.TimeField(_("closes"), null=True, blank=True)
    reason = models.CharField(_("reason"), max_length=60, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("exception")
        verbose_name_plural = _("exceptions")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand", "store", "day"], name="one_exception_a_day")]

    def __str__(self) -> str:
        return f"{self.day} {self.reason}"


class StoreGrant(BrandOwned):
    """Which stores a role with the data scope “own stores” reaches."""

    grant = BrandForeignKey(RoleGrant, models.CASCADE, related_name="stores", verbose_name=_("role"))
    store = BrandForeignKey(Store, models.CASCADE, related_name="+", verbose_name=_("store"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("store of a role")
        verbose_name_plural = _("stores of a role")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "grant", "store"], name="store_of_grant_once")
        ]

    def __str__(self) -> str:
        return f"{self.pk}"


class RegionGrant(BrandOwned):
    """Which regions a role with the data scope “own stores” reaches, with every region and store below them."""

    grant = BrandForeignKey(RoleGrant, models.CASCADE, related_name="regions", verbose_name=_("role"))
    region = BrandForeignKey(Region, models.CASCADE, related_name="+", verbose_name=_("region"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("region of a role")
        verbose_name_plural = _("regions of a role")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "grant", "region"], name="region_of_grant_once")
        ]

    def __str__(self) -> str:
        return f"{self.pk}"
