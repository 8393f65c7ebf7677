"""What can be refused about welcome sequences."""

from __future__ import annotations

from django.utils.translation import gettext as _

from common.errors import Invalid


class SequenceInvalid(Invalid):
    """A sequence cannot be turned on as it is."""

    code = "sequence_invalid"

    def __init__(self, number: int, message: str) -> None:
        where = _("Step %(step)s: ") % {"step": number} if number else ""
        super().__init__(f"{where}{message}", hint=_("Change the step and save again."), field="steps")
