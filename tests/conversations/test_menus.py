"""Menus: WeChat's limits, drafts, publishing outside the request, versions, and who sees which personalised menu."""

import random
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import AuditEntry
from accounts.tenancy import brand_scope
from conversations import services
from conversations.errors import MenuInvalid, MenuPlanned, MenuRefused, TimePassed
from conversations.menus import TagMenuNow, changes, faults, match_fault, plain, predicted
from conversations.models import LastTag, Menu, MenuVersion, TagMenu
from conversations.selectors import (
    RefusedTagging,
    differences_at_wechat,
    menus_seen,
    people_of_menus,
    refused_taggings,
    tags_at_wechat,
    unsettled_people,
)
from members.models import Follower, RemoteTag
from members.services import fetch_followers, sync_tags, tag_members
from tests.factories import AT, make_account, make_tag
from wechat_gateway import calls

CLICK = {"type": "click", "name": "会员", "key": "K"}


@pytest.mark.parametrize(
    ("menu", "paths"),
    [
        ([CLICK], []),
        ([CLICK] * 3, []),
        ([CLICK] * 4, [""]),
        ([], [""]),
        ("x", [""]),
        ([{**CLICK, "name": "会员中心会"}], []),
        ([{**CLICK, "name": "会员中心会员"}], ["1"]),
        ([{**CLICK, "name": " "}], ["1"]),
        ([{**CLICK, "key": ""}], ["1"]),
        ([{**CLICK, "key": "k" * 128}], []),
        ([{**CLICK, "key": "k" * 129}], ["1"]),
        ([{"name": "服务", "sub_button": [CLICK] * 5}], []),
        ([{"name": "服务", "sub_button": [CLICK] * 6}], ["1"]),
        ([{"name": "服务", "sub_button": [{**CLICK, "name": "二" * 20}]}], []),
        ([{"name": "服务", "sub_button": [{**CLICK, "name": "二" * 21}]}], ["1.1"]),
        ([{"name": "服务", "sub_button": [{"name": "里面", "sub_button": [CLICK]}]}], ["1.1"]),
        ([{"name": "服务", "sub_button": "x"}], ["1"]),
        ([{"type": "view", "name": "商城", "url": "javascript:alert(1)"}], ["1"]),
        ([{"type": "view", "name": "商城", "url": "https://a.example/" + "x" * 1006}], []),
        ([{"type": "view", "name": "商城", "url": "https://a.example/" + "x" * 1007}], ["1"]),
        ([{"type": "view", "name": "商城", "url": "https://u:p@a.example/"}], ["1"]),
        ([{"type": "view", "name": "商城", "url": "http://[::1"}], ["1"]),
        ([{"type": "miniprogram", "name": "商城", "url": "https://a.example/"}], ["1", "1"]),
        ([{"type": "view", "name": "商城", "url": "http://a.example/"}], ["1"]),
        ([{"type": "view", "name": "商城", "url": "https:///shop"}], ["1"]),
        ([{"type": "location_select", "name": "位置", "key": "L"}], []),
        ([{"type": "article_id", "name": "手册"}], ["1"]),
        ([{"type": "nope", "name": "x"}], ["1"]),
        (["x"], ["1"]),
        ([{"name": "站", "sub_button": [{"type": "view", "name": "x", "url": f"https://{site}/"} for site in "abcd"]}], [""]),
        ([{"name": "站", "sub_button": [
            {"type": "view", "name": "x", "url": f"https://{site}/"} for site in ("a.example", "b.example", "c.example", "mp.weixin.qq.com")
        ]}], []),
    ],
)  # fmt: skip
def test_menu_limits(db, menu, paths):
    assert [fault.path for fault in faults(menu)] == paths


@pytest.mark.parametrize("field", ["sex", "country", "province", "city", "language"])
def test_what_wechat_no_longer_matches_by_is_refused_before_any_call(brand, field, simulator):
    with brand_scope(brand.pk):
        account = make_account()
        tag = make_tag(sync=True)
        simulator.know(account)
        with pytest.raises(MenuInvalid) as refused:
            services.save_tag_menu(account=account, match={"tag_id": tag.pk, field: "1"}, buttons=[CLICK])
        assert "65320" in refused.value.message
        assert field in refused.value.message
        assert not TagMenu.objects.exists()
        services.save_tag_menu(account=account, match={"tag_id": tag.pk, field: ""}, buttons=[CLICK])
    assert simulator.get(f"/_sim/calls?appid={account.appid}")["calls"] == []
    assert match_fault({}) != ""


def test_a_menu_beyond_the_limits_cannot_be_saved_and_an_incomplete_one_can(in_brand):
    account = make_account()
    for too_much in ([CLICK] * 4, [{**CLICK, "name": "六个汉字的名"}]):
        with pytest.raises(MenuInvalid):
            services.save_menu(account=account, buttons=too_much)
    assert not Menu.objects.exists()
    services.save_menu(account=account, buttons=[{"name": "商城"}])
    assert Menu.objects.get().draft == [{"name": "商城"}]
    with pytest.raises(MenuInvalid):
        services.ask_to_publish(account=account, at=AT)


def test_a_tag_of_another_brand_or_unknown_to_wechat_has_no_menu(brand, other_brand):
    with brand_scope(other_brand.pk):
        foreign = make_tag("灶", sync=True)
    with brand_scope(brand.pk):
        account, quiet = make_account(), make_tag("只在这里")
        for tag in (foreign, quiet):
            with pytest.raises(MenuInvalid):
                services.save_tag_menu(account=account, match={"tag_id": tag.pk}, buttons=[CLICK])
        assert not TagMenu.objects.exists()


@pytest.fixture
def account(brand, simulator):
    with brand_scope(brand.pk):
        account = make_account()
    simulator.know(account)
    return account


def at_wechat(simulator, account):
    return simulator.get(f"/_sim/accounts/{account.appid}")


def button(name):
    return {"type": "click", "name": name, "key": name}


def test_publishing_is_asked_for_and_done_by_a_worker_once(brand, account, simulator):
    with brand_scope(brand.pk):
        services.save_menu(account=account, buttons=[button("会员")])
        services.ask_to_publish(account=account, at=AT)
        assert at_wechat(simulator, account)["menu"] is None  # nothing leaves within the request
    assert services.publish_due_menus(brand.pk, at=AT) == 1
    assert services.publish_due_menus(brand.pk, at=AT) == 0

    assert at_wechat(simulator, account)["menu"] == [button("会员")]
    with brand_scope(brand.pk):
        menu = Menu.objects.get()
        assert (menu.state, menu.published, menu.fetched, menu.fetched_at) == (
            "IDLE",
            [button("会员")],
            [button("会员")],
            AT,
        )
        assert MenuVersion.objects.get().number == 1


def test_what_is_published_is_what_was_looked_at_and_at_the_time_given(brand, account, simulator):
    later = AT + timedelta(hours=2)
    with brand_scope(brand.pk):
        services.save_menu(account=account, buttons=[button("午餐")])
        services.ask_to_publish(account=account, at=AT, publish_at=later)
        services.save_menu(account=account, buttons=[button("晚餐")])
        with pytest.raises(TimePassed):
            services.ask_to_publish(account=account, at=AT, publish_at=AT)
    assert [services.sweep_menus(at=later - timedelta(seconds=1)), services.sweep_menus(at=later)] == [0, 1]
    assert services.publish_due_menus(brand.pk, at=later - timedelta(seconds=1)) == 0
    assert services.publish_due_menus(brand.pk, at=later) == 1
    assert at_wechat(simulator, account)["menu"] == [button("午餐")]
    with brand_scope(brand.pk):
        assert Menu.objects.get().draft == [button("晚餐")]


def test_what_is_planned_for_tonight_is_not_dropped_unasked(brand, account, simulator):
    tonight = AT + timedelta(hours=6)
    with brand_scope(brand.pk):
        version = MenuVersion.objects.create(account=account, number=1, buttons=[button("昨天")], published_at=AT)
        services.save_menu(account=account, buttons=[button("今晚")])
        services.ask_to_publish(account=account, at=AT, publish_at=tonight)
        services.save_menu(account=account, buttons=[button("救急")])
        for publish in (
            lambda **more: services.ask_to_publish(account=account, at=AT, **more),
            lambda **more: services.ask_to_publish(account=account, at=AT, publish_at=tonight + timedelta(1), **more),
            lambda **more: services.restore_version(version=version, at=AT, **more),
        ):
            with pytest.raises(MenuPlanned):
                publish()
            menu = Menu.objects.get()
            assert (menu.wanted["buttons"], menu.wanted_at) == ([button("今晚")], tonight)
            assert menu.draft == [button("救急")]

        services.ask_to_publish(account=account, at=AT, drop_planned=True)
        dropped = AuditEntry.objects.get(action="cancel menu")
        assert dropped.changes == {"publish_at": [tonight.isoformat(), None], "buttons": [[button("今晚")], None]}
        services.ask_to_publish(account=account, at=AT)  # what waits for nothing but a worker may be asked for again
    assert services.publish_due_menus(brand.pk, at=AT) == 1
    assert at_wechat(simulator, account)["menu"] == [button("救急")]
    assert services.publish_due_menus(brand.pk, at=tonight) == 0


def test_a_cancelled_publication_does_not_happen(brand, account, simulator):
    with brand_scope(brand.pk):
        services.save_menu(account=account, buttons=[button("午餐")])
        services.ask_to_publish(account=account, at=AT, publish_at=AT + timedelta(hours=1))
        services.cancel_publishing(account=account)
    assert services.publish_due_menus(brand.pk, at=AT + timedelta(hours=2)) == 0
    assert at_wechat(simulator, account)["menu"] is None


def test_wechats_refusal_is_kept_with_what_to_do_and_publishing_again_is_possible(brand, account, simulator):
    with brand_scope(brand.pk):
        services.save_menu(account=account, buttons=[button("会员")])
        services.ask_to_publish(account=account, at=AT)
    simulator.fault(kind="errcode", errcode=40018, appid=account.appid, path="/cgi-bin/menu/create", count=1)
    services.publish_due_menus(brand.pk, at=AT)
    with brand_scope(brand.pk):
        menu = Menu.objects.get()
        assert (menu.state, menu.published) == ("FAILED", [])
        assert menu.problem != ""
        services.ask_to_publish(account=account, at=AT)
    services.publish_due_menus(brand.pk, at=AT)
    with brand_scope(brand.pk):
        assert Menu.objects.get().state == "IDLE"


def test_a_worker_that_died_leaves_the_menu_to_another(brand, account, simulator):
    with brand_scope(brand.pk):
        services.save_menu(account=account, buttons=[button("会员")])
        services.ask_to_publish(account=account, at=AT)
        Menu.objects.update(state="PUBLISHING", claimed_at=AT)
    assert services.publish_due_menus(brand.pk, at=AT + timedelta(minutes=1)) == 0
    assert services.publish_due_menus(brand.pk, at=AT + timedelta(minutes=4)) == 1
    assert at_wechat(simulator, account)["menu"] == [button("会员")]


def tagged(brand, account, *names):
    with brand_scope(brand.pk):
        tags = [make_tag(name, sync=True) for name in names]
    sync_tags(brand.pk, account.pk, at=AT)
    return tags


def test_an_earlier_version_comes_back_with_its_personalised_menus(brand, account, simulator):
    old, young = tagged(brand, account, "老客", "新客")
    with brand_scope(brand.pk):
        services.save_menu(account=account, buttons=[button("一")])
        services.save_tag_menu(account=account, match={"tag_id": old.pk}, buttons=[button("老")], position=1)
    services.publish_menu(brand.pk, account.pk, at=AT)
    with brand_scope(brand.pk):
        services.save_menu(account=account, buttons=[button("二")])
        services.save_tag_menu(account=account, match={"tag_id": old.pk}, buttons=[button("老")], is_enabled=False)
        services.save_tag_menu(account=account, match={"tag_id": young.pk}, buttons=[button("新")])
    services.publish_menu(brand.pk, account.pk, at=AT)
    assert [row["button"] for row in at_wechat(simulator, account)["conditional"]] == [[button("新")]]

    with brand_scope(brand.pk):
        services.restore_version(version=MenuVersion.objects.get(number=1), at=AT)
    services.publish_due_menus(brand.pk, at=AT)
    there = at_wechat(simulator, account)
    assert (there["menu"], [row["button"] for row in there["conditional"]]) == ([button("一")], [[button("老")]])
    with brand_scope(brand.pk):
        assert MenuVersion.objects.count() == 3
        assert list(TagMenu.objects.order_by("tag").values_list("tag_id", "is_enabled")) == [
            (old.pk, True),
            (young.pk, False),
        ]


def test_a_personalised_menu_that_is_refused_leaves_the_others_as_they_were(brand, account, simulator):
    old, young = tagged(brand, account, "老客", "新客")
    with brand_scope(brand.pk):
        services.save_menu(account=account, buttons=[button("一")])
        services.save_tag_menu(account=account, match={"tag_id": old.pk}, buttons=[button("老")], position=1)
    services.publish_menu(brand.pk, account.pk, at=AT)
    with brand_scope(brand.pk):
        services.save_tag_menu(account=account, match={"tag_id": old.pk}, buttons=[button("老二")], position=1)
        services.save_tag_menu(account=account, match={"tag_id": young.pk}, buttons=[button("新")], position=2)
    simulator.fault(
        kind="errcode", errcode=40018, appid=account.appid, path="/cgi-bin/menu/addconditional", after_calls=1, count=1
    )
    with pytest.raises(MenuRefused):
        services.publish_menu(brand.pk, account.pk, at=AT)
    assert [row["button"] for row in at_wechat(simulator, account)["conditional"]] == [[button("老")]]


def test_what_phones_show_is_known_when_only_a_personalised_menu_was_refused(brand, account, simulator):
    """The default menu goes first: it is out, and the page says so and shows it."""
    (old,) = tagged(brand, account, "老客")
    with brand_scope(brand.pk):
        services.save_menu(account=account, buttons=[button("一")])
        services.save_tag_menu(account=account, match={"tag_id": old.pk}, buttons=[button("老")], position=1)
    services.publish_menu(brand.pk, account.pk, at=AT)
    later = AT + timedelta(hours=1)
    with brand_scope(brand.pk):
        services.save_menu(account=account, buttons=[button("二")])
        services.save_tag_menu(account=account, match={"tag_id": old.pk}, buttons=[button("老二")], position=1)
        services.ask_to_publish(account=account, at=later)
    path = "/cgi-bin/menu/addconditional"
    simulator.fault(kind="errcode", errcode=40018, appid=account.appid, path=path, count=1)
    services.publish_due_menus(brand.pk, at=later)

    there = at_wechat(simulator, account)
    with brand_scope(brand.pk):
        menu = Menu.objects.get()
        assert (menu.state, menu.published, menu.published_at) == ("FAILED", there["menu"], later)
        assert there["menu"] == [button("二")]
        assert [row["buttons"] for row in menu.remote] == [row["button"] for row in there["conditional"]]
        latest = MenuVersion.objects.order_by("-number").first()
        assert (latest.number, latest.buttons, latest.tag_menus[0]["buttons"]) == (2, [button("二")], [button("老")])

        services.cancel_publishing(account=account)  # somebody decides to leave it
        assert Menu.objects.get().state == "IDLE"


def test_a_version_that_cannot_be_published_leaves_the_drafts_alone(brand, account, simulator):
    (old,) = tagged(brand, account, "老客")
    with brand_scope(brand.pk):
        services.save_menu(account=account, buttons=[button("新")])
        services.save_tag_menu(account=account, match={"tag_id": old.pk}, buttons=[button("老")], position=1)
        version = MenuVersion.objects.create(
            account=account, number=1, buttons=[button("旧")], published_at=AT,
            tag_menus=[{"id": 1, "tag": old.pk, "name": "老客", "position": 9, "buttons": [{"name": "空的"}]}],
        )  # fmt: skip
        with pytest.raises(MenuInvalid):
            services.restore_version(version=version, at=AT)
        row = TagMenu.objects.get()
        assert Menu.objects.get().draft == [button("新")]
        assert (row.draft, row.position, row.is_enabled) == ([button("老")], 1, True)


def test_only_who_is_not_settled_leaves_the_database(brand, account, simulator):
    """However many people have tags: one statement names whom to tag again, and one person asks for their tags only."""
    first, second, none = tagged(brand, account, "甲", "乙", "无")
    simulator.crowd(account, 12)
    fetch_followers(brand.pk, account.pk, at=AT)
    with brand_scope(brand.pk):
        people = list(Follower.objects.order_by("pk"))
        for tags, some in (([first], people[:4]), ([first, second], people[4:8]), ([none], people[8:])):
            tag_members(member_ids=[row.member_id for row in some], tag_ids=[tag.pk for tag in tags], source="x", at=AT)
        services.save_menu(account=account, buttons=[button("默认")])
        for position, tag in enumerate((second, first)):
            services.save_tag_menu(
                account=account, match={"tag_id": tag.pk}, buttons=[button(tag.name)], position=position
            )
    sync_tags(brand.pk, account.pk, at=AT)
    services.publish_menu(brand.pk, account.pk, at=AT)
    with brand_scope(brand.pk):
        remote = dict(RemoteTag.objects.values_list("tag_id", "remote_id"))
        found = unsettled_people(account.pk, most=100)
        assert [each.follower_id for each in found] == [row.pk for row in people[4:8]]
        assert {each.wanted for each in found} == {remote[second.pk]}
        assert [each.follower_id for each in unsettled_people(account.pk, most=3)] == [row.pk for row in people[4:7]]
    assert services.settle_menus(brand.pk, account.pk, at=AT) == 4
    with brand_scope(brand.pk):
        with CaptureQueriesContext(connection) as asked:
            assert unsettled_people(account.pk, most=100) == []
        assert len(asked) == 3
        Follower.objects.filter(pk=people[4].pk).update(subscribed=False)
        LastTag.objects.filter(follower__in=[people[4].pk, people[5].pk]).update(remote_tag_ids=[1])
        assert [each.follower_id for each in unsettled_people(account.pk, most=100)] == [people[5].pk]
        assert list(tags_at_wechat(account.pk, [people[0].pk, people[9].pk])) == [people[0].pk, people[9].pk]
        assert menus_seen(account.pk, [people[7].pk]) == {people[7].pk: [button("乙")]}


@pytest.mark.long(20)
def test_prediction_equals_wechats_answer_for_a_thousand_people_and_nobody_is_ever_without_a_menu(
    brand, account, simulator
):
    tags = tagged(brand, account, "老客", "新客", "高活", "没有菜单")
    simulator.crowd(account, 1000)
    fetch_followers(brand.pk, account.pk, at=AT)
    choose = random.Random(7)
    with brand_scope(brand.pk):
        people = list(Follower.objects.order_by("pk").values_list("pk", "openid", "member_id"))
        assert len(people) == 1000
        for tag in tags:
            tag_members(
                member_ids=[member for _pk, _openid, member in people if choose.random() < 0.4],
                tag_ids=[tag.pk], source="test", at=AT,
            )  # fmt: skip
        services.save_menu(account=account, buttons=[button("默认")])
        for position, tag in enumerate(tags[:3]):
            services.save_tag_menu(
                account=account, match={"tag_id": tag.pk}, buttons=[button(tag.name)], position=position
            )
    sync_tags(brand.pk, account.pk, at=AT)
    services.publish_menu(brand.pk, account.pk, at=AT)

    def settled(order):
        services.settle_menus(brand.pk, account.pk, at=AT)
        with brand_scope(brand.pk):
            seen = menus_seen(account.pk, [pk for pk, _openid, _member in people])
            meant = {
                pk: next((tag.name for tag in order if tag.pk in ids), "默认")
                for pk, ids in Follower.objects.values_list("pk", "member__tag_ids")
            }
        shown = {pk: simulator_menu(simulator, account, openid) for pk, openid, _member in people}
        assert all(shown.values())
        assert seen == shown
        assert {pk: buttons[0]["name"] for pk, buttons in seen.items()} == meant
        return meant

    first = settled(tags[:3])
    assert set(first.values()) == {"老客", "新客", "高活", "默认"}

    with brand_scope(brand.pk):
        for position, tag in enumerate(reversed(tags[:3])):
            services.save_tag_menu(
                account=account, match={"tag_id": tag.pk}, buttons=[button(tag.name)], position=position
            )
    services.publish_menu(brand.pk, account.pk, at=AT)
    # Before anything is settled everybody has one menu or another.
    assert all(simulator_menu(simulator, account, openid) for _pk, openid, _member in people[:100])
    second = settled(list(reversed(tags[:3])))
    assert first != second

    with brand_scope(brand.pk):
        counted = people_of_menus(account.pk, list(TagMenu.objects.order_by("position", "pk")))
        names = {row.pk: row.tag.name for row in TagMenu.objects.select_related("tag")} | {None: "默认"}
        assert {names[pk]: count for pk, count in counted.items()} == {
            name: list(second.values()).count(name) for name in set(second.values())
        }


def simulator_menu(simulator, account, openid):
    """What WeChat's own trymatch says."""
    from wechat_gateway import calls

    return calls.try_menu(account, openid, at=AT).require().data["button"]


def test_a_tag_that_came_later_makes_the_last_tag_unknown_until_it_is_settled(brand, account, simulator):
    old, plain_tag = tagged(brand, account, "老客", "没有菜单")
    (openid,) = simulator.crowd(account, 1)
    fetch_followers(brand.pk, account.pk, at=AT)
    with brand_scope(brand.pk):
        follower = Follower.objects.get(openid=openid)
        tag_members(member_ids=[follower.member_id], tag_ids=[old.pk], source="test", at=AT)
        services.save_menu(account=account, buttons=[button("默认")])
        services.save_tag_menu(account=account, match={"tag_id": old.pk}, buttons=[button("老客")])
    sync_tags(brand.pk, account.pk, at=AT)
    services.publish_menu(brand.pk, account.pk, at=AT)
    assert services.settle_menus(brand.pk, account.pk, at=AT) == 0
    with brand_scope(brand.pk):
        tag_members(member_ids=[follower.member_id], tag_ids=[plain_tag.pk], source="test", at=AT)
    sync_tags(brand.pk, account.pk, at=AT)
    assert simulator_menu(simulator, account, openid) == [button("默认")]
    assert [services.settle_menus(brand.pk, account.pk, at=AT), services.settle_menus(brand.pk, account.pk, at=AT)] == [
        1,
        0,
    ]
    assert simulator_menu(simulator, account, openid) == [button("老客")]


def test_the_newest_menu_of_the_last_tag_is_predicted():
    old, new = TagMenuNow(1, 101, [button("a")]), TagMenuNow(2, 101, [button("b")])
    assert predicted(101, [old, new]) is new
    assert predicted(102, [old, new]) is None
    assert predicted(None, [old, new]) is None


def test_differences_are_told_place_by_place():
    before = [button("会员"), {"name": "服务", "sub_button": [button("门店")]}]
    after = [button("会员"), {"name": "服务", "sub_button": [button("门店"), button("预约")]}]
    assert [(change.before, "预约" in change.after) for change in changes(before, after)] == [("--", True)]
    assert changes(before, before) == []


def test_what_wechat_gives_back_is_compared_without_what_it_adds():
    there = [
        {**button("会员"), "sub_button": []},
        {"name": "服务", "sub_button": {"list": [{**button("门店"), "sub_button": []}]}},
    ]
    assert plain(there) == [button("会员"), {"name": "服务", "sub_button": [button("门店")]}]


def asked_for_tags(simulator):
    """How often WeChat was asked to tag people."""
    path = "/cgi-bin/tags/members/batchtagging"
    return len(simulator.get(f"/_sim/calls?path={path}&limit=1000")["calls"])


@pytest.fixture
def crowd_of_two_tags(brand, account, simulator):
    """Sixty people with two tags that both have a menu; gives their followers."""
    tags = tagged(brand, account, "甲", "乙")
    simulator.crowd(account, 60)
    fetch_followers(brand.pk, account.pk, at=AT)
    with brand_scope(brand.pk):
        people = list(Follower.objects.order_by("pk"))
        tag_members(
            member_ids=[row.member_id for row in people], tag_ids=[tag.pk for tag in tags], source="x", at=AT
        )  # fmt: skip
        services.save_menu(account=account, buttons=[button("默认")])
        for position, tag in enumerate(tags):
            services.save_tag_menu(
                account=account, match={"tag_id": tag.pk}, buttons=[button(tag.name)], position=position
            )
    sync_tags(brand.pk, account.pk, at=AT)
    services.publish_menu(brand.pk, account.pk, at=AT)
    return people


def test_one_person_whom_wechat_refuses_keeps_nobody_else_from_their_menu(brand, account, simulator, crowd_of_two_tags):
    wrong = crowd_of_two_tags[7]
    with brand_scope(brand.pk):
        Follower.objects.filter(pk=wrong.pk).update(openid="o-of-nobody")

    assert services.settle_menus(brand.pk, account.pk, at=AT) == 59
    with brand_scope(brand.pk):
        assert unsettled_people(account.pk, most=100) == []
        assert refused_taggings(account.pk) == [RefusedTagging(wrong.member_id, 40003)]
        assert tags_at_wechat(account.pk, [wrong.pk])[wrong.pk].last is None
    before = asked_for_tags(simulator)
    assert services.settle_menus(brand.pk, account.pk, at=AT + timedelta(minutes=1)) == 0
    assert asked_for_tags(simulator) == before

    with brand_scope(brand.pk):
        Follower.objects.filter(pk=wrong.pk).update(openid=wrong.openid)
        services.settle_again(account=account)
    assert services.settle_menus(brand.pk, account.pk, at=AT + timedelta(minutes=2)) == 1
    with brand_scope(brand.pk):
        assert refused_taggings(account.pk) == []


def test_what_wechat_refuses_for_everybody_is_said_and_tried_again_after_a_while(
    brand, account, simulator, crowd_of_two_tags
):
    path = "/cgi-bin/tags/members/batchtagging"
    simulator.fault(kind="errcode", errcode=48001, appid=account.appid, path=path, count=1)
    before = asked_for_tags(simulator)

    assert services.settle_menus(brand.pk, account.pk, at=AT) == 0
    assert services.settle_menus(brand.pk, account.pk, at=AT + timedelta(minutes=1)) == 0
    assert asked_for_tags(simulator) - before == 1
    with brand_scope(brand.pk):
        assert "48001" in Menu.objects.get().settle_problem
        assert refused_taggings(account.pk) == []
    assert services.settle_menus(brand.pk, account.pk, at=AT + timedelta(minutes=11)) == 60
    with brand_scope(brand.pk):
        assert Menu.objects.get().settle_problem == ""


def test_what_wechat_gives_back_otherwise_is_named_field_by_field(brand, account, simulator, monkeypatch):
    (tag,) = tagged(brand, account, "甲")
    link = {"type": "view", "name": "商城", "url": "https://shop.example.com/spring"}
    with brand_scope(brand.pk):
        services.save_menu(account=account, buttons=[link, {"name": "服务", "sub_button": [CLICK, button("二")]}])
        services.save_tag_menu(account=account, match={"tag_id": tag.pk}, buttons=[button("甲")])
    services.publish_menu(brand.pk, account.pk, at=AT)
    with brand_scope(brand.pk):
        assert differences_at_wechat(Menu.objects.get()) == []

    reading = calls.get_menu

    def changed(*args, **kwargs):
        answer = reading(*args, **kwargs)
        answer.data["menu"]["button"][0]["url"] = "https://shop.example.com/"
        answer.data["menu"]["button"][1]["sub_button"].pop()
        answer.data["conditionalmenu"][0]["button"][0]["name"] = "乙"
        return answer

    with monkeypatch.context() as world:
        world.setattr(calls, "get_menu", changed)
        services.publish_menu(brand.pk, account.pk, at=AT)
    with brand_scope(brand.pk):
        own = TagMenu.objects.get().pk
        found = [(menu, each.before, each.after) for menu, each in differences_at_wechat(Menu.objects.get())]
    assert found == [
        (None, "https://shop.example.com/spring", "https://shop.example.com/"),
        (None, "二 · 点击推事件（自动回复） 二", "--"),
        (own, "甲", "乙"),
    ]

    services.publish_menu(brand.pk, account.pk, at=AT)
    with brand_scope(brand.pk):
        assert differences_at_wechat(Menu.objects.get()) == []


def test_a_personalised_menu_that_wechat_lost_is_named(brand, account, simulator, monkeypatch):
    (tag,) = tagged(brand, account, "甲")
    with brand_scope(brand.pk):
        services.save_menu(account=account, buttons=[CLICK])
        services.save_tag_menu(account=account, match={"tag_id": tag.pk}, buttons=[button("甲")])
    reading = calls.get_menu

    def lost(*args, **kwargs):
        answer = reading(*args, **kwargs)
        answer.data["conditionalmenu"] = []
        return answer

    monkeypatch.setattr(calls, "get_menu", lost)
    services.publish_menu(brand.pk, account.pk, at=AT)

    with brand_scope(brand.pk):
        menu = Menu.objects.get()
        assert [pk for pk, _each in differences_at_wechat(menu)] == [TagMenu.objects.get().pk]
        Menu.objects.update(fetched_tag_menus=None)  # published before personalised menus were compared
        assert differences_at_wechat(Menu.objects.get()) == []


def published_and_changed_there(brand, account):
    """A menu that somebody then changed at WeChat, as a comparison found out."""
    with brand_scope(brand.pk):
        services.save_menu(account=account, buttons=[button("甲")])
    services.publish_menu(brand.pk, account.pk, at=AT)
    assert calls.create_menu(account, [button("乙")], at=AT).ok
    assert compared(brand, account) == [("甲", "乙"), ("甲", "乙")]


def compared(brand, account, at=AT):
    with brand_scope(brand.pk):
        services.ask_to_compare(account=account, at=at)
    services.compare_menu(brand.pk, account.pk, at=at)
    with brand_scope(brand.pk):
        return [(each.before, each.after) for _menu, each in differences_at_wechat(Menu.objects.get())]


def test_a_menu_put_right_at_wechat_agrees_once_somebody_compares_again(brand, account, simulator):
    published_and_changed_there(brand, account)
    assert calls.create_menu(account, [button("甲")], at=AT).ok

    assert compared(brand, account, AT + timedelta(hours=1)) == []
    with brand_scope(brand.pk):
        menu = Menu.objects.get()
        assert (menu.fetched_at, menu.compare_asked_at) == (AT + timedelta(hours=1), None)
        assert AuditEntry.objects.filter(action="compare menu").count() == 2


def test_a_menu_that_wechat_has_no_more_differs_as_a_whole(brand, account, simulator):
    published_and_changed_there(brand, account)
    assert calls.delete_menus(account, at=AT).ok

    assert [after for _before, after in compared(brand, account)] == ["--"]


def test_a_comparison_that_cannot_be_made_is_said_and_leaves_the_last_one(brand, account, simulator):
    published_and_changed_there(brand, account)
    simulator.fault(kind="errcode", errcode=48001, appid=account.appid, path="/cgi-bin/menu/get", count=1)

    assert compared(brand, account, AT + timedelta(hours=1)) == [("甲", "乙"), ("甲", "乙")]
    with brand_scope(brand.pk):
        menu = Menu.objects.get()
        assert (menu.fetched_at, menu.compare_asked_at) == (AT, None)
        assert "48001" in menu.compare_problem
    assert len(compared(brand, account)) == 2
    with brand_scope(brand.pk):
        assert Menu.objects.get().compare_problem == ""


def test_what_was_read_before_another_publication_is_dropped(brand, account, simulator, monkeypatch):
    published_and_changed_there(brand, account)
    reading, fresh = calls.get_menu, []

    def late(*args, **kwargs):
        answer = reading(*args, **kwargs)
        if not fresh:  # somebody publishes while WeChat's answer travels
            fresh.append(1)
            with brand_scope(brand.pk):
                services.save_menu(account=account, buttons=[button("丙")])
            services.publish_menu(brand.pk, account.pk, at=AT + timedelta(minutes=1))
        return answer

    monkeypatch.setattr(calls, "get_menu", late)

    assert compared(brand, account) == []
    with brand_scope(brand.pk):
        assert Menu.objects.get().fetched_at == AT + timedelta(minutes=1)


def test_a_comparison_whose_ring_was_lost_is_rung_for_again(brand, account, simulator):
    published_and_changed_there(brand, account)
    with brand_scope(brand.pk):
        services.ask_to_compare(account=account, at=AT)
    late = [services.sweep_menus(at=AT + timedelta(seconds=seconds)) for seconds in (1, 20)]
    services.compare_menu(brand.pk, account.pk, at=AT)
    assert [*late, services.sweep_menus(at=AT + timedelta(seconds=40))] == [0, 1, 0]
