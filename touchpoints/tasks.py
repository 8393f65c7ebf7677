"""Codes renew themselves before they end; batches are made by workers."""

from __future__ import annotations

import time
from typing import Final
from zoneinfo import ZoneInfo

from accounts.selectors import active_brand_ids
from accounts.tasks_base import brand_task, global_task, ring
from accounts.tenancy import brand_scope
from common import clock
from stores.selectors import brand_zone

COUNTING_SECONDS: Final = 60  # of one task; the next round goes on
ISSUING_SECONDS: Final = 60  # of one task, of which each call to WeChat takes a part; the next one is rung for the rest


@global_task(name="touchpoints.tasks.renew_all_codes")
def renew_all_codes() -> None:
    """Look at every brand's codes."""
    for brand_id in active_brand_ids():
        ring(renew_codes, brand_id)


@brand_task(name="touchpoints.tasks.renew_codes")
def renew_codes(brand_id: int) -> None:
    """Renew the codes of a brand that end soon, and have the mini-program codes drawn that have no picture."""
    from touchpoints import services

    services.draw_missing(brand_id, at=clock.now())
    ends = time.monotonic() + ISSUING_SECONDS
    services.renew_codes(brand_id, at=clock.now(), goes_on=lambda: time.monotonic() < ends)


@brand_task(name="touchpoints.tasks.issue_codes")
def issue_codes(brand_id: int, touchpoint_ids: list[int], *, anew: bool = False) -> None:
    """Make the codes of some channels that have none yet, or all of them anew."""
    from touchpoints import services

    ends = time.monotonic() + ISSUING_SECONDS
    services.renew_codes(
        brand_id, at=clock.now(), only=touchpoint_ids, anew=anew, goes_on=lambda: time.monotonic() < ends
    )


@brand_task(name="touchpoints.tasks.draw_mini_code")
def draw_mini_code(brand_id: int, mini_code_id: int) -> None:
    """Have WeChat draw a mini-program code."""
    from touchpoints import services

    services.draw_mini_code(brand_id, mini_code_id, at=clock.now())


@global_task(name="touchpoints.tasks.count_all_figures")
def count_all_figures() -> None:
    """Look at every brand's figures."""
    for brand_id in active_brand_ids():
        ring(count_figures, brand_id)


@brand_task(name="touchpoints.tasks.count_figures")
def count_figures(brand_id: int) -> None:
    """Count the people of a brand that wait, in short transactions, for a minute at most."""
    from touchpoints import services

    with brand_scope(brand_id):
        zone = ZoneInfo(brand_zone())
    ends = time.monotonic() + COUNTING_SECONDS
    services.count_all(brand_id, clock=clock.now, zone=zone, goes_on=lambda: time.monotonic() < ends)
