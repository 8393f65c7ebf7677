"""What can be refused about invitations."""

from __future__ import annotations

from django.utils.translation import gettext as _

from common.errors import Conflict, Invalid, NotFound


class ProgrammeInvalid(Invalid):
    """A programme cannot be as it is."""

    code = "programme_invalid"

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(message, hint="", field=field)


class InvitationUnknown(NotFound):
    """Nobody invites by this code."""

    code = "invitation_unknown"

    def __init__(self) -> None:
        super().__init__(_("Nothing was done. Nobody invites by this code."), hint=_("Check how it is written."))


class NoProgramme(Conflict):
    """No programme is running."""

    code = "no_programme"

    def __init__(self) -> None:
        super().__init__(_("Nothing was done. No invitations are running today."), hint="")


class OwnInvitation(Conflict):
    """Nobody invites themselves."""

    code = "own_invitation"

    def __init__(self) -> None:
        super().__init__(_("Nothing was done. Nobody invites themselves."), hint="")


class NotNew(Conflict):
    """Whoever is known already was not brought by anybody."""

    code = "not_new"

    def __init__(self) -> None:
        super().__init__(_("Nothing was done. Invitations are for people the brand does not know yet."), hint="")


class InvitedBefore(Conflict):
    """The first invitation counts."""

    code = "invited_before"

    def __init__(self) -> None:
        super().__init__(_("Nothing was done. Somebody else's invitation came first."), hint="")


class DecisionRefused(Conflict):
    """Nothing is there to be decided, or no reason was given."""

    code = "decision_refused"

    def __init__(self, message: str) -> None:
        super().__init__(message, hint=_("Open it again."))


class CodeUnavailable(Conflict):
    """WeChat has not made a picture of the code."""

    code = "code_unavailable"

    def __init__(self, cause: str) -> None:
        super().__init__(
            _("There is no picture of the code now. %(cause)s") % {"cause": cause},
            hint=_("Share the link or the code itself."),
        )
