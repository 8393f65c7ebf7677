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


class BrandKey(models.Model):
    """A later data key of a brand; the first is in the brand's row. A global table: a key is needed before any scope.

    The newest seals; each of them opens what names it. `settled_at` is since when no value is under an earlier one.
    """

    owner = models.ForeignKey(Brand, models.CASCADE, related_name="keys", db_index=False, verbose_name=_("brand"))
    number = models.PositiveIntegerField(_("number"))
    wrapped = models.BinaryField(default=new_wrapped_key, editable=False)
    created_at = models.DateTimeField(_("created"))
    turned = models.BigIntegerField(_("values sealed anew"), default=0)
    settled_at = models.DateTimeField(_("done"), null=True, blank=True)

    class Meta:
        verbose_name = _("data key")
        verbose_name_plural = _("data keys")
        constraints: ClassVar = [models.UniqueConstraint(fields=["owner", "number"], name="brand_key_by_number")]

    def __str__(self) -> str:
        return f"{self.number}"


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


class AuditBlock(BrandOwned):
    """A piece of the audit log under seal: what each of its entries was, and the hash of the block before."""

    number = models.BigIntegerField()
    upto = models.BigIntegerField()  # the last entry it covers; it begins behind the block before
    changes_upto = models.BigIntegerField(default=0)  # likewise of AuditChange
    records = models.BinaryField()  # of each entry: number, moment, a keyed digest of the act, one of its words
    previous = models.BinaryField()
    hash = models.BinaryField()  # keyed, over all of the above
    sealed_at = models.DateTimeField()

    class Meta(BrandOwned.Meta):
        verbose_name = _("seal of the audit log")
        verbose_name_plural = _("seals of the audit log")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "number"], name="one_block_after_another"),  # no forks
        ]

    def __str__(self) -> str:
        return str(self.number)


class AuditChange(BrandOwned):
    """What the law has taken out of the audit log: the words of an entry (somebody was erased), or old entries.

    Written by the two functions of the database that do it, in the same transaction, and sealed with the entries.
    """

    kind = models.CharField(max_length=10)  # FORGOTTEN: the words of `entry`; TRIMMED: `rows` entries up to `upto`
    entry = models.BigIntegerField(null=True)
    upto = models.DateTimeField(null=True)
    rows = models.IntegerField(default=1)
    at = models.DateTimeField()

    class Meta(BrandOwned.Meta):
        verbose_name = _("lawful change of the audit log")
        verbose_name_plural = _("lawful changes of the audit log")
        indexes: ClassVar = [models.Index(fields=["brand", "kind", "entry"], name="audit_change_of_entry")]

    def __str__(self) -> str:
        return f"{self.pk} {self.kind}"


class AuditState(BrandOwned):
    """How far a brand's audit log is sealed, anchored and verified; only for showing, proof of nothing."""

    sealed_block = models.BigIntegerField(default=0)
    sealed_at = models.DateTimeField(null=True)
    anchored_block = models.BigIntegerField(default=0)
    anchored_at = models.DateTimeField(null=True)
    looking_block = models.BigIntegerField(default=0)  # a verification that is under way has come so far
    looking = models.JSONField(default=dict)
    verified_at = models.DateTimeField(null=True)
    verified = models.JSONField(default=dict)  # what the last one found

    class Meta(BrandOwned.Meta):
        verbose_name = _("state of the audit log")
        verbose_name_plural = _("states of the audit log")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand"], name="one_audit_state_per_brand")]

    def __str__(self) -> str:
        return str(self.sealed_block)


__all__ = [
    "ApiKey",
    "AuditBlock",
    "AuditChange",
    "AuditEntry",
    "AuditState",
    "Brand",
    "BrandForeignKey",
    "RoleGrant",
    "StaffUser",
]
