"""The engine: claim a batch with a lease, send it, record every answer once, whatever dies in between."""

from __future__ import annotations

import logging
import os
import random
import socket
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import orjson
from django.conf import settings
from django.db import DatabaseError

from campaigns import pacing, reasons
from campaigns.carriers import Addressee, Unrenderable
from campaigns.models import CampaignState, DeliveryState, UnknownPolicy
from campaigns.services import steering, tallies
from campaigns.services.drafts import carrier_of, refusals_of, unknown_policy
from campaigns.services.store import store
from common import clock
from common.failpoints import point
from members.models import Purpose
from wechat_gateway import client, errcodes, windows
from wechat_gateway.answers import Outcome
from wechat_gateway.errcodes import ErrorClass, Reaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from campaigns.carriers import Carrier
    from campaigns.models import Campaign
    from wechat_gateway.answers import Answer

logger = logging.getLogger(__name__)

LANE_SECONDS = 3.0  # renewed with every batch; a lane that runs out lets one more worker in, which does no harm
SETTLE_SECONDS = 600  # how long after WeChat forgot an id we still wait for its result before sending again
MAX_FAULTY_ATTEMPTS = 5
MAX_BACKOFF_SECONDS = 300
IDLE_SECONDS = 0.25
UNWRITTEN_SECONDS = 1.0  # answers wait no longer when WeChat is slow: the leases of what they answer go on
MARKETING_SHARE = 0.8  # of a day's quota; the rest is for service notices
_GONE = frozenset({Reaction.MARK_UNFOLLOWED, Reaction.MARK_BLOCKED})
_MOST_STREAKS = 1_000
_streaks: dict[tuple[int, int], pacing.Streak] = {}  # by (campaign, lane): the slices of a slow campaign are short


def forget_streaks() -> None:
    """Drop what this process remembers of odd answers; they are counted anew."""
    _streaks.clear()


@dataclass(frozen=True, slots=True)
class Claimed:
    """One leased message. `doubtful`: an earlier attempt under the same id may have been sent."""

    id: int
    seq: int
    openid: str
    variables: dict[str, str]
    attempt: int
    round: int
    doubtful: bool
    follower_id: int | None = None
    reserved_at: datetime | None = None  # when one of the messages that the person's acts allow was taken for it


@dataclass
class Job:
    """What one worker needs to work on one campaign for a while."""

    brand_id: int
    campaign: Campaign
    carrier: Carrier
    compose: Callable[[Addressee, str], client.Outgoing]
    lane: int
    window: int
    worker: str = field(default_factory=lambda: f"{socket.gethostname()[:24]}:{os.getpid()}")
    claimed_at: float = field(default_factory=time.monotonic)  # when the batch in hand was asked for
    streak: pacing.Streak = field(default_factory=pacing.Streak)

    @classmethod
    def load(cls, brand_id: int, campaign_id: int, lane: int) -> Job:
        """Read the campaign (brand in scope); its content no longer changes."""
        campaign = store.campaign(campaign_id)
        carrier = carrier_of(campaign)
        window = settings.CLIENT_MSG_ID_WINDOW_SECONDS if carrier.confirms else 0
        return cls(brand_id, campaign, carrier, carrier.composer(campaign), lane, window)


@dataclass(slots=True)
class Entry:
    """What is written for one claimed message. `wait` is seconds until it is due again, None when nothing is left."""

    claimed: Claimed
    state: DeliveryState
    reason: str = ""
    msgid: int | None = None
    wait: float | None = None
    untried: bool = False
    outcome: str = ""
    message: str = ""
    consent_gone: bool = False  # WeChat says that the person has agreed to no more
    window_code: int = 0  # what WeChat said where it allows fewer customer-service messages than we believed


@dataclass(slots=True)
class Hand:
    """What a worker has of a campaign: messages under way by their number in the stream, answers not yet written."""

    job: Job
    under_way: dict[int, Claimed] = field(default_factory=dict)
    answered: list[tuple[Claimed, Answer]] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    confirmed: dict[str, int] = field(default_factory=dict)  # which message WeChat's ids belong to
    started: int = 0
    settled_at: float = field(default_factory=time.monotonic)
    at_work: bool = True
    due: bool = True
    pause: pacing.Pause | None = None
    failure: DatabaseError | None = None

    def portion(self, batch: Sequence[Claimed]) -> client.Portion:
        """Take claimed messages: those that can be rendered are to be sent now."""
        job, calls = self.job, []
        for claimed in batch:
            try:
                call = job.compose(Addressee(claimed.openid, claimed.variables), _client_msg_id(job.campaign, claimed))
            except Unrenderable:
                self.entries.append(Entry(claimed, DeliveryState.SUPPRESSED, reasons.EMPTY_FIELD, untried=True))
            else:
                self.under_way[self.started] = claimed
                self.started += 1
                calls.append(call)
        now, patience = time.monotonic(), _patience(job)
        # Begun late, a call would have little time: it would end unconfirmed, and a new attempt does no harm.
        return client.Portion(calls, clock.now(), now + patience / 2, now + patience)

    def settled(self) -> tuple[list[Entry], list[str]]:
        """Judge what was answered since the last time; gives what to write, and who does not follow any more."""
        self.settled_at = time.monotonic()
        answered = [(claimed, self._own(claimed, answer)) for claimed, answer in self.answered]
        self.answered = []
        entries, self.entries = self.entries, []
        self.pause = pacing.pause_for([answer for _, answer in answered], clock.now(), self.job.streak) or self.pause
        self.at_work = self.at_work and self.pause is None
        personal = any(answer.ok for _, answer in answered)
        parked = self.pause is not None
        entries += [_entry(claimed, answer, personal=personal, parked=parked) for claimed, answer in answered]
        return entries, [claimed.openid for claimed, answer in answered if answer.reaction in _GONE]

    def _own(self, claimed: Claimed, answer: Answer) -> Answer:
        """The answer, or that nothing is known: two messages never have one id, so it is somebody else's answer."""
        if not answer.msgid or self.confirmed.setdefault(answer.msgid, claimed.id) == claimed.id:
            return answer
        logger.error("two messages were answered with one msgid", extra={"delivery": claimed.id, "rid": answer.rid})
        return replace(answer, outcome=Outcome.UNKNOWN, reaction=Reaction.ALARM, code=None, cause="MIXED_UP", msgid="")


def send_slice(*, brand_id: int, campaign_id: int, lane: int, until: float) -> bool:
    """Work on a campaign until a moment of the monotonic clock; gives whether more is due right now.

    Does nothing when another worker has the lane.
    """
    with store.scope(brand_id):
        job = Job.load(brand_id, campaign_id, lane)
        if job.campaign.state != CampaignState.SENDING:
            _unqueue_lane(job)
            return False
        if not _take_lane(job):
            return False
    point("sending: lane taken")
    more = True
    job.streak = _streaks.pop((campaign_id, lane), job.streak)
    while more and time.monotonic() < until:
        more = _send(job, until)
    _remember(job, lane)
    with store.scope(brand_id):
        _leave_lane(job, queued=more)
        if not more:
            finish_if_done(campaign_id=campaign_id, at=clock.now())
        point("sending: finished, not committed")
    return more


def probe(*, brand_id: int, campaign_id: int, at: datetime) -> bool:
    """Try a parked campaign whose time has come with a single message; gives whether it goes on.

    Moving `parked_until` on is what makes one worker do it, once per interval.
    """
    with store.scope(brand_id):
        mine = store.take_probe(campaign_id, at, at + pacing.PROBE_EVERY)
        if not mine:
            return False
        job = Job.load(brand_id, campaign_id, tallies.PROBE_SHARD)
        job.streak = pacing.Streak.before(job.campaign.parked_code)
    point("probe: taken")
    batch = _claim(job, 1, (CampaignState.PARKED,))
    if batch and not _deliver(job, batch):
        return False
    point("probe: answered")
    with store.scope(brand_id):
        resumed = store.unpark(campaign_id)
        if resumed:
            steering.ring_lanes(campaign_id=campaign_id)
    return resumed


def _remember(job: Job, lane: int) -> None:
    if 0 < job.streak.count < pacing.MANY:
        if len(_streaks) >= _MOST_STREAKS:
            _streaks.clear()
        _streaks[job.campaign.pk, lane] = job.streak


def finish_if_done(*, campaign_id: int, at: datetime) -> bool:
    """Close a sending campaign in which nothing is due any more, now or later; gives whether it closed now."""
    return store.finish(campaign_id, at)


def _send(job: Job, until: float) -> bool:
    """Send what is due, claiming more while earlier messages are under way; gives whether more is due right now."""
    hand = Hand(job)
    _stream(hand, _portions(hand, until))
    if hand.due and not hand.at_work and not hand.started:
        time.sleep(IDLE_SECONDS)  # a slow campaign waits for its next tokens
    return hand.due and hand.pause is None


def _deliver(job: Job, batch: Sequence[Claimed]) -> bool:
    """Send a claimed batch and record what came of it; gives whether the campaign goes on."""
    hand = Hand(job)
    _stream(hand, iter([hand.portion(batch)]))
    return hand.pause is None


def _stream(hand: Hand, portions: Iterator[client.Portion]) -> None:
    job = hand.job
    share = MARKETING_SHARE if job.campaign.purpose == Purpose.MARKETING else 1.0
    stream = client.send_stream(job.campaign.account, portions, concurrency=_concurrency(), share=share)
    with closing(stream) as answers:
        for number, answer in answers:
            hand.answered.append((hand.under_way.pop(number), answer))
            if time.monotonic() - hand.settled_at > UNWRITTEN_SECONDS:
                _settle(hand)
    point("sending: answered")
    _settle(hand)
    if hand.failure is not None:
        raise hand.failure


def _portions(hand: Hand, until: float) -> Iterator[client.Portion]:
    """Claim whenever the stream runs dry; what was answered until then is recorded in the same transaction."""
    while hand.at_work and time.monotonic() < until:
        try:
            portion = _next_portion(hand)
        except DatabaseError as error:  # what is under way will be answered, and is recorded before this is told
            hand.failure = error
            return
        if portion.calls:
            yield portion


def _next_portion(hand: Hand) -> client.Portion:
    job = hand.job
    point("sending: before the claim")
    # What a few answers say about the account is left until there are more of them.
    entries, gone = hand.settled() if len(hand.answered) >= settings.SEND_CLAIM_SIZE // 4 else ([], [])
    size = max(1, settings.SEND_CLAIM_SIZE - len(hand.under_way) - len(hand.answered))
    batch: list[Claimed] = []
    try:
        with store.scope(job.brand_id):
            _write(job, entries, hand.pause)
            if hand.pause is None:
                batch = _claim_granted(hand, size)
                _keep_lane(job)
            point("sending: claimed, not committed")
    except DatabaseError:
        hand.entries += entries
        raise
    point("sending: claimed")
    _mark_gone(job, gone)
    return hand.portion(batch)


def _concurrency() -> int:
    """Calls under way at a time: at most half of what is in hand, so that the other half can be recorded meanwhile."""
    return min(int(settings.SEND_CONCURRENCY), max(1, int(settings.SEND_CLAIM_SIZE) // 2))


def _claim_granted(hand: Hand, size: int) -> list[Claimed]:
    granted = _take_tokens(hand.job, size)
    if not granted:
        hand.at_work = False
        return []
    batch, hand.due = _claim_rows(hand.job, granted, (CampaignState.SENDING,))
    hand.at_work = hand.due
    return batch


def _claim(job: Job, size: int, states: Sequence[str]) -> list[Claimed]:
    with store.scope(job.brand_id):
        return _claim_rows(job, size, states)[0]


def _claim_rows(job: Job, size: int, states: Sequence[str]) -> tuple[list[Claimed], bool]:
    """Lease up to `size` due messages, leaving out whoever may not be written to any more.

    Gives the leased ones, and whether anything at all was due.
    """
    campaign = job.campaign
    at = clock.now()
    job.claimed_at = time.monotonic()
    rows = store.claim(
        {
            "brand": job.brand_id,
            "campaign": campaign.pk,
            "keys": refusals_of(campaign),
            "quiet": campaign.purpose == Purpose.MARKETING,
            "states": [str(state) for state in states],
            "size": size,
            "lease": settings.SEND_LEASE_SECONDS,
            "window": job.window,
            "settle": SETTLE_SECONDS if job.carrier.confirms else 0,
            "resend": unknown_policy(campaign) == UnknownPolicy.RESEND,
            "windowed": job.carrier.uses_allowance,
            "lasts": windows.spans(at),
            "worker": job.worker,
            "at": at,
        },
    )
    batch, lost = [], []
    deltas: Counter[tuple[int, str, str]] = Counter()
    for row_id, seq, openid, variables, attempt, round_, state, reason, was, was_reason, doubtful, follower in rows:
        before, after = tallies.bucket(was, was_reason), tallies.bucket(state, reason)
        if before != after:
            deltas[(campaign.pk, *before)] -= 1
            deltas[(campaign.pk, *after)] += 1
        if was == DeliveryState.LEASED:
            lost.append(row_id)
        if state == DeliveryState.LEASED:
            facts = orjson.loads(variables) if variables != "{}" else {}
            batch.append(Claimed(row_id, seq, openid, facts, attempt, round_, doubtful, follower))
    if lost:
        attempts = {row[0]: row[4] - 1 for row in rows}
        _note_attempts(job.brand_id, [(pk, attempts[pk], "LOST", reasons.LEASE_LOST, "", None) for pk in lost])
    tallies.add(job.brand_id, job.lane, deltas)
    if job.carrier.uses_allowance and batch:
        batch = _reserve(job, batch, at)
    if job.carrier.uses_consent and batch:
        batch = _reserve_consents(job, batch, at)
    return batch, bool(rows)


def _reserve(job: Job, batch: Sequence[Claimed], at: datetime) -> list[Claimed]:
    """Take a message for each from what the person's own acts allow; whoever has none left is not sent to.

    Somebody else may have taken the last one a moment ago: then the message is left out. Whose ledger is being changed
    right now comes again in a second.
    """
    granted = store.reserve_replies([claimed.follower_id for claimed in batch if claimed.follower_id], at)
    taken, left = [], []
    for claimed in batch:
        count = granted.get(claimed.follower_id or 0)
        if count:
            taken.append(replace(claimed, reserved_at=at))
        elif claimed.round:  # an earlier try may have arrived
            left.append(Entry(claimed, DeliveryState.UNKNOWN, reasons.NO_ANSWER))
        elif count is None:
            left.append(Entry(claimed, DeliveryState.PENDING, wait=1.0, untried=True))
        else:
            left.append(Entry(claimed, DeliveryState.SUPPRESSED, reasons.WINDOW_USED_UP, untried=True))
    _write(job, left, None)
    return taken


def _reserve_consents(job: Job, batch: Sequence[Claimed], at: datetime) -> list[Claimed]:
    """Take a notification for each from what the person has agreed to; whoever has none left is not sent to."""
    template = job.campaign.template
    wanted = [claimed.follower_id for claimed in batch if claimed.follower_id]
    held = store.take_consents(wanted, template, at) if template is not None else set()
    taken = [replace(claimed, reserved_at=at) for claimed in batch if claimed.follower_id in held]
    left = [claimed for claimed in batch if claimed.follower_id not in held]
    gone = [Entry(claimed, DeliveryState.SUPPRESSED, reasons.NO_CONSENT, untried=True) for claimed in left]
    _write(job, gone, None)
    return taken


def _client_msg_id(campaign: Campaign, claimed: Claimed) -> str:
    """The id by which WeChat recognises a repeat: of the message, never of the attempt."""
    return f"{campaign.public_id.hex[:16]}-{claimed.seq}-{claimed.round}"


def _patience(job: Job) -> float:
    """Seconds left for a batch: a little less than its lease, so that its answers are still ours to record.

    Whoever was stopped after the claim sends nothing any more: others have, and WeChat may have forgotten the ids.
    """
    lease: float = max(1.0, settings.SEND_LEASE_SECONDS - 2.0)
    return lease - (time.monotonic() - job.claimed_at)


def _entry(claimed: Claimed, answer: Answer, *, personal: bool, parked: bool) -> Entry:
    """Turn one answer into what is written: the four classes of guarantees, section 3."""
    code = str(answer.code) if answer.code else answer.cause[:40]
    entry = Entry(claimed, DeliveryState.PENDING, code, outcome=answer.outcome.value, message=answer.message)
    if answer.outcome is Outcome.ACCEPTED:
        entry.state, entry.reason, entry.msgid = DeliveryState.SENT, "", int(answer.msgid) if answer.msgid else None
    elif answer.outcome is Outcome.REFUSED:
        person = answer.code is not None and errcodes.explain(answer.code).error_class is ErrorClass.PERSON
        entry.state = DeliveryState.REFUSED if person else DeliveryState.FAILED
        entry.window_code = answer.code or 0 if answer.reaction is Reaction.WINDOW_CLOSED else 0
        entry.consent_gone = answer.reaction is Reaction.CONSENT_USED
    elif answer.outcome is Outcome.UNKNOWN:
        entry.state = DeliveryState.UNKNOWN
        entry.reason = code if answer.code else reasons.NO_ANSWER
        entry.wait = _backoff(claimed.attempt)
    elif answer.reaction is Reaction.PARK_CAMPAIGN and (personal or claimed.attempt >= MAX_FAULTY_ATTEMPTS):
        entry.state = DeliveryState.FAILED
    else:
        # Safe to send again; but if an earlier attempt may have arrived, it stays unconfirmed and keeps its clock.
        entry.untried = not claimed.doubtful
        entry.state = DeliveryState.UNKNOWN if claimed.doubtful else DeliveryState.PENDING
        if claimed.doubtful:
            entry.reason = reasons.NO_ANSWER
        # Those never tried are due earlier, so a probe does not begin with the message that was just found faulty.
        entry.wait = 1.0 if parked else _backoff(claimed.attempt, answer.retry_after)
    if answer.outcome is not Outcome.ACCEPTED:
        ids = {"delivery": claimed.id, "attempt": claimed.attempt, "outcome": entry.outcome, "code": code}
        logger.info("a message was not accepted", extra={**ids, "rid": answer.rid})
    return entry


def _backoff(attempt: int, at_least: int = 0) -> float:
    return max(float(at_least), min(MAX_BACKOFF_SECONDS, 2.0 ** min(attempt, 10)) * random.uniform(0.5, 1.0))


def _settle(hand: Hand) -> None:
    entries, gone = hand.settled()
    if entries:
        _record(hand.job, entries, hand.pause)
    _mark_gone(hand.job, gone)


def _mark_gone(job: Job, openids: Sequence[str]) -> None:
    if openids:
        with store.scope(job.brand_id):
            store.mark_unfollowed(job.campaign.account_id, openids, clock.now())


def _record(job: Job, entries: Sequence[Entry], pause: pacing.Pause | None) -> None:
    with store.scope(job.brand_id):
        _write(job, entries, pause)
        point("sending: recorded, not committed")
    point("sending: recorded")


def _write(job: Job, entries: Sequence[Entry], pause: pacing.Pause | None) -> None:
    """Write all answers in one statement; a row that somebody else has taken over since is left alone."""
    if not entries:
        return
    at = clock.now()
    written = store.record(
        {
            "brand": job.brand_id,
            "ids": [entry.claimed.id for entry in entries],
            "attempts": [entry.claimed.attempt for entry in entries],
            "states": [entry.state.value for entry in entries],
            "reasons": [entry.reason for entry in entries],
            "msgids": [entry.msgid for entry in entries],
            "waits": [entry.wait for entry in entries],
            "untried": [entry.untried for entry in entries],
            "at": at,
        },
    )
    deltas: Counter[tuple[int, str, str]] = Counter()
    notes = []
    for entry in entries:
        claimed = entry.claimed
        late = (claimed.id, claimed.attempt) not in written  # one hand may hold two attempts of a message
        if not late:
            before, after = tallies.bucket(DeliveryState.LEASED, ""), tallies.bucket(entry.state, entry.reason)
            if before != after:
                deltas[(job.campaign.pk, *before)] -= 1
                deltas[(job.campaign.pk, *after)] += 1
        if late or claimed.attempt > 1 or entry.state is not DeliveryState.SENT:
            outcome = "LATE" if late else entry.outcome or "NOT_SENT"
            notes.append((claimed.id, claimed.attempt, outcome, entry.reason, entry.message, entry.msgid))
    if notes:
        _note_attempts(job.brand_id, notes)
    _settle_reserved(job, entries, at)
    if pause is not None:
        steering.park(campaign_id=job.campaign.pk, code=pause.code, until=_wait_for_account(job, pause, at))
    tallies.add(job.brand_id, job.lane, deltas)


def _settle_reserved(job: Job, entries: Sequence[Entry], at: datetime) -> None:
    """Give back what was taken for messages that did not leave, and believe WeChat where it allows less."""
    if job.carrier.uses_consent:
        _settle_consents(job, entries, at)
        return
    unsent, refused = [], []
    for entry in entries:
        claimed = entry.claimed
        if claimed.reserved_at is None or claimed.follower_id is None:
            continue
        if entry.state not in (DeliveryState.SENT, DeliveryState.UNKNOWN):
            unsent.append((claimed.follower_id, claimed.reserved_at))
        if entry.window_code:
            refused.append((claimed.follower_id, entry.window_code))
    if unsent or refused:
        store.settle_replies(unsent, refused, at)


def _settle_consents(job: Job, entries: Sequence[Entry], at: datetime) -> None:
    taken = [entry for entry in entries if entry.claimed.reserved_at is not None]
    kept = (DeliveryState.SENT, DeliveryState.UNKNOWN)
    unsent = [entry.claimed.follower_id for entry in taken if entry.state not in kept and entry.claimed.follower_id]
    refused = [entry.claimed.follower_id for entry in taken if entry.consent_gone and entry.claimed.follower_id]
    if (unsent or refused) and job.campaign.template is not None:
        store.settle_consents(unsent, refused, job.campaign.template, at)


def _wait_for_account(job: Job, pause: pacing.Pause, at: datetime) -> datetime:
    """When to try again: if the gateway has parked the whole account, as soon as that ends."""
    until = store.account_parked_until(job.campaign.account_id)
    if not pause.whole_account or until is None or until <= at:
        return pause.until
    return min(pause.until, until + timedelta(seconds=1))


def _note_attempts(brand_id: int, notes: Sequence[tuple[int, int, str, str, str, int | None]]) -> None:
    store.note_attempts(
        [
            brand_id,
            [note[0] for note in notes],
            [note[1] for note in notes],
            [note[2] for note in notes],
            [note[3][:40] for note in notes],
            [note[4][:300] for note in notes],
            [note[5] for note in notes],
        ],
    )


def _take_tokens(job: Job, size: int) -> int:
    """How many messages the campaign's rate allows right now, at most `size`."""
    rate = job.campaign.rate_per_second
    if not rate:
        return size
    per_second, most = pacing.refill(rate)
    return store.take_tokens(
        {"capacity": most, "refill": per_second, "brand": job.brand_id, "campaign": job.campaign.pk, "size": size},
    )


def _take_lane(job: Job) -> bool:
    """Take the job's lane unless a living worker has it."""
    holder = store.lane_holder(job.campaign.pk, job.lane)
    gone = holder if _has_died(holder, job.worker) else ""
    return store.take_lane(LANE_SECONDS, job.worker, job.brand_id, job.campaign.pk, job.lane, gone)


def _has_died(holder: str, me: str) -> bool:
    """Whether a lane's holder was a process of this machine that is gone; nothing is known of other machines."""
    host, _, pid = holder.rpartition(":")
    if not host or host != me.rpartition(":")[0] or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _keep_lane(job: Job) -> None:
    store.keep_lane(LANE_SECONDS, job.brand_id, job.campaign.pk, job.lane, job.worker)


def _unqueue_lane(job: Job) -> None:
    """The wake-up call has come to nothing: whoever resumes the campaign rings again at once."""
    store.keep_lane(0, job.brand_id, job.campaign.pk, job.lane, "queued")


def _leave_lane(job: Job, *, queued: bool) -> None:
    if queued:
        store.queue_lane(steering.QUEUED_SECONDS, job.brand_id, job.campaign.pk, job.lane, job.worker)
    else:
        store.keep_lane(0, job.brand_id, job.campaign.pk, job.lane, job.worker)
