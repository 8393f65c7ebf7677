"""Running sequences: new followers enter, acts bring messages forward, due steps are claimed in batches and settled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from accounts.tasks_base import ring
from accounts.tenancy import every_brand
from common.failpoints import point
from inbox.models import Conversation
from inbox.selectors import LIVE, allowances
from inbox.services import hold_followers, send_unasked
from library.models import MediaItem
from library.services import note_sent
from members.choices import keys_for
from members.gate import Gate, gate_for, topics_refused
from members.models import Purpose
from members.services import follower_of, known_follower
from stores.selectors import brand_zone
from wechat_gateway.windows import granted_by
from welcomes import plan, selectors, tasks
from welcomes.models import Enrolment, EnrolmentState, Sequence, StepOutcome, StepRecord
from welcomes.plan import read_steps

if TYPE_CHECKING:
    from collections.abc import Sequence as Several
    from datetime import datetime

    from inbox.models import Message
    from members.models import Follower
    from wechat_gateway.events import Push
    from wechat_gateway.windows import Allowance

BATCH: Final = 25
CARRIER: Final = "custom"  # the way of a welcome, as preferences name it


@dataclass(frozen=True)
class _World:
    """What is known of everybody in a batch, each kind in one query."""

    allowed: dict[int, Allowance]
    done: dict[int, frozenset[str]]
    talking: frozenset[int]
    gate: Gate
    off: frozenset[tuple[int, int]]  # who has turned off the topic of a sequence
    zone: ZoneInfo

    @classmethod
    def of(cls, rows: Several[Enrolment], at: datetime) -> _World:
        people = [row.follower_id for row in rows]
        members = [row.follower.member_id for row in rows]
        talking = Conversation.objects.filter(follower_id__in=people, state__in=LIVE)
        return cls(
            allowances(people, at=at),
            selectors.settled_steps([row.pk for row in rows]),
            frozenset(talking.order_by().values_list("follower_id", flat=True)),
            gate_for(members, purpose=Purpose.MARKETING, carrier=CARRIER),
            topics_refused(members, {row.sequence.topic_id for row in rows if row.sequence.topic_id is not None}),
            ZoneInfo(brand_zone()),
        )


_SEQUENCE: Final = "welcomes.sequence"
_NOT_NEW: Final = "welcomes.not_new"


def look_up(pushes: Several[Push]) -> None:
    """Look up once for pushes into which sequences their people come, and who is in none for certain."""
    accounts = {push.account_id for push in pushes if push.kind == "subscribe"}
    sequences = {row.account_id: row for row in Sequence.objects.filter(account_id__in=accounts, is_enabled=True)}
    coming = {(push.account_id, push.openid) for push in pushes if push.kind == "subscribe"}
    known = []
    for push in pushes:
        follower = known_follower(push)
        if push.kind == "subscribe":
            push.found[_SEQUENCE] = sequences.get(push.account_id)
        elif follower is not None and (push.account_id, push.openid) not in coming:
            known.append((push, follower))
    lately = {follower.pk for push, follower in known if _follows_lately(follower, push.event_at)}
    enrolled = set(Enrolment.objects.filter(follower_id__in=lately).values_list("follower_id", flat=True))
    for push, follower in known:
        push.found[_NOT_NEW] = follower.pk not in enrolled


def _follows_lately(follower: Follower, at: datetime) -> bool:
    return follower.followed_at is not None and at < follower.followed_at + plan.LASTS


def enrol(*, push: Push) -> Enrolment | None:
    """Let somebody who follows for the first time enter the account's sequence; the control group enters, too."""
    follower = follower_of(push)
    if _SEQUENCE not in push.found:
        look_up([push])
    sequence: Sequence | None = push.found[_SEQUENCE]
    if sequence is None or follower.follow_count != 1 or not follower.subscribed:
        return None
    steps = read_steps(sequence.steps)
    control = plan.in_control(sequence_id=sequence.pk, follower_id=follower.pk, percent=sequence.control_percent)
    until = push.event_at + plan.LASTS
    row = Enrolment(
        sequence=sequence,
        follower=follower,
        in_control=control,
        followed_at=push.event_at,
        until=until,
        due_at=until if control or not steps else push.event_at + steps[0].after,
    )
    Enrolment.objects.bulk_create([row], ignore_conflicts=True)
    return row


def note_act(*, push: Push) -> None:
    """Note what a new follower did: it counts for the report, may allow the next message, or ends the sequence.

    The follower is locked; whoever runs sequences passes them over meanwhile.
    """
    follower = follower_of(push)
    if push.found.get(_NOT_NEW) or not _follows_lately(follower, push.event_at):
        return
    rows = Enrolment.objects.select_for_update(of=("self",)).select_related("sequence")
    row = rows.filter(follower=follower, followed_at__lte=push.event_at, until__gt=push.event_at).first()
    if row is None:
        return
    row.acted_at = min(filter(None, (row.acted_at, push.event_at)))
    if row.state == EnrolmentState.ACTIVE and not row.in_control:
        if row.sequence.ends_on_act:
            _end(row, plan.ACTED, selectors.settled_steps([row.pk]).get(row.pk, frozenset()), push.event_at)
        elif granted_by(push) is not None:
            soon = push.event_at + plan.AFTER_ACT
            row.due_at = min(row.due_at or soon, soon)
    row.save(update_fields=["acted_at", "state", "ended", "due_at"])


def run_due(*, at: datetime) -> int:
    """Settle what is due for new followers of the brand in scope, a batch; gives how many were looked at.

    What is sent is written down in the inbox in the same transaction, which sends it: a worker that dies here has done
    nothing, one that dies later has done it once. Whoever does something right now is left to the next round: their
    push has the follower, and will want their place in the sequence.
    """
    rows = list(
        Enrolment.objects.select_for_update(skip_locked=True, of=("self", "follower"))
        .filter(state=EnrolmentState.ACTIVE, due_at__lte=at)
        .select_related("sequence", "follower__member", "follower__account")
        .order_by("due_at", "pk")[:BATCH]
    )
    if rows:
        hold_followers(follower_ids=[row.follower_id for row in rows])
        world = _World.of(rows, at)
        for row in rows:
            _look_at(row, world, at)
        point("welcomes: settled, not committed")
    return len(rows)


def sweep(*, at: datetime) -> int:
    """Ring for every brand in which something is due; gives how many."""
    with every_brand(reason="new followers whose sequence goes on"):
        brands = selectors.brands_with_due(at=at)
    for brand_id in brands:
        ring(tasks.run_due, brand_id)
    return len(brands)


def forget_enrolments(*, follower: Follower, whole: bool, at: datetime) -> int:
    """Delete what is known of a person's first 48 hours."""
    rows = Enrolment.objects.filter(follower=follower)
    StepRecord.objects.filter(enrolment__in=rows).delete()
    return rows.delete()[0]


def _look_at(row: Enrolment, world: _World, at: datetime) -> None:
    done = world.done.get(row.pk, frozenset())
    why = _over(row, world, at)
    if why:
        _end(row, why, done, at)
    else:
        row.due_at = _go_on(row, world, done, at)
    row.save(update_fields=["state", "ended", "due_at"])


def _over(row: Enrolment, world: _World, at: datetime) -> str:
    """Say why a sequence ends for somebody now; "" while it goes on. The control group only runs out of time."""
    member = row.follower.member
    reasons = {
        plan.LEFT: not row.follower.subscribed,
        plan.JOINED: member.joined_at is not None and member.joined_at >= row.followed_at,
        plan.PERSON: row.follower_id in world.talking,
        plan.IN_CONTROL: row.follower.member_id in world.gate.control,
        plan.OPTED_OUT: row.follower.member_id in world.gate.refusing,
        plan.OFF_TOPIC: (member.pk, row.sequence.topic_id) in world.off,
        plan.OFF: not row.sequence.is_enabled,
    }
    time = plan.TIME if at >= row.until else ""
    return time if row.in_control else next((why for why, holds in reasons.items() if holds), time)


def _go_on(row: Enrolment, world: _World, done: frozenset[str], at: datetime) -> datetime:
    """Do what is due for somebody; gives when to look again."""
    if row.in_control:
        return row.until
    facts = plan.Facts(
        followed_at=row.followed_at,
        left=world.allowed[row.follower_id].left,
        done=done,
        joined=row.follower.member.joined_at is not None,
        acted=row.acted_at is not None,
        tag_ids=frozenset(row.follower.member.tag_ids),
        objects=row.follower.member_id in world.gate.objecting,
    )
    decision = plan.decide(read_steps(row.sequence.steps), facts, at=at, quiet=_hours(row, world))
    for key, why in decision.skipped:
        _settle(row, key, at, reason=why)
    if decision.send is not None:
        line = _send(row, decision.send, at)
        if line is None:  # somebody has taken the last one a moment ago
            return min(at + plan.SPACING, row.until)
        _settle(row, decision.send.key, at, line=line)
    return min(decision.look_at or row.until, row.until)


def quiet_of(sequence: Sequence, zone: ZoneInfo) -> plan.Quiet | None:
    """Give the quiet hours of a sequence in the brand's zone, None without any."""
    begins, ends = sequence.quiet_from, sequence.quiet_until
    return plan.Quiet(begins, ends, zone) if begins is not None and ends is not None and begins != ends else None


def _hours(row: Enrolment, world: _World) -> plan.Hours | None:
    own = world.gate.quiet.get(row.follower.member_id)
    each = [quiet_of(row.sequence, world.zone), plan.Quiet(*own, world.zone) if own is not None else None]
    known = tuple(quiet for quiet in each if quiet is not None)
    return plan.Hours(known) if known else None


def _send(row: Enrolment, step: plan.Step, at: datetime) -> Message | None:
    """Hand a step to the inbox, which asks once more and sends it; None when somebody has taken the last message."""
    follower, asks = row.follower, _asks(row.sequence, step)
    if step.kind == plan.TEXT:
        return send_unasked(follower=follower, text=step.text, at=at, asks=asks)
    facts: dict[str, object] = {"item": step.item}
    if step.kind == plan.MINI:
        facts |= {"title": step.title, "appid": step.appid, "page": step.page}
    kind = {plan.IMAGE: "image", plan.MINI: "miniprogrampage"}[step.kind]
    text = step.title if step.kind == plan.MINI else ""
    line = send_unasked(follower=follower, text=text, at=at, asks=asks, kind=kind, facts=facts)
    # A file that is no longer there is told by the send; nothing is counted for it.
    item_id = step.item or 0
    if line is not None and MediaItem.objects.filter(pk=item_id).exists():
        note_sent(item_id=item_id)
    return line


def _asks(sequence: Sequence, step: plan.Step) -> list[str]:
    """Give the choices that a step depends on: the same that `_over` and `decide` have asked for."""
    chosen = step.tag_id is not None
    return keys_for(purpose=Purpose.MARKETING, topic_id=sequence.topic_id, carrier=CARRIER, personal=chosen)


def _end(row: Enrolment, why: str, done: frozenset[str], at: datetime) -> None:
    row.state, row.ended, row.due_at = EnrolmentState.ENDED, why, None
    if row.in_control:
        return
    for key in plan.remaining(read_steps(row.sequence.steps), done):
        _settle(row, key, at, reason=plan.CLOSED if why == plan.TIME else why)


def _settle(row: Enrolment, key: str, at: datetime, *, reason: str = "", line: Message | None = None) -> None:
    StepRecord.objects.create(
        enrolment=row,
        step=key,
        outcome=StepOutcome.SENT if line else StepOutcome.SKIPPED,
        reason=reason,
        message_id=line.pk if line else None,
        at=at,
    )
