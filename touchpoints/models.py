"""The channel tree: media, places and objects with their codes, and every scan of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.tenancy import BrandForeignKey, BrandOwned
from members.models import Follower, Member, Tag
from stores.models import Store
from wechat_gateway.models import MiniProgram, OfficialAccount

if TYPE_CHECKING:
    from wechat_gateway.events import Push


class Touchpoint(BrandOwned):
    """A node of the channel tree. A leaf with a `scene` has a code that people scan.

    What a node is follows from where it stands: a code is an object, the top a medium, all between are places.
    `expires_at` is when the picture of a temporary code stops working, `ends_at` when the brand wants it to end.
    `owner_kind` is a key of the registry of owners, which knows what `owner_id` names; `benefit_kind` is one of the
    registry of benefits, which gives what `benefit_id` names. `benefit` is what is printed, and gives nothing.
    With an `origin` no code leads there: it is where people come from by WeChat itself (`origins.py`).
    """

    name = models.CharField(_("name"), max_length=60)
    parent = BrandForeignKey("self", models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("below"))
    account = BrandForeignKey(OfficialAccount, models.PROTECT, null=True, blank=True, related_name="+")
    scene = models.CharField(_("scene"), max_length=64, blank=True)
    store = BrandForeignKey(Store, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("store"))
    welcome = models.TextField(_("welcome"), max_length=600, blank=True)
    is_permanent = models.BooleanField(_("permanent code"), default=False)
    ticket = models.CharField(max_length=200, blank=True)
    code_url = models.CharField(max_length=200, blank=True)
    expires_at = models.DateTimeField(_("code ends"), null=True, blank=True)
    problem = models.CharField(_("problem"), max_length=200, blank=True)
    is_active = models.BooleanField(_("in use"), default=True)
    benefit = models.CharField(_("benefit"), max_length=120, blank=True)
    ends_at = models.DateTimeField(_("in use until"), null=True, blank=True)
    archived_at = models.DateTimeField(_("archived"), null=True, blank=True)
    owner_kind = models.CharField(_("kind of owner"), max_length=20, blank=True)
    owner_id = models.BigIntegerField(_("owner"), null=True, blank=True)
    benefit_kind = models.CharField(_("kind of benefit"), max_length=20, blank=True, db_default="")
    benefit_id = models.BigIntegerField(_("what scanning it gives"), null=True, blank=True)
    created_at = models.DateTimeField(_("created"))
    origin = models.CharField(max_length=40, blank=True, db_default="")

    class Meta(BrandOwned.Meta):
        verbose_name = _("channel")
        verbose_name_plural = _("channels")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "origin"], condition=~models.Q(origin=""), name="origin_once"),
            models.UniqueConstraint(
                fields=["brand", "account", "scene"],
                condition=~models.Q(scene=""),
                name="scene_of_account",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["brand", "parent", "name"], name="touchpoint_tree")]

    def __str__(self) -> str:
        return self.name


class TouchpointTag(BrandOwned):
    """A tag that a code puts on whoever scans it."""

    touchpoint = BrandForeignKey(Touchpoint, models.CASCADE, related_name="tags", verbose_name=_("channel"))
    tag = BrandForeignKey(Tag, models.CASCADE, related_name="+", verbose_name=_("tag"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("tag of a channel")
        verbose_name_plural = _("tags of channels")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "touchpoint", "tag"], name="tag_once_per_touchpoint"),
        ]

    def __str__(self) -> str:
        return f"{self.pk}"


class CodeIssue(BrandOwned):
    """A picture of a code as WeChat made it once: a renewed code has several, and each may hang printed somewhere."""

    touchpoint = BrandForeignKey(Touchpoint, models.PROTECT, related_name="+", verbose_name=_("channel"))
    account = BrandForeignKey(OfficialAccount, models.PROTECT, related_name="+")
    ticket = models.CharField(max_length=200)
    url = models.CharField(max_length=200)
    is_permanent = models.BooleanField(_("permanent code"), default=False)
    issued_at = models.DateTimeField(_("made"))
    expires_at = models.DateTimeField(_("ends"), null=True, blank=True)
    printed_at = models.DateTimeField(_("downloaded for print"), null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("code picture")
        verbose_name_plural = _("code pictures")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "touchpoint", "ticket"], name="ticket_once_per_touchpoint"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["brand", "account"], condition=models.Q(is_permanent=True), name="permanent_codes"),
            models.Index(
                fields=["brand", "expires_at"], condition=models.Q(printed_at__isnull=False), name="prints_by_end"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pk}"


class CodeOrder(BrandOwned):
    """One question to WeChat for a code, written before it is asked: an answer we lost leaves a trace.

    An order without an answer holds other orders of its channel back for a while; afterwards it is `LOST`. What WeChat
    made by it is found again by asking for the same scene. A lost order of a permanent code may have cost one.
    """

    class State(models.TextChoices):
        ASKED = "ASKED", _("asked")
        MADE = "MADE", _("made")
        REFUSED = "REFUSED", _("refused")
        LOST = "LOST", _("answer lost")
        FOUND = "FOUND", _("found again")

    touchpoint = BrandForeignKey(Touchpoint, models.CASCADE, related_name="+", verbose_name=_("channel"))
    account = BrandForeignKey(OfficialAccount, models.PROTECT, related_name="+")
    is_permanent = models.BooleanField(_("permanent code"), default=False)
    state = models.CharField(_("state"), max_length=8, choices=State, default=State.ASKED)
    asked_at = models.DateTimeField(_("asked"))
    answered_at = models.DateTimeField(_("answered"), null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("order of a code")
        verbose_name_plural = _("orders of codes")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["brand", "touchpoint"], condition=models.Q(state="ASKED"), name="one_open_order_per_touchpoint"
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["brand", "account"], condition=models.Q(is_permanent=True, state="LOST"), name="lost_orders"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.state}"


class CodeAllowance(BrandOwned):
    """How many permanent codes WeChat lets an account make, where it is another number than WeChat's documented one.

    `made_elsewhere` are codes made without this product: WeChat counts them and tells nobody. Whether the same scene
    asked for again is the same code is not confirmed (reference: service account 5.5), so `repeats_are_free` says it.
    """

    account = BrandForeignKey(OfficialAccount, models.CASCADE, related_name="+", verbose_name=_("service account"))
    permanent_codes = models.PositiveIntegerField(_("permanent codes in all"))
    made_elsewhere = models.PositiveIntegerField(_("made elsewhere"), default=0)
    repeats_are_free = models.BooleanField(_("the same scene asked for again costs nothing"), default=True)
    changed_at = models.DateTimeField(_("changed"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("allowance of codes")
        verbose_name_plural = _("allowances of codes")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand", "account"], name="allowance_of_account")]

    def __str__(self) -> str:
        return f"{self.permanent_codes}"


class Move(BrandOwned):
    """A branch got another place. With `restates` the past is counted where it stands now, otherwise where it stood."""

    touchpoint = BrandForeignKey(Touchpoint, models.CASCADE, related_name="+", verbose_name=_("channel"))
    before = BrandForeignKey(Touchpoint, models.PROTECT, null=True, blank=True, related_name="+")
    after = BrandForeignKey(Touchpoint, models.PROTECT, null=True, blank=True, related_name="+")
    restates = models.BooleanField(_("past counted at the new place"), default=False)
    at = models.DateTimeField(_("when"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("move of a channel")
        verbose_name_plural = _("moves of channels")
        indexes: ClassVar = [models.Index(fields=["brand", "touchpoint", "at"], name="move_of_touchpoint")]

    def __str__(self) -> str:
        return f"{self.pk}"


class Cost(BrandOwned):
    """What a channel cost over a period, in fen; a report takes the days it covers."""

    touchpoint = BrandForeignKey(Touchpoint, models.CASCADE, related_name="costs", verbose_name=_("channel"))
    amount = models.BigIntegerField(_("amount (fen)"))
    starts_on = models.DateField(_("from"))
    ends_on = models.DateField(_("to"))
    note = models.CharField(_("for what"), max_length=60, blank=True)
    created_at = models.DateTimeField(_("created"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("cost of a channel")
        verbose_name_plural = _("costs of channels")
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(amount__gte=0, ends_on__gte=models.F("starts_on")), name="cost_of_some_days"
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["brand", "touchpoint"], name="cost_of_touchpoint")]

    def __str__(self) -> str:
        return f"{self.pk}"


class SentBy(models.TextChoices):
    """What takes a short scene to people, where it is not a printed picture."""

    KEYWORD = "KEYWORD", _("Keyword reply")
    WELCOME = "WELCOME", _("Welcome")
    MENU = "MENU", _("Menu")
    REPLY = "REPLY", _("Automatic reply")


class MiniCode(BrandOwned):
    """A mini-program code of a channel: eight characters as its scene, which only this brand can resolve.

    With `sent_by` it is no picture but travels with the page of a card or a button; `sender` names that one.
    """

    touchpoint = BrandForeignKey(Touchpoint, models.PROTECT, related_name="+", verbose_name=_("channel"))
    program = BrandForeignKey(MiniProgram, models.PROTECT, related_name="+", verbose_name=_("mini program"))
    code = models.CharField(_("short scene"), max_length=8)
    page = models.CharField(_("page"), max_length=128)
    picture = models.BinaryField(null=True, blank=True)
    problem = models.CharField(_("problem"), max_length=200, blank=True)
    created_at = models.DateTimeField(_("created"))
    ends_at = models.DateTimeField(_("in use until"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)
    sent_by = models.CharField(_("sent by"), max_length=10, choices=SentBy, blank=True, db_default="")
    sender = models.CharField(max_length=60, blank=True, db_default="")

    class Meta(BrandOwned.Meta):
        verbose_name = _("mini-program code")
        verbose_name_plural = _("mini-program codes")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand", "code"], name="short_scene_once")]
        indexes: ClassVar = [models.Index(fields=["brand", "touchpoint"], name="mini_code_of_touchpoint")]

    def __str__(self) -> str:
        return self.code


class TouchKind(models.TextChoices):
    """What a scan meant at that moment."""

    FOLLOW = "FOLLOW", _("New follower")
    REFOLLOW = "REFOLLOW", _("Came back")
    SCAN = "SCAN", _("Already following")
    OPEN = "OPEN", _("Opened the mini program")
    CONTACT = "CONTACT", _("Added a guide in WeCom")


class TouchCase(models.TextChoices):
    """Who scanned, as it was known at that moment. Each case has its own outcome."""

    NEW = "NEW", _("New follower")
    RETURNING = "RETURNING", _("Came back")
    FOLLOWING = "FOLLOWING", _("Already following")
    MEMBER = "MEMBER", _("Already a member")
    VISITOR = "VISITOR", _("Not following")  # only by mini-program codes: others lead to the service account
    STAFF = "STAFF", _("Staff")


class Touch(BrandOwned):
    """One scan of a code (or one follow without any). Kept for ever: attribution is a view on these rows.

    `seen_as` is the case of somebody who is left out of reports, for the day on which they are let in again.
    A mini-program code brings somebody who need not follow; `opening` then tells one opening from a repeated call.
    """

    touchpoint = BrandForeignKey(
        Touchpoint, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("channel")
    )
    follower = BrandForeignKey(
        Follower, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("follower")
    )
    member = BrandForeignKey(Member, models.PROTECT, related_name="touches", verbose_name=_("member"))
    kind = models.CharField(_("kind"), max_length=10, choices=TouchKind)
    case = models.CharField(_("who scanned"), max_length=10, choices=TouchCase, blank=True)
    seen_as = models.CharField(max_length=10, blank=True, db_default="")
    issue = BrandForeignKey(CodeIssue, models.PROTECT, null=True, blank=True, related_name="+")
    mini_code = BrandForeignKey(MiniCode, models.PROTECT, null=True, blank=True, related_name="+")
    scene = models.CharField(_("scene"), max_length=64, blank=True)
    at = models.DateTimeField(_("when"))
    push_id = models.BigIntegerField(null=True, blank=True)
    opening = models.CharField(max_length=100, blank=True)
    push: Push | None = None  # what set it off, while that is being handled

    class Meta(BrandOwned.Meta):
        verbose_name = _("touch")
        verbose_name_plural = _("touches")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["brand", "push_id"],
                condition=models.Q(push_id__isnull=False),
                name="one_touch_per_push",
            ),
            models.UniqueConstraint(
                fields=["brand", "opening"], condition=~models.Q(opening=""), name="one_touch_per_opening"
            ),
            models.CheckConstraint(
                condition=models.Q(follower__isnull=False) | models.Q(kind__in=["OPEN", "CONTACT"]),
                name="scan_of_a_follower",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["brand", "touchpoint", "-at"], name="touch_of_point"),  # channel figures
            models.Index(fields=["brand", "member", "-at"], name="touch_of_member"),  # timeline
            models.Index(fields=["brand", "at"], name="touch_of_time"),  # reports over a window
            models.Index(fields=["brand", "touchpoint", "at"], condition=models.Q(case="STAFF"), name="touch_of_staff"),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.kind}"


class Unfollow(BrandOwned):
    """Somebody stopped following at a moment. Kept for ever: how long people stay is counted from these rows."""

    follower = BrandForeignKey(Follower, models.PROTECT, related_name="+", verbose_name=_("follower"))
    at = models.DateTimeField(_("when"))
    push_id = models.BigIntegerField(null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("unfollow")
        verbose_name_plural = _("unfollows")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["brand", "push_id"],
                condition=models.Q(push_id__isnull=False),
                name="one_unfollow_per_push",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["brand", "follower", "at"], name="unfollow_of_follower")]

    def __str__(self) -> str:
        return f"{self.pk}"


class StaffPerson(BrandOwned):
    """A person who works for the brand: their scans are kept, count nowhere and set nothing off."""

    member = BrandForeignKey(Member, models.CASCADE, related_name="+", verbose_name=_("member"))
    since = models.DateTimeField(_("since"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("person of the staff")
        verbose_name_plural = _("people of the staff")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand", "member"], name="staff_person_once")]

    def __str__(self) -> str:
        return f"{self.pk}"


# --- figures: what reports add up, always to be made again from the touches -------------------------------------------


class CountedTouch(BrandOwned):
    """A touch as the sums have counted it, and what became of the person when one looks from this touch on.

    `seq` of `total` is its place among the person's touches; `day` and `previous_day` are days of the brand's zone.
    `outcome` holds a bit for each figure it counts for, `cohort` the month of the follow (12 * year + month).
    `value_30` is what the person brought within 30 days after the follow, in fen, nothing before they are over.
    `due_at` is when an outcome changes by time alone: somebody who followed 30 days ago becomes one who stayed.
    """

    touch_id = models.BigIntegerField()  # no keys: a touch that goes is taken out of the sums by this row afterwards
    member_id = models.BigIntegerField()
    touchpoint_id = models.BigIntegerField()
    at = models.DateTimeField()
    day = models.DateField()
    previous_day = models.DateField(null=True)
    seq = models.IntegerField()
    total = models.IntegerField()
    case = models.CharField(max_length=10)
    placed_at = models.DateTimeField()
    followed_at = models.DateTimeField(null=True)
    left_at = models.DateTimeField(null=True)
    cohort = models.IntegerField(default=0)
    outcome = models.IntegerField(default=0)
    value_30 = models.BigIntegerField(default=0)
    value_90 = models.BigIntegerField(default=0)
    due_at = models.DateTimeField(null=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("counted touch")
        verbose_name_plural = _("counted touches")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand", "touch_id"], name="touch_counted_once")]
        indexes: ClassVar = [
            models.Index(fields=["brand", "member_id", "seq"], name="counted_of_member"),
            models.Index(
                fields=["brand", "touchpoint_id", "-at", "-touch_id"], name="counted_of_point"
            ),  # rows of a code
            models.Index(fields=["brand", "-at", "-touch_id"], name="counted_newest"),
            models.Index(fields=["brand", "due_at"], condition=models.Q(due_at__isnull=False), name="counted_due"),
        ]

    def __str__(self) -> str:
        return f"{self.touch_id}"


class ChannelSum(BrandOwned):
    """Shares of people by the month their window opens, for one model; without a model, plain touches by case.

    A person with touches in May and July counts from May for windows that begin then or earlier, and differently for
    windows from June or July. So July holds what May shall not count: `parts` may be negative, and the figures of a
    window are the sum of all months from its first on. `month` is a month's first day. `parts` has a number for each
    figure. With a `cohort` (the month of the follow, 12 * year + month) only who followed then, with 0 everybody.
    """

    model = models.CharField(max_length=20, blank=True)
    month = models.DateField()
    touchpoint_id = models.BigIntegerField()
    placed_at = models.DateTimeField()
    cohort = models.IntegerField(default=0)
    parts = ArrayField(models.BigIntegerField())

    class Meta(BrandOwned.Meta):
        verbose_name = _("sum of a channel")
        verbose_name_plural = _("sums of channels")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["brand", "model", "cohort", "month", "touchpoint_id", "placed_at"], name="one_sum_per_cohort"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pk}"


class Recount(BrandOwned):
    """A person of whom something changed that figures depend on. Triggers write it with the change itself."""

    member_id = models.BigIntegerField()

    class Meta(BrandOwned.Meta):
        verbose_name = _("person to be counted again")
        verbose_name_plural = _("people to be counted again")

    def __str__(self) -> str:
        return f"{self.member_id}"


class FigureState(BrandOwned):
    """How far the sums of a brand are. `meaning` is a mark of the definitions they were made by."""

    meaning = models.CharField(max_length=64, blank=True)
    is_complete = models.BooleanField(default=False)
    counted_at = models.DateTimeField(null=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("state of figures")
        verbose_name_plural = _("states of figures")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand"], name="one_figure_state")]

    def __str__(self) -> str:
        return f"{self.pk}"
