"""What can be refused about imports and exports."""

from __future__ import annotations

from django.utils.translation import gettext as _

from common.errors import Conflict, Invalid, NotFound


class ColumnsInvalid(Invalid):
    """The columns cannot be read as they are assigned."""

    code = "columns_invalid"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint=hint, field="columns")


class FileRefused(Invalid):
    """A file cannot be taken."""

    code = "file_refused"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint=hint, field="file")


class NotNow(Conflict):
    """An import is not at the stage at which this can be done."""

    code = "import_not_now"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint=hint or _("Open the import again and look how it stands."))


class KeyTaken(Invalid):
    """The same idempotency key came with another file, or other columns of it, before."""

    code = "key_reused"

    def __init__(self) -> None:
        super().__init__(
            _("Nothing was taken. This idempotency key stands for another file or other columns."),
            hint=_("Use a new key for every file; repeat a key only with the very same file and columns."),
            field="Idempotency-Key",
        )


class ExportRefused(Invalid):
    """A list cannot be taken out like this."""

    code = "export_refused"


class ExportKeyTaken(Invalid):
    """The same idempotency key came with other wishes before."""

    code = "key_reused"

    def __init__(self) -> None:
        super().__init__(
            _("Nothing was written. This idempotency key stands for another export."),
            hint=_("Use a new key for every export; repeat a key only with the very same request."),
            field="Idempotency-Key",
        )


class NotWritten(Conflict):
    """The file of an export is not there yet, or never will be."""

    code = "export_not_ready"

    def __init__(self, problem: str = "") -> None:
        super().__init__(
            problem or _("The file is still being written."),
            hint=_("Ask for a new export.") if problem else _("Ask for the export until its state is READY."),
        )


class FileGone(NotFound):
    """The time of a file is over, or it was never written."""

    code = "file_gone"

    def __init__(self) -> None:
        super().__init__(_("The file is no longer here."), hint=_("Ask for a new export."))
