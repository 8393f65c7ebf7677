"""What can be refused about guides."""

from __future__ import annotations

from django.utils.translation import gettext as _

from common.errors import Conflict, Invalid


class GuideHasLeft(Conflict):
    """Nobody is given to somebody who has left."""

    code = "guide_has_left"

    def __init__(self, name: str) -> None:
        super().__init__(
            _("Nothing was changed. “%(name)s” has left.") % {"name": name}, hint=_("Choose a guide who works here.")
        )


class GuidePolicyRefused(Invalid):
    """Days that make no sense together."""

    code = "guide_policy_invalid"


class ConsentNeeded(Invalid):
    """Nobody is made a member without having agreed to something."""

    code = "consent_needed"

    def __init__(self) -> None:
        super().__init__(
            _("Nothing was saved. The person has agreed to nothing yet."),
            hint=_("Show the text, and tick what the person agrees to."),
            field="purposes",
        )
