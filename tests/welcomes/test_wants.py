"""What people want holds for welcomes as for every other marketing: ways, the switch, hours of their own."""

from datetime import UTC, datetime, time, timedelta

import pytest
from django.utils import translation

from inbox.models import Message, SendState
from inbox.on_screen import reason_of
from inbox.selectors import allowance_of
from inbox.services.sending import deliver
from members.decisions import deciders
from members.models import OptOut, Purpose
from members.services import (
    Quiet,
    save_topic,
    set_control_group,
    set_minor,
    set_preferences,
    tag_members,
    withdraw_consent,
)
from tests.factories import AT, make_account, make_tag
from tests.welcomes.test_kinds import writes
from tests.welcomes.test_running import HOUR, SECOND, follows, make_sequence, records, run, sent
from welcomes.models import Enrolment
from welcomes.plan import Step
from welcomes.selectors import report

pytestmark = pytest.mark.django_db
SAID = {"channel": "MINI_PROGRAM", "source": "mini program", "at": AT}


@pytest.fixture
def account(in_brand):
    return make_account()


def test_refused_way_age_and_marketing_end_a_welcome_and_others_get_it(account):
    make_sequence(account, Step("b", 2 * HOUR, "会员有礼"))
    way, young, off, keen = people = [follows(account) for _ in range(4)]
    set_preferences(member=way.member, ways={"custom": False}, **SAID)
    set_minor(member=young.member, under_14=True, at=AT)
    withdraw_consent(member=off.member, purpose=Purpose.MARKETING, source="t", at=AT)
    set_preferences(member=keen.member, ways={"template": False}, **SAID)
    for person in people:
        writes(person, AT + 2 * HOUR)

    run(AT + 2 * HOUR + timedelta(minutes=1))

    assert [sent(person) for person in people] == [[], [], [], ["会员有礼"]]
    assert records(way) == [("b", "SKIPPED", "OPTED_OUT")]


def test_whom_the_control_group_holds_out_is_not_said_to_have_refused(account):
    make_sequence(account, Step("b", 2 * HOUR, "会员有礼"))
    drawn, drawn_and_off = people = [follows(account) for _ in range(2)]
    withdraw_consent(member=drawn_and_off.member, purpose=Purpose.MARKETING, source="t", at=AT)
    set_control_group(per_mille=500, at=AT)
    OptOut.objects.update_or_create(  # chance may have left them out
        member=drawn.member, purpose=Purpose.MARKETING, defaults={"at": AT, "withdrawn": False, "control": True}
    )
    OptOut.objects.filter(member=drawn_and_off.member).update(control=True)
    for person in people:
        writes(person, AT + 2 * HOUR)

    run(AT + 2 * HOUR + timedelta(minutes=1))

    assert [sent(person) for person in people] == [[], []]
    assert records(drawn) == [("b", "SKIPPED", "IN_CONTROL")]
    assert records(drawn_and_off) == [("b", "SKIPPED", "OPTED_OUT")]


def test_whoever_has_turned_the_topic_off_gets_nothing_of_the_sequence(account):
    offers, _events = (save_topic(code=code, name=code, at=AT) for code in ("offers", "events"))
    sequence = make_sequence(account, Step("a", 10 * SECOND, "欢迎"), Step("b", 2 * HOUR, "会员有礼"), topic=offers)
    off, later, other, _keen = people = [follows(account) for _ in range(4)]
    set_preferences(member=off.member, topics={"offers": False}, **SAID)
    set_preferences(member=other.member, topics={"events": False}, **SAID)
    run(AT + 10 * SECOND)
    set_preferences(member=later.member, topics={"offers": False}, **SAID)  # after the first message
    for person in people:
        writes(person, AT + 2 * HOUR)

    run(AT + 2 * HOUR + timedelta(minutes=1))

    assert [sent(each) for each in people] == [[], ["欢迎"], ["欢迎", "会员有礼"], ["欢迎", "会员有礼"]]
    assert records(off) == [("a", "SKIPPED", "OFF_TOPIC"), ("b", "SKIPPED", "OFF_TOPIC")]
    assert records(later)[1:] == [("b", "SKIPPED", "OFF_TOPIC")]
    assert Enrolment.objects.get(follower=off).ended == "OFF_TOPIC"
    with translation.override("en"):
        (told,) = deciders.get("welcomes.sequence").explain(off.member, AT + 3 * HOUR)
    assert told.what == sequence.name
    assert "Left out: has turned off the topic of the sequence" in told.because


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"topics": {"offers": False}}, "OFF_TOPIC"),
        ({"ways": {"custom": False}}, "OPTED_OUT"),
        ({"marketing": False}, "OPTED_OUT"),
        ({"personal": False}, "NOT_CHOSEN"),
        ({"drawn": True}, "IN_CONTROL"),
    ],
)
def test_what_was_handed_over_is_withheld_when_somebody_changes_their_mind_before_it_leaves(
    account, simulator, said, why
):
    simulator.know(account)
    openids = simulator.crowd(account, 2)
    for person in simulator.get(f"/_sim/people?appid={account.appid}&limit=10")["people"]:
        simulator.act(person["id"], "text", account.appid, content="你好")
    at = datetime.fromtimestamp(simulator.get("/_sim/clock")["now"], UTC)
    topic, tag = save_topic(code="offers", name="优惠", at=AT), make_tag("护肤")
    sequence = make_sequence(account, Step("a", 10 * SECOND, "欢迎", tag_id=tag.pk), topic=topic)
    off, keen = people = [follows(account, at=at, openid=openid) for openid in openids]
    for person in people:
        tag_members(member_ids=[person.member_id], tag_ids=[tag.pk], source="t", at=at)
    run(at + 10 * SECOND)
    late = at + 12 * SECOND
    before = allowance_of(off.pk, at=late).left
    if "drawn" in said:
        OptOut.objects.create(member=off.member, purpose=Purpose.MARKETING, at=AT, withdrawn=False, control=True)
    elif said.pop("marketing", True):
        set_preferences(member=off.member, **said, **SAID)
    else:
        withdraw_consent(member=off.member, purpose=Purpose.MARKETING, source="t", at=AT)

    for line in Message.objects.filter(state=SendState.QUEUED):
        deliver(brand_id=account.brand_id, message_id=line.pk, at=late)

    fate = dict(Message.objects.filter(facts__auto=True).values_list("conversation__follower_id", "state"))
    assert fate == {off.pk: SendState.REFUSED, keen.pk: SendState.SENT}
    assert Message.objects.get(conversation__follower=off, facts__auto=True).cause == why
    assert allowance_of(off.pk, at=late).left == before + 1  # nothing was used up
    step = report(sequence, at=at + 49 * HOUR).steps["a"]
    assert (step.sent, step.refused, step.skipped) == (1, 0, ((why, 1),))
    with translation.override("en"):
        (told,) = deciders.get("welcomes.sequence").explain(off.member, at + HOUR)
        cause, _todo = reason_of(None, why)
    assert told.because[0].startswith("0 messages")
    assert told.because[1].startswith("Left out")
    assert "could not be reached" not in cause


def test_step_for_a_tag_is_not_for_whoever_wants_nothing_chosen(account):
    tag = make_tag("护肤")
    make_sequence(account, Step("b", 2 * HOUR, "护肤讲座", tag_id=tag.pk), Step("c", 3 * HOUR, "欢迎光临"))
    objector, other = people = [follows(account) for _ in range(2)]
    for person in people:
        person.member.tag_ids = [tag.pk]
        person.member.save(update_fields=["tag_ids"])
        writes(person, AT + HOUR)
    set_preferences(member=objector.member, personal=False, **SAID)

    run(AT + 2 * HOUR + timedelta(minutes=1))
    run(AT + 3 * HOUR + timedelta(minutes=1))

    assert sent(objector) == ["欢迎光临"]
    assert sent(other) == ["护肤讲座", "欢迎光临"]
    assert records(objector)[0] == ("b", "SKIPPED", "NOT_CHOSEN")


def test_own_hours_are_waited_for_beside_those_of_the_sequence(account):
    """Followed at 08:00; the brand rests until 11:00, one person until 14:00 of their own."""
    make_sequence(account, Step("b", 2 * HOUR, "会员有礼"), quiet_from=time(9), quiet_until=time(11))
    late, _other = people = [follows(account) for _ in range(2)]
    set_preferences(member=late.member, quiet=Quiet(time(10, 30), time(14)), **SAID)
    for person in people:
        writes(person, AT + HOUR)

    run(AT + 2 * HOUR)
    assert [sent(person) for person in people] == [[], []]
    run(AT + 3 * HOUR)
    assert [sent(person) for person in people] == [[], ["会员有礼"]]
    run(AT + 6 * HOUR - timedelta(minutes=1))
    assert sent(late) == []
    run(AT + 6 * HOUR)
    assert sent(late) == ["会员有礼"]
