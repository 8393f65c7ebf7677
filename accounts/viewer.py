"""Who is looking: the signed-in person, their brand, role and data scope, for the length of one request."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from accounts.errors import NotAllowed
from accounts.roles import DataScope, Role, allows

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Viewer:
    """A person acting for a brand. `grant_id` leads to the stores of a store scope."""

    staff_id: int | None
    label: str
    brand_id: int
    role: str
    scope: str = DataScope.BRAND
    grant_id: int | None = None
    ip: str = ""
    request_id: str = ""
    via: str = "console"
    key_id: int | None = None  # of the API key, for one of the brand's other systems

    def can(self, capability: str) -> bool:
        """Say whether the role includes a capability."""
        return allows(self.role, capability)

    def require(self, capability: str) -> None:
        """Raise `NotAllowed` unless the role includes a capability."""
        if not self.can(capability):
            raise NotAllowed(str(Role(self.role).label) if self.role in Role.values else self.role)


_viewer: ContextVar[Viewer | None] = ContextVar("zhiyin_viewer", default=None)


def current_viewer() -> Viewer | None:
    """Give the person acting now, or None in a worker."""
    return _viewer.get()


@contextmanager
def viewing(viewer: Viewer) -> Iterator[Viewer]:
    """Let `viewer` act inside the block."""
    token = _viewer.set(viewer)
    try:
        yield viewer
    finally:
        _viewer.reset(token)
