"""The law of reply windows: our figure equals the simulator's truth at every step of a random week."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wechat_gateway import windows
from wechat_gateway.windows import Act, Ledger, allowance, open_until
from wechat_simulator import windows as law
from wechat_simulator.errors import WeChatError

START = datetime(2025, 6, 1, tzinfo=UTC)
ACTS = {"message": Act.MESSAGE, "menu": Act.MENU, "follow": Act.FOLLOW, "scan": Act.SCAN}


class Fan:
    """What the simulator's law keeps of a person."""

    windows = None


def truth(fan, now):
    """How many messages the simulator would take now, and what it would refuse the next one with."""
    living = [window for window in (fan.windows or {}).values() if now < window.until]
    left = max((window.left for window in living), default=0)
    return left, 0 if left else 45047 if living else 45015


steps = st.lists(
    st.tuples(
        st.sampled_from(["message", "menu", "follow", "scan", "leave", "send", "send", "send", "wait"]),
        st.one_of(st.integers(1, 90), st.integers(1, 100_000)),
    ),
    max_size=60,
)


@given(steps)
def test_our_figure_is_the_simulators_truth_after_every_step(week):
    fan, ledger, now = Fan(), Ledger(), 0
    for step, pause in week:
        now += pause
        at = START + timedelta(seconds=now)
        if step in ACTS:
            law.open_window(fan, step, float(now))
            ledger = ledger.acted(ACTS[step], at)
        elif step == "leave":
            fan.windows = None
            ledger = ledger.acted(Act.LEFT, at)
        elif step == "send" and allowance(ledger, at).open:
            law.spend(fan, float(now), add_up=False)  # raises if WeChat would refuse
            ledger = ledger.sent(at)
        found = allowance(ledger, at)
        assert (found.left, found.refusal) == truth(fan, now)
        ends = open_until(ledger, at)
        assert (ends is not None and at < ends) == found.open
        assert found.open is False or found.until <= ends


@given(steps)
def test_what_we_refuse_the_simulator_refuses_with_the_same_code(week):
    fan, ledger, now = Fan(), Ledger(), 0
    for step, pause in week:
        now += pause
        at = START + timedelta(seconds=now)
        if step in ACTS:
            law.open_window(fan, step, float(now))
            ledger = ledger.acted(ACTS[step], at)
        elif step == "leave":
            fan.windows = None
            ledger = ledger.acted(Act.LEFT, at)
        elif step == "send":
            said = 0
            try:
                law.spend(fan, float(now), add_up=False)
            except WeChatError as error:
                said = error.code
            assert allowance(ledger, at).refusal == said
            if not said:
                ledger = ledger.sent(at)


def test_a_ledger_that_hears_of_acts_late_and_out_of_order_says_the_same():
    rng = random.Random(7)
    acts = [(rng.choice(list(ACTS.values())), START + timedelta(seconds=rng.randrange(3_000))) for _ in range(40)]
    in_order, shuffled = Ledger(), Ledger()
    for act, at in sorted(acts, key=lambda each: each[1]):
        in_order = in_order.acted(act, at)
    rng.shuffle(acts)
    for act, at in acts:
        shuffled = shuffled.acted(act, at)
    assert shuffled == in_order


def test_the_sixth_reply_is_refused_and_the_next_message_allows_five_again():
    ledger = Ledger().acted(Act.MESSAGE, START)
    for number in range(5):
        at = START + timedelta(minutes=number)
        assert allowance(ledger, at).left == 5 - number
        ledger = ledger.sent(at)
    used = allowance(ledger, START + timedelta(minutes=5))
    assert (used.left, used.refusal, used.until) == (0, windows.USED_UP, None)
    again = allowance(ledger.acted(Act.MESSAGE, START + timedelta(minutes=6)), START + timedelta(minutes=6))
    assert (again.left, again.until) == (5, START + timedelta(minutes=6, hours=48))


@pytest.mark.parametrize(
    ("kind", "more", "act"),
    [
        ("text", {}, Act.MESSAGE),
        ("text", {"menu_item_id": "101"}, Act.MENU),
        ("image", {}, Act.MESSAGE),
        ("CLICK", {}, Act.MENU),
        ("scancode_waitmsg", {}, Act.MENU),
        ("scancode_push", {}, Act.MENU),
        ("VIEW", {}, None),
        ("view_miniprogram", {}, None),
        ("pic_weixin", {}, None),
        ("location_select", {}, None),
        ("subscribe", {}, Act.FOLLOW),
        ("subscribe", {"scene": "7"}, Act.SCAN),
        ("SCAN", {"scene": "7"}, Act.SCAN),
        ("unsubscribe", {}, Act.LEFT),
        ("LOCATION", {}, None),
    ],
)
def test_only_some_acts_allow_replies(kind, more, act):
    from wechat_gateway.events import Push

    push = Push(
        brand_id=1, account_id=1, appid="wx", original_id="gh", openid="o", kind=kind, event_at=START,
        received_at=START, **more,
    )  # fmt: skip
    assert windows.act_of(push) == act


def test_a_message_that_did_not_leave_is_given_back():
    ledger = Ledger().acted(Act.MESSAGE, START).sent(START).sent(START + timedelta(seconds=1))
    assert allowance(ledger.taken_back(START), START + timedelta(seconds=2)).left == 4


def test_numbers_of_a_later_rule_hold_from_their_day(monkeypatch):
    later = windows.Rule(Act.MESSAGE, 2, timedelta(hours=1), START.date() + timedelta(days=1))
    monkeypatch.setattr(windows, "RULES", (*windows.RULES, later))
    ledger = Ledger().acted(Act.MESSAGE, START)
    assert allowance(ledger, START).left == 5
    tomorrow = START + timedelta(days=1)
    assert allowance(ledger.acted(Act.MESSAGE, tomorrow), tomorrow).left == 2


def test_a_reply_in_the_very_second_of_the_message_counts():
    """WeChat tells an act's second only: of two moments within it we take the one that allows less."""
    ledger = Ledger().acted(Act.MESSAGE, START).sent(START)
    assert allowance(ledger, START).left == 4
