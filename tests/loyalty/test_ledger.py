"""The ledger: every act adds up, happens once, and stays; what ends soonest is spent first."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import timedelta
from functools import partial

import psycopg2
import pytest
from django.conf import settings
from django.db import DatabaseError, IntegrityError, connection, transaction

from accounts.tenancy import brand_scope
from common import failpoints
from loyalty import services
from loyalty.errors import (
    AmountInvalid,
    CannotReverse,
    GiftRefused,
    HoldEnded,
    KeyReused,
    MemberGone,
    NothingToReverse,
    PointsShort,
    RefundBlocked,
    ReinstateTooLate,
)
from loyalty.invariants import breaches
from loyalty.models import Account, Entry, Hold, Journal, Lot, Pocket
from loyalty.selectors import points as selectors
from members.models import Member
from members.services.identity import merge_members
from tests.factories import AT, make_account, make_member
from tests.loyalty.conftest import balance, burn, earn, freeze, lots, once, policy, reverse

DAY = timedelta(days=1)


def legs(journal):
    return sorted(Entry.objects.filter(journal=journal).values_list("pocket", "points"))


def end(lot_of, at):
    """Let the lot a journal made end at a moment."""
    Lot.objects.filter(journal=lot_of).update(expires_at=at)


def test_earned_points_come_from_what_was_issued_and_stand_in_a_lot(people):
    journal = earn(people.ann, 120)

    assert legs(journal) == [("AVAILABLE", 120), ("ISSUED", -120)]
    assert (balance(people.ann), lots(people.ann)) == ((120, 0, 0), [(120, 0)])
    assert (journal.available, journal.held, journal.owed) == (120, 0, 0)
    assert balance(people.ben) == (0, 0, 0)


def test_a_worker_that_dies_before_the_commit_has_posted_nothing_and_the_next_one_posts_once(people, monkeypatch):
    spend = partial(
        services.burn_points, operation=once(), member_id=people.ann.pk, points=30, source="order", at=AT + DAY
    )
    earn(people.ann, 120)

    def die():
        raise SystemExit

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setitem(failpoints.armed, "loyalty: posted, not committed", die)
        spend()
    assert (balance(people.ann), lots(people.ann)) == ((120, 0, 0), [(120, 0)])

    assert spend().pk == spend().pk
    assert (balance(people.ann), lots(people.ann)) == ((90, 0, 0), [(90, 0)])


def test_what_ends_soonest_is_spent_first_so_that_expiry_takes_only_what_nobody_spent(people):
    late, soon, never = earn(people.ann, 50), earn(people.ann, 50), earn(people.ann, 50)
    end(late, AT + 20 * DAY)
    end(soon, AT + 10 * DAY)
    end(never, None)

    burn(people.ann, 70, at=AT + DAY)
    assert lots(people.ann) == [(30, 0), (50, 0)]
    services.expire_lots(member_id=people.ann.pk, at=AT + 11 * DAY)
    assert balance(people.ann) == (80, 0, 0)
    services.expire_lots(member_id=people.ann.pk, at=AT + 20 * DAY)
    assert balance(people.ann) == (50, 0, 0)


def test_a_lot_whose_moment_has_come_cannot_be_spent_even_before_the_sweep(people):
    end(earn(people.ann, 50), AT + DAY)
    earn(people.ann, 5)

    with pytest.raises(PointsShort):
        burn(people.ann, 6, at=AT + DAY)
    burn(people.ann, 5, at=AT + DAY)
    assert balance(people.ann) == (0, 0, 0)


@pytest.mark.parametrize("points", [0, -1, True, 1.5, "5", 1_000_000_001])
def test_points_are_a_whole_number_above_zero(people, points):
    with pytest.raises(AmountInvalid):
        earn(people.ann, points)
    with pytest.raises(AmountInvalid):
        burn(people.ann, points)
    assert Journal.objects.count() == 0


def test_nobody_spends_more_than_there_is(people):
    earn(people.ann, 100)
    with pytest.raises(PointsShort) as refused:
        burn(people.ann, 101)
    assert "101" in refused.value.message
    assert "100" in refused.value.message
    assert balance(people.ann) == (100, 0, 0)


def test_the_same_key_is_the_same_act_and_never_another(people):
    operation = once("order-1")
    first = services.earn_points(operation=operation, member_id=people.ann.pk, points=10, source="t", at=AT)
    again = services.earn_points(operation=operation, member_id=people.ann.pk, points=10, source="t", at=AT + DAY)
    other = services.earn_points(
        operation=once("order-1", actor="else"), member_id=people.ann.pk, points=10, source="t", at=AT
    )

    assert (again.pk, again.at) == (first.pk, AT)
    assert other.pk != first.pk
    with pytest.raises(KeyReused):
        services.earn_points(operation=operation, member_id=people.ann.pk, points=11, source="t", at=AT)
    with pytest.raises(KeyReused):
        services.burn_points(operation=operation, member_id=people.ann.pk, points=10, source="t", at=AT)
    assert balance(people.ann) == (20, 0, 0)


def test_a_key_of_another_brand_is_another_key(people, other_brand):
    services.earn_points(operation=once("k"), member_id=people.ann.pk, points=10, source="t", at=AT)
    brand = people.ann.brand_id
    connection.cursor().execute("SELECT set_config('app.brand_id', '', true)")
    from accounts import tenancy

    token = tenancy._current.set(None)
    try:
        with brand_scope(other_brand.pk):
            theirs = make_member(make_account())
            services.earn_points(operation=once("k"), member_id=theirs.pk, points=7, source="t", at=AT)
            assert (balance(theirs), balance(people.ann)) == ((7, 0, 0), (0, 0, 0))
            with pytest.raises(MemberGone):
                services.earn_points(operation=once(), member_id=people.ann.pk, points=7, source="t", at=AT)
    finally:
        tenancy._current.reset(token)
        connection.cursor().execute("SELECT set_config('app.brand_id', %s, true)", [str(brand)])
    assert balance(people.ann) == (10, 0, 0)


# --- freezing --------------------------------------------------------------------------------------------------------


def test_frozen_points_are_spent_in_part_and_the_rest_goes_back_to_its_lot(people):
    end(earn(people.ann, 60), AT + 10 * DAY)
    end(earn(people.ann, 60), AT + 20 * DAY)
    hold = freeze(people.ann, 80)
    assert (balance(people.ann), lots(people.ann)) == ((40, 80, 0), [(0, 60), (40, 20)])

    services.capture(operation=once(), hold=hold, points=70, at=AT)
    assert (balance(people.ann), lots(people.ann)) == ((50, 0, 0), [(50, 0)])
    with pytest.raises(HoldEnded):
        services.release(operation=once(), hold=hold, at=AT)


def test_frozen_points_are_not_spent_twice_and_come_back_whole(people):
    earn(people.ann, 100)
    hold = freeze(people.ann, 100)
    with pytest.raises(PointsShort):
        burn(people.ann, 1)
    operation = once()
    first = services.release(operation=operation, hold=hold, at=AT)
    assert services.release(operation=operation, hold=hold, at=AT).pk == first.pk
    assert (balance(people.ann), lots(people.ann)) == ((100, 0, 0), [(100, 0)])


def test_a_freeze_whose_time_is_over_is_released_by_the_sweep_and_cannot_be_captured(people):
    earn(people.ann, 100)
    hold = freeze(people.ann, 30)
    with pytest.raises(HoldEnded):
        services.capture(operation=once(), hold=hold, at=hold.until)
    assert services.release_due(at=hold.until - timedelta(seconds=1)) == 0
    assert services.release_due(at=hold.until) == 1
    assert services.release_due(at=hold.until) == 0
    assert balance(people.ann) == (100, 0, 0)


def test_points_that_end_while_they_are_frozen_are_spent_or_end_when_released(people):
    end(earn(people.ann, 50), AT + timedelta(minutes=10))
    hold = freeze(people.ann, 30)
    services.expire_lots(member_id=people.ann.pk, at=AT + timedelta(minutes=20))
    assert balance(people.ann) == (0, 30, 0)
    services.release(operation=once(), hold=hold, at=AT + timedelta(minutes=30))
    assert services.expire_due(at=AT + timedelta(minutes=30)) == 1
    assert balance(people.ann) == (0, 0, 0)


# --- reversing -------------------------------------------------------------------------------------------------------


def test_spent_points_return_to_the_lots_they_came_from_last_taken_first(people):
    end(earn(people.ann, 60), AT + 10 * DAY)
    end(earn(people.ann, 60), AT + 20 * DAY)
    spent = burn(people.ann, 100)
    assert lots(people.ann) == [(20, 0)]

    reverse(spent, 50)
    assert lots(people.ann) == [(10, 0), (60, 0)]
    reverse(spent)
    assert lots(people.ann) == [(60, 0), (60, 0)]
    with pytest.raises(NothingToReverse):
        reverse(spent)


def test_a_captured_freeze_is_reversed_like_a_purchase(people):
    earn(people.ann, 100)
    hold = freeze(people.ann, 80)
    spent = services.capture(operation=once(), hold=hold, points=50, at=AT)
    reverse(spent, 20)
    assert balance(people.ann) == (70, 0, 0)
    with pytest.raises(NothingToReverse):
        reverse(spent, 31)


def test_points_that_return_to_an_ended_lot_get_the_days_of_reinstatement(people):
    policy(reinstate_days=7)
    end(earn(people.ann, 60), AT + 10 * DAY)
    spent = burn(people.ann, 60)
    reverse(spent, at=AT + 30 * DAY)
    assert burn(people.ann, 10, at=AT + 36 * DAY).available == 50
    with pytest.raises(PointsShort):
        burn(people.ann, 1, at=AT + 37 * DAY)


@pytest.mark.parametrize(
    ("rule", "left", "owes", "forgiven"), [("CAP", (0, 0, 0), 0, -70), ("ALLOW", (0, 0, 70), 70, 0)]
)
def test_granted_points_that_were_spent_are_the_brands_cost_or_a_debt(people, rule, left, owes, forgiven):
    policy(negative=rule)
    granted = earn(people.ann, 100)
    burn(people.ann, 70)
    back = reverse(granted)

    assert balance(people.ann) == left
    moved = dict(legs(back))
    assert (moved["ISSUED"], moved["AVAILABLE"]) == (100, -30)
    assert (moved.get(Pocket.OWED, 0), moved.get(Pocket.FORGIVEN, 0)) == (-owes, forgiven)


def test_a_debt_is_paid_by_what_is_earned_next(people):
    policy(negative="ALLOW")
    granted = earn(people.ann, 100)
    burn(people.ann, 70)
    reverse(granted)
    earn(people.ann, 50)
    assert balance(people.ann) == (0, 0, 20)
    earn(people.ann, 50)
    assert (balance(people.ann), lots(people.ann)) == ((30, 0, 0), [(30, 0)])


@pytest.mark.parametrize("rule", ["CAP", "ALLOW", "BLOCK"])
def test_refund_does_not_take_what_had_expired_unused_out_of_other_points(people, rule):
    policy(negative=rule)
    end(earn(people.ben, 7), AT + 10 * DAY)
    granted = earn(people.ann, 100)
    end(granted, AT + 10 * DAY)
    earn(people.ann, 50)
    burn(people.ann, 30)
    services.expire_lots(member_id=people.ann.pk, at=AT + 11 * DAY)
    back = reverse(granted, at=AT + 20 * DAY)

    assert (balance(people.ann), balance(people.ben)) == ((20, 0, 0), (7, 0, 0))
    assert legs(back) == [("AVAILABLE", -30), ("EXPIRED", -70), ("ISSUED", 100)]
    found = selectors.liability_at(AT + 20 * DAY)
    assert (found.issued, found.expired, found.redeemed) == (157, 70, 30)
    found = selectors.liability_at(AT + 21 * DAY)
    assert (found.issued, found.expired, found.redeemed, found.available) == (57, 0, 30, 27)


def test_each_expired_point_counts_for_one_refund_and_does_not_come_back_after_it(people):
    policy(negative="ALLOW", reinstate_days=14)
    granted = earn(people.ann, 100)
    end(granted, AT + DAY)
    burn(people.ann, 60)
    reverse(granted, 30, at=AT + 2 * DAY)
    assert balance(people.ann) == (0, 0, 0)
    reinstated = services.reinstate_points(operation=once(), member_id=people.ann.pk, at=AT + 3 * DAY)
    assert (reinstated.points, balance(people.ann)) == (10, (10, 0, 0))
    reverse(granted, 70, at=AT + 4 * DAY)
    assert balance(people.ann) == (0, 0, 60)
    with pytest.raises(ReinstateTooLate):
        services.reinstate_points(operation=once(), member_id=people.ann.pk, at=AT + 5 * DAY)


@pytest.mark.parametrize("rule", ["CAP", "ALLOW", "BLOCK"])
def test_points_frozen_before_a_refund_are_owed_and_cannot_be_spent_away(people, rule):
    policy(negative=rule)
    granted, kept = earn(people.ann, 100), earn(people.ann, 40)
    hold = freeze(people.ann, 140)
    reverse(granted)
    assert balance(people.ann) == (0, 140, 100)
    services.release(operation=once(), hold=hold, at=AT)
    assert (balance(people.ann), selectors.balance_of(people.ann.pk).spendable) == ((40, 0, 0), 40)
    with pytest.raises(PointsShort):
        burn(people.ann, 41)
    assert kept.points == 40


@pytest.mark.parametrize(("rule", "owed"), [("CAP", 60), ("ALLOW", 90), ("BLOCK", 60)])
def test_frozen_points_cover_only_one_refund(people, rule, owed):
    policy(negative=rule)
    first, second = earn(people.ann, 60), earn(people.ann, 30)
    burn(people.ann, 30)
    freeze(people.ann, 60)
    reverse(first)
    assert balance(people.ann) == (0, 60, 60)
    with pytest.raises(RefundBlocked) if rule == "BLOCK" else nullcontext():
        reverse(second)
    assert balance(people.ann) == (0, 60, owed)


def test_what_a_capture_sets_free_pays_a_debt_and_what_it_spent_returns_to_its_lot(people):
    policy(negative="ALLOW")
    granted = earn(people.ann, 100)
    end(granted, AT + 10 * DAY)
    end(earn(people.ann, 40), AT + 20 * DAY)
    hold = freeze(people.ann, 140)
    reverse(granted, 30)
    spent = services.capture(operation=once(), hold=hold, points=90, at=AT)
    assert (balance(people.ann), lots(people.ann)) == ((20, 0, 0), [(20, 0)])
    reverse(spent)
    assert (balance(people.ann), lots(people.ann)) == ((110, 0, 0), [(90, 0), (20, 0)])


def test_a_brand_may_refuse_refunds_of_spent_points(people):
    policy(negative="BLOCK")
    granted = earn(people.ann, 100)
    burn(people.ann, 70)
    with pytest.raises(RefundBlocked):
        reverse(granted)
    reverse(granted, 30)
    assert balance(people.ann) == (0, 0, 0)


def test_points_are_taken_back_from_their_own_lot_before_others(people):
    end(earn(people.ann, 50), AT + 5 * DAY)
    granted = earn(people.ann, 50)
    reverse(granted, 30)
    assert lots(people.ann) == [(50, 0), (20, 0)]


def test_only_earned_and_spent_points_are_reversed(people):
    earn(people.ann, 100)
    hold = freeze(people.ann, 10)
    with pytest.raises(CannotReverse):
        reverse(hold.journal)


# --- giving ----------------------------------------------------------------------------------------------------------


def give(giver, receiver, points, at=AT):
    return services.gift_points(operation=once(), giver_id=giver.pk, receiver_id=receiver.pk, points=points, at=at)


def test_given_points_keep_the_day_on_which_they_end(people):
    end(earn(people.ann, 50), AT + 10 * DAY)
    give(people.ann, people.ben, 30)
    assert (balance(people.ann), balance(people.ben)) == ((20, 0, 0), (30, 0, 0))
    services.expire_due(at=AT + 10 * DAY)
    assert (balance(people.ann), balance(people.ben)) == ((0, 0, 0), (0, 0, 0))


def test_points_are_not_given_to_oneself_nor_in_a_ring_nor_to_somebody_deleted(people):
    cid = make_member(people.account)
    for each in (people.ann, people.ben, cid):
        earn(each, 100)
    with pytest.raises(GiftRefused):
        give(people.ann, people.ann, 1)
    give(people.ann, people.ben, 10)
    give(people.ben, cid, 10)
    with pytest.raises(GiftRefused):
        give(cid, people.ann, 10)
    give(cid, people.ann, 10, at=AT + 31 * DAY)
    Member.objects.filter(pk=cid.pk).update(erased_at=AT)
    with pytest.raises(MemberGone):
        give(people.ann, cid, 10)
    Member.objects.filter(pk=cid.pk).update(erased_at=None)


def test_lots_that_look_alike_are_given_as_two(people):
    end(earn(people.ann, 10), AT + 10 * DAY)
    end(earn(people.ann, 10), AT + 10 * DAY)
    give(people.ann, people.ben, 20)
    assert (balance(people.ben), lots(people.ben)) == ((20, 0, 0), [(10, 0), (10, 0)])


# --- ending ----------------------------------------------------------------------------------------------------------


def test_ended_points_come_back_only_within_the_brands_days(people):
    policy(reinstate_days=7)
    end(earn(people.ann, 60), AT + 10 * DAY)
    services.expire_due(at=AT + 10 * DAY)
    with pytest.raises(ReinstateTooLate):
        services.reinstate_points(operation=once(), member_id=people.ann.pk, at=AT + 18 * DAY)
    services.reinstate_points(operation=once(), member_id=people.ann.pk, at=AT + 16 * DAY)
    assert balance(people.ann) == (60, 0, 0)
    with pytest.raises(ReinstateTooLate):
        services.reinstate_points(operation=once(), member_id=people.ann.pk, at=AT + 16 * DAY)
    services.expire_due(at=AT + 23 * DAY)
    assert balance(people.ann) == (0, 0, 0)


def test_a_brand_without_days_of_reinstatement_brings_nothing_back(people):
    policy(reinstate_days=0)
    end(earn(people.ann, 60), AT + DAY)
    services.expire_due(at=AT + DAY)
    with pytest.raises(ReinstateTooLate):
        services.reinstate_points(operation=once(), member_id=people.ann.pk, at=AT + DAY)


# --- people ----------------------------------------------------------------------------------------------------------


def picture(member):
    """Everything the ledger says of somebody today."""
    rows = Lot.objects.filter(member_id=member.pk).order_by("pk").values_list("pk", "remaining", "held", "expires_at")
    return balance(member), list(rows), list(Hold.objects.filter(member_id=member.pk).values_list("pk", "state"))


def test_a_merge_moves_lots_freezes_and_debts_and_undoing_it_restores_both_exactly(people):
    policy(negative="ALLOW")
    earn(people.ann, 50)
    earn(people.ben, 40)
    granted = earn(people.ben, 10)
    freeze(people.ben, 30)
    burn(people.ben, 20)
    reverse(granted)
    before = picture(people.ann), picture(people.ben)
    assert balance(people.ben) == (0, 30, 10)

    merge_members(kept=people.ann, merged=people.ben, evidence="test", at=AT)
    assert (balance(people.ann), balance(people.ben)) == ((50, 30, 10), (0, 0, 0))
    services.undo_merge(kept=people.ann, merged=people.ben, at=AT)
    assert (picture(people.ann), picture(people.ben)) == before
    assert services.undo_merge(kept=people.ann, merged=people.ben, at=AT) == 0
    Member.objects.filter(pk=people.ben.pk).update(merged_into=None)


@pytest.mark.parametrize("frozen", [40, 70])  # of what came by the merge alone, and of both
def test_what_was_frozen_after_a_merge_is_released_when_it_is_undone(people, frozen):
    policy(negative="ALLOW")
    end(earn(people.ben, 50), AT + 10 * DAY)
    end(earn(people.ann, 30), AT + 20 * DAY)
    own = freeze(people.ben, 10)
    before = picture(people.ann), picture(people.ben)
    merge_members(kept=people.ann, merged=people.ben, evidence="test", at=AT)
    made = freeze(people.ann, frozen)

    services.undo_merge(kept=people.ann, merged=people.ben, at=AT)
    Member.objects.filter(pk=people.ben.pk).update(merged_into=None)

    assert breaches() == []
    made.refresh_from_db()
    assert (made.state, made.member_id) == ("RELEASED", people.ann.pk)
    (seen, lots_of_ann, _holds), of_ben = picture(people.ann), picture(people.ben)
    assert ((seen, lots_of_ann), of_ben) == (before[0][:2], before[1])
    services.release(operation=once(), hold=own, at=AT)
    assert (balance(people.ann), balance(people.ben)) == ((30, 0, 0), (50, 0, 0))


def test_a_freeze_of_own_points_stays_when_a_merge_is_undone(people):
    end(earn(people.ann, 30), AT + 10 * DAY)
    end(earn(people.ben, 50), AT + 20 * DAY)
    merge_members(kept=people.ann, merged=people.ben, evidence="test", at=AT)
    hold = freeze(people.ann, 30)
    services.undo_merge(kept=people.ann, merged=people.ben, at=AT)
    Member.objects.filter(pk=people.ben.pk).update(merged_into=None)
    assert (balance(people.ann), balance(people.ben)) == ((0, 30, 0), (50, 0, 0))
    services.capture(operation=once(), hold=hold, at=AT)


def test_one_broken_row_does_not_stop_the_sweep(people, caplog):
    for who in (people.ann, people.ben):
        earn(who, 30)
        end(earn(who, 5), AT + 10 * DAY)
    broken, sound = freeze(people.ann, 20), freeze(people.ben, 20)
    damaged = Lot.objects.filter(member=people.ann, held__gt=0)
    pk = damaged.get(granted=30).pk
    there = Lot.objects.get(pk=pk).held
    Lot.objects.filter(pk=pk).update(held=0)

    assert services.release_due(at=AT + 9 * DAY) == 1
    sound.refresh_from_db()
    assert sound.state == "RELEASED"
    assert f"release of a freeze of row {broken.pk}" in caplog.text
    assert services.release_due(at=AT + 9 * DAY) == 0  # a task asks until there is nothing more
    Account.objects.filter(member=people.ann).update(available=0)
    assert services.expire_due(at=AT + 10 * DAY) == 1

    Lot.objects.filter(pk=pk).update(held=there)
    Account.objects.filter(member=people.ann).update(available=15)


def test_what_was_spent_before_a_merge_returns_to_who_is_there_now(people):
    earn(people.ben, 40)
    spent = burn(people.ben, 40)
    merge_members(kept=people.ann, merged=people.ben, evidence="test", at=AT)
    reverse(spent)
    assert (balance(people.ann), balance(people.ben)) == ((40, 0, 0), (0, 0, 0))
    assert earn(people.ben, 5).member_id == people.ann.pk


def test_deleting_a_person_lets_their_points_lapse_and_every_sum_stands(people):
    earn(people.ann, 100)
    freeze(people.ann, 30)
    follower = people.ann.followers.get()
    services.lapse_points(follower=follower, whole=False, at=AT)
    assert balance(people.ann) == (70, 30, 0)
    services.lapse_points(follower=follower, whole=True, at=AT)
    assert balance(people.ann) == (0, 0, 0)
    found = selectors.liability_at(AT + DAY)
    assert (found.issued, found.expired, found.outstanding) == (100, 100, 0)


def test_deleting_a_person_with_the_number_of_their_freeze_does_not_take_one_for_the_other(people):
    earn(people.ann, 100)
    freeze(people.ann, 30)
    Hold.objects.update(id=people.ann.pk)

    services.lapse_points(follower=people.ann.followers.get(), whole=True, at=AT)

    assert balance(people.ann) == (0, 0, 0)


# --- the database itself ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["loyalty_journal", "loyalty_entry", "loyalty_tierchange"])
def test_the_applications_role_may_only_read_and_add(db, table):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT array_agg(name ORDER BY name) FROM unnest(ARRAY['SELECT','INSERT','UPDATE','DELETE','TRUNCATE']) "
            "AS name WHERE has_table_privilege(%s, name) OR (name = 'UPDATE' AND has_any_column_privilege(%s, name))",
            [table, table],
        )
        assert cursor.fetchone()[0] == ["INSERT", "SELECT"]


@pytest.mark.parametrize("statement", ["UPDATE {} SET at = now()", "DELETE FROM {}"])
@pytest.mark.parametrize("table", ["loyalty_journal", "loyalty_entry"])
def test_whoever_the_rows_belong_to_cannot_change_them(people, table, statement):
    earn(people.ann, 10)
    with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement.format(table))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "statement",
    ["UPDATE loyalty_journal SET points = 1", "DELETE FROM loyalty_entry", "TRUNCATE loyalty_journal CASCADE",
     "TRUNCATE loyalty_entry", "UPDATE loyalty_fact SET amount = 1", "DELETE FROM loyalty_fact"],
)  # fmt: skip
def test_not_even_the_owner_of_the_tables_changes_what_is_written(brand, statement):
    with brand_scope(brand.pk):
        member = make_member(make_account())
        earn(member, 10)
        services.record_fact(report=services.Report("pos", "VISIT", "1", AT, member_id=member.pk), at=AT)
    url = settings.DATABASES["owner"]
    owner = psycopg2.connect(
        dbname=connection.settings_dict["NAME"], host=url["HOST"], port=url["PORT"], user=url["USER"],
        password=url["PASSWORD"],
    )  # fmt: skip
    try:
        with owner, owner.cursor() as cursor:
            cursor.execute("SELECT set_config('app.brand_id', %s, true)", [str(brand.pk)])
            with pytest.raises(psycopg2.Error, match=r"rows are only ever added|stays as it was reported"):
                cursor.execute(statement)
    finally:
        owner.close()


def test_a_journal_whose_legs_do_not_sum_to_zero_cannot_be_committed(people):
    journal = earn(people.ann, 10)
    with pytest.raises(IntegrityError, match="sum to 5"), transaction.atomic(), connection.cursor() as cursor:
        Entry.objects.create(journal=journal, pocket=Pocket.EXPIRED, points=5, at=AT)
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
