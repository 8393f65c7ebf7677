"""Brands, the people who work for them, what they may do, and what they did."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.auth.models import AbstractUser
from django.core.validators import RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.roles import DataScope, Role
from accounts.sealing import new_wrapped_key
from accounts.tenancy import BrandForeignKey, BrandOwned


class Brand(models.Model):
    """A company that uses the product: the tenant. A global table; everything else hangs on it."""

    slug = models.SlugField(
        _("address"),
        max_length=40,
        unique=True,
        validators=[RegexValidator(r"^[a-z][a-z0-9-]{1,39}$")],
    )
    name = models.CharField(_("name"), max_length=60)
    name_en = models.CharField(_("English name"), max_length=60, blank=True)
    timezone = models.CharField(_("time zone"), max_length=40, default="Asia/Shanghai")
    is_active = models.BooleanField(_("active"), default=True)
    data_key = models.BinaryField(default=new_wrapped_key, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("brand")
        verbose_name_plural = _("brands")

    def __str__(self) -> str:
        return self.name


class StaffUser(AbstractUser):
    """A person who signs in to the back office, possibly for several brands."""

    name = models.CharField(_("name"), max_length=60, blank=True)
    language = models.CharField(_("language"), max_length=10, blank=True)

    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        verbose_name = _("staff member")
        verbose_name_plural = _("staff")

    def __str__(self) -> str:
        return self.name or self.username


class RoleGrant(BrandOwned):
    """One person's role in one brand. Store scopes are detailed by `stores.StoreGrant`."""

    staff_user = models.ForeignKey(
        StaffUser, on_delete=models.DO_NOTHING, related_name="+", verbose_name=_("staff member")
    )
    role = models.CharField(_("role"), max_length=20, choices=Role)
    scope = models.CharField(_("data scope"), max_length=10, choices=DataScope, default=DataScope.BRAND)
    created_at = models.DateTimeField(_("granted"), auto_now_add=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("role")
        verbose_name_plural = _("roles")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "staff_user"], name="one_role_per_person_and_brand"),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.role}"


class ApiKey(BrandOwned):
    """A key of one of the brand's other systems. Only its fingerprint is kept."""

    label = models.CharField(_("what it is for"), max_length=60)
    prefix = models.CharField(_("begins with"), max_length=12, unique=True)
    fingerprint = models.CharField(max_length=64)
    scopes = models.JSONField(_("scopes"), default=list)
    created_at = models.DateTimeField(_("created"))
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")

    def __str__(self) -> str:
        return f"{self.prefix}…"


class AuditEntry(BrandOwned):
    """Who did what, with which values before and after. Append-only; written in the transaction of the act."""

    at = models.DateTimeField(_("when"))
    actor = models.ForeignKey(StaffUser, null=True, blank=True, on_delete=models.DO_NOTHING, related_name="+")
    actor_label = models.CharField(_("who"), max_length=120)
    role = models.CharField(_("role"), max_length=20, blank=True)
    via = models.CharField(_("through"), max_length=20)
    action = models.CharField(_("what"), max_length=60)
    object_type = models.CharField(_("kind"), max_length=60)
    object_id = models.CharField(max_length=40)
    object_label = models.CharField(_("object"), max_length=200)
    changes = models.JSONField(_("before and after"), default=dict)
    reason = models.CharField(_("reason"), max_length=200, blank=True)
    ip = models.CharField("IP", max_length=45, blank=True)
    request_id = models.CharField(max_length=36, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("log entry")
        verbose_name_plural = _("audit log")
        indexes: ClassVar = [
            models.Index(fields=["brand", "-at", "-id"], name="audit_newest"),  # the log page
            models.Index(fields=["brand", "object_type", "object_id"], name="audit_of_object"),  # history of one object
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.action}"


__all__ = ["ApiKey", "AuditEntry", "Brand", "BrandForeignKey", "RoleGrant", "StaffUser"]
