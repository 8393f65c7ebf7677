"""Half a sign-in opens nothing; addresses lead nowhere else; forged headers count for nothing."""

import pytest
from django.test import Client
from django_otp.plugins.otp_totp.models import TOTPDevice

from tests.console.conftest import PASSWORD
from tests.isolation.conftest import signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def half_signed_in(owner):
    """Somebody who knows the password of an account with a second factor, and nothing else."""
    TOTPDevice.objects.create(user=owner, name="TOTP", confirmed=True)
    client = Client()
    client.post("/login/", {"username": "owner", "password": PASSWORD})
    return client


def test_password_alone_cannot_change_the_password(half_signed_in, owner):
    fresh = "another horse battery"
    fields = {"old_password": PASSWORD, "new_password1": fresh, "new_password2": fresh}
    answers = [
        half_signed_in.get("/account/password/"),
        half_signed_in.post("/account/password/", fields),
        half_signed_in.post("/b/lanyu/password_change/", fields),
    ]
    assert [answer["Location"].partition("?")[0] for answer in answers] == ["/login/verify/"] * 3
    owner.refresh_from_db()
    assert owner.check_password(PASSWORD)


def test_password_alone_opens_no_page_of_brand_or_platform(half_signed_in, owner, ours):
    type(owner).objects.filter(pk=owner.pk).update(is_superuser=True)
    for path in (
        "/b/lanyu/",
        "/b/lanyu/search/?s=x",
        "/b/nobody/",
        "/platform/accounts/brand/",
        "/platform/password_change/",
    ):
        answer = half_signed_in.get(path)
        assert (answer.status_code, answer["Location"].partition("?")[0]) == (302, "/login/verify/"), path


def test_forged_forwarded_address_does_not_reset_the_pause(owner, settings):
    client = Client()
    for number in range(settings.AXES_FAILURE_LIMIT):
        client.post(
            "/login/",
            {"username": "owner", "password": "wrong"},
            headers={"x-forwarded-for": f"198.51.100.{number}", "x-real-ip": f"198.51.100.{number}"},
        )
    page = client.post(
        "/login/", {"username": "owner", "password": PASSWORD}, headers={"x-forwarded-for": "203.0.113.7"}
    )
    assert page.status_code == 429


def test_pause_counts_the_address_our_own_proxy_saw(owner, settings):
    """Otherwise everybody behind the proxy shares one address, and anybody can pause the sign-in of anybody."""
    settings.TRUSTED_PROXY_HOPS = 1
    for _ in range(settings.AXES_FAILURE_LIMIT):
        Client().post(
            "/login/",
            {"username": "owner", "password": "wrong"},
            headers={"x-forwarded-for": "203.0.113.7, 198.51.100.66"},
        )
    fields = {"username": "owner", "password": PASSWORD}
    attacker = Client().post("/login/", fields, headers={"x-forwarded-for": "192.0.2.1, 198.51.100.66"})
    victim = Client().post("/login/", fields, headers={"x-forwarded-for": "192.0.2.1"})
    assert (attacker.status_code, victim.status_code) == (429, 302)


EVIL = (
    "https://example.org/",
    "//example.org/",
    "/\\example.org/",
    "///example.org",
    "https:example.org",
    "javascript:alert(1)",
    "http:///example.org",
    " //example.org",
    "/\t/example.org",
    "https://testserver@example.org/",
)


@pytest.mark.parametrize("target", EVIL)
def test_no_redirect_leads_away(owner, ours, target):
    client = signed_in(owner)
    fields = {"username": "owner", "password": PASSWORD, "next": target}
    answers = [
        Client().post("/login/", fields),
        client.get("/login/", {"next": target}),
        client.get("/login/verify/", {"next": target}),
        client.post("/language/", {"language": "en", "next": target}),
        client.post("/logout/", {"next": target}),
    ]
    for answer in answers:
        assert answer["Location"] in {"/brands/", "/login/"}, answer["Location"]


@pytest.mark.parametrize(
    "path", ["/b/lanyu//example.org", "/b/lanyu//example.org/..", "/b/lanyu/\\example.org", "/b/lanyu"]
)
def test_completed_addresses_stay_here(owner, ours, path):
    answer = signed_in(owner).get(path)
    location = answer.headers.get("Location", "/b/lanyu/")
    assert location.startswith("/b/lanyu/"), location


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/login/", {"username": "owner", "password": PASSWORD}),
        ("/logout/", {}),
        ("/language/", {"language": "en"}),
        ("/account/password/", {"old_password": PASSWORD}),
        ("/account/two-factor/", {"digits": "123456"}),
        ("/b/lanyu/members/tag/add/", {"name": "x"}),
        ("/b/lanyu/segments/preview/", {"rule": "{}"}),
        ("/b/lanyu/campaigns/new/", {"name": "x"}),
        ("/b/lanyu/conversations/menu/", {}),
    ],
)
def test_posts_from_elsewhere_are_refused(owner, ours, path, fields):
    client = Client(enforce_csrf_checks=True)
    client.force_login(owner, backend="django.contrib.auth.backends.ModelBackend")
    assert client.post(path, fields).status_code == 403
