"""What the brand's other systems ask and report about invitations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.http import Http404
from rest_framework import serializers
from rest_framework.response import Response

from accounts.rest.permissions import needs_scope
from accounts.rest.schema import SYSTEM, endpoint, problems
from accounts.rest.serializers import CodeField, StrictSerializer, read_body, read_query
from accounts.rest.views import BrandAPIView, known_text
from common import clock
from members.models import Member
from referrals import services
from referrals.models import Programme, SignKind
from referrals.selectors import Figures, figures

if TYPE_CHECKING:
    from rest_framework.request import Request

LONGEST_SIGN: Final = 128
_NAMES: Final = ("invited", "qualified", "paid", "held", "refused", "returned", "points", "coupons", "cost")


class InvitationReportShape(serializers.Serializer[Any]):
    """What a programme brought."""

    programme = serializers.CharField(help_text="Its name.")
    first_day = serializers.DateField(help_text="First day, in the brand's zone.")
    last_day = serializers.DateField(allow_null=True, help_text="Last day; null without end.")
    is_on = serializers.BooleanField(help_text="Whether it runs.")
    invited = serializers.IntegerField(help_text="People who came by an invitation.")
    qualified = serializers.IntegerField(help_text="Of them, who did what it asks.")
    paid = serializers.IntegerField(help_text="Invitations for which something was given and not taken back.")
    held = serializers.IntegerField(help_text="Invitations that somebody should look at.")
    refused = serializers.IntegerField(help_text="Invitations that count for nothing.")
    returned = serializers.IntegerField(help_text="Invitations whose reward was taken back.")
    points = serializers.IntegerField(help_text="Points given to both sides and not taken back.")
    coupons = serializers.IntegerField(help_text="Coupons given to both sides and not taken back.")
    cost = serializers.IntegerField(help_text="What those points cost, in fen.")


class InvitationReportList(serializers.Serializer[Any]):
    """All programmes, newest first."""

    results = InvitationReportShape(many=True)


class _NoQuery(StrictSerializer):
    """No parameters."""


class ReferralReport(BrandAPIView):
    """`/api/v1/referrals/`: what invitations brought and cost."""

    permission_classes = (needs_scope("points.read"),)

    @endpoint(
        "list_invitation_programmes",
        "Get what invitations brought",
        tag="points",
        auth=SYSTEM,
        answer=InvitationReportList,
        example={
            "results": [
                {
                    "programme": "带好友一起来",
                    "first_day": "2026-11-01",
                    "last_day": None,
                    "is_on": True,
                    "invited": 120,
                    "qualified": 64,
                    "paid": 51,
                    "held": 5,
                    "refused": 8,
                    "returned": 2,
                    "points": 10200,
                    "coupons": 51,
                    "cost": 10200,
                }
            ]
        },
        errors=problems(422),
        description="Needs the scope `points.read`.",
    )
    def get(self, request: Request) -> Response:
        """Show all of them."""
        read_query(_NoQuery, request.query_params)
        rows = list(Programme.objects.order_by("-first_day", "-pk")[:200])
        counted = figures(row.pk for row in rows)
        return Response(
            {
                "results": [
                    {
                        "programme": row.name,
                        "first_day": row.first_day,
                        "last_day": row.last_day,
                        "is_on": row.is_on,
                    }
                    | {name: getattr(counted.get(row.pk, Figures()), name) for name in _NAMES}
                    for row in rows
                ]
            }
        )


class SignBody(StrictSerializer):
    """Something a member was seen with."""

    kind = serializers.ChoiceField(choices=SignKind.choices, help_text="What it is.")
    value = CodeField(
        max_length=LONGEST_SIGN,
        help_text="An id of it, the same for the same thing: a payer's id, a hash of the address. Kept as a "
        "fingerprint only.",
    )


class MemberSigns(BrandAPIView):
    """`/api/v1/members/{member_no}/signs/`: report a means of payment, an address or a device."""

    permission_classes = (needs_scope("points.write"),)

    @endpoint(
        "report_sign",
        "Report what a member paid with, where it was sent, or the device",
        tag="points",
        auth=SYSTEM,
        body=SignBody,
        body_example={"kind": "PAYMENT", "value": "oPayer-5f0c2e9a"},
        status=204,
        errors=problems(
            404, 422, s422={"invalid": "Some values cannot be used.", "member_gone": "The person's data was deleted."}
        ),
        description=(
            "Needs the scope `points.write`. Invitations among people who share these are held until somebody has "
            "looked at them. Safe to repeat."
        ),
    )
    def post(self, request: Request, member_no: str) -> Response:
        """Keep its fingerprint."""
        given = read_body(SignBody, request.data)
        member = Member.objects.filter(member_no=known_text(member_no)).first()
        if member is None:
            raise Http404
        services.report_sign(member_id=member.pk, kind=given["kind"], value=given["value"], at=clock.now())
        return Response(status=204)
