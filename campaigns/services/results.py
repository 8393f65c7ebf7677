"""What WeChat reports after a send: kept as it comes, matched with its message in batches, whatever the order."""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import TYPE_CHECKING

from django.conf import settings

from accounts.tasks_base import ring
from accounts.tenancy import current_brand_id
from campaigns import reasons, tasks
from campaigns.models import DeliveryState
from campaigns.services import statements, tallies
from campaigns.services.store import store
from common.failpoints import point
from inbox.services import Fate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from campaigns.models import FinishEvent

logger = logging.getLogger(__name__)

BATCH = 2_000
KEEP_HOURS = 48
RING_EVERY_SECONDS = 1.0
MAX_MSGID = 2**63 - 1
_last_ring: dict[int, float] = {}


def forget_rings() -> None:
    """Drop when this process last rang; the next result rings at once."""
    _last_ring.clear()


def record_result(*, account_id: int, openid: str, msgid: str, status: str, event_at: datetime) -> None:
    """Keep one reported result. The first one for a message counts; repeats change nothing."""
    if not (msgid.isascii() and msgid.isdigit() and 0 < int(msgid) <= MAX_MSGID):
        logger.warning("a result without a usable message id was reported")
        return
    brand_id = current_brand_id()
    store.keep_result([brand_id, account_id, int(msgid), openid, status[:100], event_at])
    point("results: kept, not committed")
    now = time.monotonic()
    if now - _last_ring.get(brand_id, 0.0) >= RING_EVERY_SECONDS:
        _last_ring[brand_id] = now
        ring(tasks.settle_results, brand_id)


def verdict(status: str) -> tuple[str, str]:
    """State and reason for a reported status (reference: service account 3.4; blanks and case vary)."""
    plain = status.replace(" ", "").lower()
    if plain == "success":
        return (DeliveryState.DELIVERED.value, "")
    if plain in ("failed:userblock", "failed:userrefuse"):
        return (DeliveryState.REFUSED.value, reasons.USER_BLOCK)
    if plain == "failed:systemfailed":
        return (DeliveryState.FAILED.value, reasons.SYSTEM_FAILED)
    if "freq" in plain:
        return (DeliveryState.FAILED.value, reasons.FREQ_LIMIT)
    return (DeliveryState.FAILED.value, reasons.RESULT_OTHER)


def settle_results(*, at: datetime) -> bool:
    """Match waiting results of the brand in scope with their messages; gives whether more wait.

    A message's first final state stays. What matches nothing is tried again later, for 48 hours; one to a person whose
    message is unconfirmed settles that message. One worker per brand at a time.
    """
    brand_id = current_brand_id()
    with store.atomic():
        if not store.lock_results(brand_id):
            return False
        events = store.due_results(BATCH)
        if not events:
            return False
        deltas: Counter[tuple[int, str, str]] = Counter()
        left = _settle(events, statements.BY_MSGID, brand_id, deltas)
        point("results: matched, not committed")
        if left:
            left = _settle_tests(left, at)
        if left:
            left = _settle_lines(left, at)
        if left:
            left = _settle(left, statements.BY_ATTEMPT, brand_id, deltas)
        if left:
            window = int(settings.CLIENT_MSG_ID_WINDOW_SECONDS) + 3_600
            left = _settle(left, statements.BY_PERSON.format(window=window), brand_id, deltas)
        _postpone(left)
        unmatched = {event.pk for event in left}
        store.delete_results(event.pk for event in events if event.pk not in unmatched)
        tallies.add(brand_id, tallies.RESULTS_SHARD, deltas)
        return len(events) == BATCH


def _settle(
    events: Sequence[FinishEvent], statement: str, brand_id: int, deltas: Counter[tuple[int, str, str]]
) -> list[FinishEvent]:
    """Run one way of matching over all events; gives those that matched nothing."""
    verdicts = [verdict(event.status) for event in events]
    rows = store.match(
        statement,
        {
            "brand": brand_id,
            "ids": [event.pk for event in events],
            "accounts": [event.account_id for event in events],
            "msgids": [event.msgid for event in events],
            "openids": [event.openid for event in events],
            "received": [event.created_at for event in events],
            "states": [state for state, _ in verdicts],
            "reasons": [reason for _, reason in verdicts],
            "moments": [event.event_at for event in events],
        },
    )
    matched = set()
    changed = set()
    for event_id, delivery_id, campaign_id, was, was_reason, state, reason in rows:
        matched.add(event_id)
        if state is not None and delivery_id not in changed:
            changed.add(delivery_id)
            deltas[(campaign_id, *tallies.bucket(was, was_reason))] -= 1
            deltas[(campaign_id, *tallies.bucket(state, reason))] += 1
    return [event for event in events if event.pk not in matched]


def _settle_tests(events: Iterable[FinishEvent], at: datetime) -> list[FinishEvent]:
    by_id = {(event.account_id, event.msgid): event for event in events}
    left = dict(by_id)
    for test in store.tests_of([msgid for _, msgid in by_id]):
        event = left.pop((test.account_id, test.msgid or 0), None)
        if event is not None and test.settled_at is None:
            test.status, test.settled_at = event.status, at
            store.save_test(test)
    return list(left.values())


def _settle_lines(events: Iterable[FinishEvent], at: datetime) -> list[FinishEvent]:
    """Match what was said in conversations: news of points, coupons and tiers, and notices people of the brand sent."""
    events, fates = list(events), []
    for event in events:
        state, reason = verdict(event.status)
        if state == DeliveryState.DELIVERED:
            fates.append(Fate(event.account_id, event.msgid))
            continue
        refused = reason == reasons.USER_BLOCK
        cause = reasons.USER_BLOCK if refused else reasons.SYSTEM_FAILED
        fates.append(Fate(event.account_id, event.msgid, cause, is_refused=refused))
    ours = store.settle_lines(fates, at)
    return [event for event in events if (event.account_id, event.msgid) not in ours]


def _postpone(events: Sequence[FinishEvent]) -> None:
    ids = [event.pk for event in events]
    if not ids:
        return
    given_up = store.give_up_results(ids, KEEP_HOURS)
    if given_up:
        logger.info("%s reported results matched no message within %s hours", given_up, KEEP_HOURS)
    store.postpone_results(ids)
