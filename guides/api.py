"""A member's own guide, by itself and on the member's card."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework import serializers
from rest_framework.response import Response

from accounts.rest.permissions import MembersOnly
from accounts.rest.schema import MEMBER, endpoint
from accounts.rest.views import BrandAPIView
from guides.selectors import guide_of
from members.card import Section, sections

if TYPE_CHECKING:
    from rest_framework.request import Request


class GuideLine(serializers.Serializer[Any]):
    """The guide who looks after a member now."""

    staff_no = serializers.CharField(help_text="Staff number.")
    name = serializers.CharField(help_text="Name.")
    store_name = serializers.CharField(help_text="Their store.")
    since = serializers.DateTimeField(help_text="Since when.")


class OwnGuide(serializers.Serializer[Any]):
    """A member's guide."""

    guide = GuideLine(allow_null=True, help_text="Null while nobody looks after the member.")


def own_guide(member_id: int) -> dict[str, Any] | None:
    """Give a member's guide as plain values, in one query. Why it is them stays inside."""
    guide = guide_of(member_id)
    if guide is None:
        return None
    return {"staff_no": guide.staff_no, "name": guide.name, "store_name": guide.store_name, "since": guide.since}


sections.register("guide", Section("guide", GuideLine, own_guide))


class MyGuide(BrandAPIView):
    """`/api/v1/me/guide/`: the guide who looks after the caller."""

    permission_classes = (MembersOnly,)

    @endpoint(
        "get_own_guide",
        "Get the member's own guide",
        tag="me",
        auth=MEMBER,
        answer=OwnGuide,
        example={
            "guide": {
                "staff_no": "LY0007",
                "name": "王敏",
                "store_name": "上海静安店",
                "since": "2026-11-21T05:44:10Z",
            },
        },
    )
    def get(self, request: Request) -> Response:
        """Show the guide."""
        user: Any = request.user
        return Response({"guide": own_guide(user.member_id)})
