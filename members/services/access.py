"""Who looks at how many people's data: word to the brand when it is unusual."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import AuditEntry
from wechat_gateway import incidents

if TYPE_CHECKING:
    from datetime import datetime

    from accounts.viewer import Viewer

UNUSUAL: Final = "members.unusual_access"
TAKEN: Final = "download export"  # the entry of whoever takes a list of people out
WITHIN: Final = timedelta(hours=1)
#: How many values somebody reveals within the hour, and rows they export, before the brand is told.
MANY_REVEALED: Final = 20
MANY_EXPORTED: Final = 5_000

incidents.kinds.register(
    UNUSUAL,
    incidents.Kind(
        gettext_lazy("Somebody looks at unusually much personal data"),
        gettext_lazy("Nothing is blocked. The audit log says what was looked at: %(subject)s."),
        cause=gettext_lazy("More values were revealed, or more rows exported, within an hour than daily work needs."),
        action=gettext_lazy(
            "Ask the person what it is for. If it was not them, take the role away and reset the password."
        ),
    ),
)


def watch_access(*, viewer: Viewer, at: datetime) -> bool:
    """Open an incident when somebody has revealed or exported unusually much in an hour; gives whether it is new."""
    mine = AuditEntry.objects.filter(actor_id=viewer.staff_id, at__gt=at - WITHIN, action__in=("reveal", TAKEN))
    if viewer.staff_id is None:  # one of the brand's other systems: each by itself
        mine = mine.filter(actor_label=viewer.label)
    revealed = exported = 0
    for action, changes in mine.order_by("pk").values_list("action", "changes"):
        revealed += action == "reveal"
        exported += changes.get("rows", [0, 0])[1] if action == TAKEN else 0
    if revealed <= MANY_REVEALED and exported <= MANY_EXPORTED:
        return False
    return incidents.open_incident(
        kind=UNUSUAL,
        at=at,
        subject=viewer.label,
        detail=_("%(revealed)s revealed, %(exported)s rows exported within an hour")
        % {"revealed": revealed, "exported": exported},
    )
