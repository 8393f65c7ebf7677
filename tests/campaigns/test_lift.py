"""What a campaign brought: reached against control, by facts in a window, with an interval or a word that it is too small."""

from datetime import timedelta

import pytest
from django.test import Client

from accounts.tenancy import brand_scope
from campaigns import lift, services
from campaigns.models import Campaign, Delivery, DeliveryState
from loyalty.models import Fact
from members.models import ControlGroup, OptOut, Purpose
from members.services import set_control_group
from tests.factories import AT, make_account, make_member, make_staff

DAY = timedelta(days=1)
GOAL = "loyalty.purchase"


def purchase(member_id, at):
    return Fact(
        system="pos", kind="PURCHASE", number=f"{member_id}-{at}", fingerprint="0" * 32, member_id=member_id,
        amount=100, happened_at=at, received_at=at,
    )  # fmt: skip


@pytest.fixture
def sent(in_brand):
    """A campaign to 400 people and a control group of 200; the people are only numbers, their messages are rows."""
    account = make_account()
    member = make_member(account)
    campaign = Campaign.objects.create(
        name="七夕", account=account, purpose=Purpose.MARKETING, launched_at=AT, state="FINISHED", audience_count=600,
        created_at=AT, updated_at=AT,
    )  # fmt: skip
    people = [make_member(account).pk for _ in range(12)]

    def row(number, member_id, **more):
        fields = {"state": DeliveryState.DELIVERED, "reason": "", "follower_id": number} | more
        return Delivery(campaign=campaign, seq=number, member_id=member_id, account_id=account.pk, **fields)

    held = {"state": DeliveryState.SUPPRESSED}
    rows = [row(number, 10**9 + number) for number in range(388)]
    rows += [row(400 + number, pk) for number, pk in enumerate(people)]
    rows += [row(500 + number, 10**9 + 500 + number, reason="IN_CONTROL", **held) for number in range(199)]
    rows += [row(800, member.pk, reason="IN_CONTROL", **held)]
    rows += [row(900, 10**9 + 900, reason="OPTED_OUT", **held), row(901, 10**9 + 901, reason="ON_LIST", **held)]
    rows += [row(902, 10**9 + 902, reason="NOT_FOLLOWER", **(held | {"follower_id": None}))]
    Delivery.objects.bulk_create(rows)
    return {"campaign": campaign, "people": people, "control": member.pk}


def test_groups_are_compared_by_whom_it_was_meant_for(sent):
    campaign, people = sent["campaign"], sent["people"]
    bought = [(pk, AT + DAY) for pk in people] + [(people[0], AT + 2 * DAY), (sent["control"], AT + DAY)]
    outside = [(sent["control"], AT - DAY), (people[1], AT + 8 * DAY)]
    Fact.objects.bulk_create(purchase(pk, at) for pk, at in [*bought, *outside])
    found = lift.effect_of(campaign, goal=GOAL, days=7, at=AT + 30 * DAY)

    assert (found.treated.count, found.treated.total) == (12, 400)
    assert (found.control.count, found.control.total) == (1, 200)
    assert (found.is_over, found.is_too_small) == (True, False)
    assert round(found.lift.difference, 4) == 0.025
    assert found.lift.low < 0.025 < found.lift.high
    so_far = lift.effect_of(campaign, goal=GOAL, days=7, at=AT + DAY / 2)
    assert (so_far.treated.count, so_far.is_over, so_far.is_too_small) == (0, False, True)


def test_small_groups_say_so_and_no_comparison_is_made_without_one(sent):
    campaign = sent["campaign"]
    Delivery.objects.filter(campaign=campaign, seq__range=(500, 600)).delete()
    assert lift.effect_of(campaign, goal=GOAL, days=7, at=AT + 9 * DAY).is_too_small is True
    Delivery.objects.filter(campaign=campaign, reason="IN_CONTROL").delete()
    assert lift.effect_of(campaign, goal=GOAL, days=7, at=AT + 9 * DAY) is None
    campaign.purpose = Purpose.SERVICE
    assert lift.effect_of(campaign, goal=GOAL, days=7, at=AT + 9 * DAY) is None


def test_report_shows_the_effect_by_what_one_asks_for(sent, brand):
    staff = make_staff("marketer", "MARKETER")
    client = Client()
    client.force_login(staff, backend="django.contrib.auth.backends.ModelBackend")
    page = f"/b/{brand.slug}/campaigns/{sent['campaign'].pk}/"
    for query in ("", "?goal=touchpoints.scanned&days=30", "?goal=nothing&days=0x", "?days=99999999"):
        answer = client.get(page + query)
        assert (answer.status_code, answer.content.decode().count('data-testid="effect"')) == (200, 1), query


def test_control_group_gets_a_row_and_no_message(stage):
    stage.people(40)
    with stage.scope:
        ControlGroup.objects.create(salt="0123456789abcdef", changed_at=AT)
        set_control_group(per_mille=500, at=AT)
        kept_out = OptOut.objects.filter(control=True).count()
        campaign = stage.campaign(purpose=Purpose.MARKETING, carrier="custom", template=None, content={"text": "你好"})
        Campaign.objects.filter(pk=campaign.pk).update(state="FREEZING", launched_at=AT, rule={"all": []})
        services.freeze_audience(campaign_id=campaign.pk, at=AT)
        rows = Delivery.objects.filter(campaign=campaign)
        assert 0 < kept_out == rows.filter(reason="IN_CONTROL", state="SUPPRESSED", due_at=None).count() < 40
        assert ControlGroup.objects.get().per_mille == 500
    with brand_scope(stage.brand.pk):
        assert not rows.filter(reason="IN_CONTROL").exclude(state="SUPPRESSED").exists()
