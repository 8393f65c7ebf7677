"""Facts, the rules that read them, refunds of what they gave, and trying a rule out before it gives anything."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loyalty import services
from loyalty.earn_rules import Happening, Line, earn_kinds
from loyalty.errors import FactChanged, FactRefused, MemberGone, RefundBlocked, RuleInvalid
from loyalty.models import Benefit, EarnRule, EarnRuleVersion, Fact, Journal, Standing, Tier
from loyalty.services import Report
from loyalty.services.facts import refunded
from members.models import Member, MemberTag, MergeRecord
from members.services import (
    apply_due_facts,
    erase_member,
    merge_members,
    run_rules,
    save_tag_rule,
    set_flag,
    undo_merge,
)
from tests.factories import AT, make_member, make_tag
from tests.loyalty.conftest import balance, burn, earn, policy

DAY = timedelta(days=1)


def rule(kind="spend", title="消费", /, at=AT - DAY, **params):
    """A rule in force."""
    settings = {"points": 1, "per_fen": 100} if kind in ("spend", "category") else {"points": 10}
    row = EarnRule(name=title, kind=kind, draft=settings | params)
    services.save_rule(rule=row, at=at)
    services.activate_rule(rule_id=row.pk, at=at)
    return row


def fact(member, kind="PURCHASE", number="SO1", at=AT, **more):
    report = Report("pos", kind, number, more.pop("happened_at", at), member_id=member.pk if member else None, **more)
    return services.record_fact(report=report, at=at)


def given_by(outcome):
    return [(journal.kind, journal.points) for journal in outcome.journals]


def test_a_purchase_gives_whole_units_and_the_same_number_again_gives_the_same(people):
    rule()
    first = fact(people.ann, amount=12_399)
    again = fact(people.ann, amount=12_399, at=AT + DAY, happened_at=AT)
    assert given_by(first) == given_by(again) == [("EARN", 123)]
    assert (first.is_new, again.is_new) == (True, False)
    assert [each.pk for each in first.journals] == [each.pk for each in again.journals]
    assert balance(people.ann) == (123, 0, 0)
    with pytest.raises(FactChanged):
        fact(people.ann, amount=12_400)
    with pytest.raises(FactChanged):
        fact(people.ben, amount=12_399)


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"amount": 0}, "amount"),
        ({"amount": -5}, "amount"),
        ({"amount": 10**13}, "amount"),
        ({"amount": 100, "happened_at": AT + DAY}, "happened_at"),
        ({"amount": 100, "lines": (Line("a", "", 101),)}, "lines"),
    ],
)
def test_what_cannot_be_is_not_recorded(people, more, field):
    rule()
    with pytest.raises(FactRefused) as refused:
        fact(people.ann, **more)
    assert refused.value.field == field
    assert (Fact.objects.count(), Journal.objects.count()) == (0, 0)


def test_every_kind_of_rule_gives_what_it_says_and_why(people):
    rules = {
        "spend": rule(),
        "category": rule("category", "衬衫", codes="shirts, LY-9", points=2),
        "first_purchase": rule("first_purchase", "首单", points=100, from_fen=5000),
        "visit": rule("visit", "到店"),
        "check_in": rule("check_in", "签到", points=5),
        "profile": rule("profile", "资料", points=50),
        "referral": rule("referral", "推荐", points=200),
        "event": rule("event", "体验课", points=30, name="class"),
    }
    bought = fact(
        people.ann, amount=10_000, lines=(Line("LY-1", "shirts", 3_050), Line("LY-9", "", 950), Line("LY-2", "", 6_000))
    )
    by_rule = {journal.detail["kind"]: (journal.points, journal.reason) for journal in bought.journals}
    assert by_rule == {"spend": (100, "消费"), "category": (80, "衬衫"), "first_purchase": (100, "首单")}
    assert {each.detail["rule"] for each in bought.journals} == {
        rules[kind].pk for kind in ("spend", "category", "first_purchase")
    }
    assert given_by(fact(people.ann, number="SO2", amount=10_000)) == [("EARN", 100)]
    small = {kind: given_by(fact(people.ann, kind, "1")) for kind in ("VISIT", "CHECK_IN", "PROFILE", "REFERRAL")}
    assert small == {
        "VISIT": [("EARN", 10)],
        "CHECK_IN": [("EARN", 5)],
        "PROFILE": [("EARN", 50)],
        "REFERRAL": [("EARN", 200)],
    }
    assert given_by(fact(people.ann, "EVENT", "1", name="class")) == [("EARN", 30)]
    assert given_by(fact(people.ann, "EVENT", "2", name="other")) == []


def test_a_limit_gives_what_is_left_of_it_by_the_brands_day(people):
    rule("check_in", "签到", points=10, limit_period="DAY", limit_points=15)
    late = AT.replace(hour=15, minute=59)  # 23:59 in Shanghai
    assert given_by(fact(people.ann, "CHECK_IN", "1", at=late)) == [("EARN", 10)]
    second = fact(people.ann, "CHECK_IN", "2", at=late)
    assert given_by(second) == [("EARN", 5)]
    assert second.journals[0].detail["limit"] == {"period": "DAY", "points": 15, "room": 5}
    assert given_by(fact(people.ann, "CHECK_IN", "3", at=late)) == []
    assert given_by(fact(people.ben, "CHECK_IN", "4", at=late)) == [("EARN", 10)]
    assert given_by(fact(people.ann, "CHECK_IN", "5", at=late + timedelta(minutes=1))) == [("EARN", 10)]


def test_limits_are_of_the_day_and_month_it_happened_whenever_it_is_reported(people):
    rule("check_in", "签到", points=10, limit_period="DAY", limit_points=15)
    rule("visit", "到店", points=10, limit_period="MONTH", limit_points=10)
    now = AT + 70 * DAY
    offline = [given_by(fact(people.ann, "CHECK_IN", f"d{n}", at=now, happened_at=now - DAY)) for n in range(2)]
    assert offline == [[("EARN", 10)], [("EARN", 5)]]
    assert given_by(fact(people.ann, "CHECK_IN", "today", at=now)) == [("EARN", 10)]
    months = [
        given_by(fact(people.ann, "VISIT", f"m{n}", at=now, happened_at=now - min(n, 2) * 31 * DAY)) for n in range(4)
    ]
    assert months == [[("EARN", 10)]] * 3 + [[]]


def test_what_the_tier_adds_is_of_the_tier_of_that_moment(people):
    low, high = (Tier.objects.create(name=name, threshold=value) for name, value in (("初见", 0), ("知音", 1_000)))
    Benefit.objects.create(tier=high, kind="POINTS", value=100)
    rule(at=AT - 2 * DAY)
    fact(people.ann, number="1", amount=100_000)
    assert Standing.objects.get(member=people.ann).tier == high
    assert given_by(fact(people.ann, number="2", amount=1_000, at=AT + DAY)) == [("EARN", 20)]
    assert given_by(fact(people.ann, number="3", amount=1_000, at=AT + DAY, happened_at=AT - DAY)) == [("EARN", 10)]
    assert low.pk != high.pk


def test_what_a_rule_gives_once_ever_it_gives_once_to_records_that_became_one(people):
    rule("event", "体验课", points=30, name="class", limit_period="EVER", limit_points=30)
    assert given_by(fact(people.ben, "EVENT", "1", name="class")) == [("EARN", 30)]
    merge_members(kept=people.ann, merged=people.ben, evidence="test", at=AT)
    assert given_by(fact(people.ann, "EVENT", "2", name="class")) == []
    assert given_by(fact(people.ben, "EVENT", "3", name="class")) == []

    undo_merge(record=MergeRecord.objects.get(), reason="不是同一人", by="t", at=AT)
    assert given_by(fact(people.ann, "EVENT", "4", name="class")) == [("EARN", 30)]
    assert given_by(fact(people.ben, "EVENT", "5", name="class")) == []


def test_the_first_purchase_of_records_that_became_one_was_either_of_theirs(people):
    rule("first_purchase", "首单", points=100, from_fen=0)
    fact(people.ben, amount=100)
    merge_members(kept=people.ann, merged=people.ben, evidence="test", at=AT)
    assert given_by(fact(people.ann, number="SO2", amount=100)) == []


def test_a_fact_is_read_by_the_version_that_was_in_force_when_it_happened(people):
    row = rule()
    row.draft = row.draft | {"points": 3}
    services.save_rule(rule=row, at=AT + DAY)
    assert given_by(fact(people.ann, number="1", amount=1000, at=AT + DAY)) == [("EARN", 10)]
    services.activate_rule(rule_id=row.pk, at=AT + 2 * DAY)
    assert given_by(fact(people.ann, number="2", amount=1000, at=AT + 3 * DAY)) == [("EARN", 30)]
    assert given_by(fact(people.ann, number="3", amount=1000, at=AT + 3 * DAY, happened_at=AT)) == [("EARN", 10)]
    services.stop_rule(rule_id=row.pk, at=AT + 4 * DAY)
    assert given_by(fact(people.ann, number="4", amount=1000, at=AT + 4 * DAY)) == []
    assert [each.number for each in EarnRuleVersion.objects.order_by("number")] == [1, 2]


def test_a_rule_with_wrong_settings_is_not_activated(people):
    row = EarnRule(name="x", kind="spend", draft={"points": 0, "per_fen": 100})
    services.save_rule(rule=row, at=AT)
    with pytest.raises(RuleInvalid) as refused:
        services.activate_rule(rule_id=row.pk, at=AT)
    assert refused.value.field == "points"


# --- refunds ---------------------------------------------------------------------------------------------------------


def test_a_partial_refund_of_a_mixed_cart_returns_spent_points_and_takes_granted_ones_back(people):
    rule()
    rule("category", "衬衫", codes="shirts")
    earn(people.ann, 500)
    fact(people.ann, amount=20_000, lines=(Line("a", "shirts", 5_000), Line("b", "", 15_000)))
    burn(people.ann, 300, number="SO1")
    assert balance(people.ann) == (500 + 200 + 50 - 300, 0, 0)

    back = fact(None, "REFUND", "R1", amount=5_000, lines=(Line("a", "", 5_000),), refers="SO1")
    assert sorted(given_by(back)) == [("CLAWBACK", 50), ("CLAWBACK", 50), ("RETURN", 75)]
    rest = fact(None, "REFUND", "R2", amount=15_000, refers="SO1", at=AT + DAY)
    assert sorted(given_by(rest)) == [("CLAWBACK", 150), ("RETURN", 225)]
    assert balance(people.ann) == (500, 0, 0)
    again = fact(
        None, "REFUND", "R1", amount=5_000, lines=(Line("a", "", 5_000),), refers="SO1", happened_at=AT, at=AT + DAY
    )
    assert sorted(given_by(again)) == sorted(given_by(back))
    assert balance(people.ann) == (500, 0, 0)


def test_a_refund_returns_points_to_its_buyer_alone_though_another_system_has_an_order_of_that_number(people):
    earn(people.ann, 100)
    earn(people.ben, 100)
    fact(people.ann, number="1001", amount=10_000)
    burn(people.ann, 30, number="1001")
    burn(people.ben, 40, number="1001")

    back = fact(None, "REFUND", "R1", amount=10_000, refers="1001")
    assert [(each.kind, each.member_id, each.points) for each in back.journals] == [("RETURN", people.ann.pk, 30)]
    again = fact(None, "REFUND", "R1", amount=10_000, refers="1001", happened_at=AT, at=AT + DAY)
    assert given_by(again) == [("RETURN", 30)]
    assert (balance(people.ann), balance(people.ben)) == ((100, 0, 0), (60, 0, 0))


def test_a_refund_returns_what_a_record_spent_that_became_the_buyers(people):
    cid = make_member(people.account)
    earn(cid, 50)
    fact(cid, number="1001", amount=10_000)
    burn(cid, 50, number="1001")
    merge_members(kept=people.ben, merged=cid, evidence="test", at=AT)
    merge_members(kept=people.ann, merged=Member.objects.get(pk=people.ben.pk), evidence="test", at=AT)

    back = fact(None, "REFUND", "R1", amount=10_000, refers="1001", at=AT + DAY)
    assert given_by(back) == [("RETURN", 50)]
    assert balance(people.ann) == (50, 0, 0)


def test_a_refund_of_a_deleted_person_is_kept_and_moves_no_points(people):
    rule()
    policy(negative="BLOCK")
    earn(people.ann, 100)
    bought = fact(people.ann, amount=10_000).fact
    burn(people.ann, 50, number="SO1")
    erase_member(member=people.ann, reason="test", at=AT + DAY)
    journals = Journal.objects.count()

    back = {"amount": 4_000, "refers": "SO1", "happened_at": AT + 2 * DAY}
    first = fact(None, "REFUND", "R1", at=AT + 2 * DAY, **back)
    again = fact(None, "REFUND", "R1", at=AT + 3 * DAY, **back)
    assert (first.is_new, first.member_erased, given_by(first)) == (True, True, [])
    assert (again.is_new, again.member_erased, given_by(again)) == (False, True, [])
    assert (refunded(bought), Journal.objects.count(), Standing.objects.count()) == (4_000, journals, 0)
    with pytest.raises(FactRefused):
        fact(None, "REFUND", "R2", at=AT + 2 * DAY, **back | {"amount": 6_001})
    with pytest.raises(MemberGone):
        fact(people.ann, number="SO2", amount=100, at=AT + 2 * DAY)


def test_a_refund_from_before_the_deletion_gives_its_first_outcome_again(people):
    rule()
    fact(people.ann, amount=10_000)
    back = {"amount": 10_000, "refers": "SO1", "happened_at": AT}
    fact(None, "REFUND", "R1", **back)
    erase_member(member=people.ann, reason="test", at=AT + DAY)

    again = fact(None, "REFUND", "R1", at=AT + 2 * DAY, **back)
    assert (again.member_erased, given_by(again)) == (False, [("CLAWBACK", 100)])


def test_a_refund_has_automatic_tags_look_again_like_a_purchase(people):
    spent = {"condition": "spent", "params": {"how": "least", "yuan": 100, "days": 30}}
    save_tag_rule(name="大额", tag_id=make_tag("大额").pk, rule={"all": [spent]}, at=AT)
    while run_rules(people.account.brand_id, at=AT):
        pass
    fact(people.ann, amount=10_000)
    apply_due_facts(people.account.brand_id, at=AT)
    assert MemberTag.objects.filter(member=people.ann).count() == 1

    fact(None, "REFUND", "R1", amount=5_000, refers="SO1", at=AT + DAY)
    apply_due_facts(people.account.brand_id, at=AT + DAY)
    assert MemberTag.objects.filter(member=people.ann).count() == 0


def test_no_more_is_refunded_than_was_paid_and_nothing_unknown(people):
    rule()
    fact(people.ann, amount=10_000)
    fact(None, "REFUND", "R1", amount=9_000, refers="SO1")
    for number, more, field in [
        ("R2", {"amount": 1_001, "refers": "SO1"}, "amount"),
        ("R3", {"amount": 1, "refers": "SO9"}, "refers"),
        ("R4", {"amount": 1, "refers": "SO1", "happened_at": AT - DAY}, "happened_at"),
    ]:
        with pytest.raises(FactRefused) as refused:
            fact(None, "REFUND", number, **more)
        assert refused.value.field == field
    assert balance(people.ann) == (10, 0, 0)


def test_a_refund_that_the_brand_refuses_leaves_nothing(people):
    rule()
    policy(negative="BLOCK")
    fact(people.ann, amount=10_000)
    burn(people.ann, 60)
    with pytest.raises(RefundBlocked):
        fact(None, "REFUND", "R1", amount=10_000, refers="SO1")
    assert (Fact.objects.count(), balance(people.ann)) == (1, (40, 0, 0))


@given(parts=st.lists(st.integers(1, 4_000), min_size=1, max_size=6), rate=st.sampled_from([100, 150, 700]))
def test_in_however_many_parts_a_purchase_is_refunded_what_is_left_is_what_the_rest_would_have_given(parts, rate):
    kind, params = earn_kinds.get("spend"), {"points": 3, "per_fen": rate}
    bought = Happening("PURCHASE", sum(parts) + 500)
    kept, back = kind.points(params, bought), 0
    for part in parts:
        back += part
        kept -= max(0, kept - kind.points(params, bought.less(back, {})))
    assert kept == kind.points(params, Happening("PURCHASE", 500))


def test_refunded_lines_come_off_their_own_line_and_the_rest_off_all_alike():
    cart = Happening("PURCHASE", 1000, (Line("a", "", 400), Line("b", "", 600)))
    assert [line.amount for line in cart.less(400, {"a": 400}).lines] == [0, 600]
    assert [line.amount for line in cart.less(500, {}).lines] == [200, 300]
    assert [line.amount for line in cart.less(1000, {"a": 400}).lines] == [0, 0]


# --- tiers and trying out --------------------------------------------------------------------------------------------


def test_what_a_tier_adds_is_named_in_the_grant(people):
    rule()
    Member.objects.filter(pk=people.ann.pk).update(birth_mmdd=615)
    tier = Tier.objects.create(name="知音", threshold=0)
    Benefit.objects.create(tier=tier, kind="POINTS", value=20)
    Benefit.objects.create(tier=tier, kind="BIRTHDAY", value=100)
    Standing.objects.create(member=people.ann, tier=tier, since=AT)
    ann, ben = fact(people.ann, amount=10_000), fact(people.ben, number="SO2", amount=10_000)
    assert (given_by(ann), given_by(ben)) == ([("EARN", 220)], [("EARN", 120)])
    assert [each["benefit"] for each in ann.journals[0].detail["extra"]] == ["BIRTHDAY", "POINTS"]
    assert {each["tier"] for each in ann.journals[0].detail["extra"]} == {"知音"}
    assert given_by(fact(None, "REFUND", "R1", amount=5_000, refers="SO1")) == [("CLAWBACK", 110)]


def test_trying_a_rule_out_gives_what_it_would_have_given_and_nothing_else(people):
    policy(cost_per_100=150)
    for number, (member, amount) in enumerate([(people.ann, 10_000), (people.ann, 5_050), (people.ben, 300)]):
        fact(member, number=f"SO{number}", amount=amount)
    fact(None, "REFUND", "R", amount=2_000, refers="SO0")
    fact(people.ben, number="old", amount=99_900, happened_at=AT - 60 * DAY)
    window = {"since": AT - 30 * DAY, "until": AT + DAY}

    spend = services.dry_run(kind="spend", params={"points": 2, "per_fen": 100}, **window)
    assert (spend.facts, spend.rewarded, spend.people, spend.points) == (3, 3, 2, 160 + 100 + 6)
    assert spend.cost == 399
    limit = {"limit_period": "MONTH", "limit_points": 170}
    limited = services.dry_run(kind="spend", params={"points": 2, "per_fen": 100} | limit, **window)
    assert (limited.points, limited.limited) == (160 + 6, 2)  # as giving: what was refunded does not come free again
    first = services.dry_run(kind="first_purchase", params={"points": 10, "from_fen": 0}, **window)
    assert (first.rewarded, first.points) == (1, 10)
    assert Journal.objects.count() == 0


def test_a_dry_run_counts_what_tiers_add_and_leaves_out_whom_giving_leaves_out(people):
    cid, dan = make_member(people.account), make_member(people.account)
    low, high = (Tier.objects.create(name=name, threshold=value) for name, value in (("初见", 0), ("知音", 150)))
    Benefit.objects.create(tier=low, kind="POINTS", value=10)
    Benefit.objects.create(tier=high, kind="POINTS", value=50)
    Benefit.objects.create(tier=high, kind="BIRTHDAY", value=100)
    Member.objects.filter(pk=people.ann.pk).update(birth_mmdd=AT.month * 100 + 1)
    set_flag(member_id=cid.pk, kind="TEST", since=None, reason="测试", by="t", at=AT)
    set_flag(member_id=dan.pk, kind="STAFF", since=AT + DAY, reason="店员", by="t", at=AT + DAY)
    row = rule("spend", "消费", limit_period="MONTH", limit_points=600)
    for number, (member, amount, day) in enumerate(
        [(people.ann, 20_050, 0), (people.ann, 10_000, 2), (people.ben, 99_900, 1), (cid, 5_000, 1), (dan, 5_000, 0),
         (dan, 7_000, 2)]
    ):  # fmt: skip
        fact(member, number=f"SO{number}", amount=amount, at=AT + day * DAY)
    fact(None, "REFUND", "R", amount=5_000, refers="SO1", at=AT + 3 * DAY)

    tried = services.dry_run(kind="spend", params=row.draft, since=AT - DAY, until=AT + 3 * DAY)
    journals = Journal.objects.filter(kind__in=["EARN", "CLAWBACK"]).values_list("kind", "points")
    assert tried.points == sum(points if kind == "EARN" else -points for kind, points in journals)
    assert tried.points == 220 + 125 + 600 + 55
    assert (tried.facts, tried.people, tried.limited) == (4, 3, 1)


def test_a_dry_run_over_facts_equals_what_activating_would_have_given(people):
    row = rule()
    for number, amount in enumerate([100, 250, 9_999, 55_555]):
        fact(people.ann if number % 2 else people.ben, number=f"SO{number}", amount=amount)
    tried = services.dry_run(kind="spend", params=row.draft, since=AT - DAY, until=AT + DAY)
    assert tried.points == sum(Journal.objects.filter(kind="EARN").values_list("points", flat=True))
