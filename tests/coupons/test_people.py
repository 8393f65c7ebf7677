"""Coupons of people: points that pay for them, merges and their undoing, deleted data, time that passes, damage."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from coupons import errors, services
from coupons.invariants import INVARIANTS, breaches
from coupons.models import CounterCode, Coupon, Move, Template
from coupons.rules import Rule, valid_between
from loyalty.errors import PointsShort
from loyalty.models import Hold, Lot
from loyalty.selectors.points import balance_of, zone
from loyalty.services import release_due
from members.merging import assets
from members.models import Member
from members.services import save_segment
from members.services.merging import merge_members
from tests.coupons.conftest import AMOUNT, cart, claim, earn, hold, make_template, once, redeem, states
from tests.factories import AT

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
GIFT = {"kind": "GIFT", "gift": "新品咖啡", "days": 9}


def balance(member):
    found = balance_of(member.pk)
    return (found.available, found.held)


def exchange(template, member, at=AT, key=None):
    return services.exchange_points(operation=once(key), template=template, member_id=member.pk, at=at)


def scan(coupon, at=AT, scanned_at=None, code=None, key=None):
    shown = code or services.show_code(coupon_id=coupon.pk, at=at)[0]
    return services.redeem_at_counter(operation=once(key), code=shown, cart=cart(), at=at, scanned_at=scanned_at)


def test_goods_freeze_points_until_they_are_handed_over_called_off_or_forgotten(people):
    template = make_template(rule=GIFT, points_price=300, per_member=3, total=3)
    earn(people.ann, 1_000)
    earn(people.ben, 300)
    had, off, left = (exchange(template, people.ann).coupon for _number in range(3))
    end = valid_between(Rule("GIFT", days=9), issued_at=AT, zone=zone())[1]
    assert (balance(people.ann), had.valid_until, had.points_hold.until) == ((100, 900), end, end)
    with pytest.raises(errors.BudgetGone):
        exchange(template, people.ben)
    scan(had)
    services.cancel_exchange(operation=once(), coupon_id=off.pk, member_id=people.ann.pk, at=AT)
    with pytest.raises(errors.CouponUnknown):
        services.cancel_exchange(operation=once(), coupon_id=left.pk, member_id=people.ben.pk, at=AT)
    assert (balance(people.ann), Template.objects.get().taken) == ((400, 300), 2)
    release_due(at=end - HOUR)
    services.expire_due(at=end - HOUR)
    assert states(people.ann) == ["USED", "VOID", "UNUSED"]
    services.expire_due(at=end)
    assert (balance(people.ann), Template.objects.get().taken) == ((700, 0), 1)
    assert states(people.ann) == ["USED", "VOID", "EXPIRED"]
    again = exchange(template, people.ann)  # what was never paid for does not count
    assert again.detail["nth"] == 2
    with pytest.raises(PointsShort):
        exchange(make_template(rule=GIFT, points_price=301), people.ben)
    assert Coupon.objects.filter(member=people.ben).count() == 0


def test_money_off_spends_points_at_once(people):
    template = make_template(points_price=300)
    earn(people.ann, 400)
    first, again = exchange(template, people.ann, key="k"), exchange(template, people.ann, key="k")
    assert (first.pk, balance(people.ann)) == (again.pk, (100, 0))
    with pytest.raises(errors.CannotCancel):
        services.cancel_exchange(operation=once(), coupon_id=first.coupon_id, member_id=people.ann.pk, at=AT)


def test_a_till_that_was_offline_is_believed_and_the_points_are_spent_after_all(people):
    template = make_template(rule=GIFT, points_price=300, total=1)
    earn(people.ann, 300)
    coupon = exchange(template, people.ann).coupon
    at = coupon.valid_until - timedelta(minutes=5)
    code, _until = services.show_code(coupon_id=coupon.pk, at=at)
    later = at + 3 * HOUR
    release_due(at=later)
    services.expire_due(at=later)
    assert (states(people.ann), balance(people.ann)) == (["EXPIRED"], (300, 0))
    with pytest.raises(errors.CodeOver):
        scan(coupon, code=code, at=later)
    scan(coupon, code=code, at=later, scanned_at=at)
    assert (states(people.ann), balance(people.ann), Template.objects.get().taken) == (["USED"], (0, 0), 1)


@pytest.mark.parametrize("undone", [True, False])
def test_what_an_offline_till_spent_for_a_coupon_is_not_spent_again(people, undone):
    rule = GIFT | {"on_refund": "RETURN", "grace_days": 3}
    template = make_template(rule=rule, points_price=300, total=1)
    earn(people.ann, 1_000)
    coupon = exchange(template, people.ann).coupon
    at = coupon.valid_until - timedelta(minutes=5)
    code, _until = services.show_code(coupon_id=coupon.pk, at=at)
    later = at + HOUR
    release_due(at=later)
    services.expire_due(at=later)
    number, goods = ("", cart(store=people.store)) if undone else ("SO1", cart())
    services.redeem_at_counter(operation=once(), code=code, cart=goods, at=later, scanned_at=at, number=number)
    assert balance(people.ann) == (700, 0)

    if undone:
        services.undo_redemption(operation=once(), coupon_id=coupon.pk, reason="扫错了", at=later)
    else:
        services.return_coupon(operation=once(), coupon_id=coupon.pk, order="SO1", at=later)
    assert states(people.ann) == ["UNUSED"]
    scan(coupon, at=later + timedelta(minutes=1))
    assert (states(people.ann), balance(people.ann)) == (["USED"], (700, 0))


def test_a_coupon_paid_by_an_offline_till_ends_as_a_paid_one(people):
    template = make_template(rule=GIFT | {"on_refund": "RETURN", "grace_days": 3}, points_price=300, total=1)
    earn(people.ann, 1_000)
    coupon = exchange(template, people.ann).coupon
    at = coupon.valid_until - timedelta(minutes=5)
    code, _until = services.show_code(coupon_id=coupon.pk, at=at)
    release_due(at=at + HOUR)
    services.expire_due(at=at + HOUR)
    services.redeem_at_counter(operation=once(), code=code, cart=cart(), at=at + HOUR, scanned_at=at, number="SO1")
    services.return_coupon(operation=once(), coupon_id=coupon.pk, order="SO1", at=at + HOUR)
    services.expire_due(at=at + 9 * DAY)

    coupon.refresh_from_db()
    assert (coupon.state, coupon.nth, Template.objects.get().taken) == ("EXPIRED", 1, 1)
    assert balance(people.ann) == (700, 0)


def test_counter_codes_change_and_are_forgotten(people):
    coupon = claim(make_template(rule=GIFT), people.ann).coupon
    minutes = [services.show_code(coupon_id=coupon.pk, at=AT + timedelta(minutes=each))[0] for each in (0, 4, 6, 30)]
    assert minutes[0] == minutes[1]
    assert len(set(minutes)) == 3
    services.forget_codes(at=AT + 24 * HOUR)
    assert CounterCode.objects.count() == 3
    services.forget_codes(at=AT + 26 * HOUR)
    assert CounterCode.objects.count() == 0


def test_a_merge_moves_coupons_and_undo_gives_exactly_those_back(people):
    template = make_template(per_member=1)
    mine, theirs = claim(template, people.ann).coupon, claim(template, people.ben).coupon
    paid = make_template(rule=GIFT, points_price=100)
    earn(people.ben, 100)
    gift = exchange(paid, people.ben).coupon
    hold(theirs, "SO1")
    kept = merge_members(kept=people.ann, merged=people.ben, evidence="PHONE", at=AT)
    rows = {row.pk: row for row in Coupon.objects.filter(member=kept)}
    assert set(rows) == {mine.pk, theirs.pk, gift.pk}
    assert (rows[mine.pk].nth, rows[theirs.pk].nth) == (1, 2)
    with pytest.raises(errors.MemberLimit):  # the other record was this person
        claim(template, people.ben)
    assert breaches() == []
    redeem(theirs, "SO1")
    moved = [[theirs.pk, 1], [gift.pk, 1]]
    Member.objects.filter(pk=people.ben.pk).update(merged_into=None)
    for key in ("coupons.coupons", "loyalty.points"):
        asset = assets.get(key)
        asset.give_back(kept=people.ann, merged=people.ben, moved=moved if key.startswith("c") else 1, at=AT)
    assert (states(people.ann), states(people.ben)) == (["UNUSED"], ["USED", "UNUSED"])
    assert Coupon.objects.get(pk=theirs.pk).nth == 1
    scan(gift)
    assert balance(people.ben) == (0, 0)


def test_deleted_people_have_nothing_to_use_and_the_moves_stay(people):
    template = make_template(rule=GIFT, points_price=100, per_member=None)
    earn(people.ann, 200)
    used, open_one = exchange(template, people.ann).coupon, exchange(template, people.ann).coupon
    scan(used)
    services.show_code(coupon_id=open_one.pk, at=AT)
    follower = people.ann.followers.get()
    assert services.lapse_coupons(follower=follower, whole=False, at=AT) == 0
    assert services.lapse_coupons(follower=follower, whole=True, at=AT) == 1
    assert states(people.ann) == ["USED", "VOID"]
    assert (CounterCode.objects.count(), Hold.objects.filter(state="HELD").count()) == (0, 0)
    assert Move.objects.filter(member=people.ann).count() == 4


def test_time_alone_ends_coupons_and_sets_them_free_once(people):
    template = make_template(per_member=2, rule=AMOUNT | {"days": 1})
    held, _open = (claim(template, people.ann).coupon for _number in range(2))
    hold(held, minutes=30)
    for _sweep in range(2):
        services.release_due(at=AT + 2 * DAY)
        services.expire_due(at=AT + 2 * DAY)
    assert states(people.ann) == ["EXPIRED", "EXPIRED"]
    assert Move.objects.filter(kind__in=["RELEASE", "EXPIRE"]).count() == 3


def test_one_coupon_whose_points_are_broken_does_not_keep_the_others_from_ending(people, caplog):
    template = make_template(rule=GIFT, points_price=100)
    for who in (people.ann, people.ben):
        earn(who, 100)
    broken, sound = exchange(template, people.ann).coupon, exchange(template, people.ben).coupon
    Lot.objects.filter(member=people.ann).update(held=0)

    assert services.expire_due(at=broken.valid_until) == 1
    assert services.expire_due(at=broken.valid_until) == 0  # a task asks until there is nothing more
    assert f"end of a coupon of row {broken.pk}" in caplog.text
    assert (states(people.ann), states(people.ben)) == (["UNUSED"], ["EXPIRED"])

    assert sound.pk != broken.pk
    Lot.objects.filter(member=people.ann).update(held=100)


def test_several_people_are_given_a_coupon_once_a_key(people):
    template = make_template(claimable=False, total=2)
    claimed = services.push_coupons(
        key="spring", template=template, member_ids=[people.ann.pk, people.ben.pk], reason="春季回馈", at=AT
    )
    again = services.push_coupons(
        key="spring", template=template, member_ids=[people.ann.pk, people.ben.pk], reason="春季回馈", at=AT
    )
    anew = services.push_coupons(key="other", template=template, member_ids=[people.ann.pk], reason="春季回馈", at=AT)
    assert (claimed.given, again.given, anew.given, anew.no_more) == (2, 2, 0, 1)
    assert Coupon.objects.count() == 2
    with pytest.raises(errors.ReasonNeeded):
        services.push_coupons(key="x", template=template, member_ids=[people.ann.pk], reason="", at=AT)


DAMAGE = {
    "a coupon stands as its last move says": "UPDATE coupons_coupon SET valid_until = valid_until + interval '1 day'",
    "a coupon is given once, and first of all": "INSERT INTO coupons_move (brand_id, public_id, coupon_id, kind, after, "
    'actor, key, fingerprint, member_id, "order", saved, reason, detail, valid_until, at) SELECT brand_id, '
    "gen_random_uuid(), coupon_id, 'ISSUE', after, actor, 'x' || id, fingerprint, member_id, '', 0, '', '{}', "
    "valid_until, at FROM coupons_move WHERE kind = 'REDEEM'",
    "a coupon is used once at a time": "INSERT INTO coupons_move (brand_id, public_id, coupon_id, kind, after, actor, "
    'key, fingerprint, member_id, "order", saved, reason, detail, valid_until, at) SELECT brand_id, '
    "gen_random_uuid(), coupon_id, 'REDEEM', after, actor, 'x' || id, fingerprint, member_id, '', saved, '', '{}', "
    "valid_until, at FROM coupons_move WHERE kind = 'REDEEM'",
    "an order has what was taken off for it": "UPDATE coupons_coupon SET saved = saved + 1 WHERE state = 'USED'",
    "a budget is what was given and printed": "UPDATE coupons_template SET taken = taken + 1",
    "nobody was given more than one may have": "INSERT INTO coupons_move (brand_id, public_id, coupon_id, kind, after, "
    'actor, key, fingerprint, member_id, "order", saved, reason, detail, valid_until, at) SELECT brand_id, '
    "gen_random_uuid(), coupon_id, 'ISSUE', 'USED', actor, 'x' || id, fingerprint, member_id, '', 0, '', "
    "'{\"nth\": 9, \"limit\": 1}', valid_until, at FROM coupons_move WHERE kind = 'REDEEM'",
    "a code became one coupon": "UPDATE coupons_codebatch SET redeemed = redeemed - 1",
    "a batch has the codes it counts": "DELETE FROM coupons_code WHERE coupon_id IS NULL",
    "coupons by code have a code": "UPDATE coupons_coupon SET way = 'CLAIM' WHERE way = 'CODE'",
    "what was had for points was paid": "UPDATE loyalty_hold SET state = 'HELD'",
    "a push counts what came of it": "UPDATE coupons_pushperson SET outcome = 'HAD_IT'",
    "merged and deleted people have no coupons to use": "UPDATE members_member SET erased_at = now()",
}


def test_every_kind_of_damage_is_found_and_named(people, in_brand):
    template = make_template(per_member=None)
    services.redeem_code(operation=once(), code=_printed(template, 2)[0], member_id=people.ann.pk, at=AT)
    redeem(claim(template, people.ann).coupon, goods=cart(20_000))
    earn(people.ben, 100)
    scan(exchange(make_template(rule=GIFT, points_price=100), people.ben).coupon)
    push = services.create_push(
        operation=once(), template=template, segment=save_segment(name="人群", rule={"all": []}, at=AT),
        reason="春季回馈", at=AT,
    )  # fmt: skip
    services.start_push(push_id=push.pk, at=AT)
    while services.push_portion(push_id=push.pk, at=AT):
        pass
    assert breaches() == []
    call_command("reconcile_coupons", brand=in_brand.slug)
    assert set(INVARIANTS) - set(DAMAGE) == {"no budget is exceeded"}  # a CHECK constraint stands before that one
    for name, statement in DAMAGE.items():
        with pytest.raises(Undone), transaction.atomic():
            connection.cursor().execute(statement)
            assert name in {each.name for each in breaches()}, name
            with pytest.raises(CommandError, match="findings in the coupons"):
                call_command("reconcile_coupons", brand=in_brand.slug)
            raise Undone


class Undone(Exception):
    """Takes the damage back."""


def _printed(template, count):
    batch = services.create_batch(template=template, label="x", count=count, at=AT)
    services.make_portion(batch_id=batch.pk, at=AT)
    batch.refresh_from_db()
    return [code for code, _used in services.read_codes(batch=batch)]
