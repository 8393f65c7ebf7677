"""Coupons over the API: every act with a key, refused in words, and nothing of another brand."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from accounts.tenancy import brand_scope
from common import clock
from coupons import codes, services
from coupons.invariants import breaches
from coupons.models import Code, Move, Template
from coupons.services import batches
from loyalty.selectors.points import balance_of
from tests.coupons.conftest import AMOUNT, claim, earn, make_template

pytestmark = pytest.mark.django_db
CART = {"lines": [{"sku": "LY-1", "amount": 25_000}]}
GOODS = {"kind": "GIFT", "gift": "新品咖啡", "days": 7}


@pytest.fixture(autouse=True)
def sound(a, b):
    yield
    for side in (a, b):
        with brand_scope(side.brand.pk):
            assert breaches() == []


def template(side, **more):
    with brand_scope(side.brand.pk):
        return make_template(at=clock.now(), **({"name": "满 200 减 30"} | more))


def give(side, **more):
    found = template(side, **more)
    with brand_scope(side.brand.pk):
        return claim(found, side.member, at=clock.now()).coupon


def code_of(answer):
    return (answer.status_code, answer.json()["error"]["code"])


def test_a_member_claims_what_is_on_offer_once_a_key_and_sees_it(a, b):
    mine, theirs = template(a), template(b)
    offers = a.me.get("/me/coupons/offers/").json()["results"]
    assert [(each["template"], each["left"]) for each in offers] == [(str(mine.public_id), None)]
    body = {"key": "k1", "template": str(mine.public_id)}
    first, again = a.me.post("/me/coupons/claim/", body), a.me.post("/me/coupons/claim/", body)
    assert (first.status_code, first.content) == (201, again.content)
    assert code_of(a.me.post("/me/coupons/claim/", body | {"key": "k2"})) == (409, "member_limit")
    for unknown in (str(theirs.public_id), "x", "00000000-0000-0000-0000-000000000000"):
        refused = a.me.post("/me/coupons/claim/", {"key": "k3", "template": unknown})
        assert code_of(refused) == (422, "invalid")
    shown = a.me.get("/me/coupons/").json()["results"]
    assert [(each["name"], each["state"]) for each in shown] == [("满 200 减 30", "UNUSED")]
    assert a.system.get(f"/members/{a.member.member_no}/coupons/").json()["results"] == shown
    assert a.system.get(f"/members/{b.member.member_no}/coupons/").status_code == 404
    assert b.me.get("/me/coupons/").json()["results"] == []


def test_a_cart_is_answered_with_savings_and_with_reasons_in_chinese(a):
    give(a)
    cart = {"lines": [{"sku": "LY-1", "amount": 17_900}]}
    (short,) = a.me.send("POST", "/me/coupons/check/", json.dumps(cart), HTTP_ACCEPT_LANGUAGE="zh-hans").json()[
        "results"
    ]
    assert (short["usable"], short["saving"]) == (False, 0)
    assert short["reason"] == {
        "code": "below_threshold",
        "message": "适用商品须满 ¥200.00，还差 ¥21.00。",
        "fix": "再买 ¥21.00 的适用商品即可使用。",
    }
    (enough,) = a.system.post(f"/members/{a.member.member_no}/coupons/check/", CART).json()["results"]
    assert (enough["usable"], enough["saving"], enough["reason"]) == (True, 3_000, None)


def test_an_order_holds_pays_and_is_refunded_as_often_as_it_likes(a, b):
    coupon = give(a).public_id
    path = f"/coupons/{coupon}"
    held = {"key": "h", "order": "SO1", **CART}
    acts = [("hold", held), ("redeem", {"key": "p", "order": "SO1"}), ("return", {"key": "r", "order": "SO1"})]
    for act, body in acts:
        assert b.system.post(f"{path}/{act}/", body).status_code == 404
        first, again = a.system.post(f"{path}/{act}/", body), a.system.post(f"{path}/{act}/", body)
        assert (first.status_code, first.content) == (201, again.content), act
        other = a.system.post(f"{path}/{act}/", body | {"order": "SO2"})
        assert code_of(other) == (422, "key_reused")
    assert [row["state"] for row in a.me.get("/me/coupons/").json()["results"]] == ["UNUSED"]
    assert a.system.post(f"{path}/hold/", held | {"key": "h2", "order": "SO3"}).json()["saved"] == 3_000
    refused = a.system.post(f"{path}/hold/", held | {"key": "h3", "order": "SO4"})
    assert code_of(refused) == (409, "coupon_held")
    assert refused.json()["error"]["hint"]
    assert a.system.post(f"{path}/release/", {"key": "x", "order": "SO3"}).json()["state"] == "UNUSED"
    assert code_of(a.system.post(f"{path}/release/", {"key": "y", "order": "SO3"})) == (409, "coupon_not_held")
    assert code_of(a.system.post(f"{path}/redeem/", {"key": "z", "order": "SO5"})) == (422, "cart_needed")


@pytest.mark.parametrize(
    "line",
    [
        {"sku": "a", "amount": -1},
        {"sku": "a", "amount": 1.5},
        {"sku": "a", "amount": "100"},
        {"sku": "a", "amount": True},
        {"sku": "a", "amount": 10**10},
        {"sku": "a", "amount": 5, "quantity": 0},
        {"sku": "a", "amount": 5, "price": 5},
        {"amount": 5},
    ],
)
def test_a_cart_that_cannot_be_is_refused_and_leaves_nothing(a, line):
    coupon = give(a)
    refused = a.system.post(f"/coupons/{coupon.public_id}/hold/", {"key": "h", "order": "SO1", "lines": [line]})
    assert code_of(refused) == (422, "invalid")
    with brand_scope(a.brand.pk):
        assert Move.objects.count() == 1


def printed(side, count=3, **more):
    made = template(side, claimable=False, **more)
    with brand_scope(side.brand.pk):
        batch = services.create_batch(template=made, label="包装码", count=count, at=clock.now())
        while services.make_portion(batch_id=batch.pk, at=clock.now(), size=2):
            pass
        batch.refresh_from_db()
        return batch, [code for code, _used in services.read_codes(batch=batch)]


def test_a_printed_code_is_a_coupon_once_however_it_is_typed(a, b):
    batch, (first, second, _third) = printed(a, per_member=None, total=3)
    wide = "".join(chr(ord(each) + 0xFEE0) if each != "-" else "－" for each in first.lower())
    done = a.me.post("/me/coupons/codes/", {"key": "c1", "code": f" {wide} "})
    assert (done.status_code, done.json()["kind"]) == (201, "ISSUE")
    assert a.me.post("/me/coupons/codes/", {"key": "c1", "code": first}).content == done.content
    assert code_of(a.me.post("/me/coupons/codes/", {"key": "c2", "code": first})) == (409, "code_over")
    assert code_of(b.me.post("/me/coupons/codes/", {"key": "c2", "code": second})) == (404, "code_unknown")
    wrong = second.replace(second[0], "A" if second[0] != "A" else "C", 1)
    assert code_of(a.me.post("/me/coupons/codes/", {"key": "c3", "code": wrong})) == (422, "code_invalid")
    with brand_scope(a.brand.pk):
        services.stop_batch(batch_id=batch.pk, at=clock.now())
        assert Template.objects.get(pk=batch.template_id).taken == 1
        kept = Code.objects.filter(batch=batch).order_by("serial").values_list("fingerprint", flat=True)
        assert codes.folded(first) not in {str(each) for each in kept}
    assert code_of(a.me.post("/me/coupons/codes/", {"key": "c4", "code": second})) == (409, "code_over")


def test_whoever_guesses_codes_is_slowed_down(a, b, settings):
    settings.API_RATES = settings.API_RATES | {"code": (2, 0.001)}
    heard = [a.me.post("/me/coupons/codes/", {"key": f"g{at}", "code": "AAAA-AAAA-AAAA"}) for at in range(3)]
    assert [answer.status_code for answer in heard] == [422, 422, 429]
    assert heard[-1].headers["Retry-After"]
    assert a.me.get("/me/coupons/").status_code == 200
    assert b.me.post("/me/coupons/codes/", {"key": "g", "code": "AAAA-AAAA-AAAA"}).status_code == 422


def test_points_are_frozen_for_goods_and_spent_when_a_store_hands_them_over_once(a, b):
    offer = template(a, rule=GOODS, claimable=False, points_price=300, per_member=2)
    with brand_scope(a.brand.pk):
        earn(a.member, 700, at=clock.now())
    short = b.me.post("/me/coupons/exchange/", {"key": "e", "template": str(offer.public_id)})
    assert code_of(short) == (422, "invalid")
    body = {"key": "e1", "template": str(offer.public_id)}
    first, again = a.me.post("/me/coupons/exchange/", body), a.me.post("/me/coupons/exchange/", body)
    assert (first.status_code, first.content) == (201, again.content)
    path = f"/me/coupons/{first.json()['coupon']}"
    shown, twice = a.me.post(f"{path}/counter-code/", {}), a.me.post(f"{path}/counter-code/", {})
    assert (shown.status_code, shown.json()) == (200, twice.json())
    assert b.me.post(f"{path}/counter-code/", {}).status_code == 404
    scan = {"key": "till-1", "code": shown.json()["code"].lower(), "store": a.store.code, "cashier": "LY0007"}
    assert code_of(b.system.post("/coupons/counter/", scan | {"store": b.store.code})) == (404, "code_unknown")
    with brand_scope(a.brand.pk):
        assert (balance_of(a.member.pk).available, balance_of(a.member.pk).held) == (400, 300)
    done, replay = a.system.post("/coupons/counter/", scan), a.system.post("/coupons/counter/", scan)
    assert (done.status_code, done.content, done.json()["store"]) == (201, replay.content, a.store.code)
    assert code_of(a.system.post("/coupons/counter/", scan | {"key": "till-2"})) == (409, "coupon_used")
    with brand_scope(a.brand.pk):
        assert (balance_of(a.member.pk).available, balance_of(a.member.pk).held) == (400, 0)
        assert Move.objects.get(kind="REDEEM").detail["cashier"] == "LY0007"
    second = a.me.post("/me/coupons/exchange/", body | {"key": "e2"}).json()["coupon"]
    cancelled = a.me.post(f"/me/coupons/{second}/cancel/", {"key": "c"})
    assert (cancelled.status_code, cancelled.json()["state"]) == (201, "VOID")
    assert code_of(a.me.post(f"/me/coupons/{second}/cancel/", {"key": "c2"})) == (409, "cannot_cancel")
    with brand_scope(a.brand.pk):
        assert (balance_of(a.member.pk).available, Template.objects.get(pk=offer.pk).taken) == (400, 1)


def test_an_offline_till_reports_late_with_its_key_and_not_later_than_a_day(a):
    now = clock.now()
    with brand_scope(a.brand.pk):
        made = make_template(rule=AMOUNT | {"threshold": 0}, at=now - timedelta(hours=3))
        coupon = claim(made, a.member, at=now - timedelta(hours=3)).coupon
        code, until = services.show_code(coupon_id=coupon.pk, at=now - timedelta(hours=2))
    scan = {"key": "t1", "code": code, "store": a.store.code, "amount": 12_000}
    assert code_of(a.system.post("/coupons/counter/", scan)) == (409, "code_over")  # as of now it has ended
    late = until - timedelta(minutes=1)
    for wrong in (now - timedelta(hours=25), now + timedelta(hours=1)):
        refused = a.system.post("/coupons/counter/", scan | {"scanned_at": wrong.isoformat()})
        assert code_of(refused) == (422, "scan_time")
    sent = scan | {"scanned_at": late.isoformat()}
    first, again = a.system.post("/coupons/counter/", sent), a.system.post("/coupons/counter/", sent)
    assert (first.status_code, first.content, first.json()["saved"]) == (201, again.content, 3_000)


def test_scopes_and_principals_are_kept_apart(a):
    coupon = give(a)
    path = f"/coupons/{coupon.public_id}"
    order = {"key": "k", "order": "SO1"}
    reader, giver, till = a.key("coupons.read"), a.key("coupons.write"), a.key("coupons.redeem")
    wanted = {"key": "i", "template": "x"}
    for caller in (reader, giver, a.me, a.key("points.write")):
        for act in ("hold", "redeem", "release", "return"):
            assert caller.post(f"{path}/{act}/", order).status_code == 403
        assert caller.post("/coupons/counter/", {}).status_code == 403
    for caller in (reader, till, a.me):
        assert caller.post(f"/members/{a.member.member_no}/coupons/issue/", wanted).status_code == 403
    assert till.get(f"/members/{a.member.member_no}/coupons/").status_code == 403
    assert reader.post("/me/coupons/claim/", wanted).status_code == 403
    issued = giver.post(
        f"/members/{a.member.member_no}/coupons/issue/",
        {"key": "i", "template": str(template(a, name="补偿").public_id), "reason": "补偿"},
    )
    assert issued.status_code == 201


def test_batches_are_within_the_budget_and_a_million_at_most(a):
    made = template(a, total=10)
    with brand_scope(a.brand.pk):
        for count in (0, -1, 1.5, True, 1_000_001, "5"):
            with pytest.raises(batches.BatchRefused):
                services.create_batch(template=made, label="x", count=count, at=clock.now())
        with pytest.raises(batches.BudgetGone):
            services.create_batch(template=made, label="x", count=11, at=clock.now())
        assert Template.objects.get(pk=made.pk).taken == 0
