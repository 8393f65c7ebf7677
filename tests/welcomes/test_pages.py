"""The page of sequences as operators use it: write, see it on a phone, turn it on, read what it brought."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import AuditEntry
from accounts.tenancy import brand_scope
from tests.factories import AT, make_follower, make_staff
from welcomes.models import Enrolment, Sequence, StepRecord
from welcomes.plan import Step, written

LIST = "/b/lanyu/welcomes/sequence/"
ADD = f"{LIST}add/"
HOUR = timedelta(hours=1)


@pytest.fixture
def as_owner(as_owner, settings):
    as_owner.cookies[settings.LANGUAGE_COOKIE_NAME] = "en"
    return as_owner


def form(ours, **changes):
    return {
        "account": ours.account.pk, "name": "新粉 48 小时", "control_percent": "10", "is_enabled": "on",
        "s1_text": "欢迎来到澜屿", "s1_after": "10", "s1_unit": "second", "s1_unless_joined": "on", "s1_waits": "on",
        "s1_key": "k1",
        "s2_text": "会员有礼", "s2_after": "2", "s2_unit": "hour", "s2_unless_acted": "on", "s2_tag": ours.tag.pk,
        "s2_key": "k2", **changes,
    }  # fmt: skip


def page(answer):
    return re.sub(r"\s+", " ", answer.content.decode())


def sequences(brand):
    with brand_scope(brand.pk):
        return list(Sequence.objects.order_by("pk"))


def make(of, name="新粉", enabled=True, people=0):
    """A sequence with people whose 48 hours are over: every second one acted, every fifth is in the control group."""
    with brand_scope(of.brand.pk):
        sequence = Sequence.objects.create(
            account=of.account, name=name, is_enabled=enabled, updated_at=AT,
            steps=[written(Step("k1", timedelta(seconds=10), f"{name}欢迎")), written(Step("k2", 2 * HOUR, "有礼"))],
        )  # fmt: skip
        for number in range(people):
            row = Enrolment.objects.create(
                sequence=sequence, follower=make_follower(of.account), in_control=number % 5 == 0, state="ENDED",
                ended="TIME", followed_at=AT - 60 * HOUR, until=AT - 12 * HOUR,
                acted_at=AT - 59 * HOUR if number % 2 else None,
            )  # fmt: skip
            if number % 5:
                StepRecord.objects.create(enrolment=row, step="k1", outcome="SENT", at=AT)
                StepRecord.objects.create(enrolment=row, step="k2", outcome="SKIPPED", reason="CLOSED", at=AT)
    return sequence


def test_a_sequence_is_written_turned_on_and_kept_with_its_keys(as_owner, ours):
    saved = as_owner.post(ADD, form(ours))
    assert saved.status_code == 302
    (row,) = sequences(ours.brand)
    assert (row.is_enabled, row.control_percent) == (True, 10)
    assert row.steps == [
        {"key": "k1", "after": 10, "text": "欢迎来到澜屿", "unless_joined": True, "unless_acted": False,
         "tag_id": None, "waits": True},
        {"key": "k2", "after": 7200, "text": "会员有礼", "unless_joined": False, "unless_acted": True,
         "tag_id": ours.tag.pk, "waits": False},
    ]  # fmt: skip
    shown = page(as_owner.get(f"{LIST}{row.pk}/change/"))
    assert re.search(r'name="s2_after" value="2"', shown)
    assert re.search(r'name="s1_key" value="k1"', shown)
    with brand_scope(ours.brand.pk):
        assert AuditEntry.objects.filter(action="create sequence").count() == 1


def test_the_saved_steps_are_shown_on_a_phone_with_what_they_wait_for(as_owner, ours):
    row = make(ours)
    shown = page(as_owner.get(f"{LIST}{row.pk}/change/"))
    phone = re.search(r'data-testid="phone".*?</figure>', shown)[0]
    assert "新粉欢迎" in phone
    assert "10 seconds after the follow" in phone
    assert "2 hours after the follow · not yet a member · waits until they write or tap" in phone


@pytest.mark.parametrize(
    ("posted", "said"),
    [
        ({"s1_text": "", "s2_text": ""}, "A sequence needs at least one step."),
        ({"s2_text": "长" * 683}, "The text is too long"),
        ({"s2_after": "48"}, "A step comes within 48 hours after the follow."),
        ({"control_percent": "51"}, "less than or equal to 50"),
        ({"s1_after": "-1"}, "greater than or equal to 0"),
    ],
)
def test_what_cannot_run_is_refused_at_its_field_while_it_is_on(as_owner, ours, posted, said):
    answer = as_owner.post(ADD, form(ours, **posted))
    assert answer.status_code == 200
    assert said in page(answer)
    assert sequences(ours.brand) == []


def test_a_draft_may_be_unfinished(as_owner, ours):
    posted = form(ours, s1_text="", s2_text="")
    del posted["is_enabled"]
    assert as_owner.post(ADD, posted).status_code == 302
    assert sequences(ours.brand)[0].steps == []


def test_a_second_sequence_of_an_account_is_not_turned_on_and_another_brands_does_not_count(as_owner, ours, theirs):
    make(theirs, name="灶山新粉")
    make(ours, name="旧的")
    answer = as_owner.post(ADD, form(ours))
    assert (answer.status_code, "“旧的” is on for this account" in page(answer)) == (200, True)
    assert "灶" not in page(answer)
    with brand_scope(ours.brand.pk):
        Sequence.objects.update(is_enabled=False)
    assert as_owner.post(ADD, form(ours)).status_code == 302


def test_another_brands_tag_is_refused(as_owner, ours, theirs):
    answer = as_owner.post(ADD, form(ours, s1_tag=theirs.tag.pk))
    assert answer.status_code == 200
    assert sequences(ours.brand) == []


def test_the_report_adds_up_and_says_how_certain_it_is(as_owner, ours, theirs):
    row = make(ours, people=40)
    make(theirs, name="灶山新粉", people=25)
    shown = page(as_owner.get(f"{LIST}{row.pk}/change/"))
    figures = [re.sub(r"<[^>]+>", "", cell).strip() for cell in re.findall(
        r"<t[hd][^>]*>(.*?)</t[hd]>", re.search(r'data-testid="welcome-report".*?</table>', shown)[0]
    )]  # fmt: skip
    # Of numbers 0…39 eight are the control group (0, 5 … 35), four of them odd; sixteen others are odd.
    assert figures[6:12] == ["with the sequence", "32", "16", "0", "16", "50.0%"]
    assert figures[12:18] == ["control group", "8", "4", "0", "4", "50.0%"]
    assert "+0.0 percentage points" in shown
    assert "may be chance" in shown
    steps = re.search(r'data-testid="welcome-steps".*?</table>', shown)[0]
    assert "nothing they did allowed a message 32" in re.sub(r"<[^>]+>", "", steps)
    assert "灶" not in shown


def test_the_list_shows_people_and_activation_in_as_many_queries_for_one_as_for_three(as_owner, ours, theirs):
    make(ours, people=10)
    make(theirs, name="灶山新粉", people=10)

    def queries():
        as_owner.get(LIST)
        with CaptureQueriesContext(connection) as asked:
            shown = page(as_owner.get(LIST))
        return shown, len(asked)

    shown, one = queries()
    assert "50.0%" in shown
    assert "灶" not in shown
    make(ours, name="二", enabled=False, people=3)
    make(ours, name="三", enabled=False)
    shown, three = queries()
    assert ("二" in shown, three) == (True, one)


@pytest.mark.parametrize("who", ["as_manager", "as_guide"])
def test_stores_and_guides_have_no_such_page(request, ours, who):
    client = request.getfixturevalue(who)
    row = make(ours)
    for address in (LIST, ADD, f"{LIST}{row.pk}/change/"):
        assert client.get(address).status_code in (403, 404)
    assert client.post(ADD, form(ours)).status_code in (403, 404)


@pytest.mark.parametrize("role", ["AUDITOR", "ANALYST", "SERVICE_DESK"])
def test_who_may_only_read_sees_a_sequence_and_changes_none(ours, role):
    sequence = make(ours)
    with brand_scope(ours.brand.pk):
        reader = make_staff("reader", role)
    client = Client()
    client.force_login(reader, backend="django.contrib.auth.backends.ModelBackend")
    address = f"{LIST}{sequence.pk}/change/"
    answer = client.get(address)
    assert (answer.status_code, "新粉" in page(answer)) == (200, True)
    assert client.post(address, form(ours, name="改")).status_code == 403
    assert [each.name for each in sequences(ours.brand)] == ["新粉"]


def test_another_brands_sequence_looks_like_none(as_owner, ours, theirs):
    foreign = make(theirs, name="灶山新粉")
    missing = as_owner.get(f"{LIST}{foreign.pk + 1000}/change/")
    there = as_owner.get(f"{LIST}{foreign.pk}/change/")
    assert (there.status_code, missing.status_code) == (404, 404)
    assert as_owner.post(f"{LIST}{foreign.pk}/change/", form(ours)).status_code == 404
