"""What the account answers by itself: reply rules and the menu."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.tenancy import BrandForeignKey, BrandOwned
from conversations.answers import kind_choices
from members.models import Follower
from wechat_gateway.models import OfficialAccount


class Trigger(models.TextChoices):
    """What a rule answers."""

    FOLLOW = "FOLLOW", _("Reply to a follow")
    REFOLLOW = "REFOLLOW", _("Reply to a return")
    KEYWORD = "KEYWORD", _("Keyword reply")
    CLICK = "CLICK", _("Menu button")
    DEFAULT = "DEFAULT", _("Reply to any message")


class Match(models.TextChoices):
    """How a keyword is compared with what the person typed."""

    EXACT = "EXACT", _("Equals")
    PREFIX = "PREFIX", _("Begins with")
    CONTAINS = "CONTAINS", _("Contains")
    REGEX = "REGEX", _("Regular expression")


class Pick(models.TextChoices):
    """What becomes of several answers."""

    ALL = "ALL", _("all of them, one after the other")
    ONE = "ONE", _("one of them by chance")


class ReplyRule(BrandOwned):
    """One automatic answer of one account. Rules of a trigger are tried in order; the first match answers.

    `more` holds the answers after the first, in the form of `answers.kept`. Weekdays and hours are those of the brand;
    Monday is 0. `audience_id` is no foreign key: which table it names is a matter of the kind.
    """

    account = BrandForeignKey(OfficialAccount, models.CASCADE, related_name="+", verbose_name=_("service account"))
    name = models.CharField(_("name"), max_length=40)
    trigger = models.CharField(_("answers"), max_length=10, choices=Trigger)
    match = models.CharField(_("match"), max_length=10, choices=Match, default=Match.EXACT)
    keywords = models.JSONField(_("keywords"), default=list, blank=True)
    reply_kind = models.CharField(_("answer"), max_length=10, choices=kind_choices, default="TEXT")
    text = models.TextField(_("text"), max_length=2000, blank=True)
    title = models.CharField(_("title"), max_length=64, blank=True)
    url = models.URLField(_("link"), max_length=500, blank=True)
    picture_url = models.URLField(_("picture"), max_length=500, blank=True)
    media_id = models.CharField("media_id", max_length=200, blank=True)
    mini_appid = models.CharField(_("mini-program's AppID"), max_length=32, blank=True)
    mini_page = models.CharField(_("mini-program's page"), max_length=200, blank=True)
    more = models.JSONField(_("further answers"), default=list, blank=True)
    pick = models.CharField(_("several answers"), max_length=4, choices=Pick, default=Pick.ALL)
    audience_kind = models.CharField(_("for"), max_length=20, blank=True)
    audience_id = models.BigIntegerField(null=True, blank=True)
    weekdays = models.JSONField(_("weekdays"), default=list, blank=True)
    from_time = models.TimeField(_("from"), null=True, blank=True)
    until_time = models.TimeField(_("until"), null=True, blank=True)
    from_date = models.DateField(_("first day"), null=True, blank=True)
    until_date = models.DateField(_("last day"), null=True, blank=True)
    position = models.PositiveIntegerField(_("order"), default=100)
    is_enabled = models.BooleanField(_("enabled"), default=True)
    updated_at = models.DateTimeField(_("changed"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("reply rule")
        verbose_name_plural = _("reply rules")
        indexes: ClassVar = [
            models.Index(fields=["brand", "account", "trigger", "position", "id"], name="rules_in_order"),  # compiling
        ]

    def __str__(self) -> str:
        return self.name


class Way(models.TextChoices):
    """How an answer went, best first."""

    PASSIVE = "PASSIVE", _("Passive reply")
    SERVICE = "SERVICE", _("Customer-service message")
    PERSON = "PERSON", _("Left to a person")


class ReplyState(models.TextChoices):
    """What became of the messages that follow a push."""

    DONE = "DONE", _("Done")
    WAITING = "WAITING", _("Waiting")
    SENDING = "SENDING", _("Sending")
    FAILED = "FAILED", _("Failed")
    UNKNOWN = "UNKNOWN", _("May have arrived")


class ReplyRecord(BrandOwned):
    """What was answered to one push: by which rule, in which way, and why in that way.

    `waiting` holds the bodies of customer-service messages still to be sent; a row that was being sent when its worker
    died becomes UNKNOWN and is not sent again, for nothing recognises a repeated customer-service message.
    """

    account = BrandForeignKey(OfficialAccount, models.CASCADE, related_name="+", verbose_name=_("service account"))
    follower = BrandForeignKey(Follower, models.CASCADE, related_name="+", verbose_name=_("follower"))
    rule = BrandForeignKey(
        ReplyRule, models.CASCADE, null=True, blank=True, related_name="records", verbose_name=_("reply rule")
    )
    push_id = models.BigIntegerField()
    trigger = models.CharField(_("answers"), max_length=10, choices=Trigger)
    way = models.CharField(_("way"), max_length=10, choices=Way)
    why = models.CharField(_("why"), max_length=20)
    state = models.CharField(_("state"), max_length=10, choices=ReplyState, default=ReplyState.DONE)
    waiting = models.JSONField(default=list)
    sent = models.PositiveSmallIntegerField(default=0)
    until = models.DateTimeField(null=True, blank=True)
    claimed_at = models.DateTimeField(null=True, blank=True)
    problem = models.CharField(_("problem"), max_length=200, blank=True)
    at = models.DateTimeField(_("when"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("automatic answer")
        verbose_name_plural = _("automatic answers")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand", "push_id"], name="one_record_per_push")]
        indexes: ClassVar = [
            models.Index(fields=["brand", "rule", "-at"], name="records_of_rule"),  # the hits of a rule
            models.Index(fields=["brand", "at"], name="records_by_age"),  # clearing away
            models.Index(
                fields=["brand", "at", "id"],
                condition=models.Q(state__in=["WAITING", "SENDING"]),
                name="records_to_send",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.way}"


class UnmatchedPhrase(BrandOwned):
    """What no keyword rule answered, counted by week: the normalised text, long numbers blotted out."""

    account = BrandForeignKey(OfficialAccount, models.CASCADE, related_name="+", verbose_name=_("service account"))
    week = models.DateField(_("week from"))
    text = models.CharField(_("text"), max_length=60)
    count = models.PositiveIntegerField(_("times"), default=0)
    last_at = models.DateTimeField(_("last"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("unmatched message")
        verbose_name_plural = _("unmatched messages")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "account", "week", "text"], name="unmatched_once_a_week"),
        ]

    def __str__(self) -> str:
        return f"{self.pk}"


class SuggestionState(models.TextChoices):
    """What became of a suggestion."""

    OPEN = "OPEN", _("Open")
    TAKEN = "TAKEN", _("Rule made")
    IGNORED = "IGNORED", _("Left aside")


class Suggestion(BrandOwned):
    """A keyword that many unmatched messages of a week share."""

    account = BrandForeignKey(OfficialAccount, models.CASCADE, related_name="+", verbose_name=_("service account"))
    week = models.DateField(_("week from"))
    keyword = models.CharField(_("keyword"), max_length=20)
    count = models.PositiveIntegerField(_("messages"))
    examples = models.JSONField(_("examples"), default=list)
    state = models.CharField(_("state"), max_length=10, choices=SuggestionState, default=SuggestionState.OPEN)

    class Meta(BrandOwned.Meta):
        verbose_name = _("suggested rule")
        verbose_name_plural = _("suggested rules")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "account", "week", "keyword"], name="suggested_once_a_week"),
        ]

    def __str__(self) -> str:
        return self.keyword


class Menu(BrandOwned):
    """The default menu of an account: the draft, and what WeChat was last given."""

    account = BrandForeignKey(OfficialAccount, models.CASCADE, related_name="+", verbose_name=_("service account"))
    draft = models.JSONField(_("draft"), default=list)
    published = models.JSONField(_("published"), default=list)
    published_at = models.DateTimeField(_("published at"), null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("menu")
        verbose_name_plural = _("menus")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand", "account"], name="one_menu_per_account")]

    def __str__(self) -> str:
        return f"{self.pk}"
