"""Why a coupon cannot be used: for every code a sentence, and what would change it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.utils.translation import gettext_lazy as _

from console import formats
from coupons.words import joined

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

    from coupons.rules import Refusal


@dataclass(frozen=True)
class Reason:
    """One reason in words; `%(name)s` are the figures of a refusal."""

    sentence: StrOrPromise
    fix: StrOrPromise


REASONS: Final[dict[str, Reason]] = {
    "used": Reason(_("It has been used, on %(day)s."), _("Choose another coupon.")),
    "held": Reason(
        _("It is set aside for the order %(order)s until %(until)s."),
        _("Pay or cancel that order; without either it is free again at that time."),
    ),
    "expired": Reason(_("It could be used until %(until)s."), _("Choose another coupon.")),
    "not_yet": Reason(_("It can be used from %(since)s."), _("Use it from that day.")),
    "void": Reason(_("It was taken back."), _("Choose another coupon, or ask the store why.")),
    "blocked": Reason(
        _("The brand has blocked this person."), _("Ask the head office; somebody there can let them in again.")
    ),
    "wrong_tier": Reason(_("It is for the tiers %(tiers)s."), _("It can be used once one of these tiers is reached.")),
    "stands_alone": Reason(
        _("It cannot be used together with other coupons, and the order has “%(other)s”."),
        _("Choose one of the two; setting the other one free makes room."),
    ),
    "other_stands_alone": Reason(
        _("The order has “%(other)s”, which goes together with no other coupon."),
        _("Choose one of the two; setting the other one free makes room."),
    ),
    "one_of_a_kind": Reason(
        _("The order has one of “%(other)s”, and one is the most."), _("Keep this one for another order.")
    ),
    "wrong_store": Reason(_("It can be used in %(stores)s."), _("Use it in one of these stores.")),
    "wrong_goods": Reason(
        _("Nothing in the cart is among what it is for: %(goods)s."), _("Put one of these goods into the cart.")
    ),
    "cart_empty": Reason(_("The cart is empty."), _("Put something into the cart.")),
    "below_threshold": Reason(
        _("It needs %(threshold)s of the goods it is for; %(missing)s are missing."),
        _("Add goods for %(missing)s."),
    ),
    "nothing_saved": Reason(_("It takes nothing off so small an amount."), _("Add something to the cart.")),
}


def sentence(refusal: Refusal) -> str:
    """Say why."""
    return str(REASONS[refusal.code].sentence) % _words(refusal)


def fix(refusal: Refusal) -> str:
    """Say what would change it."""
    return str(REASONS[refusal.code].fix) % _words(refusal)


def _words(refusal: Refusal) -> dict[str, Any]:
    words: dict[str, Any] = {}
    for name, value in refusal.values:
        if name in ("threshold", "missing"):
            words[name] = formats.fen(value)
        elif isinstance(value, tuple):
            words[name] = joined(value)
        elif name in ("until", "since", "day"):
            words[name] = formats.local_time(value)
        else:
            words[name] = str(value)
    return words
