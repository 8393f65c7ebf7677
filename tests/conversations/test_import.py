"""Rules from a spreadsheet: every fault by row and column, overlaps before anything is saved, twice is once."""

import re
from datetime import date, time

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils.translation import override

from accounts.models import AuditEntry
from accounts.tenancy import brand_scope
from common.spreadsheets import read_table, write_csv, write_xlsx
from conversations.models import Dialogue, DialogueVersion, ReplyRule
from conversations.overlaps import NEVER, SOME
from conversations.services import plan_import
from conversations.services.imports import CHANGED, NEW, SAME
from tests.factories import AT, make_account, make_tag
from wechat_gateway.models import OfficialAccount

PAGE = "/b/lanyu/conversations/rules/import/"
EXPORT = "/b/lanyu/conversations/rules/export/"
HEAD = ["名称", "触发条件", "匹配方式", "关键词", "回复类型", "文字"]


@pytest.fixture(autouse=True)
def english():
    with override("en"):
        yield


@pytest.fixture
def as_owner(as_owner, settings):
    as_owner.cookies[settings.LANGUAGE_COOKIE_NAME] = "en"
    return as_owner


def text_of(answer):
    return re.sub(r"\s+", " ", answer.content.decode())


def upload(table, write=write_csv, name="rules.csv"):
    return SimpleUploadedFile(name, write(table), content_type="application/octet-stream")


def look(client, ours, table, **kwargs):
    return client.post(PAGE, {"account": ours.account.pk, "act": "look", "file": upload(table, **kwargs)})


def confirm(client, ours, shown):
    text = shown.content.decode()
    hidden = {name: re.search(rf'name="{name}" value="([^"]*)"', text)[1] for name in ("carried", "digest")}
    return client.post(PAGE, {"account": ours.account.pk, "act": "import", **hidden})


def rules(side):
    with brand_scope(side.brand.pk):
        return {row.name: row for row in ReplyRule.objects.order_by("pk")}


def version(side):
    with brand_scope(side.brand.pk):
        return OfficialAccount.objects.get(pk=side.account.pk).replies_version


RULE = ["停车", "关键词回复", "半匹配", "停车、车位", "文字", "B2"]


@pytest.mark.parametrize(
    ("write", "name"), [(write_csv, "r.csv"), (lambda table: write_xlsx(table, sheet="规则"), "r.xlsx")]
)
def test_a_file_is_looked_at_first_and_then_imported(as_owner, ours, theirs, write, name):
    before = rules(theirs)
    shown = look(as_owner, ours, [HEAD, RULE], write=write, name=name)
    assert 'data-testid="made">1<' in text_of(shown)
    assert list(rules(ours)) == ["澜规则"]  # nothing is saved by looking

    assert confirm(as_owner, ours, shown).status_code == 302
    made = rules(ours)["停车"]
    assert (made.trigger, made.match, made.keywords, made.reply_kind, made.text, made.position, made.is_enabled) == (
        "KEYWORD", "CONTAINS", ["停车", "车位"], "TEXT", "B2", 100, True,
    )  # fmt: skip
    assert list(rules(theirs)) == list(before)
    with brand_scope(ours.brand.pk):
        assert AuditEntry.objects.filter(action="import rules").count() == 1


def test_a_file_imported_again_changes_nothing(as_owner, ours):
    confirm(as_owner, ours, look(as_owner, ours, [HEAD, RULE]))
    stood = version(ours), rules(ours)["停车"].updated_at
    again = look(as_owner, ours, [HEAD, RULE])
    assert 'data-testid="same">1<' in text_of(again)
    assert "There is nothing to import." in text_of(again)
    confirm(as_owner, ours, again)
    assert (version(ours), rules(ours)["停车"].updated_at) == stood
    assert len(rules(ours)) == 2


def test_what_is_exported_is_imported_as_it_was(as_owner, ours, theirs):
    with brand_scope(ours.brand.pk):
        tag = make_tag("老客")
        ReplyRule.objects.create(
            account=ours.account, name="=危险", trigger="KEYWORD", match="REGEX", keywords=["^停(车|放)", "a,b"], text="+1",
            position=7, audience_kind="tag", audience_id=tag.pk, weekdays=[0, 6], from_time=time(22), until_time=time(2),
            from_date=date(2025, 6, 1), until_date=date(2025, 6, 30), pick="ONE", is_enabled=False, updated_at=AT,
            more=[{"kind": "NEWS", "title": "指南", "url": "https://lanyu.example.com/p", "text": ""}],
        )  # fmt: skip
    for kind in ("xlsx", "csv"):
        body = as_owner.get(f"{EXPORT}?account={ours.account.pk}&as={kind}").content
        assert "灶" not in str(read_table(body))
        with brand_scope(ours.brand.pk):
            plan = plan_import(account=ours.account, table=read_table(body))
            assert (plan.faults, [step.does for step in plan.steps]) == ((), [SAME, SAME])
            ReplyRule.objects.filter(name="=危险").update(weekdays=[1], more=[])
            plan = plan_import(account=ours.account, table=read_table(body))
            assert [step.columns for step in plan.of(CHANGED)] == [["more", "weekdays"]]
            ReplyRule.objects.filter(name="=危险").update(weekdays=[0, 6], more=plan.of(CHANGED)[0].rule.more)


def test_an_exported_cell_is_no_formula(as_owner, ours):
    with brand_scope(ours.brand.pk):
        ReplyRule.objects.filter(pk=ours.rule.pk).update(name='=HYPERLINK("https://evil.example","x")', text="@SUM(A1)")
    body = as_owner.get(f"{EXPORT}?account={ours.account.pk}&as=csv").content.decode("utf-8-sig")
    assert not re.search(r'(^|,|")[=@]', body, re.MULTILINE)
    assert "'=HYPERLINK" in body


@pytest.mark.parametrize(
    ("cells", "fault"),
    [
        ({"触发条件": "随便"}, (2, "trigger", "“随便” is none of the choices.")),
        ({"触发条件": ""}, (2, "trigger", "This cell is empty.")),
        ({"关键词": ""}, (2, "keywords", "Write at least one keyword (for a menu button: its key).")),
        ({"匹配方式": "正则匹配", "关键词": "(a+"}, (2, "keywords", "A bracket is not closed.")),
        (
            {"回复类型": "图文卡片", "链接": "https://a.example/"},
            (2, "title", "An article card needs a title and a link."),
        ),
        ({"文字": ""}, (2, "text", "Write what is answered.")),
        ({"文字": "长" * 683}, (2, "text", "The text is too long: 2,049 of 2,048 bytes.")),
        ({"名称": ""}, (2, "name", "This field cannot be blank.")),
        ({"名称": "长" * 41}, (2, "name", "at most 40 characters")),
        ({"星期": "周八"}, (2, "weekdays", "“周八” is no weekday.")),
        ({"开始时间": "25:00"}, (2, "from_time", "is no time; write 22:00.")),
        ({"开始时间": "08:00"}, (2, "until_time", "Give both hours or none.")),
        ({"开始日期": "2025-02-30"}, (2, "from_date", "is no day; write 2025-06-01.")),
        ({"开始日期": "2025-06-02", "结束日期": "2025/6/1"}, (2, "until_date", "The last day is before the first.")),
        ({"顺序": "-1"}, (2, "position", "“-1” is no whole number.")),
        ({"启用": "也许"}, (2, "is_enabled", "Write yes or no.")),
        ({"仅限": "标签：没有"}, (2, "audience", "is not there.")),
        ({"编号": "999999"}, (2, "number", "No rule of this account has the number 999999.")),
    ],
)
def test_every_fault_names_its_row_and_column_and_nothing_is_saved(as_owner, ours, cells, fault):
    values = dict(zip(HEAD, RULE, strict=True)) | cells
    table = [list(values), list(values.values())]
    with brand_scope(ours.brand.pk):
        plan = plan_import(account=ours.account, table=table)
    found = [(each.row, each.column, each.message) for each in plan.faults]
    assert [each[:2] for each in found] == [fault[:2]]
    assert fault[2] in found[0][2]
    shown = look(as_owner, ours, table)
    assert 'data-testid="faults"' in text_of(shown)
    assert 'value="import"' not in text_of(shown)
    assert list(rules(ours)) == ["澜规则"]


@pytest.mark.parametrize(
    ("table", "faults"),
    [
        ([], [(1, "name", "The file is empty.")]),
        ([HEAD], [(2, "name", "Below the names of the columns stands no rule.")]),
        ([[*HEAD, "谁知道"], RULE], [(1, "谁知道", "There is no such column.")]),
        ([[*HEAD, "Name"], RULE], [(1, "name", "The column stands twice.")]),
        ([["名称"], ["停车"]], [(1, "trigger", "The column is missing."), (1, "kind", "The column is missing.")]),
        ([HEAD, RULE, RULE], [(3, "name", "Row 2 is the same rule.")]),
        ([HEAD, *([RULE] * 1001)], [(1002, "name", "The file has 1,001 rules; at most 1,000 are taken at once.")]),
    ],
)
def test_a_file_that_does_not_fit_as_a_whole_says_so(ours, table, faults):
    with brand_scope(ours.brand.pk):
        plan = plan_import(account=ours.account, table=table)
    assert [(each.row, each.column, each.message) for each in plan.faults] == faults


def test_overlaps_within_the_file_and_with_standing_rules_are_shown_before_saving(as_owner, ours, theirs):
    shown = look(
        as_owner,
        ours,
        [
            HEAD,
            ["全部停车", "关键词回复", "半匹配", "停", "文字", "A"],
            ["停车费", "关键词回复", "全匹配", "停车费", "文字", "B"],
            ["几点", "关键词回复", "正则匹配", "^几点(开|关)?$", "文字", "C"],
            ["菜单", "菜单按钮", "", "STOP", "文字", "D"],
        ],
    )
    text = text_of(shown)
    assert "“停车费”" in text
    assert "“停车费” would never answer." in text  # the one before it in the file takes all of it
    assert "“几点”" in text
    assert "澜规则" in text
    assert "灶" not in text
    assert list(rules(ours)) == ["澜规则"]
    with brand_scope(ours.brand.pk):
        plan = plan_import(account=ours.account, table=[HEAD, ["几点", "关键词回复", "全匹配", "几点", "文字", "C"]])
        assert [(pair.rule.name, pair.found.other.name) for pair in plan.overlaps] == [("几点", "澜规则")]


def test_words_that_begin_a_dialogue_are_shown_before_saving(as_owner, ours, theirs):
    for side, name in ((ours, "生日与爱好"), (theirs, "灶生日")):
        with brand_scope(side.brand.pk):
            begun = Dialogue.objects.create(
                account=side.account, name=name, keywords=["生日"], is_enabled=True, updated_at=AT
            )
            DialogueVersion.objects.create(dialogue=begun, number=1, steps=[], published_at=AT)
    table = [
        HEAD,
        ["生日礼", "关键词回复", "半匹配", "生日", "文字", "A"],
        ["只有生日", "关键词回复", "全匹配", "生日", "文字", "B"],
        ["停车", "关键词回复", "全匹配", "停车", "文字", "C"],
    ]
    with brand_scope(ours.brand.pk):
        plan = plan_import(account=ours.account, table=table)
        begun = Dialogue.objects.get(name="生日与爱好")
    found = {
        (pair.rule.name, pair.found.other.name): (pair.found.share, pair.found.winner.name) for pair in plan.overlaps
    }
    assert found == {
        ("只有生日", "生日与爱好"): (NEVER, "生日与爱好"),
        ("生日礼", "生日与爱好"): (SOME, "生日与爱好"),
        ("生日礼", "只有生日"): (NEVER, "生日礼"),
    }
    shown = look(as_owner, ours, table)
    assert f"/conversations/dialogue/{begun.pk}/change/" in text_of(shown)
    assert text_of(shown).count("Dialogues come before rules.") == 2
    with brand_scope(ours.brand.pk):
        Dialogue.objects.update(keywords=["停车"])
    assert "the rules have changed since you looked at the file" in text_of(confirm(as_owner, ours, shown))


def test_what_was_not_compared_is_said_even_when_nothing_overlaps(as_owner, ours, monkeypatch):
    monkeypatch.setattr("conversations.services.imports.MOST_COMPARED", 1)
    monkeypatch.setattr("conversations.services.imports._MOST_HARD", 1)
    with brand_scope(ours.brand.pk):
        for number in (1, 2):
            ReplyRule.objects.create(
                account=ours.account, name=f"r{number}", trigger="KEYWORD", match="CONTAINS", keywords=[f"词{number}"],
                reply_kind="TEXT", text="好", position=500, updated_at=AT,
            )  # fmt: skip
        ReplyRule.objects.create(
            account=ours.account,
            name="按钮",
            trigger="CLICK",
            keywords=["K"],
            reply_kind="TEXT",
            text="好",
            updated_at=AT,
        )
    table = [
        HEAD,
        ["甲", "关键词回复", "正则匹配", "^甲$", "文字", "A"],
        ["乙", "关键词回复", "正则匹配", "^(长{90}){2}$", "文字", "B"],
        ["丙", "关键词回复", "半匹配", "长" * 700, "文字", "C"],
    ]
    text = text_of(look(as_owner, ours, table))
    assert 'data-testid="plan"' in text
    assert "2 rules further down the order were not compared" in text  # of three keyword rules: buttons do not count
    assert "pairs with expressions were not compared" in text


def test_rules_that_changed_meanwhile_are_shown_again_before_anything_is_imported(as_owner, ours):
    shown = look(as_owner, ours, [HEAD, RULE])
    with brand_scope(ours.brand.pk):
        ReplyRule.objects.create(
            account=ours.account,
            name="先来",
            trigger="KEYWORD",
            match="CONTAINS",
            keywords=["车位"],
            text="x",
            updated_at=AT,
        )
    again = confirm(as_owner, ours, shown)
    assert again.status_code == 200
    assert "the rules have changed since you looked at the file" in text_of(again)
    assert "先来" in text_of(again)
    assert sorted(rules(ours)) == sorted(["澜规则", "先来"])
    assert confirm(as_owner, ours, again).status_code == 302
    assert "停车" in rules(ours)


def test_what_was_looked_at_cannot_be_moved_to_another_account_or_brand(as_owner, ours, theirs):
    shown = look(as_owner, ours, [HEAD, RULE])
    with brand_scope(ours.brand.pk):
        other = make_account(appid="wxbbbbbbbbbbbbbbbb")
    carried = re.search(r'name="carried" value="([^"]*)"', shown.content.decode())[1]
    digest = re.search(r'name="digest" value="([^"]*)"', shown.content.decode())[1]
    sent = {"act": "import", "carried": carried, "digest": digest}
    assert as_owner.post(PAGE, {**sent, "account": other.pk}).status_code == 404
    assert as_owner.post(PAGE, {**sent, "account": theirs.account.pk}).status_code == 404
    forged = as_owner.post(PAGE, {**sent, "carried": carried[:-2] + "xx", "account": ours.account.pk})
    assert "Choose the file again." in text_of(forged)
    assert list(rules(ours)) == ["澜规则"]


def test_another_brands_rule_cannot_be_named_by_its_number(ours, theirs):
    with brand_scope(theirs.brand.pk):
        foreign = ReplyRule.objects.get()
        for _number in range(3):
            foreign.pk = None
            foreign.save()
    with brand_scope(ours.brand.pk):
        plan = plan_import(account=ours.account, table=[["编号", *HEAD], [str(foreign.pk), *RULE]])
    assert [(fault.column, plan.steps) for fault in plan.faults] == [("number", ())]


@pytest.mark.parametrize("body", [b"", b"PK\x03\x04x", b"\xff\xff\xff", b"x" * 2_000_001, None])
def test_what_is_no_table_is_refused_with_the_way_out(as_owner, ours, body):
    files = {} if body is None else {"file": SimpleUploadedFile("r.xlsx", body or b" ")}
    answer = as_owner.post(PAGE, {"account": ours.account.pk, "act": "look", **files})
    assert answer.status_code == 200
    assert "zy-errors" in text_of(answer) or 'data-testid="faults"' in text_of(answer)


def test_a_spreadsheets_numbers_for_days_and_times_are_understood(ours):
    table = [
        [*HEAD, "开始时间", "结束时间", "开始日期", "星期", "顺序"],
        [*RULE, "0.4375", "0.75", "45809", "1、周日", "5.0"],
    ]
    with brand_scope(ours.brand.pk):
        plan = plan_import(account=ours.account, table=table)
    rule = plan.of(NEW)[0].rule
    assert (rule.from_time, rule.until_time, rule.from_date, rule.weekdays, rule.position) == (
        time(10, 30), time(18), date(2025, 6, 1), [0, 6], 5,
    )  # fmt: skip


def test_an_analyst_may_export_and_not_import(ours, as_guide):
    assert as_guide.get(PAGE).status_code == 403
    assert as_guide.post(PAGE, {"account": ours.account.pk, "act": "look"}).status_code == 403
