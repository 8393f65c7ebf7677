"""Launching: check, snapshot the rule, freeze the audience in one statement."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from django.db import connection, transaction

from accounts.services import record_audit
from accounts.tasks_base import ring
from accounts.tenancy import current_brand_id
from campaigns import reasons, selectors, tasks
from campaigns.errors import AlreadyLaunched, NotInThisState, NotReady
from campaigns.models import Campaign, CampaignState, Lane, Pace
from campaigns.services.drafts import carrier_of, refusals_of, unknown_policy
from campaigns.services.statements import ALLOWANCE, HELD_BACK
from campaigns.services.steering import ring_lanes
from campaigns.services.tallies import STEERING_SHARD
from campaigns.variables import names_in
from common.failpoints import point
from members.errors import RuleInvalid
from members.freshness import people_of, refusal
from members.models import Freshness
from members.segments import matching
from wechat_gateway import windows

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

    from members.models import Member, Segment

LANES = 4  # how many workers may work on one campaign at a time
PER_LANE_PER_SECOND = 200  # a slower campaign gets fewer lanes: waiting for its turn must not hold workers


@transaction.atomic
def launch(*, campaign: Campaign, at: datetime, staff_id: int | None = None) -> Campaign:
    """Launch a campaign now, or at its planned time. From here on neither content nor rule change.

    Raises `NotReady` (with every problem), `AlreadyLaunched` for a second launch, however close to the first.
    """
    row = Campaign.objects.select_for_update(of=("self",)).get(pk=campaign.pk)
    if row.state != CampaignState.DRAFT:
        raise AlreadyLaunched
    blocking = [problem for problem in selectors.problems(row, at=at) if problem.blocking]
    if blocking:
        raise NotReady(blocking)
    row.rule = row.segment.rule if row.segment else {}
    row.unknown_policy = unknown_policy(row)
    row.launched_by_id = staff_id
    row.updated_at = at
    if row.scheduled_at is not None:
        row.state = CampaignState.SCHEDULED
    else:
        row.state = CampaignState.FREEZING
        row.launched_at = at
        ring(tasks.freeze_audience, row.brand_id, row.pk)
    row.save()
    record_audit(action="launch campaign", obj=row, changes={"state": [CampaignState.DRAFT, row.state]})
    point("launch: not committed")
    return row


@transaction.atomic
def unschedule(*, campaign: Campaign, at: datetime) -> Campaign:
    """Take a planned campaign back to a draft. Raises `NotInThisState` once it has started."""
    row = Campaign.objects.select_for_update(of=("self",)).get(pk=campaign.pk)
    if row.state != CampaignState.SCHEDULED:
        raise NotInThisState(row.get_state_display())
    row.state, row.rule, row.updated_at = CampaignState.DRAFT, {}, at
    row.save()
    record_audit(action="unschedule campaign", obj=row)
    return row


def start_scheduled(*, campaign_id: int, at: datetime) -> bool:
    """Start a planned campaign whose time has come; gives whether it started now."""
    started = Campaign.objects.filter(pk=campaign_id, state=CampaignState.SCHEDULED, scheduled_at__lte=at).update(
        state=CampaignState.FREEZING,
        launched_at=at,
    )
    if started:
        ring(tasks.freeze_audience, current_brand_id(), campaign_id)
    return bool(started)


@transaction.atomic
def freeze_audience(*, campaign_id: int, at: datetime) -> int | None:
    """Write one message row for everybody the rule selects, in one statement, and begin to send.

    Those who cannot or must not be reached get a row, too, with the reason. Gives the size of the audience; None when
    somebody else has frozen it, the rule no longer works (then the campaign is stopped), or the segment's people are
    too old (then it waits, and is tried again every few seconds).
    """
    found = Campaign.objects.select_for_update(of=("self",)).select_related("template", "segment")
    row = found.get(pk=campaign_id)
    if row.state != CampaignState.FREEZING:
        return None
    if row.segment is not None and _is_kept(row, row.segment) and refusal(row.segment, at=at) is not None:
        Campaign.objects.filter(pk=row.pk).update(parked_code=reasons.SEGMENT_OLD)
        return None
    try:
        statement = _freeze_statement(row, at)
    except RuleInvalid:
        # What the rule names was deleted since the launch; sending to somebody else would be worse than to nobody.
        row.state, row.parked_code, row.audience_count, row.finished_at = (
            CampaignState.STOPPED,
            reasons.RULE_INVALID,
            0,
            at,
        )
        row.save(update_fields=["state", "parked_code", "audience_count", "finished_at"])
        return None
    with connection.cursor() as cursor:
        # Right after an import the planner knows nothing of the tables and would compare everybody with everybody.
        cursor.execute("SET LOCAL enable_nestloop = off")
        cursor.execute(*statement)
        audience: int = sum(count for (count,) in cursor.fetchall())
        cursor.execute("SET LOCAL enable_nestloop = on")
    point("launch: audience written")
    lanes = LANES
    if row.rate_per_second:
        lanes = min(LANES, math.ceil(row.rate_per_second / PER_LANE_PER_SECOND))
        Pace.objects.create(campaign=row)
    Lane.objects.bulk_create([Lane(campaign=row, number=number) for number in range(lanes)])
    row.state, row.audience_count, row.parked_code = CampaignState.SENDING, audience, ""
    row.save(update_fields=["state", "audience_count", "parked_code"])
    ring_lanes(campaign_id=row.pk)
    point("launch: frozen, not committed")
    return audience


def _is_kept(campaign: Campaign, segment: Segment) -> bool:
    """Say whether the people come from those kept; not when the segment has had another rule since the launch."""
    return segment.freshness != Freshness.LIVE and segment.rule == campaign.rule


def _audience(campaign: Campaign, at: datetime) -> QuerySet[Member]:
    if campaign.segment is not None and _is_kept(campaign, campaign.segment):
        return people_of(campaign.segment, at=at)
    return matching(campaign.rule, at=at)


def _freeze_statement(campaign: Campaign, at: datetime) -> tuple[str, list[Any]]:
    """The one INSERT … SELECT. `m` is the segment's own statement, brand first; `f` is each person's follower."""
    carrier = carrier_of(campaign)
    people, people_params = _audience(campaign, at).order_by().query.sql_with_params()
    used, _unknown = names_in(str(text) for text in campaign.content.values())
    facts = ", ".join(f"'{variable.key}', {variable.column}" for variable in used)
    variables = f"jsonb_build_object({facts})" if facts else "'{}'::jsonb"
    allowance = "''"
    allowance_params: list[Any] = []
    if carrier.uses_allowance:
        # The parameters of the segment have places, not names; so have these here.
        allowance = ALLOWANCE % {"at": "%s", "lasts": "%s", "brand": "%s"}
        allowance_params = [at, windows.spans(at), at, campaign.brand_id]
    elif carrier.uses_consent:
        allowance = _CONSENT
        allowance_params = [campaign.brand_id, campaign.template.template_id if campaign.template else ""]
    return _FREEZE.format(people=people, facts=variables, allowance=allowance), [
        campaign.brand_id, campaign.pk, campaign.account_id,
        *allowance_params, *people_params,
        campaign.brand_id, campaign.account_id, campaign.brand_id, refusals_of(campaign), campaign.purpose,
        campaign.brand_id, campaign.pk,
        campaign.brand_id, campaign.pk, STEERING_SHARD,
    ]  # fmt: skip


_CONSENT = f"""CASE WHEN EXISTS (
    SELECT 1 FROM campaigns_subscriptionstock s
    WHERE s.brand_id = %s AND s.follower_id = f.id AND s.template_id = %s AND s.remaining > 0
) THEN '' ELSE '{reasons.NO_CONSENT}' END"""  # noqa: S608 - constants of ours

# The counters come from the very rows that were written. Rows are made only for a campaign that is there: nothing
# checks each of them again.
_FREEZE = f"""
WITH fresh AS (
INSERT INTO campaigns_delivery (
    brand_id, campaign_id, account_id, seq, member_id, follower_id, openid, variables, state, reason, due_at,
    attempt, round, leased_by
)
SELECT
    %s, %s, %s, p.seq, p.member_id, p.follower_id, p.openid, p.variables,
    CASE WHEN p.reason = '' THEN 'PENDING' ELSE 'SUPPRESSED' END, p.reason,
    CASE WHEN p.reason = '' THEN now() + p.seq * interval '1 microsecond' END,
    0, 0, ''
FROM (
    SELECT row_number() OVER (ORDER BY each.member_id) AS seq, each.* FROM (
        SELECT DISTINCT ON (m.id)
            m.id AS member_id, f.id AS follower_id, coalesce(f.openid, '') AS openid, {{facts}} AS variables,
            CASE
                WHEN o.id IS NOT NULL THEN {HELD_BACK}
                WHEN f.id IS NULL THEN '{reasons.NOT_FOLLOWER}'
                WHEN NOT f.subscribed THEN '{reasons.UNFOLLOWED}'
                ELSE {{allowance}}
            END AS reason
        FROM ({{people}}) m
        LEFT JOIN members_follower f ON f.brand_id = %s AND f.account_id = %s AND f.member_id = m.id
        LEFT JOIN members_optout o ON o.brand_id = %s AND o.member_id = m.id AND o.purpose = ANY(%s::text[])
        ORDER BY m.id, f.subscribed DESC NULLS LAST, f.last_interaction_at DESC NULLS LAST, f.id,
            o.purpose = %s DESC, o.purpose
    ) each
) p
WHERE EXISTS (SELECT 1 FROM campaigns_campaign c WHERE c.brand_id = %s AND c.id = %s)
RETURNING state, reason
)
INSERT INTO campaigns_tally (brand_id, campaign_id, shard, state, reason, count)
SELECT %s, %s, %s, state, reason, count(*) FROM fresh GROUP BY state, reason
RETURNING count
"""  # noqa: S608 - the parts are constants of ours and a statement of the ORM with its own parameters
