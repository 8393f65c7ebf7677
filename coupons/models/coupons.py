"""Coupons as they stand, every move of theirs, and the codes they come by or are shown by."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts.models import StaffUser
from accounts.tenancy import BrandForeignKey, BrandOwned
from coupons.models.templates import CodeBatch, Template, TemplateVersion
from loyalty.models import Hold
from members.models import Member
from stores.models import Store


class State(models.TextChoices):
    """How a coupon stands."""

    UNUSED = "UNUSED", pgettext_lazy("coupon", "Not used")
    HELD = "HELD", pgettext_lazy("coupon", "Set aside for an order")
    USED = "USED", pgettext_lazy("coupon", "Used")
    EXPIRED = "EXPIRED", pgettext_lazy("coupon", "Expired")
    VOID = "VOID", pgettext_lazy("coupon", "Taken back")


class Way(models.TextChoices):
    """How a coupon came to its member."""

    CLAIM = "CLAIM", pgettext_lazy("coupon", "Claimed")
    PUSH = "PUSH", pgettext_lazy("coupon", "Given by the brand")
    GUIDE = "GUIDE", pgettext_lazy("coupon", "Handed out")
    CODE = "CODE", pgettext_lazy("coupon", "By a code")
    EXCHANGE = "EXCHANGE", pgettext_lazy("coupon", "For points")
    SYSTEM = "SYSTEM", pgettext_lazy("coupon", "By another system")
    TIER = "TIER", pgettext_lazy("coupon", "Benefit of a tier")
    SCAN = "SCAN", pgettext_lazy("coupon", "By scanning a channel code")
    PURCHASE = "PURCHASE", pgettext_lazy("coupon", "After a purchase")
    BIRTHDAY = "BIRTHDAY", pgettext_lazy("coupon", "For a birthday")


class Coupon(BrandOwned):
    """One coupon of one member. `nth` counts a member's coupons of a template: its index is the last word on limits.

    One that was never paid for (points came back) counts no more: its `nth` is empty.

    State, order and store repeat the last move; the row is locked for every decision about it.
    """

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    template = BrandForeignKey(Template, models.PROTECT, related_name="+", verbose_name=_("coupon template"))
    version = BrandForeignKey(TemplateVersion, models.PROTECT, related_name="+")
    member = BrandForeignKey(Member, models.PROTECT, related_name="+", verbose_name=_("member"))
    nth = models.PositiveIntegerField(null=True, blank=True)
    way = models.CharField(_("came by"), max_length=10, choices=Way)
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.UNUSED)
    valid_from = models.DateTimeField(_("can be used from"))
    valid_until = models.DateTimeField(_("can be used until"))
    issued_at = models.DateTimeField(_("given"))
    order = models.CharField(_("order"), max_length=64, blank=True)
    held_until = models.DateTimeField(_("set aside until"), null=True, blank=True)
    used_at = models.DateTimeField(_("used"), null=True, blank=True)
    store = BrandForeignKey(Store, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("store"))
    saved = models.BigIntegerField(_("taken off"), default=0)
    points_hold = BrandForeignKey(Hold, models.PROTECT, null=True, blank=True, related_name="+")

    class Meta(BrandOwned.Meta):
        verbose_name = _("coupon")
        verbose_name_plural = _("coupons")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "template", "member", "nth"], name="coupon_within_limit"),
            models.CheckConstraint(
                condition=(
                    Q(state="HELD", held_until__isnull=False) & ~Q(order="")
                    | ~Q(state="HELD") & Q(held_until__isnull=True)
                ),
                name="coupon_held_for_an_order",
            ),
            models.CheckConstraint(
                condition=Q(state="USED", used_at__isnull=False) | (~Q(state="USED") & Q(used_at__isnull=True)),
                name="coupon_used_at_a_moment",
            ),
            models.CheckConstraint(condition=Q(saved__gte=0), name="coupon_saves_nothing_below_zero"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["brand", "member", "-id"], name="coupons_of_member"),
            models.Index(fields=["brand", "held_until"], condition=Q(state="HELD"), name="coupons_to_release"),
            models.Index(fields=["brand", "valid_until"], condition=Q(state="UNUSED"), name="coupons_to_expire"),
            models.Index(fields=["brand", "template", "state"], name="coupons_of_template"),  # figures
            models.Index(fields=["brand", "order"], condition=~Q(order=""), name="coupons_of_order"),  # refunds
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.state}"


class MoveKind(models.TextChoices):
    """What happened to a coupon."""

    ISSUE = "ISSUE", pgettext_lazy("coupon", "Given")
    HOLD = "HOLD", pgettext_lazy("coupon", "Set aside")
    RELEASE = "RELEASE", pgettext_lazy("coupon", "Free again")
    REDEEM = "REDEEM", pgettext_lazy("coupon", "Redeemed")
    RETURN = "RETURN", pgettext_lazy("coupon", "Returned")
    EXPIRE = "EXPIRE", pgettext_lazy("coupon", "Expired")
    VOID = "VOID", pgettext_lazy("coupon", "Taken back")
    UNDO = "UNDO", pgettext_lazy("coupon", "Redemption undone")
    MERGE = "MERGE", pgettext_lazy("coupon", "Records merged")
    UNMERGE = "UNMERGE", pgettext_lazy("coupon", "Merge undone")


class Move(BrandOwned):
    """One move of a coupon. Never changed, never deleted; the same key of the same actor is the same move.

    `fingerprint` says what was asked for. `after` is the state right afterwards, `member` who had the coupon then.
    """

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    coupon = BrandForeignKey(Coupon, models.PROTECT, related_name="moves", verbose_name=_("coupon"))
    kind = models.CharField(_("what happened"), max_length=10, choices=MoveKind)
    after = models.CharField(_("state afterwards"), max_length=10, choices=State)
    actor = models.CharField(_("who"), max_length=40)
    key = models.CharField(_("operation key"), max_length=120)
    fingerprint = models.UUIDField()
    member = BrandForeignKey(Member, models.PROTECT, related_name="+", verbose_name=_("member"))
    other = BrandForeignKey(
        Member, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("other record")
    )
    order = models.CharField(_("order"), max_length=64, blank=True)
    store = BrandForeignKey(Store, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("store"))
    staff = models.ForeignKey(
        StaffUser, models.DO_NOTHING, null=True, blank=True, related_name="+", verbose_name=_("staff")
    )
    saved = models.BigIntegerField(_("taken off"), default=0)
    reason = models.CharField(_("reason"), max_length=200, blank=True)
    detail = models.JSONField(_("details"), default=dict)
    valid_until = models.DateTimeField(_("can be used until"))
    at = models.DateTimeField(_("when"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("move of a coupon")
        verbose_name_plural = _("moves of coupons")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "actor", "key"], name="coupon_move_once"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["brand", "coupon", "id"], name="moves_of_coupon"),
            models.Index(fields=["brand", "member", "-id"], name="coupon_moves_of_member"),  # timeline
            models.Index(fields=["brand", "kind", "at"], name="coupon_moves_by_time"),  # segments that follow time
            models.Index(
                fields=["brand", "store", "-id"],
                condition=Q(kind="REDEEM", store__isnull=False),
                name="redeemed_in_store",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.kind}"


class Code(BrandOwned):
    """A code of a batch, by its keyed fingerprint only; once redeemed it names the coupon it became.

    Rows come by the million, so brand and batch are no foreign keys: triggers keep the batch.
    """

    brand = models.ForeignKey(
        "accounts.Brand", on_delete=models.DO_NOTHING, related_name="+", db_index=False, db_constraint=False
    )
    batch = BrandForeignKey(
        CodeBatch, models.PROTECT, guarded=True, related_name="+", verbose_name=_("batch of coupon codes")
    )
    serial = models.PositiveIntegerField()
    fingerprint = models.UUIDField()
    coupon = BrandForeignKey(Coupon, models.PROTECT, null=True, blank=True, related_name="+")
    redeemed_at = models.DateTimeField(null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("coupon code")
        verbose_name_plural = _("coupon codes")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "fingerprint"], name="coupon_code_once"),
            models.CheckConstraint(
                condition=Q(coupon__isnull=True, redeemed_at__isnull=True)
                | Q(coupon__isnull=False, redeemed_at__isnull=False),
                name="redeemed_code_has_a_coupon",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["brand", "batch", "serial"], name="codes_of_batch"),  # download
            models.Index(fields=["brand", "coupon"], condition=Q(coupon__isnull=False), name="code_of_coupon"),
        ]

    def __str__(self) -> str:
        return f"{self.pk}"


class CounterCode(BrandOwned):
    """A code a member shows at the counter: for some minutes, and derived anew whenever it is asked for."""

    coupon = BrandForeignKey(Coupon, models.PROTECT, related_name="+", verbose_name=_("coupon"))
    fingerprint = models.UUIDField()
    since = models.DateTimeField(_("from"))
    until = models.DateTimeField(_("until"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("counter code")
        verbose_name_plural = _("counter codes")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "fingerprint"], name="counter_code_once"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["brand", "coupon", "-until"], name="counter_codes_of_coupon"),
            models.Index(fields=["brand", "until"], name="counter_codes_to_forget"),
        ]

    def __str__(self) -> str:
        return f"{self.pk}"
