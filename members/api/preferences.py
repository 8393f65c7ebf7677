"""The preference centre of a member: topics, ways, quiet hours, and the switch for personalised messages."""

from __future__ import annotations

import re
from datetime import time
from typing import TYPE_CHECKING, Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response

from accounts.rest.schema import MEMBER, endpoint, problems
from accounts.rest.serializers import CodeField, StrictSerializer, YesNoField, read_body
from common import clock
from members import selectors, services
from members.api.me import CHANNEL, SOURCE, MemberView

if TYPE_CHECKING:
    from rest_framework.request import Request

HOUR = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"
MOST = 50


@extend_schema_field({"type": "string", "pattern": HOUR, "example": "22:00"})
class HourField(serializers.Field[Any, Any, Any, Any]):
    """A time of day by the brand's clock, `HH:MM`."""

    def to_internal_value(self, data: Any) -> time:
        """Read it."""
        if not isinstance(data, str) or not re.fullmatch(HOUR, data):
            raise ValidationError("HH:MM")
        return time.fromisoformat(data)

    def to_representation(self, value: Any) -> str:
        """Write it."""
        return f"{value:%H:%M}"


class ChoiceLine(serializers.Serializer[Any]):
    """One topic or way and whether it is wanted."""

    code = serializers.CharField(help_text="What to send back to change it.")
    name = serializers.CharField(help_text="The name in words.")
    meaning = serializers.CharField(allow_blank=True, help_text="What it is about; may be empty.")
    wanted = serializers.BooleanField(help_text="false: nothing of it is sent, service messages excepted.")


class HoursLine(serializers.Serializer[Any]):
    """From when until when messages wait."""

    begins = serializers.RegexField(HOUR, help_text="By the brand's clock, `HH:MM`.")
    ends = serializers.RegexField(HOUR, help_text="May lie on the next day.")


class PreferenceState(serializers.Serializer[Any]):
    """What somebody wants."""

    marketing = serializers.BooleanField(help_text="false after marketing was withdrawn (`/me/consents/`).")
    topics = ChoiceLine(many=True)
    carriers = ChoiceLine(many=True)
    quiet_hours = HoursLine(allow_null=True, help_text="Null: none.")
    personalised = serializers.BooleanField(
        help_text="false: no audience chosen by what they are or did, no automatic tags."
    )


class ChoiceChange(StrictSerializer):
    """One choice."""

    code = CodeField(max_length=30, help_text="Code of the topic or way.")
    wanted = YesNoField(help_text="true wants it, false refuses it.")


class HoursChange(StrictSerializer):
    """Hours in which marketing waits."""

    begins = HourField(help_text="`HH:MM` by the brand's clock.")
    ends = HourField(help_text="`HH:MM`; may lie on the next day.")


class PreferenceChange(StrictSerializer):
    """What changes; what is left out stays."""

    topics = serializers.ListField(child=ChoiceChange(), required=False, max_length=MOST)
    carriers = serializers.ListField(child=ChoiceChange(), required=False, max_length=MOST)
    quiet_hours = HoursChange(required=False, allow_null=True, help_text="Null ends them.")
    personalised = YesNoField(required=False, help_text="The switch of PIPL article 24.")


PREFERENCES_EXAMPLE = {
    "marketing": True,
    "topics": [{"code": "events", "name": "门店活动", "meaning": "新品会和工作坊", "wanted": False}],
    "carriers": [{"code": "template", "name": "模板消息", "meaning": "", "wanted": True}],
    "quiet_hours": {"begins": "22:00", "ends": "08:00"},
    "personalised": True,
}


class PreferenceCentre(MemberView):
    """`/api/v1/me/preferences/`: what a member wants to hear about, by which way and when."""

    @endpoint(
        "get_preferences",
        "Show what the member wants",
        tag="me",
        auth=MEMBER,
        answer=PreferenceState,
        example=PREFERENCES_EXAMPLE,
    )
    def get(self, request: Request) -> Response:
        """Show topics, ways, hours and the switch."""
        return Response(self._body())

    @endpoint(
        "change_preferences",
        "Change what the member wants",
        tag="me",
        auth=MEMBER,
        body=PreferenceChange,
        body_example={"topics": [{"code": "events", "wanted": False}], "personalised": False},
        answer=PreferenceState,
        example=PREFERENCES_EXAMPLE,
        errors=problems(422, s422={"preference_invalid": "An unknown topic or way, or hours without length."}),
        description=(
            "In force at once, for messages that already wait as well. Service notices (bookings) always arrive. "
            "Each change is a line of the consent ledger; sending the same again changes nothing."
        ),
    )
    def patch(self, request: Request) -> Response:
        """Change what is named."""
        given = read_body(PreferenceChange, request.data)
        hours = given.get("quiet_hours")
        services.set_preferences(
            member=selectors.member_by_id(self.caller.member_id),
            channel=CHANNEL,
            source=SOURCE,
            at=clock.now(),
            topics={each["code"]: each["wanted"] for each in given.get("topics", ())},
            ways={each["code"]: each["wanted"] for each in given.get("carriers", ())},
            personal=given.get("personalised"),
            quiet=services.Quiet(hours["begins"], hours["ends"]) if hours else None,
            no_quiet="quiet_hours" in given and hours is None,
        )
        return Response(self._body())

    def _body(self) -> dict[str, Any]:
        return preference_body(self.caller.member_id)


def preference_body(member_id: int) -> dict[str, Any]:
    """Give what somebody wants as plain values; two queries."""
    wants = selectors.preferences_of(member_id)
    names = ("code", "name", "meaning", "wanted")
    hours = wants.quiet
    return {
        "marketing": wants.marketing,
        "topics": [dict(zip(names, each, strict=True)) for each in wants.topics],
        "carriers": [dict(zip(names, each, strict=True)) for each in wants.ways],
        "quiet_hours": {"begins": f"{hours[0]:%H:%M}", "ends": f"{hours[1]:%H:%M}"} if hours else None,
        "personalised": wants.personal,
    }
