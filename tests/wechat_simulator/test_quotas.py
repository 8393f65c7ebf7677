"""Quotas and diagnostics (reference: service account 5.16, 6.1)."""

from tests.wechat_simulator.conftest import APPID, OTHER
from wechat_simulator.clock import parse_moment
from wechat_simulator.quotas import Limit, Quotas

SEND = "/cgi-bin/message/template/send"


def test_daily_quota_ends_with_45009_and_comes_back_at_midnight_in_shanghai(simulator):
    openid = simulator.follow("小雨")
    simulator.control("/quotas", {"appid": APPID, "path": SEND, "per_day": 2})
    assert [simulator.send(openid)["errcode"] for _ in range(3)] == [0, 0, 45009]
    simulator.control("/clock", {"set": "2025-06-01T23:59:50"})
    simulator._tokens.clear()
    assert simulator.send(openid)["errcode"] == 45009
    simulator.control("/clock", {"set": "2025-06-02T00:00:00"})
    assert simulator.send(openid)["errcode"] == 0
    refused = simulator.look("/truth/summary")["quota_refusals"]
    assert refused == [{"appid": APPID, "path": SEND, "errcode": 45009, "count": 2}]


def test_minute_quota_ends_with_45011(simulator):
    openid = simulator.follow("小雨")
    simulator.control("/clock", {"set": "2025-06-01T09:00:00"})
    simulator.control("/clock", {"pause": True})
    simulator.control("/quotas", {"appid": APPID, "path": SEND, "per_minute": 1})
    assert [simulator.send(openid)["errcode"] for _ in range(2)] == [0, 45011]
    simulator.control("/clock", {"advance": 60})
    assert simulator.send(openid)["errcode"] == 0


def test_quota_get_counts_and_clear_works_ten_times_a_month(simulator):
    openid = simulator.follow("小雨")
    simulator.send(openid)
    asked = {"cgi_path": SEND}
    quota = simulator.api("/cgi-bin/openapi/quota/get", asked)["quota"]
    assert quota == {"daily_limit": 100_000, "used": 1, "remain": 99_999}
    codes = [simulator.api("/cgi-bin/clear_quota", {"appid": APPID})["errcode"] for _ in range(11)]
    assert codes == [0] * 10 + [48006]
    assert simulator.api("/cgi-bin/openapi/quota/get", asked)["quota"]["used"] == 0


def test_quota_get_refuses_strange_paths(simulator):
    def code(path):
        return simulator.api("/cgi-bin/openapi/quota/get", {"cgi_path": path})["errcode"]

    assert code("/cgi-bin/none") == 76021
    assert code("/sns/jscode2session") == 76022
    assert code("") == 76003


def test_accounts_have_quotas_of_their_own(simulator):
    simulator.control("/quotas", {"appid": APPID, "path": "/cgi-bin/tags/get", "per_day": 0})
    assert simulator.ask("/cgi-bin/tags/get")["errcode"] == 45009
    assert "tags" in simulator.ask("/cgi-bin/tags/get", appid=OTHER)


def test_conditional_menu_calls_share_one_quota(simulator):
    simulator.control("/quotas", {"appid": APPID, "path": "/cgi-bin/menu/addconditional", "per_day": 1})
    assert simulator.api("/cgi-bin/menu/delconditional", {"menuid": "1"})["errcode"] == 65301
    assert simulator.api("/cgi-bin/menu/addconditional", {})["errcode"] == 45009


def test_clear_by_secret_needs_no_token(simulator):
    simulator.control("/quotas", {"appid": APPID, "path": "/cgi-bin/tags/get", "per_day": 1})
    simulator.ask("/cgi-bin/tags/get")
    assert simulator.ask("/cgi-bin/tags/get")["errcode"] == 45009
    body = {"appid": APPID, "appsecret": simulator.secret()}
    assert simulator.api("/cgi-bin/clear_quota/v2", body, token=None)["errcode"] == 0
    assert "tags" in simulator.ask("/cgi-bin/tags/get")
    assert simulator.api("/cgi-bin/clear_quota/v2", {**body, "appsecret": "x"}, token=None)["errcode"] == 40125


def test_limit_is_the_one_valid_on_the_day():
    quotas = Quotas((Limit("2025-01-01", "/a", 100, None), Limit("2025-07-01", "/a", 200, 5)))
    assert quotas.limits("wx", "/a", parse_moment("2024-12-31")) == (None, None)
    assert quotas.limits("wx", "/a", parse_moment("2025-06-30T23:59:59")) == (100, None)
    assert quotas.limits("wx", "/a", parse_moment("2025-07-01")) == (200, 5)
