"""What the home page says about WeChat: open incidents, pushes that need people, the first step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from django.db.models import Count, Q
from django.urls import reverse
from django.utils.translation import gettext

from console.registry import Incident as Card
from console.registry import Step, Todo, home_cards
from wechat_gateway.models import InboundPush, Incident, OfficialAccount, PushState
from wechat_gateway.on_screen import cause_shown, title_of
from wechat_gateway.selectors import open_incidents

if TYPE_CHECKING:
    from accounts.viewer import Viewer

MOST_CARDS: Final = 5


@home_cards.add("wechat_gateway.state")
def state_of_wechat(viewer: Viewer) -> list[Card | Todo | Step] | None:
    """Name accounts whose calls are parked, pushes that need people, and the first-day step."""
    cards: list[Card | Todo | Step] = []
    if viewer.can("incidents.view"):
        accounts = list(OfficialAccount.objects.order_by("pk"))
        cards += [_incident_card(row, accounts) for row in open_incidents()[:MOST_CARDS]]
        may_open = viewer.can("accounts.view")
        cards += [_disconnected_card(row, may_open=may_open) for row in accounts if not row.is_active]
        if viewer.can("accounts.edit"):
            cards.append(
                Step(
                    gettext("Connect the service account"),
                    gettext("Copy address, token and key between WeChat and here."),
                    bool(accounts),
                    reverse("admin:wechat_gateway_officialaccount_add"),
                    gettext("Connect"),
                    10,
                ),
            )
    if viewer.can("quarantine.view"):
        cards += _pushes_that_wait()
    return cards


def _incident_card(row: Incident, accounts: Iterable[OfficialAccount]) -> Card:
    name = next((account.name for account in accounts if account.appid == row.appid), row.appid)
    return Card(
        title_of(row, name),
        cause_shown(row),
        reverse("admin:wechat_gateway_incident_change", args=[row.pk]),
        gettext("See and fix"),
        since=row.opened_at,
        order=5,
    )


def _disconnected_card(row: OfficialAccount, *, may_open: bool) -> Card:
    link = reverse("admin:wechat_gateway_officialaccount_change", args=[row.pk]) if may_open else reverse("admin:index")
    return Card(
        gettext("“%(name)s” cannot talk to WeChat.") % {"name": row.name},
        gettext("It is disconnected: nothing is received and nothing sent."),
        link,
        gettext("See and fix") if may_open else gettext("Reload"),
        order=10,
    )


def _pushes_that_wait() -> list[Card | Todo | Step]:
    counts = InboundPush.objects.filter(state__in=(PushState.QUARANTINED, PushState.FAILED)).aggregate(
        unreadable=Count("pk", filter=Q(state=PushState.QUARANTINED)),
        failed=Count("pk", filter=Q(state=PushState.FAILED)),
    )
    link = reverse("admin:wechat_gateway_inboundpush_changelist")
    return [
        Todo(
            gettext("Pushes whose handling failed"),
            counts["failed"],
            f"{link}?state=FAILED",
            gettext("See why"),
            gettext("They are kept; handling them again repeats nothing."),
            15,
        ),
        Todo(
            gettext("Pushes that cannot be read"),
            counts["unreadable"],
            f"{link}?state=QUARANTINED",
            gettext("See why"),
            gettext("They are authentic and kept."),
            20,
        ),
    ]
