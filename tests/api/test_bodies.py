"""Requests that are no good JSON, no JSON at all, or go nowhere: one error shape, never a 500."""

import json

import pytest
from django.test import Client
from django.utils import translation

BROKEN = {
    "cut": b'{"name": "x"',
    "two values": b'{"name":"x"}{"name":"y"}',
    "doubled name": b'{"name": "x", "name": "y"}',
    "single quotes": b"{'name': 'x'}",
    "NaN": b'{"name": NaN}',
    "Infinity": b'{"name": Infinity}',
    "-Infinity": b'{"name": -Infinity}',
    "byte order mark": b'\xef\xbb\xbf{"name": "x"}',
    "UTF-16": '{"name": "x"}'.encode("utf-16"),
    "not UTF-8": b'{"name": "\xff"}',
    "deep list": b"[" * 1000 + b"]" * 1000,
    "deep object": b'{"a":' * 1000 + b"1" + b"}" * 1000,
    "just too deep": b"[" * 25 + b"]" * 25,
    "long number": b'{"name": ' + b"9" * 5000 + b"}",
}
REFUSED = {
    "list": b"[]",
    "text": b'"x"',
    "number": b"5",
    "null": b"null",
    "lone surrogate": b'{"name": "\\ud800"}',
    "just deep enough": b"[" * 24 + b"]" * 24,
    "large number": b'{"name": 123456789012345678901234567890}',
}


def gettext_zh(text):
    with translation.override("zh-hans"):
        return translation.gettext(text)


def shape(answer):
    error = answer.json()["error"]
    assert set(answer.json()) == {"error"}
    assert set(error) == {"code", "message", "hint", "fields"}
    return answer.status_code, error["code"]


@pytest.mark.parametrize("name", BROKEN)
def test_broken_bodies(a, name):
    answer = a.me.send("PATCH", "/me/", BROKEN[name])

    assert shape(answer) == (400, "bad_request")
    assert a.me.get("/me/").json()["name"] == "澜屿会员"


@pytest.mark.parametrize("name", REFUSED)
def test_refused_bodies(a, name):
    assert shape(a.me.send("PATCH", "/me/", REFUSED[name])) == (422, "invalid")
    assert a.me.get("/me/").json()["name"] == "澜屿会员"


def test_large_bodies(a):
    def body(size):
        return json.dumps({"name": "x" * size})

    assert shape(a.me.send("PATCH", "/me/", body(65_000))) == (422, "invalid")
    assert shape(a.me.send("PATCH", "/me/", body(65_536))) == (413, "too_large")
    assert shape(a.me.send("PATCH", "/me/", body(10_000_000))) == (413, "too_large")


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/xml",
        "multipart/form-data; boundary=x",
        "text/json",
    ],
)
def test_other_content_types(a, content_type):
    assert shape(a.me.send("PATCH", "/me/", '{"name": "x"}', content_type=content_type)) == (
        415,
        "unsupported_media_type",
    )


def test_content_type_may_name_the_charset(a):
    answer = a.me.send("PATCH", "/me/", '{"name": "x"}', content_type="application/json; charset=utf-8")

    assert answer.json()["name"] == "x"


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "image/*", "*/*", "nonsense", ""])
def test_answer_is_json_whatever_is_accepted(a, accept):
    answer = a.me.send("GET", "/me/", query_params={}, HTTP_ACCEPT=accept)

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE", "POST", "PROPFIND"])
def test_unknown_methods(a, method):
    assert shape(a.me.send(method, "/me/")) == (405, "method_not_allowed")


def test_method_cannot_be_overridden(a):
    answer = a.me.send("POST", "/me/", '{"name": "x"}', HTTP_X_HTTP_METHOD_OVERRIDE="PATCH")

    assert answer.status_code == 405


@pytest.mark.parametrize(
    "path", ["/me", "/me//", "//me/", "/me/../me/", "/me/..;/", "/stores", "/", "/users/", "/me/phone", "/%00/", "/ME/"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_addresses_that_do_not_exist(a, method, path):
    answer = a.me.send(method, path)

    assert shape(answer) == (404, "not_found")


def test_token_in_the_address_says_nothing(a):
    token = a.me._headers["authorization"].removeprefix("Bearer ")

    for name in ("token", "access_token", "authorization"):
        assert shape(Client().get("/api/v1/me/", query_params={name: token})) == (401, "not_authenticated")


def test_other_origins_are_told_nothing(a):
    for origin in ("https://evil.example", "null", "http://testserver.evil.example"):
        answer = a.me.send("GET", "/me/", HTTP_ORIGIN=origin)
        assert [name for name in answer.headers if name.lower().startswith("access-control")] == []


def test_language_of_errors(a):
    def message(language):
        return a.me.send("GET", "/nothing/", HTTP_ACCEPT_LANGUAGE=language).json()["error"]["message"]

    assert message("en") == "There is nothing here."
    assert message("en-GB,zh;q=0.5") == "There is nothing here."
    assert message("zh-CN") == message("fr") == message("") == gettext_zh("There is nothing here.")
