"""What answers about points look like, and how rows become them."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from django.http import Http404
from rest_framework import serializers

from accounts.rest.serializers import CodeField, StrictSerializer, TextField
from accounts.rest.views import known_text
from common import clock
from loyalty.models import JournalKind
from loyalty.selectors import points as selectors
from loyalty.selectors import tiers as tier_selectors
from loyalty.services.ledger import MOST_POINTS
from members.card import Section, sections
from members.models import Member

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from loyalty.models import Hold, Journal, Lot


class PointsOnCard(serializers.Serializer[Any]):
    """Points and tier on a member's card; `/me/points/` says more."""

    spendable = serializers.IntegerField(help_text="What a purchase can use now.")
    held = serializers.IntegerField(help_text="Frozen.")
    owed = serializers.IntegerField(help_text="Owed after refunds; what is earned next pays it.")
    ending = serializers.IntegerField(allow_null=True, help_text="What ends next within the days of warning.")
    ends_at = serializers.DateTimeField(allow_null=True, help_text="From when on that is gone.")
    tier = serializers.CharField(allow_null=True, help_text="Tier; null while the brand has none.")
    value = serializers.IntegerField(help_text="Qualifying value of the running window: net purchases in yuan.")
    next_tier = serializers.CharField(allow_null=True, help_text="Next tier; null on the highest.")
    missing = serializers.IntegerField(allow_null=True, help_text="What the next tier still needs.")


def points_on_card(member_id: int) -> dict[str, Any]:
    """Give a member's points and tier as plain values, in one query."""
    found = tier_selectors.card_of(member_id, at=clock.now())
    return {
        "spendable": found.balance.spendable,
        "held": found.balance.held,
        "owed": found.balance.owed,
        "ending": found.ending,
        "ends_at": found.ends_at,
        "tier": found.tier,
        "value": found.value,
        "next_tier": found.next_tier,
        "missing": found.missing,
    }


sections.register("points", Section("points", PointsOnCard, points_on_card))


class LotShape(serializers.Serializer[Any]):
    """Points that came at once and end at once."""

    points = serializers.IntegerField(help_text="What is left of it.")
    held = serializers.IntegerField(help_text="What of it is frozen.")
    earned_at = serializers.DateTimeField(help_text="When it came.")
    expires_at = serializers.DateTimeField(allow_null=True, help_text="From when on it is gone; null: never.")


class EndingShape(serializers.Serializer[Any]):
    """Points that end soon."""

    day = serializers.DateField(help_text="The last day on which they can be spent, in the brand's time zone.")
    points = serializers.IntegerField(help_text="How many.")


class TierShape(serializers.Serializer[Any]):
    """Where a member stands."""

    name = serializers.CharField(allow_null=True, help_text="Tier; null while the brand has none.")
    since = serializers.DateTimeField(allow_null=True, help_text="Since when; null before the first purchase.")
    evaluates_at = serializers.DateTimeField(allow_null=True, help_text="Next evaluation; null on the lowest tier.")
    in_grace = serializers.BooleanField(help_text="Whether the value was missed and the grace runs.")
    value = serializers.IntegerField(help_text="Qualifying value of the running window: net purchases in yuan.")
    next_tier = serializers.CharField(allow_null=True, help_text="Next tier; null on the highest.")
    missing = serializers.IntegerField(allow_null=True, help_text="What the next tier still needs.")


class BalanceShape(serializers.Serializer[Any]):
    """What a member has."""

    member_no = serializers.CharField(help_text="Member number.")
    spendable = serializers.IntegerField(help_text="What a purchase can use now.")
    available = serializers.IntegerField(help_text="In lots and not frozen.")
    held = serializers.IntegerField(help_text="Frozen.")
    owed = serializers.IntegerField(help_text="Owed after refunds; what is earned next pays it.")
    lots = LotShape(many=True, help_text="Soonest ending first, 100 at most.")
    endings = EndingShape(many=True, help_text="What ends within the brand's days of warning.")
    tier = TierShape()


class EntryShape(serializers.Serializer[Any]):
    """One entry of the ledger; it never changes."""

    id = serializers.UUIDField(help_text="Entry.")
    kind = serializers.ChoiceField(choices=JournalKind.choices, help_text="What happened.")
    points = serializers.IntegerField(help_text="How many points it is about.")
    available = serializers.IntegerField(help_text="Available right afterwards.")
    held = serializers.IntegerField(help_text="Frozen right afterwards.")
    owed = serializers.IntegerField(help_text="Owed right afterwards.")
    number = serializers.CharField(allow_blank=True, help_text="The caller's number, such as an order.")
    reason = serializers.CharField(allow_blank=True, help_text="Why; the name of a rule.")
    at = serializers.DateTimeField(help_text="When.")


class LedgerPage(serializers.Serializer[Any]):
    """A page of the ledger, newest first."""

    results = EntryShape(many=True)
    next = serializers.CharField(allow_null=True, help_text="Cursor of the next page; null on the last.")


class HoldShape(serializers.Serializer[Any]):
    """A freeze."""

    hold = serializers.UUIDField(help_text="Freeze, to capture or release it by.")
    until = serializers.DateTimeField(help_text="When it is released by itself.")
    entry = EntryShape()


class PointsField(serializers.IntegerField):
    """A JSON number without a fraction; texts and booleans are refused."""

    def __init__(self, **kwargs: Any) -> None:
        """Take 1 to the most that one entry can move."""
        super().__init__(**{"min_value": 1, "max_value": MOST_POINTS} | kwargs)

    def to_internal_value(self, data: Any) -> int:
        """Take a whole number."""
        if not isinstance(data, int) or isinstance(data, bool):
            self.fail("invalid")
        value: int = super().to_internal_value(data)
        return value


class OperationBody(StrictSerializer):
    """What every act on points needs."""

    key = CodeField(
        max_length=100, help_text="Your key for this act: sent again with the same body, it gives the first answer."
    )


class PointsBody(OperationBody):
    """So many points, for something."""

    points = PointsField(help_text="How many.")
    number = CodeField(
        max_length=64, required=False, default="", help_text="Your order number; a refund of it returns spent points."
    )
    reason = TextField(max_length=100, required=False, default="", help_text="Why, for the member's ledger.")


class PartBody(OperationBody):
    """All of it, or some points."""

    points = PointsField(required=False, help_text="How many; left out: all that is left.")
    reason = TextField(max_length=100, required=False, default="", help_text="Why, for the member's ledger.")


ENTRY_EXAMPLE = {
    "id": "0b8e6d1e-2f3c-4c58-9f9f-3a1d2b7f7f10",
    "kind": "BURN",
    "points": 300,
    "available": 1188,
    "held": 0,
    "owed": 0,
    "number": "SO20261121-0042",
    "reason": "积分抵现",
    "at": "2026-11-21T05:45:00Z",
}
BALANCE_EXAMPLE = {
    "member_no": "4820175936",
    "spendable": 1188,
    "available": 1188,
    "held": 0,
    "owed": 0,
    "lots": [
        {"points": 1188, "held": 0, "earned_at": "2026-11-21T05:45:00Z", "expires_at": "2027-12-31T16:00:00Z"},
    ],
    "endings": [{"day": "2026-12-31", "points": 200}],
    "tier": {
        "name": "知音",
        "since": "2026-06-01T02:00:00Z",
        "evaluates_at": "2027-06-01T16:00:00Z",
        "in_grace": False,
        "value": 8800,
        "next_tier": "座上宾",
        "missing": 21200,
    },
}


def member_or_404(member_no: str) -> Member:
    """Give a member by number; merged records lead to the one that stayed."""
    member = Member.objects.select_related("merged_into").filter(member_no=known_text(member_no)).first()
    while member is not None and member.merged_into is not None:
        member = member.merged_into
    if member is None:
        raise Http404
    return member


def public_id(text: str) -> uuid.UUID:
    """Read an id; what is none is looked up like one that does not exist."""
    try:
        return uuid.UUID(text)
    except ValueError:
        return uuid.UUID(int=0)


def balance(member: Member, *, at: datetime) -> dict[str, Any]:
    """Give what a member has."""
    found = selectors.balance_of(member.pk)
    view = tier_selectors.view_of(member.pk, at=at)
    standing = view.standing
    return {
        "member_no": member.member_no,
        "spendable": found.spendable,
        "available": found.available,
        "held": found.held,
        "owed": found.owed,
        "lots": [_lot(lot) for lot in selectors.lots_of(member.pk)],
        "endings": [
            {"day": each.day, "points": each.points}
            for each in selectors.endings_of(member.pk, at=at, days=selectors.policy().warn_days)
        ],
        "tier": {
            "name": view.tier.name if view.tier else None,
            "since": standing.since if standing else None,
            "evaluates_at": standing.evaluates_at if standing else None,
            "in_grace": bool(standing and standing.in_grace),
            "value": view.value,
            "next_tier": view.next_tier.name if view.next_tier else None,
            "missing": view.missing,
        },
    }


def _lot(lot: Lot) -> dict[str, Any]:
    return {"points": lot.remaining, "held": lot.held, "earned_at": lot.earned_at, "expires_at": lot.expires_at}


def entry(journal: Journal) -> dict[str, Any]:
    """Give an entry of the ledger: nothing but what the row says, so that a repeated call gets the same bytes."""
    return {
        "id": journal.public_id,
        "kind": journal.kind,
        "points": journal.points,
        "available": journal.available,
        "held": journal.held,
        "owed": journal.owed,
        "number": journal.number,
        "reason": journal.reason,
        "at": journal.at,
    }


def entries(journals: Sequence[Journal]) -> list[dict[str, Any]]:
    """Give entries in order."""
    return [entry(journal) for journal in journals]


def hold_body(hold: Hold) -> dict[str, Any]:
    """Give a freeze as it began."""
    return {"hold": hold.public_id, "until": hold.until, "entry": entry(hold.journal)}
