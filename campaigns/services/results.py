"""What WeChat reports after a send: kept as it comes, matched with its message in batches, whatever the order."""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Case, F, Value, When
from django.db.models.functions import Now

from accounts.tasks_base import ring
from accounts.tenancy import current_brand_id
from campaigns import reasons, tasks
from campaigns.models import DeliveryState, FinishEvent, TestSend
from campaigns.services import tallies

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

logger = logging.getLogger(__name__)

BATCH = 2_000
KEEP_HOURS = 48
RING_EVERY_SECONDS = 1.0
MAX_MSGID = 2**63 - 1
_LOCK = 772_001  # first half of our advisory lock
_last_ring: dict[int, float] = {}


def record_result(*, account_id: int, openid: str, msgid: str, status: str, event_at: datetime) -> None:
    """Keep one reported result. The first one for a message counts; repeats change nothing."""
    if not (msgid.isascii() and msgid.isdigit() and 0 < int(msgid) <= MAX_MSGID):
        logger.warning("a result without a usable message id was reported")
        return
    brand_id = current_brand_id()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO campaigns_finishevent (brand_id, account_id, msgid, openid, status, event_at, tries) "
            "VALUES (%s, %s, %s, %s, %s, %s, 0) ON CONFLICT (brand_id, account_id, msgid) DO NOTHING",
            [brand_id, account_id, int(msgid), openid, status[:100], event_at],
        )
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


@transaction.atomic
def settle_results(*, at: datetime) -> bool:
    """Match waiting results of the brand in scope with their messages; gives whether more wait.

    A message's first final state stays. What matches nothing is tried again later, for 48 hours; one to a person whose
    message is unconfirmed settles that message. One worker per brand at a time.
    """
    brand_id = current_brand_id()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [_LOCK, brand_id])
        if not (cursor.fetchone() or (False,))[0]:
            return False
    events = list(FinishEvent.objects.filter(due_at__lte=Now()).order_by("due_at", "id")[:BATCH])
    if not events:
        return False
    deltas: Counter[tuple[int, str, str]] = Counter()
    left = _settle(events, _BY_MSGID, brand_id, deltas)
    if left:
        left = _settle_tests(left, at)
    if left:
        left = _settle(left, _BY_ATTEMPT, brand_id, deltas)
    if left:
        window = settings.CLIENT_MSG_ID_WINDOW_SECONDS
        left = _settle(left, _BY_PERSON.format(window=int(window) + 3_600), brand_id, deltas)
    _postpone(left)
    unmatched = {event.pk for event in left}
    FinishEvent.objects.filter(pk__in=[event.pk for event in events if event.pk not in unmatched]).delete()
    tallies.add(brand_id, tallies.RESULTS_SHARD, deltas)
    return len(events) == BATCH


def _settle(
    events: Sequence[FinishEvent], statement: str, brand_id: int, deltas: Counter[tuple[int, str, str]]
) -> list[FinishEvent]:
    """Run one way of matching over all events; gives those that matched nothing."""
    verdicts = [verdict(event.status) for event in events]
    with connection.cursor() as cursor:
        cursor.execute(
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
        rows: list[tuple[Any, ...]] = cursor.fetchall()
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
    for test in TestSend.objects.filter(msgid__in=[msgid for _, msgid in by_id]):
        event = left.pop((test.account_id, test.msgid or 0), None)
        if event is not None and test.settled_at is None:
            test.status, test.settled_at = event.status, at
            test.save(update_fields=["status", "settled_at"])
    return list(left.values())


def _postpone(events: Sequence[FinishEvent]) -> None:
    ids = [event.pk for event in events]
    if not ids:
        return
    old = FinishEvent.objects.filter(pk__in=ids, created_at__lt=Now() - _hours(KEEP_HOURS))
    given_up, _ = old.delete()
    if given_up:
        logger.info("%s reported results matched no message within %s hours", given_up, KEEP_HOURS)
    FinishEvent.objects.filter(pk__in=ids).update(
        tries=F("tries") + 1,
        due_at=Now()
        + Case(When(tries=0, then=_hours(3 / 3600)), When(tries__lt=5, then=_hours(20 / 3600)), default=_hours(1)),
    )


def _hours(hours: float) -> Value:
    from datetime import timedelta

    return Value(timedelta(hours=hours))


_MATCH = """
WITH v AS (
    SELECT * FROM unnest(
        %(ids)s::bigint[], %(accounts)s::bigint[], %(msgids)s::bigint[], %(openids)s::text[],
        %(received)s::timestamptz[], %(states)s::text[], %(reasons)s::text[], %(moments)s::timestamptz[]
    ) AS v(event_id, account_id, msgid, openid, received, new_state, new_reason, moment)
), old AS (
    {old}
), done AS (
    UPDATE campaigns_delivery d SET
        state = o.new_state, reason = o.new_reason, final_at = o.moment, due_at = NULL,
        msgid = coalesce(d.msgid, o.msgid)
    FROM old o WHERE d.brand_id = %(brand)s AND d.id = o.id AND o.state IN ('SENT', 'UNKNOWN')
    RETURNING d.id, d.state, d.reason
)
SELECT o.event_id, o.id, o.campaign_id, o.state, o.reason, n.state, n.reason FROM old o LEFT JOIN done n ON n.id = o.id
"""
_COLUMNS = "v.event_id, v.msgid, v.new_state, v.new_reason, v.moment, d.id, d.campaign_id, d.state, d.reason"

# `%% 1 = 0`: see the engine's statements.
_BY_MSGID = _MATCH.format(
    old=f"""
    SELECT {_COLUMNS} FROM v JOIN campaigns_delivery d
        ON d.brand_id = %(brand)s AND d.msgid = v.msgid AND d.account_id = v.account_id
    WHERE v.event_id %% 1 = 0
    FOR UPDATE OF d""",  # noqa: S608 - constants of ours
)
# The answer of a worker that was too late is only in the attempts.
_BY_ATTEMPT = _MATCH.format(
    old=f"""
    SELECT {_COLUMNS} FROM v
    JOIN campaigns_deliveryattempt a ON a.brand_id = %(brand)s AND a.msgid = v.msgid
    JOIN campaigns_delivery d ON d.brand_id = %(brand)s AND d.id = a.delivery_id AND d.account_id = v.account_id
    FOR UPDATE OF d""",  # noqa: S608 - constants of ours
)
# An unconfirmed message has no msgid; the only one of its person that a result can belong to is settled by it.
_BY_PERSON = _MATCH.format(
    old=f"""
    SELECT {_COLUMNS} FROM v
    JOIN campaigns_delivery d ON d.brand_id = %(brand)s AND d.account_id = v.account_id AND d.openid = v.openid
        AND d.state = 'UNKNOWN' AND d.msgid IS NULL
        AND v.received BETWEEN d.tried_at AND d.tried_at + {{window}} * interval '1 second'
    WHERE d.campaign_id IN (
        SELECT t.campaign_id FROM campaigns_tally t WHERE t.brand_id = %(brand)s AND t.state = 'UNKNOWN'
        GROUP BY t.campaign_id HAVING sum(t.count) > 0
    ) AND (SELECT count(*) FROM v again WHERE again.account_id = v.account_id AND again.openid = v.openid) = 1
    AND NOT EXISTS (
        SELECT 1 FROM campaigns_delivery other WHERE other.brand_id = %(brand)s AND other.state = 'UNKNOWN'
        AND other.account_id = d.account_id AND other.openid = d.openid AND other.id <> d.id
        AND other.campaign_id IN (
            SELECT t.campaign_id FROM campaigns_tally t WHERE t.brand_id = %(brand)s AND t.state = 'UNKNOWN'
        )
    )
    FOR UPDATE OF d""",  # noqa: S608 - constants of ours
)
