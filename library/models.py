"""The brand's pictures, voice and video, kept here, and what each account of WeChat has of them."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts.tenancy import BrandForeignKey, BrandOwned
from library import files
from wechat_gateway.models import OfficialAccount


class MediaKind(models.TextChoices):
    """WeChat's kinds of files."""

    IMAGE = files.IMAGE, _("Picture")
    VOICE = files.VOICE, _("Voice")
    VIDEO = files.VIDEO, _("Video")
    THUMB = files.THUMB, _("Card cover")


class MediaItem(BrandOwned):
    """A file of the brand's library. Here it stays; WeChat forgets what is not permanent after three days.

    `archived_at`: no longer offered, but still shown where it was sent.
    """

    kind = models.CharField(_("kind"), max_length=8, choices=MediaKind, default=MediaKind.IMAGE)
    name = models.CharField(_("name"), max_length=60)
    description = models.CharField(_("description"), max_length=120, blank=True)
    content_type = models.CharField(max_length=40)
    size = models.PositiveIntegerField(_("bytes"))
    sha256 = models.CharField(max_length=64)
    path = models.CharField(max_length=200)
    sent = models.PositiveIntegerField(_("sent"), default=0)
    created_at = models.DateTimeField(_("added"))
    archived_at = models.DateTimeField(_("put away"), null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = pgettext_lazy("library", "file")
        verbose_name_plural = pgettext_lazy("library", "files")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand", "kind", "sha256"], name="media_once")]
        indexes: ClassVar = [
            models.Index(fields=["brand", "-created_at", "-id"], name="media_newest"),  # the list, choosing a file
        ]

    def __str__(self) -> str:
        return self.name


class CopyState(models.TextChoices):
    """Where a copy at WeChat stands."""

    WAITING = "WAITING", pgettext_lazy("copy of a file", "Being uploaded")
    THERE = "THERE", pgettext_lazy("copy of a file", "At WeChat")
    REFUSED = "REFUSED", pgettext_lazy("copy of a file", "Not kept")
    LEAVING = "LEAVING", pgettext_lazy("copy of a file", "Being taken away")


class MediaCopy(BrandOwned):
    """A file as one account knows it: WeChat's id for it, and until when that works (permanent ones: always).

    `ordered_at` is when WeChat was first about to be given a permanent one: from then on it may have it already, and is
    asked before the file is uploaded again. `former_id` is the id that WeChat last said it does not know any more: what
    was written down with it can still be sent, under the id of today.
    """

    item = BrandForeignKey(MediaItem, models.CASCADE, related_name="copies")
    account = BrandForeignKey(OfficialAccount, models.PROTECT, related_name="+", verbose_name=_("service account"))
    permanent = models.BooleanField(_("permanent"), default=False)
    state = models.CharField(_("state"), max_length=8, choices=CopyState, default=CopyState.THERE)
    media_id = models.CharField(max_length=256, blank=True)
    former_id = models.CharField(max_length=256, blank=True)
    expires_at = models.DateTimeField(_("until"), null=True, blank=True)
    due_at = models.DateTimeField(null=True, blank=True)
    ordered_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    code = models.IntegerField(_("WeChat's code"), null=True, blank=True)
    cause = models.CharField(_("cause"), max_length=40, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("file at WeChat")
        verbose_name_plural = _("files at WeChat")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "item", "account", "permanent"], name="one_copy_of_a_kind")
        ]
        indexes: ClassVar = [
            models.Index(fields=["brand", "due_at"], condition=Q(due_at__isnull=False), name="media_copy_due"),  # sweep
            models.Index(fields=["brand", "account", "permanent"], name="media_copies_of_account"),  # quota
        ]

    def __str__(self) -> str:
        return f"{self.pk}"


class MediaCount(BrandOwned):
    """How many permanent files an account has at WeChat, by WeChat's own word; other systems add some too."""

    account = BrandForeignKey(OfficialAccount, models.CASCADE, related_name="+", verbose_name=_("service account"))
    images = models.PositiveIntegerField(default=0)
    voices = models.PositiveIntegerField(default=0)
    videos = models.PositiveIntegerField(default=0)
    at = models.DateTimeField(_("as of"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("files of an account")
        verbose_name_plural = _("files of accounts")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand", "account"], name="one_media_count")]

    def __str__(self) -> str:
        return f"{self.pk}"
