"""The signature of a web page over the API, with the simulated WeChat behind it."""

import re

import pytest

from accounts.tenancy import brand_scope
from common.secret import Secret
from wechat_gateway import js_tickets
from wechat_gateway.models import JsTicket
from wechat_gateway.services import set_js_domains

PAGE = "https://crm.example.com/h5/coupon?id=7&ch=qr"


@pytest.fixture
def ours(a, wechat):
    with brand_scope(a.brand.pk):
        set_js_domains(account=a.account, domains=["crm.example.com"])
    wechat.know(a.account)
    return a


@pytest.mark.django_db(transaction=True)
def test_keys_and_members_get_what_wx_config_takes(ours):
    asked = {"appid": ours.account.appid, "url": f"{PAGE}#/top"}
    answers = [caller.post("/js-config/", asked) for caller in (ours.system, ours.me)]

    assert [answer.status_code for answer in answers] == [200, 200]
    with brand_scope(ours.brand.pk):
        ticket = JsTicket.objects.get().ticket
    assert isinstance(ticket, Secret)
    for answer in answers:
        found = answer.json()
        assert set(found) == {"appId", "timestamp", "nonceStr", "signature"}
        assert found["appId"] == ours.account.appid
        assert re.fullmatch(r"[0-9a-f]{16}", found["nonceStr"])
        own = js_tickets.sign(ticket, nonce=found["nonceStr"], timestamp=found["timestamp"], url=PAGE)
        assert found["signature"] == own
        assert ticket.reveal() not in answer.content.decode()
    assert answers[0].json()["nonceStr"] != answers[1].json()["nonceStr"]


@pytest.mark.django_db(transaction=True)
def test_pages_of_others_and_accounts_of_others_get_none(ours, b, stranger):
    asked = {"appid": ours.account.appid, "url": PAGE}
    refused = [
        ours.system.post("/js-config/", {**asked, "url": "https://evil.example/"}),
        ours.system.post("/js-config/", {**asked, "url": "x"}),
        ours.system.post("/js-config/", {**asked, "more": 1}),
        ours.system.post("/js-config/", {**asked, "appid": b.account.appid}),
        b.system.post("/js-config/", asked),
        ours.key("stores.read").post("/js-config/", asked),
        stranger.post("/js-config/", asked),
    ]
    assert [answer.status_code for answer in refused] == [422, 422, 422, 404, 404, 403, 401]
    assert refused[0].json()["error"]["code"] == "page_not_signed"


@pytest.mark.django_db(transaction=True)
def test_wechat_that_is_away_is_told_as_such(ours, wechat):
    wechat.fault(kind="errcode", errcode=-1, appid=ours.account.appid, path="/cgi-bin/ticket/getticket", count=9)
    answer = ours.system.post("/js-config/", {"appid": ours.account.appid, "url": PAGE})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "calls_parked")
