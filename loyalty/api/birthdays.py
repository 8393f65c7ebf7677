"""What a member gets for the birthday, for the member's card in a mini program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework import serializers
from rest_framework.response import Response

from accounts.rest.permissions import MembersOnly
from accounts.rest.schema import MEMBER, endpoint
from accounts.rest.views import BrandAPIView
from common import clock
from loyalty.selectors.birthdays import own_birthday

if TYPE_CHECKING:
    from rest_framework.request import Request


class BirthdayShape(serializers.Serializer[Any]):
    """A birthday benefit."""

    benefit = serializers.CharField(help_text="What is given, in words.")
    first_day = serializers.DateField(help_text="First day on which it is given, in the brand's time zone.")
    last_day = serializers.DateField(help_text="Last day on which it is given.")
    given_on = serializers.DateField(allow_null=True, help_text="When it was given for this birthday; null: not yet.")


class OwnBirthdayShape(serializers.Serializer[Any]):
    """The caller's birthday benefit."""

    birthday = BirthdayShape(allow_null=True, help_text="Null while the brand gives none or the birthday is unknown.")


class OwnBirthday(BrandAPIView):
    """`/api/v1/me/birthday/`: what the caller gets for the next birthday."""

    permission_classes = (MembersOnly,)

    @endpoint(
        "get_own_birthday",
        "Get own birthday benefit",
        tag="me",
        auth=MEMBER,
        answer=OwnBirthdayShape,
        example={
            "birthday": {
                "benefit": "100 积分",
                "first_day": "2026-08-17",
                "last_day": "2026-08-24",
                "given_on": None,
            }
        },
    )
    def get(self, request: Request) -> Response:
        """Show it."""
        user: Any = request.user
        found = own_birthday(user.member_id, at=clock.now())
        if found is None:
            return Response({"birthday": None})
        return Response(
            {
                "birthday": {
                    "benefit": found.benefit,
                    "first_day": found.first,
                    "last_day": found.last,
                    "given_on": found.given_on,
                }
            }
        )
