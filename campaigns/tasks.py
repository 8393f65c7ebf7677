"""Wake-up calls for campaigns: PostgreSQL says what is due, a lost, doubled or late call does no harm."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING

from django.db import InterfaceError, OperationalError

from accounts.tasks_base import brand_task, global_task, ring, ring_later
from accounts.tenancy import brand_scope, every_brand
from common import clock

if TYPE_CHECKING:
    from campaigns.selectors import Work

SLICE_SECONDS = 3.0  # how long one campaign holds a worker before others get their turn
RETRY_SECONDS = 4.0  # after PostgreSQL was away: a lane that was taken then is free again (`sending.LANE_SECONDS`)


@brand_task(name="campaigns.tasks.freeze_audience")
def freeze_audience(brand_id: int, campaign_id: int) -> None:
    """Freeze the audience of a launched campaign."""
    from campaigns import services

    with brand_scope(brand_id):
        services.freeze_audience(campaign_id=campaign_id, at=clock.now())


@brand_task(name="campaigns.tasks.send_due")
def send_due(brand_id: int, campaign_id: int, lane: int = 0) -> None:
    """Send what is due for some seconds, then queue up again behind the others."""
    from campaigns import services

    until = time.monotonic() + SLICE_SECONDS
    try:
        more = services.send_slice(brand_id=brand_id, campaign_id=campaign_id, lane=lane, until=until)
    except (OperationalError, InterfaceError):
        # The sweeper takes the lane's wake-up call for one that still waits in the queue.
        ring_later(send_due, RETRY_SECONDS, brand_id, campaign_id, lane)
        raise
    if more:
        ring(send_due, brand_id, campaign_id, lane)


@brand_task(name="campaigns.tasks.probe")
def probe(brand_id: int, campaign_id: int) -> None:
    """Try a parked campaign with one message."""
    from campaigns import services

    services.probe(brand_id=brand_id, campaign_id=campaign_id, at=clock.now())


@brand_task(name="campaigns.tasks.start_scheduled")
def start_scheduled(brand_id: int, campaign_id: int) -> None:
    """Start a planned campaign."""
    from campaigns import services

    with brand_scope(brand_id):
        services.start_scheduled(campaign_id=campaign_id, at=clock.now())


@brand_task(name="campaigns.tasks.finish_if_done")
def finish_if_done(brand_id: int, campaign_id: int) -> None:
    """Close a campaign that has nothing left to send."""
    from campaigns import services

    with brand_scope(brand_id):
        services.finish_if_done(campaign_id=campaign_id, at=clock.now())


@brand_task(name="campaigns.tasks.close_stopped")
def close_stopped(brand_id: int, campaign_id: int) -> None:
    """Close the rest of a stopped campaign."""
    from campaigns import services

    closed = 1
    while closed:
        with brand_scope(brand_id):
            closed = services.close_stopped(campaign_id=campaign_id, at=clock.now())


@brand_task(name="campaigns.tasks.settle_results")
def settle_results(brand_id: int) -> None:
    """Match what WeChat reported with the messages it belongs to."""
    from campaigns import services

    full = True
    while full:
        with brand_scope(brand_id):
            full = services.settle_results(at=clock.now())


@brand_task(name="campaigns.tasks.sync_templates")
def sync_templates(brand_id: int, account_id: int) -> None:
    """Bring an account's templates over from WeChat."""
    from campaigns import services
    from wechat_gateway.models import OfficialAccount

    with brand_scope(brand_id):
        services.sync_templates(account=OfficialAccount.objects.get(pk=account_id), at=clock.now())


@global_task(name="campaigns.tasks.sweep_deliveries")
def sweep_deliveries() -> None:
    """Find whatever is due in any brand and ring for it: the only thing that must run for campaigns to go on."""
    from campaigns import selectors

    with every_brand(reason="find campaigns with work to do"):
        work = selectors.at_work()
        results = selectors.brands_with_results()
    at = clock.now()
    for each in work:
        _ring_for(each, at)
    for brand_id in results:
        ring(settle_results, brand_id)


def _ring_for(work: Work, at: datetime) -> None:
    from campaigns import services

    where = (work.brand_id, work.campaign_id)
    if work.state == "SENDING" and work.is_due:
        if work.free_lanes:
            with brand_scope(work.brand_id):
                services.ring_lanes(campaign_id=work.campaign_id)
    elif work.state == "SCHEDULED":
        if work.scheduled_at is not None and work.scheduled_at <= at:
            ring(start_scheduled, *where)
    elif work.state == "PARKED":
        if work.probe_due(at):
            ring(probe, *where)
    else:
        ring(_STEPS[work.state], *where)


_STEPS = {"FREEZING": freeze_audience, "STOPPED": close_stopped, "SENDING": finish_if_done}
