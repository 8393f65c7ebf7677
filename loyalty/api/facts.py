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
from loyalty import services
from loyalty.api.shapes import ENTRY_EXAMPLE, EntryShape, PointsField, entries, member_or_404
from loyalty.earn_rules import Line
from loyalty.errors import FactRefused
from loyalty.models import FactKind
from loyalty.selectors.facts import facts_of
from loyalty.services import Report
from loyalty.services.facts import MOST_FEN
from members.models import Member
from stores.models import Store

if TYPE_CHECKING:
    from rest_framework.request import Request

MOST_LINES = 200


class LineBody(StrictSerializer):
    """A line of a purchase or refund."""

    sku = TextField(max_length=64, help_text="Product code.")
    category = TextField(max_length=64, required=False, default="", help_text="Category code.")
    amount = PointsField(min_value=0, max_value=MOST_FEN, help_text="Paid for all of it, in fen.")


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
    refers = CodeField(max_length=64, required=False, default="", help_text="A refund: the number of the purchase.")
    happened_at = MomentParameter(help_text="When, with its time zone.")


class FactShape(serializers.Serializer[Any]):
    """A fact and the entries of the ledger it led to."""

    system = serializers.CharField(help_text="Who counts the numbers.")
    kind = serializers.ChoiceField(choices=FactKind.choices, help_text="What happened.")
    number = serializers.CharField(help_text="Its number.")
    received_at = serializers.DateTimeField(help_text="When it was reported first.")
    entries = EntryShape(many=True, help_text="What it led to; empty when no rule applies.")
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
            "happened_at": "2026-11-21T13:45:00+08:00",
        },
        answer=FactShape,
        example={
            "system": "pos",
            "kind": "PURCHASE",
            "number": "SO20261121-0042",
            "received_at": "2026-11-21T05:45:10Z",
            "entries": [ENTRY_EXAMPLE | {"kind": "EARN", "points": 899, "reason": "消费积分"}],
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
            "less, no points move."
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
        )
        outcome = services.record_fact(report=report, at=clock.now())
        return Response(
            {
                "system": outcome.fact.system,
                "kind": outcome.fact.kind,
                "number": outcome.fact.number,
                "received_at": outcome.fact.received_at,
                "entries": entries(outcome.journals),
                "member_erased": outcome.member_erased,
            },
            status=201,
        )


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
