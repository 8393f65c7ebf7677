"""The head of a person's page: three blocks of facts from distinct sources, each with who says so."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.tenancy import brand_scope
from common.clock import now
from conversations.models import ButtonUse, Menu
from coupons.models import Coupon
from guides.models import Joining
from guides.services import assign_guide
from loyalty import services as loyalty
from loyalty.earn_rules import Line
from loyalty.models import Tier
from members import services
from members.models import FieldKind, Grouping, Member, ProfileField, StageMember
from tests.console.conftest import signed_in
from tests.coupons.conftest import cart, claim, make_template, redeem
from tests.factories import make_member, make_staff, make_tag
from tests.loyalty.test_facts import fact
from touchpoints.models import Touch

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)
SHIRT, COAT = Line("S1", "衬衫", 10_000), Line("C1", "外套", 90_000)


def shown(client, ours, member=None):
    """{block: {label: (value, source, whether a date is told, whether it leads somewhere)}}"""
    page = client.get(f"/b/lanyu/members/member/{(member or ours.member).pk}/change/")
    assert page.status_code == 200
    return {
        block["key"]: {
            str(trait.label): (str(trait.value), str(trait.source), trait.at is not None, bool(trait.link))
            for trait in block["traits"]
        }
        for block in page.context["portrait"]
    }, page


def touch(ours, kind, days, touchpoint=None):
    Touch.objects.create(
        member=ours.member, follower=ours.follower, kind=kind, at=now() - days * DAY, touchpoint=touchpoint
    )


def stand(ours, recipe, name, stage):
    segment = services.save_segment(name=stage, rule={"all": []}, at=now())
    grouping = Grouping.objects.create(name=name, recipe=recipe, created_at=now(), updated_at=now())
    StageMember.objects.create(grouping=grouping, member_id=ours.member.pk, stage_id=segment.pk, since=now() - 9 * DAY)


@pytest.fixture
def lived(ours):
    """Somebody about whom the member, staff, WeChat, a guide, a till, rules and coupons say something."""
    at, member = now(), ours.member
    with brand_scope(ours.brand.pk):
        Member.objects.filter(pk=member.pk).update(joined_at=at - 20 * DAY, last_interaction_at=at - 3 * DAY)
        ProfileField.objects.create(
            key="skin", label="肤质", kind=FieldKind.TEXT, sources=["dialogue", "operator"], created_at=at
        )
        services.say(member_id=member.pk, source="member", values={"gender": "F", "birthday": "08-17"}, at=at - 5 * DAY)
        services.say(member_id=member.pk, source="operator", values={"city": "杭州", "skin": "干性"}, at=at - 4 * DAY)
        services.say(member_id=member.pk, source="dialogue", values={"skin": "油性"}, at=at - 8 * DAY)
        Joining.objects.create(member=member, guide=ours.guide, store=ours.store, way="SCAN", at=at - 20 * DAY)
        touch(ours, "FOLLOW", 200, ours.touchpoint)
        for days in (2, 5, 8):
            touch(ours, "SCAN", days, ours.touchpoint)
        Menu.objects.create(account=ours.account, published=[{"name": "预约", "type": "click", "key": "BOOK"}])
        for days, key, taps in ((1, "BOOK", 3), (6, "BOOK", 2), (3, "OLD", 1), (70, "GONE", 50)):
            day = (at - days * DAY).date()
            ButtonUse.objects.create(account=ours.account, follower=ours.follower, key=key, day=day, taps=taps)
        fact(member, number="1", amount=100_000, lines=(SHIRT, COAT), at=at, happened_at=at - 30 * DAY)
        fact(member, number="2", amount=10_000, lines=(SHIRT,), at=at, happened_at=at - 10 * DAY)
        fact(member, number="3", amount=5_000, at=at, happened_at=at - 400 * DAY)
        back = {"refers": "1", "amount": 90_000, "lines": (COAT,)}
        fact(None, "REFUND", "B1", at=at, happened_at=at - 9 * DAY, **back)
        services.tag_members(member_ids=[member.pk], tag_ids=[ours.tag.pk], source="code: 门口", at=at - 7 * DAY)
        Tier.objects.create(name="银卡", threshold=0)
        stand(ours, "rfm", "RFM", "重要价值")
        stand(ours, "lifecycle", "生命周期", "活跃期")
        loyalty.earn_points(
            operation=loyalty.Operation("t", "k"), member_id=member.pk, points=520, source="t", at=at - 6 * DAY
        )
        redeem(claim(make_template(at=at), member, at=at).coupon, at=at, goods=cart(20_000))
        assert Coupon.objects.filter(member=member, state="USED").count() == 1
    return ours


def test_each_block_tells_facts_of_distinct_sources(as_owner, lived):
    found, page = shown(as_owner, lived)
    basics, did, worth = found["basics"], found["behaviour"], found["worth"]
    assert {label: told[:2] for label, told in basics.items() if label != "入会时间"} == {
        "性别": ("女", "会员本人"),
        "生日": ("08-17", "会员本人"),
        "城市": ("杭州", "员工"),
        "一起入会": (f"王敏 澜0007 · {lived.store.name}", "扫描导购的入会码"),
        "肤质": ("油性", "对话机器人 · 来源不一致"),
    }
    assert basics["肤质"][3]  # a conflict leads to everybody's words
    assert not basics["城市"][3]
    assert {label: told[0] for label, told in did.items()} == {
        "首个渠道": lived.touchpoint.name,
        "近 90 天": "关注后扫码 ×3",
        "常用菜单": "预约 ×5，OLD ×1",
        "偏好品类": "衬衫 ¥200.00",
        "标签": lived.tag.name,
        "最近互动": did["最近互动"][0],
    }
    assert worth["等级"][0] == "银卡"
    assert (worth["RFM"][0], worth["生命周期"][0]) == ("重要价值", "活跃期")
    assert worth["近 12 个月消费"][:2] == ("¥200.00 · 2 笔", "pos 上报，已扣除退回的部分；最近一笔")
    assert worth["积分"][0] == "520"
    assert worth["用券"][0] == "1 张，省 ¥30.00"
    told = [trait for block in page.context["portrait"] for trait in block["traits"]]
    assert all(str(trait.source) for trait in told)
    assert len({str(trait.source) for trait in told}) > 10
    for trait in told:
        assert not trait.link or as_owner.get(trait.link).status_code == 200, trait.link
    html = page.content.decode()
    assert html.index("portrait-basics") < html.index("portrait-behaviour") < html.index("portrait-worth")


def test_the_query_for_the_page_brings_along_what_is_asked_otherwise(as_owner, lived, monkeypatch):
    at_once, _page = shown(as_owner, lived)
    monkeypatch.setattr("members.admin.people.with_marks", lambda people: people)
    one_by_one, _page = shown(as_owner, lived)
    assert one_by_one == at_once
    assert [len(traits) for traits in at_once.values()] == [6, 6, 6]


def test_nothing_is_told_of_whom_nothing_is_known(as_owner, ours):
    with brand_scope(ours.brand.pk):
        stranger = make_member(ours.account)
    found, page = shown(as_owner, ours, stranger)
    assert found == {"basics": {}, "behaviour": {}, "worth": {}}
    assert page.content.decode().count("暂无。") == 3


def test_roles_see_what_their_areas_allow_and_no_sealed_value(as_owner, as_guide, guide_user, lived):
    with brand_scope(lived.brand.pk):
        lived.guide.staff_user = guide_user
        lived.guide.save()
        assign_guide(member_id=lived.member.pk, guide=lived.guide, reason="code: x", at=now())
        ProfileField.objects.create(
            key="illness", label="病史", kind="TEXT", sources=["operator"], sensitivity="SEALED", created_at=now()
        )
        ProfileField.objects.filter(key="skin").delete()
        services.say(member_id=lived.member.pk, source="operator", values={"illness": "湿疹"}, at=now())
        analyst, desk = (signed_in(make_staff(role.lower(), role)) for role in ("ANALYST", "SERVICE_DESK"))
    everything, page = shown(as_owner, lived)
    assert everything["basics"]["病史"][0] == "已保存，不显示"
    assert "湿疹" not in page.content.decode()
    assert everything["behaviour"]["首个渠道"][3]
    assert everything["worth"]["RFM"][3]
    seen, _page = shown(analyst, lived)
    assert set(everything["behaviour"]) - set(seen["behaviour"]) == {"常用菜单"}  # taps are the inbox's
    seen, _page = shown(desk, lived)
    assert set(everything["basics"]) - set(seen["basics"]) == {"一起入会"}
    seen, page = shown(as_guide, lived)
    assert not seen["behaviour"]["首个渠道"][3]
    assert not seen["worth"]["RFM"][3]
    for trait in (trait for block in page.context["portrait"] for trait in block["traits"]):
        assert not trait.link or as_guide.get(trait.link).status_code == 200, trait.link


def test_a_long_life_asks_as_often_as_a_short_one(as_owner, lived, theirs):
    def asked():
        with CaptureQueriesContext(connection) as queries:
            shown(as_owner, lived)
        return [query["sql"] for query in queries.captured_queries]

    at, member = now(), lived.member
    asked()
    short = asked()
    assert sum("jsonb_array_elements" in sql for sql in short) == 1
    with brand_scope(lived.brand.pk):
        for number in range(3):
            touch(lived, "OPEN", number, lived.touchpoint)
            ButtonUse.objects.create(
                account=lived.account, follower=lived.follower, key=f"K{number}", day=at.date(), taps=9
            )
            line = (Line("X", f"品类{number}", 1_000),)
            fact(member, number=f"M{number}", amount=1_000, lines=line, at=at, happened_at=at - DAY)
            services.tag_members(
                member_ids=[member.pk], tag_ids=[make_tag(name=f"多{number}").pk], source="code: x", at=at
            )
            redeem(claim(make_template(at=at), member, at=at).coupon, order=f"N{number}", at=at, goods=cart(20_000))
    assert len(asked()) == len(short)


def test_the_head_costs_three_queries_of_whom_everything_is_known_and_none_of_others(as_owner, lived, monkeypatch):
    with brand_scope(lived.brand.pk):
        other = make_member(lived.account)

    def asked(member):
        with CaptureQueriesContext(connection) as queries:
            assert as_owner.get(f"/b/lanyu/members/member/{member.pk}/change/").status_code == 200
        return len(queries.captured_queries)

    asked(other)
    whole, little = asked(lived.member), asked(other)
    monkeypatch.setattr("members.admin.people.portrait_of", lambda *_args, **_more: [])
    assert whole - asked(lived.member) == 3  # favourite categories, sums of purchases, names of buttons
    assert little == asked(other)
