"""What was answered, in which way and why; and the messages that follow the passive reply."""

from __future__ import annotations

import logging
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db import transaction
from django.db.models import Q, Window
from django.db.models.functions import Least, RowNumber

from accounts.tasks_base import ring
from accounts.tenancy import brand_scope, every_brand
from common.failpoints import point
from common.registry import Registry
from conversations import tasks
from conversations.answers import passive_of, service_of
from conversations.engine import Decision
from conversations.models import SCANNED, ButtonUse, DialogueRun, LastTag, ReplyRecord, ReplyState, Trigger, Way
from conversations.selectors import compiled_for, facts_of
from conversations.services.dialogues import talk
from conversations.services.phrases import note_unmatched
from conversations.windows import hold, reserve, settle
from library.services import media_afresh
from members import services as member_services
from touchpoints.models import TouchKind
from wechat_gateway import calls
from wechat_gateway.answers import Outcome
from wechat_gateway.errcodes import Reaction, is_unknown_media
from wechat_gateway.messages import media_id_of, with_media_id
from wechat_gateway.replies import Reply, Text, render
from wechat_gateway.windows import CLOSED, granted_by

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from conversations.engine import Asked
    from members.models import Follower
    from touchpoints.models import Touch
    from wechat_gateway.answers import Answer
    from wechat_gateway.events import Push

logger = logging.getLogger(__name__)

BATCH: Final = 50
LEASE: Final = timedelta(minutes=2)
KEEP: Final = timedelta(days=30)
_PURGE_ROWS: Final = 5_000
# How long a message waits that could not be sent: as long as the answer has waited already, within these bounds. A call
# for which there is no quota, or no token, never leaves us.
_SOONEST: Final = timedelta(seconds=5)
_LATEST: Final = timedelta(minutes=1)
# Refusals that hold for every message of the account, as does an answer without a code.
_OF_ACCOUNT: Final = frozenset({Reaction.PARK_BRAND, Reaction.PARK_UNTIL_RESET, Reaction.PAUSE_MINUTE})

# Why an answer went the way it did (labels: conversations/reasons.py).
IN_TIME: Final = "IN_TIME"
LATE: Final = "LATE"
NO_PASSIVE_FORM: Final = "NO_PASSIVE_FORM"
ASKED_FOR: Final = "ASKED_FOR"
WINDOW_CLOSED: Final = "WINDOW_CLOSED"

RECORD: Final = "conversations.record"  # what a push's `found` has the record of its answer by

# What apps above do when a rule hands somebody over: callable(follower, reason, at), in the push's transaction.
on_hand_over: Registry[Callable[[Follower, str, datetime], None]] = Registry(
    "hand-over listeners",
    purpose="what happens when an automatic answer hands somebody to a person",
)
# Each takes one of the messages that the follower's acts allow: callable(follower, bodies, at).
on_service_messages: Registry[Callable[[Follower, list[dict[str, Any]], datetime], None]] = Registry(
    "service-message listeners",
    purpose="what happens when an automatic answer went as customer-service messages",
)


def note_answer(*, push: Push, asked: Asked) -> ReplyRecord | None:
    """Note what was answered to a push and why in that way, and let follow what has to.

    The rules are asked again, as they were asked while WeChat waited. When WeChat heard no reply then (the reader was
    late, PostgreSQL away), the answer goes as a customer-service message while its window is open, and is left to a
    person after that. A push that another replier answered is none of ours.
    """
    follower = member_services.follower_of(push)
    said = push.reply
    talked = None
    if asked.trigger in {Trigger.KEYWORD, Trigger.CLICK}:
        talked = talk(follower=follower, push=push, heard=_heard(push, said), said=said)
    if talked is not None:
        if talked.state == ReplyState.WAITING:
            ring(tasks.send_replies, push.brand_id)
        elif talked.way == Way.PERSON and talked.pk:  # a tap is no message: nobody else would hear of it
            hand_over(follower=follower, reason=talked.why, at=push.event_at)
        return None
    rules = compiled_for(push)[0]
    decision = rules.decide(asked)
    if decision.needs_facts:
        facts = facts_of(rules, push.account_id, push.openid, at=asked.at)
        decision = rules.decide(asked, facts)
    answered = decision.rule is not None
    ours = not said or _same(decision, push, said)
    if asked.trigger == Trigger.KEYWORD and ours and not (answered and decision.rule.trigger == Trigger.KEYWORD):  # type: ignore[union-attr] # answered means that there is a rule
        note_unmatched(account_id=push.account_id, text=asked.text, at=push.event_at, zone=rules.zone)
    if not answered or not ours:
        return None
    return keep_record(follower=follower, push=push, decision=decision, said=bool(said))


def note_scan(touch: Touch) -> None:
    """Note the welcome that a code gave somebody who follows already; one not heard follows as a message.

    Asks nothing of PostgreSQL for a code without a welcome. When the minute after the scan in which WeChat lets us
    write is over, the welcome is lost: nobody has asked for anything, so it is left to no person.
    """
    push = touch.push
    if touch.kind != TouchKind.SCAN or push is None or touch.touchpoint is None or touch.follower is None:
        return
    if not touch.touchpoint.welcome:
        return
    rule = compiled_for(push)[0].code_welcome(touch.scene, push.received_at)
    if rule is None:
        return
    decision = Decision(rule, rule.contents)
    if not push.reply or _same(decision, push, push.reply):
        keep_record(follower=touch.follower, push=push, decision=decision, said=bool(push.reply), trigger=SCANNED)


def keep_record(
    *, follower: Follower, push: Push, decision: Decision, said: bool, trigger: str | None = None
) -> ReplyRecord:
    """Write down the way of an answer, and what waits to be sent after it."""
    rule = decision.rule
    assert rule is not None  # noqa: S101 - callers have one
    contents = decision.contents
    granted = granted_by(push)
    until = push.event_at + (granted.lasts if granted else timedelta())
    if said:
        way, why, left = Way.PASSIVE, IN_TIME, contents[1:]
    else:
        way, left = Way.SERVICE, contents
        why = LATE if passive_of(contents[0]) is not None else NO_PASSIVE_FORM
    handed = any(content.kind == "PERSON" for content in contents)
    problem = ""
    if left and push.received_at >= until:
        left = ()
        if not said and trigger == SCANNED:
            problem = WINDOW_CLOSED
        elif not said:
            way, why, handed = Way.PERSON, WINDOW_CLOSED, True
    elif handed:
        way, why = Way.PERSON, ASKED_FOR
    waiting = [body for body in (service_of(content) for content in left) if body is not None]
    waiting = waiting[: granted.messages if granted else 0]
    record = ReplyRecord(
        push_id=push.push_id,
        account_id=push.account_id,
        follower=follower,
        rule_id=rule.pk or None,
        trigger=trigger or rule.trigger,
        way=way,
        why=why,
        state=ReplyState.FAILED if problem else ReplyState.WAITING if waiting else ReplyState.DONE,
        problem=problem,
        waiting=waiting,
        until=until if waiting else None,
        at=push.received_at,
    )
    if not ReplyRecord.objects.get_queryset().insert_new(record):
        return ReplyRecord.objects.get(push_id=push.push_id)
    push.found[RECORD] = record
    if handed:
        hand_over(follower=follower, reason=why, at=push.event_at)
    if waiting:
        ring(tasks.send_replies, push.brand_id)
    return record


def hand_over(*, follower: Follower, reason: str, at: datetime) -> None:
    """Tell everybody who listens that a person has to take over."""
    for _key, listener in on_hand_over.items():
        listener(follower, reason, at)


def send_replies(brand_id: int, *, at: datetime) -> int:
    """Send the customer-service messages that are due, of every account in turn. Gives how many records were tried.

    Opens its own scopes: the calls to WeChat happen outside any transaction. An account that nothing can be sent for
    is tried with one message; its others wait with it.
    """
    with brand_scope(brand_id):
        claimed = _claim(at)
    point("replies: claimed")
    waits: dict[int, tuple[datetime, str]] = {}
    for record, granted in claimed:
        wait = waits.get(record.account_id)
        if wait is not None:
            _let_wait(brand_id, record, granted, wait, at)
            continue
        wait = _send(brand_id, record, granted, at)
        if wait is not None:
            waits[record.account_id] = wait
    if len(claimed) == BATCH:
        ring(tasks.send_replies, brand_id)
    return len(claimed)


def sweep_replies(*, at: datetime) -> int:
    """Ring for every brand with messages to send; what was being sent when its worker died may have arrived."""
    with every_brand(reason="automatic answers to send"):
        rows = ReplyRecord.objects.filter(_due(at) | Q(state=ReplyState.SENDING, claimed_at__lt=at - LEASE))
        brands = list(rows.order_by().values_list("brand_id", flat=True).distinct())
    for brand_id in brands:
        ring(tasks.send_replies, brand_id)
    return len(brands)


def purge_records(*, at: datetime) -> int:
    """Drop old records of the brand in scope, some thousand at a time."""
    old = list(
        ReplyRecord.objects.filter(at__lt=at - KEEP)
        .exclude(state__in=[ReplyState.WAITING, ReplyState.SENDING])
        .order_by("at", "pk")
        .values_list("pk", flat=True)[:_PURGE_ROWS],
    )
    ReplyRecord.objects.filter(pk__in=old).delete()
    return len(old)


def forget_talks(*, follower: Follower, whole: bool, at: datetime) -> int:
    """Delete what a person told dialogues and what was answered to them."""
    gone = 0
    for model in (DialogueRun, ReplyRecord, LastTag, ButtonUse):
        rows: Any = model.objects
        gone += rows.filter(follower=follower).delete()[0]
    return gone


def _claim(at: datetime) -> list[tuple[ReplyRecord, int]]:
    """Take records to send, with how many of each one's messages the follower's acts still allow."""
    lost = ReplyRecord.objects.filter(state=ReplyState.SENDING, claimed_at__lt=at - LEASE)
    lost.update(state=ReplyState.UNKNOWN, problem="WORKER_LOST")
    with transaction.atomic():
        rows = list(
            ReplyRecord.objects.select_for_update(skip_locked=True, of=("self",))
            .filter(_due(at), pk__in=_next(at))
            .select_related("account", "follower")
            .order_by("at", "pk"),
        )
        ReplyRecord.objects.filter(pk__in=[row.pk for row in rows]).update(state=ReplyState.SENDING, claimed_at=at)
        wanted: Counter[int] = Counter()
        for row in rows:
            wanted[row.follower_id] += len(row.waiting)
        granted = reserve(wanted=wanted, at=at)
    return [(row, _share(granted, row)) for row in rows]


def _due(at: datetime) -> Q:
    return Q(state=ReplyState.WAITING) & (Q(due_at=None) | Q(due_at__lte=at))


def _next(at: datetime) -> list[int]:
    """Choose the oldest of every account in turn: many messages of one account keep no other waiting."""
    turn = Window(RowNumber(), partition_by="account_id", order_by=["at", "pk"])
    rows = ReplyRecord.objects.filter(_due(at)).annotate(turn=turn).order_by("turn", "at", "pk")
    return list(rows.values_list("pk", flat=True)[:BATCH])


def _share(granted: dict[int, int], record: ReplyRecord) -> int:
    """Give a record its part of what was taken for its follower: the older answer first."""
    share = min(len(record.waiting), granted.get(record.follower_id, 0))
    granted[record.follower_id] = granted.get(record.follower_id, 0) - share
    return share


def _send(brand_id: int, record: ReplyRecord, granted: int, at: datetime) -> tuple[datetime, str] | None:
    """Send what a record has; gives until when the whole account has to wait, and why, if it has to."""
    state, problem, sent, code = ReplyState.DONE, "", 0, None
    due, wait = None, None
    for number, body in enumerate(record.waiting):
        if number >= granted or (record.until is not None and at >= record.until):
            state, problem, code = ReplyState.FAILED, WINDOW_CLOSED, CLOSED
            break
        answer = _send_one(brand_id, record, body, at)
        if answer.ok:
            sent += 1
            continue
        if answer.outcome is Outcome.UNKNOWN:
            state, problem = ReplyState.UNKNOWN, answer.cause
            break
        problem = str(answer.code) if answer.code else answer.cause
        if answer.outcome is Outcome.NOT_SENT and answer.reaction is not Reaction.PARK_CAMPAIGN:
            state, due = ReplyState.WAITING, _again_at(record, answer, at)
            wait = (due, problem) if answer.reaction in _OF_ACCOUNT or not answer.code else None
        else:  # for good: of a message that is wrong in itself every try would end so
            state = ReplyState.FAILED
            code = answer.code if answer.reaction is Reaction.WINDOW_CLOSED else None
        break
    point("replies: sent, not recorded")
    with brand_scope(brand_id):
        ReplyRecord.objects.filter(pk=record.pk, state=ReplyState.SENDING).update(
            state=state,
            problem=problem[:200],
            due_at=due,
            sent=record.sent + sent,
            waiting=record.waiting[sent:] if state == ReplyState.WAITING else [],
        )
        gone = record.waiting[: sent + (state == ReplyState.UNKNOWN)]
        handed = code and record.way == Way.SERVICE and record.trigger != SCANNED and not record.sent + sent
        if handed:
            hold(follower_id=record.follower_id)
        _show(record, gone, at)
        settle(
            unsent=[(record.follower_id, at)] * (granted - len(gone)),
            refused=[(record.follower_id, code)] if code and problem != WINDOW_CLOSED else [],
            at=at,
        )
        if handed:
            # Nothing of the answer may reach them this way any more: a person has to find another one.
            ReplyRecord.objects.filter(pk=record.pk).update(way=Way.PERSON, why=WINDOW_CLOSED)
            hand_over(follower=record.follower, reason=WINDOW_CLOSED, at=at)
    if wait is not None:
        with brand_scope(brand_id):  # no ledger is held now: whoever claims some of them may wait for that one
            rows = ReplyRecord.objects.select_for_update(skip_locked=True).filter(
                _due(at), account_id=record.account_id
            )
            others = list(rows.order_by("pk").values_list("pk", flat=True))
            # Each of them when its own time is over at the latest, so that it is left to a person then.
            ReplyRecord.objects.filter(pk__in=others).update(due_at=Least(wait[0], "until"), problem=wait[1][:200])
    return wait


def _send_one(brand_id: int, record: ReplyRecord, body: dict[str, Any], at: datetime) -> Answer:
    """Send one message; with its file uploaded again, once, when WeChat does not know the file any more."""
    answer = calls.send_custom(record.account, {"touser": record.follower.openid, **body}, at=at)
    if not is_unknown_media(answer.code):
        return answer
    fresh = media_afresh(brand_id=brand_id, account=record.account, media_id=media_id_of(body), at=at)
    if fresh is None or (not isinstance(fresh, str) and fresh.cause == "FILE_GONE"):
        return answer
    if not isinstance(fresh, str):
        return fresh  # the upload itself did not succeed
    again = {"touser": record.follower.openid, **with_media_id(body, fresh)}
    return calls.send_custom(record.account, again, at=at)


def _let_wait(brand_id: int, record: ReplyRecord, granted: int, wait: tuple[datetime, str], at: datetime) -> None:
    """Put back a record that was claimed: nothing can be sent for its account."""
    if record.until is not None and record.until <= at:
        _send(brand_id, record, granted, at)
        return
    with brand_scope(brand_id):
        ReplyRecord.objects.filter(pk=record.pk, state=ReplyState.SENDING).update(
            state=ReplyState.WAITING, due_at=Least(wait[0], "until"), problem=wait[1][:200]
        )
        settle(unsent=[(record.follower_id, at)] * granted, refused=[], at=at)


def _show(record: ReplyRecord, gone: list[dict[str, Any]], at: datetime) -> None:
    if gone:
        for _key, listener in on_service_messages.items():
            listener(record.follower, gone, at)


def _again_at(record: ReplyRecord, answer: Answer, at: datetime) -> datetime:
    """When to try once more what was not sent, at the latest when it may not be sent any longer."""
    due = at + min(max(_SOONEST, at - record.at, timedelta(seconds=answer.retry_after)), _LATEST)
    return due if record.until is None else min(due, record.until)


def _heard(push: Push, said: str) -> Callable[[str], bool]:
    """Give what says whether the reply WeChat heard is a text."""
    return lambda text: said == _rendered(Text(text), push, as_json=said.startswith("{")) if said else False


def _same(decision: Decision, push: Push, said: str) -> bool:
    """Say whether the reply WeChat heard is what the rules say."""
    reply = passive_of(decision.contents[0]) if decision.contents else None
    return reply is not None and said == _rendered(reply, push, as_json=said.startswith("{"))


def _rendered(reply: Reply, push: Push, *, as_json: bool) -> str:
    return render(
        reply,
        openid=push.openid,
        original_id=push.original_id,
        at=push.received_at.timestamp(),
        as_json=as_json,
    )
