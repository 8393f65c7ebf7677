"""Pictures that people send: fetched from WeChat by their id, judged by what they are, kept."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from accounts.tenancy import brand_scope
from common.failpoints import point
from inbox.models import Attachment, AttachmentState, Conversation
from library import files
from wechat_gateway import downloads
from wechat_gateway.answers import Answer, Outcome
from wechat_gateway.errcodes import is_unknown_media
from wechat_gateway.models import OfficialAccount

if TYPE_CHECKING:
    from datetime import datetime

TRIES: Final = 5
NOT_A_PICTURE: Final = "NOT_A_PICTURE"


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
        fault = "EXPIRED" if is_unknown_media(got.code) else "UNAVAILABLE"
        body = b""
    else:
        body, fault = got, files.fault_of(got)
        fault = NOT_A_PICTURE if fault == files.WRONG_KIND else fault
    if not fault:
        path = files.store(body, brand_id=brand_id)
    point("attachment: fetched, not noted")
    with brand_scope(brand_id):
        _keep(attachment_id, body, path, fault)


def due_attachments(*, at: datetime) -> list[int]:
    """Give what waits to be fetched."""
    rows = Attachment.objects.filter(due_at__lte=at, state=AttachmentState.WAITING).order_by("due_at", "pk")
    return list(rows.values_list("pk", flat=True)[:50])


def _keep(attachment_id: int, body: bytes, path: str, fault: str) -> None:
    conversations = Conversation.objects.select_for_update(of=("self",)).filter(messages__attachment_id=attachment_id)
    shown = list(conversations.order_by("pk"))  # before the file, as an erasure does
    row = Attachment.objects.select_for_update().filter(pk=attachment_id, state=AttachmentState.WAITING).first()
    if row is None:  # another worker was faster, or whoever sent it was erased meanwhile
        if path:
            files.drop(path)
        return
    known = files.kind_of(body)
    row.state = AttachmentState.REFUSED if fault else AttachmentState.STORED
    row.reason, row.path, row.due_at = fault, path, None
    if not fault:
        row.content_type = known[0] if known else ""
        row.size, row.sha256 = len(body), hashlib.sha256(body).hexdigest()
    row.save()
    for conversation in shown:
        conversation.version += 1
        conversation.save(update_fields=["version"])
