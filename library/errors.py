"""What can go wrong in the material library: what happened, why, what to do."""

from __future__ import annotations

from django.utils.translation import gettext as _

from common.errors import Conflict, Invalid, NotFound


class MediaMissing(NotFound):
    """The file is not in the library."""

    code = "media_missing"

    def __init__(self) -> None:
        super().__init__(_("There is no such file in the library."))


class MediaRefused(Invalid):
    """A file that WeChat would not take as what it is said to be."""

    code = "media_refused"

    def __init__(self, cause: str, hint: str) -> None:
        super().__init__(cause, hint=hint, field="file")


class LibraryFull(Conflict):
    """An account has as many permanent files of a kind as WeChat allows."""

    code = "library_full"

    def __init__(self, account: str, kind: str, used: int, most: int) -> None:
        super().__init__(
            _("Not kept for good. “%(account)s” has %(used)s of %(most)s permanent files at WeChat (%(kind)s).")
            % {"account": account, "kind": kind, "used": used, "most": most},
            hint=_("Take away permanent files that nothing uses, or send this one without keeping it for good."),
        )


class MediaUsed(Conflict):
    """Something still uses the file."""

    code = "media_used"

    def __init__(self, where: str) -> None:
        super().__init__(
            _("Nothing was taken away. The file is used in: %(where)s.") % {"where": where},
            hint=_("Choose another file there first."),
        )
