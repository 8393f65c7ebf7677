"""Finding people by what somebody has in hand, also by a full phone: for roles that may see one, written down."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.utils.translation import gettext as _

from accounts.models import AuditEntry, Brand
from accounts.services import record_audit
from console import formats
from members.errors import LookedUpTooOften, PhoneInvalid
from members.models import Identity, IdentityKind, Member
from members.selectors import find_members, visible_members
from members.services.access import note_opened
from members.services.identity import normalised_phone
from members.services.intake import phone_key

if TYPE_CHECKING:
    from datetime import datetime

    from accounts.viewer import Viewer

#: The entry of the audit log, and the page of the access log.
LOOKED_UP: Final = "look up phone"
PAGE: Final = "phone"
PER_DAY: Final = 50
_SHORTEST: Final = 8


def look_up_members(viewer: Viewer, text: str, *, at: datetime, limit: int = 8) -> list[Member]:
    """Find people as `find_members` does, and whoever has a full phone number that was typed.

    Only for a role that may see full numbers: nobody else learns whether a number is known. Each look-up is written
    down, also one that finds nobody. Raises `LookedUpTooOften`.
    """
    found = find_members(viewer, text, limit=limit)
    if not viewer.can("members.reveal") or (phone := _phone_of(text)) is None:
        return found
    midnight = formats.local(at).replace(hour=0, minute=0, second=0, microsecond=0)
    today: Any = AuditEntry.objects.filter(
        action=LOOKED_UP, actor_id=viewer.staff_id, at__gte=midnight, at__lt=midnight + timedelta(days=1)
    )
    if today.count() >= PER_DAY:
        raise LookedUpTooOften(PER_DAY)
    edges = Identity.objects.filter(
        kind=IdentityKind.PHONE, namespace="", value=phone_key(phone), ended_at__isnull=True
    ).values("member_id")
    person = visible_members(viewer).filter(pk__in=edges).first()
    record_audit(action=LOOKED_UP, obj=person or Brand(pk=viewer.brand_id), label="" if person else "--")
    if person is None:
        return found
    note_opened(member_id=person.pk, page=PAGE, at=at)
    return [person, *(row for row in found if row.pk != person.pk)][:limit]


@dataclass(frozen=True)
class LookedUp:
    """Whom a page may show, and why a full phone number found nobody, whoever has it."""

    members: list[Member]
    why: str = ""


def look_up_in_words(viewer: Viewer, text: str, *, at: datetime, limit: int = 8) -> LookedUp:
    """Find people as `look_up_members` does, for a page that says beside its field why a number was not searched."""
    try:
        found = look_up_members(viewer, text, at=at, limit=limit)
    except LookedUpTooOften as error:
        return LookedUp(find_members(viewer, text, limit=limit), f"{error.message} {error.hint}".strip())
    if viewer.can("members.reveal") or _phone_of(text) is None:
        return LookedUp(found)
    said = _("Your role may not search by full phone numbers. Search by name, member number or the last 4 digits.")
    return LookedUp(found, said)


def _phone_of(text: str) -> str | None:
    """Give a text as E.164 when it is a whole phone number."""
    if sum(letter.isdigit() for letter in text) < _SHORTEST:
        return None
    try:
        return normalised_phone(text)
    except PhoneInvalid:
        return None
