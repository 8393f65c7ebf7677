"""What members see and change about themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework import serializers
from rest_framework.response import Response

from accounts.rest.permissions import MembersOnly
from accounts.rest.schema import MEMBER, endpoint, problems
from accounts.rest.serializers import BirthdayField, CodeField, StrictSerializer, TextField, read_body
from accounts.rest.throttling import PerCaller
from accounts.rest.views import BrandAPIView
from accounts.tenancy import brand_scope
from common import clock
from members import selectors, services
from members.api import sections as _own_sections  # noqa: F401 - registers what this app shows on the card
from members.api.shapes import CARD_EXAMPLE, Card
from members.card import sections
from members.errors import PhoneCodeUsed, PhoneTaken
from members.joining import check_join_code, join_through
from members.models import Purpose
from wechat_gateway import services as gateway
from wechat_gateway.errors import CodeRefused, TooManyTries, WeChatAway
from wechat_gateway.selectors import program_of

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from rest_framework.request import Request

    from accounts.rest.callers import MemberPrincipal
    from members.models import Member
    from wechat_gateway.models import MiniProgram

SOURCE = "mini program"
CHANNEL = "MINI_PROGRAM"


def card(member_id: int, *, without: Collection[str] = ()) -> dict[str, Any]:
    """Give a member's card: one query for the person, one per section that is wanted."""
    values = selectors.member_card(member_id)
    for key, section in sections.items():
        if key not in without:
            values[key] = section.load(member_id)
    return values


class MemberView(BrandAPIView):
    """An endpoint for members' sessions."""

    permission_classes = (MembersOnly,)

    @property
    def caller(self) -> MemberPrincipal:
        """Who calls."""
        user: Any = self.request.user
        known: MemberPrincipal = user
        return known


class ProfileChange(StrictSerializer):
    """The facts a member may set; those left out stay as they are."""

    name = TextField(required=False, max_length=60, allow_blank=True, help_text="Name, up to 60 characters.")
    birthday = BirthdayField(required=False, allow_null=True, help_text="`MM-DD`, or null to forget it.")
    city = TextField(required=False, max_length=40, allow_blank=True, help_text="City, up to 40 characters.")


class Me(MemberView):
    """`/api/v1/me/`: the card."""

    @endpoint("get_member_card", "Get the member's card", tag="me", auth=MEMBER, answer=Card, example=CARD_EXAMPLE)
    def get(self, request: Request) -> Response:
        """Show the card."""
        return Response(card(self.caller.member_id))

    @endpoint(
        "change_profile",
        "Change name, birthday or city",
        tag="me",
        auth=MEMBER,
        body=ProfileChange,
        body_example={"name": "陈悦", "birthday": "08-17"},
        answer=Card,
        example=CARD_EXAMPLE,
        description="Changes only the given facts. Any other field is refused (422).",
    )
    def patch(self, request: Request) -> Response:
        """Change the profile."""
        given = read_body(ProfileChange, request.data)
        if "birthday" in given:
            given["birth_mmdd"] = given.pop("birthday")
        services.change_profile(member_id=self.caller.member_id, **given)
        return Response(card(self.caller.member_id))


class ConsentText(StrictSerializer):
    """What the person agreed to on the same screen."""

    text_version = CodeField(max_length=20, help_text="Version of the text they saw.")
    purposes = serializers.ListField(
        child=serializers.ChoiceField(choices=Purpose.choices),
        min_length=1,
        max_length=len(Purpose.choices),
        help_text="What they agreed to.",
    )


class PhoneBinding(StrictSerializer):
    """The code of the phone button."""

    code = CodeField(max_length=128, help_text="Code of `getPhoneNumber`: works once, five minutes.")
    consent = ConsentText(required=False, help_text="Recorded in the same transaction as the phone.")
    join_code = CodeField(max_length=40, required=False, help_text="What a guide's phone showed, if it was scanned.")


class PhonePerMember(PerCaller):
    """Phone codes of one member."""

    rate = "phone"


class Phone(MemberView):
    """`/api/v1/me/phone/`: bind a phone and become a member."""

    throttle_classes = (PhonePerMember,)
    holds_scope = False

    @endpoint(
        "bind_phone",
        "Bind the phone of the phone button and join",
        tag="me",
        auth=MEMBER,
        description=(
            "Exchanges the code of the phone button; WeChat itself checks that it belongs to this person. Binding the "
            "same phone again with a new code gives the same answer. A double tap with one code binds once; the second "
            "answer is 409 `phone_code_used`: read `/me/` then. If the brand knows the phone from elsewhere (say, a "
            "card issued in a shop), both records become one."
        ),
        body=PhoneBinding,
        body_example={
            "code": "e31968a7f94cc5ee25fafc2aef2773f0bb8c3937b22520eb8ee345274d00c144",
            "consent": {"text_version": "2026-11", "purposes": ["SERVICE"]},
        },
        answer=Card,
        example=CARD_EXAMPLE,
        errors=problems(
            409,
            503,
            s409={
                "phone_code_used": "This code was sent before, has expired, or belongs to another person.",
                "phone_taken": "The phone belongs to another member of the brand.",
                "join_code_refused": "No guide shows this join code any more; the phone code was not spent.",
            },
            s503={"wechat_away": "WeChat cannot be asked right now; the same code may be sent again."},
        ),
    )
    def post(self, request: Request) -> Response:
        """Claim the code, ask WeChat outside every transaction, then bind and record consent in one."""
        given = read_body(PhoneBinding, request.data)
        caller = self.caller
        with brand_scope(caller.brand_id):
            check_join_code(given.get("join_code"), at=clock.now())
            if not services.claim_phone_code(session_id=caller.session_id, code=given["code"]):
                raise PhoneCodeUsed
            program = program_of(caller.appid)
        number = _ask_wechat(caller, program, given["code"])
        try:
            with brand_scope(caller.brand_id):
                member = bind(caller, number, given, source=SOURCE, at=clock.now())
                return Response(card(member.pk))
        except PhoneTaken as error:
            with brand_scope(caller.brand_id):  # nothing was bound; that both want the phone is kept
                services.note_taken_phone(member_id=caller.member_id, error=error, source=SOURCE, at=clock.now())
            raise


def _ask_wechat(caller: MemberPrincipal, program: MiniProgram | None, code: str) -> str:
    if program is None:
        raise WeChatAway
    try:
        return gateway.shared_phone(program, code, openid=caller.openid, at=clock.now())
    except CodeRefused:
        raise PhoneCodeUsed from None
    except (TooManyTries, WeChatAway):
        with brand_scope(caller.brand_id):
            services.release_phone_code(session_id=caller.session_id)
        raise


def bind(caller: MemberPrincipal, number: str, given: dict[str, Any], *, source: str, at: datetime) -> Member:
    """Bind a phone, record consent and what a join code brings, all in the transaction of the caller."""
    known = selectors.member_by_id(caller.member_id)
    member = services.bind_phone(member=known, number=number, source=source, at=at)
    consent = given.get("consent")
    if consent is not None:
        for purpose in sorted(set(consent["purposes"])):
            services.give_consent(
                member=member,
                purpose=purpose,
                text_version=consent["text_version"],
                channel=CHANNEL,
                source=source,
                at=at,
            )
    is_new = known.joined_at is None and member.joined_at == at
    join_through(given.get("join_code"), member_id=member.pk, is_new=is_new, at=at)
    return member
