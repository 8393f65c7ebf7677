"""What can go wrong with automatic answers and menus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

from common.errors import Conflict, Invalid
from console import formats

if TYPE_CHECKING:
    from datetime import datetime


class PatternInvalid(Invalid):
    """An expression cannot be used."""

    code = "pattern_invalid"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint=hint, field="words")


class MenuInvalid(Invalid):
    """WeChat would refuse this menu."""

    code = "menu_invalid"

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message, hint=_("Change the button and publish again."), field=path)


class TimePassed(Invalid):
    """A menu is to be published at a time that is over, or at none."""

    code = "time_passed"

    def __init__(self) -> None:
        super().__init__(
            _("Not planned: no time to come was chosen."), hint=_("Choose day and hour."), field="publish_at"
        )


class MenuPlanned(Conflict):
    """Another menu waits for its time; publishing this one would drop it."""

    code = "menu_planned"

    def __init__(self, planned_at: datetime) -> None:
        super().__init__(
            _("Not published: another menu is to be published at %(when)s.") % {"when": formats.local_time(planned_at)},
            hint=_("Tick that it is dropped, or wait until it is out."),
            field="drop_planned",
        )


class MenuRefused(Conflict):
    """WeChat did not take the menu."""

    code = "menu_refused"

    def __init__(self, cause: str, hint: str) -> None:
        super().__init__(_("The menu was not published. %(cause)s") % {"cause": cause}, hint=hint)


class DialogueInvalid(Invalid):
    """A dialogue cannot be published like this."""

    code = "dialogue_invalid"

    def __init__(self, step: str, message: str) -> None:
        where = _("Step %(step)s: ") % {"step": step} if step else ""
        super().__init__(f"{where}{message}", hint=_("Change the step and publish again."), field=step)
