"""Signing in: throttled, with a second factor once enrolled, in the language a person chose."""

import pytest
from django.test import Client
from django_otp.oath import TOTP
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts.models import StaffUser
from tests.console.conftest import PASSWORD, signed_in

pytestmark = pytest.mark.django_db


def digits(key):
    return f"{TOTP(bytes.fromhex(key), t0=0).token():06d}"


def test_sign_in_leads_to_the_only_brand(owner, ours):
    client = Client()
    first = client.get("/b/lanyu/members/member/")
    assert first["Location"] == "/login/?next=%2Fb%2Flanyu%2Fmembers%2Fmember%2F"
    page = client.post("/login/", {"username": "owner", "password": PASSWORD, "next": "/b/lanyu/members/member/"})
    assert page["Location"] == "/b/lanyu/members/member/"
    assert client.get("/b/lanyu/members/member/").status_code == 200
    assert client.get("/brands/")["Location"] == "/b/lanyu/"


def test_next_never_leads_to_another_host(owner, ours):
    client = Client()
    page = client.post("/login/", {"username": "owner", "password": PASSWORD, "next": "https://example.org/"})
    assert page["Location"] == "/brands/"
    assert client.post("/language/", {"language": "en", "next": "//example.org/"})["Location"] == "/brands/"


def test_wrong_passwords_pause_sign_in(owner, ours, settings):
    client = Client()
    for _ in range(settings.AXES_FAILURE_LIMIT):
        page = client.post("/login/", {"username": "owner", "password": "wrong"})
    assert page.status_code == 429
    assert "登录已暂停" in page.content.decode()
    still = client.post("/login/", {"username": "owner", "password": PASSWORD})
    assert still.status_code == 429
    assert client.get("/b/lanyu/").status_code == 302


def test_refusal_does_not_tell_which_part_was_wrong(owner, ours):
    def refused(name):
        page = Client().post("/login/", {"username": name, "password": "wrong"})
        return [str(error) for error in page.context["form"].non_field_errors()]

    assert refused("owner") == refused("nobody") != []


def test_second_factor_is_required_once_enrolled(owner, ours):
    client = signed_in(owner)
    assert client.get("/b/lanyu/").status_code == 200
    page = client.get("/account/two-factor/")
    key = page.context["key"].replace(" ", "")
    assert key not in client.get("/account/two-factor/").content.decode()  # each page shows a fresh key
    import base64

    raw = base64.b32decode(key).hex()
    wrong = client.post("/account/two-factor/", {"signed_key": page.context["signed_key"], "digits": "000000"})
    assert wrong.context["key"].replace(" ", "") == key
    client.post("/account/two-factor/", {"signed_key": page.context["signed_key"], "digits": digits(raw)})
    device = TOTPDevice.objects.get(user=owner)
    assert client.get("/b/lanyu/").status_code == 200

    fresh = signed_in(owner)
    for path in ("/b/lanyu/", "/brands/", "/account/two-factor/"):
        assert fresh.get(path)["Location"].startswith("/login/verify/"), path
    assert fresh.get("/brands/menu/").status_code == 403
    assert fresh.post("/login/verify/", {"digits": "000000"}).status_code == 200
    TOTPDevice.objects.filter(pk=device.pk).update(throttling_failure_count=0, last_t=-1)
    done = fresh.post("/login/verify/", {"digits": digits(device.key), "next": "/b/lanyu/"})
    assert done["Location"] == "/b/lanyu/"
    assert fresh.get("/b/lanyu/").status_code == 200


def test_key_of_another_person_cannot_be_enrolled(owner, marketer, ours):
    page = signed_in(owner).get("/account/two-factor/")
    stolen = page.context["signed_key"]
    answer = signed_in(marketer).post("/account/two-factor/", {"signed_key": stolen, "digits": "123456"})
    assert answer.context["key"] != page.context["key"]
    assert not TOTPDevice.objects.filter(user=marketer).exists()


def test_digits_are_checked_before_the_second_factor_goes(owner, ours):
    client = signed_in(owner)
    device = TOTPDevice.objects.create(user=owner, name="TOTP", confirmed=True)
    client.post("/login/verify/", {"digits": digits(device.key)})
    client.post("/account/two-factor/", {"act": "remove", "digits": "000000"})
    assert TOTPDevice.objects.filter(user=owner).exists()


def test_language_is_kept_with_the_person(as_owner, owner, ours):
    assert "今日" in as_owner.get("/b/lanyu/").content.decode()
    page = as_owner.post("/language/", {"language": "en", "next": "/b/lanyu/"})
    assert page["Location"] == "/b/lanyu/"
    text = as_owner.get("/b/lanyu/").content.decode()
    assert "Today" in text
    assert "今日" not in text
    assert StaffUser.objects.get(pk=owner.pk).language == "en"
    as_owner.post("/language/", {"language": "xx"})
    assert StaffUser.objects.get(pk=owner.pk).language == "en"


def test_platform_is_for_superusers_only(as_owner, ours):
    assert as_owner.get("/platform/accounts/brand/").status_code == 404
    root = StaffUser.objects.create_superuser("root", password=PASSWORD)
    page = signed_in(root).get("/platform/accounts/brand/")
    assert page.status_code == 200
    assert "澜屿" in page.content.decode()
    assert signed_in(root).get("/b/lanyu/").status_code == 404  # no role, no entry: data stays the brand's


def test_brand_chooser_names_only_own_brands(owner, ours, theirs):
    page = signed_in(owner).get("/brands/?stay=1").content.decode()
    assert "澜屿" in page
    assert "灶山小馆" not in page


def test_platform_gives_a_lost_account_back(owner, ours):
    root = signed_in(StaffUser.objects.create_superuser("root", password=PASSWORD))
    TOTPDevice.objects.create(user=owner, name="TOTP", confirmed=True)
    data = {"action": "take_second_factor_away", "_selected_action": [owner.pk], "index": "0"}
    root.post("/platform/accounts/staffuser/", data)
    assert not TOTPDevice.objects.filter(user=owner).exists()

    here = f"/platform/accounts/staffuser/{owner.pk}/change/"
    fields = {"username": "owner", "name": "owner", "language": "", "is_active": "on"}
    assert "new_password" in root.post(here, fields | {"new_password": "short"}).context["adminform"].form.errors
    assert root.post(here, fields | {"new_password": "rain-and-tea-2025"}).status_code == 302
    assert StaffUser.objects.get(pk=owner.pk).check_password("rain-and-tea-2025")
    assert root.post(here, fields | {"new_password": ""}).status_code == 302
    assert StaffUser.objects.get(pk=owner.pk).check_password("rain-and-tea-2025")
