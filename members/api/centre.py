"""The member centre in one call: the card, and whatever else its first screen needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rest_framework import serializers
from rest_framework.response import Response

from accounts.rest.schema import MEMBER, endpoint
from common import clock
from members import selectors
from members.api.consents import CONSENTS_EXAMPLE, Consents, consent_lines
from members.api.me import MemberView, card
from members.api.preferences import PREFERENCES_EXAMPLE, PreferenceState, preference_body
from members.api.requests import REQUEST_EXAMPLE, RequestLine, line
from members.api.shapes import CARD_EXAMPLE, Card
from members.card import Part, centre_parts
from members.models import RequestState

if TYPE_CHECKING:
    from datetime import datetime

    from rest_framework.request import Request

_BASE: Final = "/api/v1/me/"
# Where each line of the settings leads: the same calls a front end would make by itself.
_SETTINGS: Final = ("profile", "consents", "preferences", "explanations", "requests", "code")
_SHOWN: Final = 3


class Settings(serializers.Serializer[Any]):
    """Where everything about oneself is changed."""

    def get_fields(self) -> dict[str, Any]:
        """Give one address for each."""
        return {name: serializers.CharField(help_text="Path of the call.") for name in _SETTINGS}


class Privacy(serializers.Serializer[Any]):
    """What somebody asked about their data, and where to ask."""

    open = serializers.IntegerField(help_text="Requests that wait for an answer.")
    requests = RequestLine(many=True, help_text=f"The newest {_SHOWN}.")
    settings = Settings()


_SETTINGS_EXAMPLE: Final = {name: f"{_BASE}{name}/" for name in _SETTINGS}


def own_settings(member_id: int, at: datetime) -> dict[str, Any]:
    """Give consents, choices and requests: six queries."""
    asked = selectors.requests_of(member_id)
    return {
        "consents": {"results": consent_lines(member_id, at=at)},
        "preferences": preference_body(member_id),
        "privacy": {
            "open": sum(row.state == RequestState.OPEN for row in asked),
            "requests": [line(row) for row in asked[:_SHOWN]],
            "settings": _SETTINGS_EXAMPLE,
        },
    }


centre_parts.register(
    "members.settings",
    Part(
        {"consents": Consents, "preferences": PreferenceState, "privacy": Privacy},
        own_settings,
    ),
)


class Centre(Card):
    """Everything the first screen of a member centre shows."""

    as_of = serializers.DateTimeField(help_text="The moment of every figure here.")

    def get_fields(self) -> dict[str, Any]:
        """Add what the parts show; they know more of some things than the card."""
        declared = super().get_fields()
        for _key, part in centre_parts.items():
            declared |= {name: shape() for name, shape in part.shapes.items()}
        return declared


_EXAMPLE: Final = {
    **CARD_EXAMPLE,
    "as_of": "2026-11-21T05:45:00Z",
    "points": {
        "spendable": 1280,
        "available": 1280,
        "held": 20,
        "owed": 0,
        "endings": [{"at": "2026-12-31T16:00:00Z", "points": 300}],
    },
    "tier": {
        "name": "知音",
        "since": "2026-06-01T02:00:00Z",
        "evaluates_at": "2027-06-01T16:00:00Z",
        "in_grace": False,
        "value": 8800,
        "threshold": 8000,
        "next_tier": "座上宾",
        "next_threshold": 30000,
        "missing": 21200,
        "percent": 3,
        "benefits": [{"kind": "PRICE", "value": 5, "text": "95 折"}],
    },
    "coupons": {"usable": 1, "coming": 0, "held": 0, "first": []},
    "orders": {
        "results": [
            {
                "number": "SO20261121-0042",
                "at": "2026-11-21T05:45:00Z",
                "amount": 89900,
                "refunded": 10000,
                "store": {"code": "SH004", "name": "上海静安店"},
            },
        ],
    },
    "consents": CONSENTS_EXAMPLE,
    "preferences": PREFERENCES_EXAMPLE,
    "privacy": {"open": 1, "requests": [REQUEST_EXAMPLE], "settings": _SETTINGS_EXAMPLE},
}


def centre(member_id: int, *, at: datetime) -> dict[str, Any]:
    """Give the member centre: as many queries for somebody with a thousand rows as for somebody with one."""
    said = {name for _key, part in centre_parts.items() for name in part.shapes}
    values = card(member_id, without=said) | {"as_of": at}
    for _key, part in centre_parts.items():
        values |= part.load(member_id, at)
    return values


class OwnCentre(MemberView):
    """`/api/v1/me/centre/`: the member centre."""

    @endpoint(
        "get_member_centre",
        "Get everything a member centre shows",
        tag="me",
        auth=MEMBER,
        answer=Centre,
        example=_EXAMPLE,
        description=(
            "One call for the first screen: the card with tier and progress, points and what ends soonest, coupons, "
            "the newest orders, guide, consents, choices and requests. Every figure is read from its ledger. "
            "`/me/` is the smaller answer for screens that need the card alone."
        ),
    )
    def get(self, request: Request) -> Response:
        """Show it."""
        return Response(centre(self.caller.member_id, at=clock.now()))
