"""A coupon for a whole segment, for the brand's other systems."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.http import Http404
from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response

from accounts.rest.permissions import needs_scope
from accounts.rest.schema import SYSTEM, endpoint, problems
from accounts.rest.serializers import CodeField, StrictSerializer, TextField, WholeField, read_body, read_query
from accounts.rest.views import BrandAPIView
from common import clock
from coupons import services
from coupons.api.own import NothingBody
from coupons.api.shapes import COUPON_EXAMPLE, KeyBody, named, operation, template_or_422
from coupons.models import Outcome, Push, PushState
from coupons.selectors import pushes as selectors
from members.models import Segment
from members.segments import LARGEST_ID

if TYPE_CHECKING:
    from rest_framework.request import Request

    from coupons.selectors.pushes import Slice

_WRITE: Final = "coupons.write"
_EXAMPLE: Final = {
    "id": "0b6f6a5e-6ad9-4c43-9b05-2f0f5d3a9d11",
    "template": COUPON_EXAMPLE["template"],
    "segment": 12,
    "state": "RUNNING",
    "total": 1200,
    "done": 500,
    "given": 471,
    "left_out": [{"reason": "HAD_IT", "message": "已达到每人上限", "count": 29}],
}


class PushBody(KeyBody):
    """Which coupon, for whom, and why."""

    template = CodeField(max_length=36, help_text="What is given.")
    segment = WholeField(min_value=1, max_value=LARGEST_ID, help_text="To whom: number of a segment.")
    reason = TextField(max_length=100, min_length=2, help_text="Why, for the history of every coupon.")


class PlanQuery(StrictSerializer):
    """Which coupon, for whom."""

    template = CodeField(max_length=36, help_text="What would be given.")
    segment = serializers.IntegerField(min_value=1, max_value=LARGEST_ID, help_text="To whom: number of a segment.")


class SliceShape(serializers.Serializer[Any]):
    """People who were left out for the same reason."""

    reason = serializers.ChoiceField(choices=Outcome.choices, help_text="Stable code.")
    message = serializers.CharField(help_text="Why, in the caller's language.")
    count = serializers.IntegerField(help_text="How many.")


class PlanShape(serializers.Serializer[Any]):
    """What giving a coupon to a segment would do now."""

    people = serializers.IntegerField(help_text="In the segment: those who get it and those who are left out.")
    given = serializers.IntegerField(help_text="Who get it.")
    left = serializers.IntegerField(allow_null=True, help_text="Left of the coupon's budget; null: no limit.")
    left_out = SliceShape(many=True, help_text="Who are left out, by reason.")


class PushShape(serializers.Serializer[Any]):
    """A coupon for a segment, as far as it is."""

    id = serializers.UUIDField(help_text="Ask for its progress by this.")
    template = serializers.UUIDField(help_text="What is given.")
    segment = serializers.IntegerField(help_text="To whom.")
    state = serializers.ChoiceField(choices=PushState.choices, help_text="How far it is.")
    total = serializers.IntegerField(help_text="People; 0 until they are written down.")
    done = serializers.IntegerField(help_text="People it has come to.")
    given = serializers.IntegerField(help_text="Of them: who got it.")
    left_out = SliceShape(many=True, help_text="Of them: who did not, by reason.")


def _slices(found: tuple[Slice, ...]) -> list[dict[str, Any]]:
    return [{"reason": each.outcome, "message": each.label, "count": each.count} for each in found]


def _body(push: Push) -> dict[str, Any]:
    progress = selectors.progress_of(push)
    return {
        "id": push.public_id,
        "template": push.template.public_id,
        "segment": push.segment_id,
        "state": push.state,
        "total": progress.total,
        "done": progress.done,
        "given": progress.given,
        "left_out": _slices(progress.left_out),
    }


def _push_or_404(push_id: str) -> Push:
    push = Push.objects.select_related("template").filter(public_id=named(push_id)).first()
    if push is None:
        raise Http404
    return push


def _segment_or_422(number: int) -> Segment:
    found = Segment.objects.filter(pk=number).first()
    if found is None:
        raise ValidationError({"segment": [_("There is no such segment.")]})
    return found


class CouponPushes(BrandAPIView):
    """`/api/v1/coupons/pushes/`: give a coupon to everybody of a segment."""

    permission_classes = (needs_scope(_WRITE),)

    @endpoint(
        "push_coupon",
        "Give a coupon to a segment",
        tag="coupons",
        auth=SYSTEM,
        body=PushBody,
        body_example={
            "key": "spring-2026",
            "template": COUPON_EXAMPLE["template"],
            "segment": 12,
            "reason": "春季回馈",
        },
        answer=PushShape,
        example=_EXAMPLE | {"state": "WAITING", "total": 0, "done": 0, "given": 0, "left_out": []},
        status=202,
        errors=problems(
            409,
            422,
            s409={
                "template_closed": "The coupon is turned off, or its last day is over.",
                "segment_too_old": "The segment's people are older than its limit for sending.",
                "push_stopped": "This key's push was stopped.",
            },
            s422={"invalid": "Some values cannot be used.", "key_reused": "The key was used with another body."},
        ),
        description=(
            "Needs the scope `coupons.write`. Works in the background, a portion at a time; ask for its progress. "
            "The same key is the same push. Nobody gets more than one may have, and the budget is never exceeded; "
            "who is left out is counted by reason. No message is sent."
        ),
    )
    def post(self, request: Request) -> Response:
        """Begin."""
        given, at = read_body(PushBody, request.data), clock.now()
        push = services.create_push(
            operation=operation(request, given["key"]),
            template=template_or_422(given["template"]),
            segment=_segment_or_422(given["segment"]),
            reason=given["reason"],
            at=at,
        )
        return Response(_body(services.start_push(push_id=push.pk, at=at)), status=202)


class CouponPushPlan(BrandAPIView):
    """`/api/v1/coupons/pushes/plan/`: what giving a coupon to a segment would do."""

    permission_classes = (needs_scope(_WRITE),)

    @endpoint(
        "plan_coupon_push",
        "See what giving a coupon to a segment would do",
        tag="coupons",
        auth=SYSTEM,
        parameters=[PlanQuery],
        answer=PlanShape,
        example={"people": 1200, "given": 1171, "left": None, "left_out": _EXAMPLE["left_out"]},
        errors=problems(422, s422={"invalid": "Some values cannot be used.", "rule_invalid": "The rule is broken."}),
        description="Needs the scope `coupons.write`. Counts everybody; changes nothing.",
    )
    def get(self, request: Request) -> Response:
        """Count."""
        wanted = read_query(PlanQuery, request.query_params)
        plan = selectors.plan_of(
            template_or_422(wanted["template"]), _segment_or_422(wanted["segment"]), at=clock.now()
        )
        return Response(
            {"people": plan.people, "given": plan.given, "left": plan.left, "left_out": _slices(plan.left_out)}
        )


class CouponPush(BrandAPIView):
    """`/api/v1/coupons/pushes/{push_id}/`: how far it is."""

    permission_classes = (needs_scope(_WRITE),)

    @endpoint(
        "get_coupon_push",
        "See how far a coupon for a segment is",
        tag="coupons",
        auth=SYSTEM,
        answer=PushShape,
        example=_EXAMPLE,
        errors=problems(404),
        description="Needs the scope `coupons.write`.",
    )
    def get(self, request: Request, push_id: str) -> Response:
        """Show it."""
        return Response(_body(_push_or_404(push_id)))


class CouponPushStop(BrandAPIView):
    """`/api/v1/coupons/pushes/{push_id}/stop/`: give no more."""

    permission_classes = (needs_scope(_WRITE),)

    @endpoint(
        "stop_coupon_push",
        "Stop giving a coupon to a segment",
        tag="coupons",
        auth=SYSTEM,
        body=NothingBody,
        body_example={},
        answer=PushShape,
        example=_EXAMPLE | {"state": "STOPPED"},
        errors=problems(404, 422),
        description="Needs the scope `coupons.write`. Coupons that were given stay; stopping again changes nothing.",
    )
    def post(self, request: Request, push_id: str) -> Response:
        """Stop it."""
        push = _push_or_404(push_id)
        read_body(NothingBody, request.data)
        return Response(_body(services.stop_push(push_id=push.pk, at=clock.now())))
