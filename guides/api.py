"""A member's own guide, by itself and on the member's card."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response

from accounts.rest.permissions import MembersOnly, needs_scope
from accounts.rest.schema import MEMBER, SYSTEM, endpoint, problems
from accounts.rest.serializers import CodeField, StrictSerializer, TextField, read_body, read_query
from accounts.rest.views import BrandAPIView
from accounts.tenancy import brand_scope
from common import clock
from guides import services
from guides.models import Guide
from guides.selectors import guide_of
from members import services as member_services
from members.card import Section, sections
from members.errors import SmsCodeRefused

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


class GuideBody(StrictSerializer):
    """Who is with the person."""

    guide = CodeField(max_length=20, help_text="Staff number of the guide.")


class CounterPhone(GuideBody):
    """Where the code goes, and who is with the person."""

    phone = CodeField(max_length=24, help_text="Mobile number, E.164 or mainland.")


class CounterAsked(serializers.Serializer[Any]):
    """What is told of a code: nothing of the phone, nor of whether the brand knows it."""

    expires_at = serializers.DateTimeField(help_text="Until when the code works.")
    again_at = serializers.DateTimeField(help_text="From when on another one can be asked for.")


class CounterStore(serializers.Serializer[Any]):
    """The store somebody joined in."""

    code = serializers.CharField(help_text="Store code.")
    name = serializers.CharField(help_text="Name.")


class CounterConsent(StrictSerializer):
    """What the person has agreed to."""

    text_version = CodeField(max_length=20, help_text="Version of the text they were shown.")
    purposes = serializers.ListField(
        child=CodeField(max_length=20), min_length=1, max_length=20, help_text="What they agreed to."
    )


class CounterJoin(CounterPhone):
    """Somebody joins at a counter."""

    code = CodeField(max_length=10, help_text="The digits the person reads from their phone.")
    name = TextField(
        required=False, default="", max_length=60, allow_blank=True, help_text="Name; kept if none is known."
    )
    consent = CounterConsent(help_text="Recorded in the same transaction, with guide and store.")


class CounterJoined(serializers.Serializer[Any]):
    """Who joined."""

    member_no = serializers.CharField(help_text="Member number.")
    is_new = serializers.BooleanField(help_text="false: they were a member before.")
    joined_at = serializers.DateTimeField(help_text="When they became a member.")
    guide = serializers.CharField(help_text="Staff number of the guide it was with.")
    store = CounterStore(help_text="The guide's store.")


class ShownJoinCode(serializers.Serializer[Any]):
    """What the guide's phone shows."""

    code = serializers.CharField(help_text="Digits, as text of a QR code.")
    seconds_left = serializers.IntegerField(help_text="How long it works; ask for a new one before.")


def _guide(request: Request, staff_no: str) -> Guide:
    found = Guide.objects.select_related("store").filter(staff_no=staff_no, is_active=True).first()
    if found is None:
        raise ValidationError({"guide": [_("No working guide has this staff number.")]})
    return found


def _asker(request: Request) -> str:
    user: Any = request.user
    return f"key:{user.key_id}"


class CounterCodes(BrandAPIView):
    """`/api/v1/counter/joins/codes/`: have a code sent to somebody at a counter."""

    permission_classes = (needs_scope("joins.write"),)

    @endpoint(
        "ask_for_counter_code",
        "Have a code sent to somebody who joins at a counter",
        tag="members",
        auth=SYSTEM,
        body=CounterPhone,
        body_example={"phone": "13800138000", "guide": "LY0007"},
        answer=CounterAsked,
        example={"expires_at": "2026-11-21T05:50:00Z", "again_at": "2026-11-21T05:46:00Z"},
        status=202,
        errors=problems(
            409,
            422,
            429,
            s409={"sms_off": "The brand sends no text messages."},
            s422={"invalid": "Some values cannot be used.", "phone_invalid": "Not a number that can be reached."},
            s429={"throttled": "Too many codes for this phone, by this key or of this brand."},
        ),
        description="Needs the scope `joins.write`. The answer is the same whether or not the brand knows the phone.",
    )
    def post(self, request: Request) -> Response:
        """Ask for one."""
        given = read_body(CounterPhone, request.data)
        _guide(request, given["guide"])
        asked = member_services.ask_code(phone=given["phone"], asker=_asker(request), address="", at=clock.now())
        return Response({"expires_at": asked.expires_at, "again_at": asked.again_at}, status=202)


class CounterJoins(BrandAPIView):
    """`/api/v1/counter/joins/`: somebody joins at a counter."""

    permission_classes = (needs_scope("joins.write"),)
    holds_scope = False

    @endpoint(
        "join_at_counter",
        "Make somebody a member at a counter",
        tag="members",
        auth=SYSTEM,
        body=CounterJoin,
        body_example={
            "phone": "13800138000",
            "guide": "LY0007",
            "code": "048213",
            "name": "陈悦",
            "consent": {"text_version": "2026-11", "purposes": ["SERVICE"]},
        },
        answer=CounterJoined,
        example={
            "member_no": "4820175936",
            "is_new": True,
            "joined_at": "2026-11-21T05:45:00Z",
            "guide": "LY0007",
            "store": {"code": "SH004", "name": "上海静安店"},
        },
        status=201,
        errors=problems(
            409,
            422,
            s409={
                "sms_code_refused": "Wrong, over, spent, tried too often or another phone's: always the same answer.",
                "phone_taken": "The phone may have gone to somebody else; the service desk looks at it.",
                "guide_has_left": "The guide has left.",
            },
            s422={
                "invalid": "Some values cannot be used.",
                "phone_invalid": "Not a mobile number that can be reached.",
                "consent_text_invalid": "A purpose or a version of the text that the brand does not have.",
            },
        ),
        description=(
            "Needs the scope `joins.write`. The person reads the code from their phone; membership, consent, guide and "
            "store are one transaction. Sent again, nothing is done twice and the answer is the same."
        ),
    )
    def post(self, request: Request) -> Response:
        """Try the code; a wrong one counts although it is refused."""
        given, user = read_body(CounterJoin, request.data), request.user
        caller: Any = user
        with brand_scope(caller.brand_id):
            guide = _guide(request, given["guide"])
            consent = given["consent"]
            joined = services.join_at_counter(
                phone=given["phone"],
                code=given["code"],
                guide=guide,
                agreed=dict.fromkeys(consent["purposes"], consent["text_version"]),
                asker=_asker(request),
                by=caller.label,
                name=given["name"],
                at=clock.now(),
            )
            store = {"code": guide.store.code, "name": guide.store.name}
        if joined is None:
            raise SmsCodeRefused
        member = joined.member
        return Response(
            {
                "member_no": member.member_no,
                "is_new": joined.is_new,
                "joined_at": member.joined_at,
                "guide": guide.staff_no,
                "store": store,
            },
            status=201,
        )


class CounterJoinCode(BrandAPIView):
    """`/api/v1/counter/joins/shown/`: the join code for a guide's phone."""

    permission_classes = (needs_scope("joins.write"),)

    @endpoint(
        "show_join_code",
        "Get the join code for a guide's phone",
        tag="members",
        auth=SYSTEM,
        parameters=[GuideBody],
        answer=ShownJoinCode,
        example={"code": "073512849017", "seconds_left": 290},
        errors=problems(422),
        description=(
            "Needs the scope `joins.write`. Whoever scans it sends it as `join_code` when they bind their phone, by "
            "the phone button or by text message: they have joined with this guide then. It changes every minute and "
            "works for five."
        ),
    )
    def get(self, request: Request) -> Response:
        """Show it."""
        given = read_query(GuideBody, request.query_params)
        shown = services.join_code(guide=_guide(request, given["guide"]), at=clock.now())
        return Response({"code": shown.code, "seconds_left": shown.seconds_left})
