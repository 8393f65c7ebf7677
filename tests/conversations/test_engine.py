"""Which rule answers, and what WeChat would refuse of a menu."""

import pytest

from conversations.menus import faults
from conversations.models import ReplyRule
from conversations.selectors import rules_of
from tests.factories import AT, make_account, make_touchpoint


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


def test_first_rule_in_order_wins_across_kinds_of_match(account):
    rule(account, "KEYWORD", "contains", "开门", match="CONTAINS", position=10)
    rule(account, "KEYWORD", "exact", "几点开门", position=20)
    rule(account, "KEYWORD", "prefix", "几点", match="PREFIX", position=5)
    rules = rules_of(account.pk)

    assert rules.for_text("几点开门").text == "prefix"
    assert rules.for_text("今天开门吗").text == "contains"
    assert rules.for_text("停车") is None


def test_exact_rule_before_a_containing_one_wins(account):
    rule(account, "KEYWORD", "exact", "预约", position=10)
    rule(account, "KEYWORD", "contains", "约", match="CONTAINS", position=20)
    rules = rules_of(account.pk)

    assert (rules.for_text("预约").text, rules.for_text("想约").text) == ("exact", "contains")


@pytest.mark.parametrize("typed", ["  VIP ", "vip", "ＶＩＰ", "Vip"])
def test_width_case_and_blanks_do_not_matter(account, typed):
    rule(account, "KEYWORD", "hit", "VIP")

    assert rules_of(account.pk).for_text(typed).text == "hit"


def test_disabled_rules_and_empty_keywords_never_answer(account):
    rule(account, "KEYWORD", "off", "预约", is_enabled=False)
    rule(account, "KEYWORD", "empty", "", "  ", match="CONTAINS")

    assert rules_of(account.pk).for_text("预约") is None


def test_default_answers_what_nothing_else_does(account):
    rule(account, "DEFAULT", "default")
    rule(account, "CLICK", "card", "MEMBER_HOME")
    rules = rules_of(account.pk)

    assert [rules.for_text("?").text, rules.for_click("X").text, rules.for_click("MEMBER_HOME").text] == [
        "default",
        "default",
        "card",
    ]


def test_welcome_goes_code_then_return_then_common(account):
    touchpoint = make_touchpoint(account, welcome="静安店欢迎你")
    rule(account, "FOLLOW", "common")
    rules = rules_of(account.pk)
    assert rules.for_follow(touchpoint.scene, came_back=True).text == "静安店欢迎你"
    assert rules.for_follow("", came_back=True).text == "common"

    rule(account, "REFOLLOW", "back")
    rules = rules_of(account.pk)
    assert rules.for_follow("", came_back=True).text == "back"
    assert rules.for_follow("unknown", came_back=False).text == "common"


CLICK = {"type": "click", "name": "会员", "key": "K"}


@pytest.mark.parametrize(
    ("menu", "paths"),
    [
        ([CLICK], []),
        ([CLICK] * 3, []),
        ([CLICK] * 4, [""]),
        ([], [""]),
        ("x", [""]),
        ([{**CLICK, "name": "会员中心会"}], []),
        ([{**CLICK, "name": "会员中心会员"}], ["1"]),
        ([{**CLICK, "name": " "}], ["1"]),
        ([{**CLICK, "key": ""}], ["1"]),
        ([{"name": "服务", "sub_button": [CLICK] * 6}], ["1"]),
        ([{"name": "服务", "sub_button": [{**CLICK, "name": "二" * 21}]}], ["1.1"]),
        ([{"type": "view", "name": "商城", "url": "javascript:alert(1)"}], ["1"]),
        ([{"type": "view", "name": "商城", "url": "https://a.example/" + "x" * 1024}], ["1"]),
        ([{"type": "miniprogram", "name": "商城", "url": "https://a.example/"}], ["1"]),
        ([{"type": "nope", "name": "x"}], ["1"]),
        (["x"], ["1"]),
    ],
)
def test_menu_limits(db, menu, paths):
    assert [fault.path for fault in faults(menu)] == paths
