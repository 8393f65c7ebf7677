"""Dialogues fill profile fields of the brand's own: read by type, with consent, sealed where they must be."""

from datetime import date, timedelta

import pytest
from django.utils import translation

from accounts.tenancy import brand_scope
from conversations import services
from conversations.dates import read_day, read_number
from conversations.errors import DialogueInvalid
from conversations.inbound import asked_of
from conversations.models import Dialogue, DialogueRun, DialogueVersion
from conversations.script import answer, begin, faults, opened, read_steps
from conversations.selectors import dialogues_of, own_fields
from members import services as member_services
from members.models import Consent, ProfileField, ProfileValue
from members.selectors import profile_of
from members.services.profile import shown_value
from tests.conversations.test_dialogues import asks, says
from tests.factories import AT, make_account, make_follower

DIALOGUES = "/b/lanyu/conversations/dialogue/"
KEPT = {
    "skin": ("肤质", "CHOICE", {"choices": ["干性", "油性", "混合"]}),
    "shoe": ("鞋码", "NUMBER", {}),
    "wedding": ("结婚纪念日", "DATE", {}),
    "child": ("有没有孩子", "YES_NO", {}),
    "hobby": ("爱好", "TEXT", {}),
    "allergy": ("过敏史", "TEXT", {"sensitivity": "SEALED"}),
}
STEPS = [
    {"key": "1", "kind": "ASK", "text": "你的肤质？", "answer": "CHOICE", "field": "field:skin", "why": "选对面霜。",
     "choices": [{"label": "干性"}, {"label": "油性", "goto": "3"}, {"label": "混合"}]},
    {"key": "2", "kind": "ASK", "text": "穿几码的鞋？", "answer": "NUMBER", "field": "field:shoe", "why": "留好你的码。"},
    {"key": "3", "kind": "ASK", "text": "结婚纪念日？", "answer": "DATE", "field": "field:wedding", "why": "送一份礼。"},
    {"key": "4", "kind": "ASK", "text": "有孩子吗？", "answer": "YES_NO", "field": "field:child", "why": "推荐童装。"},
    {"key": "5", "kind": "ASK", "text": "喜欢什么？", "field": "field:hobby", "why": "只推荐喜欢的。"},
    {"key": "6", "kind": "ASK", "text": "对什么过敏？", "field": "field:allergy", "why": "避开它。"},
    {"key": "7", "kind": "SAY", "text": "记下了，谢谢。"},
]  # fmt: skip


@pytest.fixture(autouse=True)
def in_chinese():
    with translation.override("zh-hans"):
        yield


def make_fields(**changed):
    for key, (label, kind, more) in KEPT.items():
        given = {"sources": ["member", "dialogue", "import"], **more, **changed.get(key, {})}
        member_services.save_profile_field(field=ProfileField(key=key, label=label, kind=kind, **given), at=AT)


@pytest.fixture
def account(in_brand):
    make_fields()
    return make_account()


@pytest.fixture
def dialogue(account):
    made = Dialogue(account=account, name="多认识你", keywords=["认识我"], draft=STEPS)
    return services.save_dialogue(dialogue=made, at=AT, publish=True)


def deafen(key):
    field = ProfileField.objects.get(key=key)
    field.sources = ["member", "import"]
    member_services.save_profile_field(field=field, at=AT)


def kept(member_id):
    rows = ProfileValue.objects.filter(member_id=member_id, source="dialogue")
    return {row.key: shown_value(row) for row in rows}


@pytest.mark.parametrize(
    ("typed", "number"),
    [
        ("38", 38), ("38码", 38), ("我穿 38 码", 38), ("三十八", 38), ("３８", 38), ("1,038", 1038), ("38.0", 38), ("-2", -2), ("两", 2),
        ("38.5", None), ("38或39", None), ("很大", None), ("", None), ("9" * 14, None),
    ],
)  # fmt: skip
def test_numbers_as_people_type_them(typed, number):
    assert read_number(typed) == number


@pytest.mark.parametrize(
    ("typed", "day"),
    [
        ("2020-05-20", date(2020, 5, 20)), ("2020年5月20日", date(2020, 5, 20)), ("20200520", date(2020, 5, 20)),
        ("2020.5.20", date(2020, 5, 20)), ("二〇二〇年五月二十日", date(2020, 5, 20)), ("是2020/5/20哦", date(2020, 5, 20)),
        ("90年8月8日", date(1990, 8, 8)), ("90.8.8", date(1990, 8, 8)), ("900808", date(1990, 8, 8)), ("15年5月20日", date(2015, 5, 20)),
        ("30年5月20日", None), ("200520", None),
        ("5月20", None), ("0520", None), ("2021-02-29", None), ("农历2020年五月二十", None), ("去年", None), ("0000-01-01", None),
    ],
)  # fmt: skip
def test_days_with_a_year_as_people_type_them(typed, day):
    assert read_day(typed) == day


def test_every_type_of_field_is_filled_with_source_consent_and_reason(account, dialogue):
    follower = make_follower(account)
    said = [says(account, follower, text) for text in (
        "认识我", "2", "去年", "2020.5.20", "也许", "有", "爬山", "花生",
    )]  # fmt: skip
    assert "（为什么问：选对面霜。" in said[0]
    assert ("纪念日" in said[1], "年份" in said[2], "1. 是" in said[3], "是或否" in said[4]) == (True,) * 4
    assert said[-1] == "记下了，谢谢。"
    assert kept(follower.member_id) == {
        "skin": "油性", "wedding": "2020-05-20", "child": "yes", "hobby": "爬山", "allergy": "花生",
    }  # fmt: skip
    version = DialogueVersion.objects.get()
    consent = Consent.objects.filter(member_id=follower.member_id, source="dialogue").first()
    assert (consent.purpose, consent.text_version) == ("SERVICE", f"D{dialogue.pk}v{version.number}")
    fact = next(fact for fact in profile_of(follower.member_id, at=AT) if fact.key == "skin")
    assert (fact.counts.source, fact.counts.by, fact.counts.text) == ("dialogue", "多认识你", "油性")


def test_what_not_everybody_may_see_is_sealed_and_stands_nowhere_in_the_talk(account, dialogue):
    follower = make_follower(account)
    for text in ("认识我", "油性", "跳过", "跳过", "跳过", "花生"):
        says(account, follower, text)
    row = ProfileValue.objects.get(key="allergy")
    assert (row.text, row.sealed.reveal()) == ("", "花生")
    assert DialogueRun.objects.get().answers == {"1": "油性", "6": {"kept": True}}


def test_a_word_of_a_more_trusted_source_stays_and_both_are_kept(account, dialogue):
    follower = make_follower(account)
    member_services.say(member_id=follower.member_id, source="member", values={"skin": "干性"}, at=AT)
    for text in ("认识我", "油性"):
        says(account, follower, text, at=AT + timedelta(hours=1))
    fact = next(fact for fact in profile_of(follower.member_id, at=AT) if fact.key == "skin")
    assert (fact.counts.text, fact.in_conflict, {word.text for word in fact.words}) == ("干性", True, {"干性", "油性"})


def test_a_question_whose_field_no_longer_listens_is_passed_over_and_said_to_whoever_stands_at_it(account, dialogue):
    waiting, fresh = make_follower(account), make_follower(account)
    says(account, waiting, "认识我")
    deafen("skin")
    told = says(account, waiting, "油性")
    assert told.startswith("这个问题已经不再问了")
    assert "穿几码的鞋" in told
    assert "肤质" not in says(account, fresh, "认识我")
    assert kept(waiting.member_id) == {}
    assert not Consent.objects.filter(member_id=waiting.member_id, source="dialogue").exists()
    says(account, waiting, "38码")
    assert kept(waiting.member_id) == {"shoe": "38"}


def test_a_list_that_has_become_shorter_offers_what_is_left_by_its_old_numbers(account, dialogue):
    before = make_follower(account)
    says(account, before, "认识我")
    field = ProfileField.objects.get(key="skin")
    field.choices = ["油性", "混合"]
    member_services.save_profile_field(field=field, at=AT)
    asked = says(account, make_follower(account), "认识我")
    assert "2. 油性\n3. 混合" in asked
    assert "干性" not in asked
    says(account, before, "2")  # asked while the list was longer
    assert kept(before.member_id)["skin"] == "油性"


def test_a_field_that_changed_between_question_and_worker_keeps_nothing_and_fails_nothing(account, dialogue):
    follower = make_follower(account)
    says(account, follower, "认识我")
    push, reply = asks(account, follower, "油性")
    assert "纪念日" in reply
    ProfileField.objects.filter(key="skin").update(sources=["import"])  # the compiled answers do not know of it yet
    services.note_answer(push=push, asked=asked_of(push))
    assert (kept(follower.member_id), DialogueRun.objects.get().answers) == ({}, {"1": "油性"})


def test_a_dialogue_without_own_fields_asks_nothing_about_them(account, django_assert_num_queries):
    steps = [{"key": "1", "kind": "ASK", "text": "颜色？"}]
    services.save_dialogue(
        dialogue=Dialogue(account=account, name="颜色", keywords=["颜色"], draft=steps), at=AT, publish=True
    )
    with django_assert_num_queries(1):
        dialogues_of(account.pk)


def test_erasure_takes_what_dialogues_heard(account, dialogue):
    follower = make_follower(account)
    for text in ("认识我", "油性"):
        says(account, follower, text)
    member_services.erase_member(member=follower.member, reason="test", at=AT)
    assert not ProfileValue.objects.filter(source="dialogue").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"field": "field:nobody"}, "已经没有了"),
        ({"answer": "TEXT"}, "另一种类型"),
        ({"choices": [{"label": "干性"}, {"label": "敏感"}]}, "敏感"),
        ({"field": "city", "answer": "NUMBER"}, "自有资料字段"),
    ],
)
def test_what_a_field_cannot_take_is_not_published(account, change, said):
    step = {**STEPS[0], "choices": [{"label": "干性"}, {"label": "油性"}]}
    made = Dialogue(account=account, name="错", keywords=["错"], draft=[{**step, **change}])
    with pytest.raises(DialogueInvalid) as refused:
        services.save_dialogue(dialogue=made, at=AT, publish=True)
    assert said in refused.value.message
    assert refused.value.field == "1"


def test_another_brands_field_is_unknown_here(brand, other_brand):
    with brand_scope(other_brand.pk):
        make_fields()
    with brand_scope(brand.pk):
        made = Dialogue(account=make_account(), name="错", keywords=["错"], draft=STEPS)
        with pytest.raises(DialogueInvalid):
            services.save_dialogue(dialogue=made, at=AT, publish=True)
        assert own_fields() == {}


def test_steps_that_are_left_out_never_end_a_talk_in_a_circle():
    rows = [{"key": "1", "kind": "ASK", "text": "?", "field": "field:x", "why": "w", "goto": "2"},
            {"key": "2", "kind": "ASK", "text": "!", "field": "field:y", "why": "w", "goto": "1"}]  # fmt: skip
    assert not faults(read_steps(rows))
    assert begin(opened(read_steps(rows), {})).state is None


# --- pages -----------------------------------------------------------------------------------------------------------


def form(ours, **more):
    return {
        "account": ours.account.pk, "name": "多认识你", "words": "认识我", "is_enabled": "on", "publish": "on",
        "s1_kind": "ASK", "s1_text": "你的肤质？", "s1_answer": "TEXT", "s1_field": "field:skin", "s1_why": "选对面霜。", **more,
    }  # fmt: skip


def test_the_editor_offers_own_fields_and_takes_type_and_list_from_them(as_owner, ours, theirs):
    with brand_scope(theirs.brand.pk):
        member_services.save_profile_field(
            field=ProfileField(key="taste", label="口味", kind="TEXT", sources=["dialogue"]), at=AT
        )
    with brand_scope(ours.brand.pk):
        make_fields(hobby={"sources": ["member"]})
    page = as_owner.get(f"{DIALOGUES}add/").content.decode()
    assert all(
        word in page for word in ("肤质 · 单选", "爱好 · 文本（不收对话的回答）", "过敏史 · 文本 · 不是人人可见")
    )
    assert "口味" not in page
    refused = as_owner.post(f"{DIALOGUES}add/", form(ours, s1_field="field:hobby"))
    assert (refused.status_code, "“爱好”不收对话的回答" in refused.content.decode()) == (200, True)
    assert as_owner.post(f"{DIALOGUES}add/", form(ours)).status_code == 302
    with brand_scope(ours.brand.pk):
        made = Dialogue.objects.get(name="多认识你")
        assert made.draft[0]["answer"] == "CHOICE"
        assert [each["label"] for each in made.draft[0]["choices"]] == ["干性", "油性", "混合"]


def test_the_preview_plays_own_fields_and_the_pages_say_what_is_left_out(as_owner, ours):
    with brand_scope(ours.brand.pk):
        make_fields()
        made = Dialogue(account=ours.account, name="多认识你", keywords=["认识我"], draft=STEPS)
        services.save_dialogue(dialogue=made, at=AT, publish=True)
    here = f"{DIALOGUES}{made.pk}/change/"
    page = as_owner.get(here, {"say": "油性\n2020-05-20\n是\n爬山\n花生"}).content.decode()
    assert all(note in page for note in ("肤质 ← 油性", "有没有孩子 ← 是", "过敏史 ← （已保存，不显示）"))
    assert "过敏史 ← 花生" not in page
    assert "left-out" not in page
    with brand_scope(ours.brand.pk):
        deafen("skin")
    page = as_owner.get(here).content.decode()
    assert 'data-testid="left-out"' in page
    assert "“肤质”不收对话的回答" in page
    listed = as_owner.get(DIALOGUES).content.decode()
    assert "有问题没在问" in listed
    # A draft that names what no longer listens can be kept, and cannot be published.
    again = form(ours, s1_field="field:skin", overlap_seen="")
    assert as_owner.post(here, again).status_code == 200
    assert as_owner.post(here, {**again, "publish": ""}).status_code == 302


def test_answering_reads_what_was_meant_for_whoever_left_a_field_to_the_engine(account):
    steps = opened(read_steps(STEPS), own_fields())
    turn = answer(steps, begin(steps).state, "我是油性皮肤")
    assert (turn.written.field, turn.written.value, turn.state.step) == ("field:skin", "油性", "3")
