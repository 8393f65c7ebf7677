"""What a campaign brought against the control group, for the brand's other systems."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.http import Http404
from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response

from accounts.rest.permissions import needs_scope
from accounts.rest.schema import SYSTEM, endpoint, problems
from accounts.rest.serializers import CodeField, StrictSerializer, WholeNumberParameter, YesNoParameter, read_query
from accounts.rest.views import BrandAPIView
from campaigns import lift, selectors
from campaigns.api.progress import as_uuid
from common import clock

if TYPE_CHECKING:
    from rest_framework.request import Request

    from welcomes.lift import Share

LONGEST_GOAL: Final = 60


class EffectQuery(StrictSerializer):
    """By what people are counted, and for how long."""

    goal = CodeField(
        required=False, max_length=LONGEST_GOAL, help_text="What people are counted by; without it what they bought."
    )
    days = WholeNumberParameter(
        required=False,
        min_value=1,
        max_value=lift.MOST_DAYS,
        help_text=f"Days from the launch on, 1 to {lift.MOST_DAYS}; without it {lift.DAYS}.",
    )
    everybody = YesNoParameter(required=False, help_text="`true` counts staff, test people and blocked ones as well.")


class GroupShape(serializers.Serializer[Any]):
    """One of the two groups."""

    people = serializers.IntegerField(help_text="How many people.")
    did_it = serializers.IntegerField(help_text="How many of them did it in the window.")


class LiftShape(serializers.Serializer[Any]):
    """The difference of the two shares."""

    difference = serializers.FloatField(
        help_text="Share of the treated less share of the control group, 0.025 is 2.5 %."
    )
    low = serializers.FloatField(help_text="Lower end of the 95 % interval.")
    high = serializers.FloatField(help_text="Upper end of the 95 % interval.")
    certain = serializers.BooleanField(help_text="Whether the interval leaves out nought.")


class EffectShape(serializers.Serializer[Any]):
    """What a campaign brought."""

    goal = serializers.CharField(help_text="What people were counted by.")
    days = serializers.IntegerField(help_text="Days from the launch on.")
    until = serializers.DateTimeField(
        allow_null=True,
        help_text="When the window ends; null (as the groups) without a comparison: no marketing, not launched, or "
        "nobody of the control group in its audience.",
    )
    is_over = serializers.BooleanField(help_text="Whether it has ended; before it, figures are so far.")
    treated = GroupShape(allow_null=True, help_text="Whom it was meant for, whether a message arrived or not.")
    control = GroupShape(allow_null=True, help_text="People of the control group in the same audience.")
    left_out = serializers.IntegerField(help_text="Staff, test people and blocked ones, in neither group.")
    lift = LiftShape(allow_null=True, help_text="Null while the groups are too small to say.")


class CampaignEffect(BrandAPIView):
    """`/api/v1/campaigns/{id}/effect/`: what a campaign brought."""

    permission_classes = (needs_scope("campaigns.read"),)

    @endpoint(
        "get_campaign_effect",
        "Get the effect of a campaign",
        tag="campaigns",
        auth=SYSTEM,
        parameters=[EffectQuery],
        answer=EffectShape,
        example={
            "goal": "loyalty.purchase",
            "days": 7,
            "until": "2026-11-28T05:00:00Z",
            "is_over": True,
            "treated": {"people": 190000, "did_it": 6650},
            "control": {"people": 10000, "did_it": 250},
            "left_out": 12,
            "lift": {"difference": 0.01, "low": 0.0068, "high": 0.0131, "certain": True},
        },
        errors=problems(404, 422),
        description=(
            "Needs the scope `campaigns.read`. Both groups are counted by whom the campaign was meant for; who had "
            "opted out is in neither, and whoever is flagged later leaves both."
        ),
    )
    def get(self, request: Request, campaign_id: str) -> Response:
        """Compare."""
        wanted = read_query(EffectQuery, request.query_params)
        campaign = selectors.campaigns().filter(public_id=as_uuid(campaign_id)).first()
        if campaign is None:
            raise Http404
        goals = [key for key, _label in lift.goals()]
        goal = wanted.get("goal", goals[0])
        if goal not in goals:
            raise ValidationError({"goal": [_("Choose one of: %(choices)s") % {"choices": ", ".join(goals)}]})
        days = wanted.get("days", lift.DAYS)
        found = lift.effect_of(campaign, goal=goal, days=days, at=clock.now(), everybody=wanted.get("everybody", False))
        said = None if found is None or found.is_too_small else found.lift
        return Response(
            {
                "goal": goal,
                "days": days,
                "until": found and found.until,
                "is_over": found is not None and found.is_over,
                "treated": found and _group(found.treated),
                "control": found and _group(found.control),
                "left_out": found.left_out if found else 0,
                "lift": said and {key: getattr(said, key) for key in ("difference", "low", "high", "certain")},
            }
        )


def _group(share: Share) -> dict[str, int]:
    return {"people": share.total, "did_it": share.count}
