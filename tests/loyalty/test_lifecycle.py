"""The life cycle in eight stages: each is reached and left by what somebody does, moves are events, months a matrix."""

from datetime import timedelta
from typing import NamedTuple

import pytest
from django.test import Client

from accounts.tenancy import brand_scope
from common import clock
from members import services
from members.errors import GroupingInvalid
from members.models import Grouping, Member, Segment, StageMember, StageMove
from members.segments import matching
from members.services import record_contact, record_follow, record_unfollow
from members.stands import moves, moves_of, stages_of
from tests.factories import AT, make_account, make_member, make_staff, make_touchpoint
from tests.loyalty.test_facts import fact
from tests.members.kept import only
from touchpoints.models import Touchpoint
from touchpoints.services import record_touch

DAY = timedelta(days=1)
EIGHT = ["外部入口", "品牌认知", "品牌兴趣", "产品偏好", "行为参与", "转化购买", "品牌用户", "产品复购"]


class Stage(NamedTuple):
    """What brings somebody into a stage: days ago that they followed and were heard of, joined; scans and purchases."""

    follows: bool
    heard: int
    joined: int | None = None
    scans: tuple[int, ...] = ()
    purchases: tuple[int, ...] = ()


STAGES = {
    "外部入口": Stage(follows=False, heard=200),
    "品牌认知": Stage(follows=True, heard=60),
    "品牌兴趣": Stage(follows=True, heard=20),
    "产品偏好": Stage(follows=True, heard=40, scans=(40, 45)),
    "行为参与": Stage(follows=True, heard=2, joined=2),
    "转化购买": Stage(follows=True, heard=95, purchases=(3,)),
    "品牌用户": Stage(follows=True, heard=30, joined=60, purchases=(50,)),
    "产品复购": Stage(follows=True, heard=10, joined=90, purchases=(80, 12)),
}


def plant_stages(account, at):
    """Plant one person for each stage; gives their keys by stage."""
    found = {}
    scene = Touchpoint.objects.filter(account=account).order_by("pk").values_list("scene", flat=True)[0]
    for number, (name, stage) in enumerate(STAGES.items(), 1):
        heard = at - stage.heard * DAY
        openid = f"oStage{number:022d}"
        person = record_contact(account_id=account.pk, appid=account.appid, openid=openid, at=heard)
        found[name] = person.member_id
        if stage.follows:
            record_follow(follower=person, at=heard)
        joined = at - stage.joined * DAY if stage.joined is not None else None
        Member.objects.filter(pk=person.member_id).update(
            name=f"旅程{name}", joined_at=joined, last_interaction_at=heard
        )
        for days in stage.scans:
            record_touch(follower=person, scene=scene, is_follow=False, at=at - days * DAY)
        if stage.scans:  # scanning is being heard of
            Member.objects.filter(pk=person.member_id).update(last_interaction_at=heard)
        for each, days in enumerate(stage.purchases, 1):
            when = at - days * DAY
            fact(Member.objects.get(pk=person.member_id), number=f"J{number}{each}", amount=39_900, at=when)
    return found


@pytest.fixture
def life(in_brand):
    return services.begin_lifecycle(at=AT)


def stage(member_id):
    return next(each.stage for each in stages_of(member_id))


def heard(member, at):
    Member.objects.filter(pk=member).update(last_interaction_at=at)


def test_it_has_eight_stages_the_furthest_first(life):
    names = dict(Segment.objects.values_list("pk", "name"))
    assert [names[pk] for pk in life.stages] == EIGHT[::-1]


def test_somebody_goes_through_all_eight_and_back(life):
    account = make_account()
    code = make_touchpoint(account, name="包装码")
    person = record_contact(account_id=account.pk, appid=account.appid, openid="oAll0000000000000000000001", at=AT)
    who = person.member_id
    Member.objects.filter(pk=who).update(last_interaction_at=None)

    def scan(day):
        record_touch(follower=person, scene=code.scene, is_follow=False, at=AT + day * DAY)

    def join(day):
        Member.objects.filter(pk=who).update(joined_at=AT + day * DAY, last_interaction_at=AT + day * DAY)

    def buys(number, day):
        fact(Member.objects.get(pk=who), number=number, amount=10_000, at=AT + day * DAY)

    steps = [
        (0, lambda: None, "外部入口"),
        (1, lambda: record_follow(follower=person, at=AT + DAY), "品牌认知"),
        (2, lambda: heard(who, AT + 2 * DAY), "品牌兴趣"),
        (41, lambda: None, "品牌认知"),  # silent for more than 30 days
        (42, lambda: (scan(42), scan(42.1)), "产品偏好"),
        (43, lambda: join(43), "行为参与"),
        (150, lambda: None, "品牌认知"),  # silent, and the scans are over
        (151, lambda: buys("1", 151), "转化购买"),
        (152, lambda: heard(who, AT + 152 * DAY), "品牌用户"),
        (153, lambda: buys("2", 153), "产品复购"),
        (154, lambda: fact(None, "REFUND", "3", amount=10_000, refers="2", at=AT + 154 * DAY), "产品复购"),
        (517, lambda: None, "转化购买"),  # the first is over, the second counts as an event though it came back
        (700, lambda: None, "产品偏好"),  # both are over
        (701, lambda: record_unfollow(follower=person, at=AT + 701 * DAY), "外部入口"),
    ]
    seen = []
    for day, happens, expected in steps:
        happens()
        services.track_stages(grouping=life, at=AT + (day + 0.5) * DAY)
        seen.append((day, stage(who)))
        assert seen[-1] == (day, expected)
    assert {name for _day, name in seen} == set(EIGHT)
    # The history has each move once; a day on which nothing changed has none.
    told = [each.after for each in moves_of(who, limit=50) if not each.is_first][::-1]
    assert told == [name for (_day, name), (_before, last) in zip(seen[1:], seen, strict=False) if name != last]
    into = only("stage_moved", how="into", stages=[Segment.objects.get(name="品牌用户").pk], days=7)
    assert [each.pk for each in matching(into, at=AT + 153 * DAY)] == [who]
    assert [each.pk for each in matching(into, at=AT + 170 * DAY)] == []


def test_planted_people_reach_every_stage_and_the_month_shows_who_moved(life):
    account = make_account()
    make_touchpoint(account, name="包装码")
    at = AT + 100 * DAY
    planted = plant_stages(account, at)
    assert list(STAGES) == EIGHT
    services.track_stages(grouping=life, at=at)
    assert {name: stage(member_id) for name, member_id in planted.items()} == {name: name for name in EIGHT}
    first = services.take_snapshot(grouping=life, at=at)
    assert first.counts == [1] * 8 + [0]

    fact(Member.objects.get(pk=planted["行为参与"]), number="m1", amount=10_000, at=at + DAY)
    heard(planted["行为参与"], at + 20 * DAY)
    heard(planted["品牌认知"], at + 20 * DAY)
    second = services.take_snapshot(grouping=life, at=at + 28 * DAY)
    names = EIGHT[::-1]
    found = {(names[each.before], names[each.after]): each.people for each in moves(first, second)}
    assert found["行为参与", "品牌用户"] == found["品牌认知", "品牌兴趣"] == 1
    assert sum(found.values()) == 8


def test_a_grouping_begun_earlier_is_renewed_on_demand(brand, other_brand):
    at = clock.now()
    with brand_scope(brand.pk):
        row = services.begin_lifecycle(at=at)
        make_member(make_account(), name="她")
        services.track_stages(grouping=row, at=at)
        old = [pk for pk in row.stages if Segment.objects.get(pk=pk).name != "产品偏好"]
        Grouping.objects.filter(pk=row.pk).update(stages=old, settings={"buying_days": 200, "gone": 1})
        with pytest.raises(GroupingInvalid):
            services.change_recipe(grouping=row, settings={}, at=at)
        staff, reader = make_staff("marketer", "MARKETER"), make_staff("analyst", "ANALYST")
        who = Member.objects.get().pk
    client, eyes = Client(), Client()
    client.force_login(staff, backend="django.contrib.auth.backends.ModelBackend")
    eyes.force_login(reader, backend="django.contrib.auth.backends.ModelBackend")
    page = f"/b/{brand.slug}/segments/groupings/{row.pk}/numbers/"
    assert 'name="renew"' in client.get(page).content.decode()
    assert 'name="renew"' not in eyes.get(page).content.decode()
    assert eyes.post(page, {"renew": "1"}).status_code == 403
    assert client.post(page, {"renew": "1"}).status_code == 302
    assert client.post(page, {"renew": "1"}).status_code == 422
    with brand_scope(brand.pk):
        row = Grouping.objects.get()
        assert (len(row.stages), row.version, row.settings["buying_days"], "gone" in row.settings) == (8, 2, 200, False)
        services.track_stages(grouping=row, at=at + DAY)
        assert StageMove.objects.count() == 0  # other stages are nobody's move
        StageMove.objects.create(grouping=row, member_id=who, before_id=0, after_id=row.stages[0], at=at)
        assert StageMember.objects.count() == 1
    text = client.get(f"/b/{brand.slug}/segments/groupings/{row.pk}/").content.decode()
    assert all(name in text for name in EIGHT)
    card = client.get(f"/b/{brand.slug}/members/member/{who}/change/").content.decode()
    assert "生命周期" in card
    assert "产品复购" in card
