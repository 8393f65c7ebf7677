"""Words of dialogues come before rules: forms and the test box say so. Welcomes are listed as they are tried."""

import re

import pytest

from accounts.tenancy import brand_scope
from conversations.models import Dialogue, ReplyRule
from conversations.services import save_dialogue
from tests.conversations.test_rule_pages import ADD, LIST, form, names, page
from tests.factories import AT, make_tag

DIALOGUES = "/b/lanyu/conversations/dialogue/"


@pytest.fixture
def as_owner(as_owner, settings):
    as_owner.cookies[settings.LANGUAGE_COOKIE_NAME] = "en"
    return as_owner


def talk(side, name, *words, publish=True):
    steps = [{"key": "1", "kind": "ASK", "text": "生日是哪天？", "answer": "BIRTHDAY"}]
    with brand_scope(side.brand.pk):
        dialogue = Dialogue(account=side.account, name=name, keywords=list(words), draft=steps)
        save_dialogue(dialogue=dialogue, at=AT, publish=publish)
        return Dialogue.objects.get(name=name)


def test_a_rule_whose_words_begin_a_dialogue_is_saved_only_after_that_was_shown(as_owner, ours, theirs):
    dialogue = talk(ours, "聊生日", "生日")
    talk(ours, "还没发布", "礼物", publish=False)
    talk(theirs, "灶生日", "生日")
    text = page(as_owner.post(ADD, form(ours, words="生日", match="EXACT")))
    assert "聊生日" in text
    assert f"{DIALOGUES}{dialogue.pk}/change/" in text
    assert "This rule would never answer." in text
    assert "Dialogues come before rules." in text
    assert "灶生日" not in text
    seen = re.search(r'name="overlap_seen" value="(\w+)"', text)[1]
    saved = as_owner.post(ADD, form(ours, words="生日", match="EXACT", overlap_seen=seen))
    assert (saved.status_code, names(ours)) == (302, ["新规则", "澜规则"])
    assert as_owner.post(ADD, form(ours, name="礼物规则", words="礼物", match="EXACT")).status_code == 302


def test_the_test_box_names_the_dialogue_that_answers_and_the_rule_that_comes_too_late(as_owner, ours):
    talk(ours, "问时间", "几点")
    said = page(as_owner.get(f"{LIST}?try=几点&try_kind=KEYWORD"))
    assert "The dialogue “问时间” begins:" in said
    assert "生日是哪天？" in said
    verdicts = said[said.index('data-testid="verdicts"') :]
    assert verdicts.index("begins this dialogue") < verdicts.index("the dialogue comes before it")
    with brand_scope(ours.brand.pk):
        Dialogue.objects.update(is_enabled=False)
    assert "问时间" not in page(as_owner.get(f"{LIST}?try=几点&try_kind=KEYWORD"))


def test_a_dialogue_says_once_which_rules_no_longer_answer(as_owner, ours):
    sent = {
        "account": ours.account.pk, "name": "问时间", "words": "几点", "is_enabled": "on", "publish": "on",
        "s1_kind": "ASK", "s1_text": "哪家店？", "s1_answer": "TEXT",
    }  # fmt: skip
    shown = as_owner.post(f"{DIALOGUES}add/", sent)
    text = page(shown)
    assert shown.status_code == 200
    assert "is answered by the rule “澜规则” now" in text
    seen = re.search(r'name="overlap_seen" value="([^"]+)"', text)[1]
    assert as_owner.post(f"{DIALOGUES}add/", sent | {"overlap_seen": seen}).status_code == 302
    free = sent | {"name": "别的", "words": "随便聊"}
    assert as_owner.post(f"{DIALOGUES}add/", free).status_code == 302


def test_welcomes_are_listed_in_the_order_in_which_they_are_tried(as_owner, ours):
    with brand_scope(ours.brand.pk):
        tag = make_tag("礼盒")
        for name, position, who in (
            ("欢迎大家", 1, {}),
            ("欢迎礼盒", 90, {"audience_kind": "tag", "audience_id": tag.pk}),
        ):
            ReplyRule.objects.create(
                account=ours.account, name=name, trigger="FOLLOW", text=name, position=position, updated_at=AT, **who
            )
    listed = page(as_owner.get(f"{LIST}?answers=FOLLOW"))
    assert listed.index("欢迎礼盒") < listed.index("欢迎大家")
