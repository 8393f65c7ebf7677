"""What a brand gives for birthdays, and to whom it gave it: once for each birthday, once in each calendar year."""

from __future__ import annotations

from typing import ClassVar

from django.core.validators import MaxValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts.tenancy import BrandForeignKey, BrandOwned
from loyalty.models.ledger import Unreached
from loyalty.models.tiers import Tier
from members.models import Member


class BirthdayMode(models.TextChoices):
    """What counts as the birthday."""

    DAY = "DAY", _("the day itself")
    MONTH = "MONTH", _("the whole month")


class LeapRule(models.TextChoices):
    """When somebody born on 29 February has their birthday in other years."""

    FEB_28 = "FEB28", _("28 February")
    MAR_1 = "MAR1", _("1 March")


class BirthdayProgramme(BrandOwned):
    """What a brand gives for birthdays. `last_day` is the day of the brand up to which people were looked for."""

    is_on = models.BooleanField(_("on"), default=False)
    benefit = models.CharField(_("benefit"), max_length=20, default="points")
    params = models.JSONField(_("settings"), default=dict)
    mode = models.CharField(_("counts"), max_length=5, choices=BirthdayMode, default=BirthdayMode.DAY)
    days_before = models.PositiveSmallIntegerField(_("days before"), default=0, validators=[MaxValueValidator(30)])
    days_after = models.PositiveSmallIntegerField(_("days after"), default=7, validators=[MaxValueValidator(30)])
    leap = models.CharField(
        _("29 February is, in other years,"), max_length=5, choices=LeapRule, default=LeapRule.FEB_28
    )
    tier = BrandForeignKey(
        Tier, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("from this tier on")
    )
    text = models.CharField(
        _("what they are told"),
        max_length=200,
        blank=True,
        default="",
        db_default="",
    )
    last_day = models.DateField(null=True, blank=True, editable=False)
    updated_at = models.DateTimeField(_("changed"), null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("birthday benefit")
        verbose_name_plural = _("birthday benefits")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand"], name="one_birthday_programme")]

    def __str__(self) -> str:
        return f"{self.pk} {self.benefit}"


class GrantState(models.TextChoices):
    """How a birthday benefit stands."""

    DUE = "DUE", pgettext_lazy("birthday", "Being given")
    GIVEN = "GIVEN", pgettext_lazy("birthday", "Given")
    DROPPED = "DROPPED", pgettext_lazy("birthday", "Not given: no member any more")


class BirthdayGrant(BrandOwned):
    """A benefit for one birthday of one member.

    `year` is the year of the birthday, `given_year` the calendar year in which it came: of each there is one a member,
    so that no change of the birthday brings a second.
    """

    member = BrandForeignKey(Member, models.PROTECT, related_name="+", verbose_name=_("member"))
    year = models.PositiveSmallIntegerField(_("birthday in"))
    given_year = models.PositiveSmallIntegerField()
    day = models.DateField(_("given on"))
    benefit = models.CharField(_("benefit"), max_length=20)
    params = models.JSONField(_("settings"), default=dict)
    state = models.CharField(_("state"), max_length=8, choices=GrantState, default=GrantState.DUE)
    reference = models.CharField(max_length=64, blank=True)
    way = models.CharField(_("told by"), max_length=40, blank=True, db_default="", default="")
    why = models.CharField(_("why not"), max_length=14, choices=Unreached, blank=True, db_default="", default="")
    tried_at = models.DateTimeField(null=True, blank=True, editable=False)
    ways_held = models.JSONField(
        default=dict, blank=True, editable=False, db_default=models.Value({}, models.JSONField())
    )
    at = models.DateTimeField(_("when"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("given birthday benefit")
        verbose_name_plural = _("given birthday benefits")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "member", "year"], name="birthday_benefit_once"),
            models.UniqueConstraint(fields=["brand", "member", "given_year"], name="birthday_benefit_once_a_year"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["brand", "id"], condition=models.Q(state="DUE"), name="birthdays_to_give"),
            models.Index(fields=["brand", "-day", "-id"], name="birthdays_newest"),  # the page
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.year}"
