"""Questions about the library: what there is, what WeChat has of it, how much room is left."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.db.models import Count, Q

from library.files import LIMITS
from library.models import CopyState, MediaCopy, MediaCount, MediaItem, MediaKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from django.db.models import QuerySet

MARGIN: Final = timedelta(hours=2)  # a copy about to expire is not used
OFFERED: Final = 200
_COUNTED: Final = {MediaKind.IMAGE: "images", MediaKind.VOICE: "voices", MediaKind.VIDEO: "videos"}


@dataclass(frozen=True)
class Room:
    """How many permanent files of a kind an account has, of how many; `at` is when WeChat said so, None before.

    `used` is the larger of what WeChat said (`said`) and our own count, in which files that wait are counted already.
    """

    account_id: int
    kind: str
    used: int
    most: int
    said: int
    at: datetime | None

    @property
    def left(self) -> int:
        """Give how many more fit."""
        return max(0, self.most - self.used)


def media(kind: str = MediaKind.IMAGE) -> QuerySet[MediaItem]:
    """Give the files of a kind that may be chosen, newest first."""
    return MediaItem.objects.filter(kind=kind, archived_at__isnull=True).order_by("-created_at", "-pk")


def media_choices(kind: str = MediaKind.IMAGE, *, chosen: int | None = None) -> list[tuple[int, str]]:
    """Give (id, name) of the newest files of a kind, for a form; one that is chosen already is always among them."""
    rows = list(media(kind).values_list("pk", "name")[:OFFERED])
    if chosen is not None and chosen not in {pk for pk, _name in rows}:
        rows += list(MediaItem.objects.filter(pk=chosen, kind=kind).values_list("pk", "name"))
    return rows


def media_named(item_id: int | None, kind: str = MediaKind.IMAGE) -> MediaItem | None:
    """Give a file of the brand in scope by our own id; None when there is none of that kind."""
    return MediaItem.objects.filter(pk=item_id, kind=kind).first() if item_id is not None else None


def living_media_ids(item_ids: Iterable[int], *, account_id: int, at: datetime) -> dict[int, str]:
    """Give the ids by which WeChat knows files of an account and which still work; nothing is uploaded.

    A permanent one is preferred. What is missing has to be uploaded first: `services.media_id_for`.
    """
    rows = MediaCopy.objects.filter(item_id__in=list(item_ids), account_id=account_id, state=CopyState.THERE)
    rows = rows.filter(Q(permanent=True) | Q(expires_at__gt=at + MARGIN)).order_by("permanent", "pk")
    return dict(rows.values_list("item_id", "media_id"))


def permanent_media_ids(item_ids: Iterable[int], *, account_id: int) -> dict[int, str]:
    """Give the ids that files of an account have for good; answers are compiled from these only."""
    rows = MediaCopy.objects.filter(
        item_id__in=list(item_ids), account_id=account_id, state=CopyState.THERE, permanent=True
    )
    return dict(rows.order_by("pk").values_list("item_id", "media_id"))


def accounts_with_files() -> list[tuple[int, int]]:
    """Give (brand, account) of all that keep files for good; with every brand in scope."""
    rows = MediaCopy.objects.filter(permanent=True, state=CopyState.THERE, account__is_active=True)
    return list(rows.order_by("brand_id", "account_id").values_list("brand_id", "account_id").distinct())


def copies_of(item_ids: Sequence[int]) -> dict[int, list[MediaCopy]]:
    """Give what accounts have of each of these files, permanent ones first."""
    found: dict[int, list[MediaCopy]] = {pk: [] for pk in item_ids}
    rows = MediaCopy.objects.filter(item_id__in=item_ids).select_related("account")
    for copy in rows.order_by("account__name", "account_id", "-permanent", "pk"):
        found[copy.item_id].append(copy)
    return found


def files_for_menus(account_id: int) -> list[MediaCopy]:
    """Give what an account has for good and a menu can send, newest file first (reference: service account 5.4)."""
    rows = MediaCopy.objects.filter(account_id=account_id, permanent=True, state=CopyState.THERE).exclude(media_id="")
    rows = rows.filter(item__kind__in=[MediaKind.IMAGE, MediaKind.VOICE, MediaKind.VIDEO])
    return list(rows.select_related("item").order_by("item__kind", "-item__created_at", "-item_id", "pk")[:OFFERED])


def rooms(account_ids: Sequence[int]) -> list[Room]:
    """Give the room of each account and kind, in two queries: WeChat's word, or our own count where that is more."""
    said = {row.account_id: row for row in MediaCount.objects.filter(account_id__in=account_ids)}
    rows = MediaCopy.objects.filter(
        account_id__in=account_ids, permanent=True, state__in=[CopyState.WAITING, CopyState.THERE, CopyState.LEAVING]
    )
    counted = rows.order_by().values("account_id", "item__kind").annotate(files=Count("pk"))
    own = {(row["account_id"], row["item__kind"]): row["files"] for row in counted}
    found = []
    for account_id in account_ids:
        count = said.get(account_id)
        for kind in MediaKind:
            theirs = getattr(count, _COUNTED[kind], 0) if count and kind in _COUNTED else 0
            used = max(theirs, own.get((account_id, kind), 0))
            found.append(Room(account_id, kind, used, LIMITS[kind].permanent, theirs, count.at if count else None))
    return found


def room_of(account_id: int, kind: str) -> Room:
    """Give the room of one kind at an account."""
    return next(room for room in rooms([account_id]) if room.kind == kind)


def brands_with_due_copies(*, at: datetime) -> list[int]:
    """Give the brands whose copies wait to be uploaded or taken away; with every brand in scope."""
    rows = MediaCopy.objects.filter(due_at__lte=at).order_by("brand_id")
    return list(rows.values_list("brand_id", flat=True).distinct())


def due_copies(*, at: datetime) -> list[int]:
    """Give the copies that wait to be uploaded or taken away."""
    return list(MediaCopy.objects.filter(due_at__lte=at).order_by("due_at", "pk").values_list("pk", flat=True)[:100])
