"""What programs decided about a member, why, and how they get out of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework import serializers
from rest_framework.response import Response

from accounts.rest.schema import MEMBER, endpoint
from common import clock
from members import selectors, services
from members.api.me import MemberView

if TYPE_CHECKING:
    from rest_framework.request import Request


class DecisionLine(serializers.Serializer[Any]):
    """One decision."""

    what = serializers.CharField(help_text="What was decided, in the language asked for.")
    because = serializers.ListField(child=serializers.CharField(), help_text="Why, a sentence each.")
    at = serializers.DateTimeField(allow_null=True, help_text="When it was decided.")


class DecisionKind(serializers.Serializer[Any]):
    """One kind of decision; kinds without any decision are there, too."""

    code = serializers.CharField(help_text="Such as `loyalty.tier`.")
    name = serializers.CharField(help_text="The kind in words.")
    refusing = serializers.CharField(help_text="How to get out of it, or who looks at it again.")
    ends_with_switch = serializers.BooleanField(
        help_text="true: ends when `personalised` is set to false at `/me/preferences/`."
    )
    results = DecisionLine(many=True)


class Explanation(serializers.Serializer[Any]):
    """What programs decided about the member."""

    brand = serializers.CharField(help_text="Name of the brand.")
    made_at = serializers.DateTimeField(help_text="As of when.")
    member_no = serializers.CharField(help_text="Member number.")
    answer = serializers.CharField(allow_blank=True, help_text="What a person of the brand added; empty here.")
    personalised = serializers.BooleanField(help_text="The switch of PIPL article 24, as it stands.")
    profile = serializers.ListField(child=serializers.CharField(), help_text="What is known of the member, in words.")
    kinds = DecisionKind(many=True)
    rights = serializers.ListField(child=serializers.CharField(), help_text="What the member may do about it.")


EXPLANATION_EXAMPLE = {
    "brand": "岚语",
    "made_at": "2026-11-21T05:45:00Z",
    "member_no": "8A41D03C",
    "answer": "",
    "personalised": True,
    "profile": ["2025-06-01 成为会员。", "标签：护肤。"],
    "kinds": [
        {
            "code": "loyalty.tier",
            "name": "等级",
            "refusing": "申请说明并写明理由后，由人工复核。",
            "ends_with_switch": False,
            "results": [{"what": "金卡", "because": ["再有 2,000 升级。"], "at": "2026-06-01T00:00:00Z"}],
        }
    ],
    "rights": ["关闭个性化后，不再按个人情况挑选。"],
}


class OwnExplanation(MemberView):
    """`/api/v1/me/explanations/`: automated decisions about oneself."""

    @endpoint(
        "explain_decisions",
        "Explain what programs decided about the member",
        tag="me",
        auth=MEMBER,
        answer=Explanation,
        example=EXPLANATION_EXAMPLE,
        description=(
            "Why the newest messages came or did not come, why campaigns were for others, why the tier is what it is, "
            "which groups and tags rules have put the member into. In the language of `Accept-Language`. A person "
            "answers what is asked with `POST /me/requests/` `EXPLAIN`."
        ),
    )
    def get(self, request: Request) -> Response:
        """Show them."""
        member = selectors.member_by_id(self.caller.member_id)
        return Response(services.explanation_of(member, at=clock.now()))
