"""Taps on the menu are counted by person and day: services answered beside links opened, shown at each button."""

import re
from datetime import timedelta

import pytest

from accounts.tenancy import brand_scope
from conversations.inbound import note_tap as handler
from conversations.models import ButtonTap, ButtonUse, ReplyRecord
from conversations.selectors import Uses, uses_of_menu
from conversations.services import note_tap, purge_taps, save_menu
from members import services as member_services
from tests.factories import AT, make_account, make_follower
from tests.inbox.conftest import push_of, stored

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)
ASK = {"name": "预约", "type": "click", "key": "BOOK"}
PAGE = {"name": "商城", "type": "view", "url": "https://shop.example.com/"}


@pytest.fixture
def account(in_brand):
    return make_account()


def tapped(follower, key, *, at=AT, kind="CLICK", reply=""):
    """A tap as the worker handles it, after WeChat heard `reply`."""
    push = stored(follower, reply=reply, kind=kind, at=at)
    handler(push_of(follower, kind=kind, at=at, key=key, push_id=push.push_id))
    return push


def test_taps_are_counted_with_what_came_of_them(account):
    one, two = make_follower(account), make_follower(account)
    tapped(one, "BOOK", reply="<xml>好的</xml>")
    tapped(one, "BOOK")
    late = tapped(two, "BOOK", at=AT - 10 * DAY)
    tapped(two, PAGE["url"], kind="VIEW", at=AT - 3 * DAY)
    uses = uses_of_menu(account.pk, at=AT)
    assert uses.week["BOOK"] == Uses(2, 1, 1, 0)
    assert uses.month["BOOK"] == Uses(3, 2, 1, 0)
    assert uses.week[PAGE["url"]] == Uses(1, 1, 0, 1)
    assert uses.total(["BOOK", PAGE["url"], "NEVER"]) == Uses(4, 0, 1, 1)
    # An answer that follows as a message is an answer, too: its record is there before the tap is counted.
    ReplyRecord.objects.create(
        account=account, follower=two, push_id=late.push_id, trigger="CLICK", way="SERVICE", why="LATE", at=AT
    )
    handler(push_of(two, kind="CLICK", at=AT - 10 * DAY, key="BOOK", push_id=late.push_id))
    assert uses_of_menu(account.pk, at=AT).month["BOOK"] == Uses(4, 2, 2, 0)


def test_windows_are_days_in_shanghai_and_what_is_older_leaves(account):
    follower = make_follower(account)
    for days in (0, 6, 7, 29, 30, 70):
        tapped(follower, "BOOK", at=AT - days * DAY)
    uses = uses_of_menu(account.pk, at=AT)
    assert (uses.week["BOOK"].taps, uses.month["BOOK"].taps) == (2, 4)
    assert purge_taps(at=AT) == 2
    assert (ButtonUse.objects.count(), ButtonTap.objects.count()) == (5, 5)


def test_a_tap_costs_one_statement_and_one_of_nobody_known_counts_for_the_button_only(
    account, django_assert_num_queries
):
    follower = make_follower(account)
    for openid in (follower.openid, follower.openid, "oNobody"):
        with django_assert_num_queries(1):
            note_tap(account_id=account.pk, key="BOOK", at=AT, openid=openid, kind="CLICK")
    assert list(ButtonUse.objects.values_list("follower", "taps")) == [(follower.pk, 2)]
    assert ButtonTap.objects.count() == 1


def test_erasure_takes_a_persons_taps_and_leaves_that_the_button_is_used(account):
    follower = make_follower(account)
    tapped(follower, "BOOK")
    member_services.erase_member(member=follower.member, reason="test", at=AT)
    assert (ButtonUse.objects.count(), ButtonTap.objects.count()) == (0, 1)


def test_the_menu_page_shows_uses_beside_each_button_and_of_this_brand_only(as_owner, ours, theirs, settings):
    from common.clock import now

    as_owner.cookies[settings.LANGUAGE_COOKIE_NAME] = "en"
    for side, times in ((ours, 2), (theirs, 5)):
        with brand_scope(side.brand.pk):
            save_menu(account=side.account, buttons=[ASK, {"name": "更多", "sub_button": [PAGE]}])
            follower = make_follower(side.account)
            for _tap in range(times):
                tapped(follower, "BOOK", at=now(), reply="<xml/>")
    text = re.sub(r"\s+", " ", as_owner.get("/b/lanyu/conversations/menu/").content.decode())
    assert "30 days: 2 taps by 1 person · 7 days: 2 by 1 · answered 2 times" in text
    assert "Nobody tapped it in the last 30 days." in text
    used = text[text.index('data-testid="used"') :][:1200]
    assert re.findall(r'<td class="zy-number">(\d+)</td>', used) == ["2", "2", "0", "0"]
