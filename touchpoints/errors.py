"""What can go wrong with channels and codes."""

from __future__ import annotations

from django.utils.translation import gettext as _

from common.errors import Conflict


class CodeNotIssued(Conflict):
    """WeChat gave no code for the channel."""

    code = "code_not_issued"

    def __init__(self, cause: str, hint: str) -> None:
        super().__init__(_("No code was made. %(cause)s") % {"cause": cause}, hint=hint)
