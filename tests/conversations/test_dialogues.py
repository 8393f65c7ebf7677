"""Dialogues: dates as people type them, twelve turns with nonsense, a pause of fifty hours, versions, consent."""

import uuid
from dataclasses import replace
from datetime import date, timedelta

import orjson
import pytest
from django.db import connection
from django.utils import translation
from hypothesis import given
from hypothesis import strategies as st

from accounts.tenancy import brand_scope
from conversations import services
from conversations.dates import Birthday, read_birthday
from conversations.errors import DialogueInvalid
from conversations.inbound import asked_of, go_on_talking, may_be_talk, where_talk_stands
from conversations.models import Dialogue, DialogueRun, DialogueVersion, ReplyRecord, ReplyRule, UnmatchedPhrase
from conversations.script import DONE, GAVE_UP, LEFT, State, answer, begin, faults, read_steps
from conversations.selectors import dialogues_of, rules_of
from inbox.models import Conversation, ConversationState, Message
from members.models import Consent, Member, MemberTag
from members.selectors import consents_in_force
from members.services import tag_members
from tests.factories import AT, make_account, make_follower, make_tag
from wechat_gateway.events import Push
from wechat_gateway.models import InboundPush
from wechat_gateway.registries import ReplyBook
from wechat_gateway.replies import render


@pytest.mark.parametrize(
    ("typed", "mmdd"),
    [
        ("8月8", 808), ("8月8日", 808), ("8月8号", 808), ("08月08日", 808), ("0808", 808), ("808", 808), ("8.8", 808), ("8-8", 808),
        ("8/08", 808), ("8 8", 808), ("1990-08-08", 808), ("1990.8.8", 808), ("19900808", 808), ("1990年8月8日", 808), ("八月八日", 808),
        ("十二月二十五", 1225), ("８月８日", 808), (" 8 月 8 日 ", 808), ("我的生日是8月8日", 808), ("8月8日哦", 808), ("2月29", 229),
        ("12月31日", 1231), ("1231", 1231), ("十月十日", 1010), ("1月1日。", 101),
        ("90年8月8日", 808), ("九零年八月八日", 808), ("90.8.8", 808), ("90-08-08", 808), ("900808", 808), ("00年2月29日", 229),
    ],
)  # fmt: skip
def test_birthdays_as_people_type_them(typed, mmdd):
    assert read_birthday(typed) == Birthday(mmdd // 100, mmdd % 100)


@pytest.mark.parametrize("typed", ["农历八月初八", "八月初八", "阴历8月8", "正月十五", "腊月廿三", "闰四月初一"])
def test_lunar_dates_are_recognised_and_not_converted(typed):
    assert read_birthday(typed) == Birthday(lunar=True)
    assert read_birthday(typed).mmdd is None


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "昨天",
        "2月30",
        "13月1日",
        "0",
        "88",
        "8月",
        "8888",
        "0x08",
        "13800138000",
        "8月8日8月8日",
        "1899-02-29",
        "十十月一日",
        "夏天",
        "8.32",
        "200808",  # of 2008, or of 2020
        "89年2月29日",
        "08.08.90",
    ],
)
def test_what_is_no_date_is_no_date(typed):
    assert read_birthday(typed) is None


@given(st.dates(date(1900, 1, 1), date(2025, 12, 31)))
def test_every_way_of_writing_a_day_means_that_day(day):
    ways = [f"{day.month}月{day.day}", f"{day:%m%d}", f"{day.month}.{day.day}", f"{day:%Y-%m-%d}", f"{day:%Y%m%d}"]
    assert {read_birthday(way) for way in ways} == {Birthday(day.month, day.day)}


@given(st.text(max_size=30))
def test_any_text_is_read_without_failing(text):
    found = read_birthday(text)
    assert found is None or found.lunar or date(2000, found.month, found.day)


STEPS = [
    {"key": "1", "kind": "SAY", "text": "很高兴认识你。"},
    {"key": "2", "kind": "ASK", "text": "你的生日是哪天？", "answer": "BIRTHDAY", "field": "birthday", "why": "生日当天送你一份礼。"},
    {"key": "3", "kind": "ASK", "text": "平时喜欢什么？", "answer": "CHOICE", "why": "只推荐你喜欢的。", "choices": [
        {"label": "穿搭", "tag_id": 1}, {"label": "香氛", "goto": "5"}]},
    {"key": "4", "kind": "ASK", "text": "最常穿什么颜色？"},
    {"key": "5", "kind": "SAY", "text": "记下了，谢谢。"},
]  # fmt: skip


@pytest.fixture(autouse=True)
def in_chinese():
    with translation.override("zh-hans"):
        yield


def test_a_talk_asks_says_why_branches_and_ends():
    steps = read_steps(STEPS)
    turn = begin(steps)
    assert turn.state.step == "2"
    assert "很高兴认识你。" in turn.text
    assert "生日当天送你一份礼。" in turn.text
    turn = answer(steps, turn.state, "8月8")
    assert (turn.written.field, turn.written.value, turn.state.step) == ("birthday", 808, "3")
    left = answer(steps, turn.state, "2")
    assert (left.state, left.ended, left.written.value, left.text) == (None, DONE, "香氛", "记下了，谢谢。")
    stayed = answer(steps, turn.state, "我喜欢穿搭")
    assert (stayed.state.step, stayed.written.tag_ids) == ("4", (1,))
    assert answer(steps, stayed.state, "蓝").ended == DONE


def test_skipping_keeps_nothing_and_leaving_ends():
    steps = read_steps(STEPS)
    skipped = answer(steps, State("2"), "不想说")
    assert (skipped.written, skipped.state.step) == (None, "3")
    assert answer(steps, State("2"), "退出").ended == LEFT


def test_three_messages_that_are_no_answer_end_it():
    steps = read_steps(STEPS)
    turn = begin(steps)
    for _try in range(2):
        turn = answer(steps, turn.state, "什么")
        assert (turn.understood, turn.state.step) == (False, "2")
    turn = answer(steps, turn.state, "什么")
    assert (turn.state, turn.ended) == (None, GAVE_UP)


@pytest.mark.parametrize(
    "steps",
    [
        [],
        [{"key": "1", "kind": "SAY", "text": "只说不问"}],
        [{"key": "1", "kind": "ASK", "text": ""}],
        [{"key": "1", "kind": "ASK", "text": "生日？", "answer": "BIRTHDAY", "field": "birthday"}],
        [{"key": "1", "kind": "ASK", "text": "生日？", "answer": "TEXT", "field": "birthday", "why": "x"}],
        [{"key": "1", "kind": "ASK", "text": "城市？", "answer": "BIRTHDAY", "field": "city", "why": "x"}],
        [{"key": "1", "kind": "ASK", "text": "哪个？", "answer": "CHOICE", "choices": [{"label": "一"}]}],
        [{"key": "1", "kind": "ASK", "text": "哪个？", "answer": "CHOICE", "choices": [{"label": "一"}, {"label": " 一"}]}],
        [{"key": "1", "kind": "ASK", "text": "哪个？", "answer": "CHOICE", "choices": [{"label": "一", "tag_id": 1}, {"label": "二"}]}],
        [{"key": "1", "kind": "ASK", "text": "哪个？", "goto": "9"}],
        [{"key": "1", "kind": "SAY", "text": "a", "goto": "2"}, {"key": "2", "kind": "SAY", "text": "b", "goto": "1"},
         {"key": "3", "kind": "ASK", "text": "c"}],
        [{"key": str(number), "kind": "ASK", "text": "?"} for number in range(13)],
    ],
)  # fmt: skip
def test_what_cannot_be_published_is_said(steps):
    assert faults(read_steps(steps))


def long(number, kind="SAY", **more):
    return {"key": str(number), "kind": kind, "text": f"{number}" + "长" * 298, **more}


TOLD = {"field": "city", "why": "因" * 60}
MANY = [{"label": f"{number}" + "选" * 58} for number in range(9)]


@pytest.mark.parametrize(
    ("steps", "where"),
    [
        ([long(1), long(2), long(3, "ASK")], "3"),  # before the first question
        ([long(1, "ASK", **TOLD), long(2), long(3), {"key": "4", "kind": "SAY", "text": "长" * 90}, {"key": "5", "kind": "ASK", "text": "？"}], "5"),
        ([long(1, "ASK"), long(2), long(3), long(4)], "1"),  # after the last one
        ([{"key": "1", "kind": "ASK", "text": "？", "answer": "CHOICE", "choices": [{"label": "a", "goto": "3"}, {"label": "b"}]},
          {"key": "2", "kind": "ASK", "text": "？", "goto": "END"}, long(3), long(4), long(5)], "1"),
        ([long(1, "ASK", answer="CHOICE", choices=MANY)], "1"),  # one question alone
        # Only when it is asked again, or with the thanks for a date of the lunar calendar.
        ([long(1, "ASK", answer="CHOICE", choices=[*MANY[:5], {"label": "选" * 84}])], "1"),
        ([{"key": "1", "kind": "ASK", "text": "生日？", "answer": "BIRTHDAY"}, long(2), long(3), {"key": "4", "kind": "ASK", "text": "问" * 75}], "4"),
    ],
)  # fmt: skip
def test_what_is_said_at_once_has_to_fit_into_a_message(steps, where):
    with translation.override("en"):
        found = faults(read_steps(steps))
    assert [fault.key for fault in found] == [where]
    assert "of the 2,048 bytes of a message" in found[0].message


def test_what_just_fits_is_published():
    assert faults(read_steps([long(1), long(2), {"key": "3", "kind": "ASK", "text": "问" * 60}])) == []
    turn = begin(read_steps([long(1), long(2), {"key": "3", "kind": "ASK", "text": "问" * 80}]))
    assert turn.text == "\n\n".join(turn.says)


@given(
    st.lists(
        st.fixed_dictionaries({
            "kind": st.sampled_from(["SAY", "ASK"]), "text": st.just("x"),
            "answer": st.sampled_from(["TEXT", "BIRTHDAY", "CHOICE"]),
            "goto": st.sampled_from(["", "0", "1", "2", "END"]),
            "choices": st.just([{"label": "一"}, {"label": "二", "goto": "END"}]),
        }), min_size=1, max_size=3,
    ),
    st.lists(st.sampled_from(["8月8", "一", "2", "什么", "跳过", "退出", ""]), max_size=12),
)  # fmt: skip
def test_whatever_is_published_every_talk_stands_at_a_question_or_has_ended(rows, said):
    steps = read_steps([{**row, "key": str(number)} for number, row in enumerate(rows)])
    if faults(steps):
        return
    turn = begin(steps)
    for text in said:
        if turn.state is None:
            break
        turn = answer(steps, turn.state, text)
    if turn.state is None:
        assert turn.ended in {DONE, LEFT, GAVE_UP}
    else:
        assert next(step.kind for step in steps if step.key == turn.state.step) == "ASK"
        assert turn.text


# --- stored talks ----------------------------------------------------------------------------------------------------


@pytest.fixture
def account(in_brand):
    return make_account()


@pytest.fixture
def dialogue(account):
    tag = make_tag("爱穿搭")
    steps = [dict(step) for step in STEPS]
    steps[2] = {**steps[2], "choices": [{"label": "穿搭", "tag_id": tag.pk}, {"label": "香氛", "goto": "5"}]}
    made = Dialogue(account=account, name="生日与爱好", keywords=["生日"], draft=steps)
    services.save_dialogue(dialogue=made, at=AT, publish=True)
    return made


def says(account, follower, text, *, at=AT, heard=True, kind="text", key=""):
    """A message: what the gateway answers at once, and what the worker makes of it."""
    push, reply = asks(account, follower, text, at=at, heard=heard, kind=kind, key=key)
    services.note_answer(push=push, asked=asked_of(push))
    return reply


def as_json(query):
    """The rows of a replier's query as the gateway hands them over."""
    with connection.cursor() as cursor:
        sql, params = query()
        cursor.execute(f"SELECT to_jsonb(r)::text FROM ({sql}) AS r", params)
        return [orjson.loads(row) for (row,) in cursor.fetchall()]


def asks(account, follower, text, *, at=AT, heard=True, kind="text", key=""):
    """A message that the gateway answers; no worker has seen it yet."""
    row = InboundPush.objects.create(
        account=account, dedupe_key=uuid.uuid4(), digest=uuid.uuid4(), kind=kind, openid=follower.openid, lane=0,
        event_at=at, received_at=at, body="<xml/>",
    )  # fmt: skip
    push = Push(
        brand_id=account.brand_id, account_id=account.pk, appid=account.appid, original_id=account.original_id,
        openid=follower.openid, kind=kind, event_at=at, received_at=at, push_id=row.pk, content=text, key=key,
    )  # fmt: skip
    book = ReplyBook(
        account.pk, 0, {"conversations": rules_of(account.pk), "conversations.dialogues": dialogues_of(account.pk)}
    )
    query = where_talk_stands(push, book)
    reply = go_on_talking(push, book, as_json(query)) if query else None
    if reply is not None and heard:
        row.reply = render(reply, openid=push.openid, original_id=push.original_id, at=at.timestamp())
        row.save(update_fields=["reply"])
    return replace(push, reply=row.reply), reply.content if reply else None


def test_twelve_turns_with_nonsense_and_a_pause_of_fifty_hours(account, dialogue):
    follower = make_follower(account)
    hours = timedelta(hours=1)
    ReplyRule.objects.create(
        account=account,
        name="营业时间",
        trigger="KEYWORD",
        match="CONTAINS",
        keywords=["几点"],
        text="十点",
        updated_at=AT,
    )
    talk = [
        ("你好", 0, None), ("生日", 0, "生日是哪天"), ("嗯？", 0, "0808"), ("几点开门", 0, None), ("明天吧", 1, "0808"),
        ("8.8", 51, "喜欢什么"), ("都喜欢", 51, "编号"), ("几点", 52, None), ("1", 102, "颜色"), ("海军蓝", 102, "记下了"),
        ("生日", 103, "生日是哪天"), ("退出", 103, "不再问"),
    ]  # fmt: skip
    for text, hour, expected in talk:
        reply = says(account, follower, text, at=AT + hour * hours)
        assert (reply is None) if expected is None else (expected in reply), (text, reply)

    assert Member.objects.get(pk=follower.member_id).birth_mmdd == 808
    tagging = MemberTag.objects.get(member_id=follower.member_id)
    assert (tagging.tag.name, tagging.source) == ("爱穿搭", "dialogue: 生日与爱好")
    consent = consents_in_force(follower.member_id)["SERVICE"]
    assert (consent.granted, consent.source, consent.text_version) == (True, "dialogue", f"D{dialogue.pk}v1")
    runs = list(DialogueRun.objects.order_by("pk").values_list("state", "answers"))
    assert runs == [("DONE", {"2": 808, "3": "穿搭", "4": "海军蓝"}), ("LEFT", {})]
    assert list(UnmatchedPhrase.objects.values_list("text", flat=True)) == ["你好"]


def test_nothing_is_kept_of_somebody_who_does_not_say_it(account, dialogue):
    follower = make_follower(account)
    for text in ("生日", "不想说", "香氛"):
        says(account, follower, text)
    assert Member.objects.get(pk=follower.member_id).birth_mmdd is None
    assert not Consent.objects.exists()


def test_a_lunar_birthday_is_noted_and_not_taken_for_a_day_of_ours(account, dialogue):
    follower = make_follower(account)
    says(account, follower, "生日")
    assert "农历" in says(account, follower, "八月初八")
    assert Member.objects.get(pk=follower.member_id).birth_mmdd is None
    assert DialogueRun.objects.get().answers == {"2": {"lunar": True}}


def test_a_running_talk_ends_with_the_version_it_began_with(account, dialogue):
    early, late = make_follower(account), make_follower(account)
    says(account, early, "生日")
    changed = [dict(dialogue.draft[0]), {"key": "2", "kind": "ASK", "text": "新问题？"}]
    dialogue.draft = changed
    services.save_dialogue(dialogue=dialogue, at=AT, publish=False)
    assert "生日是哪天" in says(account, late, "生日")
    services.save_dialogue(dialogue=dialogue, at=AT, publish=True)
    assert [version.number for version in DialogueVersion.objects.order_by("number")] == [1, 2]

    assert "喜欢什么" in says(account, early, "8月8")
    assert "新问题" in says(account, make_follower(account), "生日")
    assert "新问题" in says(account, late, "生日")
    assert sorted(DialogueRun.objects.filter(follower=late).values_list("state", "version__number")) == [
        ("ACTIVE", 2),
        ("LEFT", 1),
    ]


def test_what_somebody_told_goes_with_them(account, dialogue):
    from members.services.erasure import on_erase

    gone, stays = make_follower(account), make_follower(account)
    for follower in (gone, stays):
        says(account, follower, "生日")
        says(account, follower, "8月8")

    dict(on_erase.items())["conversations.talks"](follower=gone, whole=True, at=AT)
    assert set(DialogueRun.objects.values_list("follower", flat=True)) == {stays.pk}
    assert set(ReplyRecord.objects.values_list("follower", flat=True)) == {stays.pk}


def test_people_do_not_share_a_talk(account, dialogue, other_brand):
    one, other = make_follower(account), make_follower(account)
    says(account, one, "生日")
    assert says(account, other, "8月8") is None
    second = make_account("第二个号")
    assert says(second, make_follower(second), "生日") is None
    assert DialogueRun.objects.count() == 1


def test_answers_that_come_before_the_worker_go_on_and_are_stored_in_order(account, dialogue):
    from conversations.inbound import JustSaid

    follower = make_follower(account)
    pushes, replies = [], []
    for number, text in enumerate(["生日", "8月8", "穿搭", "海军蓝", "海军蓝"]):
        push, reply = asks(account, follower, text, at=AT + timedelta(seconds=min(number, 3)))
        pushes.append(push)
        replies.append(reply)
    # The last push is WeChat's repetition of the one before: answered alike, handled once.
    assert [
        part in reply
        for part, reply in zip(("生日是哪天", "喜欢什么", "颜色", "记下了", "记下了"), replies, strict=True)
    ] == [True] * 5
    for push in pushes[:4]:
        services.note_answer(push=push, asked=asked_of(push))
    assert DialogueRun.objects.get().answers == {"2": 808, "3": "穿搭", "4": "海军蓝"}
    assert set(ReplyRecord.objects.values_list("way", "why")) == {("PASSIVE", "IN_TIME")}
    assert JustSaid().before(pushes[0], None) is None


def test_what_another_process_has_stored_is_newer_than_what_was_said_here(account, dialogue):
    follower = make_follower(account)
    asks(account, follower, "生日")
    for text in ("生日", "8月8"):
        says(account, follower, text, at=AT + timedelta(seconds=5))
    DialogueRun.objects.update(step="4", updated_at=AT + timedelta(seconds=30))
    _push, reply = asks(account, follower, "蓝", at=AT + timedelta(seconds=40))
    assert "记下了" in reply


def test_a_reply_that_was_late_or_overtaken_follows_as_a_message(account, dialogue):
    follower = make_follower(account)
    says(account, follower, "生日", heard=False)
    late = ReplyRecord.objects.get()
    assert (late.way, late.why, len(late.waiting)) == ("SERVICE", "LATE", 1)
    says(account, follower, "8月8")
    assert ReplyRecord.objects.order_by("pk").last().way == "PASSIVE"


def test_a_tap_whose_time_is_over_before_a_worker_comes_goes_to_a_person(account, dialogue):
    follower = make_follower(account)
    dialogue.keywords = ["TALK"]
    services.save_dialogue(dialogue=dialogue, at=AT, publish=True)
    push, _reply = asks(account, follower, "", kind="CLICK", key="TALK", heard=False)
    late = replace(push, received_at=AT + timedelta(hours=49))
    for _again in range(2):
        services.note_answer(push=late, asked=asked_of(late))

    record, waits = ReplyRecord.objects.get(), Conversation.objects.get(follower=follower)
    assert (record.way, record.why) == ("PERSON", "WINDOW_CLOSED")
    assert waits.state == ConversationState.WAITING
    assert [line.kind for line in Message.objects.order_by("pk")][:1] == ["handed_over"]


@pytest.mark.parametrize("heard", [True, False])
def test_a_question_of_an_older_version_that_is_too_long_still_ends_what_is_said(account, dialogue, heard):
    asked = {"key": "4", "kind": "ASK", "text": "你的城市？"}
    DialogueVersion.objects.update(steps=[long(1), long(2), long(3), asked])
    follower = make_follower(account)
    reply = says(account, follower, "生日", heard=heard)
    assert len(reply.encode()) <= 2048
    assert reply.endswith("长\n\n你的城市？")
    record = ReplyRecord.objects.get()
    assert record.way == ("PASSIVE" if heard else "SERVICE")
    assert [each["text"]["content"] for each in record.waiting] == ([] if heard else [reply])


def test_a_rule_for_some_people_takes_their_messages_from_a_talk(account, dialogue):
    regulars = make_tag("老客")
    ReplyRule.objects.create(
        account=account, name="积分", trigger="KEYWORD", match="CONTAINS", keywords=["积分"], text="老客双倍",
        audience_kind="tag", audience_id=regulars.pk, updated_at=AT,
    )  # fmt: skip
    regular, other = make_follower(account), make_follower(account)
    tag_members(member_ids=[regular.member_id], tag_ids=[regulars.pk], source="test", at=AT)
    for follower in (regular, other):
        says(account, follower, "生日")
    for number in range(4):
        assert says(account, regular, "我的积分", at=AT + timedelta(seconds=number)) is None
    later = AT + timedelta(minutes=1)
    assert "喜欢什么" in says(account, regular, "8月8", at=later)
    # Whoever the rule is not for has not answered the question; an answer is one, whatever rule captures it.
    said = [says(account, other, "我的积分", at=AT + timedelta(seconds=number)) for number in (1, 2, 3)]
    assert ["0808" in each for each in said] == [True, True, False]
    assert "没有听明白" in said[2]
    assert DialogueRun.objects.get(follower=other).state == "GAVE_UP"
    assert "生日是哪天" in says(account, other, "生日", at=later)
    assert "喜欢什么" in says(account, other, "8月8", at=later)
    assert DialogueRun.objects.get(follower=regular).tries == 0


def test_a_push_handled_again_changes_nothing_of_what_was_kept(account, dialogue):
    follower = make_follower(account)
    says(account, follower, "生日")
    with pytest.raises(DialogueInvalid):
        dialogue.draft = []
        services.save_dialogue(dialogue=dialogue, at=AT, publish=True)
    assert DialogueRun.objects.get().state == "ACTIVE"


def test_a_menu_button_begins_a_dialogue_and_an_account_without_one_asks_nothing(
    account, dialogue, django_assert_num_queries
):
    follower = make_follower(account)
    dialogue.keywords = ["TALK"]
    services.save_dialogue(dialogue=dialogue, at=AT, publish=True)
    assert "生日是哪天" in says(account, follower, "", kind="CLICK", key="TALK")
    dialogue.is_enabled = False
    services.save_dialogue(dialogue=dialogue, at=AT, publish=True)
    book = ReplyBook(account.pk, 0, {"conversations.dialogues": dialogues_of(account.pk)})
    push = Push(
        brand_id=1,
        account_id=account.pk,
        appid="",
        original_id="",
        openid="o",
        kind="text",
        event_at=AT,
        received_at=AT,
    )
    with django_assert_num_queries(0):
        assert not may_be_talk(push, book)


def test_another_brands_dialogue_is_unknown_here(brand, other_brand):
    with brand_scope(other_brand.pk):
        foreign = make_account("灶")
        made = Dialogue(
            account=foreign, name="灶", keywords=["生日"], draft=[{"key": "1", "kind": "ASK", "text": "？"}]
        )
        services.save_dialogue(dialogue=made, at=AT, publish=True)
    with brand_scope(brand.pk):
        account = make_account()
        assert says(account, make_follower(account), "生日") is None
        assert not dialogues_of(foreign.pk).starts


SEVERAL = [
    {
        "key": "1",
        "kind": "ASK",
        "text": "平时喜欢什么？",
        "answer": "MANY",
        "why": "好推荐合适的活动。",
        "choices": [{"label": "茶"}, {"label": "茶具"}, {"label": "花艺"}, {"label": "音乐和舞蹈"}, {"label": "阅读"}],
    },
    {"key": "2", "kind": "SAY", "text": "记下了。"},
]


@pytest.mark.parametrize(
    ("typed", "labels"),
    [
        ("1和3", "茶、花艺"), ("1,3", "茶、花艺"), ("3 1", "茶、花艺"), ("１、３", "茶、花艺"), ("13", "茶、花艺"), ("一和三", "茶、花艺"), ("茶和花艺", "茶、花艺"),
        ("茶具", "茶具"), ("茶具跟茶", "茶、茶具"), ("我喜欢音乐和舞蹈，还有5", "音乐和舞蹈、阅读"), ("2", "茶具"), ("都喜欢", "茶、茶具、花艺、音乐和舞蹈、阅读"),
        ("1和7", None), ("113", None), ("38", None), ("不喜欢茶", None), ("除了茶", None), ("随便", None), ("", None),
    ],
)  # fmt: skip
def test_several_choices_as_people_type_them(typed, labels):
    steps = read_steps(SEVERAL)
    asked = begin(steps)
    assert "可以选几个，例如「1 和 3」" in asked.text
    turn = answer(steps, asked.state, typed)
    assert (turn.written.value if turn.written else None) == labels
    assert turn.understood is (labels is not None)
    assert ("例如「1 和 3」" in turn.says[0]) is (labels is None)


def test_every_choice_puts_its_tag_on_and_one_consent_is_kept(account):
    tags = [make_tag(name) for name in ("爱茶", "爱花")]
    draft = [dict(SEVERAL[0]), SEVERAL[1]]
    draft[0]["choices"] = [
        {"label": "茶", "tag_id": tags[0].pk},
        {"label": "花艺", "tag_id": tags[1].pk},
        {"label": "阅读"},
    ]
    row = Dialogue(account=account, name="爱好", keywords=["爱好"], draft=draft)
    services.save_dialogue(dialogue=row, at=AT, publish=True)
    follower = make_follower(account)
    for text in ("爱好", "花艺、茶和3"):
        says(account, follower, text)

    follower.member.refresh_from_db()
    assert follower.member.tag_ids == sorted(tag.pk for tag in tags)
    assert DialogueRun.objects.get().answers == {"1": "茶、花艺、阅读"}
    assert Consent.objects.filter(member=follower.member).count() == 1


@pytest.mark.parametrize("wrong", [{"field": "name"}, {"goto": "2"}])
def test_several_answers_go_into_no_field_and_lead_one_way(wrong):
    step = {**SEVERAL[0], **({"field": "name"} if "field" in wrong else {})}
    if "goto" in wrong:
        step["choices"] = [{"label": "茶", "goto": "2"}, {"label": "花艺"}]
    assert [fault.key for fault in faults(read_steps([step, SEVERAL[1]]))] == ["1"]
    assert faults(read_steps(SEVERAL)) == []
