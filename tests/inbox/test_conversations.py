"""Messages become conversations: one per follower, with the answers that went out, and the columns lists read."""

from __future__ import annotations

from datetime import timedelta

from accounts.roles import Role
from accounts.tenancy import brand_scope
from accounts.viewer import Viewer
from conversations.models import ReplyRecord, Trigger
from conversations.services import on_hand_over
from conversations.services.records import on_service_messages
from inbox import selectors, services
from inbox.models import Conversation, ConversationState, Direction, Message
from tests.factories import AT, make_account, make_follower
from tests.inbox.conftest import push_of, say, seconds, stored, text_reply


def lines_of(conversation):
    return [(row.direction, row.kind, row.text) for row in selectors.thread(conversation)]


def test_a_message_opens_a_conversation_that_waits(follower):
    conversation = say(follower, "几点关门？")

    assert lines_of(conversation)[0] == (Direction.IN, "text", "几点关门？")
    assert (conversation.state, conversation.waiting_since) == (ConversationState.WAITING, AT)
    assert (conversation.last_text, conversation.last_at, conversation.last_inbound) == ("几点关门？", AT, True)
    assert (conversation.inbound_count, conversation.outbound_count) == (1, 0)


def test_a_second_message_goes_into_the_same_conversation_and_keeps_who_waits_longest(follower):
    say(follower, "在吗")
    conversation = say(follower, "有人吗", at=AT + seconds(40))

    assert Conversation.objects.count() == 1
    assert (conversation.waiting_since, conversation.last_at) == (AT, AT + seconds(40))
    assert conversation.inbound_count == 2


def test_a_push_that_is_handled_again_changes_nothing(follower):
    push = stored(follower, content="你好", reply=text_reply("十点到二十二点"))
    services.record_push(push=push)
    before = Conversation.objects.values().get(), list(Message.objects.order_by("pk").values())

    assert services.record_push(push=push) is None
    assert (Conversation.objects.values().get(), list(Message.objects.order_by("pk").values())) == before


def test_what_a_rule_answered_stands_in_the_conversation_and_nobody_has_to_answer(follower):
    services.record_push(push=stored(follower, content="几点", reply=text_reply("十点到二十二点")))
    conversation = Conversation.objects.get()

    assert lines_of(conversation) == [
        (Direction.IN, "text", "几点"),
        (Direction.OUT, "text", "十点到二十二点"),
    ]
    assert (conversation.state, conversation.waiting_since) == (ConversationState.RESOLVED, None)
    assert conversation.last_text == "十点到二十二点"
    assert selectors.thread(conversation)[1].facts == {"auto": True}


def answered_by(push, follower, trigger, way="PASSIVE"):
    """What the rules kept of their answer."""
    return ReplyRecord.objects.create(
        account=follower.account,
        follower=follower,
        push_id=push.push_id,
        trigger=trigger,
        way=way,
        why="IN_TIME",
        at=AT,
    )


def test_the_answer_to_any_message_answers_no_question(follower):
    push = stored(follower, content="退货", reply=text_reply("收到，稍后回复"))
    answered_by(push, follower, Trigger.DEFAULT)
    services.record_push(push=push)
    conversation = Conversation.objects.get()
    assert (conversation.state, conversation.last_text) == (ConversationState.WAITING, "退货")


def test_what_rules_send_as_customer_service_messages_is_shown_and_not_counted_again(follower):
    conversation = say(follower, "几点")
    for _key, listener in on_service_messages.items():
        listener(follower, [{"msgtype": "text", "text": {"content": "十点"}}], AT + seconds(1))
    assert selectors.allowance_of(follower.pk, at=AT + seconds(2)).left == 5  # the ledger took it before it left
    assert selectors.thread(conversation)[-1].text == "十点"


def test_clicks_are_small_lines_of_a_conversation_there_is_and_open_none(follower):
    click = stored(follower, kind="CLICK", key="STORES", at=AT)
    services.record_push(push=click)
    assert Conversation.objects.count() == 0

    conversation = say(follower, "你好", at=AT + seconds(1))
    services.record_push(push=stored(follower, kind="CLICK", key="STORES", at=AT + seconds(5)))
    conversation.refresh_from_db()
    shown = selectors.thread(conversation)[-1]
    assert (shown.direction, shown.kind, shown.facts) == (Direction.EVENT, "CLICK", {"key": "STORES"})
    assert (conversation.last_text, conversation.inbound_count) == ("你好", 1)


def test_every_kind_of_message_keeps_what_it_needs_to_be_shown(follower):
    conversation = say(follower, "", kind="location", label="静安寺", latitude=31.22, longitude=121.44)
    say(follower, "", kind="voice", fields={"Recognition": "明天来"}, media_id="m1", at=AT + seconds(1))
    say(
        follower,
        "",
        kind="link",
        fields={"Title": "秋冬新款", "Url": "https://example.com/a"},
        at=AT + seconds(2),
    )
    said = [row for row in selectors.thread(conversation) if row.direction == Direction.IN]
    assert [(row.kind, row.text, row.facts) for row in said] == [
        ("location", "静安寺", {"lat": 31.22, "lng": 121.44}),
        ("voice", "明天来", {}),
        ("link", "秋冬新款", {"url": "https://example.com/a"}),
    ]


def test_an_older_message_that_comes_late_does_not_become_the_last_one(follower):
    say(follower, "第二句", at=AT + seconds(60))
    conversation = say(follower, "第一句", at=AT)

    assert (conversation.last_text, conversation.last_at) == ("第二句", AT + seconds(60))
    assert conversation.waiting_since == AT
    assert [row.text for row in selectors.thread(conversation) if row.direction == Direction.IN] == ["第一句", "第二句"]


def test_a_resolved_conversation_is_opened_again_by_the_next_message(follower):
    conversation = say(follower, "你好")
    services.resolve(conversation_id=conversation.pk, at=AT + seconds(60))
    conversation = say(follower, "还有一件事", at=AT + timedelta(days=9))

    assert Conversation.objects.count() == 1
    assert (conversation.state, conversation.waiting_since) == (
        ConversationState.WAITING,
        AT + timedelta(days=9),
    )
    assert "reopened" in [row.kind for row in selectors.thread(conversation)]


def test_one_person_has_a_conversation_with_each_account(follower, in_brand):
    say(follower)
    say(make_follower(make_account(name="第二个号"), openid=follower.openid))
    assert Conversation.objects.count() == 2


def test_search_finds_words_of_two_characters_in_this_brand_only(brand, other_brand):
    with brand_scope(other_brand.pk):
        theirs = say(make_follower(make_account(name="灶山")), "我也想退货")
    with brand_scope(brand.pk):
        account = make_account()
        ours = say(make_follower(account), "我想退货，怎么办")
        say(make_follower(account), "今天开门吗", at=AT + seconds(1))
        viewer = Viewer(None, "所有", brand.pk, Role.OWNER)

        assert [row.pk for row in selectors.search(viewer, "退货")] == [ours.pk]
        assert selectors.search(viewer, "想货") == []
        assert selectors.search(viewer, "%") == []
    with brand_scope(other_brand.pk):
        viewer = Viewer(None, "所有", other_brand.pk, Role.OWNER)
        assert [row.pk for row in selectors.search(viewer, "退货")] == [theirs.pk]


def test_search_finds_people_by_name_and_phone_tail(follower, viewer_of_brand):
    say(follower)
    say(make_follower(follower.account), at=AT + seconds(1))
    member = follower.member
    member.name, member.phone_tail = "陈子涵", "6721"
    member.save()

    assert [row.follower_id for row in selectors.search(viewer_of_brand, "陈子")] == [follower.pk]
    assert [row.follower_id for row in selectors.search(viewer_of_brand, "6721")] == [follower.pk]


def test_a_handed_over_follower_waits_though_a_rule_answered(follower):
    services.record_push(push=stored(follower, content="人工", reply=text_reply("正在为您转接")))
    for _key, listener in on_hand_over.items():
        listener(follower, "ASKED_FOR", AT)
    conversation = Conversation.objects.get()
    assert conversation.state == ConversationState.WAITING
    assert "handed_over" in [row.kind for row in selectors.thread(conversation)]


def test_a_push_without_a_number_is_recorded_too(follower):
    services.record_push(push=push_of(follower, content="你好"))
    assert Message.objects.filter(direction=Direction.IN).count() == 1
