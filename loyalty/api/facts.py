"""Purchases, refunds and other facts, reported by tills, shops and mini programs; rules say what they give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.response import Response

from accounts.rest.pagination import PAGE_PARAMETERS, Keyset, page_body
from accounts.rest.permissions import needs_scope
from accounts.rest.schema import SYSTEM, endpoint, problems
from accounts.rest.serializers import CodeField, MomentParameter, StrictSerializer, TextField, read_body, read_query
from accounts.rest.views import BrandAPIView
from common import clock
from common.divisions import Why, locate, name_of
from loyalty import services
from loyalty.api.shapes import ENTRY_EXAMPLE, EntryShape, PointsField, entries, member_or_404
from loyalty.earn_rules import Line
from loyalty.errors import FactRefused
from loyalty.models import FactKind
from loyalty.places import ADDRESS, STORE, bought_where, place_of
from loyalty.selectors.facts import facts_of
from loyalty.services import Report
from loyalty.services.facts import MOST_FEN
from members.models import Member
from members.opened import answers
from stores.models import Store

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rest_framework.request import Request

    from common.divisions import Located

MOST_LINES = 200


class LineBody(StrictSerializer):
    """A line of a purchase or refund."""

    sku = TextField(max_length=64, help_text="Product code.")
    category = TextField(max_length=64, required=False, default="", help_text="Category code.")
    amount = PointsField(min_value=0, max_value=MOST_FEN, help_text="Paid for all of it, in fen.")


class ShipTo(StrictSerializer):
    """Where a purchase was sent to, in one field or several; only province, city and district of it are kept."""

    province = TextField(max_length=40, required=False, default="", help_text="Province, if it is apart.")
    city = TextField(max_length=40, required=False, default="", help_text="City, if it is apart.")
    district = TextField(max_length=40, required=False, default="", help_text="District, if it is apart.")
    address = TextField(
        max_length=300,
        required=False,
        default="",
        help_text="The address in Chinese, or the rest of it. Read and dropped: never kept, never logged.",
    )


class FactBody(StrictSerializer):
    """What happened."""

    system = CodeField(max_length=20, help_text="The system that counts the numbers, such as `pos`.")
    kind = serializers.ChoiceField(choices=FactKind.choices, help_text="What happened.")
    number = CodeField(max_length=64, help_text="Its number there: the same number is the same fact.")
    member_no = CodeField(max_length=20, required=False, help_text="Who; left out for refunds.")
    amount = PointsField(min_value=0, max_value=MOST_FEN, required=False, default=0, help_text="Paid, in fen.")
    lines = serializers.ListField(
        child=LineBody(), max_length=MOST_LINES, required=False, default=list, help_text="What was bought."
    )
    name = TextField(max_length=64, required=False, default="", help_text="The name of an event.")
    store = CodeField(max_length=20, required=False, help_text="Store code.")
    ship_to = ShipTo(
        required=False, help_text="A purchase: where it was sent to. Without it, it is where its store is."
    )
    refers = CodeField(max_length=64, required=False, default="", help_text="A refund: the number of the purchase.")
    happened_at = MomentParameter(help_text="When, with its time zone.")


class DivisionShape(serializers.Serializer[Any]):
    """A province, city or district."""

    code = serializers.CharField(help_text="Six digits of GB/T 2260.")
    name = serializers.CharField(help_text="Its Chinese name.")


class PlaceShape(serializers.Serializer[Any]):
    """Where something was bought."""

    province = DivisionShape(help_text="Province; a municipality is a province and a city.")
    city = DivisionShape(allow_null=True, help_text="City; null when only the province is known.")
    district = DivisionShape(allow_null=True, help_text="District; null when it was not said.")
    source = serializers.ChoiceField(  # type: ignore[assignment] # a field of the answer, not of the class
        choices=[ADDRESS, STORE], help_text="`ADDRESS`: where it was sent to. `STORE`: where its store is."
    )


_UNPLACED = [Why.ABROAD, Why.AMBIGUOUS, Why.UNKNOWN]
_PLACE_EXAMPLE: dict[str, Any] = {
    "province": {"code": "330000", "name": "浙江省"},
    "city": {"code": "330100", "name": "杭州市"},
    "district": {"code": "330106", "name": "西湖区"},
    "source": "ADDRESS",
}


def _place_body(codes: Any, source: str) -> dict[str, Any]:
    levels = [{"code": code, "name": name_of(code)} for code in codes]
    province, city, district = (*levels, None, None)[:3]
    return {"province": province, "city": city, "district": district, "source": source}


def _place_of(fact: Any) -> dict[str, Any] | None:
    found = place_of(fact)
    return _place_body(found.codes, found.source) if found.codes else None


class FactShape(serializers.Serializer[Any]):
    """A fact and the entries of the ledger it led to."""

    system = serializers.CharField(help_text="Who counts the numbers.")
    kind = serializers.ChoiceField(choices=FactKind.choices, help_text="What happened.")
    number = serializers.CharField(help_text="Its number.")
    received_at = serializers.DateTimeField(help_text="When it was reported first.")
    entries = EntryShape(many=True, help_text="What it led to; empty when no rule applies.")
    place = PlaceShape(allow_null=True, help_text="A purchase: where it counts; null when nobody can say.")
    place_unread = serializers.ChoiceField(
        choices=_UNPLACED,
        allow_null=True,
        help_text="Why the address says no place: abroad, it could be in two places, or none in it is known.",
    )
    member_erased = serializers.BooleanField(
        help_text="A refund of somebody whose data was deleted before: it is kept and counts as sold less, no points "
        "move."
    )


class HeldLineShape(serializers.Serializer[Any]):
    """A line of a purchase or refund."""

    sku = serializers.CharField(help_text="Product code.")
    category = serializers.CharField(help_text="Category code.")
    amount = serializers.IntegerField(help_text="Paid for all of it, in fen.")


class HeldFactShape(serializers.Serializer[Any]):
    """A fact as it was reported."""

    system = serializers.CharField(help_text="Who counts the numbers.")
    kind = serializers.ChoiceField(choices=FactKind.choices, help_text="What happened.")
    number = serializers.CharField(help_text="Its number.")
    amount = serializers.IntegerField(help_text="Paid, or paid back, in fen.")
    lines = HeldLineShape(many=True, help_text="What was bought or sent back.")
    name = serializers.CharField(help_text="The name of an event.")
    store = serializers.CharField(allow_null=True, help_text="Store code.")
    place = PlaceShape(allow_null=True, help_text="A purchase: where it counts; null when nobody can say.")
    refers = serializers.CharField(allow_null=True, help_text="A refund: the number of the purchase.")
    refunded = serializers.IntegerField(help_text="A purchase: what was paid back of it so far, in fen.")
    refunds = serializers.ListField(child=serializers.CharField(), help_text="A purchase: the numbers of its refunds.")
    happened_at = serializers.DateTimeField(help_text="When it happened.")
    received_at = serializers.DateTimeField(help_text="When it was reported first.")


class FactsPage(serializers.Serializer[Any]):
    """A page of facts."""

    results = HeldFactShape(many=True, help_text="Newest report first.")
    next = serializers.CharField(allow_null=True, help_text="Cursor of the next page; null on the last.")


def _held(fact: Any) -> dict[str, Any]:
    return {
        "system": fact.system,
        "kind": fact.kind,
        "number": fact.number,
        "amount": fact.amount,
        "lines": fact.body.get("lines", []),
        "name": fact.body.get("name", ""),
        "store": fact.store.code if fact.store else None,
        "place": _place_of(fact),
        "refers": fact.refers.number if fact.refers else None,
        "refunded": fact.back or 0,
        "refunds": fact.refunds or [],
        "happened_at": fact.happened_at,
        "received_at": fact.received_at,
    }


class NoQuery(StrictSerializer):
    """No parameters."""


class MemberFacts(BrandAPIView):
    """`/api/v1/members/{member_no}/facts/`: what was reported of a member."""

    permission_classes = (needs_scope("points.read"),)
    keyset = Keyset("facts of a member")

    @endpoint(
        "list_member_facts",
        "List what a member bought, sent back and did",
        tag="points",
        auth=SYSTEM,
        parameters=PAGE_PARAMETERS,
        answer=FactsPage,
        example={
            "results": [
                {
                    "system": "pos",
                    "kind": "PURCHASE",
                    "number": "SO20261121-0042",
                    "amount": 89900,
                    "lines": [{"sku": "LY-1024", "category": "shirts", "amount": 89900}],
                    "name": "",
                    "store": "SH004",
                    "place": _PLACE_EXAMPLE,
                    "refers": None,
                    "refunded": 0,
                    "refunds": [],
                    "happened_at": "2026-11-21T05:45:00Z",
                    "received_at": "2026-11-21T05:45:10Z",
                }
            ],
            "next": None,
        },
        errors=problems(404, 422),
        description="Needs the scope `points.read`. What an import brought is among them, with or without points.",
    )
    def get(self, request: Request, member_no: str) -> Response:
        """Show a page."""
        member = member_or_404(member_no)
        read_query(NoQuery, request.query_params, paging=True)
        rows, cursor = self.keyset.page(facts_of(member.pk).order_by("-pk"), request.query_params)
        return Response(page_body([_held(row) for row in rows], cursor))


class BoughtThereShape(serializers.Serializer[Any]):
    """A city somebody bought in, and how much."""

    province = DivisionShape(help_text="Province; a municipality is a province and a city.")
    city = DivisionShape(allow_null=True, help_text="City; null when only the province is known.")
    orders = serializers.IntegerField(help_text="Purchases, without those that came back whole.")
    shipped = serializers.IntegerField(help_text="How many of them were sent there; the others were bought in a store.")
    amount = serializers.IntegerField(help_text="Paid for them, in fen, less what was paid back.")
    last_at = serializers.DateTimeField(help_text="The last of them.")


class MemberPlacesShape(serializers.Serializer[Any]):
    """Where somebody buys."""

    days = serializers.IntegerField(help_text="How many days were looked at.")
    results = BoughtThereShape(many=True, help_text="Where they buy most comes first: that is their shopping city.")
    unplaced = serializers.IntegerField(help_text="Purchases of which nobody can say where.")


class PlacesQuery(StrictSerializer):
    """How far back."""

    days = serializers.IntegerField(min_value=1, max_value=3650, required=False, default=365, help_text="Days back.")


class MemberPlaces(BrandAPIView):
    """`/api/v1/members/{member_no}/places/`: in which cities somebody buys."""

    permission_classes = (needs_scope("points.read"),)

    @endpoint(
        "list_member_places",
        "Say in which cities a member buys",
        tag="points",
        auth=SYSTEM,
        parameters=[PlacesQuery],
        answer=MemberPlacesShape,
        example={
            "days": 365,
            "results": [
                {key: _PLACE_EXAMPLE[key] for key in ("province", "city")}
                | {"orders": 3, "shipped": 2, "amount": 89900, "last_at": "2026-11-21T05:45:00Z"}
            ],
            "unplaced": 0,
        },
        errors=problems(404, 422),
        description="Needs the scope `points.read`. Purchases are where they were sent to, otherwise where their store "
        "is; what came back whole does not count.",
    )
    def get(self, request: Request, member_no: str) -> Response:
        """Give the cities."""
        member = member_or_404(member_no)
        days = read_query(PlacesQuery, request.query_params)["days"]
        found = bought_where(member.pk, at=clock.now(), days=days)
        rows = [
            {key: value for key, value in _place_body(each.codes, ADDRESS).items() if key in ("province", "city")}
            | {"orders": each.orders, "shipped": each.shipped, "amount": each.fen, "last_at": each.last_at}
            for each in found.places
        ]
        return Response({"days": days, "results": rows, "unplaced": found.unplaced})


class FactReport(BrandAPIView):
    """`/api/v1/facts/`: report a purchase, a refund or another fact."""

    permission_classes = (needs_scope("points.write"),)

    @endpoint(
        "report_fact",
        "Report a purchase, refund or other fact",
        tag="points",
        auth=SYSTEM,
        body=FactBody,
        body_example={
            "system": "pos",
            "kind": "PURCHASE",
            "number": "SO20261121-0042",
            "member_no": "4820175936",
            "amount": 89900,
            "lines": [{"sku": "LY-1024", "category": "shirts", "amount": 89900}],
            "store": "SH004",
            "ship_to": {"address": "浙江省杭州市西湖区文三路 1 号"},
            "happened_at": "2026-11-21T13:45:00+08:00",
        },
        answer=FactShape,
        example={
            "system": "pos",
            "kind": "PURCHASE",
            "number": "SO20261121-0042",
            "received_at": "2026-11-21T05:45:10Z",
            "entries": [ENTRY_EXAMPLE | {"kind": "EARN", "points": 899, "reason": "消费积分"}],
            "place": _PLACE_EXAMPLE,
            "place_unread": None,
            "member_erased": False,
        },
        status=201,
        errors=problems(
            409,
            422,
            s409={
                "operation_running": "The same number is under way; ask again in a second.",
                "refund_blocked": "The points to be taken back were spent, and the brand refuses that.",
            },
            s422={
                "invalid": "Some values cannot be used.",
                "fact_changed": "The number was reported before with other contents.",
                "fact_refused": "It cannot be right: the future, more refunded than paid, an unknown purchase.",
                "member_gone": "The person's data was deleted; only refunds are still kept.",
            },
        ),
        description=(
            "Needs the scope `points.write`. Repeat it until you are answered: the same system, kind and number is the "
            "same fact, and gives the same answer. Points the buyer spent on an order (burned or captured with its "
            "number) return in proportion when it is refunded; points it gave are taken back as if it had been "
            "smaller. A refund is kept even when the buyer's data was deleted meanwhile (`member_erased`): sales are "
            "less, no points move. Of `ship_to` only the codes of province, city and district are kept; an address "
            "that cannot be read (`place_unread`) does not keep a purchase from being recorded."
        ),
    )
    def post(self, request: Request) -> Response:
        """Keep the fact and do what follows."""
        given = read_body(FactBody, request.data)
        report = Report(
            system=given["system"],
            kind=given["kind"],
            number=given["number"],
            happened_at=given["happened_at"],
            member_id=_member_id(given.get("member_no")),
            amount=given["amount"],
            lines=tuple(Line(each["sku"], each["category"], each["amount"]) for each in given["lines"]),
            name=given["name"],
            store_id=_store_id(given.get("store")),
            refers=given["refers"],
            ship_to=_located(given.get("ship_to")),
        )
        outcome = services.record_fact(report=report, at=clock.now())
        return Response(
            {
                "system": outcome.fact.system,
                "kind": outcome.fact.kind,
                "number": outcome.fact.number,
                "received_at": outcome.fact.received_at,
                "entries": entries(outcome.journals),
                "place": _place_of(outcome.fact),
                "place_unread": outcome.fact.body.get("unplaced"),
                "member_erased": outcome.member_erased,
            },
            status=201,
        )


def _located(given: Mapping[str, str] | None) -> Located | None:
    if given is None:
        return None
    return locate(" ".join(given[key] for key in ("province", "city", "district", "address")))


def _member_id(member_no: str | None) -> int | None:
    if member_no is None:
        return None
    found = Member.objects.filter(member_no=member_no).values_list("pk", flat=True).first()
    if found is None:
        raise FactRefused(_("Nothing was recorded. This member is unknown."), field="member_no")
    return found


def _store_id(code: str | None) -> int | None:
    if code is None:
        return None
    found = Store.objects.filter(code=code).values_list("pk", flat=True).first()
    if found is None:
        raise FactRefused(_("Nothing was recorded. This store is unknown."), field="store")
    return found


answers("facts/", "purchases")
answers("places/", "purchases")
