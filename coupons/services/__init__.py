"""Changes to coupons and what they are issued from."""

from coupons.services import birthdays
from coupons.services.batches import create_batch, make_portion, read_codes, redeem_code, stop_batch
from coupons.services.counter import (
    at_counter,
    bill,
    coupon_of_code,
    forget_codes,
    redeem_at_counter,
    show_code,
    undo_redemption,
)
from coupons.services.gifts import find_gifts, give_gifts, save_gift, set_gift
from coupons.services.issue import Pushed, claim_coupon, exchange_points, hand_out, issue_coupon, push_coupons
from coupons.services.life import (
    cancel_exchange,
    expire_due,
    hold_coupon,
    redeem_coupon,
    release_coupon,
    release_due,
    return_coupon,
    return_order,
    return_refunded,
    void_coupon,
)
from coupons.services.people import lapse_coupons, move_coupons, return_coupons, shown_coupons
from coupons.services.purchases import give_after_purchases, note_purchase, save_purchase_gift
from coupons.services.pushes import create_push, push_portion, start_push, stop_push
from coupons.services.scans import give_scan, owe_for_scan
from coupons.services.templates import activate_template, save_template, stop_template

__all__ = [
    "Pushed",
    "activate_template",
    "at_counter",
    "bill",
    "birthdays",
    "cancel_exchange",
    "claim_coupon",
    "coupon_of_code",
    "create_batch",
    "create_push",
    "exchange_points",
    "expire_due",
    "find_gifts",
    "forget_codes",
    "give_after_purchases",
    "give_gifts",
    "give_scan",
    "hand_out",
    "hold_coupon",
    "issue_coupon",
    "lapse_coupons",
    "make_portion",
    "move_coupons",
    "note_purchase",
    "owe_for_scan",
    "push_coupons",
    "push_portion",
    "read_codes",
    "redeem_at_counter",
    "redeem_code",
    "redeem_coupon",
    "release_coupon",
    "release_due",
    "return_coupon",
    "return_coupons",
    "return_order",
    "return_refunded",
    "save_gift",
    "save_purchase_gift",
    "save_template",
    "set_gift",
    "show_code",
    "shown_coupons",
    "start_push",
    "stop_batch",
    "stop_push",
    "stop_template",
    "undo_redemption",
    "void_coupon",
]
