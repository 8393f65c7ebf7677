"""What people send: reserved, sent once by a task, with a recorded fate; the ledger agrees with the simulated WeChat."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from common import failpoints
from inbox import routing, selectors, services
from inbox.errors import NotFollowing, NothingToSend, TooLong, WindowClosed
from inbox.models import AgentTask, Answer, ConversationState, Message, SendState, TaskKind
from inbox.on_screen import reason_of
from inbox.services import sending
from tests.factories import AT, make_follower, make_staff
from tests.inbox.conftest import push_of, say, seconds
from wechat_gateway import calls, client, tokens
from wechat_gateway.errors import Disconnected
from wechat_gateway.services import set_active


@pytest.fixture(autouse=True)
def _fresh_tokens():
    tokens.forget_cached()
    yield
    tokens.forget_cached()


@pytest.fixture
def desk(in_brand):
    return make_staff("desk", "MARKETER")


@pytest.fixture
def person(simulator, account):
    """Somebody at the simulated WeChat who follows the account; acts there become pushes here."""
    return Person(simulator, account)


class Person:
    def __init__(self, simulator, account):
        simulator.know(account)
        self.simulator, self.account = simulator, account
        (openid,) = simulator.crowd(account, 1)
        self.follower = make_follower(account, openid=openid)
        (person,) = simulator.get(f"/_sim/people?appid={account.appid}")["people"]
        self.name = person["id"]

    def act(self, name, **more):
        return self.simulator.act(self.name, name, self.account.appid, **more)

    def truth(self):
        """How many messages WeChat would take now."""
        person = self.simulator.get(f"/_sim/people/{self.name}")
        return max((each["left"] for each in person["accounts"][self.account.appid]["windows"]), default=0)

    def now(self):
        return datetime.fromtimestamp(self.simulator.get("/_sim/clock")["now"], UTC)


def send(conversation, desk, text="好的", at=AT, key=None):
    return services.send_text(
        conversation_id=conversation.pk, staff_id=desk.pk, text=text, client_key=key or uuid4(), at=at
    )


def test_nothing_is_sent_while_the_account_is_disconnected_and_the_reason_is_said(person, desk, in_brand):
    account, follower = person.account, person.follower
    person.act("text", content="在吗")
    conversation = say(follower, "在吗")
    queued = send(conversation, desk, "马上")
    set_active(account=account, is_active=False)

    with pytest.raises(Disconnected) as refused:
        send(conversation, desk, "在的")
    assert (refused.value.message, refused.value.hint) == reason_of(None, "DISCONNECTED")
    assert services.send_unasked(follower=follower, text="欢迎", at=AT, asks=()) is None

    # What had been written before stays with its reason, and the person waits for an answer again.
    services.deliver(brand_id=account.brand_id, message_id=queued.pk, at=AT)
    queued.refresh_from_db()
    conversation.refresh_from_db()
    assert (queued.state, queued.cause, conversation.state) == (
        SendState.REFUSED, "DISCONNECTED", ConversationState.WAITING,
    )  # fmt: skip
    assert selectors.allowance_of(follower.pk, at=AT).left == 5

    set_active(account=account, is_active=True)
    again = send(conversation, desk, "在的")
    services.deliver(brand_id=account.brand_id, message_id=again.pk, at=AT)
    again.refresh_from_db()
    assert again.state == SendState.SENT


def test_sending_answers_who_waits_and_measures_it(follower, desk):
    conversation = say(follower, "在吗")
    line = send(conversation, desk, "在的", at=AT + seconds(90))

    conversation.refresh_from_db()
    assert (line.state, line.author_id) == (SendState.QUEUED, desk.pk)
    assert (conversation.state, conversation.waiting_since) == (ConversationState.OPEN, None)
    assert (conversation.assignee_id, conversation.outbound_count, conversation.last_text) == (desk.pk, 1, "在的")
    answer = Answer.objects.get()
    assert (answer.seconds, answer.is_first) == (90, True)
    assert selectors.allowance_of(follower.pk, at=AT + seconds(90)).left == 4


def test_a_double_click_is_one_message(follower, desk):
    conversation, key = say(follower), uuid4()
    first = send(conversation, desk, key=key)
    again = send(conversation, desk, key=key)

    assert again.pk == first.pk
    assert Message.objects.filter(author=desk).count() == 1
    assert selectors.allowance_of(follower.pk, at=AT).left == 4


def test_the_sixth_message_is_refused_here_with_the_cause_and_a_way_out(follower, desk):
    conversation = say(follower)
    for number in range(5):
        send(conversation, desk, at=AT + seconds(number))
    with pytest.raises(WindowClosed) as refused:
        send(conversation, desk, at=AT + seconds(6))
    assert refused.value.refusal == 45047
    assert refused.value.hint
    assert Message.objects.filter(author=desk).count() == 5


def test_after_48_hours_nothing_may_be_sent(follower, desk):
    conversation = say(follower)
    send(conversation, desk, at=AT + timedelta(hours=47, minutes=59, seconds=59))
    with pytest.raises(WindowClosed) as refused:
        send(conversation, desk, at=AT + timedelta(hours=48))
    assert refused.value.refusal == 45015


@pytest.mark.parametrize(("text", "error"), [("  \n ", NothingToSend), ("字" * 683, TooLong)])
def test_what_wechat_would_not_take_is_refused_before_it_is_written(follower, desk, text, error):
    conversation = say(follower)
    with pytest.raises(error):
        send(conversation, desk, text)
    assert Message.objects.filter(author=desk).count() == 0


def test_who_does_not_follow_gets_nothing(follower, desk):
    conversation = say(follower)
    follower.subscribed = False
    follower.save()
    with pytest.raises(NotFollowing):
        send(conversation, desk)


def deliver(line, at):
    sending.deliver(brand_id=line.brand_id, message_id=line.pk, at=at)
    line.refresh_from_db()
    return line


def test_a_message_arrives_once_however_often_its_task_runs(person, desk):
    person.act("text", content="你好")
    at = person.now()
    conversation = say(person.follower, "你好", at=at)
    line = send(conversation, desk, "您好，有什么可以帮您", at=at)

    assert deliver(line, at).state == SendState.SENT
    assert deliver(line, at).state == SendState.SENT
    assert person.truth() == 4 == selectors.allowance_of(person.follower.pk, at=at).left


def test_wechats_refusal_is_kept_with_its_code_and_the_follower_waits_again(person, desk):
    at = person.now()
    conversation = say(person.follower, "你好", at=at)  # WeChat has heard nothing: its window is not open
    line = deliver(send(conversation, desk, at=at), at)

    conversation.refresh_from_db()
    assert (line.state, line.code) == (SendState.REFUSED, 45015)
    assert (conversation.state, conversation.waiting_since) == (ConversationState.WAITING, at)
    assert Answer.objects.count() == 0
    assert selectors.allowance_of(person.follower.pk, at=at + seconds(1)).refusal == 45015  # WeChat knows better


def test_who_had_it_has_time_for_another_answer_when_wechat_refuses_the_first(person, desk):
    """What the answer had ended is to be done again, and after its time the conversation goes to somebody else."""
    at = person.now()
    services.set_duty(staff_id=desk.pk, on_duty=True, at=at)
    conversation = say(person.follower, "你好", at=at)  # WeChat has heard nothing: its window is not open
    services.remind_me(conversation_id=conversation.pk, staff_id=desk.pk, at=at)
    AgentTask.objects.create(conversation=conversation, kind=TaskKind.PROMISE, due_at=at + seconds(90), created_at=at)
    done = AgentTask.objects.create(conversation=conversation, kind=TaskKind.PROMISE, due_at=at, created_at=at)
    services.finish_task(task_id=done.pk, at=at)
    say(person.follower, "在吗", at=at + seconds(1))
    line = send(conversation, desk, at=at + seconds(30))
    assert not selectors.open_tasks_of(conversation)

    deliver(line, at + seconds(60))
    conversation.refresh_from_db()
    assert conversation.state == ConversationState.WAITING
    assert (conversation.assignee, conversation.return_at) == (desk, at + seconds(60) + routing.RETURN_AFTER)
    assert [task.kind for task in selectors.open_tasks_of(conversation)] == [TaskKind.WRITES_AGAIN, TaskKind.PROMISE]
    assert conversation.promised_at == at + seconds(90)
    assert services.return_due(at=conversation.return_at) == 1


def test_an_unknown_answer_is_not_repeated(person, desk):
    person.act("text", content="你好")
    at = person.now()
    conversation = say(person.follower, "你好", at=at)
    person.simulator.fault(kind="accept_then_cut", path=client.CUSTOM_SEND, appid=person.account.appid, count=1)
    line = deliver(send(conversation, desk, at=at), at)

    assert line.state == SendState.UNKNOWN
    assert deliver(line, at).state == SendState.UNKNOWN
    assert person.truth() == 4 == selectors.allowance_of(person.follower.pk, at=at).left  # it counts as sent


def test_what_a_dead_worker_was_sending_becomes_unconfirmed(follower, desk):
    line = send(say(follower), desk)
    Message.objects.filter(pk=line.pk).update(state=SendState.SENDING, started_at=AT)
    services.sweep_messages(at=AT + timedelta(minutes=2))
    line.refresh_from_db()
    assert line.state == SendState.SENDING
    services.sweep_messages(at=AT + timedelta(minutes=3))
    line.refresh_from_db()
    assert line.state == SendState.UNKNOWN


class Killed(BaseException):
    """The process is gone."""


def die():
    raise Killed


@pytest.mark.parametrize(("name", "left"), [("inbox: before the send", 5), ("inbox: answered, not recorded", 4)])
def test_a_worker_killed_around_a_send_sends_at_most_once_and_says_so(person, desk, monkeypatch, name, left):
    person.act("text", content="你好")
    at = person.now()
    line = send(say(person.follower, "你好", at=at), desk, at=at)
    monkeypatch.setitem(failpoints.armed, name, die)
    with pytest.raises(Killed):
        deliver(line, at)
    monkeypatch.delitem(failpoints.armed, name)
    assert deliver(line, at).state == SendState.SENDING
    services.sweep_messages(at=at + timedelta(minutes=3))
    line.refresh_from_db()
    assert line.state == SendState.UNKNOWN
    assert person.truth() == left


def test_a_message_that_waited_until_its_window_closed_is_not_sent(follower, desk):
    conversation = say(follower)
    line = send(conversation, desk, at=AT + timedelta(hours=47, minutes=59))
    deliver(line, AT + timedelta(hours=48))
    conversation.refresh_from_db()
    assert (line.state, line.cause, line.code) == (SendState.REFUSED, "LATE", None)
    assert (conversation.state, conversation.waiting_since) == (ConversationState.WAITING, AT)


def test_a_reminder_is_due_when_the_follower_writes_again_and_done_when_answered(follower, desk):
    conversation = say(follower)
    services.remind_me(conversation_id=conversation.pk, staff_id=desk.pk, at=AT + timedelta(hours=50))
    assert AgentTask.objects.get().due_at is None
    say(follower, "我回来了", at=AT + timedelta(hours=60))
    assert AgentTask.objects.get().due_at == AT + timedelta(hours=60)
    send(conversation, desk, at=AT + timedelta(hours=61))
    task = AgentTask.objects.get(kind=TaskKind.WRITES_AGAIN)
    assert task.done_at == AT + timedelta(hours=61)


@pytest.fixture
def still(simulator):
    """The simulated clock stands still at a whole second, and is moved by hand."""
    now = simulator.get("/_sim/clock")["now"]
    simulator.post("/_sim/clock", set=float(int(now) + 1), pause=True)
    return simulator


def test_a_random_week_against_the_simulated_wechat_has_no_refusal(person, desk, still):
    """Acts and sends as they come, the clock jumping: never refused, and our figure is WeChat's after every step."""
    rng = random.Random(20250601)
    follower = person.follower
    calls.create_menu(person.account, [{"type": "click", "name": "问", "key": "K"}], at=person.now()).require()
    code = calls.create_code(person.account, "7", at=person.now()).require().data["ticket"]
    conversation = say(follower, "第一句", at=person.now())
    person.act("text", content="第一句")
    refused = sent = 0
    for _ in range(80):
        still.post("/_sim/clock", advance=rng.choice([1, 5, 20, 61, 3_600, 40_000]))
        at = person.now()
        step = rng.choice(["message", "menu", "scan", "send", "send", "send"])
        if step == "message":
            person.act("text", content="你好")
            say(follower, "你好", at=at)
        elif step == "menu":
            person.act("tap", key="K")
            services.record_push(push=push_of(follower, kind="CLICK", key="K", at=at))
        elif step == "scan":
            person.act("scan", ticket=code)
            services.record_push(push=push_of(follower, kind="SCAN", scene="7", at=at))
        elif selectors.allowance_of(follower.pk, at=at).open:
            line = deliver(send(conversation, desk, at=at), at)
            sent += 1
            refused += line.state != SendState.SENT
        assert selectors.allowance_of(follower.pk, at=at).left == person.truth()
    assert refused == 0
    assert sent > 15
