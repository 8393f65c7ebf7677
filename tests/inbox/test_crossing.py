"""Two who need the same rows at once, on connections of their own: one waits for the other, and both get there."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from uuid import uuid4

import pytest
from django.db import connection

from accounts.tenancy import brand_scope
from conversations.models import ReplyRecord, ReplyState, Trigger, Way
from conversations.services import send_replies
from inbox import inbound, selectors, services
from inbox.models import Agent, Conversation, Message, ReplyLedger
from inbox.services import sending
from inbox.services.erasure import forget_person
from inbox.services.ledger import record_act, reserve_sends
from loyalty.services import notices
from loyalty.services.notices import Owed
from members import services as member_services
from members.models import Follower
from tests.factories import AT, make_account, make_follower, make_staff
from tests.inbox.conftest import say, seconds, stored
from wechat_gateway import tokens, windows
from welcomes import inbound as welcomes
from welcomes.models import Enrolment, Sequence
from welcomes.plan import LASTS, Step, written
from welcomes.services import run_due, save_sequence

pytestmark = pytest.mark.django_db(transaction=True)


class Crossing:
    """One brand with a person at the desk, and somebody who has written to it."""

    def __init__(self, brand, simulator):
        self.brand = brand
        with brand_scope(brand.pk):
            self.account = make_account()
            simulator.know(self.account)
            (openid,) = simulator.crowd(self.account, 1)
            self.follower = make_follower(self.account, openid=openid)
            self.desk = make_staff("desk", "MARKETER")
            self.conversation = say(self.follower)

    def meet(self, rows, *works, alone=()):
        """Keep rows from everybody until all works wait or are done, in this order; then let go: what came of each."""
        with ThreadPoolExecutor(len(works)) as pool:
            with brand_scope(self.brand.pk):
                list(rows().select_for_update())
                waiting = []
                for work in works:
                    waiting.append(pool.submit(self._run, work, work in alone))
                    self._until_waiting(waiting)
            return [each.result(timeout=60) for each in waiting]

    def _run(self, work, alone):
        """Do it in a scope; what opens its own runs `alone`."""
        try:
            with nullcontext() if alone else brand_scope(self.brand.pk):
                return work()
        finally:
            connection.close()

    def _until_waiting(self, works):
        for _look in range(600):
            with connection.cursor() as cursor:
                cursor.execute("SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted")
                if cursor.fetchone()[0] + sum(work.done() for work in works) >= len(works):
                    return
            threading.Event().wait(0.05)
        raise AssertionError("nobody waits")

    def another(self):
        """Somebody else who has written: whatever is theirs comes after what is the first one's."""
        with brand_scope(self.brand.pk):
            follower = make_follower(self.account)
            say(follower)
            return follower

    def pushes(self, *followers):
        """What they do next, handled together in this order."""
        pushes = [stored(each, content="还在吗", at=AT + seconds(60)) for each in followers]
        member_services.look_up_followers(pushes)
        inbound.look_up(pushes)
        for each in pushes:
            welcomes.note_act(each)
            services.record_push(push=each)

    def push(self):
        services.record_push(push=stored(self.follower, content="还在吗", at=AT + seconds(60)))

    def send(self):
        services.send_text(
            conversation_id=self.conversation.pk, staff_id=self.desk.pk, text="在的", client_key=uuid4(),
            at=AT + seconds(60),
        )  # fmt: skip


@pytest.fixture
def crossing(brand, simulator):
    tokens.forget_cached()
    yield Crossing(brand, simulator)
    tokens.forget_cached()


def test_a_reply_and_a_message_that_cross_both_arrive(crossing):
    crossing.meet(lambda: Conversation.objects.filter(pk=crossing.conversation.pk), crossing.send, crossing.push)

    with brand_scope(crossing.brand.pk):
        row = Conversation.objects.get()
        assert (row.inbound_count, row.outbound_count) == (2, 1)
        assert selectors.allowance_of(crossing.follower.pk, at=AT + seconds(61)).left in (4, 5)


def test_what_nobody_asked_for_and_a_message_that_cross_both_arrive(crossing):
    def welcome():
        services.send_unasked(follower=crossing.follower, text="欢迎", at=AT + seconds(60), asks=())

    crossing.meet(lambda: Conversation.objects.filter(pk=crossing.conversation.pk), welcome, crossing.push)

    with brand_scope(crossing.brand.pk):
        row = Conversation.objects.get()
        assert (row.inbound_count, row.outbound_count) == (2, 1)


def test_a_reply_crosses_an_answer_that_wechat_refuses(crossing):
    """WeChat knows of no act of theirs: the ledger is closed, and the conversation is handed to a person."""
    with brand_scope(crossing.brand.pk):
        push = stored(crossing.follower, content="几点", at=AT)
        ReplyRecord.objects.create(
            account=crossing.account, follower=crossing.follower, push_id=push.push_id, trigger=Trigger.KEYWORD,
            way=Way.SERVICE, state=ReplyState.WAITING, waiting=[{"msgtype": "text", "text": {"content": "十点"}}], at=AT,
        )  # fmt: skip

    def answer():
        send_replies(crossing.brand.pk, at=AT + seconds(60))

    crossing.meet(
        lambda: Conversation.objects.filter(pk=crossing.conversation.pk), crossing.send, answer, alone=[answer]
    )
    with brand_scope(crossing.brand.pk):
        assert ReplyRecord.objects.get().way == Way.PERSON
        assert selectors.allowance_of(crossing.follower.pk, at=AT + seconds(61)).left == 0
        assert Conversation.objects.get().outbound_count == 1


def test_who_goes_off_duty_while_somebody_writes_hands_back_what_waits(crossing):
    """The seat is locked after the conversation by whoever leaves as by whoever finds a seat."""
    with brand_scope(crossing.brand.pk):
        services.set_duty(staff_id=crossing.desk.pk, on_duty=True, at=AT + seconds(1))
        other = make_follower(crossing.account)

    def leave():
        services.set_duty(staff_id=crossing.desk.pk, on_duty=False, at=AT + seconds(60))

    def hand_back():
        services.transfer(
            conversation_id=crossing.conversation.pk, to_staff_id=None, reason="下班", at=AT + seconds(60)
        )

    crossing.meet(lambda: Conversation.objects.filter(pk=crossing.conversation.pk), hand_back, leave)
    with brand_scope(crossing.brand.pk):
        assert Conversation.objects.get(pk=crossing.conversation.pk).assignee_id is None
        assert not Agent.objects.get().on_duty
        assert say(other).assignee_id is None


def test_a_welcome_that_is_due_leaves_alone_who_does_something_right_now(crossing):
    """The push has the follower and wants their place in the sequence; the round would have it the other way round."""
    with brand_scope(crossing.brand.pk):
        person = make_follower(crossing.account, at=AT)
        sequence = save_sequence(
            sequence=Sequence(
                account=crossing.account, name="新粉", is_enabled=True, control_percent=0,
                steps=[written(Step("a", seconds(10), "欢迎"))],
            ),
            at=AT,
        )  # fmt: skip
        Enrolment.objects.create(
            sequence=sequence,
            follower=person,
            in_control=False,
            followed_at=AT,
            until=AT + LASTS,
            due_at=AT + seconds(10),
        )
        record_act(follower=person, act=windows.Act.FOLLOW, at=AT)

    _pushed, looked_at = crossing.meet(
        lambda: Follower.objects.filter(pk=person.pk),
        lambda: crossing.pushes(person),
        lambda: run_due(at=AT + seconds(30)),
    )

    assert looked_at == 0
    with brand_scope(crossing.brand.pk):
        assert Enrolment.objects.get().acted_at == AT + seconds(60)


def test_answers_and_messages_of_several_people_cross(crossing):
    """Answers take ledgers by number; messages come in whatever order."""
    first, second = crossing.follower, crossing.another()

    _pushed, granted = crossing.meet(
        lambda: ReplyLedger.objects.filter(follower=second),
        lambda: crossing.pushes(second, first),
        lambda: reserve_sends(wanted={first.pk: 1, second.pk: 1}, at=AT + seconds(60)),
    )

    assert granted == {first.pk: 1, second.pk: 1}


def test_news_for_several_people_cross_their_messages(crossing):
    first, second = crossing.follower, crossing.another()

    def tell():
        owed = {each.member_id: Owed({"benefit": "一杯咖啡"}) for each in (second, first)}
        return notices.tell("送您{benefit}", owed, about="birthday", at=AT + seconds(60))

    told, _pushed = crossing.meet(
        lambda: Conversation.objects.filter(follower=second), tell, lambda: crossing.pushes(first, second)
    )

    assert told == {each.member_id: ("inbox.window", "") for each in (first, second)}


def test_who_goes_off_duty_hands_back_several_while_they_write(crossing):
    """Who has waited longest comes first, whichever conversation was opened first."""
    second = crossing.another()
    with brand_scope(crossing.brand.pk):
        services.set_duty(staff_id=crossing.desk.pk, on_duty=True, at=AT + seconds(1))
        Conversation.objects.filter(follower=second).update(waiting_since=AT - seconds(60))

    crossing.meet(
        lambda: Conversation.objects.filter(follower=second),
        lambda: services.set_duty(staff_id=crossing.desk.pk, on_duty=False, at=AT + seconds(60)),
        lambda: crossing.pushes(crossing.follower, second),
    )

    with brand_scope(crossing.brand.pk):
        assert Conversation.objects.filter(assignee=None).count() == 2


@pytest.mark.parametrize("how", ["being sent", "given up"])
def test_somebody_is_erased_while_a_message_to_them_is_under_way(crossing, how):
    at = AT + seconds(61)
    with brand_scope(crossing.brand.pk):
        crossing.send()
        line = Message.objects.get(direction="OUT")
        if how == "given up":  # its worker died: the sweep notes that nobody knows
            at = AT + seconds(3600)
            Message.objects.filter(pk=line.pk).update(state="SENDING", started_at=AT)

    def send():
        sending.deliver(brand_id=crossing.brand.pk, message_id=line.pk, at=at)

    def sweep():
        sending.sweep_messages(at=at)

    crossing.meet(
        lambda: Conversation.objects.filter(pk=crossing.conversation.pk),
        lambda: forget_person(follower=crossing.follower, whole=True, at=at),
        send if how == "being sent" else sweep,
        alone=[send],
    )

    with brand_scope(crossing.brand.pk):
        assert (Conversation.objects.count(), Message.objects.count()) == (0, 0)
