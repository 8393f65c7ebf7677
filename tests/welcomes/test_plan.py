"""What is done when, for whom, and how sure a difference is: the pure parts of sequences."""

import random
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.factories import AT
from welcomes import plan
from welcomes.lift import Share, lift_of
from welcomes.plan import Facts, Step, decide, faults, in_control, needs_no_act, read_steps, written

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
FIRST = Step("a", 10 * SECOND, "欢迎")
SECOND_STEP = Step("b", 2 * HOUR, "会员有礼", unless_acted=True)
THIRD = Step("c", 20 * HOUR, "静安店", tag_id=7)
STEPS = (FIRST, SECOND_STEP, THIRD)


def facts(left=3, **more):
    return Facts(followed_at=AT, left=left, **more)


def test_nothing_is_sent_before_its_time():
    assert decide(STEPS, facts(), at=AT + 9 * SECOND) == plan.Decision((), None, AT + 10 * SECOND)


def test_one_message_is_sent_and_the_next_is_looked_at_when_it_is_due():
    found = decide(STEPS, facts(), at=AT + 10 * SECOND)
    assert (found.send, found.look_at) == (FIRST, AT + 2 * HOUR)


def test_overdue_steps_come_one_by_one():
    found = decide(STEPS, facts(tag_ids=frozenset({7})), at=AT + 30 * HOUR)
    assert (found.send, found.look_at) == (FIRST, AT + 30 * HOUR + plan.SPACING)
    rest = decide(STEPS, facts(done=frozenset("ab"), tag_ids=frozenset({7})), at=AT + 30 * HOUR)
    assert (rest.send, rest.look_at) == (THIRD, None)


def test_without_an_allowance_a_step_waits_for_an_act():
    found = decide(STEPS, facts(left=0), at=AT + 3 * HOUR)
    assert found == plan.Decision((), None, None)


def test_without_waiting_it_is_skipped_with_the_reason():
    steps = (Step("a", 10 * SECOND, "x", waits=False), SECOND_STEP)
    found = decide(steps, facts(left=0), at=AT + 30 * SECOND)
    assert found == plan.Decision((("a", plan.CLOSED),), None, AT + 2 * HOUR)


@pytest.mark.parametrize(
    ("step", "known", "why"),
    [
        (FIRST, {"joined": True}, plan.JOINED),
        (SECOND_STEP, {"acted": True}, plan.ACTED),
        (THIRD, {"tag_ids": frozenset({8})}, plan.NO_TAG),
    ],
)
def test_conditions_skip_a_step_for_good(step, known, why):
    found = decide((step,), facts(**known), at=AT + 21 * HOUR)
    assert found == plan.Decision(((step.key, why),), None, None)
    assert plan.reason(why) != why


def test_a_condition_that_holds_lets_a_step_go():
    assert decide((THIRD,), facts(tag_ids=frozenset({7})), at=AT + 21 * HOUR).send == THIRD
    assert decide((Step("a", SECOND, "x", unless_joined=False),), facts(joined=True), at=AT + HOUR).send.key == "a"


def test_what_is_settled_is_not_looked_at_again():
    found = decide(STEPS, facts(done=frozenset("abc")), at=AT + 40 * HOUR)
    assert found == plan.Decision((), None, None)
    assert plan.remaining(STEPS, {"a"}) == ["b", "c"]


def test_a_decision_never_sends_without_an_allowance():
    rng = random.Random(7)
    for _ in range(2_000):
        steps = read_steps(
            {
                "key": str(number),
                "after": rng.choice((0, 10, 70, 3_600, 90_000)),
                "text": "x",
                "waits": rng.random() < 0.5,
                "unless_acted": rng.random() < 0.3,
            }
            for number in range(rng.randrange(1, 5))
        )
        known = facts(left=rng.choice((0, 0, 1, 3)), acted=rng.random() < 0.5)
        at = AT + timedelta(seconds=rng.randrange(172_800))
        found = decide(steps, known, at=at)
        assert found.send is None or (known.left > 0 and AT + found.send.after <= at)
        assert found.look_at is None or found.look_at > at


def test_steps_are_read_as_they_were_written_in_the_order_they_are_due():
    rows = [written(step) for step in (THIRD, FIRST, SECOND_STEP)]
    assert read_steps(rows) == STEPS


def test_everything_that_keeps_a_sequence_off_is_said_at_its_step():
    assert [(fault.number, fault.field) for fault in faults((), at=AT)] == [(0, "text")]
    bad = (Step("a", SECOND, " "), Step("b", SECOND, "长" * 683), Step("c", plan.LASTS, "x"))
    assert [(fault.number, fault.field) for fault in faults(bad, at=AT)] == [(1, "text"), (2, "text"), (3, "after")]
    assert faults(STEPS, at=AT) == []


def test_more_messages_in_the_first_minute_than_a_follow_allows_are_a_fault():
    three = tuple(Step(str(number), number * 15 * SECOND, "x") for number in range(3))
    assert faults(three, at=AT) == []
    assert [fault.number for fault in faults((*three, Step("d", 59 * SECOND, "x")), at=AT)] == [0]
    assert faults((*three, Step("d", 60 * SECOND, "x")), at=AT) == []
    assert [needs_no_act(step, at=AT) for step in STEPS] == [True, False, False]


def test_the_control_group_is_fixed_and_of_the_wanted_size():
    chosen = {pk for pk in range(10_000) if in_control(sequence_id=3, follower_id=pk, percent=10)}
    assert 900 < len(chosen) < 1_100
    assert chosen == {pk for pk in range(10_000) if in_control(sequence_id=3, follower_id=pk, percent=10)}
    assert chosen < {pk for pk in range(10_000) if in_control(sequence_id=3, follower_id=pk, percent=20)}
    other = {pk for pk in range(10_000) if in_control(sequence_id=4, follower_id=pk, percent=10)}
    assert len(chosen & other) < 200  # two sequences choose independently
    assert not any(in_control(sequence_id=3, follower_id=pk, percent=0) for pk in range(1_000))


def test_the_interval_is_newcombes():
    # R. G. Newcombe, Statistics in Medicine 17 (1998), method 10: 56/70 against 48/80 gives 0.0524 … 0.3339.
    found = lift_of(Share(56, 70), Share(48, 80))
    assert (round(found.difference, 4), round(found.low, 4), round(found.high, 4)) == (0.2, 0.0524, 0.3339)
    assert found.certain
    assert not lift_of(Share(5, 10), Share(4, 10)).certain
    assert lift_of(Share(0, 0), Share(4, 10)) is None
    assert Share(0, 0).rate is None


SHANGHAI = ZoneInfo("Asia/Shanghai")
NIGHT = plan.Quiet(time(22), time(8), SHANGHAI)
LUNCH = plan.Quiet(time(12), time(14), SHANGHAI)


def local(day, hour, minute=0):
    return datetime(2025, 6, day, hour, minute, tzinfo=SHANGHAI)


@pytest.mark.parametrize(
    ("quiet", "at", "over"),
    [
        (NIGHT, local(1, 21, 59), None),
        (NIGHT, local(1, 22), local(2, 8)),
        (NIGHT, local(2, 0), local(2, 8)),
        (NIGHT, local(2, 7, 59), local(2, 8)),
        (NIGHT, local(2, 8), None),
        (LUNCH, local(1, 11, 59), None),
        (LUNCH, local(1, 12), local(1, 14)),
        (LUNCH, local(1, 14), None),
    ],
)
def test_quiet_hours_begin_and_end_on_the_minute_in_the_brands_zone(quiet, at, over):
    assert quiet.over_at(at) == over
    assert quiet.over_at(at.astimezone(UTC)) == over


def test_quiet_hours_follow_the_clock_of_the_zone_when_it_changes():
    paris = plan.Quiet(time(22), time(8), ZoneInfo("Europe/Paris"))
    night = datetime(2025, 3, 29, 23, tzinfo=ZoneInfo("Europe/Paris"))  # the clocks go forward before morning
    assert paris.over_at(night) == datetime(2025, 3, 30, 6, tzinfo=UTC)


def test_a_step_in_quiet_hours_moves_to_their_end():
    followed = local(1, 21)
    known = Facts(followed_at=followed, left=3)
    found = decide((SECOND_STEP,), known, at=followed + 2 * HOUR, quiet=NIGHT)
    assert found == plan.Decision((), None, local(2, 8))
    assert decide((SECOND_STEP,), known, at=local(2, 8), quiet=NIGHT).send == SECOND_STEP
    assert decide((SECOND_STEP,), known, at=followed + 2 * HOUR).send == SECOND_STEP


def test_what_the_48_hours_would_end_before_is_skipped_with_the_reason():
    followed = local(1, 7)
    known = Facts(followed_at=followed, left=3)
    steps = (Step("late", 45 * HOUR, "x"), Step("last", 46 * HOUR, "y"))
    found = decide(steps, known, at=followed + 45 * HOUR, quiet=plan.Quiet(time(4), time(7), SHANGHAI))
    assert found.skipped == (("late", plan.QUIET),)
    assert plan.reason(plan.QUIET) != plan.QUIET
    hours = plan.Quiet(time(4), time(6, 59), SHANGHAI)
    assert decide(steps, known, at=followed + 45 * HOUR, quiet=hours).look_at == local(3, 6, 59)


def test_what_answers_the_follow_comes_at_night_too():
    followed = local(1, 23)
    assert decide((FIRST,), Facts(followed_at=followed, left=3), at=followed + 10 * SECOND, quiet=NIGHT).send == FIRST


PICTURE = Step("p", HOUR, "", kind=plan.IMAGE, item=7)
CARD = Step("m", HOUR, "", kind=plan.MINI, item=7, title="会员中心", appid="wx0123456789abcdef", page="pages/home")


@pytest.mark.parametrize(
    ("step", "fields"),
    [
        (PICTURE, []),
        (replace(PICTURE, item=None), ["item"]),
        (CARD, []),
        (replace(CARD, item=None, title=" ", appid="", page=""), ["item", "title", "appid", "page"]),
        (replace(CARD, page="/pages/home"), ["page"]),
        (replace(CARD, page="https://a.example/"), ["page"]),
    ],
)
def test_pictures_and_cards_name_what_is_missing(step, fields):
    assert [fault.field for fault in faults((step,), at=AT)] == fields


@pytest.mark.parametrize("step", [FIRST, PICTURE, CARD])
def test_steps_are_read_as_they_were_written(step):
    assert read_steps([written(step)]) == (step,)


def test_texts_are_stored_as_before():
    assert set(written(FIRST)) == {"key", "after", "text", "unless_joined", "unless_acted", "tag_id", "waits"}
