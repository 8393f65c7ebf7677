"""Marketing that is withdrawn while it is being sent: nobody who still waits gets it (the chaos scenario P1, small)."""

import random

from campaigns import reasons
from campaigns.services import sending
from common import clock
from members.models import Purpose
from members.services import withdraw_consent
from tests.campaigns.test_allowances import TEXT, crowd, wrote  # noqa: F401 - a fixture
from tests.campaigns.test_sending import claim


def test_whoever_withdraws_between_two_claims_gets_nothing_more(stage, crowd):  # noqa: F811
    people = {row.member_id: row for row in crowd(24)}
    wrote(stage, people.values())
    campaign = stage.launched(**TEXT)
    dice, withdrawn = random.Random(5), set()
    for _round in range(6):
        waiting = [row.member_id for row in stage.rows(campaign, state="PENDING")]
        for member_id in dice.sample(waiting, min(2, len(waiting))):
            with stage.scope:
                withdraw_consent(member=people[member_id].member, purpose=Purpose.MARKETING, source="t", at=clock.now())
            withdrawn.add(people[member_id].openid)
        job, batch = claim(stage, campaign, size=4)
        sending._deliver(job, batch)

    assert {row["openid"] for row in stage.truth()} == set(stage.openids) - withdrawn
    assert stage.states(campaign) == {
        "SENT": 24 - len(withdrawn),
        ("SUPPRESSED", reasons.OPTED_OUT): len(withdrawn),
    }
    assert 2 < len(withdrawn) < 24
