"""Questions about campaigns: how far they are, what became of everybody, which have work to do."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db.models import Count, Exists, OuterRef, Q, Sum
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from campaigns import reasons, typed_keys
from campaigns.carriers import Problem, carriers
from campaigns.models import (
    NOTICES,
    Campaign,
    CampaignState,
    Delivery,
    DeliveryAttempt,
    DeliveryState,
    Family,
    FinishEvent,
    Lane,
    MessageTemplate,
    SubscriptionStock,
    Tally,
    TestSend,
)
from campaigns.variables import variables
from members.errors import RuleInvalid
from members.freshness import refusal
from members.segments import compile_rule
from wechat_gateway import incidents
from wechat_gateway.messages import CUSTOM_SEND, SUBSCRIBE_SEND, TEMPLATE_SEND

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.db.models import QuerySet

    from members.models import Segment
    from wechat_gateway.models import Incident

_LIVE = (
    CampaignState.SCHEDULED,
    CampaignState.FREEZING,
    CampaignState.SENDING,
    CampaignState.PAUSED,
    CampaignState.PARKED,
)
# Why a campaign waits, as far as it is about something in particular and not about the account.
_OF_TEMPLATES = frozenset(str(code) for code in incidents.TEMPLATE_CODES)
_OF_PERMISSIONS = frozenset(str(code) for code in incidents.PERMISSION_CODES)
_OF_QUOTAS = frozenset({"45009", reasons.QUOTA})
_OF_SOMETHING_ELSE = _OF_TEMPLATES | _OF_PERMISSIONS | _OF_QUOTAS
_PATHS = {"template": TEMPLATE_SEND, "subscribe": SUBSCRIBE_SEND, "custom": CUSTOM_SEND}
NOT_CONFIRMED_AFTER = timedelta(hours=24)
PAGE = 50
AT_WORK = (
    CampaignState.SCHEDULED,
    CampaignState.FREEZING,
    CampaignState.SENDING,
    CampaignState.PARKED,
    CampaignState.STOPPED,
)


@dataclass(frozen=True)
class Slice:
    """A part of the audience: state, reason ("" = none), how many, and the reason in words."""

    state: str
    reason: str
    label: str
    count: int
    cause: str = ""
    action: str = ""
    retryable: bool = False


@dataclass(frozen=True)
class Progress:
    """How far a campaign is. `adds_up` says whether the states sum to the audience.

    `waiting` … `suppressed` are people; `rate` is messages a second since the launch, `eta_seconds` how long the rest
    takes at that rate (None while nobody can say). `problems` are the largest slices that are not fine. `parked` says
    why the campaign waits, or why it was stopped by itself.
    """

    state: str
    total: int
    waiting: int
    sent: int
    delivered: int
    refused: int
    failed: int
    unknown: int
    suppressed: int
    rate: float
    eta_seconds: int | None
    problems: tuple[Slice, ...]
    parked: reasons.Explanation | None = None
    parked_until: datetime | None = None

    @property
    def sum(self) -> int:
        """Everybody, counted by state."""
        return self.waiting + self.done

    @property
    def done(self) -> int:
        """Everybody who no longer waits."""
        return self.sent + self.delivered + self.refused + self.failed + self.unknown + self.suppressed

    @property
    def adds_up(self) -> bool:
        """Whether nobody is missing and nobody is counted twice."""
        return self.sum == self.total

    @property
    def percent(self) -> int:
        """How much is done, 0 … 100."""
        return self.done * 100 // self.total if self.total else 100 if self.state == CampaignState.FINISHED else 0


@dataclass(frozen=True)
class Report:
    """What became of a campaign: slices that sum to the audience, and how many accepted ones were never confirmed."""

    total: int
    slices: tuple[Slice, ...]
    not_confirmed: int

    @property
    def adds_up(self) -> bool:
        """Whether the slices sum to the audience."""
        return sum(each.count for each in self.slices) == self.total


@dataclass(frozen=True)
class DeliveryPage:
    """One page of a campaign's messages; `next_after` asks for the following page (None at the end)."""

    rows: tuple[Delivery, ...]
    next_after: int | None


_RETRYABLE = (DeliveryState.FAILED,)
_NOT_FINE = (DeliveryState.REFUSED, DeliveryState.FAILED, DeliveryState.UNKNOWN)
_WITH_REASON = {*_NOT_FINE, DeliveryState.SUPPRESSED}


def campaigns() -> QuerySet[Campaign]:
    """All campaigns, newest first, with what a list shows."""
    return Campaign.objects.select_related("account", "template", "segment").order_by("-created_at", "-id")


def templates(account_id: int, families: Iterable[str] = (Family.TEMPLATE,)) -> QuerySet[MessageTemplate]:
    """The usable templates of an account (of template messages, if nothing else is asked for), by title."""
    rows = MessageTemplate.objects.filter(account_id=account_id, is_active=True, family__in=list(families))
    return rows.order_by("title", "id")


def agreed_notices(follower_id: int, account_id: int) -> list[tuple[MessageTemplate, int]]:
    """The subscribe notifications that a follower has agreed to, with how many are left of each, by title."""
    rows = SubscriptionStock.objects.filter(follower_id=follower_id, remaining__gt=0)
    left = dict(rows.order_by("template_id").values_list("template_id", "remaining"))
    known = templates(account_id, NOTICES).filter(template_id__in=list(left)) if left else ()
    return [(each, left[each.template_id]) for each in known]


def consents_by_template(account_ids: Iterable[int]) -> dict[tuple[int, str], tuple[int, int]]:
    """How many people have agreed to each notification, and how many messages are left: by account and template id."""
    rows = SubscriptionStock.objects.filter(follower__account__in=list(account_ids), remaining__gt=0).order_by()
    found = rows.values_list("follower__account", "template_id").annotate(Count("pk"), Sum("remaining"))
    return {(account, template_id): (people, left) for account, template_id, people, left in found}


def test_sends(campaign: Campaign) -> QuerySet[TestSend]:
    """The campaign's test messages, newest first."""
    return TestSend.objects.filter(campaign=campaign).order_by("-id")


def carrier_choices(purpose: str) -> list[tuple[str, str, bool]]:
    """Every carrier as (key, label, allowed for the purpose)."""
    return [(key, str(carrier.label), purpose in carrier.purposes) for key, carrier in carriers.items()]


def variable_choices() -> list[tuple[str, str]]:
    """Every variable as (what to write, label): ("{姓名}", "name")."""
    return [(f"{{{variable.name}}}", str(variable.label)) for _, variable in variables.items()]


def field_types() -> dict[str, tuple[int, str]]:
    """Limit (0 = none) and rule of every typed field."""
    return {key: (kind.limit, str(kind.rule)) for key, kind in typed_keys.TYPES.items()}


def problems(campaign: Campaign, *, at: datetime) -> list[Problem]:
    """Everything that keeps a campaign from being launched, and what should be looked at."""
    found: list[Problem] = []
    if not campaign.name.strip():
        found.append(Problem("name_missing", _("The campaign has no name."), field="name"))
    if campaign.segment is None:
        found.append(Problem("segment_missing", _("Nobody is chosen as audience."), field="segment"))
    else:
        try:
            compile_rule(campaign.segment.rule, at=at)
        except RuleInvalid as error:
            found.append(Problem("rule_invalid", error.message, hint=error.hint, field="segment"))
        else:
            found += _too_old(campaign, campaign.segment, at)
    if campaign.scheduled_at is not None and campaign.scheduled_at <= at and campaign.state == CampaignState.DRAFT:
        found.append(Problem("schedule_past", _("The planned time has passed."), field="scheduled_at"))
    if not campaign.account.is_active:
        found.append(Problem("account_inactive", _("The service account is not connected."), field="account"))
    carrier = carriers.find(campaign.carrier)
    if carrier is None:
        found.append(Problem("unknown_carrier", _("This channel does not exist."), field="carrier"))
    else:
        found += carrier.validate(campaign)
    return found


def _too_old(campaign: Campaign, segment: Segment, at: datetime) -> list[Problem]:
    """Nothing is sent to people kept for too long; a planned campaign is looked at again when its time comes."""
    refused = refusal(segment, at=at)
    if refused is None:
        return []
    planned = campaign.scheduled_at is not None and campaign.scheduled_at > at
    return [Problem("segment_old", refused[0], hint=refused[1], field="segment", blocking=not planned)]


def held_by(incident: Incident) -> QuerySet[Campaign]:
    """Give the parked campaigns that an incident holds up: those of its account, and of its reason."""
    rows = Campaign.objects.filter(state=CampaignState.PARKED, account__appid=incident.appid)
    if incident.kind in (incidents.REVOKED, incidents.TOKEN):
        return rows.exclude(parked_code__in=_OF_SOMETHING_ELSE)
    if incident.kind == incidents.TEMPLATE:
        return rows.filter(template__template_id=incident.subject, parked_code__in=_OF_TEMPLATES)
    if incident.kind in (incidents.QUOTA, incidents.PERMISSION):
        codes = _OF_QUOTAS if incident.kind == incidents.QUOTA else _OF_PERMISSIONS
        ways = [key for key, path in _PATHS.items() if path == incident.subject]
        return rows.filter(parked_code__in=codes, carrier__in=ways)
    return rows.none()


def messages_held(campaign_ids: Iterable[int]) -> int:
    """Give how many messages of campaigns wait to be sent."""
    rows = Tally.objects.filter(campaign__in=list(campaign_ids), state=DeliveryState.PENDING)
    return int(rows.aggregate(waiting=Sum("count"))["waiting"] or 0)


def needs_template(incident: Incident) -> bool:
    """Say whether a campaign that is planned or under way uses the template that an incident is about."""
    if incident.kind != incidents.TEMPLATE:
        return False
    rows = Campaign.objects.filter(account__appid=incident.appid, template__template_id=incident.subject)
    return rows.filter(state__in=_LIVE).exists()


def progress(campaign: Campaign, *, at: datetime) -> Progress:
    """How far a campaign is, from its tallies: one query whatever its size."""
    slices = _slices(campaign)
    counts: Counter[str] = Counter()
    for each in slices:
        counts[each.state] += each.count
    waiting = counts[DeliveryState.PENDING]
    tried = sum(counts.values()) - waiting - counts[DeliveryState.SUPPRESSED]
    rate, eta = _pace(campaign, tried, waiting, at)
    return Progress(
        state=campaign.state,
        total=campaign.audience_count or 0,
        waiting=waiting,
        sent=counts[DeliveryState.SENT],
        delivered=counts[DeliveryState.DELIVERED],
        refused=counts[DeliveryState.REFUSED],
        failed=counts[DeliveryState.FAILED],
        unknown=counts[DeliveryState.UNKNOWN],
        suppressed=counts[DeliveryState.SUPPRESSED],
        rate=rate,
        eta_seconds=eta,
        problems=tuple(each for each in slices if each.state in _NOT_FINE),
        parked=reasons.explain(campaign.parked_code) if campaign.parked_code else None,
        parked_until=campaign.parked_until
        if campaign.state == CampaignState.PARKED and campaign.parked_code != reasons.DISCONNECTED
        else None,
    )


def report(campaign: Campaign, *, at: datetime) -> Report:
    """What became of everybody: slices per state and reason that sum to the audience. At most two queries."""
    return Report(campaign.audience_count or 0, tuple(_slices(campaign)), not_confirmed(campaign, at=at))


def not_confirmed(campaign: Campaign, *, at: datetime) -> int:
    """How many accepted messages WeChat has reported nothing about for 24 hours."""
    carrier = carriers.find(campaign.carrier)
    if carrier is None or not carrier.confirms or campaign.launched_at is None:
        return 0
    if campaign.launched_at > at - NOT_CONFIRMED_AFTER:
        return 0
    return Delivery.objects.filter(
        campaign=campaign, state=DeliveryState.SENT, sent_at__lte=at - NOT_CONFIRMED_AFTER
    ).count()


def deliveries(
    campaign: Campaign,
    *,
    states: Iterable[str] = (),
    reason: str | None = None,
    after: int = 0,
    size: int = PAGE,
) -> DeliveryPage:
    """One page of the messages, by number, optionally of some states and of one reason ("" = none).

    Pages go by member, because numbers follow members and only these have an index.
    """
    rows = Delivery.objects.filter(campaign=campaign, member_id__gt=after).order_by("member_id")
    chosen = set(states)
    if chosen:
        if chosen <= _WITH_REASON:
            rows = rows.exclude(reason="")  # lets the index on reasons be used
        rows = rows.filter(state__in=chosen | ({DeliveryState.LEASED} if DeliveryState.PENDING in chosen else set()))
    if reason is not None:
        rows = rows.filter(reason=reason)
    found = list(rows[: size + 1])
    return DeliveryPage(tuple(found[:size]), found[size - 1].member_id if len(found) > size else None)


def attempts(delivery: Delivery) -> QuerySet[DeliveryAttempt]:
    """Every attempt at a message that was not simply accepted at once, oldest first."""
    return DeliveryAttempt.objects.filter(delivery_id=delivery.pk).order_by("id")


def messages_to(member_id: int, *, size: int = PAGE) -> list[Delivery]:
    """The newest campaign messages of a person, for their card."""
    recent = Campaign.objects.filter(launched_at__isnull=False).order_by("-launched_at", "-id").values("pk")[:200]
    rows = Delivery.objects.filter(member_id=member_id, campaign_id__in=recent)
    return list(rows.select_related("campaign").order_by("-campaign_id")[:size])


@dataclass(frozen=True)
class Work:
    """A campaign that needs the sweeper: whose it is, in which state, and until when it is parked."""

    brand_id: int
    campaign_id: int
    state: str
    purpose: str
    parked_until: datetime | None
    scheduled_at: datetime | None
    is_due: bool
    parked_code: str = ""
    is_connected: bool = True
    free_lanes: tuple[int, ...] = ()

    def probe_due(self, at: datetime) -> bool:
        """Whether a parked campaign is worth a try: when its time has come, or the account is connected again."""
        if self.parked_code == reasons.DISCONNECTED:
            return self.is_connected
        return self.parked_until is None or self.parked_until <= at


def at_work() -> list[Work]:
    """Campaigns that are neither drafts nor over, service notices first. For `every_brand` scopes. Two queries."""
    due = Delivery.objects.filter(brand_id=OuterRef("brand_id"), campaign_id=OuterRef("pk"), due_at__lte=Now())
    rows = list(
        Campaign.objects.filter(state__in=AT_WORK, finished_at__isnull=True)
        .annotate(is_due=Exists(due))
        .order_by("-purpose", "launched_at", "pk")
        .values_list(
            "brand_id",
            "pk",
            "state",
            "purpose",
            "parked_until",
            "scheduled_at",
            "is_due",
            "parked_code",
            "account__is_active",
        )
    )
    free: defaultdict[int, list[int]] = defaultdict(list)
    lanes = Lane.objects.filter(campaign_id__in=[row[1] for row in rows if row[6]], taken_until__lte=Now())
    for campaign_id, number in lanes.order_by("campaign_id", "number").values_list("campaign_id", "number"):
        free[campaign_id].append(number)
    return [Work(*row, free_lanes=tuple(free[row[1]])) for row in rows]


def brands_with_results() -> list[int]:
    """Brands that have results waiting to be matched. For `every_brand` scopes."""
    return list(
        FinishEvent.objects.filter(due_at__lte=Now()).values_list("brand_id", flat=True).distinct().order_by("brand_id")
    )


def _slices(campaign: Campaign) -> list[Slice]:
    rows: Any = (
        Tally.objects.filter(campaign=campaign)
        .values_list("state", "reason")
        .annotate(people=Sum("count"))
        .filter(~Q(people=0))
        .order_by("-people", "state", "reason")
    )
    return [_slice(state, reason, people) for state, reason, people in rows]


def _slice(state: str, reason: str, people: int) -> Slice:
    known = reasons.explain(reason) if reason else None
    return Slice(
        state=state,
        reason=reason,
        label=str(DeliveryState(state).label),
        count=people,
        cause=str(known.cause) if known else "",
        action=str(known.action) if known else "",
        retryable=state in _RETRYABLE,
    )


def _pace(campaign: Campaign, tried: int, waiting: int, at: datetime) -> tuple[float, int | None]:
    if campaign.launched_at is None or not tried:
        return 0.0, None
    seconds = max(((campaign.finished_at or at) - campaign.launched_at).total_seconds(), 0.001)
    rate = tried / seconds
    eta = round(waiting / rate) if campaign.state == CampaignState.SENDING else None
    return round(rate, 1), eta
