"""What can go wrong between a brand and WeChat, in words an operator can use."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from django.utils.translation import gettext as _

from common.errors import AppError, Conflict, Forbidden, Invalid, NotFound, Unavailable

if TYPE_CHECKING:
    from datetime import datetime

    from wechat_gateway.answers import Answer


class AccountTaken(Conflict):
    """The brand has connected this AppID already."""

    code = "account_taken"

    def __init__(self) -> None:
        super().__init__(_("This AppID is connected already."), hint=_("Open the connected account instead."))


class BadCredentials(Invalid):
    """AppID, token or message key do not have the form WeChat gives them."""

    code = "bad_credentials"

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(message, hint=_("Copy the value from the WeChat console again."), field=field)


class SetByWeChat(Conflict):
    """What came with an authorisation by scanning is WeChat's to say."""

    code = "set_by_wechat"

    def __init__(self) -> None:
        super().__init__(
            _("Original id and message encryption of an account connected by scanning come from WeChat."),
            hint=_("Let the administrator scan again to read them anew."),
        )


class NoPlatform(Unavailable):
    """This installation has no third-party platform: accounts are connected with their own keys."""

    code = "no_platform"

    def __init__(self) -> None:
        super().__init__(
            _("Accounts cannot be authorised by scanning: this installation has no third-party platform."),
            hint=_("Connect the account with its AppID and AppSecret instead."),
        )


class InvitationGone(NotFound):
    """The link for authorising is over, or was never made."""

    def __init__(self) -> None:
        super().__init__(_("This link is over."), hint=_("Make a new one: it is valid for ten minutes."))


class AccountNotFound(NotFound):
    """The brand has no such account, or it is disconnected."""

    def __init__(self) -> None:
        super().__init__(
            _("There is no such service account."), hint=_("Check the AppID, and whether it is connected.")
        )


class PushNotFound(NotFound):
    """There is no such push in the brand."""

    def __init__(self) -> None:
        super().__init__(_("There is no such push."))


class ReasonMissing(Invalid):
    """Whoever sets something aside says why."""

    code = "reason_missing"

    def __init__(self) -> None:
        super().__init__(_("Say why."), hint=_("Whoever looks later should know."), field="reason")


class NotReplayable(Conflict):
    """Only pushes that failed or are in quarantine can be handled again."""

    code = "not_replayable"

    def __init__(self) -> None:
        super().__init__(_("This push was handled already."), hint=_("Only failed pushes can be handled again."))


class StillUnreadable(Conflict):
    """The push cannot be read, even now."""

    code = "still_unreadable"

    def __init__(self, reason: str) -> None:
        super().__init__(
            _("This push cannot be read (%(reason)s).") % {"reason": reason},
            hint=_("Update the product or ask for support; the push is kept."),
        )
        self.reason = reason


class CallsParked(Unavailable):
    """Calls of an app wait: its credentials or rights were refused."""

    code = "calls_parked"
    cause: ClassVar[str] = "PARKED"

    def __init__(self, *, wechat_code: int | None, reason: str, until: datetime | None) -> None:
        super().__init__(reason or _("WeChat cannot be reached at the moment."), hint=_("It is tried again by itself."))
        self.wechat_code = wechat_code
        self.reason = reason
        self.until = until


class Disconnected(CallsParked):
    """A person has disconnected the app: nothing is asked of WeChat for it until it is connected again."""

    cause = "DISCONNECTED"

    def __init__(self) -> None:
        from wechat_gateway.errcodes import explain_own

        known = explain_own(self.cause)
        super().__init__(wechat_code=None, reason=str(known.cause) if known else "", until=None)
        self.hint = str(known.action) if known else ""


class WeChatRefused(AppError):
    """WeChat did not accept a call; `answer` has the class and the code."""

    code = "wechat_refused"
    status = 502

    def __init__(self, answer: Answer) -> None:
        from wechat_gateway.errcodes import explain, explain_own

        explanation = explain(answer.code) if answer.code is not None else explain_own(answer.cause)
        message = str(explanation.cause) if explanation else _("WeChat gave no usable answer.")
        number = f" ({answer.code})" if answer.code is not None else ""
        super().__init__(f"{message}{number}", hint=str(explanation.action) if explanation else _("Try again later."))
        self.answer = answer


class CodeRefused(AppError):
    """A one-time code of a mini program is wrong, too old, used, or another person's."""

    code = "code_refused"
    status = 401

    def __init__(self) -> None:
        super().__init__(_("This code has expired or was used."), hint=_("Ask WeChat for a new code."))


class PersonBlocked(Forbidden):
    """WeChat does not let this person sign in."""

    code = "person_blocked"

    def __init__(self) -> None:
        super().__init__(_("WeChat does not let this person sign in."), hint=_("Do not try again by yourself."))


class TooManyTries(AppError):
    """WeChat takes no more log-ins of this person for a minute."""

    code = "throttled"
    status = 429
    retry_after = 60

    def __init__(self) -> None:
        super().__init__(_("Too many calls."), hint=_("Try again in a minute."))


class WeChatAway(Unavailable):
    """WeChat gave no usable answer, or refuses the mini program as such: nothing the person did."""

    code = "wechat_away"

    def __init__(self) -> None:
        super().__init__(_("WeChat cannot be asked right now."), hint=_("Try again in a moment."))
