"""An import: its file, how its columns are read, and what each row led to."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts.fields import SealedTextField
from accounts.models import StaffUser
from accounts.tenancy import BrandForeignKey, BrandOwned
from members.models import Member


class ImportState(models.TextChoices):
    """How far an import has come."""

    UPLOADED = "UPLOADED", pgettext_lazy("import", "Columns to be confirmed")
    CHECKING = "CHECKING", pgettext_lazy("import", "Trying out")
    CHECKED = "CHECKED", pgettext_lazy("import", "Tried out")
    RUNNING = "RUNNING", pgettext_lazy("import", "Importing")
    DONE = "DONE", pgettext_lazy("import", "Imported")
    UNDOING = "UNDOING", pgettext_lazy("import", "Being undone")
    UNDONE = "UNDONE", pgettext_lazy("import", "Undone")
    REFUSED = "REFUSED", pgettext_lazy("import", "Not readable")


class RowState(models.TextChoices):
    """What a row is found to be, or what became of it."""

    NEW = "NEW", pgettext_lazy("import row", "New")
    MATCHED = "MATCHED", pgettext_lazy("import row", "Adds to somebody known")
    UNCHANGED = "UNCHANGED", pgettext_lazy("import row", "Nothing to change")
    CONFLICT = "CONFLICT", pgettext_lazy("import row", "Contradicts what is known")
    ERROR = "ERROR", pgettext_lazy("import row", "Cannot be read")
    UNDONE = "UNDONE", pgettext_lazy("import row", "Undone")
    LEFT = "LEFT", pgettext_lazy("import row", "Left: changed since")


class Import(BrandOwned):
    """One uploaded table. `columns` says which field each column is, in order; an empty text leaves a column out.

    Counters change in the transaction of what they count. `done` counts rows the running stage is through with.
    """

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    kind = models.CharField(_("what it holds"), max_length=20)
    name = models.CharField(_("file"), max_length=120)
    state = models.CharField(_("state"), max_length=10, choices=ImportState, default=ImportState.UPLOADED)
    size = models.PositiveIntegerField(_("bytes"))
    content = models.UUIDField(editable=False)
    key = models.CharField(max_length=80, blank=True, editable=False)
    header = models.JSONField(_("titles"), default=list)
    samples = SealedTextField(bind=("public_id",))
    columns = models.JSONField(_("columns"), default=list)
    options = models.JSONField(_("options"), default=dict)
    problem = models.CharField(_("problem"), max_length=300, blank=True)
    notes = models.JSONField(default=list)
    read = models.PositiveIntegerField(_("rows read"), default=0)
    total = models.PositiveIntegerField(_("rows"), default=0)
    done = models.PositiveIntegerField(default=0)
    found = models.JSONField(_("found"), default=dict)
    became = models.JSONField(_("outcome"), default=dict)
    asked_by = models.ForeignKey(
        StaffUser, models.DO_NOTHING, null=True, blank=True, related_name="+", verbose_name=_("uploaded by")
    )
    asked_label = models.CharField(_("uploaded by"), max_length=80, blank=True)
    created_at = models.DateTimeField(_("uploaded"))
    started_at = models.DateTimeField(_("started"), null=True, blank=True)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    undone_at = models.DateTimeField(_("undone"), null=True, blank=True)
    touched_at = models.DateTimeField(_("last worked on"))
    delete_at = models.DateTimeField(_("file is deleted"))
    deleted_at = models.DateTimeField(_("file was deleted"), null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("import")
        verbose_name_plural = _("imports")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["brand", "asked_label", "key"], condition=~models.Q(key=""), name="import_once_per_key"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["brand", "-id"], name="import_newest"),  # the list
            models.Index(
                fields=["brand", "state"],
                condition=models.Q(state__in=["CHECKING", "RUNNING", "UNDOING"]),
                name="import_under_way",
            ),  # the sweep
            models.Index(
                fields=["brand", "delete_at"], condition=models.Q(deleted_at__isnull=True), name="import_to_delete"
            ),  # retention
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.kind}"


class ImportChunk(BrandOwned):
    """A piece of an uploaded file, sealed; gone when the time of the file is over."""

    job = BrandForeignKey(Import, models.CASCADE, related_name="+")
    number = models.PositiveIntegerField()
    body = SealedTextField(bind=("job_id", "number"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("piece of an uploaded file")
        verbose_name_plural = _("pieces of uploaded files")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand", "job", "number"], name="import_chunk_once")]

    def __str__(self) -> str:
        return f"{self.pk}"


class ImportRow(BrandOwned):
    """A row of the file: what it says (sealed), whom it is about, what was wrong, what was done (sealed).

    `content` is a keyed fingerprint of what the row says, `named` are those of everything in it that identifies
    somebody: by them a row that is about nobody known is found when one of them is erased. `problems` names fields and
    codes; no value stands in them.
    """

    job = BrandForeignKey(Import, models.CASCADE, related_name="+", verbose_name=_("import"))
    number = models.PositiveIntegerField(_("row"))
    content = models.UUIDField(editable=False)
    named = ArrayField(models.UUIDField(), default=list, db_default=[], editable=False)
    cells = SealedTextField(bind=("job_id", "number"))
    state = models.CharField(_("state"), max_length=10, choices=RowState)
    problems = models.JSONField(_("problems"), default=list)
    has_error = models.BooleanField(default=False)
    member = BrandForeignKey(Member, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("member"))
    did = SealedTextField(bind=("job_id", "number"))
    applied_at = models.DateTimeField(_("imported"), null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("row of an import")
        verbose_name_plural = _("rows of imports")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand", "job", "number"], name="import_row_once")]
        indexes: ClassVar = [
            models.Index(
                fields=["brand", "job", "number"],
                condition=models.Q(applied_at__isnull=True, state__in=["NEW", "MATCHED"]),
                name="import_rows_to_do",
            ),
            models.Index(
                fields=["brand", "job", "number"],
                condition=models.Q(applied_at__isnull=False, state__in=["NEW", "MATCHED"]),
                name="import_rows_to_undo",
            ),
            models.Index(fields=["brand", "job", "state", "number"], name="import_rows_by_state"),  # the report
            GinIndex(
                fields=["named"],
                condition=models.Q(member__isnull=True, cells__isnull=False),
                name="import_rows_naming",
            ),  # erasure
            models.Index(fields=["brand", "member"], name="import_rows_of_member"),  # merges, erasure
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.number}"
