"""People: members, the followers and identities they have, tags, segments and consent."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.fields import SealedTextField
from accounts.tenancy import BrandForeignKey, BrandOwned
from stores.models import Store
from wechat_gateway.models import OfficialAccount


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
            models.Index(fields=["brand", "joined_at"], name="member_by_joining"),  # home page
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
            models.Index(fields=["brand", "account", "-followed_at"], name="follower_newest"),  # list, home page
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


class Identity(BrandOwned):
    """A dated, sourced edge from a person to something they are known by. Phones are kept as a fingerprint."""

    member = BrandForeignKey(Member, models.PROTECT, related_name="identities", verbose_name=_("member"))
    kind = models.CharField(_("kind"), max_length=20, choices=IdentityKind)
    namespace = models.CharField(_("issued by"), max_length=64, blank=True)
    value = models.CharField(_("value"), max_length=64)
    source = models.CharField(_("source"), max_length=40)
    since = models.DateTimeField(_("since"))
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)

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
        indexes: ClassVar = [models.Index(fields=["brand", "member"], name="identity_of_member")]

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
    """Two records turned out to be one person: what was moved, so that it can be explained."""

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


class TagDirection(models.TextChoices):
    """Whose word counts for the tags of a group that are kept in step with WeChat."""

    BOTH = "BOTH", _("both ways")
    PUSH = "PUSH", _("only from here to WeChat")
    PULL = "PULL", _("only from WeChat to here")


class TagGroup(BrandOwned):
    """What holds for the tags of one group. Of an exclusive group nobody ever carries two."""

    name = models.CharField(_("name"), max_length=30)
    meaning = models.CharField(_("meaning"), max_length=120, blank=True)
    is_exclusive = models.BooleanField(_("exclusive"), default=False)
    direction = models.CharField(
        _("in step with WeChat"), max_length=10, choices=TagDirection, default=TagDirection.BOTH
    )
    created_at = models.DateTimeField(_("created"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("tag group")
        verbose_name_plural = _("tag groups")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand", "name"], name="tag_group_in_brand")]

    def __str__(self) -> str:
        return self.name


class Tag(BrandOwned):
    """A word the brand puts on people. `sync` says whether it also exists as a tag at WeChat.

    `group` is the name of a `TagGroup`; `lasts_days` is for how long it stays on whom it is given to.
    """

    name = models.CharField(_("name"), max_length=30)
    group = models.CharField(_("tag group"), max_length=30, blank=True)
    meaning = models.CharField(_("meaning"), max_length=120, blank=True)
    owner = models.CharField(_("owner"), max_length=40, blank=True, db_default="")
    lasts_days = models.PositiveSmallIntegerField(_("lasts for days"), null=True, blank=True)
    synonyms = ArrayField(
        models.CharField(max_length=30), verbose_name=_("also called"), default=list, blank=True, db_default=[]
    )
    sync = models.BooleanField(_("keep in step with WeChat"), default=False)
    created_at = models.DateTimeField(_("created"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("tag")
        verbose_name_plural = _("tags")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand", "name"], name="tag_name_in_brand")]

    def __str__(self) -> str:
        return self.name


class MemberTag(BrandOwned):
    """A tag on a person: since when, from where, until when, and what keeps it there.

    `given`: somebody or something gave it (`source`), until `expires_at`; `rule_ids` are the automatic rules that hold
    it as well. It stays as long as either does. `slot` is the exclusive group it takes; nobody has two in one slot.
    """

    member = BrandForeignKey(Member, models.CASCADE, related_name="tags", verbose_name=_("member"))
    tag = BrandForeignKey(Tag, models.CASCADE, related_name="+", verbose_name=_("tag"))
    source = models.CharField(_("source"), max_length=60)
    at = models.DateTimeField(_("since"))
    expires_at = models.DateTimeField(_("until"), null=True, blank=True)
    given = models.BooleanField(default=True, db_default=True)
    rule_ids = ArrayField(models.BigIntegerField(), default=list, blank=True, db_default=[])
    slot = models.BigIntegerField(null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("tag of a member")
        verbose_name_plural = _("tags of members")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "member", "tag"], name="tag_once_per_member"),
            models.UniqueConstraint(
                fields=["brand", "member", "slot"], condition=models.Q(slot__isnull=False), name="one_tag_per_slot"
            ),
            models.CheckConstraint(
                condition=models.Q(given=True) | models.Q(rule_ids__len__gt=0), name="tag_held_by_something"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["brand", "tag", "member"], name="members_of_tag"),
            models.Index(
                fields=["brand", "expires_at"], condition=models.Q(expires_at__isnull=False), name="tagging_ends"
            ),  # the sweep
        ]

    def __str__(self) -> str:
        return f"{self.pk}"


class TagRule(BrandOwned):
    """An automatic tag: whoever fits the rule carries it, and loses it again unless `stays`.

    `after` is how far the run under way has come (keys of members); `run_due_at` is when everybody is looked at next.
    `removed_at` is set while its tags are being taken back; then the row goes.
    """

    name = models.CharField(_("name"), max_length=40)
    tag = BrandForeignKey(Tag, models.CASCADE, related_name="+", verbose_name=_("tag"))
    rule = models.JSONField(_("rule"), default=dict)
    stays = models.BooleanField(_("stays once given"), default=False)
    is_on = models.BooleanField(_("on"), default=True)
    after = models.BigIntegerField(null=True, blank=True)
    run_due_at = models.DateTimeField(null=True, blank=True)
    ran_at = models.DateTimeField(_("looked at everybody"), null=True, blank=True)
    people = models.IntegerField(_("people"), null=True, blank=True)
    blocked = models.IntegerField(default=0)
    problem = models.CharField(_("problem"), max_length=200, blank=True)
    removed_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(_("created"))
    updated_at = models.DateTimeField(_("changed"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("automatic tag")
        verbose_name_plural = _("automatic tags")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand", "name"], name="tag_rule_in_brand")]
        indexes: ClassVar = [
            models.Index(
                fields=["brand", "run_due_at"], condition=models.Q(run_due_at__isnull=False), name="tag_rule_due"
            ),  # the sweep
        ]

    def __str__(self) -> str:
        return self.name


class PreTag(BrandOwned):
    """A tag that waits for somebody: whoever first turns out to have this phone or UnionID gets it, once.

    `value` is the fingerprint of a phone, or a UnionID. It waits until `valid_until`; the tag ends at `tag_until`.
    """

    kind = models.CharField(_("kind"), max_length=20, choices=IdentityKind)
    value = models.CharField(_("value"), max_length=64)
    tag = BrandForeignKey(Tag, models.CASCADE, related_name="+", verbose_name=_("tag"))
    source = models.CharField(_("source"), max_length=60)
    valid_until = models.DateTimeField(_("waits until"), null=True, blank=True)
    tag_until = models.DateTimeField(_("until"), null=True, blank=True)
    at = models.DateTimeField(_("when"))
    applied_at = models.DateTimeField(_("applied"), null=True, blank=True)
    member = BrandForeignKey(Member, models.CASCADE, related_name="+", null=True, blank=True, verbose_name=_("member"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("waiting tag")
        verbose_name_plural = _("waiting tags")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["brand", "kind", "value", "tag"],
                condition=models.Q(applied_at__isnull=True),
                name="waiting_tag_once",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["brand", "source"], name="waiting_tags_of_source")]  # the page

    def __str__(self) -> str:
        return f"{self.pk}"


class FactDue(BrandOwned):
    """Something happened to a person that automatic tags may depend on; the row goes once they were looked at."""

    member = BrandForeignKey(Member, models.CASCADE, related_name="+")
    kind = models.CharField(max_length=40)
    at = models.DateTimeField()  # the database's clock: how long it waits

    class Meta(BrandOwned.Meta):
        verbose_name = _("fact to look at")
        verbose_name_plural = _("facts to look at")
        indexes: ClassVar = [models.Index(fields=["brand", "member"], name="facts_of_member")]

    def __str__(self) -> str:
        return f"{self.pk} {self.kind}"


class FactChange(BrandOwned):
    """What a fact of a person was before and after a moment, so that a rule can be asked about the past.

    `what` and `ref` name the fact: a tag and its id, or following. Empty text means no.
    """

    member = BrandForeignKey(Member, models.CASCADE, related_name="+")
    what = models.CharField(max_length=20)
    ref = models.BigIntegerField(default=0)
    before = models.CharField(max_length=60, blank=True)
    after = models.CharField(max_length=60, blank=True)
    source = models.CharField(max_length=60, blank=True)
    at = models.DateTimeField()

    class Meta(BrandOwned.Meta):
        verbose_name = _("change of a fact")
        verbose_name_plural = _("changes of facts")
        indexes: ClassVar = [
            models.Index(fields=["brand", "member", "what", "ref", "at", "id"], name="facts_in_the_past")
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.what}"


class RemoteTag(BrandOwned):
    """A tag as one service account knows it: WeChat's id, and how the last comparison went."""

    account = BrandForeignKey(OfficialAccount, models.PROTECT, related_name="+", verbose_name=_("service account"))
    tag = BrandForeignKey(Tag, models.CASCADE, related_name="remotes", verbose_name=_("tag"))
    remote_id = models.IntegerField(_("id at WeChat"))
    synced_at = models.DateTimeField(_("last in step"), null=True, blank=True)
    problem = models.CharField(_("problem"), max_length=200, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("tag at WeChat")
        verbose_name_plural = _("tags at WeChat")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "account", "tag"], name="tag_once_per_account"),
            models.UniqueConstraint(fields=["brand", "account", "remote_id"], name="remote_tag_once"),
        ]

    def __str__(self) -> str:
        return f"{self.pk}"


class RemoteTagging(BrandOwned):
    """What WeChat was last known to hold: the common ground from which both sides' changes are told apart."""

    remote_tag = BrandForeignKey(RemoteTag, models.CASCADE, related_name="+")
    follower = BrandForeignKey(Follower, models.CASCADE, related_name="+")

    class Meta(BrandOwned.Meta):
        verbose_name = _("tagging at WeChat")
        verbose_name_plural = _("taggings at WeChat")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "remote_tag", "follower"], name="remote_tagging_once"),
        ]

    def __str__(self) -> str:
        return f"{self.pk}"


class Segment(BrandOwned):
    """A named rule over people; the rule is JSON that the conditions of `segment_conditions` understand."""

    name = models.CharField(_("name"), max_length=60)
    rule = models.JSONField(_("rule"), default=dict)
    counted = models.IntegerField(_("people"), null=True, blank=True)
    counted_at = models.DateTimeField(_("counted"), null=True, blank=True)
    created_at = models.DateTimeField(_("created"))
    updated_at = models.DateTimeField(_("changed"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("segment")
        verbose_name_plural = _("segments")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand", "name"], name="segment_name_in_brand")]

    def __str__(self) -> str:
        return self.name


class Grouping(BrandOwned):
    """Everybody sorted into stages: each person stands in the first of the segments that fits, or in none.

    `stages` are ids of segments in order; a new version begins whenever they or their rules change.
    """

    name = models.CharField(_("name"), max_length=40)
    stages = models.JSONField(_("stages"), default=list)
    version = models.PositiveIntegerField(_("version"), default=1)
    is_monthly = models.BooleanField(_("snapshot every month"), default=True)
    problem = models.CharField(_("problem"), max_length=200, blank=True)
    created_at = models.DateTimeField(_("created"))
    updated_at = models.DateTimeField(_("changed"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("grouping")
        verbose_name_plural = _("groupings")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand", "name"], name="grouping_in_brand")]

    def __str__(self) -> str:
        return self.name


class Snapshot(BrandOwned):
    """Who stood where at a moment. Never changes: `stages` holds names, rules and sentences as they were then."""

    grouping = BrandForeignKey(Grouping, models.CASCADE, related_name="+", verbose_name=_("grouping"))
    version = models.PositiveIntegerField(_("version"))
    month = models.DateField(_("month"), null=True, blank=True)
    at = models.DateTimeField(_("taken"))
    stages = models.JSONField(_("stages"), default=list)
    counts = models.JSONField(_("people"), default=list)

    class Meta(BrandOwned.Meta):
        verbose_name = _("snapshot")
        verbose_name_plural = _("snapshots")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["brand", "grouping", "month"],
                condition=models.Q(month__isnull=False),
                name="one_snapshot_a_month",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["brand", "grouping", "-at"], name="snapshot_newest")]

    def __str__(self) -> str:
        return f"{self.pk}"


class SnapshotMember(BrandOwned):
    """Where one person stood in a snapshot: number of the stage, or -1 for none."""

    snapshot = BrandForeignKey(Snapshot, models.CASCADE, related_name="+")
    member = BrandForeignKey(Member, models.CASCADE, related_name="+")
    stage = models.SmallIntegerField()

    class Meta(BrandOwned.Meta):
        verbose_name = _("person in a snapshot")
        verbose_name_plural = _("people in snapshots")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "snapshot", "member"], name="once_in_a_snapshot"),
        ]

    def __str__(self) -> str:
        return f"{self.pk}"


class Purpose(models.TextChoices):
    """What the brand may use a person's data for."""

    SERVICE = "SERVICE", _("Service notices")
    MARKETING = "MARKETING", _("Marketing")


class Consent(BrandOwned):
    """One statement of a person about one purpose. Append-only: the newest row per purpose is in force."""

    member = BrandForeignKey(Member, models.PROTECT, related_name="consents", verbose_name=_("member"))
    purpose = models.CharField(_("purpose"), max_length=20, choices=Purpose)
    granted = models.BooleanField(_("agreed"))
    text_version = models.CharField(_("text version"), max_length=20)
    source = models.CharField(_("source"), max_length=40)
    at = models.DateTimeField(_("when"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("consent")
        verbose_name_plural = _("consents")
        indexes: ClassVar = [models.Index(fields=["brand", "member", "purpose", "-at", "-id"], name="consent_newest")]

    def __str__(self) -> str:
        return f"{self.pk} {self.purpose}"


class OptOut(BrandOwned):
    """A purpose for which somebody must not be written to, as every sender looks it up: a row is there while any holds.

    `withdrawn`: they took the consent back; `listed`: they are on the brand's list; `control`: they are in the global
    control group. Senders need to know only whether there is a row.
    """

    member = BrandForeignKey(Member, models.PROTECT, related_name="+", verbose_name=_("member"))
    purpose = models.CharField(_("purpose"), max_length=20, choices=Purpose)
    at = models.DateTimeField(_("when"))
    withdrawn = models.BooleanField(default=True, db_default=True)
    listed = models.BooleanField(default=False, db_default=False)
    control = models.BooleanField(default=False, db_default=False)

    class Meta(BrandOwned.Meta):
        verbose_name = _("opt-out")
        verbose_name_plural = _("opt-outs")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "member", "purpose"], name="opted_out_once"),
            models.CheckConstraint(
                condition=models.Q(withdrawn=True) | models.Q(listed=True) | models.Q(control=True),
                name="opted_out_for_a_reason",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pk}"


class Suppression(BrandOwned):
    """Somebody whom the brand does not write to for marketing: why, by whom, until when."""

    member = BrandForeignKey(Member, models.CASCADE, related_name="+", verbose_name=_("member"))
    reason = models.CharField(_("reason"), max_length=120)
    by = models.CharField(_("added by"), max_length=60, blank=True)
    at = models.DateTimeField(_("since"))
    until = models.DateTimeField(_("until"), null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("entry of the do-not-send list")
        verbose_name_plural = _("do-not-send list")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand", "member"], name="suppressed_once")]
        indexes: ClassVar = [
            models.Index(fields=["brand", "-at"], name="suppressed_newest"),  # the list
            models.Index(
                fields=["brand", "until"], condition=models.Q(until__isnull=False), name="suppression_ends"
            ),  # the sweep
        ]

    def __str__(self) -> str:
        return f"{self.pk}"


class ControlGroup(BrandOwned):
    """The share of people who never get marketing, so that its effect can be measured.

    Who belongs to it follows from `salt` and the person alone: `bucket < per_mille`. It never changes but with the
    share, and a smaller share is always a part of a larger one.
    """

    per_mille = models.PositiveSmallIntegerField(_("share"), default=0)
    salt = models.CharField(max_length=32)
    changed_at = models.DateTimeField(_("changed"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("control group")
        verbose_name_plural = _("control groups")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand"], name="one_control_group"),
            models.CheckConstraint(condition=models.Q(per_mille__lte=500), name="control_group_is_a_part"),
        ]

    def __str__(self) -> str:
        return f"{self.per_mille}"


class PrivacyPolicy(BrandOwned):
    """How long a brand keeps what somebody left; a brand without a row uses these defaults."""

    unfollow_grace_days = models.PositiveSmallIntegerField(_("days after an unfollow"), default=7)
    withdrawal_days = models.PositiveSmallIntegerField(_("days after a withdrawal"), default=0)
    updated_at = models.DateTimeField(_("changed"), null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("privacy policy")
        verbose_name_plural = _("privacy policies")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand"], name="one_privacy_policy")]

    def __str__(self) -> str:
        return f"{self.unfollow_grace_days}"


class ErasureReason(models.TextChoices):
    """What started an erasure clock."""

    UNFOLLOWED = "UNFOLLOWED", _("Unfollowed")
    REVOKED = "REVOKED", _("Withdrew an authorisation at WeChat")
    MODIFIED = "MODIFIED", _("Changed the profile at WeChat")
    CANCELLED = "CANCELLED", _("Closed the WeChat account")


class ErasureState(models.TextChoices):
    """How an erasure clock stands."""

    RUNNING = "RUNNING", _("Running")
    STOPPED = "STOPPED", _("Stopped: follows again")
    DONE = "DONE", _("Done")


class ErasureClock(BrandOwned):
    """A follower's data on its way to deletion: since when, until when, and what was deleted in the end.

    `what` is WeChat's RevokeInfo. `erased` maps kinds of data to how many rows went; nothing of what they held.
    """

    follower = BrandForeignKey(Follower, models.PROTECT, related_name="+", verbose_name=_("follower"))
    reason = models.CharField(_("reason"), max_length=20, choices=ErasureReason)
    what = models.CharField(_("withdrawn"), max_length=40, blank=True)
    started_at = models.DateTimeField(_("since"))
    due_at = models.DateTimeField(_("deleted at"))
    state = models.CharField(_("state"), max_length=12, choices=ErasureState, default=ErasureState.RUNNING)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    erased = models.JSONField(_("deleted"), default=dict)

    class Meta(BrandOwned.Meta):
        verbose_name = _("erasure")
        verbose_name_plural = _("erasures")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["brand", "follower", "reason"],
                condition=models.Q(state="RUNNING"),
                name="one_running_clock",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["brand", "due_at"], condition=models.Q(state="RUNNING"), name="erasure_due"),
            models.Index(fields=["brand", "-started_at"], name="erasure_newest"),  # the list
            models.Index(fields=["brand", "follower"], name="erasures_of_follower"),  # the member's page
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.reason}"
