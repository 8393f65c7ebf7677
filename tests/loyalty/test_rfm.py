"""RFM and life cycle out of the box: eight groups, other numbers as a new version, back-tests, and moves as events."""

from datetime import timedelta

import pytest
from django.test import Client

from accounts.tenancy import brand_scope
from members import services
from members.errors import GroupingInvalid
from members.models import Grouping, GroupingVersion, Member, Segment, StageMember, StageMove
from members.placing import counted
from members.segments import matching
from tests.factories import AT, make_account, make_member, make_staff
from tests.loyalty.test_facts import fact
from tests.members.kept import only, said

DAY = timedelta(days=1)
NUMBERS = {"window_days": 365, "recent_days": 90, "times": 2, "yuan": 1000}


def buyer(account, *purchases):
    """Somebody who bought for so many yuan so many days ago."""
    member = make_member(account)
    for number, (days, yuan) in enumerate(purchases):
        fact(member, number=f"{member.pk}-{number}", amount=yuan * 100, at=AT, happened_at=AT - days * DAY)
    Member.objects.filter(pk=member.pk).update(created_at=AT - 400 * DAY)
    return member


@pytest.fixture
def buyers(in_brand):
    """One for each corner: lately, often, much."""
    account = make_account()
    return {
        "重要价值": buyer(account, (5, 600), (50, 500)),
        "重要发展": buyer(account, (5, 1200)),
        "重要保持": buyer(account, (100, 600), (200, 600)),
        "重要挽留": buyer(account, (100, 2000)),
        "一般价值": buyer(account, (5, 10), (20, 10)),
        "一般发展": buyer(account, (5, 10)),
        "一般保持": buyer(account, (100, 10), (120, 10)),
        "一般挽留": buyer(account, (364, 10)),
        "none": buyer(account, (370, 9000)),
    }


def stands(grouping):
    names = dict(Segment.objects.values_list("pk", "name")) | {0: "none"}
    rows = StageMember.objects.filter(grouping=grouping)
    return {member_id: names[stage_id] for member_id, stage_id in rows.values_list("member_id", "stage_id")}


def test_eight_groups_hold_one_corner_each(buyers):
    grouping = services.begin_recipe(key="rfm", settings=NUMBERS, at=AT)
    assert services.begin_recipe(key="rfm", at=AT).pk == grouping.pk
    assert services.track_stages(grouping=grouping, at=AT) == 0  # for the first time: nobody has moved
    placed = stands(grouping)
    assert {name: placed[member.pk] for name, member in buyers.items()} == {name: name for name in buyers}
    one = Segment.objects.get(name="重要挽留")
    assert list(matching(one.rule, at=AT)) == [buyers["重要挽留"]]


def test_other_numbers_are_a_new_version_and_nobodys_move(buyers):
    grouping = services.begin_recipe(key="rfm", settings=NUMBERS, at=AT)
    services.track_stages(grouping=grouping, at=AT)
    with pytest.raises(GroupingInvalid) as refused:
        services.change_recipe(grouping=grouping, settings={**NUMBERS, "times": 0}, at=AT)
    assert refused.value.field == "times"
    changed = services.change_recipe(grouping=grouping, settings={**NUMBERS, "recent_days": 110}, at=AT + DAY)
    assert (changed.version, services.track_stages(grouping=changed, at=AT + DAY)) == (2, 0)
    assert stands(grouping)[buyers["重要保持"].pk] == "重要价值"
    versions = GroupingVersion.objects.filter(grouping=grouping).order_by("number")
    assert [(each.number, each.settings["recent_days"]) for each in versions] == [(1, 90), (2, 110)]
    assert versions[0].stages[0]["rule"] != versions[1].stages[0]["rule"]


def test_back_test_says_what_numbers_would_have_given(buyers):
    found = services.back_test(key="rfm", settings={**NUMBERS, "recent_days": 15}, at=AT, then=AT - 30 * DAY)
    assert (sum(found.now), sum(found.then), found.undated) == (9, 9, ())
    assert dict(zip(found.names, found.now, strict=False))["一般保持"] == 1
    past = dict(zip(found.names, found.then, strict=False))
    # a month ago: the last purchases of the first and the fifth had not happened, the oldest was in the window
    assert (past["重要价值"], past["一般价值"], past["重要挽留"]) == (0, 0, 2)
    assert found.then[-1] == 3
    lifecycle = services.back_test(key="lifecycle", settings={}, at=AT, then=AT - 30 * DAY)
    assert (sum(lifecycle.then), lifecycle.undated, sum(lifecycle.now)) == (9, (), 9)


def test_moves_are_events_that_segments_ask_for(buyers):
    grouping = services.begin_recipe(key="rfm", settings=NUMBERS, at=AT)
    services.track_stages(grouping=grouping, at=AT)
    mover = buyers["一般挽留"]
    later = AT + 2 * DAY  # its purchase leaves the window
    new = make_member(make_account("新"))
    Member.objects.filter(pk=new.pk).update(created_at=AT + DAY)
    assert services.track_stages(grouping=grouping, at=later) == 2
    lost, none = Segment.objects.get(name="一般挽留"), 0
    moves = list(StageMove.objects.order_by("member_id").values_list("member_id", "before_id", "after_id"))
    assert moves == [(mover.pk, lost.pk, none), (new.pk, None, none)]
    out = only("stage_moved", how="out", stages=[lost.pk], days=7)
    assert set(matching(out, at=later)) == {mover}
    assert set(matching(only("stage_moved", how="into", stages=[lost.pk], days=7), at=later)) == set()
    assert set(matching(out, at=AT + DAY)) == set()
    assert said(out) == "moved out of the stage “一般挽留” within 7 days"
    event = only("event", how="did", event="members.stage_moved", times=1, days=7)
    assert set(matching(event, at=later)) == {mover}


def test_place_is_that_of_the_first_rule_however_rules_are_nested(in_brand):
    account = make_account()
    make_member(account, joined_at=AT)
    make_member(account, subscribed=False)
    yes, no = ({"condition": "subscribed", "params": {"value": value}} for value in ("yes", "no"))
    joined = {"condition": "joined", "params": {"value": "yes"}}
    rules = [{"none": [yes, joined]}, {"any": [{"all": [no]}, joined]}, {"all": []}]
    for rule in rules:
        assert counted([rule], at=AT)[0] == matching(rule, at=AT).count()
    assert counted(rules, at=AT) == [1, 1, 0, 0]


def test_once_a_day_in_every_brand_and_a_broken_rule_says_so(brand):
    with brand_scope(brand.pk):
        make_member(make_account())
        grouping = services.begin_recipe(key="rfm", at=AT)
    assert [services.track_due(brand.pk, at=AT + hours * DAY / 24) for hours in (0, 1, 24)] == [1, 0, 1]
    with brand_scope(brand.pk):
        Segment.objects.filter(pk=grouping.stages[0]).update(rule={"all": [{"condition": "gone"}]})
    assert services.track_due(brand.pk, at=AT + 3 * DAY) == 0
    with brand_scope(brand.pk):
        assert Grouping.objects.get().problem


def test_page_tries_numbers_out_before_it_saves_them(brand, other_brand):
    with brand_scope(other_brand.pk):
        foreign = services.begin_recipe(key="rfm", at=AT)
    with brand_scope(brand.pk):
        buyer(make_account(), (1, 5000))
        staff, reader = make_staff("marketer", "MARKETER"), make_staff("analyst", "ANALYST")
    client, eyes = Client(), Client()
    client.force_login(staff, backend="django.contrib.auth.backends.ModelBackend")
    eyes.force_login(reader, backend="django.contrib.auth.backends.ModelBackend")
    home = f"/b/{brand.slug}/segments/groupings/"
    assert client.post(home, {"recipe": "gone"}).status_code == 404
    assert client.post(home, {"recipe": "rfm"}).status_code == 302
    with brand_scope(brand.pk):
        grouping = Grouping.objects.get()
    page = f"{home}{grouping.pk}/numbers/"
    assert client.get(page).content.decode().count('data-testid="back-test"') == 1
    numbers = {name: str(value) for name, value in NUMBERS.items()}
    assert client.post(page, {**numbers, "try": "1"}).status_code == 200
    assert client.post(page, {**numbers, "yuan": "１", "save": "1"}).status_code == 422
    with brand_scope(brand.pk):
        assert Grouping.objects.get().settings["times"] == 3
    assert (eyes.get(page).status_code, eyes.post(page, {**numbers, "save": "1"}).status_code) == (200, 403)
    assert client.post(page, {**numbers, "save": "1"}).status_code == 302
    with brand_scope(brand.pk):
        assert Grouping.objects.get().settings == NUMBERS
    assert client.get(f"{home}{grouping.pk}/").content.decode().count('data-testid="stages-now"') == 1
    assert client.get(f"{home}{foreign.pk}/numbers/").status_code == 404
