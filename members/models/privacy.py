"""Consent, refusals, the brand's privacy policy and the clocks of erasure."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts.fields import SealedTextField
from accounts.models import ApiKey, StaffUser
from accounts.tenancy import BrandForeignKey, BrandOwned
from members.models.people import Follower, Member


class Purpose(models.TextChoices):
    """What the brand may use a person's data for."""

    SERVICE = "SERVICE", _("Service notices")
    MARKETING = "MARKETING", _("Marketing")


class ConsentPurpose(BrandOwned):
    """A purpose of the brand's own, beside those of `Purpose`."""

    code = models.CharField(_("code"), max_length=20)
    name = models.CharField(_("name"), max_length=30)
    meaning = models.CharField(_("what the data is used for"), max_length=200)
    is_active = models.BooleanField(_("in use"), default=True)
    created_at = models.DateTimeField(_("created"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("purpose")
        verbose_name_plural = _("purposes")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand", "code"], name="consent_purpose_in_brand")]

    def __str__(self) -> str:
        return self.name


class ConsentText(BrandOwned):
    """What people are shown before they agree, word by word. Append-only: a new wording is a new version."""

    purpose = models.CharField(_("purpose"), max_length=20)
    version = models.CharField(_("version"), max_length=20)
    body = models.TextField(_("text"))
    written_by = models.CharField(_("written by"), max_length=60)
    effective_at = models.DateTimeField(_("from"))
    created_at = models.DateTimeField(_("written"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("consent text")
        verbose_name_plural = _("consent texts")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "purpose", "version"], name="consent_text_once"),
        ]

    def __str__(self) -> str:
        return self.version


class Consent(BrandOwned):
    """One statement of a person about one purpose. Append-only: the newest row per purpose is in force.

    `purpose` is of `Purpose`, the code of a `ConsentPurpose`, or a key of `members.choices` (a topic, a way).
    """

    member = BrandForeignKey(Member, models.PROTECT, related_name="consents", verbose_name=_("member"))
    purpose = models.CharField(_("purpose"), max_length=40)
    granted = models.BooleanField(_("agreed"))
    text_version = models.CharField(_("text version"), max_length=20)
    channel = models.CharField(_("channel"), max_length=20, blank=True, default="", db_default="")
    source = models.CharField(_("source"), max_length=40)
    at = models.DateTimeField(_("when"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("consent")
        verbose_name_plural = _("consents")
        indexes: ClassVar = [models.Index(fields=["brand", "member", "purpose", "-at", "-id"], name="consent_newest")]

    def __str__(self) -> str:
        return f"{self.pk} {self.purpose}"


class OptOut(BrandOwned):
    """What somebody must not be written to about, as every sender looks it up: a row is there while any holds.

    `withdrawn`: they said so; `listed`: they are on the brand's list; `control`: they are in the global control group;
    `minor`: they are under 14. Senders need to know only whether there is a row. `purpose` is a purpose or a key of
    `members.choices`. The row of quiet hours (`QUIET`) refuses nothing: it carries from when until when one waits.
    """

    member = BrandForeignKey(Member, models.PROTECT, related_name="+", verbose_name=_("member"))
    purpose = models.CharField(_("purpose"), max_length=40)
    at = models.DateTimeField(_("when"))
    withdrawn = models.BooleanField(default=True, db_default=True)
    listed = models.BooleanField(default=False, db_default=False)
    control = models.BooleanField(default=False, db_default=False)
    minor = models.BooleanField(default=False, db_default=False)
    quiet_from = models.TimeField(null=True, blank=True)
    quiet_until = models.TimeField(null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("opt-out")
        verbose_name_plural = _("opt-outs")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "member", "purpose"], name="opted_out_once"),
            models.CheckConstraint(
                condition=models.Q(withdrawn=True)
                | models.Q(listed=True)
                | models.Q(control=True)
                | models.Q(minor=True),
                name="opted_out_for_a_reason",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["brand", "member"], condition=models.Q(purpose="PERSONAL"), name="objectors"),  # tags
        ]

    def __str__(self) -> str:
        return f"{self.pk}"

    @property
    def is_control_alone(self) -> bool:
        """Whether nothing but the control group holds: chance decided, not the person and not the brand."""
        return self.control and not (self.withdrawn or self.listed or self.minor)


class Topic(BrandOwned):
    """What a brand writes about, so that a person can refuse one subject and keep the others."""

    code = models.CharField(_("code"), max_length=20)
    name = models.CharField(_("name"), max_length=30)
    meaning = models.CharField(_("what it is about"), max_length=120, blank=True)
    is_active = models.BooleanField(_("offered"), default=True)
    created_at = models.DateTimeField(_("created"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("topic")
        verbose_name_plural = _("topics")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand", "code"], name="topic_in_brand")]

    def __str__(self) -> str:
        return self.name


class PrivacyPolicy(BrandOwned):
    """How long a brand keeps what somebody left; a brand without a row uses these defaults."""

    unfollow_grace_days = models.PositiveSmallIntegerField(_("days after an unfollow"), default=7)
    withdrawal_days = models.PositiveSmallIntegerField(_("days after a withdrawal"), default=0)
    updated_at = models.DateTimeField(_("changed"), null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("privacy policy")
        verbose_name_plural = _("privacy policies")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand"], name="one_privacy_policy")]

    def __str__(self) -> str:
        return f"{self.unfollow_grace_days}"


class ErasureReason(models.TextChoices):
    """What started an erasure clock."""

    UNFOLLOWED = "UNFOLLOWED", _("Unfollowed")
    REVOKED = "REVOKED", _("Withdrew an authorisation at WeChat")
    MODIFIED = "MODIFIED", _("Changed the profile at WeChat")
    CANCELLED = "CANCELLED", _("Closed the WeChat account")


class ErasureState(models.TextChoices):
    """How an erasure clock stands."""

    RUNNING = "RUNNING", _("Running")
    STOPPED = "STOPPED", _("Stopped: follows again")
    DONE = "DONE", _("Done")


class ErasureClock(BrandOwned):
    """A follower's data on its way to deletion: since when, until when, and what was deleted in the end.

    `what` is WeChat's RevokeInfo; each thing that is withdrawn has a clock of its own. `erased` maps kinds of data to
    how many rows went; nothing of what they held. `held_for` says what it waits for beyond its day: a dispute, frozen
    points. `proof` is `members.proof` in plain values, for a person who went altogether.
    """

    follower = BrandForeignKey(Follower, models.PROTECT, related_name="+", verbose_name=_("follower"))
    reason = models.CharField(_("reason"), max_length=20, choices=ErasureReason)
    what = models.CharField(_("withdrawn"), max_length=40, blank=True)
    started_at = models.DateTimeField(_("since"))
    due_at = models.DateTimeField(_("deleted at"))
    state = models.CharField(_("state"), max_length=12, choices=ErasureState, default=ErasureState.RUNNING)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    erased = models.JSONField(_("deleted"), default=dict)
    held_for = models.CharField(_("waits for"), max_length=200, blank=True, default="", db_default="")
    proof = models.JSONField(_("proof"), default=dict, db_default={})

    class Meta(BrandOwned.Meta):
        verbose_name = _("erasure")
        verbose_name_plural = _("erasures")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["brand", "follower", "reason", "what"],
                condition=models.Q(state="RUNNING"),
                name="one_running_clock_each",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["brand", "due_at"], condition=models.Q(state="RUNNING"), name="erasure_due"),
            models.Index(fields=["brand", "-started_at"], name="erasure_newest"),  # the list
            models.Index(fields=["brand", "follower"], name="erasures_of_follower"),  # the member's page
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.reason}"


class LegalHold(BrandOwned):
    """Nothing of this person may be deleted for the time being: a dispute, an inquiry of an authority."""

    member = BrandForeignKey(Member, models.PROTECT, related_name="+", verbose_name=_("member"))
    reason = models.CharField(_("reason"), max_length=120)
    by = models.CharField(_("by"), max_length=60, blank=True)
    at = models.DateTimeField(_("since"))
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("legal hold")
        verbose_name_plural = _("legal holds")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["brand", "member"], condition=models.Q(ended_at__isnull=True), name="one_legal_hold"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pk}"


class RequestKind(models.TextChoices):
    """What somebody asks for under the law (PIPL 24, 45 to 48)."""

    COPY = "COPY", _("Copy of the personal data")
    ERASE = "ERASE", _("Deletion of the personal data")
    CORRECT = "CORRECT", _("Correction of the personal data")
    EXPLAIN = "EXPLAIN", _("Explanation of automated decisions")
    OBJECT = "OBJECT", _("Objection to personalised marketing")


class RequestState(models.TextChoices):
    """How a request stands."""

    OPEN = "OPEN", pgettext_lazy("request", "Open")
    READY = "READY", _("Ready to be fetched")
    DONE = "DONE", _("Done")
    REFUSED = "REFUSED", _("Refused")
    TAKEN_BACK = "TAKEN_BACK", _("Taken back")


class RightsRequest(BrandOwned):
    """What somebody asks for about their own data, until when it must be answered, and what came of it.

    `proof` is the proof of an erasure, in plain values. `words` is what is wrong and how it should be, or which
    decision is meant; `answer` is what somebody of the brand adds to an explanation.
    """

    public_id = models.UUIDField(default=uuid.uuid4, editable=False)
    member = BrandForeignKey(Member, models.PROTECT, related_name="+", verbose_name=_("member"))
    kind = models.CharField(_("asks for"), max_length=10, choices=RequestKind)
    words = models.CharField(_("in their words"), max_length=200, blank=True)
    channel = models.CharField(_("channel"), max_length=20)
    asked_at = models.DateTimeField(_("asked"))
    due_at = models.DateTimeField(_("answer until"))
    state = models.CharField(_("state"), max_length=12, choices=RequestState, default=RequestState.OPEN)
    asked_by = models.CharField(_("entered by"), max_length=60, blank=True)
    answered_by = models.CharField(_("answered by"), max_length=60, blank=True)
    answered_at = models.DateTimeField(_("answer given"), null=True, blank=True)
    refusal = models.CharField(_("why refused"), max_length=200, blank=True)
    answer = models.CharField(_("what the person is told"), max_length=400, blank=True, default="", db_default="")
    proof = models.JSONField(_("proof"), default=dict)

    class Meta(BrandOwned.Meta):
        verbose_name = _("request about personal data")
        verbose_name_plural = _("requests about personal data")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "public_id"], name="rights_request_in_brand"),
            models.UniqueConstraint(
                fields=["brand", "member", "kind"], condition=models.Q(state="OPEN"), name="one_open_request"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["brand", "-asked_at", "-id"], name="rights_newest"),  # the list
            models.Index(fields=["brand", "due_at"], condition=models.Q(state="OPEN"), name="rights_due"),  # home page
            models.Index(fields=["brand", "member"], name="rights_of_member"),  # a person's own, the card
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.kind}"


class RequestFile(BrandOwned):
    """The copy that was made for a request: sealed, fetched once, gone after its days."""

    public_id = models.UUIDField(default=uuid.uuid4, editable=False)
    request = BrandForeignKey(RightsRequest, models.CASCADE, related_name="+", verbose_name=_("request"))
    content = SealedTextField(bind=("public_id",))
    sha256 = models.CharField(max_length=64)
    made_at = models.DateTimeField(_("made"))
    expires_at = models.DateTimeField(_("until"))
    fetched_at = models.DateTimeField(_("fetched"), null=True, blank=True)
    fetched_by = models.CharField(_("fetched by"), max_length=60, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("copy of personal data")
        verbose_name_plural = _("copies of personal data")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand", "public_id"], name="request_file_in_brand")]
        indexes: ClassVar = [
            models.Index(fields=["brand", "request"], name="files_of_request"),
            models.Index(fields=["brand", "expires_at"], name="request_file_over"),  # clearing away
        ]

    def __str__(self) -> str:
        return f"{self.pk}"


class RetentionRule(BrandOwned):
    """For how many days a brand keeps one class of data; without a row the product's proposal holds."""

    data_class = models.CharField(_("data"), max_length=40)
    days = models.PositiveSmallIntegerField(_("days"))
    by = models.CharField(_("by"), max_length=60, blank=True)
    updated_at = models.DateTimeField(_("changed"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("retention rule")
        verbose_name_plural = _("retention rules")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand", "data_class"], name="retention_rule_once")]

    def __str__(self) -> str:
        return f"{self.data_class} {self.days}"


class RetentionRun(BrandOwned):
    """What one run took away of one class. Append-only."""

    data_class = models.CharField(_("data"), max_length=40)
    at = models.DateTimeField(_("when"))
    before = models.DateTimeField(_("older than"))
    rows = models.PositiveIntegerField(_("rows"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("retention run")
        verbose_name_plural = _("retention runs")
        indexes: ClassVar = [models.Index(fields=["brand", "data_class", "-at"], name="retention_newest")]  # the page

    def __str__(self) -> str:
        return f"{self.data_class} {self.rows}"


class AccessEntry(BrandOwned):
    """Somebody opened a page about a person: one row for each who, whom, page and hour. Append-only, without a name.

    `hour` is `at` cut to the hour; the first look within it is the one that is written down. `fields` are keys of
    `members.opened.shown_fields`; rows from before they were kept have none.
    """

    member = BrandForeignKey(Member, models.PROTECT, related_name="+", verbose_name=_("member"))
    actor = models.ForeignKey(
        StaffUser, null=True, blank=True, on_delete=models.DO_NOTHING, related_name="+", db_index=False
    )
    actor_label = models.CharField(_("who"), max_length=120)
    api_key = BrandForeignKey(ApiKey, models.PROTECT, null=True, blank=True, related_name="+", db_index=False)
    via = models.CharField(_("through"), max_length=20)
    page = models.CharField(_("page"), max_length=60)
    fields = ArrayField(models.CharField(max_length=60), default=list, db_default=[])
    at = models.DateTimeField(_("when"))
    hour = models.DateTimeField()
    ip = models.CharField("IP", max_length=45, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("access")
        verbose_name_plural = _("access log")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["brand", "member", "hour", "page", "actor", "actor_label", "api_key"],
                nulls_distinct=False,
                name="access_once_an_hour",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["brand", "-at", "-id"], name="access_newest"),  # the list, trimming
            models.Index(fields=["brand", "actor", "actor_label", "-at"], name="access_by_whom"),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.page}"


class ListAccess(BrandOwned):
    """Somebody was shown many people at once: a page of a list, a search, a file, an answer of the API.

    One row for each who, page, hour and set of people and fields; `digest` stands for the set. Append-only. Of people
    there are only the keys of their records: of somebody who was erased they lead to a number without a name.
    """

    actor = models.ForeignKey(
        StaffUser, null=True, blank=True, on_delete=models.DO_NOTHING, related_name="+", db_index=False
    )
    actor_label = models.CharField(_("who"), max_length=120)
    api_key = BrandForeignKey(ApiKey, models.PROTECT, null=True, blank=True, related_name="+", db_index=False)
    via = models.CharField(_("through"), max_length=20)
    page = models.CharField(_("page"), max_length=60)
    fields = ArrayField(models.CharField(max_length=60))
    people = ArrayField(models.BigIntegerField())
    digest = models.UUIDField()
    at = models.DateTimeField(_("when"))
    hour = models.DateTimeField()
    ip = models.CharField("IP", max_length=45, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("list that was shown")
        verbose_name_plural = _("lists that were shown")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["brand", "hour", "page", "digest", "actor", "actor_label", "api_key"],
                nulls_distinct=False,
                name="list_shown_once_an_hour",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["brand", "at", "id"], name="list_shown_oldest"),  # trimming
            models.Index(fields=["brand", "actor", "api_key", "at"], name="list_shown_to_whom"),  # who saw what
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.page}"
