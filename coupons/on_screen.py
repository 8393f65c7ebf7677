"""Coupons in words: what happened to one, how it came, what an operator reads beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.utils.translation import gettext as _

from console import formats
from coupons.models import Move, MoveKind, State, TemplateState, Way

if TYPE_CHECKING:
    from datetime import datetime

    from coupons.models import Coupon

STATE_TONES: Final = {
    State.UNUSED: "info",
    State.HELD: "warning",
    State.USED: "success",
    State.EXPIRED: "",
    State.VOID: "",
}
TEMPLATE_TONES: Final = {TemplateState.DRAFT: "", TemplateState.ACTIVE: "success", TemplateState.STOPPED: "warning"}


def state_at(coupon: Coupon, at: datetime) -> State:
    """Give how a coupon stands at a moment; what time has ended is over, swept or not."""
    state = State(coupon.state)
    if state == State.HELD and coupon.held_until is not None and coupon.held_until <= at:
        state = State.UNUSED
    if state == State.UNUSED and coupon.valid_until <= at:
        state = State.EXPIRED
    return state


def sentence(move: Move, name: str) -> str:
    """Give what happened to a coupon."""
    words = {
        "name": name,
        "order": move.order or formats.NOTHING,
        "store": str(move.store) if move.store is not None else "",
        "saved": formats.fen(move.saved),
        "until": formats.local_time(move.valid_until),
    }
    kind = MoveKind(move.kind)
    if kind == MoveKind.ISSUE:
        return _given(Way(str(move.detail.get("way", Way.SYSTEM)))) % words
    texts = {
        MoveKind.HOLD: _("“%(name)s” set aside for the order %(order)s, %(saved)s off"),
        MoveKind.RELEASE: _("“%(name)s” free again, order %(order)s"),
        MoveKind.REDEEM: _redeemed(move),
        MoveKind.RETURN: _returned(move),
        MoveKind.EXPIRE: _("“%(name)s” expired"),
        MoveKind.VOID: _("“%(name)s” taken back"),
        MoveKind.UNDO: _("redemption of “%(name)s” in %(store)s undone"),
        MoveKind.MERGE: _("“%(name)s” came from the merged record"),
        MoveKind.UNMERGE: _("“%(name)s” went back when the merge was undone"),
    }
    return texts[kind] % words


def _given(way: Way) -> str:
    texts = {
        Way.CLAIM: _("claimed “%(name)s”"),
        Way.PUSH: _("was given “%(name)s”"),
        Way.GUIDE: _("was handed “%(name)s” by the staff"),
        Way.CODE: _("entered a code for “%(name)s”"),
        Way.EXCHANGE: _("took “%(name)s” for points"),
        Way.TIER: _("got “%(name)s” as a benefit of the tier"),
        Way.SCAN: _("got “%(name)s” by scanning a code"),
        Way.SYSTEM: _("was given “%(name)s” by another system"),
        Way.PURCHASE: _("got “%(name)s” after a purchase"),
        Way.BIRTHDAY: _("got “%(name)s” for the birthday"),
    }
    return texts[way]


def _redeemed(move: Move) -> str:
    if move.store_id is not None and move.saved:
        return _("“%(name)s” redeemed in %(store)s, %(saved)s off")
    if move.store_id is not None:
        return _("“%(name)s” redeemed in %(store)s")
    return _("“%(name)s” used for the order %(order)s, %(saved)s off")


def _returned(move: Move) -> str:
    texts = {
        State.UNUSED: _("“%(name)s” returned after the refund of %(order)s, can be used until %(until)s"),
        State.EXPIRED: _("“%(name)s” was not returned after the refund of %(order)s: it had expired"),
    }
    return texts.get(State(move.after), _("“%(name)s” was not returned after the refund of %(order)s"))


def because(move: Move) -> str:
    """Give who or what was behind a move, and why."""
    parts = [move.reason] if move.reason and move.reason not in ("timeout", "erasure") else []
    if move.reason == "timeout":
        parts.append(_("its time was over"))
    if move.reason == "erasure":
        parts.append(_("the personal data was deleted"))
    if move.staff is not None:
        parts.append(str(move.staff))
    if move.detail.get("cashier"):
        parts.append(_("till: %(who)s") % {"who": move.detail["cashier"]})
    if move.detail.get("vouched"):
        parts.append(_("amount as the staff said"))
    return " · ".join(parts)
