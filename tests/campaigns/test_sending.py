"""A campaign from launch to result: everybody once, in one final state, whatever happens in between."""

import pytest

from campaigns.models import CampaignState


def test_a_campaign_reaches_everybody_once(stage):
    stage.people(150)
    campaign = stage.launched()

    stage.send(campaign)

    assert stage.states(campaign) == {"SENT": 150}
    assert sorted(row["openid"] for row in stage.truth()) == sorted(stage.openids)
    assert stage.reload(campaign).state == CampaignState.FINISHED
    stage.report(stage.truth())
    assert stage.states(campaign) == {"DELIVERED": 150}
