"""Tags: the dictionary, who has which and why, and what WeChat has of them."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.tenancy import BrandForeignKey, BrandOwned
from members.models.people import Follower, IdentityKind, Member
from wechat_gateway.models import OfficialAccount


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

    `is_shown`: whoever carries it sees it in the mini program.
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
    is_shown = models.BooleanField(_("shown to the member"), default=False, db_default=False)
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

    `what` and `ref` name the fact: a tag and its id, following, the home store, city or birthday. Empty text means no.
    For an act (written by a trigger, for the first of a day) `before` is when they had last been heard of until then.
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


class RemoteTagState(models.TextChoices):
    """What a tag at WeChat waits for."""

    LEAVING = "LEAVING", _("being deleted at WeChat")
    FILLING = "FILLING", _("being made at WeChat")


class RemoteTag(BrandOwned):
    """A tag as one service account knows it: WeChat's id, and how the last comparison went.

    One that is being made again (FILLING) takes its people from here, whatever direction its group declares.
    `refused_code` is why WeChat did not delete it.
    """

    account = BrandForeignKey(OfficialAccount, models.PROTECT, related_name="+", verbose_name=_("service account"))
    tag = BrandForeignKey(Tag, models.CASCADE, related_name="remotes", verbose_name=_("tag"))
    remote_id = models.IntegerField(_("id at WeChat"))
    agreed_name = models.CharField(max_length=30, blank=True, db_default="")  # what both sides called it last
    synced_at = models.DateTimeField(_("last in step"), null=True, blank=True)
    problem = models.CharField(_("problem"), max_length=200, blank=True)
    state = models.CharField(max_length=10, choices=RemoteTagState, blank=True, db_default="")
    refused_code = models.IntegerField(null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("tag at WeChat")
        verbose_name_plural = _("tags at WeChat")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "account", "tag"], name="tag_once_per_account"),
            models.UniqueConstraint(fields=["brand", "account", "remote_id"], name="remote_tag_once"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["brand", "account"], condition=models.Q(state="LEAVING"), name="tags_that_leave"),
        ]  # the sweep

    def __str__(self) -> str:
        return f"{self.pk}"


class TagRoll(BrandOwned):
    """All tags that one service account has at WeChat, as WeChat told last: [{"id", "name", "count"}].

    `wanted` are tags of ours that are to be made there again though their group is only kept from WeChat to here.
    """

    account = BrandForeignKey(OfficialAccount, models.CASCADE, related_name="+", verbose_name=_("service account"))
    tags = models.JSONField(default=list)
    wanted = models.JSONField(default=list)
    read_at = models.DateTimeField(null=True, blank=True)
    problem = models.CharField(_("problem"), max_length=200, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("list of tags at WeChat")
        verbose_name_plural = _("lists of tags at WeChat")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand", "account"], name="one_tag_roll_per_account")]

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
