"""Whoever scanned no code counts below "WeChat itself", by what WeChat says of how they came."""

from zoneinfo import ZoneInfo

import pytest

from accounts.tenancy import brand_scope
from members.services import join
from members.services.followers import keep_profile, refresh_due
from tests.factories import AT, make_account, make_follower
from tests.touchpoints.conftest import DAY
from touchpoints import selectors, services
from touchpoints.errors import NotInTree
from touchpoints.models import Touch, TouchCase, Touchpoint
from touchpoints.selectors import Window, tree_figures
from touchpoints.services import create_touchpoint, record_touch

SHANGHAI = ZoneInfo("Asia/Shanghai")


@pytest.fixture
def account(in_brand):
    return make_account()


def follow(account, said, *, scene="", at=AT, follower=None):
    """Somebody follows; a while later WeChat says how they came."""
    follower = follower or make_follower(account, at=at)
    touch = record_touch(follower=follower, scene=scene, is_follow=True, at=at)
    profile = {"subscribe": 1, "subscribe_time": int(at.timestamp()), "subscribe_scene": said}
    keep_profile(account=account, follower=follower, profile=profile, at=at)
    return Touch.objects.get(pk=touch.pk)


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("ADD_SCENE_SEARCH", "微信搜一搜"),
        ("ADD_SCENE_PROFILE_CARD", "名片分享"),
        ("ADD_SCENE_WECHAT_ADVERTISEMENT", "微信广告"),
        ("ADD_SCENE_CHANNELS", "视频号"),
        ("ADD_SCENE_QR_CODE", "公众号自带的二维码"),
        ("ADD_SCENE_SOMETHING_NEW", "SOMETHING_NEW"),
    ],
)
def test_follow_without_a_code_counts_where_wechat_says_it_came_from(account, said, name):
    touch = follow(account, said)
    assert (touch.touchpoint.name, touch.touchpoint.origin, touch.case) == (name, said, TouchCase.NEW)
    assert (touch.touchpoint.parent.name, touch.touchpoint.parent.origin) == ("微信自带入口", "WECHAT")


def test_ways_are_made_once_keep_their_new_names_and_are_no_codes(account):
    first = follow(account, "ADD_SCENE_SEARCH")
    Touchpoint.objects.filter(pk=first.touchpoint_id).update(name="搜索进来的")
    other = follow(account, "ADD_SCENE_SEARCH")
    assert (other.touchpoint_id, other.touchpoint.name) == (first.touchpoint_id, "搜索进来的")
    assert sorted(Touchpoint.objects.values_list("origin", flat=True)) == ["ADD_SCENE_SEARCH", "WECHAT"]
    assert {node.name: node.is_code for node in selectors.tree_nodes()} == {"搜索进来的": True, "微信自带入口": False}
    assert selectors.channels_to_count_for() == []


def test_scans_keep_their_channel(account):
    door = create_touchpoint(name="门口", account=account, at=AT)
    known, unknown = (follow(account, "ADD_SCENE_QR_CODE", scene=scene) for scene in (door.scene, "gone"))
    assert (known.touchpoint_id, unknown.touchpoint_id) == (door.pk, None)
    assert not Touchpoint.objects.exclude(origin="").exists()


def test_each_follow_counts_where_that_one_came_from(account):
    first = follow(account, "ADD_SCENE_SEARCH")
    again = follow(account, "ADD_SCENE_PROFILE_CARD", at=AT + DAY, follower=first.follower)
    first.refresh_from_db()
    assert [touch.touchpoint.origin for touch in (first, again)] == ["ADD_SCENE_SEARCH", "ADD_SCENE_PROFILE_CARD"]
    services.note_origin(follower=first.follower, at=AT + DAY)
    assert Touch.objects.filter(touchpoint__origin="ADD_SCENE_PROFILE_CARD").count() == 1


def test_who_left_or_of_whom_nothing_is_said_stays_without_a_channel(account):
    follower = make_follower(account, at=AT)
    touch = record_touch(follower=follower, scene="", is_follow=True, at=AT)
    keep_profile(account=account, follower=follower, profile={"subscribe": 0}, at=AT)
    assert Touch.objects.get(pk=touch.pk).touchpoint_id is None
    assert follow(account, "").touchpoint_id is None


def test_funnel_of_a_way_is_that_of_a_channel(account):
    touch = follow(account, "ADD_SCENE_SEARCH")
    follow(account, "ADD_SCENE_PAID")
    join(member=touch.member, at=AT + DAY)
    now = AT + 2 * DAY
    services.count_again(at=now, zone=SHANGHAI)
    for credited in (selectors.counted_credits, selectors.summed_credits):
        found = tree_figures(Window(None, now), model="first", now=now, zone=SHANGHAI, credited=credited)
        of = {row.origin: found.nodes[row.pk] for row in Touchpoint.objects.all()}
        assert [(of[key].people("follow"), of[key].people("join")) for key in ("WECHAT", "ADD_SCENE_SEARCH")] == [
            (2, 1),
            (1, 1),
        ]


def test_brands_have_ways_of_their_own(brand, other_brand):
    made = []
    for each in (brand, other_brand):
        with brand_scope(each.pk):
            made.append(follow(make_account(), "ADD_SCENE_SEARCH").touchpoint_id)
            assert Touchpoint.objects.count() == 2
    assert made[0] != made[1]


def test_what_wechat_says_comes_by_the_usual_way(brand, simulator):
    """A person follows by search in the simulated WeChat; the profile that is due anyway says how they came."""
    with brand_scope(brand.pk):
        account = make_account()
        simulator.know(account)
    simulator.act("xiaoyu", "follow", account.appid, scene="ADD_SCENE_SEARCH")
    openid = simulator.get("/_sim/people/xiaoyu")["accounts"][account.appid]["openid"]
    with brand_scope(brand.pk):
        follower = make_follower(account, openid=openid, at=AT)
        record_touch(follower=follower, scene="", is_follow=True, at=AT)
    refresh_due(brand.pk, at=AT)
    with brand_scope(brand.pk):
        assert Touch.objects.get().touchpoint.origin == "ADD_SCENE_SEARCH"


def test_nothing_is_hung_below_a_way_of_wechats_own(account):
    way, folder = follow(account, "ADD_SCENE_SEARCH").touchpoint, create_touchpoint(name="门店", at=AT)
    plan = services.plan_codes(stores=[], objects=["门口"], parent=way)
    for hang in (
        lambda: create_touchpoint(name="门口", parent=way, account=account, at=AT),
        lambda: services.create_touchpoints(plan=plan, account=account, parent=way, at=AT),
        lambda: services.move_branch(touchpoint=folder, parent=way, at=AT, restates=False),
    ):
        with pytest.raises(NotInTree):
            hang()

    assert {row.name for row in selectors.folders()} == {"门店", "微信自带入口"}
    assert create_touchpoint(name="我们的搜索页", parent=way.parent, at=AT).parent_id == way.parent_id
