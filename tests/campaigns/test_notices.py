"""What is left when the reply window is closed: what people agreed to, and a service notice to one person."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.test import Client

from accounts.models import AuditEntry
from accounts.roles import DataScope, Role
from campaigns import services
from campaigns.errors import NoticeRefused
from campaigns.inbound import record_subscriptions
from campaigns.models import MessageTemplate, SubscriptionStock
from common import clock
from inbox.errors import NotFollowing
from inbox.fallbacks import offers
from inbox.models import Conversation, Message
from members.models import Follower
from tests.campaigns.test_pages import MODEL_BACKEND, signed_in
from tests.factories import AT, make_account, make_follower, make_staff
from tests.inbox.conftest import push_of, say
from wechat_gateway.events import TemplateNotice

CONTENT = {"thing1": "静安店取货", "time2": "2025-06-02 15:30"}


@pytest.fixture
def follower(in_brand):
    return make_follower(make_account())


def stock(follower):
    rows = SubscriptionStock.objects.filter(follower=follower).order_by("template_id")
    return list(rows.values_list("template_id", "remaining"))


def chose(follower, kind, *notices):
    record_subscriptions(push_of(follower, kind=kind, notices=tuple(TemplateNotice(**each) for each in notices)))


def accepts(follower, *templates):
    chose(follower, "subscribe_msg_popup_event", *({"template_id": each, "status": "accept"} for each in templates))


def test_every_accept_adds_one_and_a_refusal_leaves_none(follower):
    accepts(follower, "a", "b")
    accepts(follower, "a", "a")  # asked twice in one dialog
    chose(follower, "subscribe_msg_popup_event", {"template_id": "b", "status": "reject"})
    assert stock(follower) == [("a", 3), ("b", 1)]

    chose(follower, "subscribe_msg_change_event", {"template_id": "a", "status": "reject"})
    chose(follower, "subscribe_msg_sent_event", {"template_id": "b", "error_code": "43101"})
    assert stock(follower) == [("a", 0), ("b", 0)]
    accepts(follower, "a")
    assert stock(follower) == [("a", 1), ("b", 0)]


def test_what_one_person_agreed_to_is_theirs_in_their_brand(follower, brand, other_brand):
    accepts(follower, "a")
    other = make_follower(follower.account)
    assert (stock(follower), stock(other)) == ([("a", 1)], [])


def of(conversation):
    found = offers(conversation, at=AT + timedelta(days=3))
    return [(offer.order, offer.possible) for offer in found], {offer.order: offer for offer in found}


@pytest.mark.urls("config.urls_console")
def test_every_way_is_offered_in_order_and_says_why_not(follower):
    conversation = say(follower)
    order, each = of(conversation)
    assert order == [(30, True), (40, True), (10, False), (20, False)]
    assert "agreed to none" in str(each[10].detail) or "剩余 0 次" in str(each[10].detail)

    accepts(follower, "a", "b")
    MessageTemplate.objects.create(account=follower.account, template_id="t", title="取货提醒", synced_at=AT)
    order, each = of(conversation)
    assert order == [(20, True), (30, True), (40, True), (10, False)]
    assert "Synchronise templates" in each[10].detail or "同步" in each[10].detail  # nobody knows what they agreed to
    assert each[20].link.endswith(f"/inbox/{conversation.pk}/notice/")

    Follower.objects.filter(pk=follower.pk).update(subscribed=False)
    order, each = of(Conversation.objects.get(pk=conversation.pk))
    assert order == [(30, True), (40, True), (10, False), (20, False)]


def talking(stage):
    """Somebody of the stage with a conversation, and a person of the brand."""
    stage.people(1)
    with stage.scope:
        follower = Follower.objects.select_related("account").get()
        return say(follower, at=clock.now() - timedelta(days=3)), make_staff("desk", Role.MARKETER)


def send(stage, conversation, staff, **more):
    fields = {
        "conversation": conversation, "staff_id": staff.pk, "template": stage.template, "content": CONTENT,
        "about": "order", "client_key": uuid4(), "at": clock.now(),
    } | more  # fmt: skip
    with stage.scope:
        return services.send_notice(**fields)


def test_a_notice_arrives_once_and_stands_in_the_conversation(stage):
    conversation, staff = talking(stage)
    key = uuid4()
    line = send(stage, conversation, staff, client_key=key)
    again = send(stage, conversation, staff, client_key=key)

    assert (line.state, line.text) == ("SENT", "预约提醒\n事项：静安店取货\n时间：2025-06-02 15:30")
    assert again.pk == line.pk
    assert stage.calls() == 1
    with stage.scope:
        conversation.refresh_from_db()
        assert conversation.state == "OPEN"
        assert AuditEntry.objects.filter(action="send notice").count() == 1


def test_wechats_refusal_stands_with_the_line(stage):
    conversation, staff = talking(stage)
    stage.wechat.fault("errcode", errcode=43004, appid=stage.account.appid, count=1)
    line = send(stage, conversation, staff)
    assert (line.state, line.code) == ("REFUSED", 43004)
    with stage.scope:
        conversation.refresh_from_db()
        assert conversation.state == "WAITING"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"about": ""}, "about"),
        ({"about": "offer"}, "about"),
        ({"content": {**CONTENT, "thing1": ""}}, "content.thing1"),
        ({"content": {**CONTENT, "thing1": "限时优惠等您来"}}, "content.thing1"),
        ({"content": {**CONTENT, "time2": "明天下午"}}, "content.time2"),
    ],
)
def test_what_wechat_would_punish_is_refused_here(stage, fields, field):
    conversation, staff = talking(stage)
    with pytest.raises(NoticeRefused) as refused:
        send(stage, conversation, staff, **fields)
    assert refused.value.field == field
    assert stage.calls() == 0


def test_who_does_not_follow_gets_no_notice(stage):
    conversation, staff = talking(stage)
    with stage.scope:
        conversation.follower.subscribed = False
        conversation.follower.save()
    with pytest.raises(NotFollowing):
        send(stage, conversation, staff)


def test_the_page_shows_the_form_and_sends(stage, other_stage):
    conversation, _staff = talking(stage)
    foreign, _other = talking(other_stage)
    client = signed_in(stage.brand)
    address = f"/b/{stage.brand.slug}/inbox/{conversation.pk}/notice/"
    shown = client.get(address).content.decode()
    assert 'name="content.thing1"' in shown
    key = shown.split('name="client_key" value="')[1].split('"')[0]
    posted = {"template": stage.template.pk, "client_key": key, "about": "order"}
    posted |= {f"content.{name}": text for name, text in CONTENT.items()}

    refused = client.post(address, posted | {"about": ""})
    assert refused.status_code == 200
    assert stage.calls() == 0
    assert client.post(address, posted).status_code == 302
    assert client.post(address, posted).status_code == 302
    assert stage.calls() == 1
    with stage.scope:
        assert Message.objects.filter(facts__notice="预约提醒").count() == 1

    assert client.post(address, posted | {"template": other_stage.template.pk}).status_code == 404
    assert client.get(f"/b/{stage.brand.slug}/inbox/{foreign.pk}/notice/").status_code == 404


def test_only_who_sees_the_conversation_can_send(stage):
    conversation, _staff = talking(stage)
    with stage.scope:
        staff = make_staff("guide", Role.GUIDE, scope=DataScope.OWN)
    guide = Client()
    guide.force_login(staff, backend=MODEL_BACKEND)
    analyst = signed_in(stage.brand, Role.ANALYST)
    address = f"/b/{stage.brand.slug}/inbox/{conversation.pk}/notice/"
    assert guide.get(address).status_code == 404
    assert analyst.get(address).status_code in (403, 404)
