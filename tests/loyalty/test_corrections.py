"""Corrections by hand: small ones at once, large ones by two people, all of them on the audit log."""

from __future__ import annotations

from datetime import timedelta

import pytest

from accounts.models import AuditEntry
from accounts.viewer import Viewer, viewing
from loyalty import services
from loyalty.errors import AdjustmentRefused, DecidedAlready, OwnRequest, PointsShort, PolicyInvalid
from loyalty.models import Adjustment, PointsPolicy
from loyalty.selectors import points as selectors
from members.services.identity import merge_members
from tests.factories import AT, make_staff
from tests.loyalty.conftest import balance, earn, policy

DAY = timedelta(days=1)


@pytest.fixture
def staff(people):
    """Two owners of the brand."""
    return make_staff("one", "OWNER"), make_staff("two", "OWNER")


def acting(user):
    return viewing(Viewer(user.pk, user.name, user.pk, "OWNER"))


def ask(member, points, reason="补偿"):
    return services.adjust_points(member_id=member.pk, points=points, reason=reason, at=AT)


def decide(adjustment, approve=True):
    return services.decide_adjustment(adjustment_id=adjustment.pk, approve=approve, at=AT)


def audited():
    return list(
        AuditEntry.objects.filter(object_type="loyalty.adjustment").order_by("pk").values_list("action", "reason")
    )


def test_a_small_correction_is_made_at_once_and_stands_on_the_audit_log(people, staff):
    policy(adjust_limit=100)
    with acting(staff[0]):
        done = ask(people.ann, 100)
        ask(people.ann, -30, "多给了")
    assert (done.state, balance(people.ann)) == ("DONE", (70, 0, 0))
    assert audited() == [("adjust points", "补偿"), ("adjust points", "多给了")]


def test_above_the_limit_a_second_person_decides(people, staff):
    policy(adjust_limit=100)
    with acting(staff[0]):
        waits = ask(people.ann, 101)
        assert (waits.state, balance(people.ann)) == ("PENDING", (0, 0, 0))
        with pytest.raises(OwnRequest):
            decide(waits)
    with pytest.raises(OwnRequest):
        decide(waits)  # nobody in particular is no second person
    with acting(staff[1]):
        decide(waits)
        with pytest.raises(DecidedAlready):
            decide(waits)
    assert balance(people.ann) == (101, 0, 0)
    assert [action for action, _reason in audited()] == ["ask for points", "approve points"]
    row = Adjustment.objects.get()
    assert (row.asked_by_id, row.decided_by_id) == (staff[0].pk, staff[1].pk)


def test_many_small_corrections_of_one_person_are_one_large_one(people, staff):
    policy(adjust_limit=1_000)
    with acting(staff[0]):
        first = [ask(people.ann, 400) for _number in range(3)]
        assert [(row.state, row.earlier) for row in first] == [("DONE", 0), ("DONE", 400), ("PENDING", 800)]
        assert ask(people.ann, 200).state == "DONE"  # what waits does not count, the limit itself is not above it
        assert ask(people.ben, 1_000).state == "DONE"  # another member
        assert [ask(people.ann, -500).state for _number in range(2)] == ["DONE", "DONE"]
        assert ask(people.ann, 1).earlier == 1_000
    with acting(staff[1]):
        assert ask(people.ann, 1_000).state == "DONE"  # another person
        decide(first[2])
        assert (ask(people.ben, 5).state, ask(people.ann, 5).earlier) == ("DONE", 1_000)
    with acting(staff[0]):
        assert (ask(people.ann, 1).state, ask(people.ann, 1).earlier) == ("PENDING", 1_000)  # approved: not alone
        later = AT + DAY
        fresh = services.adjust_points(member_id=people.ann.pk, points=1_000, reason="补偿", at=later)
        assert (fresh.state, fresh.earlier) == ("DONE", 0)


def test_what_a_merged_record_was_given_counts(people, staff):
    policy(adjust_limit=1_000)
    with acting(staff[0]):
        ask(people.ben, 700)
        merge_members(kept=people.ann, merged=people.ben, evidence="test", at=AT)
        assert (ask(people.ann, 301).state, ask(people.ann, 300).state) == ("PENDING", "DONE")


def test_what_is_rejected_moves_nothing(people, staff):
    policy(adjust_limit=0)
    with acting(staff[0]):
        waits = ask(people.ann, 5)
        decide(waits, approve=False)
    assert (Adjustment.objects.get().state, balance(people.ann)) == ("REJECTED", (0, 0, 0))


def test_points_that_are_not_there_any_more_cannot_be_approved_away(people, staff):
    policy(adjust_limit=0)
    earn(people.ann, 50)
    with acting(staff[0]):
        first, second = ask(people.ann, -40), ask(people.ann, -40)
    with acting(staff[1]):
        decide(first)
        with pytest.raises(PointsShort):
            decide(second)
    assert balance(people.ann) == (10, 0, 0)


@pytest.mark.parametrize("points", [0, 1.5, "5", True, 10**10])
def test_a_correction_is_a_whole_number_with_a_reason(people, points):
    with pytest.raises(AdjustmentRefused):
        ask(people.ann, points)
    with pytest.raises(AdjustmentRefused):
        ask(people.ann, 5, " ")
    with pytest.raises(PointsShort):
        ask(people.ann, -5)


def test_settings_that_cannot_work_are_refused_and_changes_are_audited(people):
    with pytest.raises(PolicyInvalid):
        services.set_policy(settings=PointsPolicy(expiry="ROLLING", expiry_span=0), at=AT)
    services.set_policy(settings=PointsPolicy(expiry="ROLLING", expiry_span=6), at=AT)
    services.set_policy(settings=PointsPolicy(expiry="ROLLING", expiry_span=7), at=AT)
    assert (PointsPolicy.objects.count(), selectors.policy().expiry_span) == (1, 7)
    changes = (
        AuditEntry.objects.filter(action="change points settings").order_by("pk").values_list("changes", flat=True)
    )
    assert list(changes) == [{"expiry": ["YEAR_END", "ROLLING"], "expiry_span": [1, 6]}, {"expiry_span": [6, 7]}]


def test_whoever_may_not_approve_does_not_say_from_when_on_a_second_person_is_needed(people, staff):
    marketer = make_staff("three", "MARKETER")
    with viewing(Viewer(marketer.pk, marketer.name, marketer.pk, "MARKETER")):
        for limit in (10**6, 1):
            with pytest.raises(PolicyInvalid) as refused:
                services.set_policy(settings=PointsPolicy(adjust_limit=limit), at=AT)
            assert refused.value.field == "adjust_limit"
        services.set_policy(settings=PointsPolicy(cost_per_100=120), at=AT)
        assert ask(people.ann, 1_001).state == "PENDING"
    with acting(staff[0]):
        services.set_policy(settings=PointsPolicy(adjust_limit=2_000), at=AT)
    assert selectors.policy().adjust_limit == 2_000


def test_what_points_cost_is_what_they_cost_on_that_day(people):
    earn(people.ann, 1_000)
    services.set_policy(settings=PointsPolicy(cost_per_100=200), at=AT + 10 * DAY)
    services.set_policy(settings=PointsPolicy(cost_per_100=200, warn_days=20), at=AT + 15 * DAY)
    services.set_policy(settings=PointsPolicy(cost_per_100=150), at=AT + 20 * DAY)
    costs = {days: selectors.liability_at(AT + days * DAY).cost(1_000) for days in (1, 10, 11, 20, 21, 400)}
    assert costs == {1: 1_000, 10: 1_000, 11: 2_000, 20: 2_000, 21: 1_500, 400: 1_500}
    assert selectors.liability_at(AT + DAY).outstanding == 1_000
    changes = (
        AuditEntry.objects.filter(action="change points settings").order_by("pk").values_list("changes", flat=True)
    )
    assert next(iter(changes)) == {"cost_per_100": [100, 200]}
