"""The ledger: journals whose legs sum to zero, lots with a day on which they end, and what is kept beside them."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts.models import StaffUser
from accounts.tenancy import BrandForeignKey, BrandOwned
from members.models import Member


class JournalKind(models.TextChoices):
    """What happened to points."""

    EARN = "EARN", pgettext_lazy("points", "Earned")
    BURN = "BURN", pgettext_lazy("points", "Spent")
    FREEZE = "FREEZE", pgettext_lazy("points", "Frozen")
    CAPTURE = "CAPTURE", pgettext_lazy("points", "Frozen points spent")
    RELEASE = "RELEASE", pgettext_lazy("points", "Released")
    RETURN = "RETURN", pgettext_lazy("points", "Returned")
    CLAWBACK = "CLAWBACK", pgettext_lazy("points", "Taken back")
    EXPIRE = "EXPIRE", pgettext_lazy("points", "Expired")
    REINSTATE = "REINSTATE", pgettext_lazy("points", "Reinstated")
    ADJUST = "ADJUST", pgettext_lazy("points", "Adjusted")
    GIFT = "GIFT", pgettext_lazy("points", "Given away")
    MERGE = "MERGE", pgettext_lazy("points", "Records merged")
    UNMERGE = "UNMERGE", pgettext_lazy("points", "Merge undone")
    ERASE = "ERASE", pgettext_lazy("points", "Lapsed with the personal data")


class Pocket(models.TextChoices):
    """Where a leg stands: the first three are a member's, the others the brand's."""

    AVAILABLE = "AVAILABLE", _("available")
    HELD = "HELD", _("frozen")
    OWED = "OWED", _("owed by the member")
    ISSUED = "ISSUED", _("issued")
    REDEEMED = "REDEEMED", _("redeemed")
    EXPIRED = "EXPIRED", _("expired")
    ADJUSTED = "ADJUSTED", _("adjusted")
    FORGIVEN = "FORGIVEN", _("not taken back")


MEMBERS_POCKETS = (Pocket.AVAILABLE, Pocket.HELD, Pocket.OWED)


class Journal(BrandOwned):
    """One act on points. Never changed, never deleted; the same key of the same actor is the same act.

    `fingerprint` says what was asked for, so that a key used for something else is noticed. `available`, `held` and
    `owed` are the member's balance right after the act. `number` is the caller's (an order, a refund).
    """

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    kind = models.CharField(_("what happened"), max_length=10, choices=JournalKind)
    actor = models.CharField(_("who"), max_length=40)
    key = models.CharField(_("operation key"), max_length=120)
    fingerprint = models.UUIDField()
    member = BrandForeignKey(Member, models.PROTECT, related_name="+", verbose_name=_("member"))
    other = BrandForeignKey(
        Member, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("other side")
    )
    points = models.BigIntegerField(_("points"))
    source = models.CharField(_("source"), max_length=40)
    number = models.CharField(_("number"), max_length=64, blank=True)
    reason = models.CharField(_("reason"), max_length=200, blank=True)
    reverses = BrandForeignKey("self", models.PROTECT, null=True, blank=True, related_name="+")
    detail = models.JSONField(_("details"), default=dict)
    available = models.BigIntegerField(_("available afterwards"))
    held = models.BigIntegerField(_("frozen afterwards"))
    owed = models.BigIntegerField(_("owed afterwards"))
    at = models.DateTimeField(_("when"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("entry of the points ledger")
        verbose_name_plural = _("points ledger")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "actor", "key"], name="journal_operation_once"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["brand", "member", "-id"], name="journals_of_member"),  # a member's ledger
            models.Index(fields=["brand", "reverses"], condition=Q(reverses__isnull=False), name="journal_reversals"),
            models.Index(fields=["brand", "source", "number"], condition=~Q(number=""), name="journal_by_number"),
            models.Index(fields=["brand", "other", "member"], condition=Q(kind="GIFT"), name="journal_gifts"),  # rings
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.kind}"


class Lot(BrandOwned):
    """Points that came at once and end at once. `remaining` can be spent, `held` is frozen; both follow the ledger."""

    member = BrandForeignKey(Member, models.PROTECT, related_name="+", verbose_name=_("member"))
    journal = BrandForeignKey(Journal, models.PROTECT, related_name="+", verbose_name=_("came by"))
    granted = models.BigIntegerField(_("points"))
    remaining = models.BigIntegerField(_("left"))
    held = models.BigIntegerField(_("frozen"), default=0)
    earned_at = models.DateTimeField(_("earned"))
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("lot of points")
        verbose_name_plural = _("lots of points")
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(remaining__gte=0, held__gte=0, granted__gt=0) & Q(granted__gte=F("remaining") + F("held")),
                name="lot_is_whole",
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["brand", "member", "expires_at"], condition=Q(remaining__gt=0), name="lots_to_spend"
            ),  # soonest expiring first
            models.Index(
                fields=["brand", "expires_at"],
                condition=Q(remaining__gt=0, expires_at__isnull=False),
                name="lots_to_expire",
            ),  # the sweep, warnings
            models.Index(fields=["brand", "member"], name="lots_of_member"),  # merges
            models.Index(fields=["brand", "journal"], name="lots_of_journal"),  # refunds
        ]

    def __str__(self) -> str:
        return f"{self.pk}"


class Entry(BrandOwned):
    """One leg of a journal: so many points into (or out of) a pocket. Never changed, never deleted."""

    journal = BrandForeignKey(
        Journal, models.PROTECT, related_name="entries", verbose_name=_("entry of the points ledger")
    )
    pocket = models.CharField(_("pocket"), max_length=10, choices=Pocket)
    member = BrandForeignKey(Member, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("member"))
    lot = BrandForeignKey(Lot, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("lot of points"))
    points = models.BigIntegerField(_("points"))
    at = models.DateTimeField(_("when"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("leg of the points ledger")
        verbose_name_plural = _("legs of the points ledger")
        constraints: ClassVar = [
            models.CheckConstraint(condition=~Q(points=0), name="entry_moves_something"),
            models.CheckConstraint(
                condition=(
                    Q(pocket__in=["AVAILABLE", "HELD"], member__isnull=False, lot__isnull=False)
                    | Q(pocket="OWED", member__isnull=False, lot__isnull=True)
                    | Q(~Q(pocket__in=["AVAILABLE", "HELD", "OWED"]), member__isnull=True, lot__isnull=True)
                ),
                name="entry_in_its_pocket",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["brand", "journal"], name="entries_of_journal"),
            models.Index(fields=["brand", "lot"], condition=Q(lot__isnull=False), name="entries_of_lot"),
            models.Index(fields=["brand", "at", "pocket"], include=["points"], name="entries_by_time"),  # liability
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.pocket}"


class Account(BrandOwned):
    """What a member has, as the ledger says it: the row every decision about their points locks."""

    member = BrandForeignKey(Member, models.PROTECT, related_name="+", verbose_name=_("member"))
    available = models.BigIntegerField(_("available"), default=0)
    held = models.BigIntegerField(_("frozen"), default=0)
    owed = models.BigIntegerField(_("owed"), default=0)
    active_at = models.DateTimeField(_("last earned or spent"), null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("points account")
        verbose_name_plural = _("points accounts")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "member"], name="one_points_account"),
            models.CheckConstraint(
                condition=Q(available__gte=0, held__gte=0, owed__gte=0), name="account_is_not_negative"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pk}"


class HoldState(models.TextChoices):
    """How a freeze stands."""

    HELD = "HELD", pgettext_lazy("points", "Frozen")
    CAPTURED = "CAPTURED", pgettext_lazy("points", "Spent")
    RELEASED = "RELEASED", pgettext_lazy("points", "Released")


class Hold(BrandOwned):
    """Points set aside for something that is not yet certain, until it is, or until its time is over."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    member = BrandForeignKey(Member, models.PROTECT, related_name="+", verbose_name=_("member"))
    journal = BrandForeignKey(Journal, models.PROTECT, related_name="+", verbose_name=_("frozen by"))
    points = models.BigIntegerField(_("points"), validators=[MinValueValidator(1)])
    state = models.CharField(_("state"), max_length=10, choices=HoldState, default=HoldState.HELD)
    until = models.DateTimeField(_("released at"))
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("freeze of points")
        verbose_name_plural = _("freezes of points")
        indexes: ClassVar = [
            models.Index(fields=["brand", "until"], condition=Q(state="HELD"), name="holds_to_release"),
            models.Index(fields=["brand", "member"], condition=Q(state="HELD"), name="holds_of_member"),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.state}"


class ExpiryKind(models.TextChoices):
    """When points end."""

    NEVER = "NEVER", _("Never")
    ROLLING = "ROLLING", _("So many months after they were earned")
    MONTH_END = "MONTH_END", _("At the end of the month, so many months later")
    YEAR_END = "YEAR_END", _("At the end of the year, so many years later")
    ACTIVITY = "ACTIVITY", _("So many months after the last time points were earned or spent")


class NegativePolicy(models.TextChoices):
    """What happens when a refund takes back more points than somebody has left."""

    CAP = "CAP", _("Take back what is there; the rest is the brand's cost")
    ALLOW = "ALLOW", _("They owe the rest; what they earn next pays it")
    BLOCK = "BLOCK", _("Refuse the refund")


class PointsPolicy(BrandOwned):
    """How a brand's points work; a brand without a row uses these defaults."""

    expiry = models.CharField(_("points expire"), max_length=10, choices=ExpiryKind, default=ExpiryKind.YEAR_END)
    expiry_span = models.PositiveSmallIntegerField(
        _("months (years)"), default=1, validators=[MinValueValidator(0), MaxValueValidator(120)]
    )
    warn_days = models.PositiveSmallIntegerField(
        _("days of warning"), default=30, validators=[MinValueValidator(1), MaxValueValidator(180)]
    )
    warn_text = models.CharField(
        _("what they are told"),
        max_length=200,
        blank=True,
        default="您有 {points} 积分即将到期：{lots}。记得使用。",
    )
    reinstate_days = models.PositiveSmallIntegerField(
        _("days in which expired points can come back"), default=14, validators=[MaxValueValidator(365)]
    )
    negative = models.CharField(_("when points are missing"), max_length=6, choices=NegativePolicy, default="CAP")
    adjust_limit = models.PositiveIntegerField(_("adjusted without a second person, up to"), default=1000)
    hold_minutes = models.PositiveIntegerField(
        _("minutes until frozen points are released"),
        default=60,
        validators=[MinValueValidator(1), MaxValueValidator(43200)],
    )
    cost_per_100 = models.PositiveIntegerField(_("cost of 100 points, in fen"), default=100)
    # What 100 points cost before, oldest first: [{"until": moment, "cost": fen}].
    past_costs = models.JSONField(editable=False, db_default=models.Value([], models.JSONField()), default=list)
    tier_months = models.PositiveSmallIntegerField(
        _("months a tier lasts"), default=12, validators=[MinValueValidator(1), MaxValueValidator(60)]
    )
    tier_grace_days = models.PositiveSmallIntegerField(
        _("days of grace"), default=90, validators=[MaxValueValidator(365)]
    )
    updated_at = models.DateTimeField(_("changed"), null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("points settings")
        verbose_name_plural = _("points settings")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand"], name="one_points_policy")]

    def __str__(self) -> str:
        return f"{self.expiry}"


class AdjustmentState(models.TextChoices):
    """How a correction by hand stands."""

    PENDING = "PENDING", pgettext_lazy("adjustment", "Waits for approval")
    DONE = "DONE", pgettext_lazy("adjustment", "Done")
    REJECTED = "REJECTED", pgettext_lazy("adjustment", "Rejected")


class Adjustment(BrandOwned):
    """A correction by hand: who asked for it, why, and who else agreed where the limit wants it.

    `earlier`: what they had given (or taken) that member alone in the day before; the limit is for all of it together.
    `key`: names the form it was asked for with, which may be sent twice.
    """

    member = BrandForeignKey(Member, models.PROTECT, related_name="+", verbose_name=_("member"))
    points = models.BigIntegerField(_("points"))
    reason = models.CharField(_("reason"), max_length=200)
    state = models.CharField(_("state"), max_length=10, choices=AdjustmentState, default=AdjustmentState.PENDING)
    asked_by = models.ForeignKey(StaffUser, models.DO_NOTHING, null=True, related_name="+", verbose_name=_("asked by"))
    asked_at = models.DateTimeField(_("asked"))
    decided_by = models.ForeignKey(
        StaffUser, models.DO_NOTHING, null=True, blank=True, related_name="+", verbose_name=_("decided by")
    )
    decided_at = models.DateTimeField(_("decided"), null=True, blank=True)
    note = models.CharField(_("note"), max_length=200, blank=True)
    journal = BrandForeignKey(Journal, models.PROTECT, null=True, blank=True, related_name="+")
    earlier = models.PositiveBigIntegerField(default=0, db_default=0, editable=False)
    key = models.CharField(max_length=80, blank=True, default="", db_default="", editable=False)

    class Meta(BrandOwned.Meta):
        verbose_name = _("points adjustment")
        verbose_name_plural = _("points adjustments")
        constraints: ClassVar = [
            models.CheckConstraint(condition=~Q(points=0), name="adjustment_moves_something"),
            models.CheckConstraint(
                condition=Q(decided_by__isnull=True) | Q(asked_by__isnull=True) | ~Q(decided_by=F("asked_by")),
                name="adjustment_by_two_people",
            ),
            models.UniqueConstraint(fields=["brand", "asked_by", "key"], condition=~Q(key=""), name="adjustment_once"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["brand", "-id"], condition=Q(state="PENDING"), name="adjustments_waiting"),
            models.Index(fields=["brand", "member"], name="adjustments_of_member"),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.points:+d}"


class Unreached(models.TextChoices):
    """Why nobody could tell a person something, when it was last tried."""

    REFUSED = "REFUSED", _("Wants no service notices")
    NOT_FOLLOWING = "NOT_FOLLOWING", _("Follows no service account")
    NO_WINDOW = "NO_WINDOW", _("Has not written or tapped lately, so WeChat lets no message through")
    NO_CONSENT = "NO_CONSENT", _("Cannot be written to now, and has agreed to no subscribe notification about it")
    UNFIT = "UNFIT", _("Cannot be written to now, and the notification cannot be filled in for them")
    FAILED = "FAILED", _("The message did not leave; another way or a later try follows")
    BLOCKED = "BLOCKED", _("WeChat took it and reported later that they refuse messages of the service account")
    LOST = "LOST", _("WeChat took it and reported later that it could not be delivered")
    LATER = "LATER", _("Was told something of the kind today; follows on another day")
    NOTHING_LEFT = "NOTHING_LEFT", _("No longer true: used, prolonged or changed before it was told")


class ExpiryWarning(BrandOwned):
    """Somebody is to be told that points end on a day: which lots, and how many points of each, when last looked at.

    `way` says how they were told, `why` why nobody could when it was last tried. `ways_held` are ways that failed, each
    with the moment before which it is not asked again.
    """

    member = BrandForeignKey(Member, models.PROTECT, related_name="+", verbose_name=_("member"))
    day = models.DateField(_("day"))
    points = models.BigIntegerField(_("points"))
    lots = models.JSONField(_("lots of points"), default=list)
    at = models.DateTimeField(_("when"))
    way = models.CharField(_("told by"), max_length=40, blank=True, db_default="", default="")
    why = models.CharField(_("why not"), max_length=14, choices=Unreached, blank=True, db_default="", default="")
    tried_at = models.DateTimeField(null=True, blank=True, editable=False)
    ways_held = models.JSONField(
        default=dict, blank=True, editable=False, db_default=models.Value({}, models.JSONField())
    )

    class Meta(BrandOwned.Meta):
        verbose_name = _("warning that points expire")
        verbose_name_plural = _("warnings that points expire")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "member", "day"], name="warned_once_a_day"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["brand", "day", "id"], condition=Q(way=""), name="warnings_to_carry"),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.day}"


class MergedAssets(BrandOwned):
    """What of the ledger moved when two records became one, row by row, so that undoing it moves exactly that back."""

    kept = BrandForeignKey(Member, models.PROTECT, related_name="+", verbose_name=_("kept"))
    merged = BrandForeignKey(Member, models.PROTECT, related_name="+", verbose_name=_("merged"))
    moved = models.JSONField(_("moved"), default=dict)
    at = models.DateTimeField(_("when"))
    undone_at = models.DateTimeField(_("undone"), null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("points of merged records")
        verbose_name_plural = _("points of merged records")
        indexes: ClassVar = [models.Index(fields=["brand", "merged", "-id"], name="assets_of_merged")]

    def __str__(self) -> str:
        return f"{self.pk}"
