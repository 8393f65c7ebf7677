"""Programmes that reward whoever brings somebody: invitations, who was brought by whom, and signs that two are one."""

from __future__ import annotations

from typing import ClassVar

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts.tenancy import BrandForeignKey, BrandOwned
from coupons.models import Coupon, Template
from loyalty.models import Fact
from members.models import Member
from wechat_gateway.models import OfficialAccount


class Act(models.TextChoices):
    """What the invited person must do before anybody gets anything."""

    FOLLOW = "FOLLOW", pgettext_lazy("invited person", "follows the service account")
    JOIN = "JOIN", pgettext_lazy("invited person", "joins as a member")
    ORDER = "ORDER", pgettext_lazy("invited person", "places an order of enough")


class Programme(BrandOwned):
    """What both sides get for an invitation, and under which conditions. Days are those of the brand, both included.

    An invited person counts for the programme of the day on which they came, whatever follows when.
    """

    name = models.CharField(_("name"), max_length=40)
    first_day = models.DateField(_("first day"))
    last_day = models.DateField(_("last day"), null=True, blank=True)
    act = models.CharField(_("what the invited person does"), max_length=10, choices=Act, default=Act.JOIN)
    at_least = models.PositiveIntegerField(_("an order of at least (fen)"), default=0)
    within_days = models.PositiveSmallIntegerField(
        _("within so many days"), default=30, validators=[MinValueValidator(1), MaxValueValidator(365)]
    )
    wait_days = models.PositiveSmallIntegerField(
        _("days to wait before giving"), default=7, validators=[MinValueValidator(1), MaxValueValidator(90)]
    )
    inviter_points = models.PositiveIntegerField(_("points for who invites"), default=0)
    inviter_template = BrandForeignKey(
        Template, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("coupon for who invites")
    )
    invited_points = models.PositiveIntegerField(_("points for who is invited"), default=0)
    invited_template = BrandForeignKey(
        Template, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("coupon for who is invited")
    )
    per_day = models.PositiveIntegerField(
        _("rewarded invitations a day"), null=True, blank=True, validators=[MinValueValidator(1)]
    )
    per_month = models.PositiveIntegerField(
        _("rewarded invitations a month"), null=True, blank=True, validators=[MinValueValidator(1)]
    )
    in_all = models.PositiveIntegerField(
        _("rewarded invitations in all"), null=True, blank=True, validators=[MinValueValidator(1)]
    )
    fast = models.PositiveSmallIntegerField(
        _("looked at from more than so many an hour"), default=5, validators=[MinValueValidator(1)]
    )
    account = BrandForeignKey(
        OfficialAccount, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("service account")
    )
    is_on = models.BooleanField(_("is running"), default=True)
    updated_at = models.DateTimeField(_("changed"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("invitation programme")
        verbose_name_plural = _("invitation programmes")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "name"], name="referral_programme_name"),
            models.CheckConstraint(
                condition=Q(last_day__isnull=True) | Q(last_day__gte=F("first_day")), name="referral_days_in_order"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Invitation(BrandOwned):
    """The code by which a member invites; `ticket` is the newest picture of it for a service account."""

    member = BrandForeignKey(Member, models.PROTECT, related_name="+", verbose_name=_("member"))
    code = models.CharField(_("invitation code"), max_length=12)
    ticket = models.CharField(max_length=200, blank=True)
    ticket_account = BrandForeignKey(OfficialAccount, models.PROTECT, null=True, blank=True, related_name="+")
    ticket_until = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(_("created"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("invitation code")
        verbose_name_plural = _("invitation codes")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand", "code"], name="invitation_code_once")]
        indexes: ClassVar = [models.Index(fields=["brand", "member"], name="invitations_of_member")]

    def __str__(self) -> str:
        return f"{self.pk}"


class State(models.TextChoices):
    """How an invitation stands."""

    OPEN = "OPEN", pgettext_lazy("invitation", "Came, nothing done yet")
    WAITING = "WAITING", pgettext_lazy("invitation", "Counts, waiting")
    HELD = "HELD", pgettext_lazy("invitation", "To be looked at")
    PAID = "PAID", pgettext_lazy("invitation", "Rewarded")
    DOUBTED = "DOUBTED", pgettext_lazy("invitation", "Rewarded, to be looked at")
    REFUSED = "REFUSED", pgettext_lazy("invitation", "Refused")
    LAPSED = "LAPSED", pgettext_lazy("invitation", "Time was over")
    RETURNING = "RETURNING", pgettext_lazy("invitation", "Is taken back")
    RETURNED = "RETURNED", pgettext_lazy("invitation", "Taken back")


class Given(models.TextChoices):
    """What came of the reward of one side."""

    GIVEN = "GIVEN", pgettext_lazy("reward", "Given")
    PARTLY = "PARTLY", pgettext_lazy("reward", "Points given, the coupon was not to be had")
    NOTHING = "NOTHING", pgettext_lazy("reward", "Nothing was promised")
    LIMIT = "LIMIT", pgettext_lazy("reward", "Limit of invitations reached")
    MISSED = "MISSED", pgettext_lazy("reward", "The coupon was not to be had")
    BACK = "BACK", pgettext_lazy("reward", "Taken back")
    SPENT = "SPENT", pgettext_lazy("reward", "Spent before it could be taken back")


class Referral(BrandOwned):
    """Who was brought by whom: each person once, by the first invitation with which they came.

    `order` is the purchase by which it counts. `reasons` are keys of `referrals.reasons` with their figures.
    """

    programme = BrandForeignKey(Programme, models.PROTECT, related_name="+", verbose_name=_("invitation programme"))
    inviter = BrandForeignKey(Member, models.PROTECT, related_name="+", verbose_name=_("who invited"))
    invited = BrandForeignKey(Member, models.PROTECT, related_name="+", verbose_name=_("who was invited"))
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.OPEN)
    bound_at = models.DateTimeField(_("came"))
    act_at = models.DateTimeField(_("counts since"), null=True, blank=True)
    order = BrandForeignKey(Fact, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("purchase"))
    due_at = models.DateTimeField(null=True, blank=True)
    reasons = models.JSONField(_("reasons"), default=list)
    settled_at = models.DateTimeField(_("settled"), null=True, blank=True)
    decided_by = models.CharField(_("decided by"), max_length=60, blank=True)
    note = models.CharField(_("reason"), max_length=200, blank=True)
    inviter_given = models.CharField(_("who invited got"), max_length=10, choices=Given, blank=True)
    inviter_points = models.PositiveIntegerField(_("points for who invited"), default=0)
    inviter_coupon = BrandForeignKey(Coupon, models.PROTECT, null=True, blank=True, related_name="+")
    invited_given = models.CharField(_("who was invited got"), max_length=10, choices=Given, blank=True)
    invited_points = models.PositiveIntegerField(_("points for who was invited"), default=0)
    invited_coupon = BrandForeignKey(Coupon, models.PROTECT, null=True, blank=True, related_name="+")

    class Meta(BrandOwned.Meta):
        verbose_name = _("invited person")
        verbose_name_plural = _("invited people")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "invited"], name="invited_once"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["brand", "inviter", "bound_at"], name="invited_by"),  # limits, signs, own list
            models.Index(fields=["brand", "programme", "state"], name="invited_counted"),  # the report
            models.Index(fields=["brand", "state", "-id"], name="invited_by_state"),  # the queue
            models.Index(fields=["brand", "due_at"], condition=Q(state="WAITING"), name="invited_due"),
            models.Index(fields=["brand", "order"], condition=Q(order__isnull=False), name="invited_by_order"),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.state}"


class SignKind(models.TextChoices):
    """By what several accounts can turn out to be one person's."""

    DEVICE = "DEVICE", pgettext_lazy("sign", "the same device")
    PAYMENT = "PAYMENT", pgettext_lazy("sign", "the same means of payment")
    ADDRESS = "ADDRESS", pgettext_lazy("sign", "the same delivery address")
    NETWORK = "NETWORK", pgettext_lazy("sign", "the same internet address")


class Sign(BrandOwned):
    """Something a person was seen with, as a fingerprint only: it can be compared and never read."""

    member = BrandForeignKey(Member, models.CASCADE, related_name="+", verbose_name=_("member"))
    kind = models.CharField(_("kind"), max_length=10, choices=SignKind)
    value = models.UUIDField()
    at = models.DateTimeField(_("seen"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("sign of an invitation")
        verbose_name_plural = _("signs of invitations")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "kind", "value", "member"], name="sign_of_member_once")
        ]
        indexes: ClassVar = [
            models.Index(fields=["brand", "member"], name="signs_of_member"),
            models.Index(fields=["brand", "at"], name="signs_by_age"),  # retention
        ]

    def __str__(self) -> str:
        return f"{self.pk}"
