"""The channel tree: media, places and objects with their codes, and every scan of them."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.tenancy import BrandForeignKey, BrandOwned
from members.models import Follower, Member, Tag
from stores.models import Store
from wechat_gateway.models import OfficialAccount


class Touchpoint(BrandOwned):
    """A node of the channel tree. A leaf with a `scene` has a code that people scan."""

    name = models.CharField(_("name"), max_length=60)
    parent = BrandForeignKey("self", models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("below"))
    account = BrandForeignKey(OfficialAccount, models.PROTECT, null=True, blank=True, related_name="+")
    scene = models.CharField(_("scene"), max_length=64, blank=True)
    store = BrandForeignKey(Store, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("store"))
    welcome = models.TextField(_("welcome"), max_length=600, blank=True)
    is_permanent = models.BooleanField(_("permanent code"), default=False)
    ticket = models.CharField(max_length=200, blank=True)
    code_url = models.CharField(max_length=200, blank=True)
    expires_at = models.DateTimeField(_("code ends"), null=True, blank=True)
    problem = models.CharField(_("problem"), max_length=200, blank=True)
    is_active = models.BooleanField(_("in use"), default=True)
    created_at = models.DateTimeField(_("created"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("channel")
        verbose_name_plural = _("channels")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["brand", "account", "scene"],
                condition=~models.Q(scene=""),
                name="scene_of_account",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["brand", "parent", "name"], name="touchpoint_tree")]

    def __str__(self) -> str:
        return self.name


class TouchpointTag(BrandOwned):
    """A tag that a code puts on whoever scans it."""

    touchpoint = BrandForeignKey(Touchpoint, models.CASCADE, related_name="tags", verbose_name=_("channel"))
    tag = BrandForeignKey(Tag, models.CASCADE, related_name="+", verbose_name=_("tag"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("tag of a channel")
        verbose_name_plural = _("tags of channels")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "touchpoint", "tag"], name="tag_once_per_touchpoint"),
        ]

    def __str__(self) -> str:
        return f"{self.pk}"


class TouchKind(models.TextChoices):
    """What a scan meant at that moment."""

    FOLLOW = "FOLLOW", _("New follower")
    REFOLLOW = "REFOLLOW", _("Came back")
    SCAN = "SCAN", _("Already following")


class Touch(BrandOwned):
    """One scan of a code (or one follow without any). Kept for ever: attribution is a view on these rows."""

    touchpoint = BrandForeignKey(
        Touchpoint, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("channel")
    )
    follower = BrandForeignKey(Follower, models.PROTECT, related_name="+", verbose_name=_("follower"))
    member = BrandForeignKey(Member, models.PROTECT, related_name="touches", verbose_name=_("member"))
    kind = models.CharField(_("kind"), max_length=10, choices=TouchKind)
    scene = models.CharField(_("scene"), max_length=64, blank=True)
    at = models.DateTimeField(_("when"))
    push_id = models.BigIntegerField(null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("touch")
        verbose_name_plural = _("touches")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["brand", "push_id"],
                condition=models.Q(push_id__isnull=False),
                name="one_touch_per_push",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["brand", "touchpoint", "-at"], name="touch_of_point"),  # channel figures
            models.Index(fields=["brand", "member", "-at"], name="touch_of_member"),  # timeline
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.kind}"
