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
from inbox import selectors, services
from inbox.models import Agent, Conversation
from tests.factories import AT, make_account, make_follower, make_staff
from tests.inbox.conftest import say, seconds, stored
from wechat_gateway import tokens

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
        """Keep rows from everybody until all works wait, in this order; then let go, and give what came of each."""
        with ThreadPoolExecutor(len(works)) as pool:
            with brand_scope(self.brand.pk):
                list(rows().select_for_update())
                waiting = []
                for number, work in enumerate(works, start=1):
                    waiting.append(pool.submit(self._run, work, work in alone))
                    self._until_waiting(number)
            return [each.result(timeout=60) for each in waiting]

    def _run(self, work, alone):
        """Do it in a scope; what opens its own runs `alone`."""
        try:
            with nullcontext() if alone else brand_scope(self.brand.pk):
                return work()
        finally:
            connection.close()

    def _until_waiting(self, number):
        for _look in range(600):
            with connection.cursor() as cursor:
                cursor.execute("SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted")
                if cursor.fetchone()[0] >= number:
                    return
            threading.Event().wait(0.05)
        raise AssertionError("nobody waits")

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
