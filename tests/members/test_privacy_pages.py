"""The pages of privacy: requests with their clocks, the copy once, a person's choices, texts, the schedule."""

import io
import json
import zipfile
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.tenancy import brand_scope
from members import selectors, services
from members.models import ConsentText, FactChange, LegalHold, Member, RetentionRule, RightsRequest, Topic
from tests.factories import make_account, make_member, make_staff

pytestmark = pytest.mark.django_db
BASE = "/b/lanyu/members"
DAY = timedelta(days=1)


def signed_in(brand, username, role, **more):
    with brand_scope(brand.pk):
        make_staff(username, role, **more)
    client = Client(headers={"accept-language": "en"})
    client.post("/login/", {"username": username, "password": "correct horse battery"})
    client.cookies["django_language"] = "en"
    return client


@pytest.fixture
def owner(brand):
    return signed_in(brand, "owner-p", "OWNER")


@pytest.fixture
def member(brand):
    with brand_scope(brand.pk):
        services.save_topic(code="events", name="门店活动", at=timezone.now())
        return make_member(make_account(), name="陈子涵")


def text(answer):
    return answer.content.decode()


def test_request_entered_in_a_shop_is_deleted_with_its_number_and_shows_the_proof(brand, owner, member):
    page = f"{BASE}/privacy/{member.pk}/"
    assert owner.post(page, {"act": "ask", "kind": "ERASE", "words": ""}).status_code == 302
    assert owner.post(page, {"act": "hold", "text": "退款争议"}).status_code == 302
    with brand_scope(brand.pk):
        row = RightsRequest.objects.get()
    detail = f"{BASE}/rightsrequest/{row.pk}/change/"
    assert "退款争议" in text(owner.get(detail))
    owner.post(detail, {"act": "erase", "text": member.member_no})
    with brand_scope(brand.pk):
        assert Member.objects.get(pk=member.pk).name == "陈子涵"
    owner.post(page, {"act": "end_hold"})
    owner.post(detail, {"act": "erase", "text": "wrong"})
    with brand_scope(brand.pk):
        assert Member.objects.get(pk=member.pk).name == "陈子涵"
        assert LegalHold.objects.get().ended_at is not None

    owner.post(detail, {"act": "erase", "text": member.member_no})

    shown = text(owner.get(detail))
    assert 'data-testid="proof"' in shown
    assert "陈子涵" not in shown
    proof = json.loads(owner.get(f"{detail}?proof=json").content)
    assert {line["fate"] for line in proof["lines"]} == {"DELETED", "ANONYMOUS", "KEPT"}
    with brand_scope(brand.pk):
        assert Member.objects.get(pk=member.pk).name == ""


def test_link_to_a_copy_is_good_once_for_the_one_who_made_it(brand, owner, member):
    with brand_scope(brand.pk):
        row = services.ask(member=member, kind="COPY", channel="CONSOLE", at=timezone.now())
    services.make_copies(brand.pk, at=timezone.now())
    shown = text(owner.post(f"{BASE}/rightsrequest/{row.pk}/change/", {"act": "link"}))
    link = shown.partition(f"{BASE}/copies/")[2].partition('"')[0]
    other = signed_in(brand, "owner-q", "OWNER")

    assert other.get(f"{BASE}/copies/{link}").status_code == 404
    assert owner.get(f"{BASE}/copies/{link[:-4]}xxx/").status_code == 404
    with zipfile.ZipFile(io.BytesIO(owner.get(f"{BASE}/copies/{link}").content)) as archive:
        assert sorted(archive.namelist()) == ["copy.html", "copy.json"]
        assert "陈子涵" in archive.read("copy.html").decode()
        assert "owner-p" in json.loads(archive.read("copy.json"))["watermark"]
    again = owner.get(f"{BASE}/copies/{link}")
    assert (again.status_code, again["Location"]) == (302, f"{BASE}/rightsrequest/{row.pk}/change/")


def test_choices_are_set_for_a_person_within_reach_only(brand, owner, member):
    page = f"{BASE}/privacy/{member.pk}/"
    form = {
        "act": "wants",
        "ways": ["custom", "subscribe"],
        "quiet_from": "22:00",
        "quiet_until": "08:00",
        "under_14": "on",
    }
    assert owner.post(page, form).status_code == 302
    with brand_scope(brand.pk):
        wants = selectors.preferences_of(member.pk)
        assert [yes for _code, _name, _meaning, yes in wants.topics] == [False]
        assert {key for key, _name, _meaning, yes in wants.ways if not yes} == {"template"}
        assert (wants.personal, wants.minor, f"{wants.quiet[0]:%H:%M}") == (False, True, "22:00")
    assert "22:00～08:00" in text(owner.get(f"{BASE}/member/{member.pk}/change/"))
    guide = signed_in(brand, "guide-p", "GUIDE", scope="OWN")
    assert guide.get(page).status_code == 404
    assert owner.get(f"{BASE}/privacy/999999999/").status_code == 404


def test_texts_and_topics_are_made_and_a_reader_makes_none(brand, owner):
    page = f"{BASE}/consents/"
    now = {"act": "text", "purpose": "MARKETING", "version": "2026-11", "body": "我们会发送新品消息"}
    assert owner.post(page, now).status_code == 302
    assert owner.post(page, {**now, "body": "改过"}).status_code == 422
    assert owner.post(page, {"act": "topic", "code": "news", "name": "新品", "is_active": "on"}).status_code == 302
    assert (
        owner.post(page, {"act": "purpose", "code": "RESEARCH", "name": "调研", "meaning": "新品调研"}).status_code
        == 302
    )
    auditor = signed_in(brand, "auditor-p", "AUDITOR")
    assert "我们会发送新品消息" in text(auditor.get(page))
    assert auditor.post(page, {"act": "topic", "code": "x", "name": "x"}).status_code == 403
    with brand_scope(brand.pk):
        assert (ConsentText.objects.get().body, Topic.objects.get().code) == ("我们会发送新品消息", "news")


def test_schedule_is_tried_before_it_is_saved(brand, owner, member):
    with brand_scope(brand.pk):
        FactChange.objects.all().delete()
        FactChange.objects.create(member=member, what="tag", at=timezone.now() - 200 * DAY)
    page = f"{BASE}/retention/"

    tried = text(owner.post(page, {"class": "fact_changes", "days": "100", "act": "try"}))
    assert '<strong data-testid="dry-run">1</strong>' in tried
    with brand_scope(brand.pk):
        assert not RetentionRule.objects.exists()
    assert owner.post(page, {"class": "fact_changes", "days": "20", "act": "save"}).status_code == 422
    assert owner.post(page, {"class": "pushes", "days": "20", "act": "save"}).status_code == 200
    assert owner.post(page, {"class": "fact_changes", "days": "100", "act": "save"}).status_code == 302
    with brand_scope(brand.pk):
        assert RetentionRule.objects.get().days == 100


def test_pages_of_privacy_are_not_for_those_without_the_right(brand, member):
    marketer = signed_in(brand, "marketer-p", "MARKETER")
    for name in ("consents/", "retention/", "rightsrequest/"):
        assert marketer.get(f"{BASE}/{name}").status_code == 403
