"""What can go wrong in the inbox: what happened, why, what to do."""

from __future__ import annotations

from django.utils.translation import gettext as _

from common.errors import Conflict, Invalid, NotFound


class ConversationMissing(NotFound):
    """The conversation is not there, or not for this person."""

    code = "conversation_missing"

    def __init__(self) -> None:
        super().__init__(_("There is no such conversation."))


class NothingToSend(Invalid):
    """The message is empty."""

    code = "nothing_to_send"

    def __init__(self) -> None:
        super().__init__(_("Nothing was sent. The message is empty."), hint=_("Write something first."), field="text")


class TooLong(Invalid):
    """The message is longer than WeChat takes."""

    code = "too_long"

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(
            _("Nothing was sent. The text has %(size)s bytes, WeChat takes %(limit)s.")
            % {"size": size, "limit": limit},
            hint=_("Shorten it, or send it in two messages."),
            field="text",
        )


class WindowClosed(Conflict):
    """WeChat would refuse a customer-service message now; `refusal` is the code it would answer with."""

    code = "window_closed"

    def __init__(self, refusal: int, cause: str, action: str) -> None:
        super().__init__(
            _("Nothing was sent. %(cause)s (%(code)s)") % {"cause": cause, "code": refusal},
            hint=action,
        )
        self.refusal = refusal


class NotFollowing(Conflict):
    """The person no longer follows the account."""

    code = "not_following"

    def __init__(self) -> None:
        super().__init__(
            _("Nothing was sent. This person no longer follows the account."),
            hint=_("Wait until they follow again, or give the guide a task."),
        )


class NotAnAgent(Conflict):
    """Somebody is to get a conversation who answers none here."""

    code = "not_an_agent"

    def __init__(self) -> None:
        super().__init__(
            _("This person cannot take conversations."), hint=_("Choose somebody of the list, or send it to the queue.")
        )


class ReasonMissing(Invalid):
    """A transfer needs a reason: whoever gets it reads it first."""

    code = "reason_missing"

    def __init__(self) -> None:
        super().__init__(
            _("Nothing was transferred. The reason is empty."),
            hint=_("Write one sentence for whoever takes over."),
            field="reason",
        )


class InThePast(Invalid):
    """A moment that has passed."""

    code = "in_the_past"

    def __init__(self) -> None:
        super().__init__(_("This moment has passed."), hint=_("Choose a later one."), field="until")
