"""A brand's own profile fields: what is known of a person, from whom, and what a source says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response

from accounts.rest.permissions import needs_scope
from accounts.rest.schema import MEMBER, SYSTEM, endpoint, problems
from accounts.rest.serializers import CodeField, MomentParameter, StrictSerializer, read_body
from accounts.rest.views import BrandAPIView
from common import clock
from members import profiles, selectors, services
from members.api.me import MemberView
from members.api.people import person_or_404
from members.errors import ProfileValueInvalid
from members.models import FieldKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rest_framework.request import Request

    from members.selectors import Fact

MOST_VALUES: Final = 50
_OF_SYSTEMS: Final = ("api", "pos", "wecom", "form", "import")


class WordShape(serializers.Serializer[Any]):
    """What one source says."""

    source = serializers.CharField(help_text="Who says it.")  # type: ignore[assignment] # a field called so
    value = serializers.CharField(allow_null=True, help_text="What it says; null where only staff may see it.")
    at = serializers.DateTimeField(help_text="When it was said.")
    stale = serializers.BooleanField(help_text="Older than the field's days of freshness.")


class ProfileFactShape(serializers.Serializer[Any]):
    """One fact with everything said about it."""

    key = serializers.CharField(help_text="Key.")
    label = serializers.CharField(help_text="Name.")  # type: ignore[assignment] # a field called so
    kind = serializers.ChoiceField(choices=FieldKind.choices, help_text="Type of the value.")
    value = serializers.CharField(allow_null=True, help_text="What counts; null for nothing, or not shown.")
    conflict = serializers.BooleanField(help_text="Sources say different things.")
    words = WordShape(many=True, help_text="Every source's word, the one that counts first.")


class ProfileShape(serializers.Serializer[Any]):
    """The facts of a person."""

    results = ProfileFactShape(many=True)


class OwnProfileFactShape(serializers.Serializer[Any]):
    """One fact as the member sees it."""

    key = serializers.CharField(help_text="Key.")
    label = serializers.CharField(help_text="Name.")  # type: ignore[assignment] # a field called so
    kind = serializers.ChoiceField(choices=FieldKind.choices, help_text="Type of the value.")
    choices = serializers.ListField(child=serializers.CharField(), help_text="For one of a list.")
    value = serializers.CharField(allow_null=True, help_text="What counts; null for nothing, or not shown.")


class OwnProfileShape(serializers.Serializer[Any]):
    """The brand's own fields that a member may see and change."""

    results = OwnProfileFactShape(many=True)


class SaidBody(StrictSerializer):
    """One value."""

    key = CodeField(max_length=40, help_text="Key of the field; also name, birthday, gender, city.")
    value = serializers.CharField(
        max_length=profiles.MOST_CHARACTERS, allow_blank=True, allow_null=True, help_text="As text; null forgets it."
    )


class OwnSayingBody(StrictSerializer):
    """What the member says."""

    values = serializers.ListField(child=SaidBody(), min_length=1, max_length=MOST_VALUES, help_text="The values.")


class SayingBody(OwnSayingBody):
    """What a system says, and as whom."""

    source = serializers.ChoiceField(  # type: ignore[assignment] # a field called so
        choices=_OF_SYSTEMS, default="api", help_text="Who says it; the field's precedence decides what counts."
    )
    said_at = MomentParameter(required=False, help_text="When it was said; older news changes nothing.")


FACT_EXAMPLE = {
    "key": "skin",
    "label": "肤质",
    "kind": "CHOICE",
    "value": "干性",
    "conflict": True,
    "words": [
        {"source": "member", "value": "干性", "at": "2026-11-21T05:45:00Z", "stale": False},
        {"source": "pos", "value": "油性", "at": "2026-10-02T05:45:00Z", "stale": False},
    ],
}
_REFUSALS = problems(
    404,
    422,
    s422={"invalid": "Some values cannot be used.", "profile_value_invalid": "A value does not fit its field."},
)


def _fact(fact: Fact) -> dict[str, Any]:
    return {
        "key": fact.key,
        "label": fact.label,
        "kind": fact.field.kind if fact.field else FieldKind.TEXT.value,
        "value": (fact.counts.text or None) if fact.counts else None,
        "conflict": fact.in_conflict,
        "words": [
            {"source": word.source, "value": word.text or None, "at": word.at, "stale": word.is_stale}
            for word in fact.words
        ],
    }


def _values(given: Sequence[dict[str, Any]]) -> dict[str, str]:
    values = {each["key"]: each["value"] or "" for each in given}
    if len(values) < len(given):
        raise ValidationError({"values": ["Each key once."]})
    return values


class PersonProfile(BrandAPIView):
    """`/api/v1/members/{member_no}/profile/`: what is known of a person, and from whom."""

    def get_permissions(self) -> list[Any]:
        """Reading and writing have scopes of their own."""
        scope = "members.read" if self.request.method in {"GET", "HEAD"} else "members.write"
        return [needs_scope(scope)()]

    @endpoint(
        "get_member_profile",
        "Get a member's profile with its sources",
        tag="members",
        auth=SYSTEM,
        answer=ProfileShape,
        example={"results": [FACT_EXAMPLE]},
        errors=problems(404),
        description="Needs the scope `members.read`. Values that not everybody may see are masked or null.",
    )
    def get(self, request: Request, member_no: str) -> Response:
        """Show the facts."""
        return Response(self._body(person_or_404(member_no).id))

    @endpoint(
        "say_member_profile",
        "Say what a source knows of a member",
        tag="members",
        auth=SYSTEM,
        body=SayingBody,
        body_example={"source": "pos", "values": [{"key": "skin", "value": "油性"}]},
        answer=ProfileShape,
        example={"results": [FACT_EXAMPLE]},
        errors=_REFUSALS,
        description=(
            "Needs the scope `members.write`. All or nothing; the same again changes nothing. What counts is decided "
            "by the precedence of the field's sources, then by age."
        ),
    )
    def patch(self, request: Request, member_no: str) -> Response:
        """Keep what is said."""
        member = person_or_404(member_no)
        given = read_body(SayingBody, request.data)
        at = clock.now()
        services.say(
            member_id=member.id,
            source=given["source"],
            values=_values(given["values"]),
            at=min(given.get("said_at") or at, at),
        )
        return Response(self._body(member.id))

    def _body(self, member_id: int) -> dict[str, Any]:
        return {"results": [_fact(fact) for fact in selectors.profile_of(member_id, at=clock.now())]}


class OwnProfile(MemberView):
    """`/api/v1/me/profile/`: the brand's own fields that the member may see and change."""

    @endpoint(
        "get_own_profile",
        "Get the brand's own profile fields",
        tag="me",
        auth=MEMBER,
        answer=OwnProfileShape,
        example={
            "results": [
                {"key": "skin", "label": "肤质", "kind": "CHOICE", "choices": ["干性", "油性"], "value": "干性"}
            ]
        },
        description="Those that members may see and change; name, birthday and city stand on `/me/`.",
    )
    def get(self, request: Request) -> Response:
        """Show the fields."""
        return Response(self._body())

    @endpoint(
        "say_own_profile",
        "Fill in the brand's own profile fields",
        tag="me",
        auth=MEMBER,
        body=OwnSayingBody,
        body_example={"values": [{"key": "skin", "value": "干性"}]},
        answer=OwnProfileShape,
        example={
            "results": [
                {"key": "skin", "label": "肤质", "kind": "CHOICE", "choices": ["干性", "油性"], "value": "干性"}
            ]
        },
        errors=problems(
            422,
            s422={
                "invalid": "Some values cannot be used.",
                "profile_value_invalid": "A value does not fit its field.",
            },
        ),
        description="All or nothing. A field that members may not change is one that does not exist.",
    )
    def patch(self, request: Request) -> Response:
        """Keep what the member says."""
        values = _values(read_body(OwnSayingBody, request.data)["values"])
        allowed = {fact.key for fact in self._facts()}
        for key in values:
            if key not in allowed:
                raise ProfileValueInvalid(key, profiles.unknown_field())
        services.say(member_id=self.caller.member_id, source=profiles.MEMBER, values=values, at=clock.now())
        return Response(self._body())

    def _facts(self) -> list[Fact]:
        return selectors.profile_of(self.caller.member_id, at=clock.now(), by_member=True)

    def _body(self) -> dict[str, Any]:
        return {
            "results": [
                {
                    "key": fact.key,
                    "label": fact.label,
                    "kind": fact.field.kind if fact.field else FieldKind.TEXT.value,
                    "choices": list(fact.field.choices) if fact.field else [],
                    "value": (fact.counts.text or None) if fact.counts else None,
                }
                for fact in self._facts()
            ]
        }
