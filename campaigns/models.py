"""Message templates, campaigns, and one row for every person a campaign was meant for."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts.models import StaffUser
from accounts.tenancy import BrandForeignKey, BrandOwned
from members.models import Follower, Purpose, Segment, Topic
from wechat_gateway.models import OfficialAccount


class Family(models.TextChoices):
    """What a template is for: each family has ids of its own, and calls of its own."""

    TEMPLATE = "TEMPLATE", _("Template message")
    NOTICE_ONCE = "NOTICE_ONCE", _("Subscribe notification, once")
    NOTICE_LONG = "NOTICE_LONG", _("Subscribe notification, long-term")


NOTICES = (Family.NOTICE_ONCE.value, Family.NOTICE_LONG.value)


class MessageTemplate(BrandOwned):
    """A template of a service account: of template messages (模板消息), or of subscribe notifications (订阅通知).

    `fields` is its content, parsed: [{"key", "label", "type"}].
    """

    account = BrandForeignKey(OfficialAccount, models.PROTECT, related_name="+", verbose_name=_("service account"))
    family = models.CharField(
        _("kind"), max_length=12, choices=Family, default=Family.TEMPLATE, db_default=Family.TEMPLATE
    )
    template_id = models.CharField(_("template id"), max_length=64)
    title = models.CharField(_("title"), max_length=100)
    content = models.TextField(_("content"), blank=True)
    fields = models.JSONField(_("fields"), default=list)
    synced_at = models.DateTimeField(_("synchronised"))
    is_active = models.BooleanField(_("usable"), default=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("message template")
        verbose_name_plural = _("message templates")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "account", "template_id"], name="template_of_account"),
        ]

    def __str__(self) -> str:
        return self.title or self.template_id


class CampaignState(models.TextChoices):
    """How far a campaign is."""

    DRAFT = "DRAFT", _("Draft")
    SCHEDULED = "SCHEDULED", _("Scheduled")
    FREEZING = "FREEZING", _("Freezing the audience")
    SENDING = "SENDING", _("Sending")
    PAUSED = "PAUSED", _("Paused")
    PARKED = "PARKED", _("Waiting to resume")
    STOPPED = "STOPPED", _("Stopped")
    FINISHED = "FINISHED", _("Finished")


class UnknownPolicy(models.TextChoices):
    """What happens to a message of which nobody can say any more whether it was sent."""

    LEAVE = "LEAVE", _("Leave it: nobody gets it twice")
    RESEND = "RESEND", _("Send it again: nobody misses it")


class Campaign(BrandOwned):
    """One planned send to a segment. From the launch on only its state changes.

    `content` maps a field of the template to a text with variables such as `{姓名}`. `rule` is the segment's rule as it
    was at the launch. `parked_code` is a WeChat error code or a key of `campaigns.reasons`.
    """

    public_id = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    name = models.CharField(_("name"), max_length=60)
    purpose = models.CharField(_("purpose"), max_length=20, choices=Purpose, default=Purpose.SERVICE)
    topic = BrandForeignKey(Topic, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("topic"))
    goal = models.TextField(_("goal"), blank=True)
    account = BrandForeignKey(OfficialAccount, models.PROTECT, related_name="+", verbose_name=_("service account"))
    carrier = models.CharField(_("channel"), max_length=30, default="template")
    template = BrandForeignKey(
        MessageTemplate,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("message template"),
    )
    content = models.JSONField(_("content"), default=dict, blank=True)
    url = models.CharField(_("link"), max_length=1024, blank=True)
    mini_appid = models.CharField(_("mini-program AppID"), max_length=32, blank=True)
    mini_path = models.CharField(_("mini-program page"), max_length=1024, blank=True)
    segment = BrandForeignKey(
        Segment, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("segment")
    )
    rule = models.JSONField(_("rule at the launch"), default=dict, blank=True)
    state = models.CharField(_("state"), max_length=12, choices=CampaignState, default=CampaignState.DRAFT)
    parked_code = models.CharField(_("why it waits"), max_length=40, blank=True)
    parked_until = models.DateTimeField(_("tried again"), null=True, blank=True)
    rate_per_second = models.PositiveIntegerField(_("messages a second"), null=True, blank=True)
    scheduled_at = models.DateTimeField(_("planned for"), null=True, blank=True)
    unknown_policy = models.CharField(_("unconfirmed messages"), max_length=10, choices=UnknownPolicy, blank=True)
    audience_count = models.PositiveIntegerField(_("audience"), null=True, blank=True)
    launched_by = models.ForeignKey(
        StaffUser, null=True, blank=True, on_delete=models.DO_NOTHING, related_name="+", verbose_name=_("launched by")
    )
    launched_at = models.DateTimeField(_("launched"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    created_at = models.DateTimeField(_("created"))
    updated_at = models.DateTimeField(_("changed"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("campaign")
        verbose_name_plural = _("campaigns")
        indexes: ClassVar = [
            models.Index(fields=["brand", "-created_at", "-id"], name="campaign_newest"),  # list
            models.Index(
                fields=["state", "brand"],
                condition=models.Q(
                    state__in=["SCHEDULED", "FREEZING", "SENDING", "PARKED", "STOPPED"], finished_at__isnull=True
                ),
                name="campaign_at_work",
            ),  # the sweeper, across brands
        ]

    def __str__(self) -> str:
        return self.name


class DeliveryState(models.TextChoices):
    """How far one message is."""

    PENDING = "PENDING", _("Waiting")
    LEASED = "LEASED", _("Being sent")
    SENT = "SENT", _("Accepted by WeChat")
    DELIVERED = "DELIVERED", _("Delivered")
    REFUSED = "REFUSED", _("Refused by the person")
    FAILED = "FAILED", _("Failed")
    UNKNOWN = "UNKNOWN", _("Unconfirmed")
    SUPPRESSED = "SUPPRESSED", _("Left out")


class Delivery(BrandOwned):
    """One message of a campaign for one person, frozen at the launch.

    `due_at` (database clock) is when somebody must look at the row: when it may be sent, when its lease ends, when an
    unconfirmed one is tried again; empty when nothing is left to do. `attempt` fences late writers. `tried_at`
    (database clock) is the first attempt under the current client_msg_id, `round` counts those ids. `reason` is a
    WeChat error code or a key of `campaigns.reasons`. `seq` numbers the members in the order of their ids.

    Rows come by the million, and every index costs two writes per message sent. So there are no foreign keys (the
    campaign is kept by triggers), and no index holds `state`: what WeChat reports later changes no index at all.
    """

    brand = models.ForeignKey(
        "accounts.Brand",
        on_delete=models.DO_NOTHING,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    campaign = BrandForeignKey(
        Campaign, models.CASCADE, guarded=True, related_name="deliveries", verbose_name=_("campaign")
    )
    seq = models.PositiveIntegerField(_("number"))
    member_id = models.BigIntegerField()
    follower_id = models.BigIntegerField(null=True, blank=True)
    account_id = models.BigIntegerField()
    openid = models.CharField("OpenID", max_length=64, blank=True)
    variables = models.JSONField(default=dict)
    state = models.CharField(_("state"), max_length=10, choices=DeliveryState)
    reason = models.CharField(_("reason"), max_length=40, blank=True)
    attempt = models.PositiveSmallIntegerField(_("attempt"), default=0)
    round = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField(null=True, blank=True)
    leased_by = models.CharField(max_length=40, blank=True)
    tried_at = models.DateTimeField(null=True, blank=True)
    msgid = models.BigIntegerField("MsgID", null=True, blank=True)
    sent_at = models.DateTimeField(_("sent"), null=True, blank=True)
    final_at = models.DateTimeField(_("settled"), null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("message of a campaign")
        verbose_name_plural = _("messages of campaigns")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["brand", "campaign", "member_id"], name="delivery_once_per_member"
            ),  # pages of the list, a person's card
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["brand", "campaign", "due_at"],
                condition=models.Q(due_at__isnull=False),
                name="delivery_due",
            ),  # what workers claim
            models.Index(
                fields=["brand", "msgid"],
                condition=models.Q(msgid__isnull=False),
                name="delivery_by_msgid",
            ),  # finish events
            models.Index(
                fields=["brand", "campaign", "reason", "member_id"],
                condition=~models.Q(reason=""),
                name="delivery_by_reason",
            ),  # slices of the report open their rows; retry
        ]

    def __str__(self) -> str:
        return f"{self.pk} #{self.seq}"


class DeliveryAttempt(BrandOwned):
    """An attempt that was not simply accepted at the first try. Append-only."""

    brand = models.ForeignKey(
        "accounts.Brand",
        on_delete=models.DO_NOTHING,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    delivery_id = models.BigIntegerField()
    attempt = models.PositiveSmallIntegerField(_("attempt"))
    outcome = models.CharField(_("outcome"), max_length=12)
    code = models.CharField(_("code"), max_length=40, blank=True)
    message = models.CharField(_("answer"), max_length=300, blank=True)
    msgid = models.BigIntegerField("MsgID", null=True, blank=True)
    at = models.DateTimeField(_("when"), db_default=Now())

    class Meta(BrandOwned.Meta):
        verbose_name = _("attempt")
        verbose_name_plural = _("attempts")
        indexes: ClassVar = [
            models.Index(fields=["brand", "delivery_id", "id"], name="attempts_of_delivery"),  # a message's history
            models.Index(
                fields=["brand", "msgid"],
                condition=models.Q(msgid__isnull=False),
                name="attempt_by_msgid",
            ),  # results of messages whose worker was too late
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.outcome}"


class FinishEvent(BrandOwned):
    """A result WeChat reported and nobody has matched with its message yet; it is given up after 48 hours.

    `due_at` and `created_at` are the database's time: a result may come before the answer to the call it belongs to.
    """

    account_id = models.BigIntegerField()
    msgid = models.BigIntegerField("MsgID")
    openid = models.CharField("OpenID", max_length=64)
    status = models.CharField(_("status"), max_length=100)
    event_at = models.DateTimeField(_("happened"))
    created_at = models.DateTimeField(_("received"), db_default=Now())
    due_at = models.DateTimeField(db_default=Now())
    tries = models.PositiveSmallIntegerField(default=0)

    class Meta(BrandOwned.Meta):
        verbose_name = _("unmatched result")
        verbose_name_plural = _("unmatched results")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "account_id", "msgid"], name="first_result_of_message"),
        ]
        indexes: ClassVar = [models.Index(fields=["brand", "due_at"], name="finish_event_due")]  # the matcher

    def __str__(self) -> str:
        return f"{self.pk} {self.msgid}"


class Tally(BrandOwned):
    """How many messages of a campaign are in a state for a reason. Shards keep writers out of each other's way.

    Rows in state LEASED count as PENDING: a lease is no progress.
    """

    campaign = BrandForeignKey(Campaign, models.CASCADE, related_name="tallies")
    shard = models.PositiveSmallIntegerField()
    state = models.CharField(max_length=10, choices=DeliveryState)
    reason = models.CharField(max_length=40, blank=True)
    count = models.IntegerField(default=0)

    class Meta(BrandOwned.Meta):
        verbose_name = _("tally")
        verbose_name_plural = _("tallies")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "campaign", "shard", "state", "reason"], name="tally_once"),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.state} {self.count}"


class Lane(BrandOwned):
    """One worker's turn at a campaign: a lane that is taken is not taken twice, one whose worker died comes free.

    The time is the database's.
    """

    campaign = BrandForeignKey(Campaign, models.CASCADE, related_name="lanes")
    number = models.PositiveSmallIntegerField()
    taken_until = models.DateTimeField(db_default=Now())
    taken_by = models.CharField(max_length=40, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("lane")
        verbose_name_plural = _("lanes")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand", "campaign", "number"], name="lane_once")]

    def __str__(self) -> str:
        return f"{self.pk} {self.number}"


class Pace(BrandOwned):
    """A token bucket: how many messages a campaign may send right now. The time is the database's."""

    campaign = BrandForeignKey(Campaign, models.CASCADE, related_name="+")
    tokens = models.FloatField(default=0)
    filled_at = models.DateTimeField(db_default=Now())

    class Meta(BrandOwned.Meta):
        verbose_name = _("pace")
        verbose_name_plural = _("paces")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand", "campaign"], name="one_pace_per_campaign")]

    def __str__(self) -> str:
        return f"{self.pk} {self.tokens}"


class TestSend(BrandOwned):
    """A single real message to somebody of the team, and what WeChat said."""

    __test__ = False

    campaign = BrandForeignKey(Campaign, models.CASCADE, related_name="test_sends", verbose_name=_("campaign"))
    account_id = models.BigIntegerField()
    openid = models.CharField("OpenID", max_length=64)
    outcome = models.CharField(_("outcome"), max_length=12)
    code = models.CharField(_("code"), max_length=40, blank=True)
    message = models.CharField(_("answer"), max_length=300, blank=True)
    msgid = models.BigIntegerField("MsgID", null=True, blank=True)
    status = models.CharField(_("result"), max_length=100, blank=True)
    sent_at = models.DateTimeField(_("sent"))
    settled_at = models.DateTimeField(_("settled"), null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("test message")
        verbose_name_plural = _("test messages")
        indexes: ClassVar = [
            models.Index(fields=["brand", "campaign", "-id"], name="test_sends_newest"),  # composer
            models.Index(fields=["brand", "msgid"], name="test_send_by_msgid"),  # finish events
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.outcome}"


class SubscriptionStock(BrandOwned):
    """How many subscribe notifications (订阅通知) of one template a follower has agreed to and not yet got.

    One is taken before the call that uses it up. Advisory: WeChat counts for itself (reference: service account 5.7).
    """

    follower = BrandForeignKey(Follower, models.CASCADE, related_name="+", verbose_name=_("follower"))
    template_id = models.CharField(_("template id"), max_length=64)
    remaining = models.PositiveIntegerField(_("left"), default=0)
    updated_at = models.DateTimeField(_("changed"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("agreed subscribe notifications")
        verbose_name_plural = _("agreed subscribe notifications")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "follower", "template_id"], name="one_stock_per_template"),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.remaining}"


class NewsWay(models.TextChoices):
    """How news travel when no message may be written; the keys are those of the carriers."""

    SUBSCRIBE = "subscribe", _("Subscribe notification")
    TEMPLATE = "template", _("Template message")


class NewsPlan(BrandOwned):
    """By which template people of an account are told a kind of news when no message may be written to them."""

    about = models.CharField(_("about"), max_length=10)  # a key of `loyalty.news.kinds`
    account = BrandForeignKey(OfficialAccount, models.PROTECT, related_name="+", verbose_name=_("service account"))
    way = models.CharField(_("channel"), max_length=10, choices=NewsWay)
    template = BrandForeignKey(MessageTemplate, models.PROTECT, related_name="+", verbose_name=_("template"))
    content = models.JSONField(_("fields"), default=dict)
    is_on = models.BooleanField(pgettext_lazy("news", "is sent"), default=True)
    updated_at = models.DateTimeField(_("changed"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("notification of news")
        verbose_name_plural = _("notifications of news")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "about", "account", "way"], name="one_news_plan_per_way"),
        ]

    def __str__(self) -> str:
        return f"{self.about} {self.way} {self.account_id}"
