"""Figures of channels: they add up, open their rows, share people exactly, and follow the tree through moves."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from accounts.tenancy import brand_scope
from coupons.models import Coupon
from inbox.models import Conversation, Message
from loyalty.models import FactKind
from loyalty.services import Report, record_fact
from tests.coupons.conftest import make_template
from tests.factories import AT, make_account, make_staff
from tests.touchpoints.conftest import DAY, buy, come, follow_again, leave, send_back, take
from touchpoints.errors import NotInTree
from touchpoints.models import Cost
from touchpoints.selectors import (
    WHOLE,
    Stage,
    Window,
    attributions,
    cost_between,
    funnel_stages,
    ranking,
    rows_behind,
    settled_window,
    tree_figures,
    tree_nodes,
)
from touchpoints.services import add_cost, archive_branch, create_touchpoint, move_branch, restore_branch

NOW = AT + 200 * DAY
EVER = Window(None, NOW)
SHANGHAI = ZoneInfo("Asia/Shanghai")


def figures(model="first", window=EVER, now=NOW, **more):
    return tree_figures(window, model=model, now=now, zone=SHANGHAI, **more)


def three_stops(tree):
    """One person: 静安门口, then 静安柜台, then 徐汇门口; and one who scanned 礼盒 only."""
    came = come(tree.codes["静安门口"], joined=AT + DAY)
    come(tree.codes["静安柜台"], follower=came.follower, at=AT + DAY)
    come(tree.codes["徐汇门口"], follower=came.follower, at=AT + 2 * DAY)
    come(tree.codes["礼盒"], at=AT)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("first", {"静安门口": 1_000_000, "静安柜台": 0, "徐汇门口": 0, "礼盒": 1_000_000}),
        ("last", {"静安门口": 0, "静安柜台": 0, "徐汇门口": 1_000_000, "礼盒": 1_000_000}),
        ("position", {"静安门口": 400_000, "静安柜台": 200_000, "徐汇门口": 400_000, "礼盒": 1_000_000}),
    ],
)
def test_model_shares_each_person_once(tree, model, expected):
    three_stops(tree)
    found = figures(model)

    assert {name: found.nodes[code.pk].parts["people"] for name, code in tree.codes.items()} == expected
    assert found.whole.parts["people"] == 2 * WHOLE
    assert {name: found.nodes[code.pk].scans for name, code in tree.codes.items()} == dict.fromkeys(expected, 1)


def test_shares_of_any_number_of_touches_add_up_exactly(tree):
    """Somebody with one touch, somebody with two …, each in a window of their own."""
    names = list(tree.codes)
    windows = []
    for stops in range(1, 12):
        first = AT + 15 * (stops - 1) * DAY
        came = come(tree.codes[names[0]], at=first)
        for number in range(1, stops):
            come(tree.codes[names[number % 4]], follower=came.follower, at=first + number * DAY)
        windows.append(Window(first, first + 15 * DAY))
    for model in ("first", "last", "position"):
        found = [figures(model, window) for window in windows]

        assert [each.whole.scans for each in found] == list(range(1, 12))
        assert {each.whole.parts["people"] for each in found} == {WHOLE}


def test_children_add_up_to_their_parent(tree):
    three_stops(tree)
    add_cost(touchpoint=tree.codes["静安门口"], amount=701, starts_on=date(2025, 6, 1), ends_on=date(2025, 6, 3), at=AT)
    add_cost(touchpoint=tree.places["静安店"], amount=99, starts_on=date(2025, 6, 1), ends_on=date(2025, 6, 1), at=AT)
    found = figures("position")

    def below(pk):
        return [node.pk for node in tree_nodes() if node.parent_id == pk]

    for parent in (tree.media["门店"], tree.media["包装"]):
        whole, children = found.nodes[parent.pk], [found.nodes[pk] for pk in below(parent.pk)]
        for key in ("people", "follow", "join"):
            assert whole.parts[key] == sum(child.parts[key] for child in children)
        assert whole.scans == sum(child.scans for child in children)
        assert whole.cost == sum(child.cost for child in children)
    assert found.nodes[tree.places["静安店"].pk].cost == 800
    tops = [found.nodes[pk] for pk in below(None)]
    assert found.whole.scans == sum(top.scans for top in tops) == 4


def test_funnel_counts_who_reached_every_step(tree):
    code = tree.codes["静安门口"]
    come(code, joined=AT + DAY)
    come(code)
    came = come(tree.codes["礼盒"])
    come(code, follower=came.follower, at=AT + DAY, joined=AT + 2 * DAY)

    mine = figures("last").nodes[code.pk]
    assert [mine.people(key) for key in ("people", "follow", "join")] == [3, 3, 2]
    only = figures("last", window=Window(AT + DAY, NOW)).nodes[code.pk]
    assert [only.people(key) for key in ("people", "follow", "join")] == [1, 0, 0]


def test_first_order_is_the_step_after_joining(tree):
    code = tree.codes["静安门口"]
    before, member, guest = come(code, joined=AT + DAY), come(code, joined=AT + DAY), come(code)
    buy(before.follower.member, "SO1", 900, at=AT - DAY)  # earlier than the scan: not what the code brought
    buy(member.follower.member, "SO2", 900, at=AT + 2 * DAY)
    buy(guest.follower.member, "SO3", 900, at=AT + 2 * DAY)  # has not joined: a funnel is a chain

    mine = figures("last").nodes[code.pk]
    assert [mine.people(key) for key in ("people", "follow", "join", "order")] == [3, 3, 2, 1]


def test_value_is_what_people_bought_in_time_less_what_they_sent_back(tree):
    code, other = tree.codes["静安门口"], tree.codes["礼盒"]
    early, late, idle, new = come(code), come(code), come(code), come(code, at=NOW - 29 * DAY)
    come(other, follower=late.follower, at=AT + DAY)
    buy(early.follower.member, "SO1", 10_000, at=AT)
    buy(early.follower.member, "SO2", 7_000, at=AT + 30 * DAY - timedelta(seconds=1))
    buy(early.follower.member, "SO3", 500, at=AT + 30 * DAY)
    buy(late.follower.member, "SO4", 4_001, at=AT + 89 * DAY)
    buy(new.follower.member, "SO5", 80_000, at=NOW - 28 * DAY)
    send_back("SO1", 2_500, at=AT + 95 * DAY)  # after the thirty days: it was never kept all the same

    found = figures("position").nodes
    mine, beside = found[code.pk], found[other.pk]
    assert idle.touch.touchpoint_id == code.pk
    assert [(mine.people(f"old_{days}"), mine.people(f"bought_{days}")) for days in (30, 90)] == [(3, 1), (3, 2)]
    assert [mine.value(days) for days in (30, 90)] == [
        14_500,
        17_001,
    ]  # half of 4,001 to each code of the position model
    assert [beside.value(days) for days in (30, 90)] == [0, 2_001]
    assert [mine.value_of_each(days) for days in (30, 90)] == [5_800, 6_800]
    assert beside.value_of_each(90) == 4_001
    assert figures().nodes[tree.codes["静安柜台"].pk].value_of_each(30) is None


def test_app_above_adds_its_own_step(tree):
    funnel_stages.register("tests.known", Stage("known", "m.name <> ''", 25))
    try:
        came = come(tree.codes["礼盒"], joined=AT + DAY)
        come(tree.codes["礼盒"], joined=AT + DAY)
        came.follower.member.name = "陈子涵"
        came.follower.member.save()

        assert figures().nodes[tree.codes["礼盒"].pk].people("tests.known") == 1
    finally:
        funnel_stages._entries.pop("tests.known")


def test_who_left_in_time_is_not_kept_and_who_is_too_new_is_not_judged(tree):
    code = tree.codes["静安门口"]
    come(code, left=AT + 5 * DAY)
    come(code, left=AT + 20 * DAY)
    come(code)
    come(code, at=NOW - DAY)
    mine = figures().nodes[code.pk]

    assert [(mine.people(f"kept_{days}"), mine.people(f"old_{days}")) for days in (7, 30, 90)] == [
        (2, 3),
        (1, 3),
        (1, 3),
    ]


def test_coming_back_does_not_undo_having_left(tree):
    came = come(tree.codes["静安门口"])
    leave(came.follower, AT + 2 * DAY)
    follow_again(came.follower, tree.codes["礼盒"], AT + 3 * DAY)
    found = figures()

    assert (found.nodes[tree.codes["静安门口"].pk].people("kept_7"), found.whole.people("old_7")) == (0, 1)


def test_figure_opens_the_rows_it_is_made_of(tree):
    three_stops(tree)
    for model in ("first", "last", "position"):
        found = figures(model)
        for pk, mine in found.nodes.items():
            for figure in ("people", "follow", "join", "kept_30"):
                rows = rows_behind(EVER, zone=SHANGHAI, model=model, now=NOW, figure=figure, touchpoint_id=pk)
                assert sum(row.part for row in rows) == mine.parts[figure]
            assert (
                len(rows_behind(EVER, zone=SHANGHAI, model=model, now=NOW, figure="scans", touchpoint_id=pk))
                == mine.scans
            )


def test_tree_costs_the_same_queries_for_one_code_and_for_twenty(tree):
    def asked():
        with CaptureQueriesContext(connection) as queries:
            figures()
        return len(queries)

    come(tree.codes["礼盒"])
    few = asked()
    for number in range(20):
        come(create_touchpoint(name=f"码{number}", account=tree.account, parent=tree.media["包装"], at=AT))
    assert asked() == few <= 5


# --- moves -----------------------------------------------------------------------------------------------------------


def test_move_that_keeps_the_past_counts_each_scan_where_the_branch_stood(tree):
    code, shops, packs = tree.codes["静安门口"], tree.media["门店"], tree.media["包装"]
    come(code, at=AT)
    add_cost(touchpoint=code, amount=1000, starts_on=date(2025, 6, 1), ends_on=date(2025, 6, 20), at=AT)
    move_branch(touchpoint=tree.places["静安店"], parent=packs, at=AT + 10 * DAY, restates=False)
    come(code, at=AT + 11 * DAY)
    come(code, at=AT + 12 * DAY)

    found = figures()
    assert [found.nodes[pk].scans for pk in (shops.pk, packs.pk, code.pk)] == [1, 2, 3]
    assert [found.nodes[pk].cost for pk in (shops.pk, packs.pk, code.pk)] == [500, 500, 1000]
    old, new = (shops.pk, tree.places["静安店"].pk), (packs.pk, tree.places["静安店"].pk)
    assert [found.paths[path].scans for path in (old, new)] == [1, 2]
    for path, scans in ((old, 1), (new, 2)):
        assert len(rows_behind(EVER, zone=SHANGHAI, model="first", now=NOW, figure="scans", path=path)) == scans
    today = figures(as_it_was=False)
    assert [today.nodes[pk].scans for pk in (shops.pk, packs.pk)] == [0, 3]
    rows = rows_behind(EVER, zone=SHANGHAI, model="first", now=NOW, figure="scans", touchpoint_id=shops.pk)
    assert [row.at for row in rows] == [AT]


def test_move_that_restates_counts_all_scans_at_the_new_place(tree):
    code, shops, packs = tree.codes["静安门口"], tree.media["门店"], tree.media["包装"]
    come(code, at=AT)
    move_branch(touchpoint=tree.places["静安店"], parent=packs, at=AT + 10 * DAY, restates=True)
    come(code, at=AT + 11 * DAY)

    assert [figures().nodes[pk].scans for pk in (shops.pk, packs.pk)] == [0, 2]


@pytest.mark.parametrize("model", ["first", "last", "position"])
def test_places_below_a_place_add_up_to_it_after_moves(tree, model):
    three_stops(tree)
    move_branch(touchpoint=tree.places["静安店"], parent=tree.media["包装"], at=AT + DAY, restates=False)
    three_stops(tree)
    add_cost(touchpoint=tree.codes["静安门口"], amount=77, starts_on=date(2025, 6, 1), ends_on=date(2025, 6, 9), at=AT)

    found = figures(model)
    for path, whole in [((), found.whole), *found.paths.items()]:
        below = [each for key, each in found.paths.items() if key[:-1] == path]
        if below:
            assert whole.scans == sum(each.scans for each in below)
            assert whole.cost == sum(each.cost for each in below)
            assert whole.parts["people"] == sum(each.parts["people"] for each in below)


def test_restating_move_voids_the_moves_before_it_and_not_those_after(tree):
    code, shops, packs = tree.codes["静安门口"], tree.media["门店"], tree.media["包装"]
    third = create_touchpoint(name="合作方", at=AT)
    branch = tree.places["静安店"]
    come(code, at=AT)
    move_branch(touchpoint=branch, parent=packs, at=AT + 10 * DAY, restates=False)
    branch.refresh_from_db()
    move_branch(touchpoint=branch, parent=third, at=AT + 20 * DAY, restates=True)
    branch.refresh_from_db()
    move_branch(touchpoint=branch, parent=shops, at=AT + 30 * DAY, restates=False)
    come(code, at=AT + 31 * DAY)

    assert [figures().nodes[pk].scans for pk in (shops.pk, packs.pk, third.pk)] == [1, 0, 1]


def test_moves_that_would_make_a_circle_in_the_past_lose_no_scan(tree):
    a, b = tree.places["静安店"], tree.places["徐汇店"]
    come(tree.codes["静安门口"], at=AT)
    come(tree.codes["徐汇门口"], at=AT)
    move_branch(touchpoint=a, parent=b, at=AT + DAY, restates=False)
    a.refresh_from_db()
    move_branch(touchpoint=a, parent=None, at=AT + 2 * DAY, restates=False)
    b.refresh_from_db()
    move_branch(touchpoint=b, parent=a, at=AT + 3 * DAY, restates=True)
    come(tree.codes["静安门口"], at=AT + DAY)

    found = figures()
    assert found.whole.scans == 3
    assert sum(mine.scans for path, mine in found.paths.items() if len(path) == 1) == 3


@pytest.mark.parametrize("case", ["below itself", "below a code", "too deep"])
def test_branch_refuses_an_impossible_place(tree, case):
    deep = tree.places["徐汇店"]
    for number in range(4):
        deep = create_touchpoint(name=f"层{number}", parent=deep, at=AT)
    target = {"below itself": tree.places["静安店"], "below a code": tree.codes["礼盒"], "too deep": deep}[case]
    with pytest.raises(NotInTree):
        move_branch(
            touchpoint=tree.media["门店"] if case == "below itself" else tree.places["静安店"],
            parent=target,
            at=AT,
            restates=True,
        )


def test_archived_branch_comes_back_with_what_went_with_it(tree):
    archive_branch(touchpoint=tree.codes["静安柜台"], at=AT)
    assert archive_branch(touchpoint=tree.media["门店"], at=AT + DAY) == 5
    restore_branch(touchpoint=tree.media["门店"], at=AT + 2 * DAY)

    gone = [node.name for node in tree_nodes() if node.archived_at is not None]
    assert gone == ["静安柜台"]


# --- cost ------------------------------------------------------------------------------------------------------------


@given(
    amount=st.integers(0, 10**12),
    days=st.integers(1, 400),
    cuts=st.lists(st.integers(-5, 410), max_size=8),
)
def test_parts_of_a_cost_add_up_to_the_whole(amount, days, cuts):
    first = date(2025, 6, 1)
    cost = Cost(amount=amount, starts_on=first, ends_on=first + timedelta(days=days - 1))
    edges = sorted({-10, 500, *cuts})
    parts = [
        cost_between(cost, first + timedelta(days=low), first + timedelta(days=high)) for low, high in pairwise(edges)
    ]

    assert sum(parts) == amount


def test_cost_of_each_new_member_is_rounded_half_up(tree):
    code = tree.codes["礼盒"]
    for _ in range(3):
        come(code, joined=AT)
    add_cost(touchpoint=code, amount=1000, starts_on=date(2025, 6, 1), ends_on=date(2025, 6, 1), at=AT)

    assert figures().nodes[code.pk].cost_of_each("join") == 333
    assert figures(window=Window(AT + 5 * DAY, NOW)).nodes[code.pk].cost_of_each("join") is None


def test_window_of_a_cost_ends_today(tree):
    code = tree.codes["礼盒"]
    add_cost(touchpoint=code, amount=3000, starts_on=date(2025, 6, 1), ends_on=date(2025, 6, 30), at=AT)
    now = datetime(2025, 6, 10, 12, tzinfo=SHANGHAI)

    assert figures(now=now, window=Window(None, now)).nodes[code.pk].cost == 1000


# --- quality ---------------------------------------------------------------------------------------------------------


def test_channel_of_bargain_hunters_ranks_below_the_loyal_one(tree):
    """The first brings twice the followers; they leave in days. The second brings people who stay and join."""
    now = AT + 60 * DAY
    bargain, loyal, small = tree.codes["静安门口"], tree.codes["徐汇门口"], tree.codes["礼盒"]
    for number in range(60):
        come(bargain, left=AT + 2 * DAY if number % 10 else None)
    for number in range(30):
        come(loyal, joined=AT + DAY if number % 2 else None, back=AT + 9 * DAY)
    for _ in range(29):
        come(small, back=AT + 9 * DAY)
    found = ranking(figures(window=settled_window(now, SHANGHAI), now=now), [bargain.pk, loyal.pk, small.pk])

    assert [(each.touchpoint_id, each.rank) for each in found] == [(loyal.pk, 1), (bargain.pk, 2), (small.pk, None)]
    assert [each.score for each in found] == [40 + 12 + 20 + 15 + 1, 6, None]
    assert [each.followers for each in found] == [30, 60, 29]
    for each in found[:2]:
        assert round(sum(mark.points for mark in each.marks)) == each.score


def test_two_channels_with_equal_follows_are_told_apart_by_who_stays_and_who_came_for_the_coupon_only(tree):
    """Forty by each code. Of the one most take the coupon and leave; of the other as many take it and do more."""
    now = AT + 60 * DAY
    lottery, loyal = tree.codes["静安门口"], tree.codes["徐汇门口"]
    template = make_template()
    for number in range(40):
        came = come(lottery, left=AT + 20 * DAY if number < 30 else None)
        if number < 30:
            take(template, came.follower.member, at=AT + timedelta(minutes=1))
    for number in range(40):
        came = come(loyal, joined=AT + DAY)
        if number < 30:
            take(template, came.follower.member, at=AT + timedelta(minutes=1))
            buy(came.follower.member, f"L{number}", 9900, at=AT + 3 * DAY)
    found = ranking(figures(window=settled_window(now, SHANGHAI), now=now), [lottery.pk, loyal.pk])

    assert [(each.touchpoint_id, each.rank, each.followers) for each in found] == [
        (loyal.pk, 1, 40),
        (lottery.pk, 2, 40),
    ]
    assert [(each.kept_7, each.kept, each.bargain, each.is_bargain) for each in found] == [
        (40, 40, 0, False),
        (40, 10, 30, True),
    ]


@pytest.mark.parametrize("more", ["nothing", "bought", "bought with it", "bought too late", "visited", "wrote at once",
                                  "wrote later", "was answered", "was given it"])  # fmt: skip
def test_what_makes_somebody_one_who_came_for_the_benefit_only(tree, more):
    code, template = tree.codes["静安门口"], make_template()
    came = come(code)
    member = came.follower.member
    coupon = take(template, member, at=AT, way="PUSH" if more == "was given it" else "SCAN")
    if more in ("bought", "bought with it", "bought too late"):
        buy(member, "B1", 9900, at=AT + (31 if more == "bought too late" else 5) * DAY)
    if more == "bought with it":
        Coupon.objects.filter(pk=coupon.pk).update(state="USED", used_at=AT + 5 * DAY, order="B1")
    if more == "visited":
        record_fact(report=Report("door", FactKind.VISIT, "V1", AT + 5 * DAY, member_id=member.pk), at=AT + 5 * DAY)
    if more in ("wrote at once", "wrote later", "was answered"):
        talk = Conversation.objects.create(account=code.account, follower=came.follower, opened_at=AT, last_at=AT)
        at, way = (
            AT + (5 * DAY if more == "wrote later" else timedelta(hours=1)),
            "OUT" if more == "was answered" else "IN",
        )
        author = make_staff("lanyu-agent", "guide") if more == "was answered" else None
        Message.objects.create(conversation=talk, direction=way, kind="text", text="领券", at=at, author=author)
    expected = int(more in ("nothing", "bought with it", "bought too late", "wrote at once"))
    assert figures().nodes[code.pk].people("bargain_30") == expected
    assert figures(now=AT + 29 * DAY).nodes[code.pk].people("bargain_30") == 0  # nobody can tell yet
    behind = rows_behind(EVER, zone=SHANGHAI, model="first", now=NOW, figure="bargain_30", touchpoint_id=code.pk)
    assert len(behind) == expected


# --- brands ----------------------------------------------------------------------------------------------------------


def test_other_brand_adds_nothing_and_sees_nothing(brand, other_brand):
    codes = {}
    for each, people in ((brand, 1), (other_brand, 2)):
        with brand_scope(each.pk):
            codes[each.pk] = create_touchpoint(name="门口", account=make_account(), at=AT)
            for _ in range(people):
                come(codes[each.pk])
            add_cost(
                touchpoint=codes[each.pk], amount=people, starts_on=date(2025, 6, 1), ends_on=date(2025, 6, 1), at=AT
            )

    with brand_scope(brand.pk):
        mine = figures()
        theirs = rows_behind(
            EVER, zone=SHANGHAI, model="first", now=NOW, figure="scans", touchpoint_id=codes[other_brand.pk].pk
        )
    assert (mine.whole.scans, mine.whole.cost, set(mine.nodes), theirs) == (1, 1, {codes[brand.pk].pk}, [])


def test_every_model_says_what_it_means():
    assert [key for key, _model in sorted(attributions.items())] == ["first", "last", "position"]
    assert all(str(model.meaning) for _key, model in attributions.items())
