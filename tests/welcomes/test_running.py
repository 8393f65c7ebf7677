"""New followers in a sequence: who enters, what is sent when, what ends it, and what is counted."""

import json
from datetime import timedelta

import pytest
from django.db import transaction

from accounts.tenancy import brand_scope
from common import failpoints
from inbox import services as inbox
from inbox.models import Message, SendState
from inbox.services import sending
from members.models import Follower, Member, OptOut, Purpose
from members.services import erasure
from tests.factories import AT, make_account, make_follower, make_tag
from tests.inbox.conftest import push_of, say
from welcomes import inbound, plan, selectors, services, tasks
from welcomes.models import Enrolment, EnrolmentState, Sequence, StepRecord
from welcomes.plan import Step, written
from welcomes.services import running

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)


def make_sequence(account, *steps, **more):
    fields = {"name": "新粉", "is_enabled": True, "control_percent": 0, "steps": [written(step) for step in steps]}
    return services.save_sequence(sequence=Sequence(account=account, **(fields | more)), at=AT)


def follows(account, at=AT, openid=None):
    """Somebody follows for the first time, as the gateway hands it over."""
    follower = make_follower(account, openid=openid, at=at)
    push = push_of(follower, kind="subscribe", at=at)
    inbox.record_push(push=push)
    inbound.enrol(push)
    return follower


def acts(follower, at, kind="text", **more):
    push = push_of(follower, kind=kind, at=at, content="你好", **more)
    inbound.note_act(push)
    inbox.record_push(push=push)


def run(at):
    total = 0
    while found := services.run_due(at=at):
        total += found
    return total


def sent(follower):
    rows = Message.objects.filter(conversation__follower=follower, facts__auto=True).order_by("pk")
    return list(rows.values_list("text", flat=True))


def records(follower):
    rows = StepRecord.objects.filter(enrolment__follower=follower).order_by("pk")
    return list(rows.values_list("step", "outcome", "reason"))


@pytest.fixture
def account(in_brand):
    return make_account()


FIRST = Step("a", 10 * SECOND, "欢迎")
LATER = Step("b", 2 * HOUR, "会员有礼")


def test_a_new_follower_gets_the_first_step_within_the_minute(account):
    make_sequence(account, FIRST, LATER)
    person = follows(account)

    assert run(AT + 9 * SECOND) == 0
    run(AT + 10 * SECOND)
    assert run(AT + 10 * SECOND) == 0

    assert sent(person) == ["欢迎"]
    assert records(person) == [("a", "SENT", "")]
    row = Enrolment.objects.get(follower=person)
    assert (row.state, row.due_at, row.until) == ("ACTIVE", AT + 2 * HOUR, AT + 48 * HOUR)


def test_a_later_step_waits_for_an_act_and_follows_it(account):
    make_sequence(account, FIRST, LATER)
    person = follows(account)
    run(AT + 10 * SECOND)
    run(AT + 2 * HOUR)
    assert sent(person) == ["欢迎"]

    acts(person, AT + 5 * HOUR, kind="CLICK", key="K")
    run(AT + 5 * HOUR + plan.AFTER_ACT - SECOND)
    assert sent(person) == ["欢迎"]
    run(AT + 5 * HOUR + plan.AFTER_ACT)

    assert sent(person) == ["欢迎", "会员有礼"]


def test_an_act_that_allows_nothing_brings_nothing_forward(account):
    make_sequence(account, FIRST, LATER)
    person = follows(account)
    run(AT + 10 * SECOND)
    acts(person, AT + 3 * HOUR, kind="VIEW", key="https://a.example.com")
    run(AT + 3 * HOUR + plan.AFTER_ACT)

    assert sent(person) == ["欢迎"]
    assert Enrolment.objects.get().acted_at == AT + 3 * HOUR


def test_steps_whose_time_was_never_allowed_are_skipped_at_the_end_with_the_reason(account):
    make_sequence(account, FIRST, LATER, Step("c", 3 * HOUR, "x", waits=False))
    person = follows(account)
    run(AT + 10 * SECOND)
    run(AT + 3 * HOUR)
    assert records(person) == [("a", "SENT", "")]  # the second waits, and holds what comes after it
    run(AT + 48 * HOUR)

    assert records(person) == [("a", "SENT", ""), ("b", "SKIPPED", "CLOSED"), ("c", "SKIPPED", "CLOSED")]
    assert Enrolment.objects.get().ended == plan.TIME


def joins(person, at):
    Member.objects.filter(pk=person.member_id).update(joined_at=at)


def leaves(person, at):
    Follower.objects.filter(pk=person.pk).update(subscribed=False)


def opts_out(person, at):
    OptOut.objects.create(member_id=person.member_id, purpose=Purpose.MARKETING, at=at)


def asks_for_a_person(person, at):
    say(person, "人工", at=at)


def turned_off(person, at):
    Sequence.objects.update(is_enabled=False)


@pytest.mark.parametrize(
    ("happens", "why"),
    [
        (joins, plan.JOINED),
        (leaves, plan.LEFT),
        (opts_out, plan.OPTED_OUT),
        (asks_for_a_person, plan.PERSON),
        (turned_off, plan.OFF),
    ],
)
def test_it_ends_when(account, happens, why):
    make_sequence(account, FIRST, LATER)
    person = follows(account)
    happens(person, AT + 5 * SECOND)
    run(AT + 10 * SECOND)
    run(AT + 3 * HOUR)

    assert sent(person) == []
    assert records(person) == [("a", "SKIPPED", why), ("b", "SKIPPED", why)]
    row = Enrolment.objects.get()
    assert (row.state, row.ended, row.due_at) == (EnrolmentState.ENDED, why, None)


def test_who_joined_before_stays_and_gets_what_members_get(account):
    make_sequence(account, FIRST, Step("b", 20 * SECOND, "会员您好", unless_joined=False))
    person = follows(account)
    joins(person, AT - 30 * HOUR)
    run(AT + 20 * SECOND)
    assert sent(person) == ["会员您好"]
    assert records(person) == [("a", "SKIPPED", "JOINED"), ("b", "SENT", "")]


def test_it_ends_with_the_first_act_where_the_brand_wants_that(account):
    make_sequence(account, FIRST, LATER, ends_on_act=True)
    person = follows(account)
    run(AT + 10 * SECOND)
    acts(person, AT + HOUR, kind="CLICK", key="K")
    run(AT + 3 * HOUR)

    assert sent(person) == ["欢迎"]
    assert records(person)[1:] == [("b", "SKIPPED", "ACTED")]
    assert Enrolment.objects.get().acted_at == AT + HOUR


def both_groups(account):
    """People who follow until some are in the control group and some are not: their numbers decide, by chance."""
    people = []
    while min(Enrolment.objects.filter(in_control=value).count() for value in (True, False)) < 5:
        people.append(follows(account))
    return people


def test_the_control_group_gets_nothing_and_is_counted(account):
    make_sequence(account, FIRST, control_percent=50)
    people = both_groups(account)
    run(AT + 10 * SECOND)
    run(AT + 48 * HOUR)

    control = set(Enrolment.objects.filter(in_control=True).values_list("follower_id", flat=True))
    for person in people:
        assert (sent(person) == []) is (person.pk in control)
        assert bool(records(person)) is (person.pk not in control)
    assert set(Enrolment.objects.values_list("state", "ended")) == {("ENDED", "TIME")}


def test_who_returns_or_followed_before_it_was_on_does_not_enter(account):
    early = follows(account)
    make_sequence(account, FIRST)
    again = make_follower(account)
    Follower.objects.filter(pk=again.pk).update(follow_count=2)
    inbound.enrol(push_of(again, kind="subscribe"))
    inbound.enrol(push_of(early, kind="subscribe"))  # the push is handled again

    assert set(Enrolment.objects.values_list("follower_id", flat=True)) == {early.pk}
    other = make_account("另一个号")
    follows(other)
    assert Enrolment.objects.count() == 1


def test_a_push_handled_twice_enters_once(account):
    make_sequence(account, FIRST)
    person = follows(account)
    inbound.enrol(push_of(person, kind="subscribe"))
    assert Enrolment.objects.count() == 1


def test_a_changed_text_is_not_sent_to_who_had_the_step(account):
    sequence = make_sequence(account, FIRST)
    person = follows(account)
    run(AT + 10 * SECOND)
    sequence.steps = [written(Step("a", 20 * SECOND, "改了")), written(Step("n", 30 * SECOND, "新的一步"))]
    services.save_sequence(sequence=sequence, at=AT)
    Enrolment.objects.update(due_at=AT + 30 * SECOND)
    run(AT + 30 * SECOND)

    assert sent(person) == ["欢迎", "新的一步"]


def test_what_others_took_is_not_taken_again(account):
    make_sequence(account, FIRST)
    person = follows(account)
    inbox.reserve_sends(wanted={person.pk: 3}, at=AT)
    run(AT + 10 * SECOND)
    assert sent(person) == []
    assert Enrolment.objects.get().due_at == AT + 48 * HOUR  # an act brings it forward


def test_a_worker_that_dies_before_the_commit_has_done_nothing(account, brand, monkeypatch):
    make_sequence(account, FIRST)
    person = follows(account)

    def die():
        raise RuntimeError("died")

    with monkeypatch.context() as patch:
        patch.setitem(failpoints.armed, "welcomes: settled, not committed", die)
        with pytest.raises(RuntimeError, match="died"), transaction.atomic():
            services.run_due(at=AT + 10 * SECOND)
    assert (sent(person), records(person)) == ([], [])

    run(AT + 10 * SECOND)
    assert sent(person) == ["欢迎"]


def test_the_report_compares_both_groups_and_counts_every_step(account):
    tag = make_tag("静安店")
    sequence = make_sequence(account, FIRST, LATER, Step("c", 3 * HOUR, "静安店见", tag_id=tag.pk), control_percent=50)
    people = both_groups(account)
    run(AT + 10 * SECOND)
    rows = {row.follower_id: row for row in Enrolment.objects.all()}
    treated = [person for person in people if not rows[person.pk].in_control]
    control = [person for person in people if rows[person.pk].in_control]
    for person in [*treated[:3], control[0]]:
        acts(person, AT + HOUR, kind="CLICK", key="K")
    joins(treated[0], AT + 2 * HOUR)
    joins(treated[3], AT + 3 * HOUR)
    joins(control[1], AT + 49 * HOUR)  # too late to count
    run(AT + HOUR + plan.AFTER_ACT)
    run(AT + 48 * HOUR)
    late = follows(account, at=AT + 47 * HOUR)
    assert late

    found = selectors.report(sequence, at=AT + 48 * HOUR)

    assert (found.treated.people, found.treated.acted, found.treated.joined, found.treated.activated) == (
        len(treated), 3, 2, 4,
    )  # fmt: skip
    assert (found.control.people, found.control.activated) == (len(control), 1)
    assert found.lift.difference == pytest.approx(4 / len(treated) - 1 / len(control))
    assert found.under_way == 1
    assert found.steps["a"].sent == len(treated)
    assert dict(found.steps["b"].skipped) == {"JOINED": 2, "CLOSED": len(treated) - 2}
    assert sum(found.steps["c"].left_out for _ in (1,)) == len(treated)


def test_brands_are_counted_apart(brand, other_brand):
    found = {}
    for each in (brand, other_brand):
        with brand_scope(each.pk):
            account = make_account()
            sequence = make_sequence(account, FIRST)
            found[each.pk] = [sequence, [follows(account) for _ in range(2 if each is brand else 5)]]
            run(AT + 10 * SECOND)
    for each, (sequence, people) in found.items():
        with brand_scope(each):
            report = selectors.report(sequence, at=AT + 49 * HOUR)
            assert (report.treated.people, report.steps["a"].sent) == (len(people), len(people))
    with brand_scope(brand.pk):
        assert selectors.arms_of([found[other_brand.pk][0].pk], at=AT + 49 * HOUR) == {}


def test_the_sweeper_rings_for_brands_with_something_due(brand, other_brand, monkeypatch):
    with brand_scope(brand.pk):
        account = make_account()
        make_sequence(account, FIRST)
        follows(account)
    with brand_scope(other_brand.pk):
        make_sequence(make_account(), FIRST)
    rung = []
    monkeypatch.setattr(running, "ring", lambda task, brand_id: rung.append((task, brand_id)))

    assert services.sweep(at=AT + 9 * SECOND) == 0
    assert services.sweep(at=AT + 10 * SECOND) == 1
    assert rung == [(tasks.run_due, brand.pk)]


def test_a_forgotten_person_leaves_nothing(account):
    make_sequence(account, FIRST)
    stays, goes = follows(account), follows(account)
    run(AT + 10 * SECOND)
    assert "welcomes.enrolments" in dict(erasure.on_erase.items())
    services.forget_enrolments(follower=goes, whole=True, at=AT)
    assert set(Enrolment.objects.values_list("follower_id", flat=True)) == {stays.pk}
    assert StepRecord.objects.count() == 1


def test_what_wechat_says_to_a_step_stands_in_the_report(account, simulator):
    simulator.know(account)
    (openid,) = simulator.crowd(account, 1)
    sequence = make_sequence(account, FIRST)
    person = follows(account, openid=openid)
    run(AT + 10 * SECOND)
    simulator.fault(kind="errcode", errcode=45047, appid=account.appid, path="/cgi-bin/message/custom/send", count=1)
    line = Message.objects.get(conversation__follower=person)
    sending.deliver(brand_id=account.brand_id, message_id=line.pk, at=AT + 11 * SECOND)
    simulator.delete("/_sim/faults")

    line.refresh_from_db()
    assert line.state == SendState.REFUSED
    found = selectors.report(sequence, at=AT + 49 * HOUR)
    assert (found.steps["a"].sent, found.steps["a"].refused, found.window_refusals) == (0, 1, 1)
    assert json.dumps(line.facts)
