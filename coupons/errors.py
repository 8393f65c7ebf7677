"""What can be refused about coupons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.utils.translation import gettext as _

from common.errors import Conflict, Invalid, NotFound
from coupons import reasons

if TYPE_CHECKING:
    from datetime import datetime

    from coupons.rules import Refusal


class Unusable(Conflict):
    """A coupon that cannot be used (now, here, for this): every reason has a code of its own."""

    code = "coupon_unusable"

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(_("Nothing was done. %(why)s") % {"why": reasons.sentence(refusal)}, hint=reasons.fix(refusal))
        self.refusal = refusal


_UNUSABLE: Final = {
    code: type(f"Unusable{code.title().replace('_', '')}", (Unusable,), {"code": f"coupon_{code}"})
    for code in reasons.REASONS
}


def unusable(refusal: Refusal) -> Unusable:
    """Give the error of a refusal."""
    error: Unusable = _UNUSABLE[refusal.code](refusal)
    return error


class CouponUnknown(NotFound):
    """There is no such coupon for this caller."""

    code = "not_found"

    def __init__(self) -> None:
        super().__init__(_("There is nothing here."))


class TemplateRefused(Invalid):
    """A template cannot be as it is."""

    code = "template_invalid"

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message, hint=_("Change the template and try again."), field=field)


class GiftInvalid(Invalid):
    """A coupon after purchases cannot be as it is."""

    code = "gift_invalid"

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(message, hint="", field=field)


class TemplateClosed(Conflict):
    """No coupons are given from this template, or not this way."""

    code = "template_closed"

    def __init__(self) -> None:
        super().__init__(
            _("Nothing was given. This coupon is not on offer."), hint=_("Choose one of the coupons on offer.")
        )


class BudgetGone(Conflict):
    """Every coupon of a template has been given."""

    code = "budget_gone"

    def __init__(self, left: int = 0) -> None:
        super().__init__(
            _("Nothing was given. %(left)s of these coupons are left.") % {"left": f"{left:,}"},
            hint=_("Choose another coupon; the brand can raise the number."),
        )


class MemberLimit(Conflict):
    """A member has as many of these coupons as one may have."""

    code = "member_limit"

    def __init__(self, limit: int) -> None:
        super().__init__(
            _("Nothing was given. A member gets %(limit)s of these coupons at most.") % {"limit": limit},
            hint=_("Use the coupons that are there."),
        )


class LeftOut(Conflict):
    """Staff, test and blocked people get no coupons."""

    code = "left_out"

    def __init__(self) -> None:
        super().__init__(
            _("Nothing was given. This person is left out of rewards."),
            hint=_("Somebody of the head office sees on the member's page why, and can let them in again."),
        )


class CodeInvalid(Invalid):
    """Not what a code looks like."""

    code = "code_invalid"

    def __init__(self) -> None:
        super().__init__(
            _("This is no code: a letter is wrong or missing."),
            hint=_("Codes have 12 letters and digits; 0, O, 1, I, L, 2, Z, 5, S, 8, B, Q and U are in none of them."),
            field="code",
        )


class CodeUnknown(NotFound):
    """No code of this brand."""

    code = "code_unknown"

    def __init__(self) -> None:
        super().__init__(
            _("This code is unknown."), hint=_("Compare it with what is printed or shown, letter by letter.")
        )


class CodeOver(Conflict):
    """A code that was used before, or whose time is over."""

    code = "code_over"

    def __init__(self, *, used: bool) -> None:
        why = _("This code has been used.") if used else _("The time of this code is over.")
        super().__init__(why, hint=_("Ask for another code; at the counter, have the member show a new one."))


class NotHeld(Conflict):
    """A coupon that is not set aside for this order."""

    code = "coupon_not_held"

    def __init__(self) -> None:
        super().__init__(
            _("Nothing was done. The coupon is not set aside for this order."),
            hint=_("Ask how the coupon stands; it may have been used or set free."),
        )


class NotUsed(Conflict):
    """Only what was used comes back."""

    code = "coupon_not_used"

    def __init__(self) -> None:
        super().__init__(
            _("Nothing was done. The coupon is not used by this order."), hint=_("Ask how the coupon stands.")
        )


class RefundPartial(Conflict):
    """A part of an order was refunded: its coupon stays used."""

    code = "refund_partial"

    def __init__(self) -> None:
        super().__init__(
            _("The coupon stays used: only a part of the order was refunded."),
            hint=_("Report it again once everything of the order is refunded."),
        )


class BillNumberInvalid(Invalid):
    """What was typed is no number of a bill."""

    code = "bill_number_invalid"

    def __init__(self) -> None:
        super().__init__(
            _("Nothing was done. This is no number of a bill."),
            hint=_("Type it as it stands on the receipt: letters, digits and signs without spaces, 64 at most."),
        )


class CartNeeded(Invalid):
    """Without a cart nobody can say whether the coupon may be used."""

    code = "cart_needed"

    def __init__(self) -> None:
        super().__init__(
            _("Nothing was done. What is bought must be known for this coupon."),
            hint=_("Give the goods with their amounts, or the amount of the bill."),
            field="lines",
        )


class ScanTime(Invalid):
    """A scan that cannot have been then."""

    code = "scan_time"

    def __init__(self, hours: int) -> None:
        super().__init__(
            _("Nothing was done. A scan is reported within %(hours)s hours, and not before it happens.")
            % {"hours": hours},
            hint=_("Set the clock of the till, or have the member show a new code."),
            field="scanned_at",
        )


class UndoTooLate(Conflict):
    """A redemption in a store is undone within some minutes, by a manager."""

    code = "undo_too_late"

    def __init__(self, minutes: int, redeemed_at: datetime | None) -> None:
        message = (
            _("Not undone. Only a redemption in a store can be undone.")
            if redeemed_at is None
            else _("Not undone. It was redeemed more than %(minutes)s minutes ago.") % {"minutes": minutes}
        )
        super().__init__(message, hint=_("Give the member another coupon, with a reason."))


class CannotCancel(Conflict):
    """An exchange that is over."""

    code = "cannot_cancel"

    def __init__(self) -> None:
        super().__init__(
            _("Nothing was done. These points have been spent or came back already."),
            hint=_("Look at the coupon and at the points ledger."),
        )


class ReasonNeeded(Invalid):
    """An act by hand needs a reason."""

    code = "reason_needed"

    def __init__(self) -> None:
        super().__init__(_("Nothing was done. A reason is needed."), hint=_("Say in a few words why."), field="reason")


class BatchRefused(Invalid):
    """A batch of codes that cannot be."""

    code = "batch_refused"

    def __init__(self, message: str, *, field: str = "count") -> None:
        super().__init__(message, hint=_("Change it and try again."), field=field)


class PushNotDraft(Conflict):
    """A push that was called off cannot begin."""

    code = "push_stopped"

    def __init__(self) -> None:
        super().__init__(_("Nothing was given. This was called off."), hint=_("Set it up anew."))


class SegmentTooOld(Conflict):
    """The people of a kept segment are older than they may be."""

    code = "segment_too_old"

    def __init__(self, why: str, hint: str) -> None:
        super().__init__(_("Nothing was given. %(why)s") % {"why": why}, hint=hint)
