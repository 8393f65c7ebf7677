"""The page of the third-party platform: for whoever runs the installation, and for nobody else."""

import json
import re
from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry

from accounts.models import StaffUser
from accounts.tenancy import brand_scope
from common import clock
from tests.console.conftest import PASSWORD, as_owner, ours, owner, signed_in, theirs  # noqa: F401 - fixtures
from wechat_gateway import platforms, services
from wechat_gateway.checks import NEEDED_SETS
from wechat_gateway.models import OfficialAccount, PlatformPush, PushState

PAGE = "/platform/wechat_gateway/platform/"
KEYS = {"app_secret": "c" * 32, "callback_token": "componentToken01", "encoding_aes_key": "k" * 42 + "A"}

pytestmark = pytest.mark.django_db


@pytest.fixture
def root(settings):
    client = signed_in(StaffUser.objects.create_superuser("root", password=PASSWORD))
    client.cookies[settings.LANGUAGE_COOKIE_NAME] = "en"
    return client


@pytest.fixture
def platform(settings):
    return services.set_platform(name="澜平台", appid="wx00000000000000aa", at=clock.now(), **KEYS)


@pytest.fixture
def rung(monkeypatch):
    """The wake-up calls that leave with the transaction."""
    names = []
    monkeypatch.setattr("wechat_gateway.services.platform.ring", lambda task, *args: names.append(task.name))
    return names


def text_of(answer):
    return re.sub(r"\s+", " ", answer.content.decode())


def event(state, reason="", kind="authorized", **more):
    at = clock.now()
    return PlatformPush.objects.create(
        info_type=kind, appid="wx00000000000000bb", dedupe_key=uuid4(), body=json.dumps({"AuthorizationCode": "secret-code"}),
        event_at=at, received_at=at, state=state, reason=reason, **more,
    )  # fmt: skip


def test_nobody_but_superusers_sees_the_page(as_owner, platform):  # noqa: F811
    assert as_owner.get(PAGE).status_code == 404
    assert as_owner.post(PAGE, {"act": "ticket"}).status_code == 404


def test_an_installation_without_platform_says_how_to_get_one(root):
    assert "set_platform" in text_of(root.get(PAGE))


@pytest.mark.parametrize(
    ("age", "said"),
    [
        (None, "none has come yet"),
        (timedelta(minutes=9), "comes as it should"),
        (timedelta(minutes=12), "one is missing"),
        (timedelta(minutes=31), "stays away"),
    ],
)
def test_the_age_of_the_ticket_is_judged(root, platform, age, said):
    if age is not None:
        platform.ticket_at, platform.ticket = clock.now() - age, "ticket@@@secret"
        platform.save()
    text = text_of(root.get(PAGE))
    assert said in text
    assert "ticket@@@secret" not in text
    assert platforms.events_url(platform) in text
    for secret in KEYS.values():
        assert secret not in text


def test_accounts_of_every_brand_are_listed_without_their_data(root, platform, ours, theirs):  # noqa: F811
    for side, sets in ((ours, NEEDED_SETS), (theirs, (1, 2))):
        with brand_scope(side.brand.pk):
            OfficialAccount.objects.filter(pk=side.account.pk).update(
                platform_appid=platform.appid, granted_sets=list(sets), authorized_at=clock.now()
            )
    with brand_scope(theirs.brand.pk):
        OfficialAccount.objects.filter(pk=theirs.account.pk).update(revoked_at=clock.now())
    text = text_of(root.get(PAGE))
    for side in (ours, theirs):
        assert side.brand.name in text
        assert side.account.appid in text
        assert side.member.name not in text
    assert "authorisation taken back" in text
    assert "custom menus" in text  # a permission that theirs lacks
    assert text.index(ours.account.appid) < text.index(theirs.account.appid)


def test_failed_events_are_shown_with_the_reason_and_handled_again(root, platform, rung):
    fine = event(PushState.HANDLED)
    failed = event(PushState.FAILED, "NO_INVITATION", attempts=5)
    refused = event(PushState.FAILED, "QUERY_AUTH 61010", attempts=5)
    text = text_of(root.get(f"{PAGE}?events=failed"))
    assert "No brand had asked for this authorisation" in text
    assert "<code>61010</code>" in text
    assert "tried 5 times" in text
    assert "secret-code" not in text
    assert text.count('value="replay"') == 2

    assert root.post(PAGE, {"act": "replay", "push": failed.pk}).status_code == 302
    failed.refresh_from_db()
    assert (failed.state, failed.attempts, failed.retry_at) == ("NEW", 0, None)
    assert rung == ["wechat_gateway.tasks.handle_platform_pushes"]
    assert LogEntry.objects.filter(object_id=str(failed.pk)).count() == 1
    root.post(PAGE, {"act": "replay", "push": fine.pk})
    fine.refresh_from_db()
    refused.refresh_from_db()
    assert (fine.state, refused.state, len(rung)) == ("HANDLED", "FAILED", 1)
    assert root.post(PAGE, {"act": "replay", "push": 999_999_999}).status_code == 404


def test_an_event_that_is_handled_again_takes_effect(platform, ours):  # noqa: F811
    with brand_scope(ours.brand.pk):
        OfficialAccount.objects.filter(pk=ours.account.pk).update(platform_appid=platform.appid, authorized_at=None)
    push = event(PushState.FAILED, "CallsParked", kind="unauthorized")
    PlatformPush.objects.filter(pk=push.pk).update(appid=ours.account.appid)
    services.replay_platform_push(push_id=push.pk, at=clock.now())
    assert services.handle_platform_pushes(at=clock.now()) == 1
    with brand_scope(ours.brand.pk):
        assert OfficialAccount.objects.get(pk=ours.account.pk).revoked_at is not None


def test_a_ticket_is_asked_for(root, platform, rung):
    assert root.post(PAGE, {"act": "ticket"}).status_code == 302
    assert rung == ["wechat_gateway.tasks.start_platform_tickets"]


def test_the_forms_of_the_model_are_not_there(root, platform):
    for path in (f"{platform.pk}/change/", "add/", f"{platform.pk}/history/", f"{platform.pk}/delete/"):
        assert root.get(PAGE + path).status_code == 404
