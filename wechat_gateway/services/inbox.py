"""Handling stored pushes: in order per follower, each handler's effect once, poison set aside."""

from __future__ import annotations

import base64
import logging
import time
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection

from accounts.tasks_base import ring
from accounts.tenancy import brand_scope, every_brand
from common.failpoints import point
from common.logs import redact
from wechat_gateway import tasks
from wechat_gateway.errors import NotReplayable, PushNotFound, ReasonMissing, StillUnreadable
from wechat_gateway.events import Push, lane_of, read_push
from wechat_gateway.models import HandledEffect, InboundPush, OfficialAccount, PushState
from wechat_gateway.registries import Handler, handlers_of, prepare
from wechat_gateway.stores import InboxStore
from wechat_gateway.wire import Unreadable

if TYPE_CHECKING:
    from collections.abc import Collection

logger = logging.getLogger(__name__)

CHUNK: Final = 16
SET_ASIDE: Final = "SET_ASIDE: "  # what the reason of such a push begins with
MAX_ATTEMPTS: Final = 3
LAST_ATTEMPT_SECONDS: Final = 30
AWAY_SECONDS: Final = 10.0  # how long a worker waits for PostgreSQL to say that an attempt was none
AWAY_STEP: Final = 0.5
_MOST_MET: Final = 1_000
BUDGET_SECONDS: Final = 8.0
PURGE_PIECE: Final = 2_000
_MOST_PIECES: Final = 100
_LOOK_AHEAD: Final = 64
_PURGE: Final = """
WITH piece AS (
    SELECT id, state, received_at FROM wechat_gateway_inboundpush
    WHERE brand_id = %(brand)s AND id > %(after)s ORDER BY id LIMIT %(piece)s
), old AS (
    SELECT id FROM piece WHERE state = 'HANDLED' AND received_at < %(old)s
), effects AS (
    DELETE FROM wechat_gateway_handledeffect WHERE brand_id = %(brand)s AND push_id IN (SELECT id FROM old)
), gone AS (
    DELETE FROM wechat_gateway_inboundpush WHERE brand_id = %(brand)s AND id IN (SELECT id FROM old) RETURNING 1
)
SELECT max(id), count(*), (SELECT count(*) FROM gone), bool_or(received_at >= %(old)s) FROM piece
"""
_store = InboxStore()
_met: Counter[int] = Counter()  # how often PostgreSQL went away under a push in this process


def forget_met() -> None:
    """Drop how often pushes met a database that went away; each may meet it anew."""
    _met.clear()


@dataclass(frozen=True, slots=True)
class _Claim:
    push_id: int
    attempt: int


def handle_inbound(*, brand_id: int, lane: int, at: datetime) -> int:
    """Handle what waits in a lane, oldest first, for a few seconds; gives how many pushes were settled.

    Only one worker at a time works on a lane. Attempts are counted and committed before anything runs, so that a push
    that kills its worker is set aside after three.
    """
    settled = 0
    ends = time.monotonic() + BUDGET_SECONDS
    while time.monotonic() < ends:
        claims = _claim(brand_id, lane)
        if not claims:
            return settled
        point("inbox: attempts counted")
        settled += _run_claims(brand_id, lane, claims, at)
    ring(tasks.handle_inbound, brand_id, lane)
    return settled


def read_stored(push: InboundPush) -> Push:
    """A stored push as handlers see it. Raises Unreadable. The account comes with the row."""
    return _read(push, push.account)


def sweep_inbound() -> int:
    """Ring for every lane in which something waits; gives how many. PostgreSQL knows what the broker forgot."""
    waiting = _store.waiting_lanes()
    point("inbox: swept, not rung")
    for brand_id, lane in waiting:
        ring(tasks.handle_inbound, brand_id, lane)
    return len(waiting)


def is_set_aside(push: InboundPush) -> bool:
    """Say whether a person has decided that nothing more is done with a push."""
    return push.state == PushState.HANDLED and push.reason.startswith(SET_ASIDE)


def replay_push(*, push_id: int, at: datetime, reason: str = "") -> InboundPush:
    """Handle a failed or quarantined push of the brand in scope again, or one that was set aside.

    Effects that happened are not repeated.

    Raises PushNotFound, NotReplayable, StillUnreadable.
    """
    push = _store.lock_push(push_id)
    if push is None:
        raise PushNotFound
    if push.state not in (PushState.FAILED, PushState.QUARANTINED) and not is_set_aside(push):
        raise NotReplayable
    before = push.state
    try:
        read = _read(push, _store.accounts({push.account_id})[push.account_id])
    except Unreadable as error:
        raise StillUnreadable(error.reason) from None
    push.kind, push.openid, push.lane = read.kind, read.openid, lane_of(read.openid)
    push.event_at = read.event_at
    push.state, push.attempts, push.reason, push.retry_at = PushState.NEW, 0, "", None
    _store.save_push(push, ["kind", "openid", "lane", "event_at", "state", "attempts", "reason", "retry_at"])
    _store.audit("replay push", push, {"state": [before, PushState.NEW.value]}, reason)
    point("inbox: replayed, not committed")
    ring(tasks.handle_inbound, push.brand_id, push.lane)
    return push


def set_push_aside(*, push_id: int, reason: str, at: datetime) -> InboundPush:
    """Say of a failed or quarantined push of the brand in scope that nothing more will be done with it, and why.

    It counts as handled from then on: it waits for nobody and leaves by its age. Until then it can be handled again.
    Raises PushNotFound, NotReplayable, ReasonMissing.
    """
    reason = " ".join(reason.split())
    if not reason:
        raise ReasonMissing
    push = _store.lock_push(push_id)
    if push is None:
        raise PushNotFound
    if push.state not in (PushState.FAILED, PushState.QUARANTINED):
        raise NotReplayable
    before = push.state
    push.state, push.handled_at, push.retry_at = PushState.HANDLED, at, None
    push.reason = f"{SET_ASIDE}{reason}"[:200]
    _store.save_push(push, ["state", "handled_at", "retry_at", "reason"])
    _store.audit("set push aside", push, {"state": [before, PushState.HANDLED.value]}, reason)
    return push


def drop_unsettled(*, before: datetime, most: int) -> int:
    """Delete at most so many failed and quarantined pushes of the brand in scope that came before a moment."""
    rows = InboundPush.objects.filter(state__in=(PushState.FAILED, PushState.QUARANTINED), received_at__lt=before)
    ids = list(rows.order_by("received_at", "pk").values_list("pk", flat=True)[:most])
    if ids:
        HandledEffect.objects.filter(push_id__in=ids).delete()
        InboundPush.objects.filter(pk__in=ids).delete()
    return len(ids)


def purge_inbound(*, at: datetime) -> None:
    """Ring for every brand with an account to drop handled pushes that are old."""
    with every_brand(reason="purge of the inbox"):
        brands = list(OfficialAccount.objects.order_by("brand_id").values_list("brand_id", flat=True).distinct())
    for brand_id in brands:
        ring(tasks.purge_brand_inbound, brand_id)


def purge_brand_inbound(*, brand_id: int, at: datetime) -> int:
    """Delete a brand's handled pushes older than KEEP_PUSHES_DAYS; gives how many. The rest waits for the next round.

    Pushes are stored in the order they come, so the old ones stand first: each piece is read along the key and deleted
    in a transaction of its own, and where the first young one stands the work is done. Nobody waits for it: a delete
    locks only the rows that go, and nobody needs those.
    """
    old = at - timedelta(days=settings.KEEP_PUSHES_DAYS)
    after = deleted = 0
    for _ in range(_MOST_PIECES):
        with brand_scope(brand_id), connection.cursor() as cursor:
            cursor.execute(_PURGE, {"brand": brand_id, "after": after, "old": old, "piece": PURGE_PIECE})
            last, seen, gone, has_young = cursor.fetchone() or (None, 0, 0, True)
        deleted += gone
        if last is None or has_young or seen < PURGE_PIECE:
            break
        after = last
    return deleted


def erase_pushes(
    *, account_id: int, openid: str, kinds: Collection[str] | None = None, until: datetime | None = None
) -> int:
    """Delete what one person of the brand in scope ever pushed to an account; gives how many pushes went.

    With `kinds` only pushes of these go, with `until` only those up to then.
    """
    pushes = InboundPush.objects.filter(openid=openid, account_id=account_id).exclude(state=PushState.NEW)
    if kinds is not None:
        pushes = pushes.filter(kind__in=kinds)
    if until is not None:
        pushes = pushes.filter(event_at__lte=until)
    ids = list(pushes.values_list("pk", flat=True))
    HandledEffect.objects.filter(push_id__in=ids).delete()
    return InboundPush.objects.filter(pk__in=ids).delete()[0]


def _claim(brand_id: int, lane: int) -> list[_Claim]:
    """Choose what to run next and count the attempt. A push that was tried before is taken alone."""
    with _store.scope(brand_id):
        if not _store.try_lane(brand_id, lane):
            return []
        chosen: list[_Claim] = []
        held_back: set[str] = set()
        dead: list[int] = []
        for push_id, openid, attempts, waits in _store.waiting(brand_id, lane, _LOOK_AHEAD):
            if openid in held_back:
                continue
            if waits:
                held_back.add(openid)  # later pushes of this follower wait with it
            elif attempts >= MAX_ATTEMPTS:
                dead.append(push_id)
            elif attempts:
                if not chosen:
                    chosen = [_Claim(push_id, attempts + 1)]
                break
            else:
                chosen.append(_Claim(push_id, 1))
                if len(chosen) == CHUNK:
                    break
        if dead:
            _store.set_aside(dead, "WORKER_DIED: the worker ended while handling this push")
            logger.error("brand %s: %s pushes set aside after their workers died", brand_id, len(dead))
        _count(chosen)
        point("inbox: attempts counted, not committed")
        return chosen


def _count(claims: list[_Claim]) -> None:
    _store.count_attempts([claim.push_id for claim in claims], 1)
    # Until the attempt begins anybody may look at the lane, and would take a last one for one that has failed.
    if last := [claim.push_id for claim in claims if claim.attempt >= MAX_ATTEMPTS]:
        _store.hold(last, LAST_ATTEMPT_SECONDS)


def _run_claims(brand_id: int, lane: int, claims: list[_Claim], at: datetime) -> int:
    """Run what was chosen; gives how many were settled.

    Nearly always no handler fails, so pushes that were not tried before run together and without savepoints. When
    something does fail, all of it is undone and runs once more, each handler in a savepoint of its own.
    """
    try:
        if claims[0].attempt == 1:
            try:
                return _run(brand_id, lane, claims, at, together=True)
            except SoftTimeLimitExceeded:
                raise  # the time for a second run is used up
            except Exception as error:
                if _is_lost(error):
                    raise
                logger.info("brand %s lane %s: pushes are run again one by one: %s", brand_id, lane, _name(error))
        return _run(brand_id, lane, claims, at, together=False)
    except Exception as error:
        # The transaction as a whole failed (a constraint at commit, a lost connection): each push is tried alone next.
        logger.exception("brand %s lane %s: a group of pushes was rolled back", brand_id, lane)
        if _is_lost(error) and _take_back(brand_id, claims):
            return 0
        if len(claims) > 1:
            return 0
        with _store.scope(brand_id):
            _fail(claims[0].push_id, claims[0].attempt, _cause("commit", error))
        return 0


def _run(brand_id: int, lane: int, claims: list[_Claim], at: datetime, *, together: bool) -> int:
    with _store.scope(brand_id):
        _store.wait_for_lane(brand_id, lane)
        point("inbox: lane taken")
        return _run_locked(claims, at, together=together)


def _is_lost(error: BaseException) -> bool:
    """Whether PostgreSQL or the way to it went away, which says nothing about a push."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, OperationalError | InterfaceError):
        found = found.__cause__  # Django refuses further statements, and says which error began it
    code = getattr(found.__cause__, "pgcode", None) if found is not None else ""
    return code is None or code.startswith("57P")


def _take_back(brand_id: int, claims: list[_Claim]) -> bool:
    """Count attempts that PostgreSQL's absence ended as none, as soon as it is back; gives whether that was done.

    Not for a push that meets it again and again: it may be what makes PostgreSQL go away.
    """
    if len(_met) > _MOST_MET:
        _met.clear()
    ids = [claim.push_id for claim in claims if _met[claim.push_id] < MAX_ATTEMPTS]
    for push_id in ids:
        _met[push_id] += 1
    ends = time.monotonic() + AWAY_SECONDS
    while ids:
        try:
            with _store.scope(brand_id):
                _store.count_attempts(ids, -1)
        except (OperationalError, InterfaceError):
            if time.monotonic() > ends:
                return False
            time.sleep(AWAY_STEP)
        else:
            break
    return len(ids) == len(claims)


def _run_locked(claims: list[_Claim], at: datetime, *, together: bool) -> int:
    attempts = {claim.push_id: claim.attempt for claim in claims}
    rows = [
        row
        for row in _store.lock_new(list(attempts))
        if row.attempts == attempts[row.pk]  # another worker may have claimed it since
    ]
    accounts = _store.accounts({row.account_id for row in rows})
    done: dict[int, set[str]] = {row.pk: set() for row in rows}
    for push_id, handler in _store.effects(list(done)):
        done[push_id].add(handler)
    pushes = _readable(rows, accounts)
    if together:
        prepare(list(pushes.values()))
    failed: set[str] = set()
    handled: list[int] = []
    postponed: list[int] = []
    for row in rows:
        if row.openid in failed:
            postponed.append(row.pk)
        elif row.pk in pushes and _run_one(row, pushes[row.pk], done[row.pk], together=together):
            handled.append(row.pk)
        else:
            failed.add(row.openid)
    if handled:
        point("inbox: handlers ran")
        _store.mark_handled(handled, at)
        point("inbox: marked, not committed")
    if postponed:
        _store.count_attempts(postponed, -1)
    return len(handled)


def _readable(rows: list[InboundPush], accounts: dict[int, OfficialAccount]) -> dict[int, Push]:
    """Give the pushes of rows; those that cannot be read are put into quarantine."""
    pushes = {}
    for row in rows:
        try:
            pushes[row.pk] = _read(row, accounts[row.account_id])
        except Unreadable as error:
            row.state, row.reason = PushState.QUARANTINED, error.reason
            _store.save_push(row, ["state", "reason"])
    return pushes


def _run_one(row: InboundPush, push: Push, done: set[str], *, together: bool) -> bool:
    """Run the handlers of one push; False when one of them failed. The others' effects stay.

    Together with other pushes, whatever fails raises.
    """
    succeeded: list[str] = []
    cause = ""
    for handler in handlers_of(push.kind):
        if handler.key in done:
            continue
        if together:
            handler.run(push)
            continue
        problem = _run_handler(handler, push)
        if problem:
            cause = cause or problem
        else:
            succeeded.append(handler.key)
    if not cause:
        return True
    _store.keep_effects(row.pk, succeeded)
    _fail(row.pk, row.attempts, cause)
    return False


def _run_handler(handler: Handler, push: Push) -> str:
    """'' or why it failed; its own changes are undone then."""
    push.found.clear()  # what an earlier one has found may have been undone with it
    try:
        with _store.savepoint():
            handler.run(push)
    except Exception as error:
        logger.exception("the handler %s failed for push %s", handler.key, push.push_id)
        return _cause(handler.key, error)
    return ""


def _fail(push_id: int, attempt: int, cause: str) -> None:
    if attempt >= MAX_ATTEMPTS:
        _store.fail(push_id, cause)
    else:
        _store.try_later(push_id, cause, seconds=attempt)


def _cause(handler: str, error: Exception) -> str:
    return f"{handler}: {_name(error)}"[:200]


def _name(error: Exception) -> str:
    return redact(f"{type(error).__name__}: {error}")


def _read(row: InboundPush, account: OfficialAccount) -> Push:
    body = base64.b64decode(row.body) if row.is_binary else row.body.encode()
    return read_push(
        body,
        brand_id=row.brand_id,
        account_id=row.account_id,
        appid=account.appid,
        original_id=account.original_id,
        received_at=row.received_at,
        push_id=row.pk,
        reply=row.reply,
    )
