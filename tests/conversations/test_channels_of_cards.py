"""Cards and buttons that open a mini program carry the scene of a channel; whoever opens it counts there."""

import re

import pytest

from accounts.tenancy import brand_scope
from conversations.answers import passive_of
from conversations.engine import contents_of
from conversations.models import Menu, ReplyRule
from conversations.services import ask_to_publish
from members.services.people import new_member
from tests.factories import AT, make_follower, make_mini_program
from touchpoints.errors import NoSuchScene, NotInTree
from touchpoints.models import MiniCode, SentBy, Touch
from touchpoints.selectors import channels_by_scene, scene_in, without_scene
from touchpoints.services import (
    archive_branch,
    create_mini_code,
    create_touchpoint,
    page_that_counts,
    record_opening,
    revoke_mini_code,
)

ADD = "/b/lanyu/conversations/replyrule/add/"
LIST = "/b/lanyu/conversations/replyrule/"
MENU = "/b/lanyu/conversations/menu/"


@pytest.fixture
def as_owner(as_owner, settings):
    as_owner.cookies[settings.LANGUAGE_COOKIE_NAME] = "en"
    return as_owner


@pytest.fixture
def shop(ours, theirs):
    """A channel without a code of its own, and a connected mini program; the other brand has the same."""
    for side in (ours, theirs):
        with brand_scope(side.brand.pk):
            side.program = make_mini_program()
            side.words = create_touchpoint(name=f"{side.brand.name}关键词", at=AT)
    return ours


def form(shop, **changes):
    return {
        "account": shop.account.pk, "name": "逛商城", "trigger": "KEYWORD", "match": "EXACT", "words": "逛逛",
        "position": "50", "is_enabled": "on", "reply_kind": "MINI", "title": "商城", "pick": "ALL",
        "mini_appid": shop.program.appid, "mini_page": "pages/home/index?from=chat", "url": "https://lanyu.example.com/m",
        "mini_channel": shop.words.pk, **changes,
    }  # fmt: skip


def page(answer):
    return re.sub(r"\s+", " ", answer.content.decode())


def rule_of(shop, name="逛商城"):
    with brand_scope(shop.brand.pk):
        return ReplyRule.objects.get(name=name)


def opened(shop, scene, member, opening="0f5b3c1e9a7d4428"):
    return record_opening(member_id=member.pk, appid=shop.program.appid, scene=scene, opening=opening, at=AT)[0]


@pytest.mark.parametrize(
    ("trigger", "by", "said"),
    [
        ("KEYWORD", "KEYWORD", "Opened the mini program from the keyword reply “逛商城” (channel “澜屿关键词”)"),
        ("FOLLOW", "WELCOME", "Opened the mini program from the welcome “逛商城” (channel “澜屿关键词”)"),
        ("REFOLLOW", "WELCOME", "Opened the mini program from the welcome “逛商城” (channel “澜屿关键词”)"),
        ("CLICK", "MENU", "Opened the mini program from the menu “逛商城” (channel “澜屿关键词”)"),
        ("DEFAULT", "REPLY", "Opened the mini program from the automatic reply “逛商城” (channel “澜屿关键词”)"),
    ],
)
def test_whoever_opens_the_card_of_a_reply_counts_for_its_channel(as_owner, shop, trigger, by, said):
    answer = as_owner.post(ADD, form(shop, trigger=trigger))
    assert answer.status_code == 302, page(answer)

    row = rule_of(shop)
    with brand_scope(shop.brand.pk):
        scene = scene_in(row.mini_page)
        assert row.mini_page == f"pages/home/index?from=chat&scene={scene}"
        assert passive_of(contents_of(row)[0]).path == row.mini_page
        member = make_follower(shop.account, at=AT).member
        touch = opened(shop, scene, member)
        assert (touch.kind, touch.case, touch.touchpoint_id) == ("OPEN", "FOLLOWING", shop.words.pk)
        assert (touch.mini_code.sent_by, touch.mini_code.sender) == (by, "逛商城")
    assert said in page(as_owner.get(f"/b/lanyu/members/member/{member.pk}/change/"))
    channel = page(as_owner.get(f"/b/lanyu/touchpoints/touchpoint/{shop.words.pk}/change/"))
    assert channel.count("逛商城") >= 2  # the card, and who came by it
    assert scene in channel


def test_the_form_shows_page_and_channel_apart_and_keeps_the_scene(as_owner, shop):
    as_owner.post(ADD, form(shop))
    row = rule_of(shop)
    html = page(as_owner.get(f"{LIST}{row.pk}/change/"))
    assert 'value="pages/home/index?from=chat"' in html
    assert f'<option value="{shop.words.pk}" selected>' in html

    assert as_owner.post(f"{LIST}{row.pk}/change/", form(shop, text="x", title="商城 2")).status_code == 302
    assert rule_of(shop).mini_page == row.mini_page
    assert as_owner.post(f"{LIST}{row.pk}/change/", form(shop, mini_channel="")).status_code == 302
    assert rule_of(shop).mini_page == "pages/home/index?from=chat"
    with brand_scope(shop.brand.pk):  # cards that were sent before still lead to their channel
        assert opened(shop, scene_in(row.mini_page), new_member(at=AT)).touchpoint_id == shop.words.pk
        assert MiniCode.objects.count() == 1


def test_further_answers_count_too(as_owner, shop):
    more = {
        "m1_kind": "TEXT", "m1_text": "还有", "m3_kind": "MINI", "m3_title": "会员", "m3_appid": shop.program.appid,
        "m3_page": "pages/card", "m3_url": "https://lanyu.example.com/c", "m3_channel": shop.words.pk,
    }  # fmt: skip
    assert as_owner.post(ADD, form(shop, mini_channel="", **more)).status_code == 302
    row = rule_of(shop)
    with brand_scope(shop.brand.pk):
        assert row.mini_page == "pages/home/index?from=chat"
        assert channels_by_scene([row.more[1]["page"]]) == {
            scene_in(row.more[1]["page"]): (shop.words.pk, "澜屿关键词")
        }
        assert without_scene(row.more[1]["page"]) == "pages/card"


def test_a_mini_program_that_is_not_connected_cannot_tell_who_opens_it(as_owner, shop, theirs):
    for changes in ({"mini_appid": "wx00000000000000ff"}, {"mini_appid": theirs.program.appid}):
        assert "This mini program is not connected" in page(as_owner.post(ADD, form(shop, **changes)))
    assert as_owner.post(ADD, form(shop, mini_channel=theirs.words.pk)).status_code == 200
    with brand_scope(shop.brand.pk):
        assert not ReplyRule.objects.filter(name="逛商城").exists()
        assert not MiniCode.objects.exists()


def count(shop, **changes):
    given = {
        "page": "pages/home", "appid": shop.program.appid, "touchpoint_id": shop.words.pk, "sent_by": SentBy.KEYWORD,
        "sender": "逛商城", "at": AT,
    }  # fmt: skip
    return page_that_counts(**given | changes)


def test_scenes_are_kept_per_card_and_replaced_in_the_page(shop, theirs):
    with brand_scope(shop.brand.pk):
        first = count(shop)
        assert count(shop) == count(shop, page=first) == first
        other = count(shop, page=first, sender="会员")
        assert other != first
        assert (other.count("scene="), without_scene(other)) == (1, "pages/home")
        assert count(shop, touchpoint_id=None, page=first) == first
        assert without_scene("p?scene=12345678&a=1") == "p?scene=12345678&a=1"  # somebody else's
        assert without_scene(f"p?{first.partition('?')[2]}&a=1") == "p?a=1"
        scene = scene_in(first)
        revoke_mini_code(mini_code=MiniCode.objects.get(code=scene), at=AT)
        assert scene_in(count(shop)) not in {"", scene}
        archive_branch(touchpoint=shop.words, at=AT)
        with pytest.raises(NotInTree):
            count(shop, sender="新")
    with brand_scope(theirs.brand.pk):
        member = new_member(at=AT)
        with pytest.raises(NoSuchScene):
            opened(theirs, scene_in_of(first), member)
        with pytest.raises(NotInTree):
            count(theirs, touchpoint_id=shop.words.pk)
        assert not Touch.objects.filter(kind="OPEN").exists()


def scene_in_of(text):
    return text.rpartition("=")[2]


def test_a_menu_button_carries_the_scene_to_wechat(as_owner, shop):
    button = {
        "account": shop.account.pk, "act": "save", "b0-name": "商城", "b0-type": "miniprogram",
        "b0-url": "https://lanyu.example.com/", "b0-appid": shop.program.appid, "b0-pagepath": "pages/home",
        "b0-channel": f"澜屿关键词 #{shop.words.pk}",
    }  # fmt: skip
    assert as_owner.post(MENU, button).status_code == 302
    html = page(as_owner.get(MENU))
    assert f'value="澜屿关键词 #{shop.words.pk}" list="channels"' in html
    assert 'name="b0-pagepath" value="pages/home"' in html

    with brand_scope(shop.brand.pk):
        (kept,) = Menu.objects.get().draft
        scene = scene_in(kept["pagepath"])
        assert kept == {
            "name": "商城", "type": "miniprogram", "url": "https://lanyu.example.com/", "appid": shop.program.appid,
            "pagepath": f"pages/home?scene={scene}",
        }  # fmt: skip
        assert ask_to_publish(account=shop.account, at=AT).wanted["buttons"] == [kept]
        assert opened(shop, scene, new_member(at=AT)).mini_code.sent_by == "MENU"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"b0-channel": "没有的"}, "is no channel"),
        ({"b0-channel": "x #999999"}, "This channel is not in use any more"),
        ({"b0-appid": "wx00000000000000ff"}, "is not connected"),
    ],
)
def test_a_menu_button_that_cannot_count_is_not_kept(as_owner, shop, changes, said):
    button = {
        "account": shop.account.pk, "act": "save", "b0-name": "商城", "b0-type": "miniprogram",
        "b0-url": "https://lanyu.example.com/", "b0-appid": shop.program.appid, "b0-pagepath": "pages/home",
        "b0-channel": f"澜屿关键词 #{shop.words.pk}", **changes,
    }  # fmt: skip
    assert said in page(as_owner.post(MENU, button))
    with brand_scope(shop.brand.pk):
        assert not Menu.objects.exclude(draft=[]).exists()


def test_printed_codes_stay_what_they_were(shop):
    with brand_scope(shop.brand.pk):
        printed = create_mini_code(touchpoint=shop.words, program=shop.program, page="pages/home", at=AT)
        assert opened(shop, printed.code, new_member(at=AT)).mini_code.sent_by == ""
