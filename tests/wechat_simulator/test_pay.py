"""WeChat Pay over HTTP: who may ask, what an order and a refund may be, what the bill says (pay reference, section 3)."""

import base64
import gzip
import hashlib
import json
import re

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.x509 import load_pem_x509_certificate

from tests.wechat_simulator.conftest import APPID, MINI, OTHER
from tests.wechat_simulator.pay import API_V3_KEY, MCHID, REFERENCE_KEY, Forged, Shop, sign

JSAPI = "/v3/pay/transactions/jsapi"
NUMBER = "T20260101000001"
REFUNDS = "/v3/refund/domestic/refunds"


@pytest.fixture
def shop(simulator):
    simulator.control("/clock", {"set": "2025-06-01T08:00", "rate": 0})
    return Shop(simulator)


def cause(answer):
    return int(answer.headers["Request-Id"].rpartition("-")[2])


# --- who may ask (3.2) ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "headers"),
    [
        ({"signature": "QUJD"}, {}),
        ({"signature": "***"}, {}),
        ({"sent": b'{"a":  1}'}, {}),
        ({"serial": "0" * 40}, {}),
        ({"scheme": "WECHATPAY2-SM2-WITH-SM3"}, {}),
        ({"nonce": "N" * 33}, {}),
        ({"timestamp": "abc"}, {}),
        ({}, {"Authorization": ""}),
        ({}, {"Authorization": 'WECHATPAY2-SHA256-RSA2048 mchid="1900000001"'}),
    ],
)
def test_a_request_that_is_not_signed_well_is_refused(shop, changes, headers):
    answer = shop.raw("POST", JSAPI, b'{"a": 1}', headers=headers, **changes)
    assert (answer.status_code, answer.json()["code"]) == (401, "SIGN_ERROR")
    assert cause(answer) == 268443699
    shop.check(answer.headers, answer.content)  # refusals are signed too
    assert shop.simulator.look("/calls", path=JSAPI)["calls"][-1]["result"] == "401 SIGN_ERROR"


@pytest.mark.parametrize(("off", "status"), [(-300, 404), (300, 404), (-301, 401), (301, 401)])
def test_the_clocks_may_differ_by_five_minutes(shop, off, status):
    url = f"/v3/pay/transactions/out-trade-no/NOBODY?mchid={MCHID}"
    assert shop.raw("GET", url, timestamp=str(int(shop.now()) + off)).status_code == status


def test_the_address_is_signed_as_it_was_sent(shop):
    shop.prepay("a|b*c-1")
    assert shop.query("a|b*c-1")[0] == 200
    sent, signed = "/v3/pay/transactions/out-trade-no/a%7Cb*c-1", "/v3/pay/transactions/out-trade-no/a|b*c-1"
    stamp, nonce = str(int(shop.now())), "1"
    proof = sign(shop.key, "GET", f"{signed}?mchid={MCHID}", stamp, nonce, b"")
    answer = shop.raw("GET", f"{sent}?mchid={MCHID}", timestamp=stamp, nonce=nonce, signature=proof)
    assert answer.status_code == 401


@pytest.mark.parametrize("name", ["User-Agent", "Accept"])
def test_user_agent_and_accept_are_needed(shop, name):
    answer = shop.raw("GET", "/v3/certificates", headers={name: ""})
    assert (answer.status_code, answer.json()["code"]) == (400, "PARAM_ERROR")
    shop.simulator.switch(pay_require_user_agent=False)
    assert shop.raw("GET", "/v3/certificates", headers={name: ""}).status_code == 200


def test_a_merchant_that_nobody_is(shop):
    answer = shop.raw("GET", "/v3/certificates", mchid="1900000099")
    assert (answer.status_code, answer.json()["code"], cause(answer)) == (400, "APPID_MCHID_NOT_MATCH", 268445527)
    shop.check(answer.headers, answer.content)
    shop.simulator.switch(pay_unknown_merchant_code="MCH_NOT_EXISTS")
    answer = shop.raw("GET", "/v3/certificates", mchid="1900000099")
    assert (answer.status_code, answer.json()["code"]) == (400, "MCH_NOT_EXISTS")


def test_another_merchants_key_does_not_open_this_one(simulator, shop):
    other = Shop(simulator, "1900000002", name="别家", api_v3_key="k" * 32)
    answer = shop.raw("GET", "/v3/certificates", key=other.key)
    assert answer.status_code == 401
    shop.prepay()
    assert other.query()[0] == 404
    assert other.ask("GET", f"/v3/pay/transactions/out-trade-no/{NUMBER}?mchid={MCHID}")[0] == 400
    assert simulator.look("/pay/orders", mchid=other.mchid)["total"] == 0


def test_an_unknown_path_is_not_found(shop):
    assert shop.ask("GET", "/v3/pay/nothing")[1]["code"] == "RESOURCE_NOT_EXISTS"
    assert shop.ask("POST", "/v3/certificates", b"{}")[0] == 404


# --- keys (3.4) -------------------------------------------------------------------------------------------------------


def listed(shop):
    """Certificates as a program gets them: sealed with the APIv3 key."""
    status, answer = shop.ask("GET", "/v3/certificates")
    assert status == 200
    found = {}
    for row in answer["data"]:
        box = row["encrypt_certificate"]
        assert (box["algorithm"], box["associated_data"]) == ("AEAD_AES_256_GCM", "certificate")
        plain = AESGCM(API_V3_KEY.encode()).decrypt(
            box["nonce"].encode(), base64.b64decode(box["ciphertext"]), box["associated_data"].encode()
        )
        found[row["serial_no"]] = load_pem_x509_certificate(plain)
        assert f"{found[row['serial_no']].serial_number:040X}" == row["serial_no"]
    return found


def test_certificates_are_listed_and_a_new_one_is_used_a_day_later(shop):
    (old,) = listed(shop)
    new = shop.simulator.control("/pay/rotate")["serial_no"]
    assert list(listed(shop)) == [new, old]
    serial = shop.raw("GET", "/v3/certificates").headers["Wechatpay-Serial"]
    assert serial == old
    shop.advance(86400)
    with pytest.raises(Forged, match="serial"):
        shop.ask("GET", "/v3/certificates")
    shop.learn()
    assert shop.raw("GET", "/v3/certificates").headers["Wechatpay-Serial"] == new
    shop.advance(5 * 365 * 86400)
    shop.learn()
    assert old not in listed(shop)


def test_a_merchant_with_the_public_key_has_no_certificates(simulator):
    shop = Shop(simulator, key_mode="public_key")
    status, answer = shop.ask("GET", "/v3/certificates")
    assert (status, answer["code"]) == (404, "RESOURCE_NOT_EXISTS")
    name = shop.account["public_key_id"]
    assert re.fullmatch(r"PUB_KEY_ID_011900000001\d{8}\d{14}", name)
    answer = shop.raw("POST", JSAPI, shop.body())
    assert answer.headers["Wechatpay-Serial"] == name
    shop.check(answer.headers, answer.content)


def test_with_both_keys_the_request_chooses_and_notifications_move_over(simulator, callback):
    simulator.control("/clock", {"rate": 0})
    shop = Shop(simulator, key_mode="both")
    shop.notify_url = callback.url
    name = shop.account["public_key_id"]
    plain = shop.raw("GET", "/v3/certificates").headers["Wechatpay-Serial"]
    chosen = shop.raw("GET", "/v3/certificates", headers={"Wechatpay-Serial": name})
    assert plain != name
    assert chosen.headers["Wechatpay-Serial"] == name
    shop.check(chosen.headers, chosen.content)
    for number in range(4):
        shop.paid(f"FIRST-DAY-{number}")
    assert {shop.check(row["headers"], row["body"]) for row in callback.requests} == {plain}
    shop.advance(7 * 86400)
    callback.requests.clear()
    shop.paid("LAST-DAY")
    assert {shop.check(row["headers"], row["body"]) for row in callback.requests} == {name}


def test_keys_are_told_only_when_asked_for(shop):
    (row,) = shop.simulator.look("/pay/merchants")["merchants"]
    assert not {"api_v3_key", "private_key", "certificate"} & set(row)
    (row,) = shop.simulator.look("/pay/merchants", secrets=1)["merchants"]
    certificate = load_pem_x509_certificate(row["certificate"].encode())
    assert f"{certificate.serial_number:040X}" == row["serial_no"]
    assert certificate.public_key().public_numbers() == REFERENCE_KEY.public_key().public_numbers()


@pytest.mark.parametrize(
    "wrong",
    [
        {"mchid": "12"},
        {"mchid": MCHID, "api_v3_key": "short"},
        {"mchid": MCHID, "key_mode": "none"},
        {"mchid": MCHID, "appids": ["wxunknown"]},
        {"mchid": MCHID, "private_key": "-----BEGIN"},
        {"mchid": MCHID, "colour": "red"},
    ],
)
def test_a_merchant_that_is_described_wrongly_is_refused(simulator, wrong):
    answer = simulator.http.post(simulator.url + "/_sim/world", json={"merchants": [wrong]}, timeout=30)
    assert answer.status_code == 400
    assert simulator.look("/pay/merchants")["merchants"] == []


# --- prepay (3.6) -----------------------------------------------------------------------------------------------------


def test_prepay_query_pay_query(shop):
    prepay_id = shop.prepay(attach="静安店")
    assert re.fullmatch(r"wx\d{8}[0-9a-f]{20}0000", prepay_id)
    status, answer = shop.query()
    assert (status, answer["trade_state"]) == (200, "NOTPAY")
    assert not {"transaction_id", "payer", "success_time"} & set(answer)
    done = shop.pay()
    assert (done["paid"], done["client"]) == (True, {"errMsg": "requestPayment:ok"})
    status, answer = shop.query()
    assert (answer["trade_state"], answer["trade_type"], answer["attach"]) == ("SUCCESS", "JSAPI", "静安店")
    assert answer["payer"] == {"openid": shop.openid()}
    assert answer["amount"] == {"total": 100, "payer_total": 100, "currency": "CNY", "payer_currency": "CNY"}
    again = shop.ask("GET", f"/v3/pay/transactions/id/{answer['transaction_id']}?mchid={MCHID}")
    assert again == (200, answer)
    assert shop.ask("GET", f"/v3/pay/transactions/id/4200000000?mchid={MCHID}")[0] == 404


@pytest.mark.parametrize(
    ("where", "value", "expected"),
    [
        ("amount/total", "100", 268435461),
        ("amount/total", 1.5, 268435461),
        ("amount/total", 0, 268435461),
        ("amount/total", -1, 268435461),
        ("amount/total", 2**31, 268435461),
        ("amount/total", True, 268435461),
        ("amount/currency", "USD", 268435461),
        ("amount", None, 268435461),
        ("description", "长" * 128, 268435461),
        ("description", "", 268435461),
        ("out_trade_no", "short", 268435461),
        ("out_trade_no", "x" * 33, 268435461),
        ("out_trade_no", "空格 不行吗", 268435461),
        ("attach", "x" * 129, 268435461),
        ("notify_url", "https://pay.example.com/n?key=1", 268435461),
        ("notify_url", "http://pay.example.com/n", 268435461),
        ("notify_url", "https://pay.example.com/" + "x" * 240, 268435461),
        ("time_expire", "2025-06-01 09:00:00", 268435461),
        ("time_expire", "2025-06-01T09:00:00", 268435461),
        ("time_expire", "2025-06-01T09:00+08:00", 268435461),
        ("time_expire", "20250601T090000+0800", 268435461),
        ("time_expire", "2025-W22-7T09:00:00+08:00", 268435461),
        ("time_expire", "2025-06-01T09:00:00+0800", 268435461),
        ("time_expire", "2025-06-01T25:00:00+08:00", 268435461),
        ("time_expire", "2025-06-01T08:00:59+08:00", 268435461),
        ("limit_pay", ["credit"], 268435461),
        ("support_fapiao", "true", 268435461),
        ("settle_info", {"profit_sharing": 1}, 268435461),
        ("detail", {"goods_detail": [{"merchant_goods_id": "1", "quantity": 0, "unit_price": 1}]}, 268435461),
        ("payer/openid", None, 268501013),
        ("payer/openid", "oNobody", 268435461),
        ("mchid", "1900000099", 268447843),
        ("colour", "red", 270924358),
        ("payer/colour", "red", 270924358),
    ],
)
def test_what_an_order_may_not_say(shop, where, value, expected):
    body = shop.body()
    *path, last = where.split("/")
    place = body
    for name in path:
        place = place[name]
    place[last] = value
    if value is None:
        del place[last]
    answer = shop.raw("POST", JSAPI, body)
    assert (answer.status_code, answer.json()["code"], cause(answer)) == (400, "PARAM_ERROR", expected)
    assert shop.simulator.look("/pay/orders")["total"] == 0


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff"])
def test_a_body_that_is_no_object_is_refused(shop, body):
    assert shop.ask("POST", JSAPI, body)[1]["code"] == "PARAM_ERROR"


def test_everything_that_an_order_may_say(shop):
    goods = {"merchant_goods_id": "1", "wechatpay_goods_id": "2", "goods_name": "茶", "quantity": 1, "unit_price": 100}
    store = {"id": "021", "name": "静安店", "area_code": "310106", "address": "南京西路"}
    prepay_id = shop.prepay(
        time_expire="2025-06-01T08:01:00+08:00", goods_tag="NEW", limit_pay=["no_credit"], support_fapiao=True, attach="",
        detail={"cost_price": 100, "invoice_id": "i", "goods_detail": [goods]},
        scene_info={"payer_client_ip": "10.0.0.1", "device_id": "p1", "store_info": store},
        settle_info={"profit_sharing": False},
    )  # fmt: skip
    assert prepay_id


def test_an_appid_must_be_bound_and_an_openid_its_own(simulator, shop):
    status, answer = shop.ask("POST", JSAPI, {**shop.body(), "appid": APPID})
    assert (status, answer["code"]) == (400, "APPID_MCHID_NOT_MATCH")
    simulator.follow("小雨", OTHER)
    body = shop.body()
    body["payer"]["openid"] = simulator.openid("小雨", OTHER)
    status, answer = shop.ask("POST", JSAPI, body)
    assert (status, answer["code"]) == (500, "OPENID_MISMATCH")
    assert simulator.look("/health")["mix_ups"] == 1


def test_the_same_number_again_must_be_the_same_order(shop):
    first = shop.prepay()
    assert shop.prepay() == first
    for more in ({"total": 101}, {"description": "别的"}, {"attach": "x"}, {"person": "老周"}):
        answer = shop.raw("POST", JSAPI, shop.body(**more))
        assert (answer.status_code, answer.json()["code"], cause(answer)) == (400, "INVALID_REQUEST", 268498688)
    assert shop.simulator.look("/pay/orders")["total"] == 1
    shop.pay()
    answer = shop.raw("POST", JSAPI, shop.body())
    assert (answer.status_code, answer.json()["code"], cause(answer)) == (403, "ORDERPAID", 268449538)


def test_a_prepay_id_lives_two_hours_and_the_number_gets_a_new_one(simulator, shop):
    first = shop.prepay()
    shop.advance(2 * 3600)
    answer = refused(simulator, prepay_id=first)
    assert "two hours" in answer
    second = shop.prepay()
    assert second != first
    assert shop.simulator.act("小雨", "pay", MINI, prepay_id=second)["paid"] is True


def refused(simulator, person="xiaoyu", **fields):
    answer = simulator.http.post(
        f"{simulator.url}/_sim/people/{person}/act", json={"act": "pay", "appid": MINI, **fields}, timeout=30
    )
    assert answer.status_code == 400, answer.text
    return answer.json()["error"]


def test_an_order_expires_by_the_clock(simulator, shop):
    shop.prepay("EXPIRES-1", time_expire="2025-06-01T08:30:00+08:00")
    shop.prepay("LIVES-7-DAYS")
    shop.advance(1799)
    assert shop.query("EXPIRES-1")[1]["trade_state"] == "NOTPAY"
    shop.advance(1)
    assert shop.query("EXPIRES-1")[1]["trade_state"] == "CLOSED"
    assert "closed" in refused(simulator, out_trade_no="EXPIRES-1")
    status, answer = shop.ask("POST", JSAPI, shop.body("EXPIRES-1", time_expire="2025-06-01T08:30:00+08:00"))
    assert (status, answer["code"]) == (400, "ORDER_CLOSED")
    shop.advance(7 * 86400)
    assert shop.query("LIVES-7-DAYS")[1]["trade_state"] == "CLOSED"


def test_an_expired_order_may_stay_open_but_is_not_paid(simulator, shop):
    simulator.switch(pay_close_expired=False)
    shop.prepay(time_expire="2025-06-01T08:30:00+08:00")
    shop.advance(1800)
    assert shop.query()[1]["trade_state"] == "NOTPAY"
    assert "closed" in refused(simulator, out_trade_no=NUMBER)


# --- close (3.7) ------------------------------------------------------------------------------------------------------


def test_close(simulator, shop):
    shop.prepay()
    answer = shop.raw("POST", f"/v3/pay/transactions/out-trade-no/{NUMBER}/close", {"mchid": MCHID})
    assert (answer.status_code, answer.content) == (204, b"")
    shop.check(answer.headers, b"")
    assert shop.close() == (204, None)
    assert shop.query()[1]["trade_state"] == "CLOSED"
    assert "closed" in refused(simulator, out_trade_no=NUMBER)
    assert shop.close("NOBODY-1")[1]["code"] == "ORDER_NOT_EXIST"
    shop.paid("PAID-1")
    assert shop.close("PAID-1")[0] == 403
    where = f"/v3/pay/transactions/out-trade-no/{NUMBER}/close"
    assert shop.ask("POST", where, {"mchid": "1900000099"})[0] == 400
    assert shop.ask("POST", where, {"mchid": MCHID, "why": "x"})[0] == 400


# --- people -----------------------------------------------------------------------------------------------------------


def test_a_person_declines_and_pays_later(simulator, shop):
    shop.prepay()
    assert shop.pay(accept=False)["client"] == {"errMsg": "requestPayment:fail cancel"}
    assert shop.query()[1]["trade_state"] == "NOTPAY"
    (row,) = simulator.look("/people/xiaoyu/orders")["orders"]
    assert (row["payable"], row["declined"]) == (True, 1)
    assert simulator.look("/people/xiaoyu/orders")["waiting"] == 1
    assert simulator.look("/people/laozhou/orders") == {
        "orders": [], "waiting": 0, "version": simulator.look("/health")["version"]
    }  # fmt: skip
    shop.pay()
    assert simulator.look("/people/xiaoyu/orders")["waiting"] == 0
    assert "is paid" in refused(simulator, out_trade_no=NUMBER)


def test_nobody_pays_another_persons_order(simulator, shop):
    shop.prepay()
    shop.openid("老周")
    assert "another person's" in refused(simulator, "laozhou", out_trade_no=NUMBER)
    assert "no such order" in refused(simulator, out_trade_no="NOBODY-1")
    assert "worth less" in refused(simulator, out_trade_no=NUMBER, coupon=100)
    assert shop.query()[1]["trade_state"] == "NOTPAY"


def test_what_the_page_hands_over_is_checked(simulator, shop):
    prepay_id = shop.prepay()
    request = {
        "timeStamp": str(int(shop.now())),
        "nonceStr": "n",
        "package": f"prepay_id={prepay_id}",
        "signType": "RSA",
    }
    wrong = sign(shop.key, APPID, request["timeStamp"], "n", request["package"])
    answer = simulator.act("小雨", "pay", MINI, request={**request, "paySign": wrong})
    assert (answer["problem"], answer["client"]) == ("支付验证签名失败", {"errMsg": "requestPayment:fail"})
    assert shop.query()[1]["trade_state"] == "NOTPAY"
    right = sign(shop.key, MINI, request["timeStamp"], "n", request["package"])
    assert simulator.act("小雨", "pay", MINI, request={**request, "paySign": right})["paid"] is True


def test_a_coupon_makes_the_payer_pay_less(shop):
    shop.prepay(total=1000)
    shop.pay(coupon=300)
    answer = shop.query()[1]
    assert answer["amount"] == {"total": 1000, "payer_total": 700, "currency": "CNY", "payer_currency": "CNY"}
    assert answer["promotion_detail"][0]["amount"] == 300
    assert shop.refund(refund=500, total=1000)[1]["amount"]["payer_refund"] == 350
    shop.advance(60)
    rest = shop.refund("R2", 500, 1000)[1]["amount"]
    assert (rest["payer_refund"], rest["discount_refund"]) == (350, 150)


def test_a_payment_may_open_the_window(simulator):
    shop = Shop(simulator, appid=APPID)
    simulator.follow("小雨")
    shop.paid()
    assert "pay" not in {row["trigger"] for row in relation(simulator)["windows"]}
    simulator.switch(pay_opens_window=True)
    shop.paid("T20260101000002")
    assert "pay" in {row["trigger"] for row in relation(simulator)["windows"]}
    assert "支付了 ¥1.00" in simulator.entries("小雨")[-1]["content"]


def relation(simulator):
    return simulator.look("/people/xiaoyu")["accounts"][APPID]


# --- refunds (3.9) ----------------------------------------------------------------------------------------------------


def test_a_refund_is_accepted_and_then_done(shop):
    shop.paid()
    status, answer = shop.refund()
    assert (status, answer["status"], answer["channel"]) == (200, "PROCESSING", "ORIGINAL")
    assert "success_time" not in answer
    assert shop.query()[1]["trade_state"] == "SUCCESS"
    shop.advance(60)
    done = shop.ask("GET", f"{REFUNDS}/R1")[1]
    assert (done["status"], done["refund_id"], "success_time" in done) == ("SUCCESS", answer["refund_id"], True)
    assert shop.query()[1]["trade_state"] == "REFUND"
    assert shop.ask("GET", f"{REFUNDS}/R2")[1]["code"] == "RESOURCE_NOT_EXISTS"


def test_the_same_refund_number_is_the_same_refund(shop):
    shop.paid()
    first = shop.refund(refund=40)[1]
    assert shop.refund(refund=40)[1] == first
    assert shop.refund(refund=41)[1]["code"] == "INVALID_REQUEST"
    shop.advance(60)
    assert shop.refund(refund=40)[1]["status"] == "SUCCESS"
    assert shop.simulator.look("/pay/truth")["refunded"] == 40


def test_parts_never_exceed_what_was_paid(shop):
    shop.paid()
    assert shop.refund("R1", 60)[0] == 200
    assert shop.refund("R2", 10)[1]["code"] == "FREQUENCY_LIMITED"
    shop.advance(60)
    assert shop.refund("R2", 41)[1]["code"] == "INVALID_REQUEST"
    assert shop.refund("R2", 40)[0] == 200
    shop.advance(60)
    assert shop.refund("R3", 1)[1]["code"] == "INVALID_REQUEST"
    truth = shop.simulator.look("/pay/truth", mchid=MCHID)
    assert (truth["paid"], truth["refunded"], truth["orders"]) == (100, 100, {"REFUND": 1})


def test_at_most_fifty_parts_within_a_year(shop):
    shop.paid()
    for number in range(50):
        assert shop.refund(f"P{number}", 1)[0] == 200
        shop.simulator.control("/clock", {"advance": 60})
    assert shop.refund("P50", 1)[1]["code"] == "RULE_LIMIT"
    shop.paid("T20260101000002")
    shop.advance(365 * 86400 + 1)
    assert shop.refund("LATE", order="T20260101000002")[1]["code"] == "TRADE_ERROR"


@pytest.mark.parametrize(
    ("more", "status", "code"),
    [
        ({"total": 99}, 400, "INVALID_REQUEST"),
        ({"refund": 101}, 400, "INVALID_REQUEST"),
        ({"refund": 0}, 400, "PARAM_ERROR"),
        ({"refund": "1"}, 400, "PARAM_ERROR"),
        ({"number": "R" * 65}, 400, "PARAM_ERROR"),
        ({"reason": "长" * 81}, 400, "PARAM_ERROR"),
        ({"colour": "red"}, 400, "PARAM_ERROR"),
        ({"notify_url": "ftp://x"}, 400, "PARAM_ERROR"),
        ({"order": "NOBODY-1"}, 404, "RESOURCE_NOT_EXISTS"),
        ({"order": "NOT-PAID"}, 400, "INVALID_REQUEST"),
        ({"order": None}, 400, "PARAM_ERROR"),
        ({"order": None, "transaction_id": "42"}, 500, "INVALID_TRANSACTIONID"),
    ],
)
def test_refunds_that_are_refused(shop, more, status, code):
    shop.paid()
    shop.prepay("NOT-PAID")
    got = shop.refund(**more)
    assert (got[0], got[1]["code"]) == (status, code)
    assert shop.simulator.look("/pay/truth")["refunding"] == 0


def test_a_refund_by_wechats_number(shop):
    one, two = shop.paid(), shop.paid("T20260101000002")
    number = one["transaction_id"]
    wrong = shop.refund(order=two["out_trade_no"], transaction_id=number)
    assert wrong[1]["code"] == "PARAM_ERROR"
    assert shop.refund(order=None, transaction_id=number)[1]["out_trade_no"] == NUMBER


def test_a_merchant_without_money_cannot_refund(shop):
    shop.paid()
    shop.simulator.control("/world", {"merchants": [{"mchid": MCHID, "balance": 99}]})
    status, answer = shop.refund()
    assert (status, answer["code"]) == (403, "NOT_ENOUGH")
    shop.simulator.control("/world", {"merchants": [{"mchid": MCHID, "balance": 100}]})
    assert shop.refund()[0] == 200
    assert shop.simulator.look("/pay/merchants")["merchants"][0]["balance"] == 0


def test_a_refund_to_a_closed_card_is_given_back_another_way(shop):
    shop.paid()
    shop.fault("pay_refund_status", status="ABNORMAL", count=1)
    identity = shop.refund()[1]["refund_id"]
    shop.advance(60)
    assert shop.ask("GET", f"{REFUNDS}/R1")[1]["status"] == "ABNORMAL"
    where = f"{REFUNDS}/{identity}/apply-abnormal-refund"
    serial, key = next(iter(shop.keys.items()))
    oaep = padding.OAEP(mgf=padding.MGF1(hashes.SHA1()), algorithm=hashes.SHA1(), label=None)
    sealed = base64.b64encode(key.encrypt(b"6222000000000000", oaep)).decode()
    body = {
        "out_refund_no": "R1", "type": "USER_BANK_CARD", "bank_type": "ICBC_DEBIT", "bank_account": sealed,
        "real_name": sealed,
    }  # fmt: skip
    assert shop.ask("POST", where, body)[0] == 400  # which key?
    plain = {**body, "bank_account": "6222000000000000"}
    assert shop.ask("POST", where, plain, headers={"Wechatpay-Serial": serial})[0] == 400
    status, answer = shop.ask("POST", where, body, headers={"Wechatpay-Serial": serial})
    assert (status, answer["status"], answer["channel"]) == (200, "PROCESSING", "OTHER_BANKCARD")
    shop.advance(60)
    assert shop.ask("GET", f"{REFUNDS}/R1")[1]["status"] == "SUCCESS"
    assert shop.ask("POST", where, body, headers={"Wechatpay-Serial": serial})[1]["code"] == "INVALID_REQUEST"


def test_a_closed_refund_gives_its_part_free_again(shop):
    shop.paid()
    shop.fault("pay_refund_status", status="CLOSED", count=1)
    shop.refund()
    shop.advance(60)
    assert shop.ask("GET", f"{REFUNDS}/R1")[1]["status"] == "CLOSED"
    assert shop.query()[1]["trade_state"] == "SUCCESS"
    assert shop.refund("R2")[0] == 200


# --- bills (3.10) -----------------------------------------------------------------------------------------------------


def bill(shop, day="2025-06-01", more=""):
    return shop.ask("GET", f"/v3/bill/tradebill?bill_date={day}{more}")


def download(shop, link):
    url = link.removeprefix(shop.simulator.url)
    answer = shop.raw("GET", url)
    assert "Wechatpay-Signature" not in answer.headers
    return answer


def rows_of(text):
    header, *rows, summary_header, summary = text.split("\r\n")[:-1]
    assert header.startswith("交易时间,公众账号ID,商户号,特约商户号")
    assert summary_header.startswith("总交易单数,应结订单总金额")
    split = [row.removeprefix("`").split(",`") for row in (*rows, summary)]
    assert {len(row) for row in split[:-1]} == {len(header.split(","))} == {27}
    return [dict(zip(header.split(","), row, strict=True)) for row in split[:-1]], split[-1]


def test_the_bill_of_a_day(shop):
    shop.prepay(total=1000, description="茶,一盒", attach="a,b")
    order = shop.pay(coupon=300)["order"]
    shop.advance(60)
    shop.refund(refund=400, total=1000)
    shop.prepay("NOT-PAID")
    shop.simulator.control("/clock", {"set": "2025-06-02T09:59:59"})
    assert bill(shop)[1]["code"] == "STATEMENT_CREATING"
    shop.simulator.control("/clock", {"set": "2025-06-02T10:00:00"})
    status, told = bill(shop)
    assert (status, told["hash_type"]) == (200, "SHA1")
    file = download(shop, told["download_url"])
    assert hashlib.sha1(file.content, usedforsecurity=False).hexdigest() == told["hash_value"]
    (paid, back), summary = rows_of(file.content.decode())
    assert paid["微信订单号"] == order["transaction_id"]
    assert (paid["商品名称"], paid["商户数据包"], paid["特约商户号"]) == ("茶,一盒", "a,b", "0")
    assert (paid["订单金额"], paid["代金券金额"], paid["手续费"], paid["费率"]) == ("10.00", "3.00", "0.06", "0.60%")
    assert (back["交易状态"], back["退款金额"], back["退款状态"]) == ("REFUND", "4.00", "PROCESSING")
    assert summary == ["2", "10.00", "4.00", "1.20", "0.04", "10.00", "4.00"]
    assert len(rows_of(fetched(shop, "&bill_type=SUCCESS"))[0]) == 1
    assert rows_of(fetched(shop, "&bill_type=REFUND"))[0] == [back]


def fetched(shop, more):
    return download(shop, bill(shop, more=more)[1]["download_url"]).content.decode()


def test_a_packed_bill_has_the_hash_of_the_unpacked_one(shop):
    shop.paid()
    shop.simulator.control("/clock", {"set": "2025-06-02T10:00:00"})
    plain, packed = bill(shop)[1], bill(shop, more="&tar_type=GZIP")[1]
    assert packed["hash_value"] == plain["hash_value"]
    file = gzip.decompress(download(shop, packed["download_url"]).content)
    assert file == download(shop, plain["download_url"]).content


def test_a_link_lives_five_minutes_for_its_own_merchant(simulator, shop):
    shop.paid()
    other = Shop(simulator, "1900000002", name="别家", api_v3_key="k" * 32)
    simulator.control("/clock", {"set": "2025-06-02T10:00:00"})
    link = bill(shop)[1]["download_url"]
    url = link.removeprefix(simulator.url)
    assert other.raw("GET", url).status_code == 404
    assert shop.raw("GET", url, signature="QUJD").status_code == 401
    assert other.ask("GET", "/v3/bill/tradebill?bill_date=2025-06-01")[1]["code"] == "NO_STATEMENT_EXIST"
    shop.advance(299)
    assert shop.raw("GET", url).status_code == 200
    shop.advance(1)
    assert shop.raw("GET", url).status_code == 404


@pytest.mark.parametrize(
    "query",
    [
        "bill_date=2025-06-02", "bill_date=2025-06-03", "bill_date=2025-01-01", "bill_date=20250601", "bill_date=x", "bill_type=ALL",
        "bill_date=2025-W22-7", "bill_date=2025-06-01&bill_type=SOME", "bill_date=2025-06-01&tar_type=ZIP",
    ],
)  # fmt: skip
def test_bills_that_cannot_be_asked_for(shop, query):
    shop.simulator.control("/clock", {"set": "2025-06-02T10:00:00"})
    assert shop.ask("GET", f"/v3/bill/tradebill?{query}")[1]["code"] == "PARAM_ERROR"


# --- faults of answers ------------------------------------------------------------------------------------------------


def test_the_answer_of_a_created_order_is_lost(shop):
    shop.fault("http_status", path=JSAPI, appid=MCHID, status=502, effect="after", count=1)
    assert shop.raw("POST", JSAPI, shop.body()).status_code == 502
    shop.prepay()
    assert shop.simulator.look("/pay/orders")["total"] == 1


def test_answers_that_are_not_wechats(shop):
    shop.prepay()
    path = "/v3/pay/transactions/out-trade-no/{out_trade_no}"
    for kind, more, found in (
        ("pay_unsigned", {}, "headers"),
        ("pay_forged_answer", {}, "signature"),
        ("patch", {"set": {"trade_state": "SUCCESS"}}, "signature"),
    ):
        shop.fault(kind, path=path, count=1, **more)
        with pytest.raises(Forged, match=found):
            shop.query()
    assert shop.query()[1]["trade_state"] == "NOTPAY"


def test_a_query_may_contradict_and_errors_may_come(shop):
    shop.paid()
    path = "/v3/pay/transactions/out-trade-no/{out_trade_no}"
    shop.fault("pay_answer", path=path, count=1, set={"trade_state": "NOTPAY"}, remove=["transaction_id"])
    answer = shop.query()[1]
    assert (answer["trade_state"], "transaction_id" in answer) == ("NOTPAY", False)
    shop.fault("pay_error", path=JSAPI, code="FREQUENCY_LIMITED", count=1)
    assert shop.ask("POST", JSAPI, shop.body("T20260101000002"))[0] == 429
    assert shop.query("T20260101000002")[0] == 404
    shop.fault("pay_error", path=JSAPI, code="SYSTEM_ERROR", effect="after", count=1)
    assert shop.ask("POST", JSAPI, shop.body("T20260101000002"))[1]["code"] == "SYSTEM_ERROR"
    assert shop.query("T20260101000002")[1]["trade_state"] == "NOTPAY"
    shop.fault("busy", path=path, count=1)
    assert shop.query()[0] == 500
    assert shop.simulator.look("/calls", path=path)["calls"][-1]["faults"]


def test_pay_faults_leave_other_paths_alone(simulator, shop):
    shop.fault("pay_error", code="SYSTEM_ERROR")
    assert "tags" in simulator.ask("/cgi-bin/tags/get")
    assert shop.query()[0] == 500


# --- state ------------------------------------------------------------------------------------------------------------


def test_everything_survives_a_restart(simulator, shop, tmp_path):
    shop.paid()
    shop.refund(refund=40)
    shop.prepay("WAITING-1")
    before = [simulator.look(f"/pay/{name}") for name in ("orders", "truth", "notifications")]
    keys = simulator.look("/pay/merchants", secrets=1)
    simulator.sim.save(tmp_path)
    assert json.loads((tmp_path / "simulator.json").read_text(encoding="utf-8"))["pay"]["orders"]
    simulator.sim.pay.orders.clear()
    simulator.sim.pay.merchants.clear()
    assert simulator.sim.restore(tmp_path)
    assert [simulator.look(f"/pay/{name}") for name in ("orders", "truth", "notifications")] == before
    assert simulator.look("/pay/merchants", secrets=1) == keys
    shop.advance(60)
    assert shop.ask("GET", f"{REFUNDS}/R1")[1]["status"] == "SUCCESS"
    assert shop.refund("R2", 61)[1]["code"] == "INVALID_REQUEST"
    number = shop.query()[1]["transaction_id"]
    assert shop.ask("GET", f"/v3/pay/transactions/id/{number}?mchid={MCHID}")[0] == 200
    assert shop.pay("WAITING-1")["paid"] is True
