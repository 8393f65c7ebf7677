"""Log-ins from mini programs: they begin, spend one-time phone codes, and end with everything kept for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Q

from accounts.sealing import blind_index
from accounts.tenancy import current_brand_id
from members.models import MiniProgramSession

if TYPE_CHECKING:
    import uuid
    from datetime import datetime, timedelta

    from common.secret import Secret
    from members.models import Member

SESSIONS_A_PERSON = 10


def open_session(
    *,
    member: Member,
    appid: str,
    openid: str,
    session_key: Secret,
    lifetime: timedelta,
    at: datetime,
) -> MiniProgramSession:
    """Begin a session. A person may have ten at once (phone, tablet, PC); the oldest ends for an eleventh."""
    purge_sessions(at=at)
    kept = MiniProgramSession.objects.filter(member=member).order_by("-created_at", "-pk")
    surplus = list(kept.values_list("pk", flat=True)[SESSIONS_A_PERSON - 1 :])
    if surplus:
        MiniProgramSession.objects.filter(pk__in=surplus).delete()
    return MiniProgramSession.objects.create(
        member=member,
        appid=appid,
        openid=openid,
        session_key=session_key,
        created_at=at,
        expires_at=at + lifetime,
    )


def end_session(*, session_id: uuid.UUID) -> None:
    """Sign out: the token and WeChat's session key stop being of use. Safe to repeat."""
    MiniProgramSession.objects.filter(public_id=session_id).delete()


def purge_sessions(*, at: datetime) -> int:
    """Delete sessions that are over. Gives how many."""
    gone, _ = MiniProgramSession.objects.filter(expires_at__lte=at).delete()
    return gone


def claim_phone_code(*, session_id: uuid.UUID, code: str) -> bool:
    """Take a one-time phone code for this session. Gives False when it has taken the same one before (a double tap)."""
    index = blind_index(current_brand_id(), "phone code", code)
    fresh = MiniProgramSession.objects.filter(~Q(phone_code=index) | Q(phone_code__isnull=True), public_id=session_id)
    return fresh.update(phone_code=index) == 1


def release_phone_code(*, session_id: uuid.UUID) -> None:
    """Let the code be tried again: it did not reach WeChat."""
    MiniProgramSession.objects.filter(public_id=session_id).update(phone_code=None)
