"""Where somebody stands in the life cycle and other groupings that are followed, and how they came there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rest_framework import serializers
from rest_framework.response import Response

from accounts.rest.permissions import needs_scope
from accounts.rest.schema import SYSTEM, endpoint, problems
from accounts.rest.serializers import StrictSerializer, read_query
from accounts.rest.views import BrandAPIView
from members.api.people import person_or_404
from members.stands import moves_of, stages_of

if TYPE_CHECKING:
    from rest_framework.request import Request

MOST_MOVES: Final = 100


class StageStandsShape(serializers.Serializer[Any]):
    """Where somebody stands in one grouping."""

    grouping = serializers.CharField(help_text="Name of the grouping, such as the life cycle.")
    stage = serializers.CharField(allow_null=True, help_text="Name of the stage; null for none of them.")
    since = serializers.DateTimeField(help_text="Since when, as far as it was written down.")


class StageMoveShape(serializers.Serializer[Any]):
    """A move from one stage to another."""

    grouping = serializers.CharField(help_text="Name of the grouping.")
    before = serializers.CharField(allow_null=True, help_text="The stage before; null for none of them.")
    after = serializers.CharField(allow_null=True, help_text="The stage after; null for none of them.")
    is_first = serializers.BooleanField(help_text="Nothing is known from before.")
    at = serializers.DateTimeField(help_text="When it was seen; groupings are looked at once a day.")


class StagesShape(serializers.Serializer[Any]):
    """Where somebody stands, and how they came there."""

    results = StageStandsShape(many=True, help_text="One line for each grouping that is followed day by day.")
    moves = StageMoveShape(many=True, help_text="The newest 100 moves, newest first.")


class NoQuery(StrictSerializer):
    """No parameters."""


class PersonStages(BrandAPIView):
    """`/api/v1/members/{member_no}/stages/`: where somebody stands."""

    permission_classes = (needs_scope("members.read"),)

    @endpoint(
        "list_member_stages",
        "Say where a member stands in the life cycle, and every move",
        tag="members",
        auth=SYSTEM,
        answer=StagesShape,
        example={
            "results": [{"grouping": "生命周期", "stage": "品牌用户", "since": "2026-11-20T18:00:00Z"}],
            "moves": [
                {
                    "grouping": "生命周期",
                    "before": "行为参与",
                    "after": "品牌用户",
                    "is_first": False,
                    "at": "2026-11-20T18:00:00Z",
                }
            ],
        },
        errors=problems(404, 422),
        description="Needs the scope `members.read`.",
    )
    def get(self, request: Request, member_no: str) -> Response:
        """Give the stages."""
        read_query(NoQuery, request.query_params)
        member = person_or_404(member_no)
        return Response(
            {
                "results": [
                    {"grouping": each.grouping, "stage": each.stage or None, "since": each.since}
                    for each in stages_of(member.id)
                ],
                "moves": [
                    {
                        "grouping": each.grouping,
                        "before": each.before or None,
                        "after": each.after or None,
                        "is_first": each.is_first,
                        "at": each.at,
                    }
                    for each in moves_of(member.id, limit=MOST_MOVES)
                ],
            }
        )
