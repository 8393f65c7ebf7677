"""Nobody on the do-not-send list or in the control group gets marketing, before and during the sending."""

from campaigns import reasons
from common import clock
from members.models import ControlGroup, Follower, Member, OptOut, Purpose
from members.services import set_control_group, suppress_members


def test_list_and_control_group_are_left_out_with_their_reasons(stage):
    stage.people(60)
    with stage.scope:
        ControlGroup.objects.create(salt="0123456789abcdef", changed_at=clock.now())
        set_control_group(per_mille=300, at=clock.now())
        control = OptOut.objects.filter(control=True).count()  # of people with the same ids every time
        free = Member.objects.exclude(pk__in=OptOut.objects.values("member_id")).order_by("pk").first()
        suppress_members(member_ids=[free.pk], reason="投诉", by="", at=clock.now())
    notice = stage.launched(purpose=Purpose.SERVICE)
    marketing = stage.launched(purpose=Purpose.MARKETING, carrier="custom", content={"text": "周末见"})

    assert stage.states(notice) == {"PENDING": 60}
    assert 10 <= control <= 26
    states = stage.states(marketing)
    assert states["SUPPRESSED", reasons.ON_LIST] == 1
    assert states["SUPPRESSED", reasons.IN_CONTROL] == control
    assert sum(states.values()) == 60


def test_whoever_is_held_back_during_the_sending_gets_nothing(stage):
    openids = stage.people(10)
    campaign = stage.launched(purpose=Purpose.SERVICE)
    with stage.scope:
        people = list(Follower.objects.filter(openid__in=openids).order_by("pk"))
        for follower, why in zip(people, ("listed", "control"), strict=False):
            OptOut.objects.create(
                member_id=follower.member_id, purpose=Purpose.SERVICE, at=clock.now(), withdrawn=False, **{why: True}
            )
    stage.send(campaign)

    assert stage.states(campaign) == {
        "SENT": 8,
        ("SUPPRESSED", reasons.ON_LIST): 1,
        ("SUPPRESSED", reasons.IN_CONTROL): 1,
    }
    assert {row["openid"] for row in stage.truth()} == set(openids) - {people[0].openid, people[1].openid}
