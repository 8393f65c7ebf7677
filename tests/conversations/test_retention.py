"""Answers of talks leave by their clock; the talks stay and are counted."""

from datetime import timedelta

import pytest

from accounts.tenancy import brand_scope
from conversations.models import Dialogue, DialogueRun, DialogueVersion, RunState
from conversations.services import forget_old_answers
from tests.factories import AT, make_account, make_follower

DAY = timedelta(days=1)


def talk(account, state, at):
    dialogue, _ = Dialogue.objects.get_or_create(account=account, name="生日", defaults={"updated_at": AT})
    version, _ = DialogueVersion.objects.get_or_create(dialogue=dialogue, number=1, defaults={"published_at": AT})
    return DialogueRun.objects.create(
        version=version, follower=make_follower(account), step="a", answers={"a": "0817"}, state=state, started_at=at,
        updated_at=at,
    ).pk  # fmt: skip


@pytest.fixture
def account(in_brand):
    return make_account()


def left():
    return {
        pk: (state, bool(answers)) for pk, state, answers in DialogueRun.objects.values_list("pk", "state", "answers")
    }


@pytest.mark.parametrize("state", [RunState.ACTIVE, RunState.LEFT, RunState.GAVE_UP])
def test_answers_of_an_unfinished_talk_leave_after_30_days(account, state):
    old, young = talk(account, state, AT - 30 * DAY), talk(account, state, AT - 30 * DAY + timedelta(seconds=1))
    assert forget_old_answers(at=AT) == 1
    gone = RunState.LEFT if state == RunState.ACTIVE else state
    assert left() == {old: (gone, False), young: (state, True)}
    assert forget_old_answers(at=AT) == 0


def test_answers_of_a_finished_talk_leave_after_180_days(account):
    old, young = talk(account, RunState.DONE, AT - 180 * DAY), talk(account, RunState.DONE, AT - 179 * DAY)
    assert forget_old_answers(at=AT) == 1
    assert left() == {old: ("DONE", False), young: ("DONE", True)}


def test_another_brands_talks_keep_their_answers(brand, other_brand):
    for each in (brand, other_brand):
        with brand_scope(each.pk):
            talk(make_account(), RunState.LEFT, AT - 99 * DAY)
    with brand_scope(brand.pk):
        assert forget_old_answers(at=AT) == 1
    with brand_scope(other_brand.pk):
        assert [kept for _state, kept in left().values()] == [True]


def test_the_form_of_a_dialogue_states_the_clock(as_owner, ours, settings):
    as_owner.cookies[settings.LANGUAGE_COOKIE_NAME] = "en"
    text = as_owner.get("/b/lanyu/conversations/dialogue/add/").content.decode()
    assert "deleted 30 days after the last message, those of finished ones after 180 days" in text
