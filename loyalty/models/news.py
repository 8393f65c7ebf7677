"""What people are told by itself of what they have: in which words, and who is to be told of what."""

from __future__ import annotations

from typing import ClassVar

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts.tenancy import BrandForeignKey, BrandOwned
from loyalty.models.ledger import Unreached
from members.models import Member


class NewsText(BrandOwned):
    """In which words people are told one kind of news (`loyalty.news`); a brand without a row tells nobody."""

    about = models.CharField(_("about"), max_length=10)
    is_on = models.BooleanField(pgettext_lazy("news", "is sent"), default=False)
    text = models.CharField(_("what they are told"), max_length=200, blank=True)
    days = models.PositiveSmallIntegerField(
        _("days of warning"), default=7, validators=[MinValueValidator(1), MaxValueValidator(90)]
    )
    updated_at = models.DateTimeField(_("changed"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("words of news")
        verbose_name_plural = _("words of news")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand", "about"], name="one_text_a_kind_of_news")]

    def __str__(self) -> str:
        return f"{self.about}"


class Notice(BrandOwned):
    """Somebody is to be told one thing, until `day` is over: `subject` is the key of what it is about.

    `way` says how they were told, `why` why nobody could when it was last tried. `ways_held` are ways that failed, each
    with the moment before which it is not asked again.
    """

    member = BrandForeignKey(Member, models.PROTECT, related_name="+", verbose_name=_("member"))
    about = models.CharField(_("about"), max_length=10)
    subject = models.BigIntegerField()
    day = models.DateField(_("day"))
    at = models.DateTimeField(_("when"))
    way = models.CharField(_("told by"), max_length=40, blank=True, db_default="", default="")
    why = models.CharField(_("why not"), max_length=14, choices=Unreached, blank=True, db_default="", default="")
    tried_at = models.DateTimeField(null=True, blank=True, editable=False)
    ways_held = models.JSONField(
        default=dict, blank=True, editable=False, db_default=models.Value({}, models.JSONField())
    )

    class Meta(BrandOwned.Meta):
        verbose_name = _("notice to a member")
        verbose_name_plural = _("notices to members")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "about", "subject", "day"], name="noted_once"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["brand", "about", "day", "id"], condition=Q(way=""), name="notices_to_carry"),
            models.Index(fields=["brand", "member", "about"], name="notices_of_member"),
            models.Index(fields=["brand", "about", "-id"], name="notices_newest"),  # the page
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.about}"
