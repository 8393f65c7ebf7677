"""Buttons of the menu that lead nowhere, and those nobody taps: named on the page of the menu, each brand its own."""

import re
from datetime import timedelta

import pytest

from accounts.tenancy import brand_scope
from common import clock
from conversations.models import ButtonTap, ButtonUse, Dialogue, DialogueVersion, Menu, MenuVersion, ReplyRule
from conversations.selectors import troubles_of_menu
from conversations.services import note_tap, purge_taps, save_menu
from library.models import CopyState, MediaCopy, MediaItem
from tests.factories import AT, make_account, make_mini_program
from wechat_gateway.models import MiniProgram

DAY = timedelta(days=1)
ASK = {"name": "预约", "type": "click", "key": "BOOK"}
PAGE = {"name": "商城", "type": "view", "url": "https://lanyu.example.com/shop"}


@pytest.fixture
def account(in_brand):
    return make_account()


def kinds(account, *buttons, at=AT):
    return [(each.path, each.kind) for each in troubles_of_menu(account.pk, list(buttons), at=at)]


def rule(account, key="BOOK", **more):
    return ReplyRule.objects.create(
        account=account, name="预约", trigger="CLICK", keywords=[key], text="好", updated_at=AT, **more
    )


def test_a_key_that_nothing_answers_is_named(account):
    assert kinds(account, ASK) == [("1", "NO_ANSWER")]
    made = rule(account)
    assert kinds(account, ASK) == []
    ReplyRule.objects.filter(pk=made.pk).update(is_enabled=False)
    assert kinds(account, {"name": "更多", "sub_button": [PAGE, ASK]}) == [("1.2", "NO_ANSWER")]
    rule(make_account())  # another account's rule answers nobody here
    assert kinds(account, ASK) == [("1", "NO_ANSWER")]


def test_a_key_that_begins_a_dialogue_is_answered(account):
    dialogue = Dialogue.objects.create(account=account, name="生日", keywords=["BOOK"], updated_at=AT)
    DialogueVersion.objects.create(dialogue=dialogue, number=1, published_at=AT)
    assert kinds(account, ASK) == []


def test_a_mini_program_that_is_not_connected_is_named(account):
    program = make_mini_program()
    button = {
        "name": "小程序",
        "type": "miniprogram",
        "url": "https://a.example/",
        "pagepath": "p",
        "appid": program.appid,
    }
    assert kinds(account, button) == []
    assert kinds(account, {**button, "appid": "wxffffffffffffffff"}) == [("1", "PROGRAM_UNKNOWN")]
    MiniProgram.objects.update(is_active=False)
    assert kinds(account, button) == [("1", "PROGRAM_OFF")]


def test_a_file_that_is_gone_is_named_and_one_from_elsewhere_is_not(account):
    item = MediaItem.objects.create(name="海报", content_type="image/png", size=1, sha256="x", path="x", created_at=AT)
    copy = MediaCopy.objects.create(item=item, account=account, media_id="m1", expires_at=AT + DAY)
    button = {"name": "海报", "type": "media_id", "media_id": "m1"}
    assert kinds(account, button) == []
    assert kinds(account, button, at=AT + DAY) == [("1", "MEDIA_GONE")]
    MediaCopy.objects.filter(pk=copy.pk).update(permanent=True, expires_at=None)
    assert kinds(account, button, at=AT + 99 * DAY) == []
    MediaCopy.objects.filter(pk=copy.pk).update(state=CopyState.LEAVING)
    assert kinds(account, button) == [("1", "MEDIA_GONE")]
    assert kinds(account, {**button, "media_id": "elsewhere"}) == []
    MediaCopy.objects.filter(pk=copy.pk).update(state=CopyState.THERE, media_id="m2", former_id="m1")
    assert kinds(account, button) == [("1", "MEDIA_GONE")]  # it has been uploaded again, under another id


def published(account, at, *buttons):
    MenuVersion.objects.create(
        account=account, number=MenuVersion.objects.count() + 1, buttons=list(buttons), published_at=at
    )


def test_a_button_that_was_there_for_30_days_untapped_is_named(account):
    menu = save_menu(account=account, buttons=[PAGE, ASK])
    rule(account)
    published(account, AT - 40 * DAY, PAGE, ASK)
    Menu.objects.filter(pk=menu.pk).update(taps_since=AT - 31 * DAY)
    assert kinds(account, PAGE, ASK) == [("1", "UNTAPPED"), ("2", "UNTAPPED")]

    note_tap(account_id=account.pk, key="BOOK", at=AT - 2 * DAY)
    assert kinds(account, PAGE, ASK) == [("1", "UNTAPPED")]
    note_tap(account_id=account.pk, key=PAGE["url"], at=AT - 31 * DAY)
    assert kinds(account, PAGE, ASK) == [("1", "UNTAPPED")]  # that is too long ago

    published(account, AT - 20 * DAY, ASK)
    published(account, AT - 10 * DAY, PAGE, ASK)
    assert kinds(account, PAGE, ASK) == []  # it was not there all the time


def test_before_taps_were_noted_for_30_days_nothing_is_said(account):
    menu = save_menu(account=account, buttons=[PAGE])
    published(account, AT - 40 * DAY, PAGE)
    Menu.objects.filter(pk=menu.pk).update(taps_since=AT - 29 * DAY)
    assert kinds(account, PAGE) == []
    Menu.objects.filter(pk=menu.pk).update(taps_since=AT - 31 * DAY)
    MenuVersion.objects.update(published_at=AT - 29 * DAY)
    assert kinds(account, PAGE) == []


def test_taps_are_noted_once_a_day_and_leave_after_60(account, django_assert_num_queries):
    for hours in (0, 1, 30):
        note_tap(account_id=account.pk, key="BOOK", at=AT + timedelta(hours=hours))
    note_tap(account_id=account.pk, key="", at=AT)
    assert ButtonTap.objects.count() == 2
    with django_assert_num_queries(1):
        note_tap(account_id=account.pk, key="BOOK", at=AT)
    assert purge_taps(at=AT + 61 * DAY) == 1
    assert purge_taps(at=AT + 62 * DAY) == 1


def test_the_page_names_them_with_what_to_do(as_owner, ours, theirs, settings):
    as_owner.cookies[settings.LANGUAGE_COOKIE_NAME] = "en"
    for side, key in ((ours, "OURS"), (theirs, "THEIRS")):
        with brand_scope(side.brand.pk):
            save_menu(account=side.account, buttons=[{"name": "问", "type": "click", "key": key}])
    text = re.sub(r"\s+", " ", as_owner.get("/b/lanyu/conversations/menu/").content.decode())
    assert "No rule and no dialogue answers its key “OURS”." in text
    assert "Make a rule for the menu button" in text
    assert "THEIRS" not in text


def test_a_tap_of_a_real_push_is_noted(account):
    from conversations.inbound import note_tap as handler
    from tests.factories import make_follower
    from tests.inbox.conftest import push_of

    follower = make_follower(account)
    for _again in range(2):
        handler(push_of(follower, kind="VIEW", at=clock.now(), key=PAGE["url"]))
    assert list(ButtonUse.objects.values_list("follower", "taps", "answered", "opened")) == [(follower.pk, 2, 0, 2)]
    assert list(ButtonTap.objects.values_list("key", flat=True)) == [PAGE["url"]]
