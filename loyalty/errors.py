"""What can be refused about points and tiers."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from common.errors import Conflict, Invalid, NotFound


class AmountInvalid(Invalid):
    """Points are a whole number above zero."""

    code = "points_invalid"

    def __init__(self, most: int) -> None:
        super().__init__(
            _("Nothing was done. Points are a whole number from 1 to %(most)s.") % {"most": f"{most:,}"},
            hint=_("Change the number of points."),
            field="points",
        )


class PointsShort(Invalid):
    """Somebody has fewer points than are asked for."""

    code = "points_short"

    def __init__(self, *, asked: int, there: int) -> None:
        super().__init__(
            _("Nothing was done. %(asked)s points are asked for, %(there)s can be spent.")
            % {"asked": f"{asked:,}", "there": f"{there:,}"},
            hint=_("Ask for fewer points. Frozen and expired points cannot be spent."),
            field="points",
        )


class RefundBlocked(Conflict):
    """Points that a refund takes back were spent already, and the brand refuses such refunds."""

    code = "refund_blocked"

    def __init__(self, *, asked: int, there: int) -> None:
        super().__init__(
            _("Nothing was done. The refund takes back %(asked)s points, but %(there)s are left.")
            % {"asked": f"{asked:,}", "there": f"{there:,}"},
            hint=_("Let the member return points first, or choose another way in the points settings."),
        )


class KeyReused(Invalid):
    """An operation key stands for something else already."""

    code = "key_reused"

    def __init__(self) -> None:
        super().__init__(
            _("Nothing was done. This operation key was used for something else."),
            hint=_("Use a new key for every act; repeat a key only with the very same body."),
            field="key",
        )


class OperationRunning(Conflict):
    """The same operation is under way."""

    code = "operation_running"
    retry_after = 1

    def __init__(self) -> None:
        super().__init__(
            _("The same operation is under way."), hint=_("Ask again in a second; the answer will be the first one's.")
        )


class MemberGone(Invalid):
    """No points for a person whose data was deleted, or whose record is part of another."""

    code = "member_gone"

    def __init__(self, field: str = "member_no") -> None:
        super().__init__(
            _("Nothing was done. This person's data was deleted."), hint=_("Choose another member."), field=field
        )


class MemberLeftOut(Conflict):
    """Staff, test people and blocked ones earn nothing."""

    code = "member_left_out"

    def __init__(self) -> None:
        super().__init__(
            _("Nothing was given. This person is left out of rewards."),
            hint=_("Let them in again on the member's page, or correct their points by hand there."),
            field="member_no",
        )


class GiftRefused(Invalid):
    """Points do not go to oneself, and not in a ring."""

    code = "gift_refused"

    def __init__(self, *, ring: bool) -> None:
        why = (
            _("Nothing was given. Points from these people have come back to the giver within 30 days.")
            if ring
            else _("Nothing was given. Nobody gives points to themselves.")
        )
        super().__init__(why, hint=_("Choose somebody else."), field="to")


class HoldEnded(Conflict):
    """A freeze that is over cannot be captured or released again."""

    code = "hold_ended"

    def __init__(self, label: str) -> None:
        super().__init__(
            _("Nothing was done. This freeze has ended: %(state)s.") % {"state": label},
            hint=_("Freeze the points anew if they are still needed."),
        )


class NothingToReverse(Conflict):
    """What is to be reversed was reversed already, or more is asked for than is left."""

    code = "nothing_to_reverse"

    def __init__(self, *, left: int) -> None:
        super().__init__(
            ngettext(
                "Nothing was done. %(left)s point of this entry can still be reversed.",
                "Nothing was done. %(left)s points of this entry can still be reversed.",
                left,
            )
            % {"left": f"{left:,}"},
            hint=_("Ask for fewer points, or look at what was reversed already."),
        )


class CannotReverse(Invalid):
    """Only what was earned and what was spent can be reversed."""

    code = "cannot_reverse"

    def __init__(self) -> None:
        super().__init__(
            _("Nothing was done. Only earned and spent points can be reversed."),
            hint=_("Correct the balance with an adjustment."),
        )


class UnknownEntry(NotFound):
    """There is no such entry for this caller."""

    code = "not_found"

    def __init__(self) -> None:
        super().__init__(_("There is nothing here."))


class ReinstateTooLate(Conflict):
    """Expired points come back only within the days the brand allows."""

    code = "reinstate_too_late"

    def __init__(self, days: int) -> None:
        super().__init__(
            _("Nothing was reinstated. No points expired in the last %(days)s days.") % {"days": days},
            hint=_("Give points by an adjustment, or allow more days in the points settings."),
        )


class FactChanged(Invalid):
    """A number was reported before with something else in it."""

    code = "fact_changed"

    def __init__(self) -> None:
        super().__init__(
            _("Nothing was recorded. This number was reported before with other contents."),
            hint=_("Report a refund, or use the number of the new order."),
            field="number",
        )


class FactRefused(Invalid):
    """A fact that cannot be right."""

    code = "fact_refused"

    def __init__(self, message: str, *, field: str, hint: str = "") -> None:
        super().__init__(message, hint=hint, field=field)


class RuleInvalid(Invalid):
    """A rule cannot be activated as it is."""

    code = "rule_invalid"

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message, hint=_("Change the rule and try again."), field=field)


class AdjustmentRefused(Invalid):
    """A correction by hand that cannot be."""

    code = "adjustment_refused"

    def __init__(self, message: str, *, hint: str, field: str = "") -> None:
        super().__init__(message, hint=hint, field=field)


class DecidedAlready(Conflict):
    """Somebody has decided meanwhile."""

    code = "decided_already"

    def __init__(self) -> None:
        super().__init__(_("Nothing was changed. Somebody has decided about this already."), hint=_("Open it again."))


class OwnRequest(Conflict):
    """Nobody approves what they asked for themselves."""

    code = "own_request"

    def __init__(self) -> None:
        super().__init__(
            _("Not approved. Above the limit a second person decides, and you asked for this yourself."),
            hint=_("Ask another owner to approve it."),
        )


class PolicyInvalid(Invalid):
    """Settings that cannot work."""

    code = "policy_invalid"

    def __init__(self, message: str, *, field: str, hint: str = "") -> None:
        super().__init__(message, hint=hint or _("Change the value and save again."), field=field)


class TierRefused(Invalid):
    """Something about tiers that cannot be."""

    code = "tier_refused"

    def __init__(self, message: str, *, hint: str, field: str = "") -> None:
        super().__init__(message, hint=hint, field=field)


class BirthdayInvalid(Invalid):
    """Settings of the birthday benefit cannot be used."""

    code = "birthday_invalid"


class NewsRefused(Invalid):
    """Words of news that cannot be sent."""

    code = "news_refused"


class BandsInvalid(Invalid):
    """The cuts of an RFM matrix cannot be used; `field` names which."""

    code = "bands_invalid"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message, field=field)
