"""Which rule answers: order, kinds of match, hours, audiences, welcomes; and what the test box says about it."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.tenancy import brand_scope
from conversations.engine import ANSWERS, EARLIER, SCHEDULE, WORDS, Asked, Facts, Rules, Schedule, compile_rules
from conversations.models import ReplyRule, Trigger
from conversations.selectors import facts_of, rules_of, troubles_of_menu
from members.services import save_segment, tag_members
from tests.factories import AT, make_account, make_follower, make_tag, make_touchpoint
from touchpoints.services import record_touch

SHANGHAI = ZoneInfo("Asia/Shanghai")


@pytest.fixture
def account(in_brand):
    return make_account()


def rule(account, trigger, text, *keywords, match="EXACT", position=100, **more):
    return ReplyRule.objects.create(
        account=account,
        name=text,
        trigger=trigger,
        text=text,
        keywords=list(keywords),
        match=match,
        position=position,
        updated_at=AT,
        **more,
    )


def said(rules, facts=None, **asked):
    decision = rules.decide(Asked(**({"trigger": Trigger.KEYWORD, "at": AT} | asked)), facts)
    if decision.needs_facts:
        return "?"
    return decision.contents[0].text if decision.contents else None


def test_first_rule_in_order_wins_across_kinds_of_match(account):
    rule(account, "KEYWORD", "contains", "开门", match="CONTAINS", position=10)
    rule(account, "KEYWORD", "exact", "几点开门", position=20)
    rule(account, "KEYWORD", "prefix", "几点", match="PREFIX", position=5)
    rule(account, "KEYWORD", "regex", r"^\d{4}$", match="REGEX", position=7)
    rules = rules_of(account.pk)

    assert said(rules, text="几点开门") == "prefix"
    assert said(rules, text="今天开门吗") == "contains"
    assert said(rules, text="１２３４") == "regex"
    assert said(rules, text="12345") is None
    assert said(rules, text="停车") is None


def test_exact_rule_before_a_containing_one_wins(account):
    rule(account, "KEYWORD", "exact", "预约", position=10)
    rule(account, "KEYWORD", "contains", "约", match="CONTAINS", position=20)
    rules = rules_of(account.pk)

    assert (said(rules, text="预约"), said(rules, text="想约")) == ("exact", "contains")


def test_what_captures_is_remembered_but_not_for_whom_and_when(account):
    tag = make_tag("老客")
    rule(account, "KEYWORD", "night", "预约", position=1, from_time=time(22), until_time=time(2))
    rule(account, "KEYWORD", "regulars", "约", match="CONTAINS", position=2, audience_kind="tag", audience_id=tag.pk)
    rule(account, "KEYWORD", "always", "预约", position=3)
    rules = rules_of(account.pk)
    regular, stranger = Facts(holds=frozenset(rules.audiences)), Facts()
    night = datetime(2025, 6, 1, 23, tzinfo=SHANGHAI)

    for _ in range(2):
        assert said(rules, stranger, text="预约") == "always"
        assert said(rules, regular, text="预约") == "regulars"
        assert said(rules, regular, text="预约", at=night) == "night"
        assert said(rules, stranger, text="  预约 ") == "always"
        assert said(rules, stranger, text="约") is None
    for number in range(1000):
        assert said(rules, stranger, text=f"停车{number}") is None
    assert said(rules, stranger, text="约" * 2000) is None
    assert len(rules.recent) <= 200
    assert max(map(len, rules.recent)) <= 30


@pytest.mark.parametrize("typed", ["  VIP ", "vip", "ＶＩＰ", "Vip"])
def test_width_case_and_blanks_do_not_matter(account, typed):
    rule(account, "KEYWORD", "hit", "VIP")

    assert said(rules_of(account.pk), text=typed) == "hit"


def test_disabled_rules_and_empty_keywords_never_answer(account):
    rule(account, "KEYWORD", "off", "预约", is_enabled=False)
    rule(account, "KEYWORD", "empty", "", "  ", match="CONTAINS")

    assert said(rules_of(account.pk), text="预约") is None


def test_default_answers_what_nothing_else_does(account):
    rule(account, "DEFAULT", "default")
    rule(account, "CLICK", "card", "MEMBER_HOME")
    rules = rules_of(account.pk)

    assert [
        said(rules, text="?"),
        said(rules, trigger=Trigger.CLICK, key="X"),
        said(rules, trigger=Trigger.CLICK, key="MEMBER_HOME"),
        said(rules, trigger=Trigger.DEFAULT),
    ] == ["default", "default", "card", "default"]


@pytest.mark.parametrize("kept", ["VIP", "vip ", "ＶＩＰ"])
@pytest.mark.parametrize("key", ["VIP", "Vip", "vip"])
def test_width_case_and_blanks_do_not_matter_in_the_key_of_a_button(account, kept, key):
    made = rule(account, "CLICK", "hit", kept)
    rule(account, "CLICK", "other", "CARD")
    rule(account, "DEFAULT", "default")
    rules = rules_of(account.pk)

    assert said(rules, trigger=Trigger.CLICK, key=key) == "hit"
    verdicts = rules.explain(Asked(Trigger.CLICK, AT, key=key), Facts())
    assert [(each.rule.name, each.says) for each in verdicts] == [
        ("hit", ANSWERS), ("other", WORDS), ("default", EARLIER),
    ]  # fmt: skip
    button = {"type": "click", "name": "会员", "key": key}
    assert troubles_of_menu(account.pk, [button], at=AT) == []
    ReplyRule.objects.filter(pk=made.pk).delete()
    assert [each.kind for each in troubles_of_menu(account.pk, [button], at=AT)] == ["NO_ANSWER"]
    assert said(rules_of(account.pk), trigger=Trigger.CLICK, key=key) == "default"


def test_an_expression_that_explodes_elsewhere_is_matched_in_linear_time(account):
    rule(account, "KEYWORD", "hit", "(a+)+$", "(x|x)*y", match="REGEX")
    rules = rules_of(account.pk)

    # Backtracking would look at 2^2000 ways: this ends only because there is none.
    assert said(rules, text="a" * 2000 + "!") is None
    assert said(rules, text="x" * 2000) is None
    assert said(rules, text="a" * 2000) == "hit"


def test_hours_and_days_are_those_of_the_brand(account):
    rule(account, "KEYWORD", "night", "预约", position=1, from_time=time(22), until_time=time(2), weekdays=[5])
    rule(account, "KEYWORD", "june", "预约", position=2, from_date=date(2025, 6, 1), until_date=date(2025, 6, 30))
    rule(account, "KEYWORD", "always", "预约", position=3)
    rules = rules_of(account.pk)

    def at(*moment):
        return said(rules, text="预约", at=datetime(*moment, tzinfo=SHANGHAI).astimezone(UTC))

    assert at(2025, 5, 31, 23, 0) == "night"  # a Saturday
    assert at(2025, 6, 1, 1, 59) == "night"  # the night of Saturday
    assert at(2025, 6, 1, 2, 0) == "june"
    assert at(2025, 6, 1, 22, 0) == "june"  # Sunday night
    assert at(2025, 5, 31, 21, 59) == "always"
    assert at(2025, 7, 1, 12, 0) == "always"


def test_welcome_goes_code_then_return_then_audience_then_common(account):
    tag = make_tag("老客")
    channel = make_touchpoint(None, name="包装", welcome="")
    leaf = make_touchpoint(account, name="礼盒", welcome="", parent=channel)
    greeting = make_touchpoint(account, name="静安店", welcome="静安店欢迎你")
    rule(account, "FOLLOW", "common", position=1)
    rule(account, "FOLLOW", "tagged", position=2, audience_kind="tag", audience_id=tag.pk)
    rule(account, "FOLLOW", "channel", position=3, audience_kind="channel", audience_id=channel.pk)
    follower = make_follower(account)
    tag_members(member_ids=[follower.member_id], tag_ids=[tag.pk], source="test", at=AT)

    def welcome(scene="", facts=None):
        return said(rules_of(account.pk), facts, trigger=Trigger.FOLLOW, scene=scene)

    facts = facts_of(rules_of(account.pk), account.pk, follower.openid, at=AT)
    assert welcome(greeting.scene) == "静安店欢迎你"
    assert welcome(leaf.scene) == "channel"  # settled by the code alone: nothing has to be looked up
    assert welcome("") == "?"
    assert welcome("", facts) == "tagged"
    assert welcome(leaf.scene, facts) == "channel"
    assert welcome("", Facts()) == "common"

    rule(account, "REFOLLOW", "back")
    assert welcome("", Facts(came_back=True, holds=facts.holds)) == "back"
    assert welcome(greeting.scene, Facts(came_back=True)) == "静安店欢迎你"
    assert welcome("unknown", Facts()) == "common"


def test_tags_that_the_code_will_put_on_count_already(account):
    tag = make_tag("礼盒")
    code = make_touchpoint(account, name="礼盒", welcome="", tags=[tag])
    rule(account, "FOLLOW", "box", audience_kind="tag", audience_id=tag.pk)

    assert said(rules_of(account.pk), trigger=Trigger.FOLLOW, scene=code.scene) == "box"


def test_audiences_are_looked_up_with_one_query(account, django_assert_num_queries, other_brand):
    tag, other_tag = make_tag("老客"), make_tag("新客")
    segment = save_segment(
        name="近 30 天", rule={"all": [{"condition": "tag", "params": {"how": "any", "tags": [tag.pk]}}]}, at=AT
    )
    channel = make_touchpoint(account, name="门口", welcome="")
    kinds = [("tag", tag.pk), ("tag", other_tag.pk), ("segment", segment.pk), ("channel", channel.pk)]
    for number, (kind, pk) in enumerate(kinds):
        rule(account, "KEYWORD", f"{kind}{number}", f"词{number}", audience_kind=kind, audience_id=pk)
    follower, stranger = make_follower(account), make_follower(account)
    tag_members(member_ids=[follower.member_id], tag_ids=[tag.pk], source="test", at=AT)
    record_touch(follower=follower, scene=channel.scene, is_follow=False, at=AT)
    rules = rules_of(account.pk)

    with django_assert_num_queries(1):
        facts = facts_of(rules, account.pk, follower.openid, at=AT)
    answers = [said(rules, facts, text=f"词{number}") for number in range(4)]
    assert answers == ["tag0", None, "segment2", "channel3"]
    nobody = facts_of(rules, account.pk, stranger.openid, at=AT)
    assert [said(rules, nobody, text=f"词{number}") for number in range(4)] == [None] * 4
    assert facts_of(rules, account.pk, "oNobody", at=AT) == Facts()


def test_a_segment_with_another_rule_is_looked_at_anew(account, in_brand):
    from conversations.selectors import current_rules

    old, new = make_tag("老客"), make_tag("新客")

    def about(tag):
        return {"all": [{"condition": "tag", "params": {"how": "any", "tags": [tag.pk]}}]}

    segment = save_segment(name="谁", rule=about(old), at=AT)
    rule(account, "KEYWORD", "hit", "词", audience_kind="segment", audience_id=segment.pk)
    follower = make_follower(account)
    tag_members(member_ids=[follower.member_id], tag_ids=[new.pk], source="test", at=AT)

    def answered():
        rules = current_rules(account.pk)
        return said(rules, facts_of(rules, account.pk, follower.openid, at=AT), text="词")

    assert answered() is None
    save_segment(name="谁", rule=about(new), at=AT, segment=segment)
    assert answered() == "hit"


def test_an_audience_that_is_gone_or_of_another_brand_never_holds(account, other_brand):
    follower = make_follower(account)
    rule(account, "KEYWORD", "gone", "词", audience_kind="tag", audience_id=999_999)
    rule(account, "KEYWORD", "odd", "词", audience_kind="nothing", audience_id=1)
    rules = rules_of(account.pk)

    assert said(rules, facts_of(rules, account.pk, follower.openid, at=AT), text="词") is None


def test_another_brands_tag_with_the_same_number_means_nothing(brand, other_brand):
    with brand_scope(other_brand.pk):
        foreign = make_tag("灶")
    with brand_scope(brand.pk):
        account = make_account()
        follower = make_follower(account)
        rule(account, "KEYWORD", "foreign", "词", audience_kind="tag", audience_id=foreign.pk)
        rules = rules_of(account.pk)
        assert said(rules, facts_of(rules, account.pk, follower.openid, at=AT), text="词") is None


def test_several_answers_all_in_order_or_one_by_the_pushs_own_number(account):
    more = [{"kind": "TEXT", "text": "b"}, {"kind": "TEXT", "text": "c"}]
    rule(account, "KEYWORD", "a", "全部", more=more)
    rule(account, "KEYWORD", "a", "一个", more=more, pick="ONE")
    rules = rules_of(account.pk)

    def texts(text, seed):
        decision = rules.decide(Asked(Trigger.KEYWORD, AT, text=text, seed=seed))
        return [content.text for content in decision.contents]

    assert texts("全部", 7) == ["a", "b", "c"]
    assert [texts("一个", seed) for seed in range(4)] == [["a"], ["b"], ["c"], ["a"]]


def test_the_test_box_says_of_every_rule_why(account):
    rule(account, "KEYWORD", "late", "预约", position=30)
    rule(account, "KEYWORD", "first", "约", match="CONTAINS", position=20)
    rule(account, "KEYWORD", "never today", "预约", position=10, until_date=date(2024, 1, 1))
    rule(account, "KEYWORD", "other", "停车", position=40)
    rules = rules_of(account.pk)

    verdicts = rules.explain(Asked(Trigger.KEYWORD, AT, text="预约"), Facts())

    assert [(each.rule.name, each.says, each.by) for each in verdicts] == [
        ("never today", SCHEDULE, "预约"),
        ("first", ANSWERS, "约"),
        ("late", EARLIER, "预约"),
        ("other", WORDS, ""),
    ]


WORDS_OF_THREE = st.text("约店a", min_size=1, max_size=3)


@st.composite
def rows(draw):
    match = draw(st.sampled_from(["EXACT", "PREFIX", "CONTAINS", "REGEX"]))
    trigger = draw(st.sampled_from(["KEYWORD", "KEYWORD", "KEYWORD", "DEFAULT", "FOLLOW", "REFOLLOW"]))
    return ReplyRule(
        pk=draw(st.integers(1, 10**6)),
        name="n",
        trigger=trigger,
        match=match,
        keywords=draw(st.lists(WORDS_OF_THREE, max_size=3)),
        text="t",
        position=draw(st.integers(0, 3)),
        until_date=draw(st.sampled_from([None, date(2024, 1, 1)])),
    )


@given(
    st.lists(rows(), max_size=8, unique_by=lambda row: row.pk),
    st.text("约店a b", max_size=6),
    st.sampled_from([Trigger.KEYWORD, Trigger.FOLLOW, Trigger.DEFAULT]),
    st.booleans(),
)
def test_explaining_names_the_rule_that_answers(found, text, trigger, came_back):
    rules = compile_rules(found)
    asked, facts = Asked(trigger, AT, text=text), Facts(came_back=came_back)

    answering = [each.rule.pk for each in rules.explain(asked, facts) if each.says == ANSWERS]
    decided = rules.decide(asked, facts).rule

    assert answering == ([decided.pk] if decided else [])


@given(
    st.sets(st.integers(0, 6)),
    st.times(timezones=st.none()),
    st.times(timezones=st.none()),
    st.datetimes(AT.replace(tzinfo=None), AT.replace(tzinfo=None) + timedelta(300)),
)
def test_hours_of_a_day_and_the_rest_of_it_part_every_moment(days, start, end, local):
    """What an hour window and its complement say differs at every moment of any day."""
    inside = Schedule(frozenset(), start, end).holds(local)
    outside = Schedule(frozenset(), end, start).holds(local)
    assert start == end or inside != outside
    week = Schedule(frozenset(days))
    assert week.holds(local) == (not days or local.weekday() in days)


def test_empty_rules_answer_nothing():
    assert Rules().decide(Asked(Trigger.KEYWORD, AT + timedelta(1), text="x")).rule is None
