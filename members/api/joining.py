"""Joining by a code that a text message brings: for phones that WeChat's button does not give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rest_framework import serializers
from rest_framework.response import Response

from accounts.rest.schema import MEMBER, endpoint, problems
from accounts.rest.serializers import CodeField, StrictSerializer, read_body
from accounts.rest.throttling import caller_address
from accounts.tenancy import brand_scope
from common import clock
from members import selectors, services
from members.api.me import ConsentText, MemberView, PhonePerMember, bind, card
from members.api.shapes import CARD_EXAMPLE, Card
from members.errors import PhoneTaken, SmsCodeRefused
from members.joining import check_join_code

if TYPE_CHECKING:
    from rest_framework.request import Request

    from accounts.rest.callers import MemberPrincipal

SOURCE: Final = "text message"
LONGEST_PHONE: Final = 24


class PhoneBody(StrictSerializer):
    """Where the code goes."""

    phone = CodeField(max_length=LONGEST_PHONE, help_text="Mobile number, E.164 or mainland.")


class AskedShape(serializers.Serializer[Any]):
    """What is told of a code: nothing of the phone, nor of whether the brand knows it."""

    expires_at = serializers.DateTimeField(help_text="Until when the code works.")
    again_at = serializers.DateTimeField(help_text="From when on another one can be asked for.")


ASKED_EXAMPLE: Final = {"expires_at": "2026-11-21T05:50:00Z", "again_at": "2026-11-21T05:46:00Z"}
ASKING: Final = problems(
    409,
    422,
    429,
    s409={"sms_off": "The brand sends no text messages."},
    s422={"invalid": "Some values cannot be used.", "phone_invalid": "Not a mobile number that can be reached."},
    s429={"throttled": "Too many codes for this phone, this caller, this address or this brand."},
)


def asked_body(asked: services.AskedCode) -> dict[str, Any]:
    """Give what is told of a code."""
    return {"expires_at": asked.expires_at, "again_at": asked.again_at}


def asker(caller: MemberPrincipal) -> str:
    """Give the name under which a session asks for codes: it stays through a merge."""
    return f"session:{caller.session_id.hex}"


class PhoneCodes(MemberView):
    """`/api/v1/me/phone/codes/`: have a code sent."""

    throttle_classes = (PhonePerMember,)

    @endpoint(
        "ask_for_sms_code",
        "Have a code sent by text message",
        tag="me",
        auth=MEMBER,
        body=PhoneBody,
        body_example={"phone": "13800138000"},
        answer=AskedShape,
        example=ASKED_EXAMPLE,
        status=202,
        errors=ASKING,
        description=(
            "Six digits, good for five minutes and for this session. Asked again within a minute, the first message "
            "stands and no second one is sent. The answer is the same whether or not the brand knows the phone."
        ),
    )
    def post(self, request: Request) -> Response:
        """Ask for one; a worker sends it."""
        given = read_body(PhoneBody, request.data)
        asked = services.ask_code(
            phone=given["phone"], asker=asker(self.caller), address=caller_address(request), at=clock.now()
        )
        return Response(asked_body(asked), status=202)


class SmsBinding(PhoneBody):
    """The phone and the code it was sent."""

    code = CodeField(max_length=10, help_text="The six digits of the newest message.")
    consent = ConsentText(required=False, help_text="Recorded in the same transaction as the phone.")
    join_code = CodeField(max_length=40, required=False, help_text="What a guide's phone showed, if it was scanned.")


class PhoneBySms(MemberView):
    """`/api/v1/me/phone/sms/`: bind the phone and become a member."""

    throttle_classes = (PhonePerMember,)
    holds_scope = False

    @endpoint(
        "join_by_sms",
        "Bind a phone by the code it was sent, and join",
        tag="me",
        auth=MEMBER,
        body=SmsBinding,
        body_example={
            "phone": "13800138000",
            "code": "048213",
            "consent": {"text_version": "2026-11", "purposes": ["SERVICE"]},
        },
        answer=Card,
        example=CARD_EXAMPLE,
        errors=problems(
            409,
            s409={
                "sms_code_refused": "Wrong, over, spent, tried too often or another phone's: always the same answer.",
                "phone_taken": "The phone belongs to another member of the brand.",
                "join_code_refused": "No guide shows this join code any more; the code was not spent.",
            },
        ),
        description=(
            "Phone, membership and consent are one transaction, and the code is spent in it. Sent again by the same "
            "session (a double tap, a lost answer) nothing is done twice and the answer is the card. After five wrong "
            "codes the message is worth nothing."
        ),
    )
    def post(self, request: Request) -> Response:
        """Try the code; a wrong one counts although it is refused."""
        given, caller, at = read_body(SmsBinding, request.data), self.caller, clock.now()
        try:
            with brand_scope(caller.brand_id):
                shown = self._join(caller, given)
        except PhoneTaken as error:
            with brand_scope(caller.brand_id):  # nothing was bound; that both want the phone is kept
                services.note_taken_phone(member_id=caller.member_id, error=error, source=SOURCE, at=at)
            raise
        if shown is None:
            raise SmsCodeRefused
        return Response(shown)

    def _join(self, caller: MemberPrincipal, given: dict[str, Any]) -> dict[str, Any] | None:
        at = clock.now()
        spent = services.try_code(phone=given["phone"], code=given["code"], asker=asker(caller), at=at)
        if spent is None:
            return None
        if spent.again is not None:
            mine = selectors.member_by_id(caller.member_id)
            return card(mine.pk) if mine.phone_index == spent.row.phone_index else None
        check_join_code(given.get("join_code"), at=at)
        member = bind(caller, given["phone"], given, source=SOURCE, at=at)
        spent.by(member, at=at)
        return card(member.pk)
