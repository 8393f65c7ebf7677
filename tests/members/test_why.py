"""Why somebody is in a segment: the tree agrees with the statement now, and with what was true at past times."""

from datetime import timedelta
from random import Random

import pytest
from django.utils import translation

from accounts.tenancy import brand_scope
from members.models import Member
from members.placing import counted, undated
from members.segments import conditions, matching
from members.services import (
    change_profile,
    create_tag,
    give_consent,
    join,
    record_follow,
    record_interaction,
    record_unfollow,
    save_segment,
    say,
    set_store,
    tag_members,
    untag_members,
    withdraw_consent,
)
from members.why import explain
from tests.factories import AT, make_account, make_follower, make_member, make_store, make_tag

DAY = timedelta(days=1)


def leaf(key, **params):
    return {"condition": key, "params": params}


def following(value="yes"):
    return leaf("subscribed", value=value)


def holds(rule, member, *, at=AT, then=None):
    return explain(rule, member=Member.objects.get(pk=member.pk), at=at, then=then).tree.holds


def test_tree_says_which_part_fails_and_by_which_fact(in_brand):
    member, tag = make_member(make_account(), last_interaction_at=AT - 40 * DAY), make_tag("静安店")
    tag_members(member_ids=[member.pk], tag_ids=[tag.pk], source="code: 静安", at=AT - DAY)
    recent = leaf("last_interaction", how="within", days=30)
    rule = {"all": [following(), {"any": [leaf("tag", how="any", tags=[tag.pk]), recent]}, {"none": [recent]}]}
    with translation.override("en"):
        tree = explain(rule, member=Member.objects.get(pk=member.pk), at=AT).tree

    assert (tree.holds, [part.holds for part in tree.parts]) == (True, [True, True, True])
    inner = tree.parts[1]
    assert (inner.kind, [part.holds for part in inner.parts]) == ("any", [True, False])
    assert inner.parts[0].fact.startswith("“静安店” since ")
    assert "“静安”" in inner.parts[0].fact
    assert inner.parts[1].fact.startswith("last interaction ")
    assert inner.parts[1].sentence == "interacted within the last 30 days"


def rules(chance, tags, store):
    def one():
        return chance.choice(
            [
                following(chance.choice(["yes", "no"])),
                leaf("joined", value=chance.choice(["yes", "no"])),
                leaf("tag", how=chance.choice(["any", "all"]), tags=chance.sample([tag.pk for tag in tags], k=2)),
                leaf("store", stores=[store.pk]),
                leaf("last_interaction", how=chance.choice(["within", "before"]), days=chance.randint(1, 40)),
                leaf("joined_when", how=chance.choice(["within", "before"]), days=chance.randint(1, 40)),
                leaf("followed_when", how=chance.choice(["within", "before"]), days=chance.randint(1, 40)),
                leaf("city", cities=chance.sample(["上海", "杭州", "北京"], k=2)),
                leaf("gender", value=chance.choice(["F", "M", "none"])),
                leaf("birthday", days=chance.randint(0, 200)),
                leaf("consent", purpose="MARKETING", state=chance.choice(["given", "withdrawn", "unasked"])),
                leaf(
                    "event",
                    how=chance.choice(["did", "not"]),
                    event=chance.choice(["members.followed", "members.unfollowed", "members.consented"]),
                    times=chance.randint(1, 2),
                    days=chance.randint(1, 40),
                ),
            ]
        )

    def group(depth):
        parts = [
            group(depth + 1) if depth < 3 and chance.random() < 0.4 else one() for _ in range(chance.randint(1, 3))
        ]
        return {chance.choice(["all", "any", "none"]): parts}

    return group(1)


def happen(chance, follower, tags, store, at):
    """One random thing happens to somebody."""
    follower.refresh_from_db()
    member, some = follower.member, [chance.choice(tags).pk]
    acts = [
        lambda: tag_members(member_ids=[member.pk], tag_ids=some, source="t", at=at),
        lambda: untag_members(member_ids=[member.pk], tag_ids=some, at=at),
        lambda: record_follow(follower=follower, at=at),
        lambda: record_unfollow(follower=follower, at=at),
        lambda: record_interaction(follower=follower, at=at),
        lambda: chance.random() < 0.3 and join(member=member, at=at),
        lambda: give_consent(member=member, purpose="MARKETING", text_version="1", source="t", at=at),
        lambda: withdraw_consent(member=member, purpose="MARKETING", source="t", at=at),
        lambda: say(
            member_id=member.pk, source="member", values={"city": chance.choice(["", "上海", "北京市"])}, at=at
        ),
        lambda: say(member_id=member.pk, source="pos", values={"birthday": chance.choice(["06-01", "12-24"])}, at=at),
        lambda: say(member_id=member.pk, source="member", values={"gender": chance.choice(["F", "M", ""])}, at=at),
        lambda: set_store(member_id=member.pk, store=store, at=at),
    ]
    chance.choice(acts)()


@pytest.fixture
def lively(in_brand):
    """Six people to whom random things happen over forty days."""
    chance, account, store = Random(3), make_account(), make_store()
    tags = [make_tag(name) for name in ("甲", "乙", "丙")]
    start = AT - 40 * DAY
    people = [make_follower(account, at=start + number * timedelta(minutes=1)) for number in range(6)]
    for minutes in sorted(chance.randint(10, 40 * 1440) for _ in range(45)):
        happen(chance, chance.choice(people), tags, store, start + timedelta(minutes=minutes))
    for number, follower in enumerate(people):
        city, birthday = ["上海", "杭州市", ""][number % 3], [601, 229, None][number % 3]
        change_profile(member_id=follower.member_id, city=city, birth_mmdd=birthday)
    return {"people": [each.member for each in people], "tags": tags, "store": store, "chance": chance}


def test_every_condition_is_asked(in_brand):
    """The rules below speak of every condition that members brings, so that none goes unproved."""
    chance, store, tags = Random(3), make_store(), [make_tag(name) for name in ("甲", "乙")]
    asked = set()
    for _ in range(300):
        asked |= keys(rules(chance, tags, store))
    mine = {key for key, item in conditions.items() if type(item).__module__.startswith("members.segment_conditions")}
    # test_kept_segments, test_profile, test_groupings
    elsewhere = {"reachable", "segment", "stage_moved", "birthday_month", "profile", "flagged", "stood"}
    assert mine - asked == elsewhere


def keys(node):
    if "condition" in node:
        return {node["condition"]}
    return set().union(*(keys(child) for children in node.values() for child in children))


def test_tree_agrees_with_the_statement_for_everybody(lively):
    for _ in range(10):
        rule = rules(lively["chance"], lively["tags"], lively["store"])
        found = set(matching(rule, at=AT).values_list("pk", flat=True))
        assert {member.pk for member in lively["people"] if holds(rule, member)} == found, rule


def test_past_is_as_it_was_or_said_to_be_unknown(in_brand, lively_past):
    wrong, known = [], 0
    for at, rule, member, was in lively_past:
        said = holds(rule, member, then=at)
        known += said is not None
        if said not in (was, None):
            wrong.append((at, rule))
    assert wrong == []
    assert known > len(lively_past) // 2


@pytest.fixture
def lively_past(in_brand):
    """What the statement said at random times while things went on: (time, rule, person, whether in)."""
    chance, account, store = Random(8), make_account(), make_store()
    tags = [make_tag(name) for name in ("甲", "乙", "丙")]
    start = AT - 40 * DAY
    people = [make_follower(account, at=start + number * timedelta(minutes=1)) for number in range(4)]
    seen = []
    for number in range(40):
        at = start + timedelta(hours=23 * number + 1)
        happen(chance, chance.choice(people), tags, store, at)
        then, rule = at + timedelta(minutes=5), rules(chance, tags, store)
        found = set(matching(rule, at=then).values_list("pk", flat=True))
        each = chance.choice(people)
        seen.append((then, rule, each.member, each.member_id in found))
    return seen


def test_what_is_not_kept_is_unknown_and_not_guessed(in_brand):
    member = make_member(make_account(), created_at=AT - 10 * DAY)
    follows = leaf("followed_when", how="within", days=30)

    assert holds({"all": [follows]}, member, then=AT - DAY) is None
    assert holds({"all": [follows, leaf("joined", value="yes")]}, member, then=AT - DAY) is False
    assert holds({"any": [follows, leaf("joined", value="no")]}, member, then=AT - DAY) is True
    assert holds({"none": [follows]}, member, then=AT - DAY) is None


def test_everybody_is_counted_as_they_stood(in_brand):
    """What a statement over everybody says of a past moment is what it said then; nobody was written down for it."""
    chance, account, store = Random(11), make_account(), make_store()
    tags = [make_tag(name) for name in ("甲", "乙", "丙")]
    start = AT - 40 * DAY
    people = [make_follower(account, at=start + number * timedelta(minutes=1)) for number in range(6)]
    asked = [
        leaf("subscribed", value="yes"),
        leaf("joined", value="yes"),
        *(leaf("last_interaction", how=how, days=days) for how in ("within", "before") for days in (2, 9)),
    ]
    rules = [{"all": [each]} for each in asked]
    assert undated(rules) == []
    seen = []
    for number in range(60):
        at = start + timedelta(hours=15 * number + 1)
        happen(chance, chance.choice(people), tags, store, at)
        seen.append((at + timedelta(minutes=5), [counted([rule], at=at + timedelta(minutes=5)) for rule in rules]))
    for then, was in seen:
        assert [counted([rule], at=then, is_past=True) for rule in rules] == was, then
    assert len({str(was) for _then, was in seen}) > 10


def test_before_the_first_contact_nobody_is_in(in_brand):
    member = make_member(make_account())
    why = explain({"all": []}, member=member, at=AT, then=AT - DAY)

    assert (why.tree.holds, why.was_known) == (False, False)


def test_birthday_of_a_leap_day_is_the_28th_in_other_years(in_brand):
    account = make_account()
    for name, day in {"闰": 229, "前": 228, "后": 301}.items():
        make_member(account, name=name, birth_mmdd=day)

    def found(year, month, day, days):
        at = AT.replace(year=year, month=month, day=day)
        return sorted(matching({"all": [leaf("birthday", days=days)]}, at=at).values_list("name", flat=True))

    assert found(2025, 2, 28, 0) == ["前", "闰"]
    assert found(2024, 2, 28, 0) == ["前"]
    assert found(2024, 2, 29, 0) == ["闰"]
    assert found(2025, 3, 1, 0) == ["后"]
    assert found(2024, 12, 31, 366) == ["前", "后", "闰"]


def test_events_of_another_brand_count_for_nobody_here(brand, other_brand):
    with brand_scope(other_brand.pk):
        theirs = make_member(make_account())
        give_consent(member=theirs, purpose="MARKETING", text_version="1", source="t", at=AT)
    with brand_scope(brand.pk):
        mine = make_member(make_account(), name="我")
        give_consent(member=mine, purpose="MARKETING", text_version="1", source="t", at=AT)
        did = leaf("event", how="did", event="members.consented", times=1, days=5)
        assert list(matching({"all": [did]}, at=AT + DAY).values_list("name", flat=True)) == ["我"]
        assert save_segment(name="同意过", rule={"all": [did]}, at=AT).rule == {"all": [did]}
        assert create_tag(name="x", at=AT).pk
