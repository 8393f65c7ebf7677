"""Steering a launched campaign: pause, resume, stop, park, send again to those who failed."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from accounts.services import record_audit
from accounts.tasks_base import ring
from accounts.tenancy import current_brand_id
from campaigns import reasons, tasks
from campaigns.errors import NotInThisState
from campaigns.models import Campaign, CampaignState, Delivery, DeliveryState
from campaigns.services import statements, tallies

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

CLOSE_CHUNK = 5_000
QUEUED_SECONDS = 10.0  # after so long a wake-up call counts as lost and the sweeper rings again


def pause(*, campaign: Campaign, at: datetime) -> Campaign:
    """Stop claiming; what is on its way (at most a claim per worker) still goes out. Raises `NotInThisState`."""
    return _move(campaign, {CampaignState.SENDING, CampaignState.PARKED}, CampaignState.PAUSED, "pause campaign", at)


def resume(*, campaign: Campaign, at: datetime) -> Campaign:
    """Go on with the rest. Raises `NotInThisState`."""
    row = _move(campaign, {CampaignState.PAUSED, CampaignState.PARKED}, CampaignState.SENDING, "resume campaign", at)
    ring_lanes(campaign_id=row.pk)
    return row


def stop(*, campaign: Campaign, at: datetime) -> Campaign:
    """End a campaign for good; whoever still waits is left out with that reason. Raises `NotInThisState`."""
    running = {CampaignState.FREEZING, CampaignState.SENDING, CampaignState.PAUSED, CampaignState.PARKED}
    row = _move(campaign, running, CampaignState.STOPPED, "stop campaign", at)
    ring(tasks.close_stopped, row.brand_id, row.pk)
    return row


def ring_lanes(*, campaign_id: int) -> int:
    """Wake every lane of a campaign that nobody works on and that was not rung for just now; gives how many."""
    brand_id = current_brand_id()
    with connection.cursor() as cursor:
        cursor.execute(statements.QUEUE_LANES, [QUEUED_SECONDS, brand_id, campaign_id])
        numbers = sorted(row[0] for row in cursor.fetchall())
    for number in numbers:
        ring(tasks.send_due, brand_id, campaign_id, number)
    return len(numbers)


def park(*, campaign_id: int, code: str, until: datetime) -> bool:
    """Let a sending campaign wait for a moment, with the reason. Gives whether it was sending."""
    parked = Campaign.objects.filter(pk=campaign_id, state__in=[CampaignState.SENDING, CampaignState.PARKED]).update(
        state=CampaignState.PARKED, parked_code=code, parked_until=until
    )
    return bool(parked)


@transaction.atomic
def close_stopped(*, campaign_id: int, at: datetime) -> int:
    """Leave out whoever still waits in a stopped campaign, some thousands at a time. Gives how many were closed.

    What is on its way is recorded by its worker; if that died, it stays unconfirmed.
    """
    row = Campaign.objects.select_for_update(of=("self",)).get(pk=campaign_id)
    if row.state != CampaignState.STOPPED:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(_CLOSE, [row.brand_id, row.pk, CLOSE_CHUNK, at])
        closed = cursor.fetchall()
    deltas: Counter[tuple[int, str, str]] = Counter()
    for state, reason, was, was_reason in closed:
        deltas[(campaign_id, *tallies.bucket(was, was_reason))] -= 1
        deltas[(campaign_id, *tallies.bucket(state, reason))] += 1
    if not closed and not Delivery.objects.filter(campaign=row, due_at__isnull=False).exists():
        row.finished_at = at
        row.audience_count = row.audience_count or 0
        row.save(update_fields=["finished_at", "audience_count"])
    tallies.add(row.brand_id, tallies.STEERING_SHARD, deltas)
    return len(closed)


@transaction.atomic
def retry_failed(*, campaign: Campaign, at: datetime, codes: Collection[str] = ()) -> int:
    """Send again to those whose message failed (optionally for some reasons only), under a new client_msg_id.

    Gives how many. Raises `NotInThisState` before the launch and for a stopped campaign.
    """
    row = Campaign.objects.select_for_update(of=("self",)).get(pk=campaign.pk)
    allowed = {CampaignState.FINISHED, CampaignState.SENDING, CampaignState.PAUSED, CampaignState.PARKED}
    if row.state not in allowed:
        raise NotInThisState(row.get_state_display())
    failed = Delivery.objects.filter(campaign=row, state=DeliveryState.FAILED)
    if codes:
        failed = failed.filter(reason__in=list(codes))
    chosen = list(failed.select_for_update().order_by("pk").values_list("pk", "reason"))
    if not chosen:
        return 0
    Delivery.objects.filter(pk__in=[pk for pk, _ in chosen]).update(
        state=DeliveryState.PENDING,
        reason="",
        round=F("round") + 1,
        due_at=Now(),
        tried_at=None,
        msgid=None,
        sent_at=None,
        final_at=None,
    )
    if row.state == CampaignState.FINISHED:
        row.state, row.finished_at = CampaignState.SENDING, None
    row.updated_at = at
    row.save(update_fields=["state", "finished_at", "updated_at"])
    record_audit(action="retry failed", obj=row, changes={"people": [None, len(chosen)]})
    ring_lanes(campaign_id=row.pk)
    deltas: Counter[tuple[int, str, str]] = Counter()
    for _pk, reason in chosen:
        deltas[(row.pk, DeliveryState.FAILED.value, reason)] -= 1
        deltas[(row.pk, *tallies.bucket(DeliveryState.PENDING, ""))] += 1
    tallies.add(current_brand_id(), tallies.STEERING_SHARD, deltas)
    return len(chosen)


@transaction.atomic
def _move(campaign: Campaign, allowed: Collection[str], to: CampaignState, action: str, at: datetime) -> Campaign:
    row = Campaign.objects.select_for_update(of=("self",)).get(pk=campaign.pk)
    if row.state not in allowed:
        raise NotInThisState(row.get_state_display())
    changes: dict[str, Any] = {"state": [row.state, to.value]}
    row.state, row.parked_code, row.parked_until, row.updated_at = to, "", None, at
    row.save(update_fields=["state", "parked_code", "parked_until", "updated_at"])
    record_audit(action=action, obj=row, changes=changes)
    return row


_CLOSE = f"""
WITH picked AS (
    SELECT brand_id, id, state, reason FROM campaigns_delivery
    WHERE brand_id = %s AND campaign_id = %s AND due_at IS NOT NULL AND (state <> 'LEASED' OR due_at <= now())
    LIMIT %s FOR UPDATE SKIP LOCKED
)
UPDATE campaigns_delivery d SET
    state = CASE WHEN p.state = 'PENDING' THEN 'SUPPRESSED' ELSE 'UNKNOWN' END,
    reason = CASE p.state
        WHEN 'PENDING' THEN '{reasons.STOPPED}' WHEN 'LEASED' THEN '{reasons.LEASE_LOST}' ELSE p.reason
    END,
    attempt = d.attempt + 1, due_at = NULL, final_at = %s
FROM picked p WHERE d.brand_id = p.brand_id AND d.id = p.id
RETURNING d.state, d.reason, p.state, p.reason
"""  # noqa: S608 - constants of ours
