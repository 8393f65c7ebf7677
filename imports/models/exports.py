"""An export: whom somebody asked for, in which form, and the file until its time is over."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts.fields import SealedTextField
from accounts.models import ApiKey, StaffUser
from accounts.roles import DataScope, Role
from accounts.tenancy import BrandForeignKey, BrandOwned
from members.models import Segment


class ExportState(models.TextChoices):
    """How an export stands."""

    WAITING = "WAITING", pgettext_lazy("export", "Being written")
    READY = "READY", pgettext_lazy("export", "Ready")
    REFUSED = "REFUSED", pgettext_lazy("export", "Not written")
    GONE = "GONE", pgettext_lazy("export", "Deleted")


class ExportFormat(models.TextChoices):
    """What kind of file."""

    CSV = "CSV", "CSV"
    XLSX = "XLSX", "XLSX"


class Export(BrandOwned):
    """A list of members somebody took out, as they were allowed to see it: role and scope of then are kept.

    One of the brand's other systems has a key instead of a role, and what it calls the request (`idempotency`).
    Without a segment it is who a search found; with neither, everybody in scope. `fields` are the keys of the brand's
    own profile fields that have a column; `unmasked`: phones and values that not everybody may see are in full.
    """

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    segment = BrandForeignKey(
        Segment, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("segment")
    )
    named = models.CharField(_("who"), max_length=80, blank=True)
    search = models.CharField(_("search"), max_length=60, blank=True)
    file_format = models.CharField(_("format"), max_length=4, choices=ExportFormat, default=ExportFormat.CSV)
    fields = ArrayField(models.CharField(max_length=40), verbose_name=_("profile fields"), default=list, blank=True)
    unmasked = models.BooleanField(_("phones in full"), default=False)
    reason = models.CharField(_("reason"), max_length=200, blank=True)
    state = models.CharField(_("state"), max_length=10, choices=ExportState, default=ExportState.WAITING)
    problem = models.CharField(_("problem"), max_length=300, blank=True)
    rows = models.PositiveIntegerField(_("rows"), default=0)
    size = models.PositiveIntegerField(_("bytes"), default=0)
    asked_by = models.ForeignKey(StaffUser, models.DO_NOTHING, null=True, related_name="+", verbose_name=_("asked by"))
    api_key = BrandForeignKey(
        ApiKey, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("API key")
    )
    idempotency = models.CharField(max_length=80, blank=True, editable=False)
    asked_label = models.CharField(_("asked by"), max_length=80)
    role = models.CharField(_("role"), max_length=20, choices=Role, blank=True)
    scope = models.CharField(_("data scope"), max_length=10, choices=DataScope)
    grant_id = models.BigIntegerField(null=True, blank=True)
    asked_at = models.DateTimeField(_("asked"))
    written_at = models.DateTimeField(pgettext_lazy("export", "written"), null=True, blank=True)
    delete_at = models.DateTimeField(_("file is deleted"))
    downloads = models.PositiveIntegerField(_("downloads"), default=0)

    class Meta(BrandOwned.Meta):
        verbose_name = _("export")
        verbose_name_plural = _("exports")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["brand", "api_key", "idempotency"],
                condition=models.Q(api_key__isnull=False) & ~models.Q(idempotency=""),
                name="export_once_per_key",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["brand", "-id"], name="export_newest"),  # the list
            models.Index(fields=["brand", "state"], condition=models.Q(state="WAITING"), name="export_waiting"),
            models.Index(fields=["brand", "delete_at"], condition=models.Q(state="READY"), name="export_to_delete"),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.file_format}"


class ExportChunk(BrandOwned):
    """A piece of a written file, sealed; `people` are those of its share of the rows, for whoever takes it out."""

    job = BrandForeignKey(Export, models.CASCADE, related_name="+")
    number = models.PositiveIntegerField()
    body = SealedTextField(bind=("job_id", "number"))
    people = ArrayField(models.BigIntegerField(), default=list, db_default=[])

    class Meta(BrandOwned.Meta):
        verbose_name = _("piece of an exported file")
        verbose_name_plural = _("pieces of exported files")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand", "job", "number"], name="export_chunk_once")]

    def __str__(self) -> str:
        return f"{self.pk}"
