"""Files: pictures people send are fetched from WeChat by their id; ours get a fresh copy there before they are used."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.utils.translation import gettext as _

from accounts.services import record_audit
from accounts.tenancy import brand_scope
from inbox import files
from inbox.errors import PictureRefused
from inbox.models import Attachment, AttachmentState, Conversation, MediaCopy, MediaItem, Message
from wechat_gateway import calls, downloads
from wechat_gateway.answers import Answer, Outcome
from wechat_gateway.models import OfficialAccount

if TYPE_CHECKING:
    from datetime import datetime

LIVES: Final = timedelta(days=3)  # reference: service account 5.12
MARGIN: Final = timedelta(hours=2)  # a copy about to expire is made afresh
TRIES: Final = 5


def fetch_attachment(*, brand_id: int, attachment_id: int, at: datetime) -> None:
    """Fetch a picture somebody sent from WeChat, by its id; check what it is, and keep it. Safe to run twice.

    Addresses that come with a push are never fetched: whoever knows the callback's secrets could write any there.
    """
    with brand_scope(brand_id):
        row = Attachment.objects.select_for_update().filter(pk=attachment_id, state=AttachmentState.WAITING).first()
        if row is None:
            return
        account = OfficialAccount.objects.get(pk=row.account_id)
        row.attempts += 1
        row.due_at = at + timedelta(minutes=2**row.attempts)
        row.save(update_fields=["attempts", "due_at"])
        media_id, attempts = row.media_id, row.attempts
    got = downloads.download_media(account, media_id, at=at)
    path, fault = "", ""
    if isinstance(got, Answer):
        if got.outcome is not Outcome.REFUSED and attempts < TRIES:
            return  # again when it is due
        fault = "EXPIRED" if got.code == 40007 else "UNAVAILABLE"
        body = b""
    else:
        body, fault = got, files.fault_of(got)
    if not fault:
        path = files.store(body, brand_id=brand_id)
    with brand_scope(brand_id):
        _keep(attachment_id, body, path, fault)


def due_attachments(*, at: datetime) -> list[int]:
    """Give what waits to be fetched."""
    rows = Attachment.objects.filter(due_at__lte=at, state=AttachmentState.WAITING).order_by("due_at", "pk")
    return list(rows.values_list("pk", flat=True)[:50])


def add_picture(*, name: str, body: bytes, at: datetime, brand_id: int) -> MediaItem:
    """Put a picture into the library; the same one twice is one. Raises `PictureRefused`."""
    fault = files.fault_of(body)
    if fault:
        raise PictureRefused(
            {
                "EMPTY": _("Nothing was added. The file is empty."),
                "TOO_LARGE": _("Nothing was added. The picture is larger than 10 MB."),
            }.get(fault, _("Nothing was added. The file is not a picture."))
        )
    known = files.kind_of(body)
    digest = hashlib.sha256(body).hexdigest()
    found = MediaItem.objects.filter(sha256=digest).first()
    if found is not None:
        return found
    item = MediaItem.objects.create(
        name=name.strip()[:60] or digest[:8],
        content_type=known[0] if known else "",
        size=len(body),
        sha256=digest,
        path=files.store(body, brand_id=brand_id),
        created_at=at,
    )
    record_audit(action="add picture", obj=item, changes={"name": [None, item.name]})
    return item


def media_id_for(*, brand_id: int, item_id: int, account: OfficialAccount, at: datetime) -> str | Answer:
    """Give WeChat's id of a picture, uploaded again when the last copy has expired or is about to.

    Gives the answer of the upload when there was none. Opens its own scopes: the upload happens outside any.
    """
    with brand_scope(brand_id):
        item = MediaItem.objects.get(pk=item_id)
        copy = MediaCopy.objects.filter(item=item, account=account, expires_at__gt=at + MARGIN).first()
    if copy is not None:
        return copy.media_id
    try:
        body = files.read(item.path)
    except FileNotFoundError:
        return Answer(Outcome.NOT_SENT, cause="FILE_GONE")
    ending = item.content_type.rpartition("/")[2]
    said = calls.upload_picture(account, body, file_name=f"{item.pk}.{ending}", content_type=item.content_type, at=at)
    media_id = str(said.data.get("media_id", "")) if said.ok else ""
    if not media_id:
        return Answer(Outcome.NOT_SENT, said.reaction, said.code, said.cause or "UPLOAD")
    with brand_scope(brand_id):
        MediaCopy.objects.update_or_create(
            item=item, account=account, defaults={"media_id": media_id, "expires_at": at + LIVES}
        )
    return media_id


def _keep(attachment_id: int, body: bytes, path: str, fault: str) -> None:
    row = Attachment.objects.select_for_update().get(pk=attachment_id)
    if row.state != AttachmentState.WAITING:
        if path:
            files.drop(path)  # another worker was faster
        return
    known = files.kind_of(body)
    row.state = AttachmentState.REFUSED if fault else AttachmentState.STORED
    row.reason, row.path, row.due_at = fault, path, None
    if not fault:
        row.content_type = known[0] if known else ""
        row.size, row.sha256 = len(body), hashlib.sha256(body).hexdigest()
    row.save()
    shown = Message.objects.filter(attachment=row).values_list("conversation_id", flat=True)
    for conversation in Conversation.objects.select_for_update().filter(pk__in=list(shown)):
        conversation.version += 1
        conversation.save(update_fields=["version"])
