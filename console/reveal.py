"""Showing a masked value in full: for a role that may, with a reason, counted and written down."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _

from accounts.models import AuditEntry
from accounts.services import record_audit
from common.errors import Conflict, Invalid
from common.registry import Registry
from console import formats

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from django.db.models import Model

    from accounts.viewer import Viewer

PER_DAY = 50
SHORTEST_REASON = 2


watchers: Registry[Callable[..., object]] = Registry(
    "console.reveal_watchers", purpose="who is told that somebody looked at a value in full: callable(*, viewer, at)"
)


class ReasonMissing(Invalid):
    """Nobody sees personal data in full without saying why."""

    code = "reason_missing"

    def __init__(self) -> None:
        super().__init__(
            _("Not shown. A reason is needed."), hint=_("Say in a few words what you need it for."), field="reason"
        )


class RevealedTooOften(Conflict):
    """One person may look at 50 values a day."""

    code = "revealed_too_often"

    def __init__(self) -> None:
        super().__init__(
            _("Not shown. You have looked at %(limit)s values today.") % {"limit": PER_DAY},
            hint=_("Tomorrow it is possible again; for lists ask the brand owner for an export."),
        )


def reveal(viewer: Viewer, obj: Model, field: str, *, reason: str, at: datetime) -> str:
    """Give a sealed value in full and write down who saw it and why.

    Raises NotAllowed, ReasonMissing, RevealedTooOften.
    """
    viewer.require("members.reveal")
    reason = reason.strip()
    if len(reason) < SHORTEST_REASON:
        raise ReasonMissing
    midnight = formats.local(at).replace(hour=0, minute=0, second=0, microsecond=0)
    seen: Any = AuditEntry.objects.filter(
        action="reveal",
        actor_id=viewer.staff_id,
        at__gte=midnight,
        at__lt=midnight + timedelta(days=1),
    )
    if seen.count() >= PER_DAY:
        raise RevealedTooOften
    record_audit(action="reveal", obj=obj, changes={field: ["***", "***"]}, reason=reason)
    for _key, watch in watchers.items():
        watch(viewer=viewer, at=at)
    secret = getattr(obj, field)
    return secret.reveal() if secret else ""
