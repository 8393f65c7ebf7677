"""Rows of the bad-input list about REST and sign-in that no other test runs (RA25–RA28, RA49, RA50, RA58)."""

import time
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.test import Client
from django.utils import timezone
from django_otp import match_token
from django_otp import models as otp_models
from django_otp.oath import totp
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts.models import ApiKey, Role, RoleGrant
from accounts.tenancy import brand_scope
from tests.api.conftest import a, b, rates  # noqa: F401 - fixtures
from tests.factories import make_staff

pytestmark = pytest.mark.django_db

LISTS = ["/members/", "/stores/", "/tags/", "/segments/", "/campaigns/"]
UNDECLARED = {
    "ordering": ["brand__secret", "-store__brand__name", "password", "?"], "order_by": ["pk"], "sort": ["name"],
    "member__phone__startswith": ["1"], "name__regex": ["(a+)+$"], "name__isnull": ["maybe"], "brand": ["2"], "brand_id": ["2"],
    "fields": ["phone"], "expand": ["store"], "search": ["1"], "format": ["api", "csv"], "page": ["0", "-1"], "limit": ["100000"],
    "offset": ["1"], "__class__": ["x"], "id": ["1"], "pk": ["1"],
}  # fmt: skip


@pytest.mark.parametrize("path", LISTS)
def test_parameters_nobody_declared_are_refused(a, path):  # noqa: F811
    assert a.system.get(path).status_code == 200
    for name, values in UNDECLARED.items():
        for value in values:
            assert a.system.get(path, **{name: value}).status_code == 422, (name, value)
    assert a.system.get(path, **{f"filter{number}": "1" for number in range(1000)}).status_code in {400, 422}


SQL = [
    "'", '"', "\\", "%", "_", "';--", "' OR '1'='1", "') OR ('1'='1", "1; DROP TABLE members_member", "' UNION SELECT 1--", "'||'x",
    "'; SELECT pg_sleep(5)--", "1 AND pg_sleep(5)", "$$x$$", "/*", "*/", "%27", "\\'", "0x27", "' AND 1=CAST((SELECT version()) AS int)--",
    "${7*7}", "{{7*7}}", "<script>", "..%2f", "a" * 10_240, "1" * 10_240, "abc" * 3000, "%" * 500, "_" * 500, "(a+)+$",
]  # fmt: skip
TEXTS = {"/members/": ["member_no", "phone", "tag", "joined_since"], "/stores/": ["city"]}


@pytest.mark.parametrize("path", TEXTS)
def test_text_in_a_query_is_only_text(a, path):  # noqa: F811
    """Found nothing, or refused for its form; never an error, never somebody, never a wait."""
    for name in TEXTS[path]:
        for text in SQL:
            began = time.process_time()
            answer = a.system.get(path, **{name: text})
            assert answer.status_code in {200, 422}, (name, text[:40], answer.status_code)
            assert answer.json().get("results", []) == [], (name, text[:40])
            assert time.process_time() - began < 2


def test_text_in_an_address_is_only_text(a):  # noqa: F811
    from urllib.parse import quote

    for text in SQL:
        for path in (f"/members/{quote(text, safe='')}/", f"/stores/{quote(text, safe='')}/"):
            assert a.system.get(path).status_code == 404, path[:60]


OPEN = [
    "/.git/config", "/.env", "/static/../manage.py", "/static/..%2fmanage.py", "/static/%2e%2e/manage.py", "/admin/", "/metrics",
    "/debug/", "/__debug__/", "/silk/", "/api/v1/", "/api/v2/", "/phpinfo.php", "/server-status", "/manage.py", "/var/", "/media/x",
    "/static//etc/passwd", "/api/schema/../../.git/config", "/platform/login/",
]  # fmt: skip


@pytest.mark.parametrize("path", OPEN)
def test_nothing_stands_open(path):
    answer = Client().get(path)
    text = b"".join(answer.streaming_content) if answer.streaming else answer.content
    assert answer.status_code in {302, 403, 404}
    assert answer.status_code != 302 or answer["Location"].startswith("/login/")
    assert b"DJANGO_SETTINGS" not in text
    assert b"Traceback" not in text


@pytest.fixture
def person(a):  # noqa: F811
    with brand_scope(a.brand.pk):
        return make_staff("row-owner", "OWNER")


PASSWORD = {"username": "row-owner", "password": "correct horse battery"}


def test_session_changes_at_sign_in_and_ends_at_sign_out(person):
    client = Client()
    client.get("/login/")
    client.cookies["sessionid"] = "a" * 32  # what an attacker has planted
    client.post("/login/", PASSWORD)
    key = client.cookies["sessionid"].value
    assert key != "a" * 32
    assert client.get("/b/lanyu/").status_code == 200
    client.post("/logout/")
    old = Client()
    old.cookies["sessionid"] = key
    assert old.get("/b/lanyu/")["Location"].startswith("/login/")
    assert Client().get("/b/lanyu/")["Location"].startswith("/login/")


def test_digits_of_the_second_factor_work_once(person):
    device = TOTPDevice.objects.create(user=person, name="phone", confirmed=True)
    digits = f"{totp(device.bin_key, step=device.step, t0=device.t0, digits=device.digits):06d}"

    def verify(given):
        client = Client()
        client.post("/login/", PASSWORD)
        client.post("/login/verify/", {"token": given, "digits": given, "otp_token": given, "code": given})
        return client.get("/b/lanyu/").status_code == 200

    assert verify(digits)
    assert not verify(digits)


def test_guessing_the_second_factor_is_slowed_down(person, monkeypatch):
    """RA50: of a thousand guesses in one moment a single one is looked at, and the right digits wait like all others."""
    at = [timezone.now()]
    monkeypatch.setattr(otp_models, "timezone", SimpleNamespace(now=lambda: at[0]))
    device = TOTPDevice.objects.create(user=person, name="phone", confirmed=True)
    digits = f"{totp(device.bin_key, step=device.step, t0=device.t0, digits=device.digits):06d}"
    zeros = "000000" if digits != "000000" else "111111"
    client = Client()
    client.post("/login/", PASSWORD)

    def verify(given):
        return client.post("/login/verify/", {"digits": given}).status_code == 302

    assert not any(verify(zeros) for _ in range(20))
    assert not any(match_token(person, zeros) for _ in range(980))
    device.refresh_from_db()
    assert device.throttling_failure_count == 1
    assert not verify(digits)

    at[0] += timedelta(seconds=2)
    assert verify(digits)


def test_rights_that_were_taken_away_are_gone_with_the_next_request(a, person):  # noqa: F811
    """RA05: nobody has to sign in again, and no key has to be made anew, for less to be allowed."""
    client = Client()
    client.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
    caller = a.key("members.read", "stores.read")
    doors = ("/b/lanyu/members/member/", "/b/lanyu/campaigns/campaign/", "/b/lanyu/exports/")
    assert [client.get(path).status_code for path in doors] == [200] * 3
    assert [caller.get(path).status_code for path in ("/members/", "/stores/")] == [200, 200]

    with brand_scope(a.brand.pk):
        RoleGrant.objects.filter(staff_user=person).update(role=Role.SERVICE_DESK)
        ApiKey.objects.filter(pk=ApiKey.objects.latest("pk").pk).update(scopes=["stores.read"])

    assert [client.get(path).status_code for path in doors[1:]] == [403] * 2
    assert [caller.get(path).status_code for path in ("/members/", "/stores/")] == [403, 200]
    with brand_scope(a.brand.pk):
        RoleGrant.objects.filter(staff_user=person).delete()
    assert {client.get(path).status_code for path in ("/b/lanyu/", *doors)} == {404}
