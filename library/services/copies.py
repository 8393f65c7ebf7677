"""What WeChat has of the library: three-day copies made afresh before use, permanent ones within the quota."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.db.models import Q

from accounts.services import record_audit
from accounts.tasks_base import ring
from accounts.tenancy import brand_scope
from common.failpoints import point
from library import files, tasks
from library.errors import LibraryFull, MediaMissing, MediaUsed
from library.models import CopyState, MediaCopy, MediaCount, MediaItem, MediaKind
from library.selectors import MARGIN, living_media_ids, room_of
from library.uses import media_listeners, uses_of
from wechat_gateway import calls
from wechat_gateway.answers import Answer, Outcome
from wechat_gateway.errcodes import UNKNOWN_MEDIA, is_unknown_media
from wechat_gateway.models import OfficialAccount

if TYPE_CHECKING:
    from datetime import datetime

LIVES: Final = timedelta(days=3)  # reference: service account 5.12
TRIES: Final = 5
_PAGE: Final = 20  # reference: service account 5.12
_MOST_PAGES: Final = 25  # the newest 500: what a try of ours left is among them
_MOST_COMPARED: Final = 100  # pages of a kind that are looked through for what is gone: 2,000 files
_LISTED: Final = (MediaKind.IMAGE, MediaKind.VOICE, MediaKind.VIDEO)  # kinds that WeChat lists (5.12)
_SETTLES: Final = timedelta(hours=1)  # a permanent file that is unknown so soon after its upload is not uploaded again
_OURS: Final = frozenset({"FULL", "FILE_GONE"})


def media_id_for(*, brand_id: int, item_id: int, account: OfficialAccount, at: datetime) -> str | Answer:
    """Give WeChat's id of a file: the permanent one, or a three-day copy, made afresh if it is about to expire.

    Gives the answer of the upload when there was none. Opens its own scopes: the upload happens outside any.
    """
    with brand_scope(brand_id):
        item = MediaItem.objects.filter(pk=item_id).first()
        known = living_media_ids([item_id], account_id=account.pk, at=at).get(item_id)
    if known:
        return known
    body = _body(item)
    if item is None or body is None:
        return Answer(Outcome.NOT_SENT, cause="FILE_GONE")
    said = calls.upload_media(
        account, item.kind.lower(), body, file_name=_file_name(item), content_type=item.content_type, at=at
    )
    name = "thumb_media_id" if item.kind == MediaKind.THUMB else "media_id"
    media_id = str(said.data.get(name, "")) if said.ok else ""
    if not media_id:
        return Answer(Outcome.NOT_SENT, said.reaction, said.code, said.cause or "UPLOAD")
    with brand_scope(brand_id):
        MediaCopy.objects.update_or_create(
            item=item, account=account, permanent=False, defaults={"media_id": media_id, "expires_at": at + LIVES}
        )
    return media_id


def keep_for_good(*, item_id: int, account_id: int, at: datetime) -> MediaCopy:
    """Let an account keep a file for good; a task uploads it. Asking twice is asking once.

    Raises `LibraryFull` before WeChat would refuse, `MediaMissing`.
    """
    item = MediaItem.objects.filter(pk=item_id, archived_at__isnull=True).first()
    # The account's row is the lock: two people asking for the last place get one.
    account = OfficialAccount.objects.select_for_update().filter(pk=account_id).first()
    if item is None or account is None:
        raise MediaMissing
    copy = MediaCopy.objects.filter(item=item, account=account, permanent=True).first()
    if copy is not None and copy.state != CopyState.REFUSED:
        return copy
    room = room_of(account.pk, item.kind)
    if not room.left:
        raise LibraryFull(account.name, str(MediaKind(item.kind).label), room.used, room.most)
    copy = copy or MediaCopy(item=item, account=account, permanent=True)
    copy.state, copy.due_at, copy.attempts, copy.code, copy.cause = CopyState.WAITING, at, 0, None, ""
    copy.save()
    record_audit(action="keep file for good", obj=item, changes={"account": [None, account.name]})
    ring(tasks.settle_copy, copy.brand_id, copy.pk)
    return copy


def take_away(*, copy_id: int, item_id: int, at: datetime) -> None:
    """Let an account forget a permanent file; a task does it. Raises `MediaMissing`, `MediaUsed`."""
    copy = MediaCopy.objects.select_for_update().filter(pk=copy_id, item_id=item_id, permanent=True).first()
    if copy is None:
        raise MediaMissing
    if copy.state not in (CopyState.THERE, CopyState.REFUSED):
        return  # it is on its way already
    uses = uses_of([copy.item_id])[copy.item_id]
    if uses:
        raise MediaUsed(", ".join(use.name for use in uses[:5]))
    item, account = MediaItem.objects.get(pk=copy.item_id), OfficialAccount.objects.get(pk=copy.account_id)
    record_audit(action="take file away", obj=item, changes={"account": [account.name, None]})
    if not copy.media_id:
        copy.delete()  # it never got there
        return
    copy.state, copy.due_at, copy.attempts, copy.code, copy.cause = CopyState.LEAVING, at, 0, None, ""
    copy.save()
    ring(tasks.settle_copy, copy.brand_id, copy.pk)


def settle_copy(*, brand_id: int, copy_id: int, at: datetime) -> None:
    """Do what a permanent copy waits for. Safe to run twice; whoever comes second finds nothing due."""
    with brand_scope(brand_id):
        copy = MediaCopy.objects.select_for_update().filter(pk=copy_id, due_at__lte=at).first()
        if copy is None:
            return
        copy.attempts += 1
        copy.due_at = at + timedelta(minutes=2**copy.attempts)
        ordered_before, copy.ordered_at = copy.ordered_at, copy.ordered_at or at
        copy.save(update_fields=["attempts", "due_at", "ordered_at"])
        item, account = MediaItem.objects.get(pk=copy.item_id), OfficialAccount.objects.get(pk=copy.account_id)
    if copy.state == CopyState.LEAVING:
        said = calls.delete_material(account, copy.media_id, at=at)
        point("library: taken away, not recorded")
        _record_leaving(copy, said)
    else:
        _upload(copy, item, account, ordered_before, at)
    count_media(brand_id=brand_id, account_id=account.pk, at=at)


def media_afresh(*, brand_id: int, account: OfficialAccount, media_id: str, at: datetime) -> str | Answer | None:
    """Give another id for a file whose id WeChat does not know (40007): its copy is dropped, and it is uploaded again.

    None when the id is of no file of ours. Opens its own scopes, as `media_id_for`, whose answers it gives.
    """
    with brand_scope(brand_id):
        item_id = lose_media(account_id=account.pk, media_id=media_id, at=at)
    return None if item_id is None else media_id_for(brand_id=brand_id, item_id=item_id, account=account, at=at)


def lose_media(*, account_id: int, media_id: str, at: datetime) -> int | None:
    """Note that WeChat has no file of this id, and give our own number of it; None when it was never ours.

    A three-day copy has ended by this; a permanent one is uploaded again, and answers do without it until then. One
    that was uploaded within the hour is not: what WeChat refuses at once it would refuse again.
    """
    if not media_id:
        return None
    row = (
        MediaCopy.objects.select_for_update()
        .filter(Q(media_id=media_id) | Q(former_id=media_id), account_id=account_id)
        .order_by("-permanent", "pk")
        .first()
    )
    if row is None:
        return None
    if row.media_id != media_id or row.state != CopyState.THERE:
        return row.item_id  # somebody has said so before
    row.former_id = media_id
    if not row.permanent:
        row.expires_at = at
        row.save(update_fields=["former_id", "expires_at"])
        return row.item_id
    again = row.ordered_at is None or row.ordered_at <= at - _SETTLES
    row.state, row.code = (CopyState.WAITING, None) if again else (CopyState.REFUSED, UNKNOWN_MEDIA)
    row.media_id, row.attempts, row.ordered_at, row.cause = "", 0, None, "GONE"
    row.due_at = at if again else None
    row.save()
    item, account = MediaItem.objects.get(pk=row.item_id), OfficialAccount.objects.get(pk=account_id)
    record_audit(action="file gone at WeChat", obj=item, changes={"account": [account.name, None]})
    _tell(row)
    if again:
        ring(tasks.settle_copy, row.brand_id, row.pk)
    return row.item_id


def compare_media(*, brand_id: int, account_id: int, at: datetime) -> int:
    """Look through WeChat's own list for permanent files that somebody deleted there. Gives how many are gone.

    Nothing is concluded from a list that could not be read whole, or that changed while it was read.
    """
    with brand_scope(brand_id):
        account = OfficialAccount.objects.filter(pk=account_id).first()
        rows = MediaCopy.objects.filter(account_id=account_id, permanent=True, state=CopyState.THERE)
        ours = list(rows.exclude(media_id="").order_by("pk").values_list("item__kind", "media_id"))
    gone = 0
    for kind in _LISTED if account is not None else ():
        wanted = {media_id for each, media_id in ours if each == kind}
        for media_id in sorted(_missing(account, kind, wanted, at)):  # type: ignore[arg-type] # there is one
            with brand_scope(brand_id):
                gone += lose_media(account_id=account_id, media_id=media_id, at=at) is not None
    return gone


def _missing(account: OfficialAccount, kind: str, wanted: set[str], at: datetime) -> set[str]:
    wanted, total = set(wanted), None
    for page in range(_MOST_COMPARED if wanted else 0):
        said = calls.list_material(account, kind.lower(), offset=page * _PAGE, count=_PAGE, at=at)
        counted = int(said.data["total_count"]) if said.ok and "total_count" in said.data else None
        if counted is None or total not in (None, counted):
            return set()
        total = counted
        wanted -= {str(row.get("media_id")) for row in said.data.get("item") or [] if isinstance(row, dict)}
        if not wanted or (page + 1) * _PAGE >= total:
            return wanted
    return set()


def _tell(copy: MediaCopy) -> None:
    for _key, listener in media_listeners.items():
        listener(account_id=copy.account_id, item_id=copy.item_id)


def count_media(*, brand_id: int, account_id: int, at: datetime) -> None:
    """Keep WeChat's own count of an account's permanent files; without an answer the last one stays."""
    with brand_scope(brand_id):
        account = OfficialAccount.objects.filter(pk=account_id).first()
    if account is None:
        return
    said = calls.count_material(account, at=at)
    if not said.ok:
        return
    counts = {
        field: max(0, int(said.data.get(name) or 0))
        for field, name in (("images", "image_count"), ("voices", "voice_count"), ("videos", "video_count"))
    }
    with brand_scope(brand_id):
        MediaCount.objects.update_or_create(account=account, defaults={**counts, "at": at})


def _upload(
    copy: MediaCopy, item: MediaItem, account: OfficialAccount, ordered_before: datetime | None, at: datetime
) -> None:
    if ordered_before is not None:  # an earlier try may have left it there
        known = _already_there(copy, item, account, ordered_before, at)
        if known is None:
            return  # asked again when it is due
        if known:
            _record_upload(copy, Answer(Outcome.ACCEPTED), known)
            return
    count_media(brand_id=copy.brand_id, account_id=account.pk, at=at)  # others fill the account, too
    with brand_scope(copy.brand_id):
        room = room_of(account.pk, item.kind)
    body = _body(item)
    if room.said >= room.most or room.used > room.most:
        said = Answer(Outcome.REFUSED, cause="FULL")
    elif body is None:
        said = Answer(Outcome.REFUSED, cause="FILE_GONE")
    else:
        said = calls.add_material(
            account,
            item.kind.lower(),
            body,
            file_name=_order_name(copy, item),
            content_type=item.content_type,
            title=item.name,
            introduction=item.description,
            at=at,
        )
        point("library: kept, not recorded")
    media_id = str(said.data.get("media_id", "")) if said.ok else ""
    unsettled = said.outcome in (Outcome.NOT_SENT, Outcome.UNKNOWN) and said.cause not in _OURS
    if not media_id and unsettled and copy.attempts < TRIES:
        return  # again when it is due; what WeChat has by then is found in its list
    _record_upload(copy, said, media_id)


def _record_upload(copy: MediaCopy, said: Answer, media_id: str) -> None:
    with brand_scope(copy.brand_id):
        row = MediaCopy.objects.select_for_update().filter(pk=copy.pk, state=CopyState.WAITING).first()
        if row is None:
            return
        row.state = CopyState.THERE if media_id else CopyState.REFUSED
        row.media_id, row.due_at, row.code, row.cause = media_id, None, said.code, said.cause[:40]
        row.save()
        if media_id:
            _tell(row)


def _already_there(
    copy: MediaCopy, item: MediaItem, account: OfficialAccount, ordered_at: datetime, at: datetime
) -> str | None:
    """Look for what an earlier try may have uploaded: its media id, '' when WeChat has none, None without an answer.

    The name of an order is its own; of a video WeChat may show the title instead, which must be younger than the order.
    """
    wanted, since = _order_name(copy, item), ordered_at.timestamp()
    for page in range(_MOST_PAGES):
        said = calls.list_material(account, item.kind.lower(), offset=page * _PAGE, count=_PAGE, at=at)
        if not said.ok:
            return None
        found = [row for row in said.data.get("item") or [] if isinstance(row, dict)]
        for row in found:
            is_ours = row.get("name") == wanted
            is_video = item.kind == MediaKind.VIDEO and row.get("name") == item.name
            if is_ours or (is_video and int(row.get("update_time") or 0) >= int(since)):
                return str(row.get("media_id", ""))
        if len(found) < _PAGE:
            break
    return ""


def _record_leaving(copy: MediaCopy, said: Answer) -> None:
    gone = said.ok or is_unknown_media(said.code)
    if not gone and said.outcome is not Outcome.REFUSED and copy.attempts < TRIES:
        return  # again when it is due
    with brand_scope(copy.brand_id):
        row = MediaCopy.objects.select_for_update().filter(pk=copy.pk, state=CopyState.LEAVING).first()
        if row is None:
            return
        if gone:
            row.delete()
            return
        row.state, row.due_at, row.code, row.cause = CopyState.THERE, None, said.code, said.cause[:40]
        row.save()


def _body(item: MediaItem | None) -> bytes | None:
    if item is None:
        return None
    try:
        return files.read(item.path)
    except FileNotFoundError:
        return None


def _file_name(item: MediaItem) -> str:
    return f"{item.pk}.{item.path.rpartition('.')[2]}"


def _order_name(copy: MediaCopy, item: MediaItem) -> str:
    """The name under which one order is uploaded: the same at every try, and nobody else's."""
    return f"zy-{copy.brand_id}-{copy.pk}-{item.sha256[:12]}.{item.path.rpartition('.')[2]}"


__all__ = [
    "MARGIN",
    "compare_media",
    "count_media",
    "keep_for_good",
    "lose_media",
    "media_afresh",
    "media_id_for",
    "settle_copy",
    "take_away",
]
