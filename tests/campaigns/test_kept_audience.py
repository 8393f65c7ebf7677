"""Campaigns to segments whose people are kept: they go to those people, and never to stale ones."""

from datetime import timedelta

import pytest

from campaigns import plan, reasons, selectors, services
from campaigns.errors import NotReady
from campaigns.models import Campaign, CampaignState, Delivery
from common import clock
from members import services as member_services
from members.models import Segment

HOUR = timedelta(hours=1)


def kept(stage, freshness="DAILY"):
    segment = member_services.save_segment(
        name="留存", rule={"all": [{"condition": "subscribed", "params": {"value": "yes"}}]}, at=clock.now(),
        freshness=freshness,
    )  # fmt: skip
    return member_services.refresh_segment(segment=segment, at=clock.now())


def aged(segment, hours):
    Segment.objects.filter(pk=segment.pk).update(refreshed_at=clock.now() - hours * HOUR)


def test_launch_to_stale_people_is_refused_with_what_to_do(stage):
    stage.people(3)
    with stage.scope:
        segment = kept(stage)
        campaign = stage.campaign(segment=segment)
        aged(segment, 37)
        campaign = Campaign.objects.get(pk=campaign.pk)
        found = [each for each in selectors.problems(campaign, at=clock.now()) if each.code == "segment_old"]
        assert [(each.blocking, each.field, bool(each.hint)) for each in found] == [(True, "segment", True)]
        with pytest.raises(NotReady):
            services.launch(campaign=campaign, at=clock.now())
        member_services.refresh_segment(segment=segment, at=clock.now())
        assert services.launch(campaign=Campaign.objects.get(pk=campaign.pk), at=clock.now()).state == "FREEZING"


def test_audience_is_the_people_kept_and_waits_while_they_are_stale(stage):
    stage.people(3)
    with stage.scope:
        segment = kept(stage)
        campaign = services.launch(campaign=stage.campaign(segment=segment), at=clock.now())
        aged(segment, 37)
    stage.people(2)  # came after the people were kept
    with stage.scope:
        assert services.freeze_audience(campaign_id=campaign.pk, at=clock.now()) is None
        campaign.refresh_from_db()
        assert (campaign.state, campaign.parked_code) == (CampaignState.FREEZING, reasons.SEGMENT_OLD)
        assert Delivery.objects.count() == 0
        aged(segment, 1)
        assert plan.plan_of(Campaign.objects.get(pk=campaign.pk), at=clock.now()).hit == 3
        assert services.freeze_audience(campaign_id=campaign.pk, at=clock.now()) == 3
        campaign.refresh_from_db()
        assert (campaign.state, campaign.parked_code, Delivery.objects.count()) == (CampaignState.SENDING, "", 3)


def test_rule_changed_after_the_launch_reaches_nobody_else(stage):
    stage.people(3)
    with stage.scope:
        segment = kept(stage)
        campaign = services.launch(campaign=stage.campaign(segment=segment), at=clock.now())
        nobody = {"all": [{"condition": "subscribed", "params": {"value": "no"}}]}
        member_services.save_segment(name="留存", rule=nobody, at=clock.now(), segment=segment)
        member_services.refresh_segment(segment=segment, at=clock.now())
        assert services.freeze_audience(campaign_id=campaign.pk, at=clock.now()) == 3
