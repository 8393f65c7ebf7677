"""Automatic lines that certainly did not leave: they wait with their reason, go once, and incidents count them."""

from __future__ import annotations

import html
from datetime import datetime, time, timedelta
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from django.utils import translation
from django.utils.translation import gettext

from accounts.tenancy import brand_scope
from common import clock
from console.formats import local_time
from inbox import selectors, services
from inbox.models import Message, SendState, ServiceHours
from inbox.on_screen import reason_of
from tests.console.conftest import as_owner, manager, marketer, ours, owner, theirs
from tests.factories import AT, make_member
from tests.inbox.conftest import say, seconds
from tests.inbox.test_pages import LIST, page
from tests.inbox.test_sending import _fresh_tokens, deliver, desk, person
from wechat_gateway import client, incidents
from wechat_gateway.models import Incident
from wechat_gateway.services import set_active

__all__ = ["_fresh_tokens", "as_owner", "desk", "manager", "marketer", "ours", "owner", "person", "theirs"]


def welcome(person, at):
    return services.send_unasked(follower=person.follower, text="欢迎来", at=at, asks=())


def test_what_did_not_leave_waits_with_its_reason_and_goes_once(person, in_brand):
    person.act("text", content="你好")
    at = person.now()
    say(person.follower, "你好", at=at)
    line = welcome(person, at)
    set_active(account=person.account, is_active=False)
    line = deliver(line, at)
    assert (line.state, line.cause, line.due_at) == (SendState.QUEUED, "DISCONNECTED", at + seconds(15))

    # Nobody looks after it before its time, and nothing is called until the account is connected again.
    services.sweep_messages(at=line.due_at - seconds(1))
    assert deliver(line, line.due_at - seconds(1)).due_at == line.due_at
    assert not selectors.lines_under_way(at=line.due_at - seconds(1)).exists()
    later = deliver(line, at + timedelta(hours=1))
    assert (later.state, later.due_at) == (SendState.QUEUED, at + timedelta(hours=1, minutes=10))
    assert person.truth() == 5

    set_active(account=person.account, is_active=True)
    again = at + timedelta(hours=1, minutes=10)
    for _twice in range(2):
        line = deliver(line, again)
    assert (line.state, line.due_at) == (SendState.SENT, None)
    assert person.truth() == 4 == selectors.allowance_of(person.follower.pk, at=again).left


def test_an_unknown_answer_to_a_line_that_had_waited_is_not_repeated(person, in_brand):
    person.act("text", content="你好")
    at = person.now()
    say(person.follower, "你好", at=at)
    line = deliver(_queued(person, at), at)
    set_active(account=person.account, is_active=True)
    person.simulator.fault(kind="accept_then_cut", path=client.CUSTOM_SEND, appid=person.account.appid, count=1)
    line = deliver(line, line.due_at)
    assert (line.state, line.due_at) == (SendState.UNKNOWN, None)
    assert deliver(line, at + timedelta(hours=1)).state == SendState.UNKNOWN
    assert person.truth() == 4


def _queued(person, at):
    """A line that was written down while the account was connected."""
    line = welcome(person, at)
    set_active(account=person.account, is_active=False)
    return line


def test_what_waited_until_its_window_closed_says_why(person, in_brand):
    at = person.now()
    say(person.follower, "你好", at=at)
    line = deliver(_queued(person, at), at)
    line = deliver(line, at + timedelta(hours=48))
    assert (line.state, line.cause, line.due_at) == (SendState.REFUSED, "LATE", None)
    assert line.facts["waited_for"] == {"code": None, "cause": "DISCONNECTED"}
    assert selectors.ledger_of(person.follower.pk).sends == ()


def test_what_is_wrong_in_itself_waits_for_nothing(person, in_brand):
    person.act("text", content="你好")
    at = person.now()
    say(person.follower, "你好", at=at)
    person.simulator.fault(kind="errcode", errcode=40008, path=client.CUSTOM_SEND, appid=person.account.appid, count=1)
    line = deliver(welcome(person, at), at)
    assert (line.state, line.code, line.due_at) == (SendState.REFUSED, 40008, None)


def test_a_promise_that_waited_is_not_made_when_its_time_has_come_or_somebody_has_answered(person, desk):
    services.set_duty(staff_id=desk.pk, on_duty=True, at=AT)
    ServiceHours.objects.create(weekday=6, opens=time(9), closes=time(21))  # 2025-06-01 is a Sunday
    say(person.follower, at=AT)
    promise = Message.objects.get(direction="OUT")
    set_active(account=person.account, is_active=False)
    promise = deliver(promise, AT)
    assert promise.due_at is not None

    nine = datetime(2025, 6, 1, 9, tzinfo=ZoneInfo("Asia/Shanghai"))
    promise = deliver(promise, nine)
    assert (promise.state, promise.cause) == (SendState.REFUSED, "OVER")

    # The next evening somebody answers while the promise waits.
    evening = AT + timedelta(hours=14)
    services.resolve(conversation_id=promise.conversation_id, at=evening)
    set_active(account=person.account, is_active=True)
    ServiceHours.objects.create(weekday=0, opens=time(9), closes=time(21))
    say(person.follower, at=evening)
    promise = Message.objects.filter(direction="OUT").latest("pk")
    services.send_text(
        conversation_id=promise.conversation_id,
        staff_id=desk.pk,
        text="在",
        client_key=uuid4(),
        at=evening + seconds(9),
    )
    promise = deliver(promise, evening + seconds(20))
    assert (promise.state, promise.cause) == (SendState.REFUSED, "OVER")


@pytest.mark.parametrize(
    ("kind", "subject", "count"),
    [
        (incidents.TOKEN, "", 1),
        (incidents.QUOTA, client.CUSTOM_SEND, 1),
        (incidents.QUOTA, client.TEMPLATE_SEND, 0),
        (incidents.CALLBACK, "", 0),
    ],
)
def test_an_incident_counts_what_waits_and_leads_to_it(as_owner, ours, theirs, kind, subject, count):
    with brand_scope(ours.brand.pk):
        conversation = say(ours.member.followers.get(), at=clock.now())
        line = services.send_unasked(follower=conversation.follower, text="欢迎来", at=clock.now(), asks=())
        due = clock.now() + timedelta(minutes=10)
        other = say(_another(ours), "别的事", at=clock.now())
        Message.objects.filter(pk=line.pk).update(due_at=due, code=None, cause="QUOTA")
        incidents.open_incident(kind=kind, at=clock.now(), appid=conversation.account.appid, subject=subject)
        row = Incident.objects.get()
    told = as_owner.get(f"/b/lanyu/wechat_gateway/incident/{row.pk}/change/").content.decode()
    with translation.override("zh-hans"):
        assert (gettext("automatic messages of conversations that wait") in told) == bool(count)
    assert (f"{LIST}?view=held-{conversation.account.appid}" in told) == bool(count)

    shown = html.unescape(as_owner.get(f"{LIST}?view=held-{conversation.account.appid}").content.decode())
    assert page(conversation) in shown
    assert page(other) not in shown
    assert page(conversation) not in as_owner.get(f"{LIST}?view=held-wxstrange").content.decode()
    said = html.unescape(as_owner.get(page(conversation)).content.decode())
    with translation.override("zh-hans"):
        assert reason_of(None, "QUOTA")[0] in said
        assert gettext("It is tried again by itself, next at %(when)s.") % {"when": local_time(due)} in said


def _another(world):
    return make_member(world.account).followers.get()
