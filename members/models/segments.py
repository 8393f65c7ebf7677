"""Segments, their groupings and snapshots, and who is left out of everything."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.tenancy import BrandForeignKey, BrandOwned
from members.models.people import Member


class Freshness(models.TextChoices):
    """How old the people of a segment may be: found at every use, or kept and brought up to date."""

    LIVE = "LIVE", _("At every use")
    MINUTES = "MINUTES", _("Every 5 minutes")
    DAILY = "DAILY", _("Every day")


class Segment(BrandOwned):
    """A named rule over people; the rule is JSON that the conditions of `segment_conditions` understand.

    Unless it is LIVE its people are kept (`SegmentMember`): as of `refreshed_at`, found anew from scratch at
    `rebuild_at`. Nothing is sent to people kept for longer than `limit_minutes` (0: what is usual, see
    `members.freshness`). `problem` says why the last refresh failed.
    """

    name = models.CharField(_("name"), max_length=60)
    rule = models.JSONField(_("rule"), default=dict)
    freshness = models.CharField(
        _("brought up to date"), max_length=8, choices=Freshness, default=Freshness.LIVE, db_default=Freshness.LIVE
    )
    limit_minutes = models.PositiveIntegerField(_("oldest for sending, in minutes"), default=0, db_default=0)
    refreshed_at = models.DateTimeField(_("people as of"), null=True, blank=True)
    rebuild_at = models.DateTimeField(_("found anew at"), null=True, blank=True)
    problem = models.CharField(_("problem"), max_length=200, blank=True, default="", db_default="")
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


class SegmentMember(BrandOwned):
    """Somebody who is in a kept segment, since when. No keys: one statement writes them by the hundred thousand."""

    brand = models.ForeignKey(
        "accounts.Brand",
        on_delete=models.DO_NOTHING,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    segment = BrandForeignKey(Segment, models.CASCADE, guarded=True, related_name="+", verbose_name=_("segment"))
    member_id = models.BigIntegerField()
    since = models.DateTimeField(_("since"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("person in a segment")
        verbose_name_plural = _("people in segments")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "segment", "member_id"], name="once_in_a_segment"),
        ]

    def __str__(self) -> str:
        return f"{self.pk}"


class SegmentDue(BrandOwned):
    """Somebody of whom something changed that segments ask about; triggers write it with the change itself."""

    member_id = models.BigIntegerField()

    class Meta(BrandOwned.Meta):
        verbose_name = _("person to look at for segments")
        verbose_name_plural = _("people to look at for segments")

    def __str__(self) -> str:
        return f"{self.pk}"


class Grouping(BrandOwned):
    """Everybody sorted into stages: each person stands in the first of the segments that fits, or in none.

    `stages` are ids of segments in order; a new version begins whenever they or their rules change. With a `recipe`
    (see `members.recipes`) the rules follow from `settings`, and moves between the stages are written down day by day:
    last at `tracked_at`, of `tracked_version`.
    """

    name = models.CharField(_("name"), max_length=40)
    stages = models.JSONField(_("stages"), default=list)
    version = models.PositiveIntegerField(_("version"), default=1)
    is_monthly = models.BooleanField(_("snapshot every month"), default=True)
    recipe = models.CharField(_("recipe"), max_length=20, blank=True, default="", db_default="")
    settings = models.JSONField(_("settings"), default=dict, blank=True)
    tracked_at = models.DateTimeField(null=True, blank=True)
    tracked_version = models.PositiveIntegerField(default=0, db_default=0)
    problem = models.CharField(_("problem"), max_length=200, blank=True)
    created_at = models.DateTimeField(_("created"))
    updated_at = models.DateTimeField(_("changed"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("grouping")
        verbose_name_plural = _("groupings")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand", "name"], name="grouping_in_brand")]

    def __str__(self) -> str:
        return self.name


class GroupingVersion(BrandOwned):
    """What the stages of a grouping meant from a moment on: names, rules and sentences. Never changes."""

    grouping = BrandForeignKey(Grouping, models.CASCADE, related_name="+", verbose_name=_("grouping"))
    number = models.PositiveIntegerField(_("version"))
    settings = models.JSONField(_("settings"), default=dict)
    stages = models.JSONField(_("stages"), default=list)
    since = models.DateTimeField(_("since"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("version of a grouping")
        verbose_name_plural = _("versions of groupings")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "grouping", "number"], name="grouping_version_once"),
        ]

    def __str__(self) -> str:
        return f"{self.pk}"


class StageMember(BrandOwned):
    """The stage somebody stands in, as last written down: id of the segment, 0 for none."""

    grouping = BrandForeignKey(Grouping, models.CASCADE, related_name="+")
    member_id = models.BigIntegerField()
    stage_id = models.BigIntegerField()
    since = models.DateTimeField()

    class Meta(BrandOwned.Meta):
        verbose_name = _("person in a stage")
        verbose_name_plural = _("people in stages")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "grouping", "member_id"], name="one_stage_at_a_time"),
        ]

    def __str__(self) -> str:
        return f"{self.pk}"


class StageMove(BrandOwned):
    """Somebody moved from one stage to another (ids of segments, 0 for none); `before_id` is empty for who is new."""

    grouping = BrandForeignKey(Grouping, models.CASCADE, related_name="+", verbose_name=_("grouping"))
    member_id = models.BigIntegerField()
    before_id = models.BigIntegerField(null=True, blank=True)
    after_id = models.BigIntegerField()
    at = models.DateTimeField(_("when"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("move between stages")
        verbose_name_plural = _("moves between stages")
        indexes: ClassVar = [
            models.Index(fields=["brand", "member_id", "-at"], name="stage_moves_of_member"),  # segments, why
            models.Index(fields=["brand", "grouping", "-at"], name="stage_moves_newest"),  # the page
        ]

    def __str__(self) -> str:
        return f"{self.pk}"


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
