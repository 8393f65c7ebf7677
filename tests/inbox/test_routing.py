"""Who answers: guide, store, region, desk by hours and capacity; a queue that is pulled from, oldest first, fairly."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import RoleGrant
from accounts.roles import DataScope, Role
from accounts.viewer import Viewer
from inbox import routing, selectors, services
from inbox.models import Agent, AgentTask, Conversation, ConversationState, Hop, Level, Message, ServiceHours, TaskKind
from inbox.routing import Case, Seat, Shift, decide
from tests.factories import AT, make_follower, make_member, make_staff
from tests.inbox.conftest import own_guide, say, seconds

NOON = AT + timedelta(hours=4)  # 12:00 in Shanghai; the store opens at 10:00


def on_duty(*people, at=NOON, capacity=8):
    for person in people:
        services.set_duty(staff_id=person.pk, on_duty=True, at=at)
        Agent.objects.filter(staff_user=person).update(capacity=capacity)


def owner_of(conversation):
    return Conversation.objects.get(pk=conversation.pk).assignee


def why(conversation):
    return [(hop.level, hop.reason) for hop in selectors.hops_of(conversation)]


def test_the_exclusive_guide_is_asked_first(follower, team):
    own_guide(follower, team)
    on_duty(team.guide_user, team.manager, team.desk)
    conversation = say(follower, at=NOON)

    assert owner_of(conversation) == team.guide_user
    assert why(conversation) == [(Level.GUIDE, routing.TAKEN)]
    assert (conversation.level, conversation.store_id) == (Level.GUIDE, team.store.pk)
    assert conversation.return_at == NOON + routing.RETURN_AFTER


def test_a_guide_who_is_away_leaves_it_to_the_store_and_each_step_says_why(follower, team):
    own_guide(follower, team)
    on_duty(team.manager, team.desk)
    services.set_duty(staff_id=team.guide_user.pk, on_duty=False, at=NOON)
    conversation = say(follower, at=NOON)

    assert owner_of(conversation) == team.manager
    assert why(conversation) == [(Level.GUIDE, routing.AWAY), (Level.STORE, routing.TAKEN)]


def test_a_full_store_leaves_it_to_the_desk(follower, account, team):
    own_guide(follower, team)
    on_duty(team.guide_user, capacity=1)
    on_duty(team.desk)
    other = make_follower(account)
    own_guide(other, team)
    say(other, at=NOON)
    conversation = say(follower, at=NOON + seconds(1))

    assert owner_of(conversation) == team.desk
    assert why(conversation) == [
        (Level.GUIDE, routing.FULL),
        (Level.STORE, routing.FULL),
        (Level.REGION, routing.NONE),
        (Level.DESK, routing.TAKEN),
    ]


def test_a_closed_store_leaves_it_to_the_desk(follower, team):
    own_guide(follower, team)
    on_duty(team.guide_user, team.manager, team.desk, at=AT)
    conversation = say(follower, at=AT)  # 08:00

    assert owner_of(conversation) == team.desk
    assert why(conversation)[:2] == [(Level.GUIDE, routing.CLOSED), (Level.STORE, routing.CLOSED)]


def test_outside_all_hours_a_time_is_promised_and_a_task_is_there_at_that_time(follower, team):
    own_guide(follower, team)
    ServiceHours.objects.create(weekday=6, opens=time(9), closes=time(21))  # 2025-06-01 is a Sunday
    on_duty(team.guide_user, team.desk, at=AT)
    conversation = say(follower, at=AT)

    nine = datetime(2025, 6, 1, 9, tzinfo=ZoneInfo("Asia/Shanghai"))
    assert (conversation.assignee_id, conversation.promised_at) == (None, nine)
    said = Message.objects.get(direction="OUT")
    assert "今天 09:00" in said.text
    task = AgentTask.objects.get()
    assert (task.kind, task.due_at, task.done_at) == (TaskKind.PROMISE, nine, None)
    assert selectors.allowance_of(follower.pk, at=AT).left == 4

    say(follower, "还在吗", at=AT + seconds(30))  # promised once
    assert Message.objects.filter(direction="OUT").count() == 1

    services.note_seen(staff_id=team.desk.pk, at=nine)
    services.fill_all(at=nine)
    assert owner_of(conversation) == team.desk
    services.send_text(
        conversation_id=conversation.pk, staff_id=team.desk.pk, text="早上好", client_key=uuid4(), at=nine
    )
    assert AgentTask.objects.get().done_at == nine


def test_a_promise_is_made_once_though_somebody_puts_it_aside_meanwhile(follower, team):
    ServiceHours.objects.create(weekday=6, opens=time(9), closes=time(21))
    on_duty(team.desk, at=AT)
    conversation = say(follower, at=AT)
    services.snooze(conversation_id=conversation.pk, until=AT + timedelta(minutes=30), at=AT + seconds(1))
    say(follower, "还在吗", at=AT + seconds(60))  # looks for somebody again, and finds the same closed doors

    assert Message.objects.filter(direction="OUT").count() == 1
    assert AgentTask.objects.filter(kind=TaskKind.PROMISE).count() == 1
    assert selectors.allowance_of(follower.pk, at=AT + seconds(61)).left == 5  # of the new message


def test_who_waits_in_the_queue_when_the_doors_close_hears_when_somebody_answers(account, team):
    """Queued before closing and never answered: the first message after closing promises, each night once."""
    for day in (6, 0, 1):
        ServiceHours.objects.create(weekday=day, opens=time(9), closes=time(18))
    on_duty(team.desk, at=AT)
    services.set_duty(staff_id=team.desk.pk, on_duty=False, at=AT)
    follower, evening = make_follower(account), AT + timedelta(hours=9, minutes=50)  # 17:50
    say(follower, "有人吗", at=evening)
    assert not Message.objects.filter(direction="OUT").exists()

    for night in range(2):
        late = evening + timedelta(days=night, hours=2)
        say(follower, "有人吗", at=late)
        say(follower, "喂", at=late + seconds(20))
        assert Message.objects.filter(direction="OUT").count() == night + 1
        assert AgentTask.objects.filter(kind=TaskKind.PROMISE).count() == night + 1
        assert Conversation.objects.get().promised_at == late.replace(hour=1, minute=0) + timedelta(days=1)


def test_what_goes_back_to_the_queue_after_closing_is_promised_a_time(account, team):
    ServiceHours.objects.create(weekday=6, opens=time(9), closes=time(18))
    evening = AT + timedelta(hours=9, minutes=55)
    on_duty(team.desk, at=evening)
    conversation = say(make_follower(account), at=evening)
    assert owner_of(conversation) == team.desk

    services.set_duty(staff_id=team.desk.pk, on_duty=False, at=evening + timedelta(minutes=6))
    said = Message.objects.get(direction="OUT")
    assert "09:00" in said.text
    assert AgentTask.objects.get().kind == TaskKind.PROMISE


def test_answered_conversations_that_went_quiet_take_nobodys_place(account, team):
    on_duty(team.desk, capacity=2)
    for number in range(2):
        talk = say(make_follower(account), at=NOON + seconds(number))
        services.send_text(
            conversation_id=talk.pk, staff_id=team.desk.pk, text="在", client_key=uuid4(), at=NOON + seconds(60)
        )
    waiting = say(make_follower(account), at=NOON + seconds(90))
    assert owner_of(waiting) is None  # both may go on at any moment

    quiet = NOON + seconds(60) + routing.IN_HAND_FOR
    services.note_seen(staff_id=team.desk.pk, at=quiet)
    assert services.fill_all(at=quiet) == 1
    assert owner_of(waiting) == team.desk
    assert selectors.loads_of([team.desk.pk], at=quiet) == {team.desk.pk: 1}


def test_nobody_there_means_a_queue_and_who_comes_takes_the_oldest_first(account, team):
    people = [make_follower(account) for _ in range(3)]
    for number, person in enumerate(people):
        say(person, at=NOON + seconds(number))
    assert {row.assignee_id for row in Conversation.objects.all()} == {None}

    services.set_duty(staff_id=team.desk.pk, on_duty=True, at=NOON + seconds(10))
    Agent.objects.update(capacity=2)
    rows = Conversation.objects.order_by("waiting_since")
    assert [row.assignee_id for row in rows] == [team.desk.pk] * 3


def test_capacity_that_frees_takes_the_oldest_of_the_queue(account, team):
    on_duty(team.desk, capacity=1)
    first, second, third = [make_follower(account) for _ in range(3)]
    one = say(first, at=NOON)
    two = say(second, at=NOON + seconds(1))
    three = say(third, at=NOON + seconds(2))
    assert [owner_of(each) for each in (one, two, three)] == [team.desk, None, None]

    services.resolve(conversation_id=one.pk, at=NOON + seconds(5))
    assert [owner_of(each) for each in (two, three)] == [team.desk, None]
    assert why(two)[-1] == (Level.DESK, routing.PULLED)


def test_who_does_not_answer_in_time_loses_it_to_somebody_else(account, team):
    on_duty(team.desk)
    conversation = say(make_follower(account), at=NOON)
    later = NOON + routing.RETURN_AFTER
    on_duty(team.other_desk, at=later)
    services.note_seen(staff_id=team.desk.pk, at=later)

    assert services.return_due(at=later - seconds(1)) == 0
    assert owner_of(conversation) == team.desk
    assert services.return_due(at=later) == 1
    assert owner_of(conversation) == team.other_desk
    assert why(conversation)[-2:] == [(Level.REGION, routing.NONE), (Level.DESK, routing.TAKEN)]
    assert (Level.DESK, routing.PASSED) in why(conversation)


def test_an_answer_in_time_keeps_it(account, team):
    on_duty(team.desk)
    conversation = say(make_follower(account), at=NOON)
    services.send_text(
        conversation_id=conversation.pk, staff_id=team.desk.pk, text="在", client_key=uuid4(), at=NOON + seconds(60)
    )
    services.note_seen(staff_id=team.desk.pk, at=NOON + timedelta(hours=1))
    assert services.return_due(at=NOON + timedelta(hours=1)) == 0
    assert owner_of(conversation) == team.desk


def test_the_time_to_answer_begins_afresh_with_the_next_message(account, team):
    """An answer ends the timer: what is written long after it is not taken back at once."""
    on_duty(team.desk)
    follower = make_follower(account)
    conversation = say(follower, at=NOON)
    services.send_text(
        conversation_id=conversation.pk, staff_id=team.desk.pk, text="在", client_key=uuid4(), at=NOON + seconds(60)
    )
    later = NOON + timedelta(hours=1)
    services.note_seen(staff_id=team.desk.pk, at=later)
    say(follower, "还有一件事", at=later)
    assert services.return_due(at=later + seconds(1)) == 0
    row = Conversation.objects.get()
    assert (row.assignee, row.return_at) == (team.desk, later + routing.RETURN_AFTER)


def test_tasks_that_are_due_stay_within_the_data_scope(account, team):
    """Who answers for a store sees its tasks that are nobody's, and their own; not those of other stores."""
    grant = RoleGrant.objects.get(staff_user=team.manager)
    viewer = Viewer(team.manager.pk, "", account.brand_id, grant.role, grant.scope, grant.pk)
    near = say(make_member(account, store=team.store).followers.get(), at=NOON)
    far, own = say(make_follower(account), at=NOON), say(make_follower(account), at=NOON)
    for conversation, staff_id in ((near, None), (far, None), (own, team.manager.pk)):
        services.give_task(conversation_id=conversation.pk, staff_id=staff_id, note="打电话", due_at=NOON, at=NOON)
    assert {task.conversation_id for task in selectors.tasks_for(viewer, at=NOON)} == {near.pk, own.pk}
    whole = Viewer(team.desk.pk, "", account.brand_id, Role.MARKETER)
    assert {task.conversation_id for task in selectors.tasks_for(whole, at=NOON)} == {near.pk, far.pk}


def test_who_goes_offline_keeps_nothing_that_waits(account, team):
    on_duty(team.desk, team.other_desk)
    conversation = say(make_follower(account), at=NOON)
    owner = owner_of(conversation)
    other = team.other_desk if owner == team.desk else team.desk
    services.set_duty(staff_id=owner.pk, on_duty=False, at=NOON + seconds(30))
    assert owner_of(conversation) == other


def test_a_console_that_was_closed_counts_as_away_after_a_while(account, team):
    on_duty(team.desk)
    conversation = say(make_follower(account), at=NOON)
    gone = NOON + routing.PRESENT_FOR
    on_duty(team.other_desk, at=gone)
    assert services.return_due(at=gone) == 1
    assert owner_of(conversation) == team.other_desk


def test_a_new_message_of_an_answered_conversation_stays_with_its_owner_only_while_they_are_there(account, team):
    on_duty(team.desk)
    follower = make_follower(account)
    conversation = say(follower, at=NOON)
    services.send_text(
        conversation_id=conversation.pk, staff_id=team.desk.pk, text="在", client_key=uuid4(), at=NOON + seconds(5)
    )
    say(follower, "谢谢", at=NOON + seconds(9))
    assert owner_of(conversation) == team.desk
    late = NOON + timedelta(hours=2)
    on_duty(team.other_desk, at=late)
    services.resolve(conversation_id=conversation.pk, at=late)
    say(follower, "又来了", at=late + seconds(1))
    assert owner_of(conversation) == team.other_desk


def test_what_is_handed_to_somebody_who_is_not_there_stays_until_its_time_is_over(account, team):
    on_duty(team.desk)
    conversation = say(make_follower(account), at=NOON)
    services.set_duty(staff_id=team.manager.pk, on_duty=False, at=NOON)
    services.transfer(conversation_id=conversation.pk, to_staff_id=team.manager.pk, reason="门店的事", at=NOON)

    ends = NOON + routing.HANDED_FOR
    services.note_seen(staff_id=team.desk.pk, at=ends)
    assert services.return_due(at=NOON + seconds(10)) == 0
    assert services.return_due(at=ends - seconds(1)) == 0
    assert owner_of(conversation) == team.manager
    assert services.return_due(at=ends) == 1
    assert owner_of(conversation) == team.desk


def test_who_takes_a_conversation_while_off_duty_keeps_it_while_they_talk(account, team):
    services.set_duty(staff_id=team.desk.pk, on_duty=False, at=NOON)
    follower = make_follower(account)
    conversation = say(follower, at=NOON)
    services.take(conversation_id=conversation.pk, staff_id=team.desk.pk, at=NOON)
    assert services.return_due(at=NOON + timedelta(minutes=9)) == 0

    # Neither the next message nor a pause in their talk takes it from them; going home does.
    say(follower, "在吗", at=NOON + timedelta(minutes=10))
    services.send_text(
        conversation_id=conversation.pk, staff_id=team.desk.pk, text="在", client_key=uuid4(),
        at=NOON + timedelta(minutes=12),
    )  # fmt: skip
    later = NOON + timedelta(hours=1)
    say(follower, "好的", at=later)
    assert services.return_due(at=later + timedelta(minutes=9)) == 0
    assert owner_of(conversation) == team.desk
    assert services.return_due(at=later + routing.RETURN_AFTER) == 1
    assert owner_of(conversation) is None


def test_a_later_day_finds_somebody_who_is_there_though_it_was_taken_by_hand(account, team):
    services.set_duty(staff_id=team.desk.pk, on_duty=False, at=NOON)
    follower = make_follower(account)
    conversation = say(follower, at=NOON)
    services.take(conversation_id=conversation.pk, staff_id=team.desk.pk, at=NOON)
    services.send_text(
        conversation_id=conversation.pk, staff_id=team.desk.pk, text="在", client_key=uuid4(), at=NOON + seconds(60)
    )
    tomorrow = NOON + timedelta(days=1)
    on_duty(team.other_desk, at=tomorrow)
    say(follower, "又来了", at=tomorrow)
    assert owner_of(conversation) == team.other_desk


def test_a_snoozed_conversation_comes_back_at_its_time(account, team):
    on_duty(team.desk)
    conversation = say(make_follower(account), at=NOON)
    until = NOON + timedelta(minutes=5)
    services.snooze(conversation_id=conversation.pk, until=until, at=NOON)
    assert services.wake_due(at=until - seconds(1)) == 0
    assert services.wake_due(at=until) == 1
    row = Conversation.objects.get()
    assert (row.state, row.assignee_id) == (ConversationState.WAITING, team.desk.pk)


def test_a_transfer_needs_a_reason_and_shows_it(account, team):
    from inbox.errors import NotAnAgent, ReasonMissing

    on_duty(team.desk, team.other_desk)
    conversation = say(make_follower(account), at=NOON)
    with pytest.raises(ReasonMissing):
        services.transfer(conversation_id=conversation.pk, to_staff_id=team.manager.pk, reason=" ", at=NOON)
    analyst = make_staff("analyst", Role.ANALYST, scope=DataScope.BRAND)
    with pytest.raises(NotAnAgent):
        services.transfer(conversation_id=conversation.pk, to_staff_id=analyst.pk, reason="x", at=NOON)
    services.transfer(conversation_id=conversation.pk, to_staff_id=team.manager.pk, reason="门店的事", at=NOON)
    assert owner_of(conversation) == team.manager
    last = Hop.objects.filter(conversation=conversation).order_by("-pk").first()
    assert (last.reason, last.facts["reason"], last.level) == (routing.TRANSFERRED, "门店的事", Level.STORE)


def test_a_store_manager_never_pulls_what_is_another_stores(account, team):
    say(make_follower(account), at=NOON)  # of no store
    on_duty(team.manager)
    assert Conversation.objects.get().assignee_id is None


def test_the_queue_is_served_fairly_and_oldest_first(account, team):
    """Forty wait; two people with different capacity take turns, nobody is passed over, nobody gets more than fits."""
    rows = [say(make_follower(account), at=NOON + seconds(number)) for number in range(40)]
    for person, capacity in ((team.desk, 6), (team.other_desk, 3)):
        Agent.objects.create(
            staff_user=person, level=Level.DESK, capacity=capacity, on_duty=True, seen_at=NOON + seconds(60)
        )
    served = []
    at = NOON + seconds(60)
    for _round in range(60):
        at += seconds(5)
        Agent.objects.update(seen_at=at)
        services.fill_all(at=at)
        for person, capacity in ((team.desk, 6), (team.other_desk, 3)):
            mine = Conversation.objects.filter(assignee=person, state=ConversationState.WAITING).order_by(
                "waiting_since"
            )
            assert mine.count() <= capacity
            first = mine.first()
            if first is not None:
                served.append((first.pk, person.pk))
                services.resolve(conversation_id=first.pk, at=at)
    assert sorted(pk for pk, _who in served) == sorted(row.pk for row in rows)
    order = [pk for pk, _who in served]
    furthest = max(abs(order.index(row.pk) - place) for place, row in enumerate(rows))
    assert furthest <= 9  # never further from its turn than both capacities together
    counts = [sum(who == person.pk for _pk, who in served) for person in (team.desk, team.other_desk)]
    assert min(counts) >= 10


def seat(number, level=Level.DESK, stores=(), capacity=2, load=0, present=True, last=None):
    return Seat(number, f"人{number}", level, frozenset(stores), capacity, load, present, last)


@given(
    st.lists(
        st.tuples(st.sampled_from(list(Level)), st.booleans(), st.integers(0, 4), st.integers(1, 4), st.booleans()),
        max_size=8,
    ),
    st.booleans(),
    st.booleans(),
)
def test_a_decision_never_gives_to_somebody_away_full_closed_or_of_another_store(people, store_open, desk_open):
    seats = [
        seat(number, level, () if level == Level.DESK else ((7,) if here else (8,)), capacity, load, present)
        for number, (level, present, load, capacity, here) in enumerate(people)
    ]
    case = Case(store_id=7, store_name="静安店", store_shift=Shift(store_open), desk_shift=Shift(desk_open))
    found = decide(case, seats)
    assert [step.taken for step in found.steps].count(True) == (found.seat is not None)
    if found.seat is not None:
        assert found.seat.present
        assert found.seat.load < found.seat.capacity
        assert found.seat.level == Level.DESK or 7 in found.seat.store_ids
        assert store_open if found.seat.level in (Level.GUIDE, Level.STORE) else desk_open
    elif desk_open:
        assert not any(each.level == Level.DESK and each.present and each.load < each.capacity for each in seats)


def test_the_least_busy_is_chosen_by_share_and_then_who_has_waited_longest():
    busy = seat(1, capacity=10, load=4)
    idle = seat(2, capacity=2, load=0, last=NOON)
    longer = seat(3, capacity=2, load=0, last=NOON - seconds(60))
    assert decide(Case(), [busy, idle, longer]).seat == longer
    assert decide(Case(), [busy, idle]).seat == idle
