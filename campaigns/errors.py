"""What can go wrong with campaigns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

from common.errors import AppError, Conflict, Invalid

if TYPE_CHECKING:
    from campaigns.carriers import Problem


class AlreadyLaunched(Conflict):
    """The campaign was launched before: its content and audience no longer change."""

    code = "already_launched"

    def __init__(self) -> None:
        super().__init__(_("The campaign has been launched already."), hint=_("Copy it to send something else."))


class NotInThisState(Conflict):
    """The campaign's state does not allow this step now."""

    code = "not_in_this_state"

    def __init__(self, state: str) -> None:
        super().__init__(
            _("The campaign is now “%(state)s”, so this cannot be done.") % {"state": state},
            hint=_("Reload the page to see where it is."),
        )


class NotReady(Invalid):
    """The campaign cannot be launched as it is; `problems` says why."""

    code = "not_ready"

    def __init__(self, problems: list[Problem]) -> None:
        first = problems[0]
        super().__init__(first.message, hint=first.hint, field=first.field)
        self.problems = problems


class UnknownCarrier(Invalid):
    """The campaign names a channel that does not exist."""

    code = "unknown_carrier"

    def __init__(self, key: str) -> None:
        super().__init__(_("There is no channel “%(key)s”.") % {"key": key}, field="carrier")


class NoticeRefused(Invalid):
    """A notice to one person cannot be sent like this."""

    code = "notice_refused"


class PreviewImpossible(AppError):
    """A message cannot be made for a person."""

    code = "preview_impossible"
    status = 422
