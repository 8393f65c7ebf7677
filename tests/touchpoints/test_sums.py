"""Sums of figures: equal to counting every touch, whatever happened in whatever order; fresh, or honest about it."""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest
from django.db import connection

from accounts.tenancy import brand_scope
from common import failpoints
from coupons.errors import MemberLimit
from loyalty.errors import MemberGone
from loyalty.models import FactKind
from loyalty.services import Report, record_fact
from members import services as member_services
from members.models import ErasureReason, Follower, Member, MergeRecord
from members.services.erasure import erase_due, start_clocks
from tests.coupons.conftest import make_template
from tests.factories import AT, make_account, make_follower, make_mini_program
from tests.touchpoints.conftest import DAY, buy, come, follow_again, leave, send_back, take
from touchpoints import selectors, services
from touchpoints.models import ChannelSum, CountedTouch, FigureState, Recount, Touch
from touchpoints.selectors import Stage, Window, funnel_stages
from touchpoints.services import sums as counting

SHANGHAI = ZoneInfo("Asia/Shanghai")
NEW_YORK = ZoneInfo("America/New_York")
MODELS = ("first", "last", "position")


def midnight(now, days, zone=SHANGHAI):
    """The beginning of a window of the last days; 0 is everything."""
    if not days:
        return None
    start = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    return start - timedelta(days=days - 1)


def count(now, zone=SHANGHAI, limit=7):
    """Count until nobody waits."""
    for _round in range(10_000):
        assert services.count_again(at=now, zone=zone, limit=limit) is not None
        if not selectors.freshness(at=now, zone=zone).waiting:
            break
    assert selectors.freshness(at=now, zone=zone) == selectors.Freshness(is_ready=True)


def plain(figures):
    """Figures without what is zero, so that nothing but counts is compared."""
    return (figures.scans, figures.cost, dict(+figures.cases), dict(+figures.parts), dict(-figures.parts))


def shown(found):
    """The figures of a tree, to be compared."""
    return (
        {pk: plain(each) for pk, each in found.nodes.items()},
        {path: plain(each) for path, each in found.paths.items()},
        plain(found.whole),
    )


def assert_equal_everywhere(now, chance, zone=SHANGHAI):
    """Sums give what counting gives: of all models at once, of one figure alone, of one branch alone."""
    nodes = selectors.tree_nodes()
    for days in (1, 7, 30, 0, chance.randint(1, 40), chance.randint(1, 366)):
        window = Window(midnight(now, days, zone), now + timedelta(seconds=1))
        asked = {"now": now, "zone": zone, "as_it_was": chance.random() < 0.7, "nodes": nodes}
        counted = selectors.trees_by_model(window, models=MODELS, **asked)
        asked["credited"] = selectors.summed_credits
        summed = selectors.trees_by_model(window, models=MODELS, **asked)
        for model in MODELS:
            assert shown(summed[model]) == shown(counted[model]), (days, model)
        model, branch = chance.choice(MODELS), chance.choice(nodes).pk
        key = chance.choice(
            ["people", "follow", "join", "order", "kept_7", "fast_30", "bought_30", "bargain_30", "value_30"]
        )
        one = selectors.trees_by_model(window, models=[model], keys=[key], **asked)[model]
        below = selectors.tree_figures(window, model=model, below=branch, **asked)
        assert {pk: each.parts[key] for pk, each in one.nodes.items()} == {
            pk: each.parts[key] for pk, each in counted[model].nodes.items()
        }
        assert plain(below.nodes[branch]) == plain(counted[model].nodes[branch])
    codes = [node.pk for node in nodes if node.is_code]
    for model in MODELS:
        for points in (codes, codes[:1]):
            counted, summed = (
                [
                    (each.month, dict(+each.figures.parts))
                    for each in read(now, model=model, zone=zone, touchpoint_ids=points)
                ]
                for read in (selectors.cohorts, selectors.summed_cohorts)
            )
            assert summed == counted


def assert_rows_equal(now, days, **which):
    window = Window(midnight(now, days), now + timedelta(seconds=1))
    counted, summed = (
        read(window, now=now, zone=SHANGHAI, **which) for read in (selectors.rows_behind, selectors.summed_rows)
    )
    whole = which["figure"] == "scans"

    def facts(rows):
        return [(row.touch_id, row.member_id, 0 if whole else row.part, row.case, row.joined_at) for row in rows]

    assert facts(summed) == facts(counted)
    if not whole:
        assert [row.left_at for row in summed] == [row.left_at for row in counted]


# --- whatever happens ------------------------------------------------------------------------------------------------


class Story:
    """Things that happen to a brand in a random order, some of them heard of late."""

    def __init__(self, tree, seed):
        self.chance = Random(seed)
        self.tree = tree
        self.now = AT + 100 * DAY
        self.followers = []
        self.purchases = []
        self.bought = 0
        self.took = set()
        self.template = make_template(at=AT)
        self.program = make_mini_program()
        self.mini = services.create_mini_code(touchpoint=tree.codes["礼盒"], program=self.program, page="", at=AT)

    @property
    def codes(self):
        return list(self.tree.codes.values())

    def moment(self):
        """Now, or up to 100 days ago: a push that comes late."""
        if self.chance.random() < 0.5:
            return self.now - timedelta(minutes=self.chance.randint(0, 90))
        return self.now - timedelta(minutes=self.chance.randint(0, 100 * 24 * 60))

    def anybody(self):
        return Follower.objects.get(pk=self.chance.choice(self.followers))

    def new(self):
        came = come(self.chance.choice(self.codes), at=self.moment())
        self.followers.append(came.follower.pk)

    def scan(self):
        come(self.chance.choice(self.codes), follower=self.anybody(), at=self.moment())

    def open(self):
        services.record_opening(
            member_id=self.anybody().member_id,
            appid=self.program.appid,
            scene=self.mini.code,
            opening=f"{self.chance.getrandbits(64):016x}",
            at=self.moment(),
        )

    def again(self):
        follow_again(self.anybody(), self.chance.choice(self.codes), self.moment())

    def leave(self):
        leave(self.anybody(), self.moment())

    def found_gone(self):
        follower = self.anybody()
        member_services.mark_unfollowed(account_id=follower.account_id, openids=[follower.openid], at=self.moment())

    def join(self):
        member_services.join(member=self.anybody().member, at=self.moment())

    def talk(self):
        member_services.record_interaction(follower=self.anybody(), at=self.moment())

    def buy(self):
        member = self.anybody().member
        if member.merged_into_id is None and member.erased_at is None:
            fen = self.chance.randint(1, 2_000_000)
            self.bought += 1
            outcome = buy(member, f"SO{self.bought}", fen, at=self.moment(), heard=self.now)
            self.purchases.append((outcome.fact.number, fen))

    def take(self):
        member = self.anybody().member
        if member.merged_into_id is None and member.erased_at is None and member.pk not in self.took:
            self.took.add(member.pk)
            with suppress(MemberLimit):  # a record that was merged into this one brought its coupon along
                take(self.template, member, at=self.now, way=self.chance.choice(["SCAN", "PUSH"]))

    def visit(self):
        member = self.anybody().member
        if member.merged_into_id is None and member.erased_at is None:
            self.bought += 1
            report = Report("door", FactKind.VISIT, f"V{self.bought}", self.moment(), member_id=member.pk)
            record_fact(report=report, at=self.now)

    def send_back(self):
        if self.purchases:
            number, fen = self.purchases.pop(self.chance.randrange(len(self.purchases)))
            with suppress(MemberGone):  # whoever is erased brings nothing back
                send_back(number, self.chance.randint(1, fen), at=self.now)

    def staff(self):
        services.mark_staff(member=self.anybody().member, at=self.now)

    def not_staff(self):
        services.unmark_staff(member=self.anybody().member)

    def move(self):
        branch = self.chance.choice([*self.tree.places.values(), *self.codes])
        branch.refresh_from_db()
        target = self.chance.choice([None, *self.tree.media.values()])
        services.move_branch(touchpoint=branch, parent=target, at=self.now, restates=self.chance.random() < 0.4)

    def merge(self):
        one, other = self.anybody().member, self.anybody().member
        if one.pk != other.pk and one.merged_into_id is None and other.merged_into_id is None:
            member_services.merge_members(kept=one, merged=other, evidence="test", at=self.now)

    def erase(self):
        start_clocks(followers=[self.anybody()], reason=ErasureReason.CANCELLED, at=self.now)
        erase_due(self.tree.brand.pk, at=self.now)

    def pass_time(self):
        self.now += timedelta(hours=self.chance.randint(1, 24 * 12))

    def count_some(self):
        services.count_again(at=self.now, zone=SHANGHAI, limit=self.chance.choice([1, 2, 5, 100]))

    def go_on(self, steps):
        acts = (
            [self.new] * 5
            + [self.scan] * 5
            + [self.open] * 2
            + [self.again] * 3
            + [self.leave] * 3
            + [self.join, self.talk] * 3
            + [self.buy] * 5
            + [self.take] * 4
            + [self.visit, self.send_back]
        )
        acts += [self.found_gone, self.staff, self.not_staff, self.move, self.move, self.merge, self.erase]
        acts += [self.pass_time] * 4 + [self.count_some] * 4
        self.new()
        for _step in range(steps):
            self.chance.choice(acts)()


@pytest.mark.parametrize("seed", range(6))
def test_sums_equal_counting_after_anything_in_any_order(tree, in_brand, seed):
    tree.brand = in_brand
    story = Story(tree, seed)
    for _part in range(2):
        story.go_on(60)
        count(story.now)
        assert_equal_everywhere(story.now, story.chance)
    for model in MODELS:
        for figure in ("scans", "people", "follow", "join", "order", "kept_7", "old_30", "bought_30", "bargain_30"):
            assert_rows_equal(story.now, 30, model=model, figure=figure)
            path = (tree.media["门店"].pk,)
            assert_rows_equal(story.now, 0, model=model, figure=figure, path=path)
            assert_rows_equal(story.now, 0, model=model, figure=figure, touchpoint_id=tree.codes["礼盒"].pk)


def test_sums_made_again_are_those_that_grew(tree, in_brand):
    tree.brand = in_brand
    story = Story(tree, 77)
    story.go_on(120)
    count(story.now)

    def rows():
        keys = ("model", "month", "touchpoint_id", "placed_at", "cohort")
        return {row[:-1]: row[-1] for row in ChannelSum.objects.values_list(*keys, "parts") if any(row[-1])}

    grown = rows()
    FigureState.objects.update(meaning="")
    count(story.now, limit=1000)
    assert rows() == grown
    assert grown


def test_time_alone_makes_somebody_one_who_stayed(tree):
    code = tree.codes["礼盒"]
    come(code, at=AT)
    for days, expected in ((6, 0), (7, 1)):
        now = AT + days * DAY
        count(now)
        window = Window(None, now)
        found = selectors.tree_figures(window, model="first", now=now, zone=SHANGHAI, credited=selectors.summed_credits)
        assert found.nodes[code.pk].people("kept_7") == expected


def test_days_begin_at_midnight_in_the_brands_zone(tree):
    """23:30 and 00:30 in Shanghai are two days there, and one in New York."""
    late = datetime(2025, 7, 31, 23, 30, tzinfo=SHANGHAI)
    came = come(tree.codes["静安门口"], at=late)
    come(tree.codes["礼盒"], follower=came.follower, at=late + timedelta(hours=1))
    now = datetime(2025, 8, 1, 9, tzinfo=SHANGHAI)
    for zone in (SHANGHAI, NEW_YORK):
        count(now, zone)
        assert_equal_everywhere(now, Random(1), zone)


# --- what leaves a mark ----------------------------------------------------------------------------------------------


@pytest.fixture
def counted(tree):
    """One person who came twice, counted; time has passed."""
    tree.came = come(tree.codes["静安门口"], at=AT)
    come(tree.codes["礼盒"], follower=tree.came.follower, at=AT + DAY)
    tree.other = come(tree.codes["静安柜台"], at=AT)
    tree.now = AT + 3 * DAY
    member_services.record_interaction(follower=tree.came.follower, at=AT + DAY)
    count(tree.now)
    return tree


CHANGES = {
    "scan": lambda tree: come(tree.codes["礼盒"], follower=tree.came.follower, at=tree.now),
    "late scan": lambda tree: come(tree.codes["礼盒"], follower=tree.came.follower, at=AT - DAY),
    "staff": lambda tree: services.mark_staff(member=tree.came.follower.member, at=tree.now),
    "left": lambda tree: services.record_unfollow(follower=tree.came.follower, at=tree.now),
    "found gone": lambda tree: member_services.mark_unfollowed(
        account_id=tree.account.pk, openids=[tree.came.follower.openid], at=tree.now
    ),
    "joined": lambda tree: member_services.join(member=tree.came.follower.member, at=tree.now),
    "bought": lambda tree: buy(tree.came.follower.member, "SO1", 500, at=tree.now),
    "heard of": lambda tree: member_services.record_interaction(follower=tree.came.follower, at=tree.now),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_figures_depend_on_leaves_a_mark_for_that_person_only(counted, change):
    CHANGES[change](counted)

    assert set(Recount.objects.values_list("member_id", flat=True)) == {counted.came.follower.member_id}
    count(counted.now)
    assert_equal_everywhere(counted.now, Random(2))


def test_touch_that_is_taken_out_leaves_the_sums(counted):
    Touch.objects.filter(member_id=counted.came.follower.member_id).order_by("at").first().delete()
    count(counted.now)

    assert CountedTouch.objects.count() == Touch.objects.count() == 2
    assert_equal_everywhere(counted.now, Random(9))


def test_purchases_that_change_hands_leave_marks_on_both_sides(counted):
    """Only the one who goes has bought, and only the one who stays has come."""
    bought = make_follower(counted.account).member
    buy(bought, "SO1", 70_000, at=AT + DAY, heard=counted.now)
    count(counted.now)
    Recount.objects.all().delete()
    came = counted.came.follower.member
    member_services.merge_members(kept=came, merged=bought, evidence="test", at=counted.now)
    assert came.pk in Recount.objects.values_list("member_id", flat=True)
    later = AT + 31 * DAY
    count(later)
    assert CountedTouch.objects.get(member_id=came.pk, seq=1).value_30 == 70_000

    member_services.undo_merge(record=MergeRecord.objects.get(), reason="two people", by="test", at=later)
    count(later)
    assert CountedTouch.objects.get(member_id=came.pk, seq=1).value_30 == 0
    assert_equal_everywhere(later, Random(11))


@pytest.mark.parametrize("limit", [1, 100])
def test_records_that_become_one_are_counted_as_one(counted, limit):
    one, other = (each.follower.member for each in (counted.came, counted.other))
    member_services.merge_members(kept=one, merged=other, evidence="test", at=counted.now)
    count(counted.now, limit=limit)

    assert set(CountedTouch.objects.values_list("member_id", "total")) == {(one.pk, 3)}
    assert_equal_everywhere(counted.now, Random(10))


def test_second_message_within_a_quarter_of_an_hour_leaves_none(counted):
    for minutes, marks in ((0, 1), (14, 1), (15, 2)):
        member_services.record_interaction(follower=counted.came.follower, at=AT + 2 * DAY + timedelta(minutes=minutes))
        assert Recount.objects.count() == marks


def test_move_before_touches_that_are_known_has_them_counted_again(counted):
    branch = counted.places["静安店"]
    services.move_branch(touchpoint=branch, parent=None, at=AT + 2 * DAY, restates=False)
    assert not Recount.objects.exists()
    branch.refresh_from_db()
    services.move_branch(touchpoint=branch, parent=counted.media["包装"], at=AT + DAY / 2, restates=False)

    assert set(Recount.objects.values_list("member_id", flat=True)) == {counted.came.follower.member_id}
    count(counted.now)
    assert_equal_everywhere(counted.now, Random(3))


# --- crashes, two at once, other definitions -------------------------------------------------------------------------


def test_count_that_dies_before_its_end_has_not_happened(counted, monkeypatch):
    come(counted.codes["礼盒"], follower=counted.came.follower, at=counted.now)
    before = list(ChannelSum.objects.order_by("pk").values())
    monkeypatch.setattr(failpoints, "armed", {"figures: counted, not committed": lambda: 1 / 0})
    with pytest.raises(ZeroDivisionError):
        services.count_again(at=counted.now, zone=SHANGHAI)

    assert list(ChannelSum.objects.order_by("pk").values()) == before
    assert Recount.objects.count() == 1
    monkeypatch.setattr(failpoints, "armed", {})
    count(counted.now)
    assert_equal_everywhere(counted.now, Random(4))


@pytest.mark.django_db(transaction=True)
def test_change_that_comes_while_somebody_counts_is_not_lost(brand, monkeypatch):
    now = AT + 3 * DAY
    with brand_scope(brand.pk):
        account = make_account()
        code = services.create_touchpoint(name="门口", account=account, at=AT)
        came = come(code, at=AT)
    counting_now, goes_on = threading.Event(), threading.Event()

    def wait():
        counting_now.set()
        goes_on.wait(30)

    def work():
        try:
            with brand_scope(brand.pk):
                services.count_again(at=now, zone=SHANGHAI)
        finally:
            connection.close()

    monkeypatch.setattr(failpoints, "armed", {"figures: counted, not committed": wait})
    worker = threading.Thread(target=work)
    worker.start()
    assert counting_now.wait(30)
    try:
        with brand_scope(brand.pk):
            come(code, follower=came.follower, at=AT + DAY)
            member_services.join(member=came.follower.member, at=AT + DAY)
            assert services.count_again(at=now, zone=SHANGHAI) is None, "two count at once"
    finally:
        monkeypatch.setattr(failpoints, "armed", {})
        goes_on.set()
        worker.join(30)
    with brand_scope(brand.pk):
        assert selectors.freshness(at=now, zone=SHANGHAI).waiting == 2
        count(now)
        assert CountedTouch.objects.count() == 2
        assert_equal_everywhere(now, Random(5))


def test_new_stage_has_everything_counted_anew(counted):
    funnel_stages.register("tests.known", Stage("known", "m.name <> ''", 30))
    try:
        assert not selectors.freshness(at=counted.now, zone=SHANGHAI).is_ready
        count(counted.now)
        assert_equal_everywhere(counted.now, Random(6))
        member_id = counted.came.follower.member_id
        member_services.join(member=counted.came.follower.member, at=AT + DAY)
        count(counted.now)
        Member.objects.filter(pk=member_id).update(name="陈子涵")  # only the app of the stage knows that it counts
        services.mark_changed(member_ids=[member_id])
        count(counted.now)
        assert_equal_everywhere(counted.now, Random(6))
    finally:
        funnel_stages._entries.pop("tests.known")
    assert not selectors.freshness(at=counted.now, zone=SHANGHAI).is_ready


def test_report_counts_the_few_that_wait_and_says_how_old_it_is_when_there_are_many(counted, monkeypatch):
    monkeypatch.setattr(counting, "WHILE_LOOKING", 3)
    later = counted.now + timedelta(hours=1)
    for _ in range(3):
        come(counted.codes["礼盒"], at=counted.now)
    assert services.catch_up(at=later, zone=SHANGHAI) == selectors.Freshness(is_ready=True)
    assert CountedTouch.objects.count() == Touch.objects.count() == 6

    latest = later + timedelta(hours=1)
    for _ in range(4):
        come(counted.codes["礼盒"], at=later)
    fresh = services.catch_up(at=latest, zone=SHANGHAI)
    assert (fresh.is_ready, fresh.as_of, fresh.waiting) == (True, later, 4)
    assert CountedTouch.objects.count() == 6


def test_many_touches_without_sums_are_left_to_a_worker(tree, monkeypatch):
    monkeypatch.setattr(counting, "WHILE_LOOKING", 3)
    for _ in range(4):
        come(tree.codes["礼盒"], at=AT)
    Recount.objects.all().delete()  # as in an installation from before there were sums

    assert not services.catch_up(at=AT + DAY, zone=SHANGHAI).is_ready
    assert services.count_all(tree.account.brand_id, clock=lambda: AT + DAY, zone=SHANGHAI, limit=2) == 4
    assert services.catch_up(at=AT + DAY, zone=SHANGHAI) == selectors.Freshness(is_ready=True)
    assert_equal_everywhere(AT + DAY, Random(7))


def test_each_brand_is_counted_for_itself(brand, other_brand):
    codes = {}
    for each, people in ((brand, 1), (other_brand, 2)):
        with brand_scope(each.pk):
            codes[each.pk] = services.create_touchpoint(name="门口", account=make_account(), at=AT)
            for _ in range(people):
                come(codes[each.pk])
    with brand_scope(brand.pk):
        count(AT + DAY)
        assert (Recount.objects.count(), CountedTouch.objects.count()) == (0, 1)
    with brand_scope(other_brand.pk):
        assert (Recount.objects.count(), CountedTouch.objects.count(), ChannelSum.objects.count()) == (2, 0, 0)
        count(AT + DAY)
    for each, people in ((brand, 1), (other_brand, 2)):
        with brand_scope(each.pk):
            found = selectors.tree_figures(
                Window(None, AT + DAY), model="first", now=AT, zone=SHANGHAI, credited=selectors.summed_credits
            )
            assert (found.whole.scans, set(found.nodes)) == (people, {codes[each.pk].pk})


def test_tree_from_sums_costs_the_same_queries_for_one_code_and_for_twenty(tree, django_assert_num_queries):
    def ask():
        window = Window(midnight(AT + DAY, 30), AT + DAY)
        return selectors.tree_figures(
            window, model="position", now=AT + DAY, zone=SHANGHAI, credited=selectors.summed_credits
        )

    come(tree.codes["礼盒"])
    count(AT + DAY)
    with django_assert_num_queries(5):
        assert ask().whole.scans == 1
    for number in range(20):
        come(services.create_touchpoint(name=f"码{number}", account=tree.account, parent=tree.media["包装"], at=AT))
    count(AT + DAY)
    with django_assert_num_queries(5):
        assert ask().whole.scans == 21


def test_person_who_never_followed_is_counted_as_who_scanned(tree):
    """The follower is there by another way: a scan is their first touch by a code."""
    follower = make_follower(tree.account, at=AT - 5 * DAY)
    come(tree.codes["礼盒"], follower=follower, at=AT)
    Member.objects.filter(pk=follower.member_id).update(joined_at=AT + DAY)
    count(AT + 2 * DAY)

    assert CountedTouch.objects.get().followed_at is None
    assert_equal_everywhere(AT + 2 * DAY, Random(8))
