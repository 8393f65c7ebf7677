"""The test vectors of the pay reference (section 6), through the simulator's own code and over HTTP."""

import base64
import hashlib
import json

import pytest

from tests.wechat_simulator.conftest import APPID
from tests.wechat_simulator.pay import API_V3_KEY, MCHID, REFERENCE_KEY, REFERENCE_PEM, Shop
from wechat_simulator.pay import crypto
from wechat_simulator.pay.acts import signed_by
from wechat_simulator.pay.model import Merchant
from wechat_simulator.pay.notify import Notification

WX = "wx0123456789abcdef"
OPENID = "oTESTopenid0000000000000001"
V1 = (
    "SM1OrzeqA+0NhOnnGyiDWRyBuFSzsZsmwFzRhKQ2iDKJWfihyKA9AFP3HzUH/zOJDftHGnvL8h2flYNnlVfN8J9I+QTypbZErtMeWeXKiBcRN6jgbk5"
    "ysD5Ep1yrSSspFND2Em4ry9WKK/Mmbvn9V+tavpT3q6pf3sy6gGzdla6zgnyp8qRYQ57qy0lqhgud3YJ8CCiFRVe1X1UZ0c82rgIkZBfsr8TBlJEhtuenH"
    "8Gn9fiKCrkpUhjoQ/66ousiLyVOwpNbc3YIpQHTlXo+Zr8NCVHKijK9bt2FaPOr3bRqdT6B9twwxUhqBrs2MNzZvozAAL3wRiIZPehvygAmSg=="
)
V2_BODY = (
    '{"appid":"wx0123456789abcdef","mchid":"1900000001","description":"会员礼盒","out_trade_no":"T20260101000001",'
    '"notify_url":"https://pay.example.com/wxpay/notify","amount":{"total":100,"currency":"CNY"},'
    '"payer":{"openid":"oTESTopenid0000000000000001"}}'
).encode()
V2 = (
    "G+uqw+Jlj6yFPIkjtaLtIzOmQBzwG2wp+z0PSO8ir01/3vvn+FmsV/o9Nrw9r6tGgnU7t0Zg/Ja7yYYjbfWmnxHntYUaYf0GbLnGOcr1RIHEeYB9SNhl"
    "SfZQ8GdcjeQDayxqA/ZrAVp9KKpApvvj4cVXWQ0Y2BxXNfpEzQekpFwJLd89ZUgYNqzT02R11irOUHiQzKrDcLFlzU4CAAj9BEWCm/5EcefAIg0uDcVe/"
    "KjADONdzpU2WHIK+7ydwfrU++muV2bVRScm76az7v5vzjTxzM+7MzNoNlTLMClkcIawPPtK1n/5Lqe9YrzFopKCOc850qWosSrfNLnNWMtmkQ=="
)
V3 = (
    "mnLBYWD5IK0fmG82n61g1pJnqz0HhgXCUrMPwp9USEdfkpik29qpJg1LcI1NaiQW7Ew1jriUAaJKCU/zgt9wTcMtRNNg3h55oy0fFnKY9RQWlx0hGrJK"
    "Qzi4Oow9oRoO7LJaVZO2kOooe9oPPJSXjQ1AuBvI7kKsX6v9IipDI+QveNV/d7fPgUkdKx1EJ9RURYdHR9AJBfI0M+3SDtit8V/iNpktHs+vmwfV4QRK7"
    "pPHuwGDylA5u0uGj5ZZr/ZMJ8x9nz6cfC3LIdHWH/pv2sJVwKq0TBKV3Y6O8bku8SPsW0aOHfPr6yo7O0i7T0LYLSStYSIMNidTlOAfZOW+pg=="
)
V4 = (
    "RiNuqXF+wciajgCFCNYVdE17YlHyNcvqj9JzrmOfTkgos9uXfp3ixEBPuNlegk9D8JWX84dbFDvNKOaZvydlqI0ohb74MU360GnCiIIf2vxYqY1t1TIp"
    "/YoZtWLJsrlr/Ju8U6l9VWHRp+YZj0E1CIvCRHIb2Eook2TV2BIOXzkeyqUT0lRdQiOtnxTZfPquLYhrzuMBgxOIJ913pYN01X1FQ05T8zSMxIFyptHRu"
    "zGa62kbdKitT/P1WVX3K1v9PoCiEdEmtPsRdhsZK0L5FvtEh1EsO3qxLzuWQgc8rhh784/SOhTOiyegmKyYPxQpn0dhrFjroMkahrukK0+uzg=="
)
V6_PLAIN = {
    "mchid": "1900000001",
    "appid": WX,
    "out_trade_no": "T20260101000001",
    "transaction_id": "4200000000202601010000000001",
    "trade_type": "JSAPI",
    "trade_state": "SUCCESS",
    "trade_state_desc": "支付成功",
    "bank_type": "OTHERS",
    "attach": "",
    "success_time": "2026-01-01T08:00:30+08:00",
    "payer": {"openid": OPENID},
    "amount": {"total": 100, "payer_total": 100, "currency": "CNY", "payer_currency": "CNY"},
}
V6 = (
    "BM4qGn9TFXuc6sC2IvJGB6Tliv5BLyaN3JddEZ/Pv6c1y2Q3S22Nr9J77n+UoRbxMyWFonq6KwFHNqHsM216v7u9xeEz9TTMxure5bHgOcUMfuToVGr1"
    "KDcXo809wXMZ7VhJM5zmC17pjNN6YHsrqWabV5n/7B61tN38682OrgMUThjYmnB+0zWPw/01CFFkPvw3T2jKlvoq4cTztftj4M+k5cF0B7KT2DCdiXzDM"
    "GBOh8B/m4fW+HORDEBe2Nm7Dzu9gKVZIEMPPTMJwSvjXAOqSDmB4bpFPO6KAb1lik/uBh0dIRBhFMNiD9B1o5RFwEqMWn8mIt8Rho+a4Remaw=="
)
V7 = (
    "s9dhZqmBj90JCI3t7665bfy8meEWD7lT2zYhBbS6drMeVpwJdz6oCuZaEG4wna0zH3ROesVgEz627n+PEi2wIJeQvVHEfeot+VgbcjjAebuQ1kgs9jdC"
    "RpQyIYMpMqaS9hPit2SY4ruAdHrU2I8T5fxoEhZ4Omlom1tZA4pNew/Ke0x0AwKgEWGr/mNyOfUXhSo+h1n5xHY1PiWF1DV8CzfHupEqJmMlAin980FbrU"
    "e2Lv1NtGFzfplbl13YFyhqc1P5iU1Nq2UDbKiuE5sZkvUbqcycUhXpMp66PdclwY/tKmCUNRuZv/3K9Aqufq4JsP33hGCREY1dRZ4NCm6xhw=="
)


@pytest.fixture
def at_vectors(simulator):
    """The world of the vectors: their moment, appid, openid, merchant and key."""
    simulator.control("/clock", {"set": 1767225600, "rate": 0})
    simulator.control("/world", {"accounts": [{"appid": WX, "kind": "mini", "name": "会员"}]})
    simulator.act("小雨", "login", WX)
    fan = simulator.sim.world.fans[simulator.openid("小雨", WX)]
    for table in (fan.account.fans, simulator.sim.world.fans):
        table[OPENID] = table.pop(fan.openid)
    fan.openid = OPENID
    return Shop(simulator, appid=WX, serial_no="3" * 40)


def test_v1_a_request_without_a_body_is_accepted_as_it_stands(at_vectors):
    assert crypto.sign(REFERENCE_KEY, crypto.lines("GET", "/v3/certificates", "1767225600", nonce(1), "")) == V1
    answer = at_vectors.raw("GET", "/v3/certificates", timestamp="1767225600", nonce=nonce(1), signature=V1)
    assert answer.status_code == 200
    changed = at_vectors.raw("GET", "/v3/certificates?", timestamp="1767225600", nonce=nonce(2), signature=V1)
    assert changed.status_code == 401


def nonce(number):
    return f"TESTNONCE{number:022d}"


def test_v2_a_request_with_a_body_is_accepted_as_it_stands(at_vectors):
    assert (
        hashlib.sha256(crypto.lines("POST", "/v3/pay/transactions/jsapi", "1767225601", nonce(2), V2_BODY)).hexdigest()
        == "2946e237310e2705b8c21dd5c8bfee26e6f4aefd2fe0755bc50d1f67081a1104"
    )
    given = {"timestamp": "1767225601", "nonce": nonce(2), "signature": V2}
    assert at_vectors.raw("POST", "/v3/pay/transactions/jsapi", V2_BODY + b"\n", **given).status_code == 401
    answer = at_vectors.raw("POST", "/v3/pay/transactions/jsapi", V2_BODY, **given)
    assert (answer.status_code, list(answer.json())) == (200, ["prepay_id"])


def test_v3_what_the_page_hands_over():
    merchant = Merchant(MCHID, private_key=REFERENCE_PEM)
    request = {
        "timeStamp": "1767225602",
        "nonceStr": nonce(3),
        "package": "prepay_id=wx010800021234567890abcdef0000",
        "signType": "RSA",
        "paySign": V3,
    }
    assert signed_by(merchant, WX, request)
    assert signed_by(merchant, WX, {**request, "appId": WX})
    for name, other in (
        ("timeStamp", "1767225603"),
        ("timeStamp", 1767225602),
        ("nonceStr", nonce(4)),
        ("package", "prepay_id=wx010800021234567890abcdef0001"),
        ("signType", "MD5"),
        ("paySign", V1),
        ("appId", "wxother0000000000"),
    ):
        assert not signed_by(merchant, WX, {**request, name: other})
    assert not signed_by(merchant, "wxother0000000000", request)


def test_v4_an_answer_and_v7_a_sensitive_field():
    body = b'{"prepay_id":"wx010800021234567890abcdef0000"}'
    message = crypto.lines("1767225601", "RESPNONCE000000000000000000004", body)
    assert crypto.sign(REFERENCE_KEY, message) == V4
    assert crypto.verify(REFERENCE_KEY.public_key(), V4, message)
    assert not crypto.verify(REFERENCE_KEY.public_key(), V4, message.replace(b'0000"', b'0001"'))
    assert not crypto.verify(REFERENCE_KEY.public_key(), "not base64!", message)
    assert crypto.read_sensitive(REFERENCE_KEY, V7) == "13800000000"
    assert crypto.read_sensitive(REFERENCE_KEY, V4) is None


@pytest.mark.parametrize(
    ("associated", "expected"),
    [
        ("", "X5W3ZtnVFgkZefke5ohoYUL1gJsam9YofSrI6cDk5y3kbdbr+7lxaA=="),
        ("certificate", "X5W3ZtnVFgkZefke5ohoYUL1gJsam9Yo7HxKyzkOCxOEJ6IgvDRNvg=="),
    ],
)
def test_v5_the_cipher(associated, expected):
    plain = '{"hello":"微信支付"}'.encode()
    assert crypto.seal(API_V3_KEY, "nonce1234567", associated, plain) == expected
    assert crypto.unseal(API_V3_KEY, "nonce1234567", associated, expected) == plain
    assert crypto.unseal(API_V3_KEY, "nonce1234567", "transaction", expected) is None
    assert crypto.unseal(API_V3_KEY[::-1], "nonce1234567", associated, expected) is None
    assert crypto.unseal(API_V3_KEY, "nonce1234568", associated, expected) is None


def test_v6_a_notification_byte_for_byte(at_vectors):
    note = Notification(1, MCHID, "TRANSACTION.SUCCESS", url="", at=1767225631)
    note.id, note.summary, note.associated = "EV-2026010108003100001", "支付成功", "transaction"
    note.nonce, note.sealed_with = "AbCdEf012345", API_V3_KEY
    body = at_vectors.simulator.sim.pay.notifications.body(note, V6_PLAIN)
    assert len(body) == 893
    assert hashlib.sha256(body).hexdigest() == "b87f68fc9a0f5d99b6c112e36d42df64b860fa6741ae9da83379621ba9408d8c"
    message = crypto.lines("1767225631", "NOTIFYNONCE0000000000000000005", body)
    assert crypto.sign(REFERENCE_KEY, message) == V6


def test_what_a_paid_order_says_has_the_shape_of_v6(at_vectors):
    at_vectors.raw("POST", "/v3/pay/transactions/jsapi", V2_BODY, timestamp="1767225601", nonce=nonce(2), signature=V2)
    at_vectors.simulator.control("/clock", {"set": 1767225630})
    done = at_vectors.simulator.act("小雨", "pay", WX, out_trade_no="T20260101000001")
    plain = done["notification"]["plain"]
    assert json.dumps(plain) == json.dumps({**V6_PLAIN, "transaction_id": plain["transaction_id"]})
    assert len(plain["transaction_id"]) == 28
    assert plain["transaction_id"].startswith("420000000020260101")


def test_v6_decrypts_with_the_tag_at_the_end():
    sealed = base64.b64decode(crypto.seal(API_V3_KEY, "AbCdEf012345", "transaction", b"{}"))
    assert len(sealed) == 2 + 16
    assert APPID != WX
