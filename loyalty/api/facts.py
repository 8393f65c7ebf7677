"""Purchases, refunds and other facts, reported by tills, shops and mini programs; rules say what they give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.response import Response

from accounts.rest.permissions import needs_scope
from accounts.rest.schema import SYSTEM, endpoint, problems
from accounts.rest.serializers import CodeField, MomentParameter, StrictSerializer, TextField, read_body
from accounts.rest.views import BrandAPIView
from common import clock
from loyalty import services
from loyalty.api.shapes import ENTRY_EXAMPLE, EntryShape, PointsField, entries
from loyalty.earn_rules import Line
from loyalty.errors import FactRefused
from loyalty.models import FactKind
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
