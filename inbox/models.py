"""People talking with the brand: conversations, their messages, who answers, and what each person's acts allow."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts.models import StaffUser
from accounts.tenancy import BrandForeignKey, BrandOwned
from members.models import Follower
from stores.models import Store
from wechat_gateway.models import OfficialAccount


class ReplyLedger(BrandOwned):
    """What one follower's own acts allow us to write, and what of it is used (see `wechat_gateway.windows`).

    Only the newest act of each kind counts, so one row holds everything. `open_until` repeats what follows from the
    other columns: until when at least one message may still be written; it never needs the clock to be kept right.
    """

    follower = BrandForeignKey(Follower, models.CASCADE, related_name="+", verbose_name=_("follower"))
    message_at = models.DateTimeField(_("last message"), null=True, blank=True)
    menu_at = models.DateTimeField(_("last menu tap"), null=True, blank=True)
    follow_at = models.DateTimeField(_("last follow"), null=True, blank=True)
    scan_at = models.DateTimeField(_("last scan"), null=True, blank=True)
    left_at = models.DateTimeField(_("unfollowed"), null=True, blank=True)
    sends = ArrayField(models.DateTimeField(), default=list, blank=True)
    open_until = models.DateTimeField(_("may be written to until"), null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("reply window")
        verbose_name_plural = _("reply windows")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand", "follower"], name="one_ledger_per_follower")]
        indexes: ClassVar = [
            models.Index(
                fields=["brand", "open_until"], condition=Q(open_until__isnull=False), name="ledger_open"
            ),  # whom customer-service messages reach
        ]

    def __str__(self) -> str:
        return f"{self.pk}"


class ConversationState(models.TextChoices):
    """Where a conversation stands."""

    WAITING = "WAITING", pgettext_lazy("conversation", "Waiting for a reply")
    OPEN = "OPEN", pgettext_lazy("conversation", "Answered")
    SNOOZED = "SNOOZED", pgettext_lazy("conversation", "Snoozed")
    RESOLVED = "RESOLVED", pgettext_lazy("conversation", "Resolved")


class Level(models.TextChoices):
    """Who looks after a conversation, nearest first."""

    GUIDE = "GUIDE", _("Exclusive guide")
    STORE = "STORE", _("Store")
    REGION = "REGION", _("Region")
    DESK = "DESK", _("Service desk")


class Conversation(BrandOwned):
    """Everything one follower and one account said to each other. One row, resolved and reopened over the years.

    Counters and `last_*` change in the transaction of what they repeat; `version` grows with every change that shows.
    """

    account = BrandForeignKey(OfficialAccount, models.PROTECT, related_name="+", verbose_name=_("service account"))
    follower = BrandForeignKey(Follower, models.PROTECT, related_name="+", verbose_name=_("follower"))
    store = BrandForeignKey(Store, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("store"))
    state = models.CharField(_("state"), max_length=10, choices=ConversationState, default=ConversationState.RESOLVED)
    level = models.CharField(_("with"), max_length=10, choices=Level, default=Level.DESK)
    assignee = models.ForeignKey(
        StaffUser,
        models.DO_NOTHING,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
        verbose_name=_("assigned to"),
    )
    assigned_at = models.DateTimeField(_("assigned"), null=True, blank=True)
    return_at = models.DateTimeField(_("goes back to the queue"), null=True, blank=True)
    held_until = models.DateTimeField(null=True, blank=True)  # with whom it was given to by hand, there or not
    returned_from = models.BigIntegerField(null=True, blank=True)
    returned_at = models.DateTimeField(null=True, blank=True)
    opened_at = models.DateTimeField(_("opened"))
    waiting_since = models.DateTimeField(_("waiting since"), null=True, blank=True)
    first_answered = models.BooleanField(default=False)
    snoozed_until = models.DateTimeField(_("snoozed until"), null=True, blank=True)
    promised_at = models.DateTimeField(_("promised"), null=True, blank=True)
    resolved_at = models.DateTimeField(_("resolved"), null=True, blank=True)
    last_at = models.DateTimeField(_("last message"))
    last_text = models.CharField(max_length=120, blank=True)
    last_inbound = models.BooleanField(default=True)
    inbound_count = models.PositiveIntegerField(default=0)
    outbound_count = models.PositiveIntegerField(default=0)
    version = models.PositiveBigIntegerField(default=0)

    class Meta(BrandOwned.Meta):
        verbose_name = _("conversation")
        verbose_name_plural = _("conversations")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "account", "follower"], name="one_conversation_per_follower"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["brand", "-last_at", "-id"], name="conversation_newest"),  # list: all
            models.Index(fields=["brand", "follower"], name="conversation_of_follower"),  # member card, search
            models.Index(
                fields=["brand", "assignee", "waiting_since"],
                condition=Q(state__in=["WAITING", "OPEN"]),
                name="conversation_of_agent",
            ),  # list: mine; load of an agent
            models.Index(
                fields=["brand", "waiting_since", "id"], condition=Q(state="WAITING"), name="conversation_waiting"
            ),  # list: waiting longest; queue
            models.Index(
                fields=["brand", "return_at"], condition=Q(return_at__isnull=False), name="conversation_return_due"
            ),
            models.Index(
                fields=["brand", "snoozed_until"], condition=Q(state="SNOOZED"), name="conversation_snooze_due"
            ),
            models.Index(
                fields=["brand", "promised_at"], condition=Q(promised_at__isnull=False), name="conversation_promise_due"
            ),
            models.Index(fields=["brand", "store", "-last_at"], name="conversation_of_store"),  # a store's list
            models.Index(
                fields=["brand", "last_at", "id"], condition=Q(state="OPEN"), name="conversation_answered"
            ),  # what is resolved by itself
        ]

    def __str__(self) -> str:
        return f"{self.pk}"


class Direction(models.TextChoices):
    """Who a line of a conversation comes from."""

    IN = "IN", pgettext_lazy("message", "Received")
    OUT = "OUT", pgettext_lazy("message", "Sent")
    EVENT = "EVENT", pgettext_lazy("message", "Event")
    NOTE = "NOTE", _("Internal note")
    SYSTEM = "SYSTEM", pgettext_lazy("message", "System")


class SendState(models.TextChoices):
    """What became of a message of ours. UNKNOWN is never repeated by itself."""

    QUEUED = "QUEUED", _("Being sent")
    SENDING = "SENDING", pgettext_lazy("message", "Sending")
    SENT = "SENT", pgettext_lazy("message", "Sent")
    REFUSED = "REFUSED", pgettext_lazy("message", "Not sent")
    UNKNOWN = "UNKNOWN", pgettext_lazy("message", "Unconfirmed")


class AttachmentState(models.TextChoices):
    """Where a file somebody sent stands."""

    WAITING = "WAITING", _("Being fetched")
    STORED = "STORED", _("Stored")
    REFUSED = "REFUSED", _("Not stored")


class Attachment(BrandOwned):
    """A file that a person sent, fetched from WeChat by its media id and kept in private storage."""

    account = BrandForeignKey(OfficialAccount, models.PROTECT, related_name="+", verbose_name=_("service account"))
    media_id = models.CharField(max_length=256)
    state = models.CharField(_("state"), max_length=10, choices=AttachmentState, default=AttachmentState.WAITING)
    content_type = models.CharField(max_length=40, blank=True)
    size = models.PositiveIntegerField(_("bytes"), default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    path = models.CharField(max_length=200, blank=True)
    reason = models.CharField(_("reason"), max_length=40, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(_("received"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("attachment")
        verbose_name_plural = _("attachments")
        indexes: ClassVar = [
            models.Index(fields=["brand", "due_at"], condition=Q(due_at__isnull=False), name="attachment_due"),
        ]

    def __str__(self) -> str:
        return f"{self.pk}"


class Message(BrandOwned):
    """One line of a conversation: what was said, by whom, an event, a note, or what happened to the conversation.

    `kind` is WeChat's message or event kind, or a step of ours; `facts` holds what it needs to be shown. `push_id`
    names the push it came from (no key: pushes leave after a month, conversations stay). `client_key` is made by the
    page that sends, so that a double click is one message. `grams` is what the search looks in (see `inbox.words`).
    """

    conversation = BrandForeignKey(Conversation, models.CASCADE, related_name="messages")
    direction = models.CharField(max_length=8, choices=Direction)
    kind = models.CharField(max_length=40)
    text = models.TextField(blank=True)
    facts = models.JSONField(default=dict, blank=True)
    grams = ArrayField(models.CharField(max_length=32), default=list, blank=True)
    at = models.DateTimeField(_("when"))
    author = models.ForeignKey(
        StaffUser, models.DO_NOTHING, null=True, blank=True, related_name="+", db_index=False, verbose_name=_("by")
    )
    attachment = BrandForeignKey(Attachment, models.PROTECT, null=True, blank=True, related_name="+")
    push_id = models.BigIntegerField(null=True, blank=True)
    client_key = models.UUIDField(null=True, blank=True)
    state = models.CharField(_("state"), max_length=10, choices=SendState, blank=True)
    reserved_at = models.DateTimeField(null=True, blank=True)
    due_at = models.DateTimeField(null=True, blank=True)  # one that certainly did not leave is tried again then
    started_at = models.DateTimeField(null=True, blank=True)
    settled_at = models.DateTimeField(null=True, blank=True)
    code = models.IntegerField(_("WeChat's code"), null=True, blank=True)
    cause = models.CharField(_("cause"), max_length=40, blank=True)
    msgid = models.BigIntegerField(null=True, blank=True)  # under which WeChat reports later what became of it

    class Meta(BrandOwned.Meta):
        verbose_name = pgettext_lazy("conversation", "message")
        verbose_name_plural = pgettext_lazy("conversation", "messages")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["brand", "push_id", "direction"],
                condition=Q(push_id__isnull=False),
                name="one_message_per_push",
            ),
            models.UniqueConstraint(
                fields=["brand", "client_key"], condition=Q(client_key__isnull=False), name="one_message_per_click"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["brand", "conversation", "-at", "-id"], name="message_of_conversation"),  # thread
            models.Index(
                fields=["brand", "at"], condition=Q(state__in=["QUEUED", "SENDING"]), name="message_under_way"
            ),  # sweep
            models.Index(fields=["brand", "-at", "-id"], name="message_newest"),  # search for what is said often
            models.Index(fields=["brand", "msgid"], condition=Q(msgid__isnull=False), name="message_reported"),
            GinIndex(fields=["brand", "grams"], name="message_words"),  # search for what is said seldom
        ]

    def __str__(self) -> str:
        return f"{self.pk}"


class Hop(BrandOwned):
    """One step of finding who answers: asked whom, taken or not, and why. What 为什么 shows."""

    conversation = BrandForeignKey(Conversation, models.CASCADE, related_name="hops")
    at = models.DateTimeField(_("when"))
    level = models.CharField(max_length=10, choices=Level)
    taken = models.BooleanField(default=False)
    reason = models.CharField(max_length=30)
    facts = models.JSONField(default=dict, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("routing step")
        verbose_name_plural = _("routing steps")
        indexes: ClassVar = [models.Index(fields=["brand", "conversation", "-id"], name="hops_of_conversation")]

    def __str__(self) -> str:
        return f"{self.pk} {self.level} {self.reason}"


class Answer(BrandOwned):
    """How long somebody waited for an answer of a person: the source of response times per store and person.

    `office_seconds` leaves out the time when whoever answered was closed (see `inbox.figures`).
    """

    conversation = BrandForeignKey(Conversation, models.CASCADE, related_name="+")
    message = BrandForeignKey(Message, models.CASCADE, related_name="+")
    store = BrandForeignKey(Store, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("store"))
    staff_user = models.ForeignKey(
        StaffUser, models.DO_NOTHING, null=True, blank=True, related_name="+", db_index=False
    )
    since = models.DateTimeField(_("waiting since"))
    at = models.DateTimeField(_("answered"))
    seconds = models.PositiveIntegerField(_("seconds"))
    office_seconds = models.PositiveIntegerField(_("seconds within hours"), null=True, blank=True)
    is_first = models.BooleanField(default=False)

    class Meta(BrandOwned.Meta):
        verbose_name = _("answer")
        verbose_name_plural = _("answers")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand", "message"], name="answer_once")]
        indexes: ClassVar = [
            models.Index(
                fields=["brand", "at"],
                include=["store", "staff_user", "office_seconds", "seconds"],
                condition=Q(is_first=True),
                name="first_answers",
            ),  # figures, from the index alone
        ]

    def __str__(self) -> str:
        return f"{self.pk}"


class Agent(BrandOwned):
    """Somebody who answers: for which stores, how many conversations at once, and whether they are there.

    `store_ids` is empty for the desk, which answers for all stores.
    """

    staff_user = models.ForeignKey(
        StaffUser, models.DO_NOTHING, related_name="+", db_index=False, verbose_name=_("staff member")
    )
    level = models.CharField(_("answers as"), max_length=10, choices=Level)
    store_ids = ArrayField(models.BigIntegerField(), default=list, blank=True)
    capacity = models.PositiveSmallIntegerField(
        _("conversations at once"), default=8, validators=[MinValueValidator(1), MaxValueValidator(100)]
    )
    on_duty = models.BooleanField(_("on duty"), default=False)
    seen_at = models.DateTimeField(_("last seen"), null=True, blank=True)
    last_assigned_at = models.DateTimeField(_("last assigned"), null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("agent")
        verbose_name_plural = _("agents")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand", "staff_user"], name="one_agent_per_person")]

    def __str__(self) -> str:
        return f"{self.pk}"


class ServiceHours(BrandOwned):
    """When the desk and the regions answer, per weekday (Monday = 0). No rows: always.

    A row with `day` is for that day alone, which then has none of its weekday's hours; without times it is closed.
    """

    weekday = models.SmallIntegerField(_("weekday"), validators=[MinValueValidator(0), MaxValueValidator(6)])
    day = models.DateField(
        _("only on this day"),
        null=True,
        blank=True,
        help_text=_("A day that differs from its week, such as a holiday. Without times the desk is closed on it."),
    )
    opens = models.TimeField(_("opens"), null=True, blank=True)
    closes = models.TimeField(_("closes"), null=True, blank=True)
    reason = models.CharField(_("reason"), max_length=60, blank=True, default="", db_default="")

    class Meta(BrandOwned.Meta):
        verbose_name = _("service hours")
        verbose_name_plural = _("service hours")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["brand", "weekday", "opens"],
                condition=Q(day__isnull=True),
                name="service_span_of_day",
            ),
            models.UniqueConstraint(
                fields=["brand", "day", "opens"],
                condition=Q(day__isnull=False),
                name="service_span_of_date",
            ),
            models.CheckConstraint(
                condition=Q(opens__isnull=False, closes__isnull=False)
                | Q(day__isnull=False, opens__isnull=True, closes__isnull=True),
                name="service_times_or_closed",
            ),
            models.CheckConstraint(condition=Q(weekday__gte=0, weekday__lte=6), name="service_weekday_exists"),
        ]

    def __str__(self) -> str:
        times = f"{self.opens:%H:%M}–{self.closes:%H:%M}" if self.opens and self.closes else "–"
        return f"{self.day or self.weekday} {times}"


class CannedReply(BrandOwned):
    """A text agents send often; `/` and the beginning of its name or shortcut find it."""

    shortcut = models.CharField(_("shortcut"), max_length=20)
    title = models.CharField(_("title"), max_length=40)
    text = models.TextField(_("text"), max_length=600)
    used = models.PositiveIntegerField(_("used"), default=0)
    updated_at = models.DateTimeField(_("changed"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("canned reply")
        verbose_name_plural = _("canned replies")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand", "shortcut"], name="shortcut_in_brand")]

    def __str__(self) -> str:
        return self.title


class TaskKind(models.TextChoices):
    """Why somebody has to do something."""

    PROMISE = "PROMISE", _("Promised reply")
    FOLLOW_UP = "FOLLOW_UP", _("Guide task")
    WRITES_AGAIN = "WRITES_AGAIN", _("When they write again")


class AgentTask(BrandOwned):
    """Something a person has to do about a conversation, from a moment on (no moment: when the follower writes)."""

    conversation = BrandForeignKey(Conversation, models.CASCADE, related_name="tasks")
    kind = models.CharField(_("kind"), max_length=14, choices=TaskKind)
    staff_user = models.ForeignKey(
        StaffUser, models.DO_NOTHING, null=True, blank=True, related_name="+", db_index=False, verbose_name=_("for")
    )
    note = models.CharField(_("what to do"), max_length=200, blank=True)
    due_at = models.DateTimeField(_("due"), null=True, blank=True)
    created_at = models.DateTimeField(_("created"))
    done_at = models.DateTimeField(_("done"), null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("task")
        verbose_name_plural = _("tasks")
        indexes: ClassVar = [
            models.Index(
                fields=["brand", "due_at", "id"], condition=Q(done_at__isnull=True), name="agent_task_due"
            ),  # tasks page, sweep
            models.Index(fields=["brand", "conversation"], name="agent_tasks_of_conversation"),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.kind}"


class InboxPolicy(BrandOwned):
    """How long a brand keeps conversations, and when one is resolved by itself; without a row the defaults hold.

    `resolve_days` are days after our last answer without a reply; 0: only people resolve. `promise` is what whoever
    writes outside the service hours is told, with `{when}`; empty: our own words.
    """

    keep_days = models.PositiveSmallIntegerField(_("days conversations are kept"), default=180)
    resolve_days = models.PositiveSmallIntegerField(_("resolved after days without a reply"), default=7, db_default=7)
    promise = models.CharField(_("promise of a reply"), max_length=300, blank=True, default="", db_default="")
    updated_at = models.DateTimeField(_("changed"), null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("retention of conversations")
        verbose_name_plural = _("retention of conversations")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand"], name="one_inbox_policy")]

    def __str__(self) -> str:
        return f"{self.keep_days}"
