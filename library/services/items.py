"""Files of the library: put in after a look at what they are, described, put away when nothing uses them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.services import record_audit
from library import files
from library.errors import MediaMissing, MediaRefused, MediaUsed
from library.models import CopyState, MediaCopy, MediaItem, MediaKind
from library.uses import uses_of

if TYPE_CHECKING:
    from datetime import datetime


def add_media(
    *, name: str, body: bytes, at: datetime, brand_id: int, kind: str = MediaKind.IMAGE, description: str = ""
) -> MediaItem:
    """Put a file into the library; the same one twice is one. Raises `MediaRefused`.

    What counts is the file itself, never its name or what the browser says it is.
    """
    fault = files.fault_of(body, kind)
    if fault:
        raise refusal(fault, kind)
    digest = hashlib.sha256(body).hexdigest()
    found = MediaItem.objects.select_for_update().filter(kind=kind, sha256=digest).first()
    if found is not None:
        if found.archived_at is not None:
            found.archived_at = None
            found.save(update_fields=["archived_at"])
        return found
    known = files.kind_of(body, kind)
    item = MediaItem.objects.create(
        kind=kind,
        name=name.strip()[:60] or digest[:8],
        description=description.strip()[:120],
        content_type=known[0] if known else "",
        size=len(body),
        sha256=digest,
        path=files.store(body, brand_id=brand_id, kind=kind),
        created_at=at,
    )
    record_audit(action="add file", obj=item, changes={"name": [None, item.name]})
    return item


def refusal(fault: str, kind: str) -> MediaRefused:
    """Say why a file is not taken, and which would be."""
    label = MediaKind(kind).label
    causes = {
        files.EMPTY: _("Nothing was added. The file is empty."),
        files.TOO_LARGE: _("Nothing was added. The file is larger than WeChat takes."),
        files.TOO_LONG: _("Nothing was added. The recording is longer than 60 seconds."),
    }
    wrong = _("Nothing was added. The file is not what WeChat takes as “%(kind)s”.") % {"kind": label}
    hint = _("WeChat takes: %(formats)s.") % {"formats": files.LIMITS[kind].shown}
    return MediaRefused(causes.get(fault, wrong), hint)


def describe_media(*, item_id: int, name: str, description: str) -> MediaItem:
    """Give a file another name and description. Raises `MediaMissing`."""
    item = _locked(item_id)
    before = [item.name, item.description]
    item.name, item.description = name.strip()[:60] or item.name, description.strip()[:120]
    if [item.name, item.description] != before:
        item.save(update_fields=["name", "description"])
        changes = {"name": [before[0], item.name], "description": [before[1], item.description]}
        record_audit(action="change", obj=item, changes=changes)
    return item


def note_sent(*, item_id: int) -> None:
    """Count that a file was sent to somebody: from then on it is put away, not deleted."""
    item = _locked(item_id)
    item.sent += 1
    item.save(update_fields=["sent"])


def put_away(*, item_id: int, at: datetime) -> None:
    """Offer a file no longer; one that was never sent goes for good. Raises `MediaMissing`, `MediaUsed`."""
    item = _locked(item_id)
    uses = uses_of([item.pk])[item.pk]
    if uses:
        raise MediaUsed(_(", ").join(use.name for use in uses[:5]))
    copies = MediaCopy.objects.filter(item=item)
    kept = copies.filter(permanent=True).exclude(state=CopyState.REFUSED).select_related("account")
    if kept:
        raise MediaUsed(_(", ").join(sorted({copy.account.name for copy in kept})))
    record_audit(action="put file away", obj=item)
    if item.sent:
        item.archived_at = at
        item.save(update_fields=["archived_at"])
        return
    copies.delete()
    item.delete()
    path = item.path
    transaction.on_commit(lambda: files.drop(path))


def _locked(item_id: int) -> MediaItem:
    item = MediaItem.objects.select_for_update().filter(pk=item_id).first()
    if item is None:
        raise MediaMissing
    return item
