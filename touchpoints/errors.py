"""What can go wrong with channels and codes."""

from __future__ import annotations

from django.utils.translation import gettext as _

from common.errors import Conflict, Invalid, NotFound


class CodeNotIssued(Conflict):
    """WeChat gave no code for the channel."""

    code = "code_not_issued"

    def __init__(self, cause: str, hint: str) -> None:
        super().__init__(_("No code was made. %(cause)s") % {"cause": cause}, hint=hint)


class CodeBeingMade(Conflict):
    """Somebody asked WeChat for this code a moment ago, and the answer is still to come."""

    code = "code_being_made"

    def __init__(self) -> None:
        super().__init__(
            _("WeChat is making this code already."), hint=_("Wait two minutes, then look at the channel again.")
        )


class PermanentCodesUsedUp(Conflict):
    """An account may make so many permanent codes (100,000, if WeChat says nothing else), and WeChat deletes none."""

    code = "permanent_codes_used_up"

    def __init__(self, account: str) -> None:
        super().__init__(
            _("“%(account)s” has too few permanent codes left. WeChat deletes none of them.") % {"account": account},
            hint=_("Make temporary codes: they are renewed by themselves, as long as nothing printed depends on them."),
        )


class NotInTree(Invalid):
    """The channel cannot stand there, or the figure cannot be noted there."""

    code = "not_in_tree"


class OddOpening(Invalid):
    """The id of an opening is not one that can be told from others."""

    code = "opening_id_not_usable"


class NoSuchScene(NotFound):
    """The short scene is unknown, forged, revoked or over: all look alike from outside."""

    code = "scene_not_found"

    def __init__(self) -> None:
        super().__init__(_("This code is not in use."), hint=_("Ask for a new code where you found it."))
