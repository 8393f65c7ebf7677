"""An objection to personalised marketing is a request like the others, holds at once, and stops no service message."""

from datetime import timedelta

import pytest

from accounts.roles import Role
from accounts.tenancy import brand_scope
from members.choices import PERSONAL, keys_for
from members.models import Consent, OptOut, RequestState, RightsRequest
from members.services import ask, set_preferences
from members.services.rights import after_working_days
from tests.console.conftest import signed_in
from tests.factories import AT, make_account, make_member, make_staff

pytestmark = pytest.mark.django_db


@pytest.fixture
def member(in_brand):
    return make_member(make_account(), name="陈子涵")


@pytest.fixture
def desk(a):
    with brand_scope(a.brand.pk):
        return signed_in(make_staff("desk", Role.OWNER))


def test_objection_is_done_at_once_and_written_into_the_ledger(member):
    row = ask(member=member, kind="OBJECT", channel="CONSOLE", at=AT, by="lin", words="别再猜我喜欢什么")

    row.refresh_from_db()
    assert (row.state, row.answered_at, row.answered_by) == (RequestState.DONE, AT, "lin")
    assert row.due_at == after_working_days(AT, 15)
    assert OptOut.objects.filter(member=member, purpose=PERSONAL).exists()
    said = Consent.objects.get(member=member, purpose=PERSONAL)
    assert (said.granted, said.source) == (False, f"request {row.pk}")


def test_objector_still_gets_service_messages_and_may_think_better_of_it(member):
    ask(member=member, kind="OBJECT", channel="MINI_PROGRAM", at=AT)
    refused = set(OptOut.objects.filter(member=member).values_list("purpose", flat=True))

    assert not refused & set(keys_for(purpose="SERVICE", topic_id=None, carrier="template", personal=True))
    assert refused & set(keys_for(purpose="MARKETING", topic_id=None, carrier="template", personal=True))
    set_preferences(member=member, personal=True, channel="MINI_PROGRAM", source="x", at=AT + timedelta(days=1))
    assert not OptOut.objects.filter(member=member, purpose=PERSONAL).exists()
    again = ask(member=member, kind="OBJECT", channel="MINI_PROGRAM", at=AT + timedelta(days=2))
    assert again.state == RequestState.DONE
    assert OptOut.objects.filter(member=member, purpose=PERSONAL).exists()


def test_objection_over_the_api_has_state_and_deadline(a, desk):
    told = a.me.post("/me/requests/", {"kind": "OBJECT"}).json()

    assert (told["state"], told["refusal"]) == ("DONE", "")
    assert told["asked_at"] == told["answered_at"] < told["due_at"]
    assert a.me.get("/me/preferences/").json()["personalised"] is False
    assert [each["kind"] for each in a.me.get("/me/requests/").json()["results"]] == ["OBJECT"]
    page = desk.get(f"/b/{a.brand.slug}/members/rightsrequest/").content.decode()
    assert "拒绝个性化营销" in page


def test_objection_is_entered_at_the_desk(a, desk):
    here = f"/b/{a.brand.slug}/members/privacy/{a.member.pk}/"
    assert desk.post(here, {"act": "ask", "kind": "OBJECT", "words": "电话里说的"}).status_code == 302

    with brand_scope(a.brand.pk):
        row = RightsRequest.objects.get(kind="OBJECT")
        assert (row.state, row.asked_by, row.words) == ("DONE", "desk", "电话里说的")
        assert OptOut.objects.filter(member=a.member, purpose=PERSONAL).exists()
    page = desk.get(f"/b/{a.brand.slug}/members/rightsrequest/{row.pk}/change/").content.decode()
    assert "拒绝个性化营销" in page
    assert 'value="refuse"' not in page  # nobody may refuse it
