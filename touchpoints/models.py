"""The channel tree: media, places and objects with their codes, and every scan of them."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.tenancy import BrandForeignKey, BrandOwned
from members.models import Follower, Member, Tag
from stores.models import Store
from wechat_gateway.models import MiniProgram, OfficialAccount


class Touchpoint(BrandOwned):
    """A node of the channel tree. A leaf with a `scene` has a code that people scan.

    What a node is follows from where it stands: a code is an object, the top a medium, all between are places.
    `expires_at` is when the picture of a temporary code stops working, `ends_at` when the brand wants it to end.
    `owner_kind` is a key of the registry of owners, which knows what `owner_id` names.
    """

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
    benefit = models.CharField(_("benefit"), max_length=120, blank=True)
    ends_at = models.DateTimeField(_("in use until"), null=True, blank=True)
    archived_at = models.DateTimeField(_("archived"), null=True, blank=True)
    owner_kind = models.CharField(_("kind of owner"), max_length=20, blank=True)
    owner_id = models.BigIntegerField(_("owner"), null=True, blank=True)
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


class CodeIssue(BrandOwned):
    """A picture of a code as WeChat made it once: a renewed code has several, and each may hang printed somewhere."""

    touchpoint = BrandForeignKey(Touchpoint, models.PROTECT, related_name="+", verbose_name=_("channel"))
    account = BrandForeignKey(OfficialAccount, models.PROTECT, related_name="+")
    ticket = models.CharField(max_length=200)
    url = models.CharField(max_length=200)
    is_permanent = models.BooleanField(_("permanent code"), default=False)
    issued_at = models.DateTimeField(_("made"))
    expires_at = models.DateTimeField(_("ends"), null=True, blank=True)
    printed_at = models.DateTimeField(_("downloaded for print"), null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("code picture")
        verbose_name_plural = _("code pictures")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "touchpoint", "ticket"], name="ticket_once_per_touchpoint"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["brand", "account"], condition=models.Q(is_permanent=True), name="permanent_codes"),
        ]

    def __str__(self) -> str:
        return f"{self.pk}"


class Move(BrandOwned):
    """A branch got another place. With `restates` the past is counted where it stands now, otherwise where it stood."""

    touchpoint = BrandForeignKey(Touchpoint, models.CASCADE, related_name="+", verbose_name=_("channel"))
    before = BrandForeignKey(Touchpoint, models.PROTECT, null=True, blank=True, related_name="+")
    after = BrandForeignKey(Touchpoint, models.PROTECT, null=True, blank=True, related_name="+")
    restates = models.BooleanField(_("past counted at the new place"), default=False)
    at = models.DateTimeField(_("when"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("move of a channel")
        verbose_name_plural = _("moves of channels")
        indexes: ClassVar = [models.Index(fields=["brand", "touchpoint", "at"], name="move_of_touchpoint")]

    def __str__(self) -> str:
        return f"{self.pk}"


class Cost(BrandOwned):
    """What a channel cost over a period, in fen; a report takes the days it covers."""

    touchpoint = BrandForeignKey(Touchpoint, models.CASCADE, related_name="costs", verbose_name=_("channel"))
    amount = models.BigIntegerField(_("amount (fen)"))
    starts_on = models.DateField(_("from"))
    ends_on = models.DateField(_("to"))
    note = models.CharField(_("for what"), max_length=60, blank=True)
    created_at = models.DateTimeField(_("created"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("cost of a channel")
        verbose_name_plural = _("costs of channels")
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(amount__gte=0, ends_on__gte=models.F("starts_on")), name="cost_of_some_days"
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["brand", "touchpoint"], name="cost_of_touchpoint")]

    def __str__(self) -> str:
        return f"{self.pk}"


class MiniCode(BrandOwned):
    """A mini-program code of a channel: eight characters as its scene, which only this brand can resolve."""

    touchpoint = BrandForeignKey(Touchpoint, models.PROTECT, related_name="+", verbose_name=_("channel"))
    program = BrandForeignKey(MiniProgram, models.PROTECT, related_name="+", verbose_name=_("mini program"))
    code = models.CharField(_("short scene"), max_length=8)
    page = models.CharField(_("page"), max_length=128)
    picture = models.BinaryField(null=True, blank=True)
    problem = models.CharField(_("problem"), max_length=200, blank=True)
    created_at = models.DateTimeField(_("created"))
    ends_at = models.DateTimeField(_("in use until"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("mini-program code")
        verbose_name_plural = _("mini-program codes")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand", "code"], name="short_scene_once")]
        indexes: ClassVar = [models.Index(fields=["brand", "touchpoint"], name="mini_code_of_touchpoint")]

    def __str__(self) -> str:
        return self.code


class TouchKind(models.TextChoices):
    """What a scan meant at that moment."""

    FOLLOW = "FOLLOW", _("New follower")
    REFOLLOW = "REFOLLOW", _("Came back")
    SCAN = "SCAN", _("Already following")


class TouchCase(models.TextChoices):
    """Who scanned, as it was known at that moment. Each case has its own outcome."""

    NEW = "NEW", _("New follower")
    RETURNING = "RETURNING", _("Came back")
    FOLLOWING = "FOLLOWING", _("Already following")
    MEMBER = "MEMBER", _("Already a member")
    STAFF = "STAFF", _("Staff")


class Touch(BrandOwned):
    """One scan of a code (or one follow without any). Kept for ever: attribution is a view on these rows."""

    touchpoint = BrandForeignKey(
        Touchpoint, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("channel")
    )
    follower = BrandForeignKey(Follower, models.PROTECT, related_name="+", verbose_name=_("follower"))
    member = BrandForeignKey(Member, models.PROTECT, related_name="touches", verbose_name=_("member"))
    kind = models.CharField(_("kind"), max_length=10, choices=TouchKind)
    case = models.CharField(_("who scanned"), max_length=10, choices=TouchCase, blank=True)
    issue = BrandForeignKey(CodeIssue, models.PROTECT, null=True, blank=True, related_name="+")
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
            models.Index(fields=["brand", "at"], name="touch_of_time"),  # reports over a window
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.kind}"


class Unfollow(BrandOwned):
    """Somebody stopped following at a moment. Kept for ever: how long people stay is counted from these rows."""

    follower = BrandForeignKey(Follower, models.PROTECT, related_name="+", verbose_name=_("follower"))
    at = models.DateTimeField(_("when"))
    push_id = models.BigIntegerField(null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("unfollow")
        verbose_name_plural = _("unfollows")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["brand", "push_id"],
                condition=models.Q(push_id__isnull=False),
                name="one_unfollow_per_push",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["brand", "follower", "at"], name="unfollow_of_follower")]

    def __str__(self) -> str:
        return f"{self.pk}"


class StaffPerson(BrandOwned):
    """A person who works for the brand: their scans are kept, count nowhere and set nothing off."""

    member = BrandForeignKey(Member, models.CASCADE, related_name="+", verbose_name=_("member"))
    since = models.DateTimeField(_("since"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("person of the staff")
        verbose_name_plural = _("people of the staff")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand", "member"], name="staff_person_once")]

    def __str__(self) -> str:
        return f"{self.pk}"
