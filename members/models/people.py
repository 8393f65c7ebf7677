"""Members, and the followers and identities they have."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models.functions import MD5, Cast, Left, Reverse
from django.db.models.lookups import In
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts.fields import SealedTextField
from accounts.tenancy import BrandForeignKey, BrandOwned
from stores.models import Store
from wechat_gateway.models import OfficialAccount

# One person in 64, the same ones at all times: whose id has an MD5 that begins so (4 of 256 beginnings).
SAMPLE_BEGINS = ("00", "01", "02", "03")
ONE_IN = 64


def in_sample() -> models.Q:
    """Say who belongs to the fixed sample; written as the index `sampled_people` has it."""
    return models.Q(In(Left(MD5(Cast("id", models.TextField())), 2), SAMPLE_BEGINS))


class Gender(models.TextChoices):
    """What people say of themselves."""

    FEMALE = "F", _("female")
    MALE = "M", _("male")
    OTHER = "X", pgettext_lazy("gender", "other")


class Member(BrandOwned):
    """One person as the brand knows them, from the first contact on; `joined_at` is set when they become a member.

    `subscribed`, `tag_ids` and `last_interaction_at` repeat facts of followers and tags for segments; the services that
    change those facts keep them equal.
    """

    public_id = models.UUIDField(unique=True)
    member_no = models.CharField(_("member number"), max_length=20)
    name = models.CharField(_("name"), max_length=60, blank=True)
    phone = SealedTextField(_("phone"), bind=("public_id",))
    phone_index = models.UUIDField(null=True, blank=True)
    phone_tail = models.CharField(_("phone tail"), max_length=4, blank=True)
    phone_masked = models.CharField(_("phone"), max_length=20, blank=True)
    birth_mmdd = models.SmallIntegerField(_("birthday"), null=True, blank=True)
    gender = models.CharField(_("gender"), max_length=1, choices=Gender, blank=True, db_default="")
    city = models.CharField(_("city"), max_length=40, blank=True)
    store = BrandForeignKey(Store, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("store"))
    joined_at = models.DateTimeField(_("joined"), null=True, blank=True)
    created_at = models.DateTimeField(_("first contact"))
    subscribed = models.BooleanField(_("following"), default=False)
    last_interaction_at = models.DateTimeField(_("last interaction"), null=True, blank=True)
    tag_ids = ArrayField(models.BigIntegerField(), default=list, blank=True)
    merged_into = BrandForeignKey("self", models.PROTECT, null=True, blank=True, related_name="+")
    erased_at = models.DateTimeField(_("personal data deleted"), null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("member")
        verbose_name_plural = _("members")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "member_no"], name="member_no_in_brand"),
            models.UniqueConstraint(
                fields=["brand", "phone_index"],
                condition=models.Q(phone_index__isnull=False, merged_into__isnull=True),
                name="one_member_per_phone",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["brand", "phone_tail"], name="member_by_phone_tail"),  # search
            models.Index(fields=["brand", "name"], name="member_by_name"),  # search by name prefix
            models.Index(
                fields=["brand", "last_interaction_at"], name="member_by_interaction"
            ),  # segments, newest first
            models.Index(
                fields=["brand", "store", "last_interaction_at"], name="member_of_store"
            ),  # segments, store scope
            models.Index(fields=["brand", "birth_mmdd"], name="member_by_birthday"),  # segments
            models.Index(
                fields=["brand", "joined_at"],
                condition=models.Q(merged_into__isnull=True, erased_at__isnull=True),
                name="present_by_joining",
            ),  # home page: counted without reading the people
            models.Index(
                fields=["brand", "store", "-id"],
                condition=models.Q(merged_into__isnull=True, erased_at__isnull=True),
                name="present_of_store_newest",
            ),  # list of a store: walked and counted in its order
            models.Index(
                fields=["brand", "-id"],
                condition=models.Q(merged_into__isnull=True, erased_at__isnull=True, subscribed=False),
                name="present_not_following",
            ),  # list
            models.Index(
                fields=["brand", "id"],
                condition=in_sample() & models.Q(merged_into__isnull=True, erased_at__isnull=True),
                name="sampled_people",
            ),  # segments that are being typed, in large brands (members.sampling)
            GinIndex(fields=["brand", "tag_ids"], name="member_by_tags"),  # segments, as the reports role
        ]

    def __str__(self) -> str:
        return self.name or self.member_no


class Follower(BrandOwned):
    """A person as one service account knows them: an openid that follows or followed."""

    account = BrandForeignKey(OfficialAccount, models.PROTECT, related_name="+", verbose_name=_("service account"))
    openid = models.CharField("OpenID", max_length=64)
    unionid = models.CharField("UnionID", max_length=64, blank=True)
    member = BrandForeignKey(Member, models.PROTECT, related_name="followers", verbose_name=_("member"))
    subscribed = models.BooleanField(_("following"), default=False)
    followed_at = models.DateTimeField(_("followed"), null=True, blank=True)
    unfollowed_at = models.DateTimeField(_("unfollowed"), null=True, blank=True)
    last_interaction_at = models.DateTimeField(_("last interaction"), null=True, blank=True)
    follow_count = models.PositiveIntegerField(_("times followed"), default=0)
    follow_scene = models.CharField(_("followed through"), max_length=40, blank=True)
    profile_due_at = models.DateTimeField(null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("follower")
        verbose_name_plural = _("followers")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "account", "openid"], name="openid_of_account"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["brand", "member"], name="follower_of_member"),
            models.Index(fields=["brand", "account", "-followed_at", "-id"], name="followers_in_order"),  # list
            models.Index(
                fields=["brand", "followed_at"], condition=models.Q(subscribed=True), name="following_since"
            ),  # home page: counted without reading the followers
            models.Index(
                fields=["brand", "unfollowed_at"], condition=models.Q(subscribed=False), name="gone_since"
            ),  # home page
            models.Index(
                fields=["brand", "profile_due_at"],
                condition=models.Q(profile_due_at__isnull=False),
                name="follower_profile_due",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pk} …{self.openid[-6:]}"


class IdentityKind(models.TextChoices):
    """By what a person can be known."""

    OPENID = "OPENID", "OpenID"
    UNIONID = "UNIONID", "UnionID"
    PHONE = "PHONE", _("Phone")
    EXTERNAL = "EXTERNAL", _("WeCom contact")
    PENDING = "PENDING", _("WeCom contact to be")
    CARD = "CARD", _("Member card")


class Identity(BrandOwned):
    """A dated, sourced edge from a person to something they are known by. Phones are kept as a fingerprint.

    `namespace` is who issued it: the appid of an OpenID, the subject of a UnionID, the corp of a WeCom contact, the
    issuer of a card. `expires_at` is when it says nothing any more (WeCom's pending_id: 90 days).
    """

    member = BrandForeignKey(Member, models.PROTECT, related_name="identities", verbose_name=_("member"))
    kind = models.CharField(_("kind"), max_length=20, choices=IdentityKind)
    namespace = models.CharField(_("issued by"), max_length=64, blank=True)
    value = models.CharField(_("value"), max_length=64)
    source = models.CharField(_("source"), max_length=40)
    since = models.DateTimeField(_("since"))
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    expires_at = models.DateTimeField(_("until"), null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("identity")
        verbose_name_plural = _("identities")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["brand", "kind", "namespace", "value"],
                condition=models.Q(ended_at__isnull=True),
                name="identity_of_one_member",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["brand", "member"], name="identity_of_member"),
            models.Index(
                "brand",
                Reverse("value"),
                condition=models.Q(kind="OPENID", ended_at__isnull=True),
                name="openid_by_its_end",
            ),  # search, as the reports role
            models.Index(
                fields=["brand", "value"],
                condition=models.Q(kind="CARD", ended_at__isnull=True),
                name="card_by_its_number",
            ),  # search, whoever issued it
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.kind}"


class MiniProgramSession(BrandOwned):
    """One log-in of a person in a mini program; the row is there exactly while the log-in holds.

    `session_key` is WeChat's (reference: mini program 1.1): it opens what the mini program sends encrypted, belongs to
    this log-in and goes with the row. `phone_code` is the fingerprint of the phone code spent last.
    """

    public_id = models.UUIDField(default=uuid.uuid4, editable=False)
    member = BrandForeignKey(Member, models.PROTECT, related_name="+", verbose_name=_("member"))
    appid = models.CharField("AppID", max_length=32)
    openid = models.CharField("OpenID", max_length=64)
    session_key = SealedTextField(bind=("public_id",))
    phone_code = models.UUIDField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(_("signed in"))
    expires_at = models.DateTimeField(_("until"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("mini-program session")
        verbose_name_plural = _("mini-program sessions")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand", "public_id"], name="session_in_brand")]
        indexes: ClassVar = [
            models.Index(fields=["brand", "member"], name="sessions_of_member"),  # merges, a limit per person
            models.Index(fields=["brand", "expires_at"], name="session_over"),  # clearing away
        ]

    def __str__(self) -> str:
        return f"{self.pk}"


class MergeRecord(BrandOwned):
    """Two records turned out to be one person: what was moved, so that it can be explained and undone.

    `moved` maps the assets of `members.merging` to what they need to give everything back.
    """

    kept = BrandForeignKey(Member, models.PROTECT, related_name="+", verbose_name=_("kept"))
    merged = BrandForeignKey(Member, models.PROTECT, related_name="+", verbose_name=_("merged"))
    evidence = models.CharField(_("evidence"), max_length=60)
    moved = models.JSONField(_("moved"), default=dict)
    at = models.DateTimeField(_("when"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("merge")
        verbose_name_plural = _("merges")
        indexes: ClassVar = [models.Index(fields=["brand", "-at"], name="merge_newest")]

    def __str__(self) -> str:
        return f"{self.pk}"


class MergeUndo(BrandOwned):
    """A merge was undone: why and by whom. The merge itself stays written down."""

    record = BrandForeignKey(MergeRecord, models.PROTECT, related_name="undone", verbose_name=_("merge"))
    reason = models.CharField(_("reason"), max_length=200)
    by = models.CharField(_("by"), max_length=60, blank=True)
    at = models.DateTimeField(_("when"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("undone merge")
        verbose_name_plural = _("undone merges")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand", "record"], name="merge_undone_once")]

    def __str__(self) -> str:
        return f"{self.pk}"


class DoubtState(models.TextChoices):
    """What was decided about two records."""

    OPEN = "OPEN", _("To be decided")
    MERGED = "MERGED", pgettext_lazy("doubt", "Merged")
    APART = "APART", _("Kept apart")


class Doubt(BrandOwned):
    """Two records that something says are one person, and something else says are not. Decided once, remembered.

    `one` has the lower number. `reasons` are keys of `members.doubts`; `evidence` is what ties them.
    """

    one = BrandForeignKey(Member, models.PROTECT, related_name="+", verbose_name=_("member"))
    other = BrandForeignKey(Member, models.PROTECT, related_name="+", verbose_name=_("other record"))
    reasons = ArrayField(models.CharField(max_length=20), verbose_name=_("reasons"), default=list)
    evidence = models.CharField(_("evidence"), max_length=60)
    state = models.CharField(_("state"), max_length=10, choices=DoubtState, default=DoubtState.OPEN)
    found_at = models.DateTimeField(_("noticed"))
    decided_at = models.DateTimeField(_("decided"), null=True, blank=True)
    decided_by = models.CharField(_("decided by"), max_length=60, blank=True)
    note = models.CharField(_("reason"), max_length=200, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("possible merge")
        verbose_name_plural = _("possible merges")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "one", "other"], name="doubt_once_per_pair"),
            models.CheckConstraint(condition=models.Q(one__lt=models.F("other")), name="doubt_lower_first"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["brand", "-id"], condition=models.Q(state="OPEN"), name="doubts_open"),  # the queue
            models.Index(fields=["brand", "other"], name="doubts_of_other"),  # merges, the member's page
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.state}"
