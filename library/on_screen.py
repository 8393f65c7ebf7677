"""How files of the library look: their copies at WeChat, sizes, room."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.urls import reverse
from django.utils.translation import gettext as _

from console import formats
from library import selectors
from library.models import CopyState, MediaKind
from wechat_gateway.errcodes import explain, explain_own

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from library.models import MediaCopy
    from wechat_gateway.models import OfficialAccount

ICONS: Final = {
    MediaKind.IMAGE: "image",
    MediaKind.VOICE: "mic",
    MediaKind.VIDEO: "movie",
    MediaKind.THUMB: "crop_square",
}


def file_link(item_id: int) -> str:
    """Give the address of a file's bytes."""
    return reverse("admin:library_mediaitem_file", args=[item_id])


def size(number: int) -> str:
    """Give a size as people read it."""
    if number < 1_000:
        return f"{number} B"
    if number < 1_000_000:
        return f"{number / 1_000:.0f} KB"
    return f"{number / 1_000_000:.1f} MB"


def copy(row: MediaCopy, *, at: datetime) -> dict[str, Any]:
    """Give what an account has of a file, in words: state, colour, until when, what went wrong."""
    cause, action = _fault(row)
    told: dict[str, Any] = {
        "pk": row.pk,
        "account": row.account.name,
        "permanent": row.permanent,
        "cause": cause,
        "action": action,
        "code": row.code or "",
        "may_leave": row.permanent and row.state in (CopyState.THERE, CopyState.REFUSED),
    }
    if row.state == CopyState.WAITING:
        return told | {"label": _("being uploaded"), "tone": "info"}
    if row.state == CopyState.LEAVING:
        return told | {"label": _("being taken away"), "tone": "info"}
    if row.state == CopyState.REFUSED:
        return told | {"label": _("not kept"), "tone": "danger"}
    if row.permanent:
        return told | {"label": _("kept for good"), "tone": "success"}
    if row.expires_at is None or row.expires_at <= at:
        return told | {"label": _("expired; uploaded again when it is sent"), "tone": ""}
    return told | {"label": _("until %(when)s") % {"when": formats.local_time(row.expires_at)}, "tone": "info"}


def _fault(row: MediaCopy) -> tuple[str, str]:
    if row.code:
        known = explain(row.code)
        return str(known.cause), str(known.action)
    causes = {
        "FULL": (
            _("The account has as many permanent files of this kind as WeChat allows."),
            _("Take away files that nothing uses, then try again."),
        ),
        "GONE": (
            _("WeChat had this file no longer: somebody deleted it there."),
            _("It is uploaded again by itself. In menus that send it, choose it again and publish."),
        ),
        "FILE_GONE": (_("The file is no longer in storage."), _("Add it again.")),
    }
    own = explain_own(row.cause)
    if own is not None:
        return str(own.cause), str(own.action)
    unknown = (_("WeChat could not be reached, or did not say what became of it."), _("Try again in a minute."))
    return causes.get(row.cause, unknown) if row.cause else ("", "")


def meters(accounts: Sequence[OfficialAccount]) -> list[dict[str, Any]]:
    """Give how full each account is, per kind; kinds that have nothing there only for pictures."""
    names = {account.pk: account.name for account in accounts}
    return [
        {
            "label": f"{names[room.account_id]} · {MediaKind(room.kind).label}"
            if len(names) > 1
            else str(MediaKind(room.kind).label),
            "used": room.used,
            "limit": room.most,
            "at": room.at,
        }
        for room in selectors.rooms(list(names))
        if room.used or room.kind == MediaKind.IMAGE
    ]
