"""What a scan does: a touch, the code's tags, store and guide."""

from datetime import timedelta

import pytest

from accounts.tenancy import brand_scope
from guides.models import Assignment
from guides.selectors import guide_of
from guides.services import assign_guide
from members.models import Follower, Member
from members.services import follower_of, look_up_followers, record_follow, record_unfollow
from tests.factories import AT, make_account, make_follower, make_guide, make_store, make_tag, make_touchpoint
from touchpoints import selectors
from touchpoints.models import Touch
from touchpoints.services import look_up_scans, mark_staff, record_touch
from wechat_gateway.events import Push

LATER = AT + timedelta(hours=1)


@pytest.fixture
def code(in_brand):
    """The code of guide LY0007 in the store in Jing'an."""
    account, store, tag = make_account(), make_store(), make_tag()
    touchpoint = make_touchpoint(account, store=store, tags=[tag])
    guide = make_guide(store, touchpoint=touchpoint)
    return {"account": account, "store": store, "tag": tag, "touchpoint": touchpoint, "guide": guide}


def test_follow_through_a_code_brings_tag_store_and_guide(code):
    follower = make_follower(code["account"])
    touch = record_touch(follower=follower, scene=code["touchpoint"].scene, is_follow=True, at=AT, push_id=1)
    member = Member.objects.get(pk=follower.member_id)

    assert (touch.kind, touch.touchpoint) == ("FOLLOW", code["touchpoint"])
    assert (member.tag_ids, member.store) == ([code["tag"].pk], code["store"])
    assert guide_of(member.pk).staff_no == "LY0007"


def test_same_push_twice_is_one_touch(code):
    follower = make_follower(code["account"])
    for _ in range(2):
        record_touch(follower=follower, scene=code["touchpoint"].scene, is_follow=True, at=AT, push_id=1)

    assert Touch.objects.count() == 1


def test_kinds_of_touch(code):
    follower = make_follower(code["account"])
    scene = code["touchpoint"].scene
    kinds = [record_touch(follower=follower, scene=scene, is_follow=True, at=AT).kind]
    kinds.append(record_touch(follower=follower, scene=scene, is_follow=False, at=LATER).kind)
    record_unfollow(follower=follower, at=LATER)
    record_follow(follower=follower, at=LATER + timedelta(hours=1))
    follower = Follower.objects.get(pk=follower.pk)
    kinds.append(record_touch(follower=follower, scene=scene, is_follow=True, at=LATER + timedelta(hours=1)).kind)

    assert kinds == ["FOLLOW", "SCAN", "REFOLLOW"]


def test_unknown_scene_is_kept_without_a_channel(code):
    touch = record_touch(follower=make_follower(code["account"]), scene="somebody-elses", is_follow=True, at=AT)

    assert (touch.touchpoint, touch.scene) == (None, "somebody-elses")
    assert Assignment.objects.count() == 0


def test_second_code_does_not_take_the_guide_away(code):
    other = make_touchpoint(code["account"], name="LY0008")
    make_guide(code["store"], "LY0008", "孙悦", other)
    follower = make_follower(code["account"])
    for scene in (code["touchpoint"].scene, other.scene):
        record_touch(follower=follower, scene=scene, is_follow=False, at=AT)

    assert guide_of(follower.member_id).staff_no == "LY0007"
    assert Touch.objects.count() == 2


def test_replacing_a_guide_keeps_the_history(code):
    follower = make_follower(code["account"])
    second = make_guide(code["store"], "LY0008", "孙悦")
    assign_guide(member_id=follower.member_id, guide=code["guide"], reason="first", at=AT)
    assign_guide(member_id=follower.member_id, guide=second, reason="moved", at=LATER, replace=True)

    assert list(Assignment.objects.order_by("since").values_list("guide__staff_no", "since", "until")) == [
        ("LY0007", AT, LATER),
        ("LY0008", LATER, None),
    ]


def test_latest_touches_are_the_newest_of_these_codes_and_brand(brand, other_brand):
    with brand_scope(brand.pk):
        codes = [make_touchpoint(make_account(), name=name) for name in "甲乙丙丁"]
        follower = make_follower(codes[0].account)
        came = {}
        for minute, number in enumerate((0, 1, 1, 1, 0, 2, 3, 3)):
            at = AT + timedelta(minutes=minute)
            came[minute] = Touch.objects.create(
                touchpoint=codes[number], follower=follower, member=follower.member, kind="SCAN", at=at
            )
        same = Touch.objects.create(
            touchpoint=codes[2], follower=follower, member=follower.member, kind="SCAN", at=AT + timedelta(minutes=4)
        )
        ids = [code.pk for code in codes[:3]]
    with brand_scope(other_brand.pk):
        assert selectors.latest_touches(ids, limit=3) == []
    with brand_scope(brand.pk):
        assert selectors.latest_touches(ids, limit=3) == [came[5], same, came[4]]
        assert selectors.latest_touches(ids, limit=5) == [came[5], same, came[4], came[3], came[2]]
        assert len(selectors.latest_touches(ids, limit=99)) == 7
        assert selectors.latest_touches([], limit=3) == []


def test_scans_looked_up_together_count_as_those_before_them_left_it(code):
    account, code = code["account"], code["touchpoint"]
    ann, bea = (make_follower(account, openid=openid, at=AT - timedelta(days=9)) for openid in ("oAnn", "oBea"))
    scans = [scan_of(code, ann, 1), scan_of(code, ann, 2), scan_of(code, bea, 3)]
    look_up_followers(scans)
    look_up_scans(scans)

    cases = []
    for push in scans:
        follower = follower_of(push)
        facts = {"scene": push.scene, "is_follow": False, "at": push.event_at, "push_id": push.push_id, "push": push}
        cases.append(record_touch(follower=follower, **facts).case)
        if push.push_id == 1:
            mark_staff(member=ann.member, at=AT)

    assert cases == ["FOLLOWING", "STAFF", "FOLLOWING"]


def scan_of(code, follower, number):
    account = follower.account
    return Push(
        brand_id=account.brand_id, account_id=account.pk, appid=account.appid, original_id=account.original_id,
        openid=follower.openid, kind="SCAN", event_at=AT + timedelta(seconds=number), received_at=AT, push_id=number,
        scene=code.scene,
    )  # fmt: skip
