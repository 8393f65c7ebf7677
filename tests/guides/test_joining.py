"""Joining in the store, as the guide's page does it, and how it shows afterwards."""

import secrets
from datetime import timedelta

import pytest

from accounts.tenancy import brand_scope
from common import clock
from guides.models import Guide, Joining
from guides.services import ASSIGNMENTS, guide_of_join_code, join_code
from members.models import Consent, SmsCode, SmsSettings
from members.services import people as services
from members.services import write_text
from tests.console.conftest import as_guide, guide_user, manager, signed_in  # noqa: F401 - fixtures
from tests.factories import AT, make_guide, make_store

pytestmark = pytest.mark.django_db
PAGE = "/b/lanyu/guides/join/"
PHONE = "13700137000"


@pytest.fixture
def shop(ours, guide_user, monkeypatch):  # noqa: F811
    """The guide of the shop signs in; codes are 048213 and reach nobody."""
    any_number = secrets.randbelow
    monkeypatch.setattr(secrets, "randbelow", lambda most: 48213 if most == 10**6 else any_number(most))
    with brand_scope(ours.brand.pk):
        SmsSettings.objects.create(way="http", url="https://sms.example")
        Guide.objects.filter(pk=ours.guide.pk).update(staff_user=guide_user)
        make_guide(make_store(code="X9", name="别的店"), staff_no="X9", name="别人")
    return ours


def asked(client, **more):
    return client.post(PAGE, {"act": "send", "phone": PHONE, "name": "陈悦"} | more)


def joined(client, **more):
    return client.post(
        PAGE, {"act": "join", "phone": PHONE, "name": "陈悦", "code": "048213", "purpose": ["SERVICE"]} | more
    )


def test_a_guide_types_the_phone_and_the_person_tells_the_code(shop, as_guide):  # noqa: F811
    with brand_scope(shop.brand.pk):
        write_text(purpose="SERVICE", version="v3", body="我们用手机号通知你", by="x", effective_at=AT, at=AT)
    page = asked(as_guide)
    assert (page.status_code, "137****7000" in page.content.decode()) == (200, True)
    assert "我们用手机号通知你" in page.content.decode()
    assert joined(as_guide).status_code == 302
    with brand_scope(shop.brand.pk):
        row = Joining.objects.get()
        assert (row.guide, row.store, row.way, row.by != "") == (shop.guide, shop.store, "SMS", True)
        consent = Consent.objects.get(member=row.member)
        assert (consent.text_version, consent.channel, consent.source) == (
            "v3",
            "STORE",
            f"guide: {shop.guide.staff_no} {shop.store.code}",
        )
        number = row.member.pk
    shown = as_guide.get(f"/b/lanyu/members/member/{number}/change/").content.decode()
    assert "一起入会" in shown
    assert "陈悦" in as_guide.get(PAGE).content.decode()


def test_what_is_refused_keeps_the_page_and_says_why(shop, as_guide, manager):  # noqa: F811
    assert asked(as_guide, phone="12").status_code == 422
    asked(as_guide)
    for wrong in ({"code": "000000"}, {"purpose": []}):
        page = joined(as_guide, **wrong)
        assert page.status_code == 422
        assert 'role="alert"' in page.content.decode()
    with brand_scope(shop.brand.pk):
        stranger = Guide.objects.get(staff_no="X9")
        assert SmsCode.objects.get().tries == 1
        assert not Joining.objects.exists()
    assert joined(as_guide, guide=str(stranger.pk)).status_code == 404  # in nobody's name but one's own
    with brand_scope(shop.brand.pk):
        SmsSettings.objects.update(way="")
    assert "短信" in as_guide.get(PAGE).content.decode()


def test_the_join_code_changes_every_minute_and_ends_after_five(shop, as_guide):  # noqa: F811
    at = clock.now()
    with brand_scope(shop.brand.pk):
        shown = join_code(guide=shop.guide, at=at)
        later = join_code(guide=shop.guide, at=at + timedelta(minutes=1))
        assert shown.code != later.code
        works = [guide_of_join_code(shown.code, at=at + timedelta(minutes=minutes)) for minutes in (0, 4, 6, -2)]
        assert [each is not None for each in works] == [True, True, False, False]
        Guide.objects.filter(pk=shop.guide.pk).update(is_active=False)
        assert guide_of_join_code(shown.code, at=at) is None
    part = as_guide.get(f"{PAGE}?part=code")
    assert "zy-join-code" in part.content.decode()


def test_how_somebody_joined_goes_along_with_a_merge_and_comes_back(shop):
    with brand_scope(shop.brand.pk):
        kept, merged = services.new_member(at=AT), services.new_member(at=AT)
        row = Joining.objects.create(member=merged, guide=shop.guide, store=shop.store, way="SCAN", at=AT)
        moved = ASSIGNMENTS.move(kept=kept, merged=merged, at=AT)
        assert Joining.objects.get().member == kept
        ASSIGNMENTS.give_back(kept=kept, merged=merged, moved=moved, at=AT)
        row.refresh_from_db()
        assert row.member == merged


def test_settings_of_text_messages_keep_the_secret_to_themselves(shop, owner):
    client = signed_in(owner)
    page = "/b/lanyu/members/text-messages/"
    given = {
        "way": "http",
        "url": "https://sms.example/v1",
        "secret": "top-secret",
        "signature": "澜屿",
        "daily_limit": "500",
    }
    assert client.post(page, given).status_code == 302
    shown = client.get(page).content.decode()
    assert "top-secret" not in shown
    assert client.post(page, given | {"secret": "", "daily_limit": "600"}).status_code == 302
    assert client.post(page, given | {"secret": "", "url": "https://evil.example/"}).status_code == 422
    for wrong in ({"url": "ftp://x"}, {"url": ""}, {"daily_limit": "0"}, {"way": "pigeon"}):
        assert client.post(page, given | wrong).status_code == 422, wrong
    with brand_scope(shop.brand.pk):
        row = SmsSettings.objects.get()
        assert (row.secret.reveal(), row.daily_limit, row.url) == ("top-secret", 600, "https://sms.example/v1")
