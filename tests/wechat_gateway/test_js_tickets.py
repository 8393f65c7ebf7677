"""The jsapi_ticket: one owner an account across callers, and signatures for the brand's own pages only."""

import threading
from datetime import timedelta

import pytest
from django.db import connection

from accounts.models import AuditEntry
from accounts.tenancy import brand_scope
from common.secret import Secret
from tests.wechat_gateway.conftest import NOW, make_account
from tests.wechat_gateway.test_client import wechat  # noqa: F401 - a fixture
from wechat_gateway import js_tickets, services
from wechat_gateway.errors import AccountNotFound, CallsParked
from wechat_gateway.js_tickets import PATH
from wechat_gateway.models import JsTicket, OfficialAccount
from wechat_gateway.services.web_pages import DomainInvalid, PageNotSigned

pytestmark = pytest.mark.django_db
PAGE = "https://crm.example.com/h5/coupon?id=7&ch=qr"


@pytest.fixture
def tickets(wechat):  # noqa: F811
    """WeChat with a ticket that is another one after each end."""
    wechat.ticket = "ticket-1"
    wechat.answers[PATH] = lambda _payload, _token: {"errcode": 0, "ticket": wechat.ticket, "expires_in": 7200}
    return wechat


@pytest.mark.parametrize(
    ("ticket", "nonce", "timestamp", "url", "signature"),
    [
        ("demo_jsapi_ticket_001", "Wm3WZYTPz0wzccnW", 1714036504, PAGE, "d4973298370b7c316451acb0cb315f66e9d60017"),
        (
            "sM4AOVdWfPE4DxkXGEs8VMCPGGVi4C3VM0P37wVUCFvkVAy_90u5h9nbSlYy3-Sl-HhTdfl2fzFy1AOcHKP7qg",
            "Wm3WZYTPz0wzccnW", 1414587457, "http://mp.weixin.qq.com?params=value", "0f9de62fce790f9a083d5c99e95740ceb90c27ed",
        ),
    ],
)  # fmt: skip
def test_signature_is_that_of_the_protocol(ticket, nonce, timestamp, url, signature):
    assert js_tickets.sign(Secret(ticket), nonce=nonce, timestamp=timestamp, url=url) == signature


def test_fifty_cold_callers_fetch_one_ticket(transactional_db, tickets):
    account = make_account()
    found, failed, gate = [], [], threading.Barrier(50)

    def call():
        try:
            gate.wait(30)
            found.append(js_tickets.current(account, at=NOW).secret.reveal())
        except Exception as error:  # the thread's failure is the test's
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=call) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (failed, found) == ([], ["ticket-1"] * 50)
    assert (tickets.count(PATH), tickets.fetches) == (1, 1)


def test_a_ticket_is_used_until_its_end_and_then_fetched_anew(account, tickets):
    assert js_tickets.current(account, at=NOW).secret.reveal() == "ticket-1"
    tickets.ticket = "ticket-2"
    assert js_tickets.current(account, at=NOW + timedelta(seconds=7199)).secret.reveal() == "ticket-1"
    assert js_tickets.current(account, at=NOW + timedelta(seconds=7200)).secret.reveal() == "ticket-2"
    assert tickets.count(PATH) == 2


def test_tickets_of_two_brands_are_two(account, tickets):
    other = make_account()
    assert js_tickets.current(account, at=NOW).secret.reveal() == "ticket-1"
    tickets.ticket = "ticket-2"
    assert js_tickets.current(other, at=NOW).secret.reveal() == "ticket-2"
    assert js_tickets.current(account, at=NOW).secret.reveal() == "ticket-1"
    with brand_scope(account.brand_id):
        assert JsTicket.objects.count() == 1


def refused_until(account, at):
    with pytest.raises(CallsParked) as parked:
        js_tickets.current(account, at=at)
    return parked.value.wechat_code, parked.value.until - NOW


def test_a_refused_ticket_is_asked_for_once_a_minute(account, tickets):
    tickets.answers[PATH] = lambda _payload, _token: {"errcode": 48001, "errmsg": "api unauthorized"}
    for seconds in (0, 1, 59):
        assert refused_until(account, NOW + timedelta(seconds=seconds)) == (48001, timedelta(seconds=60))
    assert tickets.count(PATH) == 1

    tickets.answers[PATH] = lambda _payload, _token: {"errcode": 0, "ticket": "good", "expires_in": 7200}
    assert js_tickets.current(account, at=NOW + timedelta(seconds=60)).secret.reveal() == "good"
    with brand_scope(account.brand_id):
        assert JsTicket.objects.values_list("parked_code", "parked_until").get() == (None, None)


@pytest.mark.parametrize("odd", [{"errcode": -1, "errmsg": "system error"}, {"errcode": 0, "ticket": "bad ticket", "expires_in": 7200}])  # fmt: skip
def test_a_ticket_that_the_next_try_may_bring_is_asked_for_after_seconds(account, tickets, odd):
    tickets.answers[PATH] = lambda _payload, _token: odd
    code, pause = refused_until(account, NOW)
    assert (code, pause) == (odd["errcode"] or None, timedelta(seconds=5))
    assert refused_until(account, NOW + timedelta(seconds=4))[1] == pause
    assert tickets.count(PATH) == 1

    tickets.answers[PATH] = lambda _payload, _token: {"errcode": 0, "ticket": "good", "expires_in": 7200}
    assert js_tickets.current(account, at=NOW + timedelta(seconds=5)).secret.reveal() == "good"


def test_a_token_refused_at_the_ticket_is_replaced_once_and_parks_the_account(account, tickets):
    tickets.answers[PATH] = lambda _payload, _token: {"errcode": 40001, "errmsg": "invalid credential"}
    assert refused_until(account, NOW)[0] == 40001
    with brand_scope(account.brand_id):
        row = OfficialAccount.objects.get(pk=account.pk)
        assert (row.parked_code, row.parked_until > NOW) == (40001, True)
    asked, fetched = tickets.count(PATH), tickets.fetches
    assert asked == 2
    refused_until(account, NOW + timedelta(seconds=30))
    assert (tickets.count(PATH), tickets.fetches) == (asked, fetched)


def listed(account, *domains):
    with brand_scope(account.brand_id):
        services.set_js_domains(account=OfficialAccount.objects.get(pk=account.pk), domains=domains)


def test_only_pages_of_the_accounts_own_hosts_are_signed(account, tickets):
    listed(account, " CRM.example.com ", "h5.example.com", "")
    with brand_scope(account.brand_id):
        assert OfficialAccount.objects.get(pk=account.pk).js_domains == ["crm.example.com", "h5.example.com"]
        assert AuditEntry.objects.filter(action="change JS-safe domains").count() == 1
    signed = services.sign_page(brand_id=account.brand_id, appid=account.appid, url=f"{PAGE}#part", at=NOW)
    ticket = Secret("ticket-1")
    assert signed.signature == js_tickets.sign(ticket, nonce=signed.nonce, timestamp=signed.timestamp, url=PAGE)
    for url in (
        "https://evil.example/", "https://crm.example.com.evil.example/", "https://crm.example.com@evil.example/",
        "https://evil.example/?crm.example.com", "javascript:alert(1)", "//crm.example.com/", "https://[x", "",
        "https://crm.example.com:99999999/", "https://sub.crm.example.com/", "https://crm.example.com/ a",
        "https://crm.example.com/" + "a" * 2000,
    ):  # fmt: skip
        with pytest.raises(PageNotSigned):
            services.sign_page(brand_id=account.brand_id, appid=account.appid, url=url, at=NOW)
    assert tickets.count(PATH) == 1  # what is refused asks WeChat for nothing


def test_an_account_of_another_brand_or_a_disconnected_one_is_none(account, tickets):
    other = make_account(appid="wxaaaaaaaaaaaaaaaa")
    listed(other, "crm.example.com")
    for brand_id, appid in ((account.brand_id, other.appid), (account.brand_id, "wx0")):
        with pytest.raises(AccountNotFound):
            services.sign_page(brand_id=brand_id, appid=appid, url=PAGE, at=NOW)
    with brand_scope(other.brand_id):
        services.set_active(account=OfficialAccount.objects.get(pk=other.pk), is_active=False)
    with pytest.raises(AccountNotFound):
        services.sign_page(brand_id=other.brand_id, appid=other.appid, url=PAGE, at=NOW)


@pytest.mark.parametrize("domains", [["a.com", "b.com", "c.com", "d.com", "e.com", "f.com"], ["https://a.com"], ["a"], ["a.com/x"], ["a.com:80"], ["1.2.3.4"], ["-a.com"], ["a" * 64 + ".com"]])  # fmt: skip
def test_what_is_no_domain_is_refused(account, domains):
    with pytest.raises(DomainInvalid):
        listed(account, *domains)
