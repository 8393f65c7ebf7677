"""What the account answers by itself: reply rules and the menu."""

from __future__ import annotations

from typing import ClassVar, Final

from django.db import models
from django.db.models.functions import Cast, Now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts.tenancy import BrandForeignKey, BrandOwned
from conversations.answers import kind_choices
from members.models import Follower, Tag
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
    PREFIX = "PREFIX", pgettext_lazy("match", "Begins with")
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
            models.Index(  # triggers: does anything depend on what is known of people?
                fields=["brand", "audience_kind"],
                condition=models.Q(is_enabled=True) & (~models.Q(audience_kind="") | models.Q(trigger="REFOLLOW")),
                name="rules_by_facts",
            ),
        ]

    def __str__(self) -> str:
        return self.name


THIS_TRANSACTION = Cast(
    Cast(models.Func(function="pg_current_xact_id", output_field=models.TextField()), models.TextField()),
    models.BigIntegerField(),
)


class KnownDue(BrandOwned):
    """Somebody of whom something changed that reply rules ask about; triggers write it with the change itself.

    Gateways read it to keep up (`conversations.known`); `xact` is the transaction, by which they tell what is new.
    """

    account_id = models.BigIntegerField()
    openid = models.CharField(max_length=64)
    xact = models.BigIntegerField(db_default=THIS_TRANSACTION)
    at = models.DateTimeField(db_default=Now())

    class Meta(BrandOwned.Meta):
        verbose_name = _("person whose facts have changed")
        verbose_name_plural = _("people whose facts have changed")
        indexes: ClassVar = [
            models.Index(fields=["xact"], name="known_due_since"),  # gateways, of all brands
            models.Index(fields=["brand", "at"], name="known_due_by_age"),  # clearing away
        ]

    def __str__(self) -> str:
        return f"{self.pk}"


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


SCANNED: Final = "SCAN"
#: What an answer was given to: what rules answer, and the scan of a code by somebody who follows already.
OCCASIONS: Final = [*Trigger.choices, (SCANNED, _("Scanned a code while following"))]


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
    trigger = models.CharField(_("answers"), max_length=10, choices=OCCASIONS)
    way = models.CharField(_("way"), max_length=10, choices=Way)
    why = models.CharField(_("why"), max_length=20)
    state = models.CharField(_("state"), max_length=10, choices=ReplyState, default=ReplyState.DONE)
    waiting = models.JSONField(default=list)
    sent = models.PositiveSmallIntegerField(default=0)
    until = models.DateTimeField(null=True, blank=True)
    # When it is worth trying again; at once without one. What is of the whole account moves all of its answers.
    due_at = models.DateTimeField(null=True, blank=True)
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

    OPEN = "OPEN", pgettext_lazy("suggestion", "Open")
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


class MenuState(models.TextChoices):
    """Where the publishing of a menu stands."""

    IDLE = "IDLE", _("Nothing to publish")
    WAITING = "WAITING", _("To be published")
    PUBLISHING = "PUBLISHING", _("Publishing")
    FAILED = "FAILED", _("Not published")


class Menu(BrandOwned):
    """The menus of an account: the draft of the default one, what WeChat was last given, and what waits to be given.

    `wanted` is a copy of what was looked at when publishing was asked for; `remote` the personalised menus as they are
    at WeChat, in the order in which they were added: [{"menuid", "remote_tag_id", "tag_menu_id", "buttons"}];
    `fetched` what WeChat gave back after publishing, and `fetched_tag_menus` of the personalised ones {"menuid",
    "remote_tag_id", "buttons"} each, None when they were not looked at.
    """

    account = BrandForeignKey(OfficialAccount, models.CASCADE, related_name="+", verbose_name=_("service account"))
    draft = models.JSONField(_("draft"), default=list)
    published = models.JSONField(_("published"), default=list)
    published_at = models.DateTimeField(_("published at"), null=True, blank=True)
    state = models.CharField(_("state"), max_length=10, choices=MenuState, default=MenuState.IDLE)
    wanted = models.JSONField(default=dict, blank=True)
    wanted_at = models.DateTimeField(_("publish at"), null=True, blank=True)
    claimed_at = models.DateTimeField(null=True, blank=True)
    problem = models.CharField(_("problem"), max_length=300, blank=True)
    remote = models.JSONField(default=list, blank=True)
    fetched = models.JSONField(default=list, blank=True)
    fetched_tag_menus = models.JSONField(null=True, blank=True)
    fetched_at = models.DateTimeField(_("compared at"), null=True, blank=True)
    # Since when somebody waits for another comparison, and why the last one could not be made.
    compare_asked_at = models.DateTimeField(null=True, blank=True)
    compare_problem = models.CharField(max_length=300, blank=True, db_default="")
    # Why people cannot be given the tag of their menu, whoever they are; it is not tried again before `settle_after`.
    settle_problem = models.CharField(max_length=300, blank=True)
    settle_after = models.DateTimeField(null=True, blank=True)
    # Since when taps are noted: before that, that nobody tapped cannot be told.
    taps_since = models.DateTimeField(db_default=Now())

    class Meta(BrandOwned.Meta):
        verbose_name = _("menu")
        verbose_name_plural = _("menus")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand", "account"], name="one_menu_per_account")]
        indexes: ClassVar = [
            models.Index(
                fields=["brand", "wanted_at"],
                condition=models.Q(state__in=["WAITING", "PUBLISHING"]),
                name="menus_to_publish",
            ),
            models.Index(
                fields=["brand", "compare_asked_at"],
                condition=models.Q(compare_asked_at__isnull=False),
                name="menus_to_compare",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pk}"


class ButtonTap(BrandOwned):
    """Somebody tapped a button of the menu on a day (in Shanghai). `key` is the button's own, its link or its page.

    One row a day, not a counter: a counter would be one row that every worker waits for.
    """

    account = BrandForeignKey(OfficialAccount, models.CASCADE, related_name="+", verbose_name=_("service account"))
    key = models.CharField(_("key"), max_length=300)
    day = models.DateField(_("day"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("tap on the menu")
        verbose_name_plural = _("taps on the menu")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "account", "key", "day"], name="tap_once_a_day"),
        ]
        indexes: ClassVar = [models.Index(fields=["brand", "day"], name="taps_by_age")]  # clearing away

    def __str__(self) -> str:
        return f"{self.pk}"


class ButtonUse(BrandOwned):
    """How often somebody tapped a button of the menu on a day (in Shanghai), and what came of it.

    `answered`: taps that this brand answered, at once or by a message; `opened`: taps that opened a link or a page.
    A row of each person's, so that no two workers wait for one: the pushes of a person are handled one by one.
    """

    account = BrandForeignKey(OfficialAccount, models.CASCADE, related_name="+", verbose_name=_("service account"))
    follower = BrandForeignKey(Follower, models.CASCADE, related_name="+", verbose_name=_("follower"))
    key = models.CharField(_("key"), max_length=300)
    day = models.DateField(_("day"))
    taps = models.PositiveIntegerField(_("taps"), default=0, db_default=0)
    answered = models.PositiveIntegerField(default=0, db_default=0)
    opened = models.PositiveIntegerField(default=0, db_default=0)

    class Meta(BrandOwned.Meta):
        verbose_name = _("use of a menu button")
        verbose_name_plural = _("uses of menu buttons")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "follower", "day", "key"], name="button_use_once_a_day"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["brand", "account", "day"], name="uses_of_menu"),
            models.Index(fields=["brand", "day"], name="uses_by_age"),  # clearing away
        ]

    def __str__(self) -> str:
        return f"{self.pk}"


class TagMenu(BrandOwned):
    """A personalised menu: for people with a tag. Of several that fit somebody, the lowest position is meant."""

    account = BrandForeignKey(OfficialAccount, models.CASCADE, related_name="+", verbose_name=_("service account"))
    tag = BrandForeignKey(Tag, models.CASCADE, related_name="+", verbose_name=_("tag"))
    position = models.PositiveIntegerField(_("order"), default=100)
    draft = models.JSONField(_("draft"), default=list)
    is_enabled = models.BooleanField(_("enabled"), default=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("personalised menu")
        verbose_name_plural = _("personalised menus")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "account", "tag"], name="one_menu_per_tag"),
        ]

    def __str__(self) -> str:
        return f"{self.pk}"


class MenuVersion(BrandOwned):
    """What was published at one time: the default menu and the personalised ones."""

    account = BrandForeignKey(OfficialAccount, models.CASCADE, related_name="+", verbose_name=_("service account"))
    number = models.PositiveIntegerField(_("version"))
    buttons = models.JSONField(default=list)
    tag_menus = models.JSONField(default=list)
    published_at = models.DateTimeField(_("published at"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("menu version")
        verbose_name_plural = _("menu versions")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "account", "number"], name="menu_version_once"),
        ]

    def __str__(self) -> str:
        return f"{self.number}"


class LastTag(BrandOwned):
    """Which tag of a follower WeChat holds for the last applied, because we applied it last.

    `remote_tag_ids` are the tags WeChat was known to hold then; once others are known, the row says nothing any more.
    With a `refused_code` WeChat did not take it, so that the last tag is not known and this one is not tried again.
    """

    follower = BrandForeignKey(Follower, models.CASCADE, related_name="+", verbose_name=_("follower"))
    remote_tag_id = models.IntegerField()
    remote_tag_ids = models.JSONField(default=list)
    refused_code = models.IntegerField(_("WeChat's code"), null=True, blank=True)
    at = models.DateTimeField(_("when"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("last tag")
        verbose_name_plural = _("last tags")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand", "follower"], name="one_last_tag")]
        indexes: ClassVar = [
            models.Index(
                fields=["brand", "follower"],
                condition=models.Q(refused_code__isnull=False),
                name="last_tags_refused",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pk}"


class Dialogue(BrandOwned):
    """A talk of several turns that a keyword or menu key begins. `draft` is edited, versions are run."""

    account = BrandForeignKey(OfficialAccount, models.CASCADE, related_name="+", verbose_name=_("service account"))
    name = models.CharField(_("name"), max_length=40)
    keywords = models.JSONField(_("begins with"), default=list, blank=True)
    draft = models.JSONField(_("steps"), default=list, blank=True)
    is_enabled = models.BooleanField(_("enabled"), default=True)
    updated_at = models.DateTimeField(_("changed"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("dialogue")
        verbose_name_plural = _("dialogues")

    def __str__(self) -> str:
        return self.name


class DialogueVersion(BrandOwned):
    """The steps of a dialogue as they were published once; who has begun with a version ends with it."""

    dialogue = BrandForeignKey(Dialogue, models.CASCADE, related_name="versions", verbose_name=_("dialogue"))
    number = models.PositiveIntegerField(_("version"))
    steps = models.JSONField(_("steps"), default=list)
    published_at = models.DateTimeField(_("published at"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("dialogue version")
        verbose_name_plural = _("dialogue versions")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "dialogue", "number"], name="dialogue_version_once"),
        ]

    def __str__(self) -> str:
        return f"{self.pk} v{self.number}"


class RunState(models.TextChoices):
    """Where a talk stands."""

    ACTIVE = "ACTIVE", _("Going on")
    DONE = "DONE", _("Finished")
    LEFT = "LEFT", pgettext_lazy("talk", "Left")
    GAVE_UP = "GAVE_UP", _("Not understood")


class DialogueRun(BrandOwned):
    """One person in one dialogue: the question that stands and what was answered."""

    version = BrandForeignKey(DialogueVersion, models.CASCADE, related_name="runs", verbose_name=_("dialogue version"))
    follower = BrandForeignKey(Follower, models.CASCADE, related_name="+", verbose_name=_("follower"))
    step = models.CharField(_("step"), max_length=10)
    answers = models.JSONField(_("answers"), default=dict)
    tries = models.PositiveSmallIntegerField(default=0)
    state = models.CharField(_("state"), max_length=10, choices=RunState, default=RunState.ACTIVE)
    started_at = models.DateTimeField(_("started"))
    updated_at = models.DateTimeField(_("last answer"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("talk")
        verbose_name_plural = _("talks")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["brand", "follower"], condition=models.Q(state="ACTIVE"), name="one_talk_at_a_time"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["brand", "version", "state"], name="talks_of_version"),
            models.Index(
                fields=["brand", "updated_at"], condition=~models.Q(answers={}), name="talks_with_answers"
            ),  # clearing away
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.state}"
