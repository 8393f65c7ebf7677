"""Pages of rules as operators use them: overlaps before saving, the test box, suggestions, records of visible people."""

import re

import pytest

from accounts.tenancy import brand_scope
from conversations.models import ReplyRecord, ReplyRule, Suggestion
from members.services import tag_members
from tests.factories import AT, make_follower, make_tag
from touchpoints.services import create_touchpoint

ADD = "/b/lanyu/conversations/replyrule/add/"
LIST = "/b/lanyu/conversations/replyrule/"


@pytest.fixture
def as_owner(as_owner, settings):
    as_owner.cookies[settings.LANGUAGE_COOKIE_NAME] = "en"
    return as_owner


def form(ours, **changes):
    return {
        "account": ours.account.pk, "name": "新规则", "trigger": "KEYWORD", "match": "CONTAINS", "words": "停车",
        "position": "50", "is_enabled": "on", "reply_kind": "TEXT", "text": "B2", "pick": "ALL", **changes,
    }  # fmt: skip


def page(answer):
    return re.sub(r"\s+", " ", answer.content.decode())


def names(ours):
    with brand_scope(ours.brand.pk):
        return sorted(ReplyRule.objects.values_list("name", flat=True))


def test_a_rule_that_overlaps_is_saved_only_after_the_overlap_was_shown(as_owner, ours, theirs):
    shown = as_owner.post(ADD, form(ours, words="几", match="CONTAINS"))
    assert shown.status_code == 200
    assert names(ours) == ["澜规则"]
    text = page(shown)
    assert "“几点”" in text
    assert "澜规则" in text
    assert "灶" not in text
    seen = re.search(r'name="overlap_seen" value="(\w+)"', text)[1]

    saved = as_owner.post(ADD, form(ours, words="几", match="CONTAINS", overlap_seen=seen))
    assert (saved.status_code, names(ours)) == (302, ["新规则", "澜规则"])


LARGE = ("a.{100}b.{100}c.{90}d", "e.{100}f.{90}g.{100}h")


def test_what_cannot_be_compared_is_said_before_a_rule_is_saved_and_stops_no_other(as_owner, ours):
    with brand_scope(ours.brand.pk):
        ReplyRule.objects.create(
            account=ours.account, name="大表达式", trigger="KEYWORD", match="REGEX", keywords=[LARGE[0], *"xyz"],
            reply_kind="TEXT", text="好", updated_at=AT,
        )  # fmt: skip
    typed = form(ours, words=LARGE[1], match="REGEX")
    live = page(as_owner.post(OVERLAPS, typed))
    assert "Together they are too large to be compared." in live
    assert "If both capture a message:" in live
    text = page(as_owner.post(ADD, typed))
    assert "Not saved yet: whether something else answers the same messages could not be compared." in text
    assert names(ours) == ["大表达式", "澜规则"]

    seen = re.search(r'name="overlap_seen" value="(\w+)"', text)[1]
    assert as_owner.post(ADD, {**typed, "overlap_seen": seen}).status_code == 302
    long = page(as_owner.post(ADD, form(ours, name="长词", words="长" * 1_900)))  # what was typed stays, too
    assert "Not saved yet" in long
    assert "长" * 1_900 in long


def test_rules_that_were_not_compared_are_counted(as_owner, ours, monkeypatch):
    monkeypatch.setattr("conversations.selectors.rules_to_compare.__kwdefaults__", {"except_for": None, "most": 1})
    with brand_scope(ours.brand.pk):
        for number in (1, 2):
            ReplyRule.objects.create(
                account=ours.account, name=f"r{number}", trigger="KEYWORD", match="EXACT", keywords=[f"词{number}"],
                reply_kind="TEXT", text="好", position=500, updated_at=AT,
            )  # fmt: skip
    said = "2 rules further down the order were not compared"
    live = page(as_owner.post(OVERLAPS, form(ours)))
    assert said in live
    assert "None of the rules that were compared captures these messages." in live
    assert said in page(as_owner.post(ADD, form(ours), follow=True))
    assert "新规则" in names(ours)


def test_another_overlap_than_the_one_shown_is_shown_again(as_owner, ours):
    text = page(as_owner.post(ADD, form(ours, words="几", match="CONTAINS")))
    seen = re.search(r'name="overlap_seen" value="(\w+)"', text)[1]
    again = as_owner.post(ADD, form(ours, words="几", match="CONTAINS", overlap_seen=seen, position="200"))
    assert (again.status_code, names(ours)) == (200, ["澜规则"])


def test_a_rule_is_put_before_the_one_it_overlaps_with(as_owner, ours):
    shown = page(as_owner.post(ADD, form(ours, words="几点", match="EXACT", position="200", put_before=ours.rule.pk)))
    assert "This rule answers, it comes first." in shown
    assert 'name="position" value="99"' in shown


def test_a_rule_without_overlap_is_saved_at_once_with_everything(as_owner, ours):
    answer = as_owner.post(
        ADD,
        form(
            ours, match="REGEX", words="^停车(费|场)\n免费停", who=f"tag:{ours.tag.pk}", days=["5", "6"],
            from_time="22:00", until_time="02:00", from_date="2025-06-01", until_date="2025-06-30", pick="ONE",
            m1_kind="NEWS", m1_title="停车指南", m1_url="https://lanyu.example.com/p", m1_text="B2",
        ),
    )  # fmt: skip
    assert answer.status_code == 302, page(answer)
    with brand_scope(ours.brand.pk):
        rule = ReplyRule.objects.get(name="新规则")
        assert (rule.keywords, rule.audience_kind, rule.audience_id) == (["^停车(费|场)", "免费停"], "tag", ours.tag.pk)
        assert (rule.weekdays, rule.pick, str(rule.from_time), str(rule.until_date)) == (
            [5, 6],
            "ONE",
            "22:00:00",
            "2025-06-30",
        )
        assert rule.more == [{"kind": "NEWS", "title": "停车指南", "url": "https://lanyu.example.com/p", "text": "B2"}]
    opened = page(as_owner.get(f"{LIST}{rule.pk}/change/"))
    assert "停车指南" in opened
    assert f'value="tag:{ours.tag.pk}" selected' in opened


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"match": "REGEX", "words": "(a+"}, "A bracket is not closed."),
        ({"match": "REGEX", "words": "x*"}, "captures every message"),
        ({"words": " , "}, "Write at least one keyword"),
        ({"text": ""}, "Write what is answered."),
        ({"text": "长" * 683}, "The text is too long: 2,049 of 2,048 bytes."),
        ({"from_time": "08:00"}, "Give both hours or none."),
        ({"from_date": "2025-06-02", "until_date": "2025-06-01"}, "The last day is before the first."),
        ({"reply_kind": "NEWS", "title": "x", "url": "javascript:alert(1)"}, "Enter a valid URL."),
        ({"reply_kind": "NEWS", "title": "x", "url": "ftp://a.example/"}, "A link begins with https://"),
        ({"reply_kind": "NEWS", "title": "x", "url": "https://a@b.example/"}, "A link has no user name"),
        ({"reply_kind": "NEWS", "title": "x", "url": "https://[x"}, "Enter a valid URL."),
        ({"reply_kind": "MINI", "title": "x", "mini_appid": "x", "mini_page": "p", "url": "https://a.example/"}, "begins with wx"),
        ({"reply_kind": "IMAGE", "text": ""}, "Choose a file of the library."),
        ({"m1_kind": "TEXT"}, "Write what is answered."),
        ({"who": "tag:999999"}, "Select a valid choice"),
        ({"who": "nothing:1"}, "Select a valid choice"),
    ],
)  # fmt: skip
def test_what_cannot_be_saved_says_why(as_owner, ours, changes, said):
    answer = as_owner.post(ADD, form(ours, **changes))
    assert answer.status_code == 200
    assert said in page(answer)
    assert names(ours) == ["澜规则"]


def test_another_brands_tag_cannot_be_an_audience(as_owner, ours, theirs):
    answer = as_owner.post(ADD, form(ours, who=f"tag:{theirs.tag.pk}"))
    assert "Select a valid choice" in page(answer)
    assert "灶标签" not in page(answer)


def test_the_test_box_asks_as_a_person_and_says_why_of_every_rule(as_owner, ours, theirs):
    with brand_scope(ours.brand.pk):
        tag = make_tag("老客")
        tag_members(member_ids=[ours.member.pk], tag_ids=[tag.pk], source="test", at=AT)
        ReplyRule.objects.create(
            account=ours.account, name="只给老客", trigger="KEYWORD", keywords=["几点"], text="老客九点", position=1,
            audience_kind="tag", audience_id=tag.pk, updated_at=AT,
        )  # fmt: skip
        make_follower(ours.account)
    stranger = page(as_owner.get(f"{LIST}?try=几点&try_kind=KEYWORD"))
    known = page(as_owner.get(f"{LIST}?try=几点&try_kind=KEYWORD&try_who=6721"))

    assert "Rule “澜规则” answers:" in stranger
    assert "Not for this person: it is for Tag “老客”." in stranger
    assert "Rule “只给老客” answers:" in known
    assert "Fits too, but a rule before it has answered." in known
    assert "灶" not in stranger + known


def test_a_suggestion_becomes_a_rule_or_is_left_aside(as_owner, ours, theirs):
    def suggest(side, keyword):
        with brand_scope(side.brand.pk):
            return Suggestion.objects.create(
                account=side.account, week=AT.date(), keyword=keyword, count=3, examples=["停车吗"]
            )

    first, second, foreign = suggest(ours, "停车"), suggest(ours, "发票"), suggest(theirs, "排号")
    listed = page(as_owner.get("/b/lanyu/conversations/unmatched/"))
    assert "停车" in listed
    assert "排号" not in listed

    opened = page(as_owner.get(f"{ADD}?suggestion={first.pk}"))
    assert re.search(r'name="words"[^>]*> ?停车<', opened)
    assert "排号" not in page(as_owner.get(f"{ADD}?suggestion={foreign.pk}"))
    as_owner.post(ADD, form(ours, suggestion=first.pk))
    as_owner.post("/b/lanyu/conversations/unmatched/", {"suggestion": second.pk})
    assert as_owner.post("/b/lanyu/conversations/unmatched/", {"suggestion": foreign.pk}).status_code == 404
    with brand_scope(ours.brand.pk):
        assert {row.keyword: row.state for row in Suggestion.objects.all()} == {"停车": "TAKEN", "发票": "IGNORED"}
    with brand_scope(theirs.brand.pk):
        assert Suggestion.objects.get().state == "OPEN"


def test_records_name_only_people_within_the_data_scope(ours, theirs, as_owner, narrow):
    with brand_scope(ours.brand.pk):
        far = make_follower(ours.account)
        type(far.member).objects.filter(pk=far.member_id).update(name="远方的人")
        ReplyRecord.objects.create(
            account=ours.account, follower=far, rule=ours.rule, push_id=1, trigger="KEYWORD", way="PASSIVE",
            why="IN_TIME", at=AT,
        )  # fmt: skip
    everybody = page(as_owner.get("/b/lanyu/conversations/replyrecord/"))
    assert "远方的人" in everybody
    assert "澜陈子涵" in everybody
    assert "WeChat heard it within five seconds." in everybody
    some = page(narrow.get("/b/lanyu/conversations/replyrecord/"))
    assert "远方的人" not in some
    assert "澜陈子涵" in some
    assert "灶" not in everybody + some


@pytest.fixture
def narrow(ours):
    """An analyst of one store."""
    from accounts.models import RoleGrant
    from accounts.roles import DataScope, Role
    from stores.models import StoreGrant
    from tests.console.conftest import signed_in
    from tests.factories import make_staff

    with brand_scope(ours.brand.pk):
        user = make_staff("narrow", Role.ANALYST, scope=DataScope.STORES)
        StoreGrant.objects.create(grant=RoleGrant.objects.get(staff_user=user), store=ours.store)
    return signed_in(user)


OVERLAPS = "/b/lanyu/conversations/rules/overlaps/"


def test_overlaps_are_shown_while_a_rule_is_typed(as_owner, ours, theirs):
    typed = page(as_owner.post(OVERLAPS, form(ours, words="几", text="")))
    assert "“几点”" in typed
    assert "澜规则" in typed
    assert "灶" not in typed
    assert "No other rule captures these messages." in page(as_owner.post(OVERLAPS, form(ours, words="停车")))
    assert names(ours) == ["澜规则"]


def test_while_nothing_can_be_compared_nothing_is_said(as_owner, ours):
    for changes in ({"words": ""}, {"words": "(a+", "match": "REGEX"}, {"trigger": "FOLLOW"}, {"is_enabled": ""}):
        answer = as_owner.post(OVERLAPS, form(ours, **({"words": "几"} | changes)))
        assert (answer.status_code, page(answer).strip()) == (200, ""), changes


def test_a_rule_that_is_edited_does_not_overlap_with_itself(as_owner, ours, theirs):
    typed = form(ours, words="几点", match="EXACT", name="澜规则")
    assert "No other rule captures" in page(as_owner.post(f"{OVERLAPS}?rule={ours.rule.pk}", typed))
    assert "澜规则" in page(as_owner.post(OVERLAPS, typed))
    foreign = theirs.rule.pk if theirs.rule.pk != ours.rule.pk else 999_999
    assert as_owner.post(f"{OVERLAPS}?rule={foreign}", typed).status_code == 404


def test_overlaps_while_typing_are_for_those_who_edit(as_guide, ours):
    assert as_guide.post(OVERLAPS, form(ours)).status_code == 403


@pytest.mark.parametrize("kind", ["FOLLOW", "REFOLLOW"])
def test_welcome_of_a_code_is_tried_by_the_name_on_its_sign(as_owner, ours, theirs, kind):
    with brand_scope(ours.brand.pk):
        code = create_touchpoint(name="柜台", account=ours.account, at=AT, welcome="柜台欢迎你")
    with brand_scope(theirs.brand.pk):
        create_touchpoint(name="灶台", account=theirs.account, at=AT, welcome="灶台欢迎你")

    by_name = page(as_owner.get(f"{LIST}?try=柜台&try_kind={kind}"))
    by_scene = page(as_owner.get(f"{LIST}?try={code.scene}&try_kind={kind}"))
    foreign = page(as_owner.get(f"{LIST}?try=灶台&try_kind={kind}"))

    assert "柜台欢迎你" in by_name
    assert "柜台欢迎你" in by_scene
    assert "欢迎你" not in foreign
