"""Who may call the API, as plain values; apps above say whom a session stands for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from common.registry import Registry

if TYPE_CHECKING:
    import uuid
    from datetime import datetime


@dataclass(frozen=True)
class MemberPrincipal:
    """A person in a mini-program, known by our own token."""

    brand_id: int
    session_id: uuid.UUID
    member_id: int
    appid: str
    openid: str
    is_authenticated: bool = True


@dataclass(frozen=True)
class SystemPrincipal:
    """One of the brand's other systems, known by an API key."""

    brand_id: int
    key_id: int
    label: str
    scopes: tuple[str, ...]
    last_used_at: datetime | None
    is_authenticated: bool = True


@dataclass(frozen=True)
class SessionClaim:
    """What a valid token says: a brand and a session. Whether the session still lives is looked up in the brand."""

    brand_id: int
    session_id: uuid.UUID
    is_authenticated: bool = False


class FindSession(Protocol):
    """Looks a session up in the brand in scope."""

    def __call__(self, claim: SessionClaim, at: datetime) -> MemberPrincipal | None:
        """Give whom a session stands for at a moment, or None when it has ended."""
        ...


# Sessions belong to an app above; it registers how to find one.
sessions: Registry[FindSession] = Registry("member sessions", purpose="whom a mini-program token stands for")
