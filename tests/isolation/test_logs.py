"""No log line holds a phone number, a secret, or whom somebody looked for."""

import io
import logging

import pytest

from accounts.services import issue_api_key
from accounts.tenancy import brand_scope
from common.logs import redact
from tests.factories import AT

PHONE = "13800138000"


@pytest.mark.parametrize("written", [PHONE, f"+86{PHONE}", f"%2B86{PHONE}", f"0086{PHONE}", f"86{PHONE}", f"'{PHONE}'"])
def test_phone_numbers_are_cut_however_they_are_written(written):
    assert "0013" not in redact(f"phone={written}&x=1")


@pytest.mark.parametrize(
    "line",
    [
        "GET /cgi-bin/menu/get?access_token=97_xyzzy&x=1",
        "{'appid': 'wx1', 'secret': 'xyzzy'}",
        '{"session_key":"xyzzy","openid":"o1"}',
        "js_code=xyzzy",
        "Authorization: xyzzy",
        "Authorization: Key xyzzy",
        "{'authorization': 'Bearer xyzzy'}",
    ],
)
def test_secrets_a_library_might_log_are_cut(line):
    cut = redact(line)

    assert "xyzzy" not in cut
    assert "***" in cut


def test_numbers_that_are_no_phones_stay():
    assert redact("msgid 3838001380001 of 2025") == "msgid 3838001380001 of 2025"


@pytest.fixture
def lines(monkeypatch):
    """What the log's own handler would write."""
    handler = next(each for each in logging.getLogger().handlers if type(each) is logging.StreamHandler)
    written = io.StringIO()
    monkeypatch.setattr(handler, "stream", written)
    return written


@pytest.mark.django_db
def test_refused_request_is_logged_without_its_query(client, ours, lines):
    with brand_scope(ours.brand.pk):
        _key, clear = issue_api_key(label="shop", scopes=["members.read"], at=AT)
    headers = {"authorization": f"Key {clear}"}
    refused = client.get("/api/v1/members/", {"phone": f"+86{PHONE}", "nonsense": "1"}, headers=headers)
    missing = client.get("/nothing/here/", {"who": "陈子涵", "token": "abcdef123456"})
    assert (refused.status_code, missing.status_code) == (422, 404)
    written = lines.getvalue()
    assert "/api/v1/members/" in written
    for hidden in (PHONE, PHONE[3:7], "陈子涵", "abcdef123456", "%E9%99%88", clear):
        assert hidden not in written


def test_objects_and_nested_values_are_cleaned_too(lines):
    class Thing:
        def __str__(self):
            return f"Thing of {PHONE}"

    logging.getLogger("zhiyin.test").warning("found", extra={"thing": Thing(), "rows": [{"phone": PHONE}]})
    assert "found" in lines.getvalue()
    assert PHONE not in lines.getvalue()
