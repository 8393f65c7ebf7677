"""What the account answers by itself: reply rules and the menu."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.tenancy import BrandForeignKey, BrandOwned
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


class ReplyKind(models.TextChoices):
    """What the answer is."""

    TEXT = "TEXT", _("Text")
    NEWS = "NEWS", _("Article card")


class ReplyRule(BrandOwned):
    """One automatic answer of one account. Rules of a trigger are tried in order; the first match answers."""

    account = BrandForeignKey(OfficialAccount, models.CASCADE, related_name="+", verbose_name=_("service account"))
    name = models.CharField(_("name"), max_length=40)
    trigger = models.CharField(_("answers"), max_length=10, choices=Trigger)
    match = models.CharField(_("match"), max_length=10, choices=Match, default=Match.EXACT)
    keywords = models.JSONField(_("keywords"), default=list, blank=True)
    reply_kind = models.CharField(_("answer"), max_length=10, choices=ReplyKind, default=ReplyKind.TEXT)
    text = models.TextField(_("text"), max_length=600, blank=True)
    title = models.CharField(_("title"), max_length=64, blank=True)
    url = models.URLField(_("link"), max_length=500, blank=True)
    picture_url = models.URLField(_("picture"), max_length=500, blank=True)
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
