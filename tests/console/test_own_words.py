"""What Django would say or show in its own way is said and shown in the console's."""

import re

import pytest

from accounts.tenancy import brand_scope
from conversations.models import ReplyRule
from members.models import Member, RightsRequest
from tests.factories import AT

pytestmark = pytest.mark.django_db
RULES = "/b/lanyu/conversations/replyrule/"


def test_page_of_an_app_leads_home(as_owner):
    for app in ("welcomes", "touchpoints", "conversations"):
        answer = as_owner.get(f"/b/lanyu/{app}/")
        assert (answer.status_code, answer.url) == (302, "/b/lanyu/")


def test_saving_is_told_in_our_words(as_owner, ours):
    rule = {
        "account": ours.account.pk,
        "name": "停车",
        "trigger": "KEYWORD",
        "match": "EXACT",
        "words": "停车场在哪",
        "position": "60",
        "is_enabled": "on",
        "reply_kind": "TEXT",
        "text": "地下二层。",
        "pick": "ALL",
    }
    refused = as_owner.post(f"{RULES}add/", {**rule, "name": ""}).content.decode()
    saved = as_owner.post(f"{RULES}add/", rule, follow=True).content.decode()

    assert "没有保存，按下面的说明修改。" in refused
    assert re.search(r"回复规则「<a [^>]*>停车[^<]*</a>」已新建。", saved)


def test_rules_stand_in_the_order_in_which_a_follower_meets_them(as_owner, ours):
    with brand_scope(ours.brand.pk):
        ReplyRule.objects.all().delete()
        for trigger in ("DEFAULT", "CLICK", "KEYWORD", "REFOLLOW", "FOLLOW"):
            ReplyRule.objects.create(account=ours.account, name=f"规则{trigger}", trigger=trigger, updated_at=AT)
    html = as_owner.get(RULES).content.decode()

    places = [html.index(f"规则{each}") for each in ("FOLLOW", "REFOLLOW", "KEYWORD", "CLICK", "DEFAULT")]
    assert places == sorted(places)


def test_person_who_is_asked_for_their_data_is_answered_not_given_a_reply_text(as_owner, ours):
    with brand_scope(ours.brand.pk):
        RightsRequest.objects.create(
            member=Member.objects.first(), kind="COPY", state="OPEN", asked_at=AT, due_at=AT, channel="CONSOLE"
        )
    html = as_owner.get("/b/lanyu/").content.decode()

    assert "去答复" in html
    assert "回复内容" not in html


@pytest.mark.parametrize("page", ["", "add/", "{rule}/change/", "{rule}/history/"])
def test_titles_of_pages_end_with_the_brand(as_owner, ours, page):
    html = as_owner.get(RULES + page.format(rule=ours.rule.pk)).content.decode()

    assert re.search(r"<title>[^<]+ · 澜屿\s*</title>", html)
