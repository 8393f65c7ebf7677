"""A member's own guide, by itself and on the card; contacts of guides in WeCom, as other systems report them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response

from accounts.rest.permissions import MembersOnly, needs_scope
from accounts.rest.schema import MEMBER, SYSTEM, endpoint, problems
from accounts.rest.serializers import (
    CodeField,
    MomentParameter,
    StrictSerializer,
    TextField,
    WholeField,
    read_body,
    read_query,
)
from accounts.rest.views import BrandAPIView
from accounts.tenancy import brand_scope
from common import clock
from guides import services
from guides.models import Guide
from guides.selectors import guide_of
from members import services as member_services
from members.card import Section, sections
from members.errors import SmsCodeRefused
from touchpoints.models import TouchCase, Touchpoint
from wechat_gateway.selectors import only_subject

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


# --- contacts in WeCom ---

EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)


class ContactBody(StrictSerializer):
    """Somebody added a guide in WeCom."""

    staff_no = CodeField(max_length=20, help_text="Staff number of the guide who was added.")
    corp = CodeField(max_length=64, help_text="Corp id of the WeCom.")
    external_userid = CodeField(max_length=64, help_text="The contact, as WeCom calls them.")
    unionid = CodeField(
        max_length=64, required=False, default="", help_text="The contact's UnionID, if WeCom says it: it ties them."
    )
    channel = WholeField(
        required=False,
        min_value=1,
        max_value=2**63 - 1,
        help_text="Channel they came by, such as that of the `state`; left out: the guide's own code.",
    )
    at = MomentParameter(required=False, help_text="When, from 2000 on and not later than now; left out: now.")


class ContactAnswer(serializers.Serializer[Any]):
    """What was kept."""

    member_no = serializers.CharField(help_text="Number of the person.")
    is_new = serializers.BooleanField(help_text="Whether this contact was told for the first time.")
    case = serializers.ChoiceField(choices=TouchCase.values, help_text="Who it was, as it was known then.")
    channel = serializers.IntegerField(help_text="Channel the contact counts for.")
    guide = serializers.CharField(allow_null=True, help_text="Staff number of the guide who looks after them now.")


class GuideContacts(BrandAPIView):
    """`/api/v1/guides/contacts/`: somebody added a guide in WeCom."""

    permission_classes = (needs_scope("members.write"),)

    @endpoint(
        "record_guide_contact",
        "Record that somebody added a guide in WeCom",
        tag="members",
        auth=SYSTEM,
        body=ContactBody,
        body_example={
            "staff_no": "LY0007",
            "corp": "ww0123456789abcdef",
            "external_userid": "wmAbCdEf0123456789",
            "unionid": "oUnion0123456789",
        },
        answer=ContactAnswer,
        example={"member_no": "4820175936", "is_new": True, "case": "FOLLOWING", "channel": 12, "guide": "LY0007"},
        errors=problems(422),
        description=(
            "Needs the scope `members.write`. What WeCom and WeChat know somebody by becomes one person, a touch of "
            "the channel is kept, and who has no guide (or one who has left, or whose protected days are over) gets "
            "this one. Safe to repeat: the same contact of the same guide is kept once."
        ),
    )
    def post(self, request: Request) -> Response:
        """Keep it."""
        given, now = read_body(ContactBody, request.data), clock.now()
        at = given.get("at") or now
        if not EARLIEST <= at <= now:
            raise ValidationError({"at": [_("Give a moment from the year 2000 on that is not in the future.")]})
        guide = (
            Guide.objects.select_related("store", "touchpoint")
            .filter(staff_no=given["staff_no"], is_active=True)
            .first()
        )
        if guide is None:
            raise ValidationError({"staff_no": [_("No guide who works here has this number.")]})
        channel = None
        if given.get("channel") is not None:
            channel = Touchpoint.objects.select_related("store").filter(pk=given["channel"]).first()
            if channel is None:
                raise ValidationError({"channel": [_("No channel has this number.")]})
        subject = only_subject() if given["unionid"] else ""
        if given["unionid"] and not subject:
            said = _("The brand's accounts belong to no Open Platform account, or to several: leave this out.")
            raise ValidationError({"unionid": [said]})
        user: Any = request.user
        added = services.record_contact(
            guide=guide,
            contact=services.Contact(given["corp"], given["external_userid"], given["unionid"], subject),
            touchpoint=channel,
            system=user.label,
            at=at,
        )
        return Response(
            {
                "member_no": added.member.member_no,
                "is_new": added.is_new,
                "case": added.touch.case,
                "channel": added.touch.touchpoint_id,
                "guide": added.guide.staff_no if added.guide else None,
            }
        )
