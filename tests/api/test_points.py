"""Points over the API: every act with a key, refused in words, and nothing of another brand."""

from __future__ import annotations

import json

import pytest

from accounts.tenancy import brand_scope
from common import clock
from loyalty import services
from loyalty.models import Benefit, BenefitUse, EarnRule, Fact, Hold, Journal, Tier
from loyalty.selectors import points as selectors
from members.models import Member
from members.services import erase_member
from tests.factories import AT, make_member
from tests.loyalty.conftest import earn, policy

pytestmark = pytest.mark.django_db


def give(side, points):
    with brand_scope(side.brand.pk):
        return earn(side.member, points, at=AT)


def act(side, what, caller=None, **body):
    return (caller or side.system).post(f"/members/{side.member.member_no}/points/{what}/", {"key": "k1"} | body)


def balance(side):
    with brand_scope(side.brand.pk):
        return selectors.balance_of(side.member.pk).available


def test_a_member_sees_own_points_lots_and_ledger(a, b):
    give(a, 120)
    give(b, 777)
    shown = a.me.get("/me/points/").json()
    assert (shown["spendable"], [lot["points"] for lot in shown["lots"]]) == (120, [120])
    assert shown["tier"]["name"] is None
    ledger = a.me.get("/me/points/ledger/").json()
    assert [(row["kind"], row["points"]) for row in ledger["results"]] == [("EARN", 120)]
    assert a.system.get(f"/members/{a.member.member_no}/points/").json() == shown
    assert a.system.get(f"/members/{a.member.member_no}/points/ledger/").json() == ledger
    for path in ("", "ledger/"):
        assert a.system.get(f"/members/{b.member.member_no}/points/{path}").status_code == 404


def test_the_same_key_gives_the_same_bytes_and_another_body_is_refused(a):
    give(a, 100)
    first, again = act(a, "burn", points=30), act(a, "burn", points=30)
    assert (first.status_code, first.content) == (201, again.content)
    other = act(a, "burn", points=31)
    assert (other.status_code, other.json()["error"]["code"]) == (422, "key_reused")
    assert balance(a) == 70
    elsewhere = act(a, "burn", a.key("points.write"), points=30)
    assert (elsewhere.status_code, balance(a)) == (201, 40)  # keys are the caller's own


def test_a_key_of_another_brand_is_independent(a, b):
    give(a, 100)
    give(b, 100)
    assert act(a, "burn", points=30).status_code == 201
    assert act(b, "burn", points=10).status_code == 201
    assert (balance(a), balance(b)) == (70, 90)


def test_who_is_left_out_earns_nothing_and_what_was_given_before_is_answered_as_it_was(a, b):
    give(a, 100)
    body = {"key": "k-flag", "points": 30}
    address = f"/members/{a.member.member_no}/points/earn/"
    first = a.system.post(address, body)
    flag = {"flag": "STAFF", "on": True, "reason": "门店店员"}
    assert a.system.post(f"/members/{a.member.member_no}/flags/", flag).status_code == 200

    refused = a.system.post(address, {"key": "k-flag-2", "points": 30})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "member_left_out")
    assert a.system.post(address, body).content == first.content
    assert balance(a) == 130
    for _twice in range(2):
        cleared = a.system.post(f"/members/{a.member.member_no}/flags/", flag | {"on": False})
        assert (cleared.status_code, cleared.json()["results"]) == (200, [])
    assert a.system.post(address, {"key": "k-flag-2", "points": 30}).status_code == 201


@pytest.mark.parametrize("points", [0, -1, 1.5, "5", True, None, 10**10])
def test_points_are_a_whole_number_above_zero(a, points):
    give(a, 100)
    refused = act(a, "burn", points=points)
    assert (refused.status_code, balance(a)) == (422, 100)


def test_a_key_is_needed_and_has_a_limit(a):
    for body in ({"points": 5}, {"points": 5, "key": "k" * 1024}, {"points": 5, "key": ""}):
        refused = a.system.post(f"/members/{a.member.member_no}/points/earn/", body)
        assert (refused.status_code, refused.json()["error"]["fields"][0]["field"]) == (422, "key")


def test_more_than_there_is_is_refused_with_what_is_there(a):
    give(a, 100)
    refused = act(a, "burn", points=101).json()["error"]
    assert (refused["code"], "100" in refused["message"]) == ("points_short", True)


def test_frozen_points_are_captured_in_part_or_released(a, b):
    give(a, 100)
    hold = act(a, "freeze", points=80, number="SO1").json()["hold"]
    assert balance(a) == 20
    assert b.system.post(f"/points/holds/{hold}/capture/", {"key": "c"}).status_code == 404
    captured = a.system.post(f"/points/holds/{hold}/capture/", {"key": "c", "points": 50})
    assert (captured.status_code, captured.json()["points"], balance(a)) == (201, 50, 50)
    assert a.system.post(f"/points/holds/{hold}/capture/", {"key": "c", "points": 50}).content == captured.content
    ended = a.system.post(f"/points/holds/{hold}/release/", {"key": "r"})
    assert (ended.status_code, ended.json()["error"]["code"]) == (409, "hold_ended")
    for nothing in ("x", "00000000-0000-0000-0000-000000000000"):
        assert a.system.post(f"/points/holds/{nothing}/release/", {"key": "r"}).status_code == 404


def test_an_entry_is_reversed_once_and_only_in_its_brand(a, b):
    entry = give(a, 100).public_id
    assert b.system.post(f"/points/entries/{entry}/reverse/", {"key": "r"}).status_code == 404
    done = a.system.post(f"/points/entries/{entry}/reverse/", {"key": "r", "points": 60})
    assert (done.json()["kind"], balance(a)) == ("CLAWBACK", 40)
    over = a.system.post(f"/points/entries/{entry}/reverse/", {"key": "r2", "points": 41})
    assert (over.status_code, over.json()["error"]["code"]) == (409, "nothing_to_reverse")


def test_a_brand_that_refuses_refunds_of_spent_points_says_so(a):
    entry = give(a, 100).public_id
    with brand_scope(a.brand.pk):
        policy(negative="BLOCK")
    act(a, "burn", points=70)
    refused = a.system.post(f"/points/entries/{entry}/reverse/", {"key": "r"})
    assert (refused.status_code, refused.json()["error"]["code"], balance(a)) == (409, "refund_blocked", 30)


def test_points_are_given_to_others_not_to_oneself_strangers_or_the_deleted(a, b):
    give(a, 100)
    with brand_scope(a.brand.pk):
        friend, gone = make_member(a.account), make_member(a.account)
        Member.objects.filter(pk=gone.pk).update(erased_at=AT)
    heard = [
        a.me.post("/me/points/gifts/", {"key": f"g{number}", "to": to, "points": 10})
        for number, to in enumerate([a.member.member_no, b.member.member_no, "0000", gone.member_no])
    ]
    assert {answer.status_code for answer in heard} == {422}
    assert heard[1].content == heard[2].content  # another brand's member is nobody
    done = a.me.post("/me/points/gifts/", {"key": "g", "to": friend.member_no, "points": 10})
    assert (done.status_code, balance(a)) == (201, 90)


# --- facts -----------------------------------------------------------------------------------------------------------


def rule(side, **params):
    with brand_scope(side.brand.pk):
        row = EarnRule(name="消费", kind="spend", draft={"points": 1, "per_fen": 100} | params)
        services.save_rule(rule=row, at=AT)
        services.activate_rule(rule_id=row.pk, at=AT)


def report(side, **more):
    body = {
        "system": "pos", "kind": "PURCHASE", "number": "SO1", "member_no": side.member.member_no, "amount": 10_000,
        "happened_at": "2025-06-02T10:00:00+08:00",
    }  # fmt: skip
    given = body | more
    return side.system.post("/facts/", {name: value for name, value in given.items() if value is not None})


def test_a_till_reports_a_purchase_and_its_refund_as_often_as_it_likes(a, b):
    rule(a)
    first, again = report(a), report(a)
    assert (first.status_code, first.content) == (201, again.content)
    assert [each["points"] for each in first.json()["entries"]] == [100]
    act(a, "burn", points=40, number="SO1")
    back = {"kind": "REFUND", "number": "R1", "refers": "SO1", "member_no": None, "amount": 5_000}
    refund = report(a, **back)
    assert sorted((each["kind"], each["points"]) for each in refund.json()["entries"]) == [
        ("CLAWBACK", 50),
        ("RETURN", 20),
    ]
    assert report(a, **back).content == refund.content
    assert balance(a) == 30
    assert report(b).status_code == 201  # the number is another one there
    assert balance(b) == 0


def test_what_was_reported_of_a_member_is_listed_with_its_refunds(a, b):
    lines = [{"sku": "LY-1", "category": "shirts", "amount": 10_000}]
    report(a, lines=lines)
    report(a, kind="REFUND", number="R1", refers="SO1", member_no=None, amount=5_000)
    report(b, number="SO9")
    path = f"/members/{a.member.member_no}/facts/"
    shown = a.key("points.read").get(path).json()
    assert [(row["kind"], row["number"], row["amount"]) for row in shown["results"]] == [
        ("REFUND", "R1", 5_000), ("PURCHASE", "SO1", 10_000),
    ]  # fmt: skip
    assert [row["refers"] for row in shown["results"]] == ["SO1", None]
    bought = shown["results"][1]
    assert (bought["lines"], bought["refunded"], bought["refunds"]) == (lines, 5_000, ["R1"])
    first = a.system.get(path, page_size="1").json()
    assert a.system.get(path, cursor=first["next"]).json()["results"] == [bought]
    assert a.system.get(f"/members/{b.member.member_no}/facts/").status_code == 404
    assert a.key("points.write").get(path).status_code == a.me.get(path).status_code == 403


def test_of_an_address_the_answer_says_what_was_understood_and_a_bad_one_keeps_no_sale_away(a, b):
    sent = report(a, ship_to={"province": "浙江省", "city": "杭州市", "address": "西湖区文三路 1 号"})
    place = sent.json()["place"]
    assert (sent.status_code, place["district"], place["source"]) == (
        201,
        {"code": "330106", "name": "西湖区"},
        "ADDRESS",
    )
    vague = report(a, number="SO2", ship_to={"address": "朝阳区建国路"}).json()
    assert (vague["place"], vague["place_unread"]) == (None, "AMBIGUOUS")
    assert report(a, number="SO3").json()["place"] is None
    report(b, ship_to={"city": "上海"})
    path = f"/members/{a.member.member_no}/places/"
    found = a.key("points.read").get(path, days="3650").json()
    assert [(row["city"]["name"], row["orders"], row["shipped"]) for row in found["results"]] == [("杭州市", 1, 1)]
    assert (found["unplaced"], a.system.get(path, days="0").status_code) == (2, 422)
    held = a.system.get(f"/members/{a.member.member_no}/facts/").json()["results"]
    assert [row["place"] and row["place"]["city"]["code"] for row in held] == [None, None, "330100"]
    assert "文三路" not in json.dumps([held, found], ensure_ascii=False)
    assert a.system.get(f"/members/{b.member.member_no}/places/").status_code == 404
    assert a.key("points.write").get(path).status_code == a.me.get(path).status_code == 403
    for wrong in ("上海", {"street": "x"}, {"address": "x" * 301}):
        assert report(a, number="SO4", ship_to=wrong).status_code == 422
    back = {"kind": "REFUND", "number": "R1", "refers": "SO1", "member_no": None, "amount": 1}
    refused = report(a, **back, ship_to={"city": "上海"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "fact_refused")


def test_a_refund_of_a_deleted_person_is_answered_with_why_no_points_move(a):
    rule(a)
    assert report(a).json()["member_erased"] is False
    with brand_scope(a.brand.pk):
        erase_member(member=a.member, reason="test", at=clock.now())
    back = {"kind": "REFUND", "number": "R1", "refers": "SO1", "member_no": None, "amount": 5_000}
    refund = report(a, **back)
    assert (refund.status_code, refund.json()["entries"], refund.json()["member_erased"]) == (201, [], True)
    assert report(a, **back).content == refund.content
    assert report(a, number="SO2").json()["error"]["code"] == "member_gone"


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"amount": 10_001}, "fact_changed"),
        ({"number": "2", "amount": 0}, "fact_refused"),
        ({"number": "2", "amount": -1}, "invalid"),
        ({"number": "2", "amount": 9.5}, "invalid"),
        ({"number": "2", "happened_at": "2999-01-01T00:00:00Z"}, "fact_refused"),
        ({"number": "2", "happened_at": "2025-06-02T10:00:00"}, "invalid"),
        ({"number": "2", "member_no": "nobody"}, "fact_refused"),
        ({"number": "2", "member_no": None}, "fact_refused"),
        ({"number": "2", "store": "nowhere"}, "fact_refused"),
        ({"number": "2", "kind": "REFUND", "refers": "SO9"}, "fact_refused"),
        ({"number": "2", "kind": "THEFT"}, "invalid"),
        ({"number": "2", "lines": [{"sku": "a", "amount": 1, "price": 2}]}, "invalid"),
    ],
)
def test_a_fact_that_cannot_be_is_refused_and_leaves_nothing(a, more, code):
    rule(a)
    report(a)
    refused = report(a, **more)
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, code)
    with brand_scope(a.brand.pk):
        assert (Fact.objects.count(), Journal.objects.count()) == (1, 1)


def test_a_cart_shows_what_the_tier_takes_off_and_why(a):
    with brand_scope(a.brand.pk):
        tier = Tier.objects.create(name="初见", threshold=0)
        tier.benefits.create(kind="PRICE", value=10)
    shown = a.system.get(f"/members/{a.member.member_no}/benefits/", amount="99950").json()
    assert shown == {
        "amount": 99_950,
        "total": 89_955,
        "benefits": [{"kind": "PRICE", "value": 10, "saved": 9_995, "tier": "初见", "threshold": 0}],
    }


def test_used_benefits_are_counted_once_for_an_order(a, b):
    for side in (a, b):
        with brand_scope(side.brand.pk):
            tier = Tier.objects.create(name="初见", threshold=0)
            tier.benefits.create(kind="PRICE", value=10)
    here = f"/members/{a.member.member_no}/benefits/"
    body = {"key": "order-1", "number": "SO1", "amount": 99_950}
    answers = [a.system.post(here, body | more) for more in ({}, {}, {"key": "order-1b"})]
    assert [(each.status_code, each.json()["total"]) for each in answers] == [(201, 89_955)] * 3
    for more, status in (({"amount": 1}, 422), ({"number": ""}, 422), ({"amount": -1}, 422)):
        assert a.system.post(here, body | more).status_code == status
    assert a.key("points.read").post(here, body).status_code == 403
    assert a.system.post(f"/members/{b.member.member_no}/benefits/", body).status_code == 404
    a.system.get(here, amount="99950")

    for side, used in ((a, 1), (b, 0)):
        with brand_scope(side.brand.pk):
            assert (Benefit.objects.get().used, BenefitUse.objects.count()) == (used, used)


def test_reading_does_not_allow_writing_and_members_write_nothing_for_others(a):
    give(a, 100)
    reader = a.key("points.read")
    assert reader.get(f"/members/{a.member.member_no}/points/").status_code == 200
    for caller in (reader, a.me, a.key("members.write")):
        assert act(a, "earn", caller, points=5).status_code == 403
        assert caller.post("/facts/", json.loads("{}")).status_code == 403
    with brand_scope(a.brand.pk):
        assert Hold.objects.count() == 0
