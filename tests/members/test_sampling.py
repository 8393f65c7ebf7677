"""Figures of large brands: estimated from a fixed part of the people, told with what they may be off by."""

import hashlib
import json
import math
import re
from collections import Counter
from itertools import count

import pytest
from django.db import DataError, connection
from django.test import Client
from django.utils import translation

from accounts.models import RoleGrant
from accounts.roles import DataScope, Role
from accounts.tenancy import brand_scope, reporting
from accounts.viewer import Viewer
from members import sampling
from members.models import ONE_IN, Member, Segment, in_sample
from members.models.people import SAMPLE_BEGINS
from members.sampling import TooLongError, estimated, exactly, giving_up, matching_in_sample, part_of
from members.segment_preview import emptied_by, sample
from members.segments import matching, sentence
from members.selectors import how_many, preview, preview_of
from members.services import save_segment
from stores.models import StoreGrant
from tests.api.conftest import key_caller
from tests.factories import AT, make_account, make_staff, make_store, make_tag

PEOPLE = 6_400
# Everything follows from the numbers of the people, which are given: the same are in the sample every time.
_CROWD = """
INSERT INTO members_member (brand_id, id, public_id, member_no, name, phone_tail, phone_masked, city, created_at,
    joined_at, subscribed, last_interaction_at, tag_ids, store_id)
SELECT %(brand)s, n, gen_random_uuid(), 'G' || n, %(name)s || n, '', '', '', %(at)s, CASE WHEN n %% 2 = 0 THEN %(at)s END,
    n %% 10 <> 0, %(at)s::timestamptz - (n * 7919 %% 400) * interval '1 day',
    CASE WHEN n %% 8 = 0 THEN ARRAY[%(tag)s::bigint] ELSE '{}' END, CASE WHEN n <= 40 THEN %(store)s END
FROM generate_series(1, %(people)s) n
"""
_BOUGHT = """
INSERT INTO loyalty_fact (brand_id, system, kind, number, fingerprint, member_id, amount, body, happened_at,
    received_at)
SELECT %(brand)s, 'pos', 'PURCHASE', m || '-' || n, gen_random_uuid(), m, 5000 + (m * n %% 97) * 1000, '{}',
    %(at)s::timestamptz - ((m * 7 + n * 131) %% 730) * interval '1 day', %(at)s
FROM generate_series(3, %(people)s, 3) m, generate_series(1, 2) n
"""


def leaf(key, **params):
    return {"condition": key, "params": params}


FOLLOWING = leaf("subscribed", value="yes")
RECENT = {"all": [leaf("last_interaction", how="within", days=120), leaf("joined", value="yes")]}
BOUGHT = {"all": [leaf("orders", how="least", times=1, days=200)]}
SPENT = {"all": [leaf("spent", how="least", yuan=500, days=365)]}


def crowd(brand, name="顾客"):
    with brand_scope(brand.pk):
        make_account()
        tag, store = make_tag("常客"), make_store()
        values = {"brand": brand.pk, "name": name, "at": AT, "tag": tag.pk, "store": store.pk, "people": PEOPLE}
        with connection.cursor() as cursor:
            cursor.execute(_CROWD, values)
            cursor.execute(_BOUGHT, values)
    return tag.pk


@pytest.fixture
def tag(brand, other_brand, monkeypatch):
    """A brand of many people, for here; the brand beside it has as many, all of other names."""
    monkeypatch.setattr(sampling, "LARGE", 3_000)
    monkeypatch.setattr(sampling, "FEWEST", 5)
    crowd(other_brand, "邻居")
    return crowd(brand)


def rules(tag):
    return [
        {"all": []},
        {"all": [FOLLOWING]},
        {"all": [leaf("tag", how="any", tags=[tag]), FOLLOWING]},
        RECENT,
        BOUGHT,
        {"all": [RECENT, {"none": [SPENT]}]},
        {"any": [RECENT, leaf("orders", how="least", times=2, days=200)]},
        {"none": [leaf("orders", how="less", times=1, days=300), leaf("reachable", way="template", value="yes")]},
    ]


def page_of(brand, rule, **more):
    with brand_scope(brand.pk):
        staff = make_staff(f"m{len(more)}{abs(hash(str(rule))) % 9999}", "MARKETER")
    client = Client()
    client.force_login(staff, backend="django.contrib.auth.backends.ModelBackend")
    return client.post("/b/lanyu/segments/preview/", {"rule": json.dumps(rule), **more}).content.decode()


def test_what_an_estimate_says_lies_round_the_truth(brand, tag):
    with brand_scope(brand.pk):
        *many, few = rules(tag)
        for rule in many:
            shown, truth = preview(rule, at=AT), how_many(rule, at=AT)
            assert (shown.is_estimated, shown.count) == (True, shown.found * ONE_IN), rule
            assert shown.people.low <= truth <= shown.people.high, rule
        assert preview(few, at=AT).people == exactly(how_many(few, at=AT))
        shown, exact = preview(rules(tag)[1], at=AT), preview_of(matching(rules(tag)[1], at=AT), at=AT)
        assert shown.reached.low <= exact.reachable <= shown.reached.high
        assert [way.key for way in shown.reach] == [way.key for way in exact.reach]


def test_ranges_hold_the_truth_as_often_as_they_say():
    begins = [hashlib.md5(f"{number}".encode(), usedforsecurity=False).digest()[0] // 4 for number in range(200_000)]
    for share in (3, 10, 50, 97):
        fits = [number * 7919 % 100 < share for number in range(200_000)]
        hits = Counter(part for part, fit in zip(begins, fits, strict=True) if fit)
        held = sum(estimated(hits[part]).low <= sum(fits) <= estimated(hits[part]).high for part in range(ONE_IN))
        assert held >= 58, share  # of 64 samples of the same people


def test_the_sample_finds_whom_the_rule_finds_and_nobody_else(brand, tag):
    with brand_scope(brand.pk), reporting(brand.pk):
        for rule in rules(tag):
            found = set(matching_in_sample(rule, at=AT).values_list("pk", flat=True))
            assert found == set(matching(rule, at=AT).filter(in_sample()).values_list("pk", flat=True)), rule
        assert 0 < Member.objects.filter(in_sample()).count() < PEOPLE / ONE_IN * 1.3


def test_people_shown_are_real_members_of_this_brand(brand, tag):
    with brand_scope(brand.pk):
        rule = {"all": [leaf("tag", how="any", tags=[tag]), FOLLOWING]}
        shown = preview(rule, at=AT)
        names = {person.name for person in shown.sample}
        assert len(names) == 20
        assert names <= set(matching(rule, at=AT).values_list("name", flat=True))
    assert "邻居" not in page_of(brand, rule)


def test_of_very_many_a_part_is_asked_how_they_can_be_reached(brand, tag, monkeypatch):
    monkeypatch.setattr("members.selectors.FEW", 50)
    with brand_scope(brand.pk):
        rule = {"all": [FOLLOWING]}
        shown, exact = preview(rule, at=AT), preview_of(matching(rule, at=AT), at=AT)
        assert shown.count == shown.found * ONE_IN
        assert shown.people.low <= exact.count <= shown.people.high
        assert shown.reached.low <= exact.reachable <= shown.reached.high
        assert shown.reachable <= shown.count
        assert len(shown.sample) == 20


def test_few_are_counted_exactly(brand, tag):
    rule = {"all": [leaf("store", stores=[1])]}
    with brand_scope(brand.pk):
        rule["all"][0]["params"]["stores"] = [Member.objects.get(pk=1).store_id]
        shown = preview(rule, at=AT)
        assert (shown.count, shown.is_estimated, len(shown.sample)) == (40, False, 20)


def test_few_that_take_too_long_to_count_are_said_to_be_fewer_than(brand, tag, monkeypatch):
    def too_long(seconds):
        monkeypatch.setattr(sampling, "_asked", seconds, raising=False)
        return giving_up(0.05)

    monkeypatch.setattr("members.selectors.giving_up", too_long)
    monkeypatch.setattr("members.selectors.preview_of", lambda *_args, **_more: ask("SELECT pg_sleep(30)"))
    with brand_scope(brand.pk):
        store = Member.objects.get(pk=1).store_id
        shown = preview({"all": [leaf("store", stores=[store])]}, at=AT)
        assert sampling._asked == sampling.EXACT_SECONDS
        assert shown.is_estimated
        assert shown.people.low <= 40 <= shown.people.high
        assert ask("SELECT current_setting('statement_timeout')") == "0"  # what comes next has its own time again
        assert Member.objects.filter(pk=1).exists()
        with translation.override("en"):
            assert str(shown.people).startswith("fewer than ")
        with translation.override("zh-hans"):
            assert str(shown.people).startswith("不到 ")


def ask(statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()[0]


def test_another_fault_of_the_database_is_not_taken_for_patience(brand):
    with brand_scope(brand.pk):
        with pytest.raises(DataError), giving_up(1):
            ask("SELECT 1 / 0")
        assert ask("SELECT current_setting('statement_timeout')") == "0"


def test_small_brands_are_counted_one_by_one(brand, tag, monkeypatch):
    monkeypatch.setattr(sampling, "LARGE", 1_500_000)
    with brand_scope(brand.pk):
        shown = preview({"all": [FOLLOWING]}, at=AT)
        assert shown.people == exactly(PEOPLE * 9 // 10)
    page = page_of(brand, {"all": [FOLLOWING]})
    assert 'data-count="5760">5,760<' in page
    assert 'data-testid="estimated"' not in page
    assert "±" not in page


def test_saving_counts_everybody(brand, tag):
    with brand_scope(brand.pk):
        staff = make_staff("saver", "MARKETER")
    client = Client()
    client.force_login(staff, backend="django.contrib.auth.backends.ModelBackend")
    fields = {"node": ["r", "r.0"], "r.kind": "all", "r.0.condition": "subscribed", "r.0.params.value": "yes"}
    client.post("/b/lanyu/segments/new/", {**fields, "name": "粉丝"})
    with brand_scope(brand.pk):
        assert Segment.objects.get().counted == PEOPLE * 9 // 10
        kept = save_segment(name="名单", rule=RECENT, at=AT)
        assert preview_of(matching(kept.rule, at=AT), at=AT).people == exactly(how_many(RECENT, at=AT))


def test_builder_says_about_how_many_and_how_sure(brand, tag):
    page = page_of(brand, {"all": [FOLLOWING]})
    assert re.search(r'data-testid="count" data-count="\d+">约 6,000</strong> 人<span[^>]*>（±1,\d00）<', page)
    assert "每 64 人抽 1 人估算，95% 的可能在" in page
    assert 'data-testid="another-sample"' in page
    other = page_of(brand, {"all": [FOLLOWING]}, draw="1")
    named = [set(re.findall(r"顾客\d+", each)) for each in (page, other)]
    assert (len(named[0]), len(named[1]), named[0] & named[1]) == (20, 20, set())


def test_builder_does_not_say_nobody_where_only_the_sample_was_looked_at(brand, tag, monkeypatch):
    monkeypatch.setattr("members.selectors.preview_of", lambda *_args, **_more: ask("SELECT pg_sleep(30)"))
    monkeypatch.setattr(sampling, "EXACT_SECONDS", 0.05)
    page = page_of(brand, {"all": [leaf("city", cities=["拉萨"])]})
    assert "不到 250</strong>" in page
    assert "抽到的人都不符合这条规则" in page


def of_one_store(brand):
    """Sees forty people."""
    staff = make_staff("narrow", Role.ANALYST, scope=DataScope.STORES)
    grant = RoleGrant.objects.get(staff_user=staff)
    StoreGrant.objects.create(grant=grant, store=Member.objects.get(pk=1).store)
    return Viewer(staff.pk, "", brand.pk, grant.role, grant.scope, grant.pk)


def test_a_viewer_of_one_store_is_shown_their_people(brand, tag):
    with brand_scope(brand.pk):
        shown = preview({"all": [FOLLOWING]}, at=AT, viewer=of_one_store(brand))
        assert shown.is_estimated
        assert len(shown.sample) == 20
        assert {person.id for person in shown.sample} <= set(range(1, 41))


@pytest.mark.parametrize("large", [3_000, 1_500_000])
def test_a_viewer_of_one_store_is_shown_all_their_people_by_and_by(brand, tag, monkeypatch, large):
    monkeypatch.setattr(sampling, "LARGE", large)
    with brand_scope(brand.pk):
        viewer, rule = of_one_store(brand), {"all": [FOLLOWING]}
        shown = preview(rule, at=AT, viewer=viewer)
        assert shown.is_estimated == (large == 3_000)
        drawn = [
            [person.id for person in sample(rule, at=AT, shown=shown, draw=draw, viewer=viewer)] for draw in range(4)
        ]
        assert sorted(drawn[0] + drawn[1]) == [pk for pk in range(1, 41) if pk % 10]  # all who follow
        assert drawn[2:] == drawn[:2]


@pytest.mark.parametrize("narrow", [False, True])
def test_another_sample_that_takes_too_long_leaves_the_one_before(brand, tag, monkeypatch, narrow):
    with brand_scope(brand.pk):
        viewer = of_one_store(brand) if narrow else None
        shown = preview({"all": [FOLLOWING]}, at=AT, viewer=viewer)
        monkeypatch.setattr(sampling, "EXACT_SECONDS", 0.05)
        monkeypatch.setattr("members.segment_preview.named", lambda *_args: ask("SELECT pg_sleep(30)"))
        assert sample({"all": [FOLLOWING]}, at=AT, shown=shown, draw=1, viewer=viewer) == shown.sample
        assert ask("SELECT current_setting('statement_timeout')") == "0"


def test_another_sample_is_read_by_one_process(brand, tag, monkeypatch):
    with brand_scope(brand.pk):
        shown = preview({"all": [FOLLOWING]}, at=AT)
        setting = "SELECT current_setting('max_parallel_workers_per_gather')"
        monkeypatch.setattr("members.segment_preview.named", lambda *_args: ask(setting))
        assert sample({"all": [FOLLOWING]}, at=AT, shown=shown, draw=1) == "0"
        assert ask(setting) != "0"


@pytest.mark.parametrize(("tick", "told"), [(100, True), (400, False)])
def test_the_condition_that_left_nobody_is_looked_for_within_one_limit_in_all(brand, tag, monkeypatch, tick, told):
    nobody = leaf("city", cities=["拉萨"])
    with brand_scope(brand.pk):
        assert preview({"all": [FOLLOWING] * 4 + [nobody]}, at=AT).people == exactly(0)
        monkeypatch.setattr(sampling, "EXACT_SECONDS", 1_000)
        monkeypatch.setattr("members.segment_preview.monotonic", count(0, tick).__next__)
        found = emptied_by({"all": [FOLLOWING] * 4 + [nobody]}, at=AT)
        assert found == ((sentence({"all": [nobody]}), True) if told else None)
        assert ask("SELECT current_setting('statement_timeout')") == "0"


def test_hardly_any_time_is_not_taken_for_endless_time(brand):
    with brand_scope(brand.pk), pytest.raises(TooLongError), giving_up(0.0001):
        ask("SELECT pg_sleep(3)")


def test_other_systems_are_told_the_range(brand, tag):
    caller = key_caller(brand, ["segments.read", "members.read"])
    told = caller.post("/segments/preview/", {"rule": {"all": [FOLLOWING]}}).json()
    assert told["estimated"] is True
    assert told["low"] < PEOPLE * 9 // 10 < told["high"]
    assert told["low"] < told["count"] < told["high"]
    assert all(each["low"] <= each["count"] <= each["high"] for each in told["reach"])
    assert len(told["sample"]) == 20
    few = caller.post("/segments/preview/", {"rule": {"all": [leaf("city", cities=["拉萨"])]}}).json()
    assert (few["estimated"], few["count"], few["low"], few["high"]) == (False, 0, 0, 0)
    faulty = caller.post("/segments/preview/", {"rule": {"all": [{"condition": "nope"}]}})
    assert (faulty.status_code, faulty.json()["error"]["code"]) == (422, "rule_invalid")


@pytest.mark.parametrize(
    ("hits", "said", "margin", "low"),
    [
        (0, "fewer than 250", None, 0),
        (3, "fewer than 570", None, 65),
        (99, "fewer than 7,800", None, 5203),
        (100, "about 6,400", 1300, 5155),
        (1922, "about 123,000", 5500, 117553),
        (78_125, "about 5,000,000", 35_000, 4965194),
    ],
)
def test_figures_have_no_more_digits_than_they_are_worth(hits, said, margin, low):
    figure = estimated(hits)
    with translation.override("en"):
        assert str(figure) == said
    assert figure.is_few == (margin is None)
    assert margin in (None, figure.margin)
    assert abs(figure.low - low) <= 64
    assert figure.at_least <= figure.low <= figure.count <= figure.high <= figure.at_most


def test_few_of_a_fourth_of_the_sample_are_four_times_as_many():
    whole = estimated(30_000)
    few, enough = (part_of(hits, asked=7_500, whole=whole) for hits in (99, 101))
    assert (few.is_few, few.count) == (True, 99 * 4 * ONE_IN)
    assert (enough.is_few, enough.count) == (False, 101 * 4 * ONE_IN)
    assert [estimated(hits).is_few for hits in (99, 101)] == [True, False]
    with translation.override("en"):
        assert str(few) == "fewer than 31,000"


def test_what_is_true_of_all_who_were_asked_is_true_of_the_whole():
    whole = estimated(30_000)
    for asked in (7_400, 7_500, 7_600):  # a fourth is never exactly one
        everybody = part_of(asked, asked=asked, whole=whole)
        assert (everybody.count, everybody.high) == (whole.count, whole.high)
        assert everybody.low <= whole.low
        nobody = part_of(0, asked=asked, whole=whole)
        assert (nobody.count, nobody.low, nobody.is_few) == (0, 0, True)
        assert 0 < nobody.high < 2_000
        half = part_of(asked // 2, asked=asked, whole=whole)
        assert abs(half.count - whole.count // 2) <= whole.count // asked + 1
        assert half.high - half.count > (whole.high - whole.count) / 2  # the error of the whole is in it
        assert half.high - half.count > 1.9 * math.sqrt(0.25 / asked) * whole.count  # that of the share as well


def test_ranges_of_parts_hold_the_truth_as_often_as_they_say():
    begins = [hashlib.md5(f"{number}".encode(), usedforsecurity=False).digest()[0] for number in range(200_000)]
    for share in (3, 50, 97):
        among = [number * 7919 % 100 < 60 for number in range(200_000)]
        fits = [one and number * 104_729 % 100 < share for number, one in enumerate(among)]
        whole = Counter(begin for begin, one in zip(begins, among, strict=True) if one)
        hits = Counter(begin for begin, fit in zip(begins, fits, strict=True) if fit)
        held = 0
        for begin in range(256):
            sampled = sum(whole[begin // 4 * 4 + each] for each in range(4))
            said = part_of(hits[begin], asked=whole[begin], whole=estimated(sampled))
            held += said.low <= sum(fits) <= said.high
        assert held >= 232, share  # of 256 fourths


def test_the_share_and_the_index_are_of_one_mind():
    assert len(set(SAMPLE_BEGINS)) * ONE_IN == 256
