"""What is noted and sent after a push: the way of every answer and why, messages that follow, hand-over, unmatched messages."""

import uuid
from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import translation

from accounts.tenancy import brand_scope
from conversations import reasons, services
from conversations.inbound import as_reply, asked_of
from conversations.models import ReplyRecord, ReplyRule, UnmatchedPhrase
from conversations.selectors import current_rules, facts_of, troubles_of_menu
from inbox import selectors
from inbox.services import record_act, reserve_sends
from library.models import MediaCopy
from library.services import add_media
from members.models import Follower
from tests.factories import AT, make_account, make_follower, make_tag
from wechat_gateway import quotas
from wechat_gateway.events import Push
from wechat_gateway.models import InboundPush
from wechat_gateway.registries import repliers_of
from wechat_gateway.replies import render
from wechat_gateway.services import set_active
from wechat_gateway.windows import act_of


@pytest.fixture
def account(brand, simulator):
    with brand_scope(brand.pk):
        account = make_account()
    simulator.know(account)
    return account


@pytest.fixture
def person(brand, account, simulator):
    """Somebody who follows and has just written, so that WeChat's window is open."""
    (openid,) = simulator.crowd(account, 1)
    simulator.act(f"c{account.appid[-6:]}-000001", "text", account.appid, content="在吗")
    with brand_scope(brand.pk):
        return make_follower(account, openid=openid, at=AT - timedelta(days=3))


def rule(account, *keywords, trigger="KEYWORD", text="十点开门", **more):
    return ReplyRule.objects.create(
        account=account, name=text, trigger=trigger, keywords=list(keywords), text=text, updated_at=AT, **more
    )


def pushed(account, openid, content="几点", kind="text", at=AT, heard=True, later=timedelta(), **more):
    """A push as a worker gets it, with what WeChat heard at once (`heard`)."""
    row = InboundPush.objects.create(
        account=account, dedupe_key=uuid.uuid4(), digest=uuid.uuid4(), kind=kind, openid=openid, lane=0,
        event_at=at, received_at=at + later, body="<xml/>",
    )  # fmt: skip
    push = Push(
        brand_id=account.brand_id, account_id=account.pk, appid=account.appid, original_id=account.original_id,
        openid=openid, kind=kind, event_at=at, received_at=at + later, push_id=row.pk, content=content, **more,
    )  # fmt: skip
    follower = Follower.objects.get(account=account, openid=openid)
    record_act(follower=follower, act=act_of(push), at=at)  # as the inbox does with the same push
    if heard:
        rules = current_rules(account.pk)
        asked = asked_of(push)
        decision = rules.decide(asked, facts_of(rules, account.pk, openid, at=asked.at))
        reply = as_reply(decision)
        if reply is not None:
            row.reply = render(
                reply, openid=openid, original_id=account.original_id, at=push.received_at.timestamp(), as_json=False
            )
            row.save(update_fields=["reply"])
    return replace(push, reply=row.reply)


def note(push):
    return services.note_answer(push=push, asked=asked_of(push))


def received(simulator, account, openid):
    """The words of the customer-service messages on the person's phone."""
    assert openid
    chat = simulator.get(f"/_sim/people/c{account.appid[-6:]}-000001/conversation?appid={account.appid}")
    return [entry["content"] for entry in chat["entries"] if entry.get("via") == "custom"]


def test_what_wechat_heard_in_time_is_noted_as_passive(brand, account, person):
    with brand_scope(brand.pk):
        made = rule(account, "几点")
        record = note(pushed(account, person.openid))

        assert (record.rule, record.way, record.why, record.state, record.waiting) == (
            made,
            "PASSIVE",
            "IN_TIME",
            "DONE",
            [],
        )
        assert record.follower == person


def test_answers_after_the_first_follow_as_customer_service_messages_once(brand, account, person, simulator):
    with brand_scope(brand.pk):
        rule(account, "几点", more=[{"kind": "TEXT", "text": "地址在南京西路"}, {"kind": "TEXT", "text": "欢迎来"}])
        push = pushed(account, person.openid)
        record = note(push)
        assert record.state == "WAITING"
        assert note(push).pk == record.pk

    assert services.send_replies(brand.pk, at=AT) == 1
    assert services.send_replies(brand.pk, at=AT) == 0
    assert received(simulator, account, person.openid) == ["地址在南京西路", "欢迎来"]
    with brand_scope(brand.pk):
        record.refresh_from_db()
        assert (record.way, record.state, record.sent) == ("PASSIVE", "DONE", 2)


def test_a_file_that_wechat_lost_is_uploaded_again_and_the_message_sent(
    brand, account, person, simulator, settings, tmp_path
):
    settings.STORAGES = {
        **settings.STORAGES,
        "private": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": str(tmp_path), "base_url": None},
        },
    }
    with brand_scope(brand.pk):
        item = add_media(name="海报", body=b"\x89PNG\r\n\x1a\n" + b"\x00" * 40, at=AT, brand_id=brand.pk)
        MediaCopy.objects.create(item=item, account=account, permanent=True, media_id="deleted-there")
        more = [{"kind": "IMAGE", "media_id": f"item:{item.pk}"}, {"kind": "IMAGE", "media_id": "raw_id"}]
        rule(account, "几点", more=more)
        note(pushed(account, person.openid))
        note(pushed(account, person.openid))  # was written down with the same id

    services.send_replies(brand.pk, at=AT)

    sent = simulator.get(f"/_sim/people/c{account.appid[-6:]}-000001/conversation?appid={account.appid}")["entries"]
    assert [entry["kind"] for entry in sent if entry.get("via") == "custom"] == ["image", "image"]
    with brand_scope(brand.pk):
        found = list(ReplyRecord.objects.order_by("pk").values_list("sent", "state"))
        assert found == [(1, "FAILED"), (1, "FAILED")]  # an id that is none of the library's fails as it did
        assert MediaCopy.objects.get(permanent=True).former_id == "deleted-there"
        assert MediaCopy.objects.get(permanent=False).media_id != ""


def test_a_reply_that_was_late_goes_as_a_customer_service_message(brand, account, person, simulator):
    with brand_scope(brand.pk):
        rule(account, "几点")
        record = note(pushed(account, person.openid, heard=False))
        assert (record.way, record.why, record.state) == ("SERVICE", "LATE", "WAITING")

    services.send_replies(brand.pk, at=AT)
    assert received(simulator, account, person.openid) == ["十点开门"]


def test_a_card_exists_only_as_a_customer_service_message(brand, account, person):
    card = {"reply_kind": "MINI", "title": "会员卡", "mini_appid": "wx0123456789abcdef", "mini_page": "pages/card",
            "url": "https://lanyu.example.com/card"}  # fmt: skip
    with brand_scope(brand.pk):
        rule(account, "卡", text="", media_id="MEDIA_1", **card)
        rule(account, "链接", text="", **card)
        shown = note(pushed(account, person.openid, "卡"))
        words = note(pushed(account, person.openid, "链接"))

        assert (shown.way, shown.why, [body["msgtype"] for body in shown.waiting]) == (
            "SERVICE", "NO_PASSIVE_FORM", ["miniprogrampage"],
        )  # fmt: skip
        assert (words.way, words.waiting) == ("PASSIVE", [])


@pytest.mark.parametrize(
    ("kind", "span"),
    [("text", timedelta(hours=48)), ("CLICK", timedelta(minutes=1)), ("subscribe", timedelta(minutes=1))],
)
def test_nothing_is_sent_once_the_window_is_closed(brand, account, person, kind, span, handed_over):
    more = [{"kind": "TEXT", "text": "还有"}]
    with brand_scope(brand.pk):
        rule(account, "几点", more=more)
        rule(account, "KEY", trigger="CLICK", more=more)
        rule(account, trigger="FOLLOW", more=more)
        just = span - timedelta(seconds=1)
        open_still = note(pushed(account, person.openid, kind=kind, key="KEY", heard=False, later=just))
        too_late = note(pushed(account, person.openid, kind=kind, key="KEY", heard=False, later=span))

        assert (open_still.way, len(open_still.waiting), open_still.until) == ("SERVICE", 2, AT + span)
        assert (too_late.way, too_late.why, too_late.waiting) == ("PERSON", "WINDOW_CLOSED", [])
        assert handed_over == [(person.pk, "WINDOW_CLOSED")]


def test_a_message_whose_window_closes_while_it_waits_is_not_sent(brand, account, person, simulator):
    with brand_scope(brand.pk):
        rule(account, "KEY", trigger="CLICK", more=[{"kind": "TEXT", "text": "还有"}])
        record = note(pushed(account, person.openid, kind="CLICK", key="KEY"))
    services.send_replies(brand.pk, at=AT + timedelta(minutes=1))

    assert received(simulator, account, person.openid) == []
    with brand_scope(brand.pk):
        record.refresh_from_db()
        assert (record.state, record.problem) == ("FAILED", "WINDOW_CLOSED")


def test_wechats_refusal_is_said_and_an_unsent_message_is_tried_again(brand, account, person, simulator):
    with brand_scope(brand.pk):
        rule(account, "几点", more=[{"kind": "TEXT", "text": "还有"}])
        refused, again = note(pushed(account, person.openid)), note(pushed(account, person.openid))
    sending = {"kind": "errcode", "appid": account.appid, "path": "/cgi-bin/message/custom/send", "count": 1}
    simulator.fault(errcode=40003, **sending)
    simulator.fault(errcode=-1, after_calls=1, **sending)
    services.send_replies(brand.pk, at=AT)
    with brand_scope(brand.pk):
        states = {row.pk: row.state for row in ReplyRecord.objects.all()}
        assert sorted(states.values()) == ["FAILED", "WAITING"]
        problem = ReplyRecord.objects.get(state="FAILED").problem
        said = {}
        for language in ("en", "zh-hans"):
            with translation.override(language):
                said[language] = reasons.why(problem)
        assert [said["en"].isascii(), said["zh-hans"].isascii()] == [True, False]
        assert set(states) == {refused.pk, again.pk}
    simulator.delete("/_sim/faults")
    assert services.sweep_replies(at=AT) == 0
    services.send_replies(brand.pk, at=AT + timedelta(seconds=5))
    assert received(simulator, account, person.openid) == ["还有"]


def test_answers_of_an_account_without_quota_ask_once_and_keep_no_other_account_waiting(
    brand, account, person, simulator
):
    path = "/cgi-bin/message/custom/send"
    simulator.fault(kind="errcode", errcode=45009, appid=account.appid, path=path)
    with brand_scope(brand.pk):
        rule(account, "几点", more=[{"kind": "TEXT", "text": "还有"}])
        for _ in range(60):
            note(pushed(account, person.openid, at=AT - timedelta(minutes=1)))
        other = make_account()
        rule(other, "几点", more=[{"kind": "TEXT", "text": "这边也有"}])
        simulator.know(other)
        (openid,) = simulator.crowd(other, 1)
        simulator.act(f"c{other.appid[-6:]}-000001", "text", other.appid, content="在吗")
        make_follower(other, openid=openid, at=AT - timedelta(days=3))
        note(pushed(other, openid))

    services.send_replies(brand.pk, at=AT)
    assert received(simulator, other, openid) == ["这边也有"]
    assert calls_of(simulator, account) == [45009]

    # Nothing is due for a while, and what is tried then does not leave us: our count says that nothing is left.
    assert services.sweep_replies(at=AT + timedelta(seconds=50)) == 0
    later = AT + timedelta(minutes=2)
    assert services.sweep_replies(at=later) == 1
    services.send_replies(brand.pk, at=later)
    assert calls_of(simulator, account) == [45009]
    with brand_scope(brand.pk):
        stuck = ReplyRecord.objects.filter(account=account)
        assert set(stuck.values_list("state", "problem")) == {("WAITING", "QUOTA")}
        assert selectors.allowance_of(person.pk, at=later).left == 5

    # The next day they go, as many as the person's acts allow, each once.
    simulator.delete("/_sim/faults")
    morning = quotas.next_reset(AT) + timedelta(minutes=1)
    services.send_replies(brand.pk, at=morning)
    services.send_replies(brand.pk, at=morning)
    assert received(simulator, account, person.openid) == ["还有"] * 5


def test_answers_of_a_disconnected_account_wait_and_go_once_after_reconnecting(brand, account, person, simulator):
    with brand_scope(brand.pk):
        rule(account, "几点", more=[{"kind": "TEXT", "text": "还有"}])
        record = note(pushed(account, person.openid))
        set_active(account=account, is_active=False)
    services.send_replies(brand.pk, at=AT)
    services.send_replies(brand.pk, at=AT + timedelta(hours=2))
    with brand_scope(brand.pk):
        record.refresh_from_db()
        assert (record.state, record.problem) == ("WAITING", "DISCONNECTED")
        assert selectors.allowance_of(person.pk, at=AT + timedelta(hours=2)).left == 5
        set_active(account=account, is_active=True)
    assert calls_of(simulator, account) == []

    later = AT + timedelta(hours=2, minutes=1)
    services.send_replies(brand.pk, at=later)
    services.send_replies(brand.pk, at=later)
    assert received(simulator, account, person.openid) == ["还有"]


def test_a_button_that_scans_and_waits_is_answered_by_its_key(brand, account, person, simulator):
    with brand_scope(brand.pk):
        made = rule(
            account, "查价", trigger="CLICK", text="正在为你查询", more=[{"kind": "TEXT", "text": "价格 39 元"}]
        )
        buttons = [{"type": "scancode_waitmsg", "name": "扫码查价", "key": key} for key in ("查价", "没有人答")]
        troubles = troubles_of_menu(account.pk, buttons, at=AT)
        assert [(each.path, each.kind) for each in troubles if each.kind == "NO_ANSWER"] == [("2", "NO_ANSWER")]

        tapped = pushed(account, person.openid, kind="scancode_waitmsg", key="查价", content="")
        assert "正在为你查询" in InboundPush.objects.get(pk=tapped.push_id).reply
        assert {"conversations.dialogue", "conversations.rule"} <= {
            each.key for each in repliers_of("scancode_waitmsg")
        }
        record = note(tapped)
        assert (record.rule, record.way, record.trigger) == (made, "PASSIVE", "CLICK")
        assert record.until == AT + timedelta(minutes=1)
    simulator.act(f"c{account.appid[-6:]}-000001", "text", account.appid, content="在吗")
    services.send_replies(brand.pk, at=AT)
    assert received(simulator, account, person.openid) == ["价格 39 元"]


def test_an_answer_that_could_not_be_sent_in_its_time_is_left_to_a_person(
    brand, account, person, simulator, handed_over
):
    with brand_scope(brand.pk):
        rule(account, "营业", trigger="CLICK", text="十点开门")
        record = note(pushed(account, person.openid, kind="CLICK", key="营业", heard=False))
    path = "/cgi-bin/message/custom/send"
    simulator.fault(kind="errcode", errcode=45009, appid=account.appid, path=path)
    services.send_replies(brand.pk, at=AT)
    services.send_replies(brand.pk, at=AT + timedelta(seconds=40))
    with brand_scope(brand.pk):
        record.refresh_from_db()
        assert (record.state, record.due_at) == ("WAITING", record.until)

    services.send_replies(brand.pk, at=AT + timedelta(minutes=1))
    with brand_scope(brand.pk):
        record.refresh_from_db()
        assert (record.way, record.state, record.why) == ("PERSON", "FAILED", "WINDOW_CLOSED")
    assert handed_over == [(person.pk, "WINDOW_CLOSED")]
    assert calls_of(simulator, account) == [45009]


def calls_of(simulator, account):
    """WeChat's answers to customer-service messages."""
    found = simulator.get(f"/_sim/calls?appid={account.appid}&path=/cgi-bin/message/custom/send&limit=1000")
    return [int(call["result"].split()[0]) for call in found["calls"]]


def test_answers_take_from_what_others_have_left(brand, account, person, simulator):
    more = [{"kind": "TEXT", "text": text} for text in ("一", "二", "三")]
    with brand_scope(brand.pk):
        rule(account, "几点", more=more)
        record = note(pushed(account, person.openid))
        reserve_sends(wanted={person.pk: 3}, at=AT)  # a person and a campaign have written meanwhile

    services.send_replies(brand.pk, at=AT)

    assert received(simulator, account, person.openid) == ["一", "二"]
    with brand_scope(brand.pk):
        record.refresh_from_db()
        assert (record.way, record.state, record.problem, record.sent) == ("PASSIVE", "FAILED", "WINDOW_CLOSED", 2)
        assert selectors.allowance_of(person.pk, at=AT).left == 0
    assert calls_of(simulator, account) == [0, 0]


def test_an_answer_for_which_nothing_is_left_goes_to_a_person(brand, account, person, simulator, handed_over):
    with brand_scope(brand.pk):
        rule(account, "几点")
        record = note(pushed(account, person.openid, heard=False))
        reserve_sends(wanted={person.pk: 5}, at=AT)

    services.send_replies(brand.pk, at=AT)

    with brand_scope(brand.pk):
        record.refresh_from_db()
        assert (record.way, record.why, record.sent) == ("PERSON", "WINDOW_CLOSED", 0)
    assert handed_over == [(person.pk, "WINDOW_CLOSED")]
    assert calls_of(simulator, account) == []


def test_two_answers_to_one_person_share_what_is_left_the_older_first(brand, account, person, simulator):
    with brand_scope(brand.pk):
        rule(account, "几点", more=[{"kind": "TEXT", "text": text} for text in ("一", "二", "三")])
        for _ in range(2):
            note(pushed(account, person.openid))
    services.send_replies(brand.pk, at=AT)

    assert received(simulator, account, person.openid) == ["一", "二", "三", "一", "二"]
    with brand_scope(brand.pk):
        assert list(ReplyRecord.objects.order_by("pk").values_list("sent", "state")) == [(3, "DONE"), (2, "FAILED")]
    assert calls_of(simulator, account) == [0] * 5


def test_wechats_refusal_by_window_closes_the_ledger_and_calls_a_person(brand, account, person, simulator, handed_over):
    with brand_scope(brand.pk):
        rule(account, "几点")
        note(pushed(account, person.openid, heard=False))
    path = "/cgi-bin/message/custom/send"
    simulator.fault(kind="errcode", errcode=45015, appid=account.appid, path=path, count=1)
    services.send_replies(brand.pk, at=AT)

    with brand_scope(brand.pk):
        assert selectors.allowance_of(person.pk, at=AT + timedelta(seconds=1)).refusal == 45015
        assert ReplyRecord.objects.get().way == "PERSON"
    assert handed_over == [(person.pk, "WINDOW_CLOSED")]


def test_a_message_that_did_not_leave_is_given_back(brand, account, person, simulator):
    with brand_scope(brand.pk):
        rule(account, "几点", more=[{"kind": "TEXT", "text": "还有"}])
        note(pushed(account, person.openid))
    path = "/cgi-bin/message/custom/send"
    simulator.fault(kind="errcode", errcode=-1, appid=account.appid, path=path, count=1)
    services.send_replies(brand.pk, at=AT)
    with brand_scope(brand.pk):
        assert selectors.allowance_of(person.pk, at=AT).left == 5
    simulator.delete("/_sim/faults")
    again = AT + timedelta(seconds=5)
    services.send_replies(brand.pk, at=again)
    with brand_scope(brand.pk):
        assert selectors.allowance_of(person.pk, at=again).left == 4


def test_a_tap_on_a_menu_inside_a_message_allows_a_minute_not_two_days(brand, account, person):
    with brand_scope(brand.pk):
        rule(account, "几点", more=[{"kind": "TEXT", "text": "还有"}])
        record = note(pushed(account, person.openid, menu_item_id="101"))
        assert record.until == AT + timedelta(minutes=1)


def test_what_was_being_sent_when_its_worker_died_is_not_sent_again(brand, account, person, simulator):
    with brand_scope(brand.pk):
        rule(account, "几点", more=[{"kind": "TEXT", "text": "还有"}])
        record = note(pushed(account, person.openid))
        ReplyRecord.objects.update(state="SENDING", claimed_at=AT)
    assert services.sweep_replies(at=AT + timedelta(minutes=1)) == 0
    assert services.sweep_replies(at=AT + timedelta(minutes=3)) == 1
    services.send_replies(brand.pk, at=AT + timedelta(minutes=3))

    assert received(simulator, account, person.openid) == []
    with brand_scope(brand.pk):
        record.refresh_from_db()
        assert (record.state, record.problem) == ("UNKNOWN", "WORKER_LOST")


@pytest.fixture
def handed_over():
    """Whom listeners were told about."""
    told = []
    services.on_hand_over.register("test.told", lambda follower, reason, at: told.append((follower.pk, reason)))
    yield told
    services.on_hand_over._entries.pop("test.told")


def test_a_rule_hands_over_to_a_person_and_says_so_at_once(brand, account, person, handed_over):
    with brand_scope(brand.pk):
        rule(account, "人工", text="马上有人来", reply_kind="PERSON")
        push = pushed(account, person.openid, "人工")
        record = note(push)
        note(push)

        assert "马上有人来" in InboundPush.objects.get(pk=push.push_id).reply
        assert (record.way, record.why) == ("PERSON", "ASKED_FOR")
        assert handed_over == [(person.pk, "ASKED_FOR")]


def test_what_another_replier_said_is_none_of_ours(brand, account, person):
    with brand_scope(brand.pk):
        rule(account, "几点", more=[{"kind": "TEXT", "text": "还有"}])
        push = replace(pushed(account, person.openid, heard=False), reply="<xml>of a guide</xml>")

        assert note(push) is None
        assert not UnmatchedPhrase.objects.exists()


def test_the_facts_of_the_moment_choose_the_rule_in_the_worker_too(brand, account, person):
    with brand_scope(brand.pk):
        tag = make_tag("老客")
        rule(account, "几点", text="老客十点", position=1, audience_kind="tag", audience_id=tag.pk)
        common = rule(account, "几点", text="大家十点", position=2)

        assert note(pushed(account, person.openid)).rule == common


def test_unmatched_messages_are_counted_by_week_with_long_numbers_blotted_out(brand, other_brand, account, person):
    with brand_scope(other_brand.pk):
        foreign = make_account("灶山小馆")
        stranger = make_follower(foreign)
        note(pushed(foreign, stranger.openid, "停车收费吗"))
    with brand_scope(brand.pk):
        rule(account, "几点")
        rule(account, trigger="DEFAULT", text="收到")
        for text in ("停车收费吗", "停车收费吗 ", "我的手机 13800138000", "几点", "\x00", "  "):
            note(pushed(account, person.openid, text))
        note(pushed(account, person.openid, "停车收费吗", at=AT + timedelta(days=7)))
        note(pushed(account, person.openid, kind="image"))

        found = list(UnmatchedPhrase.objects.order_by("week", "text").values_list("week", "text", "count"))
        # 2025-06-01 08:00 in Shanghai is a Sunday.
        assert [(str(week), text, count) for week, text, count in found] == [
            ("2025-05-26", "停车收费吗", 2),
            ("2025-05-26", "我的手机 #", 1),
            ("2025-06-02", "停车收费吗", 1),
        ]


def test_suggestions_come_from_the_week_that_is_over_and_are_made_once(brand, account, person):
    with brand_scope(brand.pk):
        made = rule(account, "几点", match="CONTAINS")
        for text in ("停车收费吗", "可以停车吗", "停车场在哪", "wifi密码", "发票怎么开"):
            note(pushed(account, person.openid, text))
        for text in ("礼盒", "礼盒多少钱", "有礼盒吗"):
            note(pushed(account, person.openid, text, at=AT + timedelta(days=7)))

        next_week = AT + timedelta(days=1)
        assert [services.suggest_rules(at=next_week), services.suggest_rules(at=next_week)] == [1, 0]
        from conversations.models import Suggestion

        suggestion = Suggestion.objects.get()
        assert (suggestion.keyword, suggestion.count, sorted(suggestion.examples)) == (
            "停车", 3, ["停车场在哪", "停车收费吗", "可以停车吗"],
        )  # fmt: skip
        services.save_rule(
            rule=ReplyRule(
                account=account, name="停车", trigger="KEYWORD", match="CONTAINS", keywords=["停车"], text="B2"
            ),
            at=AT,
            suggestion=suggestion,
        )
        suggestion.refresh_from_db()
        assert suggestion.state == "TAKEN"
        assert made.pk


def test_old_records_are_dropped_and_waiting_ones_stay(brand, account, person):
    with brand_scope(brand.pk):
        rule(account, "几点")
        old, waiting, new = (note(pushed(account, person.openid)) for _ in range(3))
        ReplyRecord.objects.filter(pk__in=[old.pk, waiting.pk]).update(at=AT - timedelta(days=31))
        ReplyRecord.objects.filter(pk=waiting.pk).update(state="WAITING")

        assert services.purge_records(at=AT) == 1
        assert set(ReplyRecord.objects.values_list("pk", flat=True)) == {waiting.pk, new.pk}


def test_an_end_mark_in_a_text_stays_inside_its_element(brand, account, person):
    from xml.etree import ElementTree as ET

    with brand_scope(brand.pk):
        rule(account, "几点", text="a]]><script>&b")
        push = pushed(account, person.openid)
        heard = InboundPush.objects.get(pk=push.push_id).reply

        assert ET.fromstring(heard).findtext("Content") == "a]]><script>&b"
        assert note(push).way == "PASSIVE"
