"""The member code: shown by a member's phone, taken by a counter."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rest_framework import serializers
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response

from accounts.rest.permissions import needs_scope
from accounts.rest.schema import MEMBER, SYSTEM, endpoint, problems
from accounts.rest.serializers import CodeField, MomentParameter, StrictSerializer, read_body
from accounts.rest.views import BrandAPIView
from common import clock
from members import services
from members.api.me import MemberView, card
from members.api.shapes import CARD_EXAMPLE, Card
from members.opened import API
from members.services.codes import LONGEST, STEP_SECONDS

if TYPE_CHECKING:
    from rest_framework.request import Request


class ShownMemberCode(serializers.Serializer[Any]):
    """What the phone shows, as a bar code or QR code."""

    code = serializers.CharField(help_text="Digits and the member number.")
    seconds_left = serializers.IntegerField(help_text="Then ask again: the code has changed.")
    rotates_every = serializers.IntegerField(help_text="Seconds.")


class OwnCode(MemberView):
    """`/api/v1/me/code/`: the member code."""

    @endpoint(
        "get_member_code",
        "Get the member code to show at a counter",
        tag="me",
        auth=MEMBER,
        answer=ShownMemberCode,
        example={"code": "07351284904820175936", "seconds_left": 17, "rotates_every": STEP_SECONDS},
        errors=problems(409, s409={"not_a_member": "The person has not joined yet."}),
        description=(
            "Changes every 30 seconds and is worth one use; a picture of it is worth nothing. Ask again after "
            "`seconds_left`: the phone's own clock has no part in it."
        ),
    )
    def get(self, request: Request) -> Response:
        """Show the code."""
        shown = services.current_code(member_id=self.caller.member_id, at=clock.now())
        return Response({"code": shown.code, "seconds_left": shown.seconds_left, "rotates_every": STEP_SECONDS})


class ScannedMemberCode(StrictSerializer):
    """What a till has scanned."""

    code = CodeField(max_length=LONGEST, help_text="The code as it was scanned.")
    key = CodeField(max_length=100, help_text="Your key for this scan: sent again, it gives the first answer.")
    scanned_at = MomentParameter(
        required=False, help_text="The till's own time of the scan, if it sends later; up to 60 seconds off."
    )


class TakenMemberCode(serializers.Serializer[Any]):
    """Whose code it is."""

    use = serializers.UUIDField(help_text="This use; it proves that the member stood at the counter.")
    at = serializers.DateTimeField(help_text="When the code was taken.")
    member = Card()


class CodeTaking(BrandAPIView):
    """`/api/v1/counter/codes/`: take a member code at a counter."""

    permission_classes = (needs_scope("counter.use"),)

    @endpoint(
        "take_member_code",
        "Take a member code at a counter",
        tag="members",
        auth=SYSTEM,
        body=ScannedMemberCode,
        body_example={"code": "07351284904820175936", "key": "till-3-20261121-0042"},
        answer=TakenMemberCode,
        example={"use": "6d0f3c0e-8f0a-4a56-9d6e-0e1f5a4f2c22", "at": "2026-11-21T06:45:00Z", "member": CARD_EXAMPLE},
        status=201,
        errors=problems(
            409,
            422,
            s409={
                "code_used": "The code, or a newer one of this member, was taken before.",
                "code_expired": "The code has changed since: scanned too late, or a picture of it.",
                "not_a_member": "The person has not joined, or was deleted.",
            },
            s422={
                "invalid": "Some values cannot be used.",
                "code_unknown": "No member of the brand shows this code.",
                "key_reused": "The key was used for another code.",
                "clock_off": "`scanned_at` is more than 60 seconds off.",
            },
        ),
        description=(
            "Needs the scope `counter.use`. A code works once, within half a minute of the time it was shown. Send the "
            "same key and code again after a broken line: the answer is the first one."
        ),
    )
    def post(self, request: Request) -> Response:
        """Take the code."""
        given = read_body(ScannedMemberCode, request.data)
        user: Any = request.user
        use, member = services.use_code(
            code=given["code"],
            actor=f"key:{user.key_id}",
            key=given["key"],
            at=clock.now(),
            scanned_at=given.get("scanned_at"),
        )

        services.note_opened(member_id=member.pk, page=f"{API}/counter/codes/", at=clock.now())

        def answer() -> str:
            told = {"use": use.public_id, "at": use.at, "member": card(member.pk)}
            return str(JSONRenderer().render(told).decode())

        return Response(json.loads(services.first_answer(use=use, answer=answer)), status=201)
