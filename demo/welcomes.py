"""The first 48 hours at a demo brand: a sequence that is on, and what it has brought so far. All of it is invented."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from accounts.tenancy import brand_scope
from common import clock
from members.models import Follower
from welcomes import plan
from welcomes.models import Enrolment, EnrolmentState, Sequence, StepOutcome, StepRecord
from welcomes.plan import Step, written
from welcomes.services import save_sequence

if TYPE_CHECKING:
    from random import Random

STEPS: Final = (
    Step(
        "hello",
        timedelta(minutes=40),
        "看了这么久，有喜欢的吗？回复「预约」，专属导购为你留好试衣间。",
        unless_acted=True,
    ),
    Step("gift", timedelta(hours=3), "还差一步：回复「会员」加入会员，到店就能领一份见面礼。"),
    Step("shop", timedelta(hours=20), "静安店这周末有新到的亚麻衬衫，来试试吧。", unless_joined=False),
)
MOST: Final = 400
ACTED: Final = {False: 0.31, True: 0.22}  # of those with the sequence, and of the control group


def welcome(brand_id: int, account_id: int, chance: Random) -> None:
    """Turn a sequence on, and let the followers of the past weeks have run through it."""
    at = clock.now()
    with brand_scope(brand_id):
        sequence = Sequence(
            account_id=account_id,
            name="新粉 48 小时",
            is_enabled=True,
            control_percent=20,
            steps=[written(step) for step in STEPS],
        )
        save_sequence(sequence=sequence, at=at)
        rows = Follower.objects.filter(account_id=account_id, followed_at__lt=at - plan.LASTS)
        followers = list(rows.order_by("-followed_at", "-pk")[:MOST])
    # Workers are busy with the same people: whoever holds one of them at a time stands in nobody's way.
    for follower in followers:
        with brand_scope(brand_id):
            row = _past(sequence, follower, chance)
            row.save()
            if not row.in_control:
                StepRecord.objects.bulk_create(_records(row, chance))


def _past(sequence: Sequence, follower: Follower, chance: Random) -> Enrolment:
    since = follower.followed_at or sequence.updated_at
    control = plan.in_control(sequence_id=sequence.pk, follower_id=follower.pk, percent=sequence.control_percent)
    acted = chance.random() < ACTED[control]
    return Enrolment(
        sequence=sequence,
        follower=follower,
        in_control=control,
        state=EnrolmentState.ENDED,
        ended=plan.TIME,
        followed_at=since,
        until=since + plan.LASTS,
        acted_at=since + timedelta(minutes=chance.randrange(2, 2_600)) if acted else None,
    )


def _records(row: Enrolment, chance: Random) -> list[StepRecord]:
    found = []
    for step in STEPS:
        wrote_in_time = row.acted_at is not None and row.acted_at + timedelta(hours=48) > row.followed_at + step.after
        why = plan.CLOSED
        if step.unless_acted and row.acted_at is not None:
            wrote_in_time, why = False, plan.ACTED
        if step.unless_joined and chance.random() < 0.3:
            wrote_in_time, why = False, plan.JOINED
        found.append(
            StepRecord(
                enrolment=row,
                step=step.key,
                outcome=StepOutcome.SENT if wrote_in_time else StepOutcome.SKIPPED,
                reason="" if wrote_in_time else why,
                at=row.followed_at + step.after,
            )
        )
    return found
