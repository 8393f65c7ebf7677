"""Steering a launched campaign: pause, resume, stop, park, send again to those who failed."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from accounts.tasks_base import ring
from accounts.tenancy import current_brand_id
from campaigns import pacing, tasks
from campaigns.errors import NotInThisState
from campaigns.models import CampaignState, DeliveryState
from campaigns.services import tallies
from campaigns.services.store import store
from common.failpoints import point

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from campaigns.models import Campaign

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
    numbers = store.queue_lanes(QUEUED_SECONDS, brand_id, campaign_id)
    for number in numbers:
        ring(tasks.send_due, brand_id, campaign_id, number)
    return len(numbers)


def try_parked(*, appid: str, at: datetime) -> int:
    """Somebody has mended an account: each campaign that waits for it tries one message now. Gives how many do."""
    waiting = [pk for pk, code in store.parked_of(appid) if pacing.is_of_account(code)]
    store.let_try(waiting, at)
    for campaign_id in waiting:
        ring(tasks.probe, current_brand_id(), campaign_id)
    return len(waiting)


def park(*, campaign_id: int, code: str, until: datetime) -> bool:
    """Let a sending campaign wait for a moment, with the reason. Gives whether it was sending."""
    return store.park(campaign_id, code, until)


def close_stopped(*, campaign_id: int, at: datetime) -> int:
    """Leave out whoever still waits in a stopped campaign, some thousands at a time. Gives how many were closed.

    What is on its way is recorded by its worker; if that died, it stays unconfirmed.
    """
    with store.atomic():
        row = store.lock_campaign(campaign_id)
        if row.state != CampaignState.STOPPED:
            return 0
        closed = store.close(row.brand_id, row.pk, CLOSE_CHUNK, at)
        deltas: Counter[tuple[int, str, str]] = Counter()
        for state, reason, was, was_reason in closed:
            deltas[(campaign_id, *tallies.bucket(was, was_reason))] -= 1
            deltas[(campaign_id, *tallies.bucket(state, reason))] += 1
        if not closed and not store.has_open(row.pk):
            row.finished_at = at
            row.audience_count = row.audience_count or 0
            store.save_campaign(row, ["finished_at", "audience_count"])
        tallies.add(row.brand_id, tallies.STEERING_SHARD, deltas)
        point("steering: closed, not committed")
        return len(closed)


def retry_failed(*, campaign: Campaign, at: datetime, codes: Collection[str] = ()) -> int:
    """Send again to those whose message failed (optionally for some reasons only), under a new client_msg_id.

    Gives how many. Raises `NotInThisState` before the launch and for a stopped campaign.
    """
    allowed = {CampaignState.FINISHED, CampaignState.SENDING, CampaignState.PAUSED, CampaignState.PARKED}
    with store.atomic():
        row = store.lock_campaign(campaign.pk)
        if row.state not in allowed:
            raise NotInThisState(row.get_state_display())
        chosen = store.lock_failed(row.pk, codes)
        if not chosen:
            return 0
        store.begin_again([pk for pk, _ in chosen])
        if row.state == CampaignState.FINISHED:
            row.state, row.finished_at = CampaignState.SENDING, None
        row.updated_at = at
        store.save_campaign(row, ["state", "finished_at", "updated_at"])
        store.audit("retry failed", row, {"people": [None, len(chosen)]})
        ring_lanes(campaign_id=row.pk)
        deltas: Counter[tuple[int, str, str]] = Counter()
        for _pk, reason in chosen:
            deltas[(row.pk, DeliveryState.FAILED.value, reason)] -= 1
            deltas[(row.pk, *tallies.bucket(DeliveryState.PENDING, ""))] += 1
        tallies.add(current_brand_id(), tallies.STEERING_SHARD, deltas)
        return len(chosen)


def _move(campaign: Campaign, allowed: Collection[str], to: CampaignState, action: str, at: datetime) -> Campaign:
    with store.atomic():
        row = store.lock_campaign(campaign.pk)
        if row.state not in allowed:
            raise NotInThisState(row.get_state_display())
        changes: dict[str, Any] = {"state": [row.state, to.value]}
        row.state, row.parked_code, row.parked_until, row.updated_at = to, "", None, at
        store.save_campaign(row, ["state", "parked_code", "parked_until", "updated_at"])
        store.audit(action, row, changes)
        point("steering: moved, not committed")
        return row
