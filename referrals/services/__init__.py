"""Changes to invitation programmes, invitations and what they bring."""

from referrals.services.arrivals import (
    accept,
    come_by_code,
    note_signs,
    own_invitation,
    picture_of,
    report_sign,
)
from referrals.services.people import forget
from referrals.services.programmes import programme_fault, save_programme
from referrals.services.rewards import after_refund, decide, look_at_open, pay_due, take_back_next

__all__ = [
    "accept",
    "after_refund",
    "come_by_code",
    "decide",
    "forget",
    "look_at_open",
    "note_signs",
    "own_invitation",
    "pay_due",
    "picture_of",
    "programme_fault",
    "report_sign",
    "save_programme",
    "take_back_next",
]
