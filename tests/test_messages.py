"""The message catalogues: complete, in step with the code, and free of words that the glossary bans."""

import gettext
import re

import pytest
from django.utils import translation

from scripts import messages

#: docs/glossary.md says what is used instead.
BANNED_ZH = (
    "登陆",
    "帐号",
    "帐户",
    "其它",
    "撤消",
    "取关",
    "租户",
    "商户",
    "分群",
    "人群包",
    "销售",
    "您",
    "！",
    "哦",
    "呢。",
    "亲，",
)
BANNED_EN = ("tenant", "merchant", "fan ", "fans", "subscriber", "openId", "unionId")


def catalogue(locale):
    return messages.read(messages.folder(locale) / "django.po", locale)


def entries(locale):
    return [(message.id, form) for message in catalogue(locale) if message.id for form in messages._said(message)]


def test_catalogues_are_complete_merged_and_compiled():
    assert messages.run(check=True) == []


def test_what_a_rule_answers_to_has_one_word_in_form_list_and_file():
    from conversations.admin.rules import ReplyRuleAdmin
    from conversations.sheets import COLUMNS

    with translation.override("zh-hans"):
        form, column = ReplyRuleAdmin.field_labels["trigger"], ReplyRuleAdmin.answers_to.short_description
        assert [str(form), str(column), str(COLUMNS["trigger"])] == ["触发条件"] * 3


def test_ways_of_matching_are_called_as_the_glossary_does():
    from conversations.models import Match

    with translation.override("zh-hans"):
        assert [str(each.label) for each in Match] == ["全匹配", "开头匹配", "半匹配", "正则匹配"]


def test_what_cannot_be_taken_back_is_revoked_and_never_turned_off():
    revoked = [(text, form) for text, form in entries("zh_Hans") if re.search(r"\brevoke", str(text), re.IGNORECASE)]

    assert len(revoked) > 5
    assert [pair for pair in revoked if "吊销" not in pair[1] and "%(revoked)s" not in pair[0]] == []


def test_locations_are_answered_in_chinese():
    from stores.inbound import distance

    with translation.override("zh-hans"):
        assert distance(848.0) == "850 米"
        assert distance(1234.0) == "1.2 公里"
        assert translation.gettext("The nearest open stores:") == "最近的营业门店："
    with translation.override("en"):
        assert distance(1234.0) == "1.2 km"


def test_every_error_of_wechat_says_why_and_what_to_do_in_chinese():
    from wechat_gateway import errcodes

    with translation.override("zh-hans"):
        for code in [*errcodes.known_codes(), -7, 99999]:
            explanation = errcodes.explain(code)
            for text in (str(explanation.cause), str(explanation.action)):
                assert re.search(r"[\u4e00-\u9fff]", text), (code, text)


def test_chinese_uses_the_words_of_the_glossary():
    found = [(msgid, form) for msgid, form in entries("zh_Hans") if any(word in form for word in BANNED_ZH)]
    assert found == []


def test_chinese_does_not_ask_please():
    assert [
        (msgid, form) for msgid, form in entries("zh_Hans") if form.startswith("请") and not form.startswith("请求")
    ] == []


def test_english_uses_the_words_of_the_glossary():
    assert [msgid for msgid, form in entries("en") if any(word in form.lower() for word in BANNED_EN)] == []


def test_chinese_has_a_space_between_characters_and_latin_letters():
    glued = re.compile(r"[\u4e00-\u9fff][A-Za-z0-9]|[A-Za-z0-9][\u4e00-\u9fff]")
    placeholders = re.compile(r"%\(\w+\)[sd]|%%?[sd]|\{[^}]*\}|<[^>]*>")
    found = [form for _, form in entries("zh_Hans") if glued.search(placeholders.sub("·", form))]
    assert found == []


@pytest.mark.parametrize(
    ("msgid", "said", "fault"),
    [
        ("%(count)s people", "", "no translation"),
        ("%(count)s people", "%(number)s 人", "placeholders differ"),
        ("%(count)s people", "人", "placeholders differ"),
        ("{name} is here", "{nom} 在", "placeholders differ"),
        ("100%% done", "100% 完成", "placeholders differ"),
    ],
)
def test_check_finds(msgid, said, fault):
    built = messages.build("zh_Hans", [messages.Text(msgid)], {(msgid, ""): (said,)})

    assert [fault in line for line in messages.faults(built, "zh_Hans")] == [True]


def test_python_texts_follow_aliases_contexts_and_plurals():
    source = """
from django.utils.translation import gettext as _, ngettext, pgettext_lazy as p
_("one"); ngettext("%(n)s day", "%(n)s days", 3); p("moment", "Changed"); __("not marked")
_("two " "parts")
"""
    assert set(messages.python_texts(source)) == {
        messages.Text("one"),
        messages.Text("%(n)s day", plural="%(n)s days"),
        messages.Text("Changed", context="moment"),
        messages.Text("two parts"),
    }


def test_template_texts_are_found_in_tags_arguments_and_blocks():
    source = """{% load i18n %}
    <p title="{% translate "Title" %}">{% include "x.html" with body=_("Body") %}</p>
      {% blocktranslate count n=2 %}{{ n }} day{% plural %}{{ n }} days{% endblocktranslate %}
  {% translate "Stop" context "campaign" %}"""

    assert set(messages.template_texts(source)) == {
        messages.Text("Title"),
        messages.Text("Body"),
        messages.Text("%(n)s day", plural="%(n)s days"),
        messages.Text("Stop", context="campaign"),
    }


def test_texts_of_other_versions_of_unfold_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(messages, "borrowed_texts", lambda: {messages.Text("Toggle sidebar")})
    places = tree(tmp_path, '_("Store")')
    messages.run(check=False, **places)

    monkeypatch.setattr(messages, "borrowed_texts", lambda: {messages.Text("Undo")})
    messages.run(check=False, **places)

    kept = messages.read(tmp_path / "locale/en/LC_MESSAGES/django.po", "en")
    assert [message.id for message in kept if message.id] == ["Store", "Toggle sidebar", "Undo"]


def tree(tmp_path, source):
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "texts.py").write_text(f"from django.utils.translation import gettext as _\n{source}\n")
    (tmp_path / "locale" / "parts").mkdir(parents=True)
    return {"base": tmp_path / "locale", "root": tmp_path}


def test_parts_are_merged_compiled_and_cleared_away(tmp_path, monkeypatch):
    monkeypatch.setattr(messages, "borrowed_texts", set)
    places = tree(tmp_path, '_("Store")')
    part = tmp_path / "locale" / "parts" / "stores.po"
    part.write_text('msgid "Store"\nmsgstr "门店"\n\nmsgid "Gone"\nmsgstr "没有了"\n')

    waiting = messages.run(check=True, **places)
    left = messages.run(check=False, **places)

    assert "locale/parts/stores.po: not merged yet; run `make messages`" in waiting
    assert left == []
    assert messages.run(check=True, **places) == []
    assert not part.exists()
    with (tmp_path / "locale/zh_Hans/LC_MESSAGES/django.mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    assert compiled.gettext("Store") == "门店"
    assert compiled.gettext("Gone") == "Gone"


def test_check_tells_a_stale_compilation_and_a_new_text(tmp_path, monkeypatch):
    monkeypatch.setattr(messages, "borrowed_texts", set)
    places = tree(tmp_path, '_("Store")')
    (tmp_path / "locale" / "parts" / "stores.po").write_text('msgid "Store"\nmsgstr "门店"\n')
    messages.run(check=False, **places)
    compiled = tmp_path / "locale/zh_Hans/LC_MESSAGES/django.mo"

    compiled.write_bytes(compiled.read_bytes()[:-1])
    assert messages.run(check=True, **places) == [
        "locale/zh_Hans/LC_MESSAGES/django.mo: out of date; run `make messages`"
    ]

    messages.run(check=False, **places)
    (tmp_path / "app" / "more.py").write_text('from django.utils.translation import gettext\ngettext("Guide")\n')
    assert "zh_Hans: no translation: 'Guide'" in messages.run(check=True, **places)
