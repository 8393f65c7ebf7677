"""What a member's front end asks about invitations: the own code, its picture, and by whom one came."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rest_framework import serializers
from rest_framework.response import Response

from accounts.rest.permissions import MembersOnly
from accounts.rest.schema import MEMBER, endpoint, problems
from accounts.rest.serializers import CodeField, StrictSerializer, TextField, read_body
from accounts.rest.throttling import PerCaller, caller_address
from accounts.rest.views import BrandAPIView
from common import clock
from coupons.codes import shown
from referrals import services
from referrals.models import Act, SignKind, State
from referrals.selectors import running, tally

if TYPE_CHECKING:
    from rest_framework.request import Request

    from referrals.models import Programme

LONGEST_SIGN: Final = 128
_PROGRAMME: Final = {
    "name": "带好友一起来",
    "last_day": "2026-12-31",
    "act": "ORDER",
    "at_least": 9900,
    "within_days": 30,
    "wait_days": 7,
    "inviter": {"points": 200, "coupon": None},
    "invited": {"points": 0, "coupon": "新朋友 20 元"},
}


class SideShape(serializers.Serializer[Any]):
    """What one side gets."""

    points = serializers.IntegerField(help_text="Points; 0 for none.")
    coupon = serializers.CharField(allow_null=True, help_text="Name of the coupon; null for none.")


class ProgrammeShape(serializers.Serializer[Any]):
    """The programme that runs today."""

    name = serializers.CharField(help_text="Its name.")
    last_day = serializers.DateField(allow_null=True, help_text="Last day, in the brand's zone; null without end.")
    act = serializers.ChoiceField(choices=Act.choices, help_text="What the invited person does.")
    at_least = serializers.IntegerField(help_text="For `ORDER`: of at least so many fen.")
    within_days = serializers.IntegerField(help_text="Within so many days of coming.")
    wait_days = serializers.IntegerField(help_text="Days that pass before anything is given.")
    inviter = SideShape(help_text="What who invites gets.")
    invited = SideShape(help_text="What who is invited gets.")


class OwnInvitationShape(serializers.Serializer[Any]):
    """The code by which the caller invites."""

    code = serializers.CharField(help_text="Put it into the link that is shared, say `?invite=…`.")
    programme = ProgrammeShape(allow_null=True, help_text="Null while none runs: the code still works later.")
    came = serializers.IntegerField(help_text="People who came by it.")
    counted = serializers.IntegerField(help_text="Of them, who did what the programme asks.")
    rewarded = serializers.IntegerField(help_text="Of them, for whom the reward was given.")


class OwnInvitation(BrandAPIView):
    """`/api/v1/me/invitation/`: the caller's code and what came of it."""

    permission_classes = (MembersOnly,)

    @endpoint(
        "get_own_invitation",
        "Get own invitation code",
        tag="me",
        auth=MEMBER,
        answer=OwnInvitationShape,
        example={"code": "F4KA-79TN-XWPM", "programme": _PROGRAMME, "came": 3, "counted": 2, "rewarded": 1},
        description="The code is the member's own and stays the same. It names nobody.",
    )
    def get(self, request: Request) -> Response:
        """Show it."""
        user: Any = request.user
        at = clock.now()
        row = services.own_invitation(member_id=user.member_id, at=at)
        programme = running(at)
        body = {"code": shown(row.code), "programme": _programme(programme) if programme else None}
        return Response(body | tally(user.member_id))


class PictureAsked(StrictSerializer):
    """An empty body."""


class PictureShape(serializers.Serializer[Any]):
    """A picture that brings followers."""

    url = serializers.URLField(help_text="Where WeChat shows the picture of the code.")
    until = serializers.DateTimeField(help_text="Until when it works; ask again then.")


class PicturePerMember(PerCaller):
    """Pictures of one member."""

    rate = "phone"

    def key(self, request: Request) -> str | None:
        """Count apart from phone codes."""
        known = super().key(request)
        return f"{known}:invitation" if known else None


class OwnPicture(BrandAPIView):
    """`/api/v1/me/invitation/code/`: a picture whose scan makes a follower whom the caller invited."""

    permission_classes = (MembersOnly,)
    throttle_classes = (PerCaller, PicturePerMember)
    holds_scope = False

    @endpoint(
        "make_invitation_picture",
        "Get a picture of the invitation that brings followers",
        tag="me",
        auth=MEMBER,
        body=PictureAsked,
        body_example={},
        answer=PictureShape,
        example={
            "url": "https://mp.weixin.qq.com/cgi-bin/showqrcode?ticket=gQH47joAAAAAAAAAASxodHRwOi8vd2VpeGlu",
            "until": "2026-12-21T06:00:00Z",
        },
        errors=problems(
            409,
            s409={
                "no_programme": "No programme runs today.",
                "code_unavailable": "WeChat has not made it, or no service account is connected: share the link.",
            },
        ),
        description="WeChat makes it for 30 days; until it is nearly over, asking again gives the same one.",
    )
    def post(self, request: Request) -> Response:
        """Give it; WeChat is asked outside every transaction."""
        read_body(PictureAsked, request.data)
        user: Any = request.user
        url, until = services.picture_of(brand_id=user.brand_id, member_id=user.member_id, at=clock.now())
        return Response({"url": url, "until": until})


class InvitedBody(StrictSerializer):
    """By whose invitation somebody came."""

    code = TextField(max_length=64, help_text="From the link; case, width, spaces and dashes make no difference.")
    device = CodeField(
        max_length=LONGEST_SIGN,
        required=False,
        help_text="An id the mini program keeps on the device. Only a fingerprint is kept, to notice made-up people.",
    )


class InvitedShape(serializers.Serializer[Any]):
    """The caller came by an invitation."""

    programme = ProgrammeShape(help_text="The programme of the day on which they came.")
    state = serializers.ChoiceField(choices=State.choices, help_text="How it stands.")
    at = serializers.DateTimeField(help_text="When they came.")


class OwnInviter(BrandAPIView):
    """`/api/v1/me/invited-by/`: say by which invitation the caller came."""

    permission_classes = (MembersOnly,)

    @endpoint(
        "accept_invitation",
        "Say by which invitation one came",
        tag="me",
        auth=MEMBER,
        body=InvitedBody,
        body_example={"code": "F4KA-79TN-XWPM", "device": "d-6b1f0c2e9a7d4428"},
        answer=InvitedShape,
        example={"programme": _PROGRAMME, "state": "OPEN", "at": "2026-11-21T06:00:00Z"},
        status=201,
        errors=problems(
            404,
            409,
            422,
            s404={"invitation_unknown": "Nobody invites by this code."},
            s409={
                "own_invitation": "The caller's own code, under whatever record.",
                "not_new": "The brand knew the caller before: more than half an hour.",
                "invited_before": "Somebody else's invitation came first.",
                "no_programme": "No programme runs today.",
            },
            s422={"invalid": "Some values cannot be used.", "member_gone": "The person's data was deleted."},
        ),
        description=(
            "Call it right after signing in for the first time, with the code of the link. The first invitation "
            "counts; the same code sent again gives the same answer."
        ),
    )
    def post(self, request: Request) -> Response:
        """Keep it."""
        given = read_body(InvitedBody, request.data)
        user: Any = request.user
        signs = {SignKind.DEVICE.value: given.get("device", ""), SignKind.NETWORK.value: caller_address(request)}
        row, _new = services.accept(member_id=user.member_id, code=given["code"], at=clock.now(), signs=signs)
        body = {"programme": _programme(row.programme), "state": _told(row.state), "at": row.bound_at}
        return Response(body, status=201)


def _told(state: str) -> str:
    """Whoever makes people up does not hear what was noticed."""
    return State.WAITING if state == State.HELD else State.PAID if state == State.DOUBTED else state


def _programme(row: Programme) -> dict[str, Any]:
    return {
        "name": row.name,
        "last_day": row.last_day,
        "act": row.act,
        "at_least": row.at_least,
        "within_days": row.within_days,
        "wait_days": row.wait_days,
        "inviter": _side(row, "inviter"),
        "invited": _side(row, "invited"),
    }


def _side(row: Programme, side: str) -> dict[str, Any]:
    template = getattr(row, f"{side}_template")
    return {"points": getattr(row, f"{side}_points"), "coupon": template.name if template else None}
