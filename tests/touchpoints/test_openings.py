"""Somebody opens the mini program by a code: a touch like a scan, kept once however often it is told."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
from django.db import connection

from accounts.tenancy import brand_scope
from members.models import Member, MemberTag
from members.services import join, record_mini_program_user
from members.services.people import new_member
from tests.factories import AT, make_account, make_follower, make_mini_program, make_store, make_tag
from tests.touchpoints.conftest import DAY, come
from touchpoints import selectors, services
from touchpoints.errors import NoSuchScene, OddOpening
from touchpoints.models import Touch
from touchpoints.selectors import Window, tree_figures
from touchpoints.services import create_mini_code, create_touchpoint, mark_staff, record_opening, revoke_mini_code

SHANGHAI = ZoneInfo("Asia/Shanghai")


def furnish():
    """A counter whose mini-program code promises a tag and a store."""
    store, tag, account, program = make_store(), make_tag("柜台"), make_account(), make_mini_program()
    counter = create_touchpoint(name="柜台", account=account, store=store, tags=[tag], at=AT)
    mini = create_mini_code(touchpoint=counter, program=program, page="pages/index", at=AT)
    return SimpleNamespace(store=store, tag=tag, account=account, program=program, counter=counter, mini=mini)


@pytest.fixture
def shop(in_brand):
    return furnish()


def open_by(shop, member_id, *, opening="0f5b3c1e9a7d4428", at=AT, **more):
    given = {"appid": shop.program.appid, "scene": shop.mini.code} | more
    return record_opening(member_id=member_id, opening=opening, at=at, **given)


def person(shop, who):
    if who == "VISITOR":
        return new_member(at=AT - DAY)
    member = make_follower(shop.account, at=AT - DAY).member
    if who == "MEMBER":
        join(member=member, at=AT - DAY)
    if who == "STAFF":
        mark_staff(member=member, at=AT)
    return member


@pytest.mark.parametrize("who", ["VISITOR", "FOLLOWING", "MEMBER", "STAFF"])
def test_opening_is_a_touch_of_the_person_as_they_are_known(shop, who):
    member = person(shop, who)
    touch, is_new = open_by(shop, member.pk)

    assert is_new
    assert (touch.kind, touch.case, touch.member_id, touch.touchpoint_id) == ("OPEN", who, member.pk, shop.counter.pk)
    assert (touch.follower_id, touch.mini_code_id, touch.scene) == (None, shop.mini.pk, shop.mini.code)
    promised = who != "STAFF"
    assert MemberTag.objects.filter(member=member, tag=shop.tag).exists() == promised
    assert (Member.objects.get(pk=member.pk).store_id == shop.store.pk) == promised


def test_opening_told_again_is_kept_once_and_another_one_for_itself(shop):
    member = person(shop, "MEMBER")
    first, _new = open_by(shop, member.pk)
    again, is_new = open_by(shop, member.pk, at=AT + DAY)
    assert (again.pk, is_new) == (first.pk, False)
    other, is_new = open_by(shop, member.pk, opening="another-opening", at=AT + DAY)
    assert (other.pk != first.pk, is_new) == (True, True)
    somebody, is_new = open_by(shop, person(shop, "VISITOR").pk)
    assert (somebody.pk != first.pk, is_new) == (True, True)
    assert Touch.objects.count() == 3


@pytest.mark.django_db(transaction=True)
def test_opening_told_on_two_lines_at_once_is_kept_once(brand):
    with brand_scope(brand.pk):
        shop = furnish()
        member = person(shop, "MEMBER")
    start, found = threading.Barrier(4), []

    def tell():
        try:
            with brand_scope(brand.pk):
                start.wait(30)
                found.append(open_by(shop, member.pk)[0].pk)
        finally:
            connection.close()

    lines = [threading.Thread(target=tell) for _ in range(4)]
    for line in lines:
        line.start()
    for line in lines:
        line.join(30)
    with brand_scope(brand.pk):
        assert (len(found), set(found), Touch.objects.count()) == (4, {Touch.objects.get().pk}, 1)


@pytest.mark.parametrize("opening", ["", "short", "a" * 65, "with space", "mit-ümlaut", "0f5b3c1e9a7d4428\n"])
def test_id_that_tells_nothing_apart_is_refused(shop, opening):
    with pytest.raises(OddOpening):
        open_by(shop, person(shop, "MEMBER").pk, opening=opening)
    assert not Touch.objects.exists()


@pytest.mark.parametrize("how", ["revoked", "other mini program", "unknown"])
def test_scene_that_leads_nowhere_leaves_no_touch(shop, how):
    if how == "revoked":
        revoke_mini_code(mini_code=shop.mini, at=AT)
    more = {"other mini program": {"appid": "wxother"}, "unknown": {"scene": "00000000"}}.get(how, {})
    with pytest.raises(NoSuchScene):
        open_by(shop, person(shop, "MEMBER").pk, **more)
    assert not Touch.objects.exists()


def test_other_brands_scene_leaves_no_touch(brand, other_brand):
    with brand_scope(brand.pk):
        theirs = furnish()
    with brand_scope(other_brand.pk):
        ours = furnish()
        member = person(ours, "MEMBER")
        with pytest.raises(NoSuchScene):
            open_by(ours, member.pk, scene=theirs.mini.code)
        assert not Touch.objects.exists()


def test_funnel_and_attribution_know_who_came_by_a_mini_program_code(shop):
    """One opens, follows by another code a day later and joins; each model gives the codes what is theirs."""
    door = create_touchpoint(name="门口", account=shop.account, at=AT)
    follower = make_follower(shop.account, at=AT + DAY)
    open_by(shop, follower.member_id, at=AT)
    come(door, follower=follower, at=AT + DAY)
    Touch.objects.filter(kind="SCAN").update(kind="FOLLOW")
    join(member=follower.member, at=AT + 2 * DAY)
    now = AT + 3 * DAY
    services.count_again(at=now, zone=SHANGHAI)
    for credited in (selectors.counted_credits, selectors.summed_credits):
        for model, expected in (("first", [1, 0]), ("last", [0, 1])):
            found = tree_figures(Window(None, now), model=model, now=now, zone=SHANGHAI, credited=credited)
            mine = [found.nodes[pk] for pk in (shop.counter.pk, door.pk)]
            assert [each.scans for each in mine] == [1, 1]
            for stage in ("people", "follow", "join"):
                assert [each.people(stage) for each in mine] == expected


def test_person_known_by_the_mini_program_alone_can_open(shop):
    member = record_mini_program_user(appid=shop.program.appid, openid="oMini1", subject="", unionid="", at=AT - DAY)
    touch, _new = open_by(shop, member.pk)
    assert touch.case == "VISITOR"
