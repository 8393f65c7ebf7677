"""Signing in from a mini program, and out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework import serializers
from rest_framework.response import Response

from accounts.rest.authentication import issue_member_token, token_lifetime
from accounts.rest.permissions import MembersOnly
from accounts.rest.schema import MEMBER, NOBODY, endpoint, problems
from accounts.rest.serializers import CodeField, StrictSerializer, read_body
from accounts.rest.throttling import PerAddress
from accounts.rest.views import BrandAPIView
from accounts.tenancy import brand_scope
from common import clock
from members import services
from members.api.me import card
from members.api.shapes import CARD_EXAMPLE, Card
from wechat_gateway import services as gateway
from wechat_gateway.errors import CodeRefused

if TYPE_CHECKING:
    from rest_framework.authentication import BaseAuthentication
    from rest_framework.request import Request


LONGEST_CODE = 128


class LogIn(StrictSerializer):
    """Which mini program, and the code of `wx.login`."""

    appid = CodeField(max_length=32, help_text="AppID of the mini program; it decides the brand.")
    code = CodeField(max_length=2048, allow_blank=True, help_text="Code of `wx.login()`: works once, five minutes.")


class Session(serializers.Serializer[Any]):
    """A token, and who has signed in."""

    token = serializers.CharField(help_text="Send it as `Authorization: Bearer <token>`.")
    expires_in = serializers.IntegerField(help_text="Seconds the token is good for; then call `wx.login()` again.")
    member = Card()


class LogInPerAddress(PerAddress):
    """Log-ins of one address."""

    rate = "log-in"


class SessionGate(BrandAPIView):
    """`/api/v1/session/`: sign in with POST, out with DELETE."""

    def get_authenticators(self) -> list[BaseAuthentication]:
        """Nobody is known before signing in, and whatever token comes along says nothing."""
        return super().get_authenticators() if self._signs_out() else []

    def get_permissions(self) -> list[Any]:
        """Anybody may sign in; only a session can be ended."""
        return [MembersOnly()] if self._signs_out() else []

    def get_throttles(self) -> list[Any]:
        """Signing in is limited by address."""
        return super().get_throttles() if self._signs_out() else [LogInPerAddress()]

    def _signs_out(self) -> bool:
        return getattr(self.request, "method", None) == "DELETE"  # the description has views without a request

    @endpoint(
        "open_session",
        "Sign in with the code of wx.login",
        tag="session",
        auth=NOBODY,
        description=(
            "Exchanges the code of `wx.login()` for a token. The person is the one WeChat names; somebody who follows "
            "the brand's service account under the same unionid is the same member. Nothing the client says about "
            "itself but `appid` and `code` is taken."
        ),
        body=LogIn,
        body_example={"appid": "wx0123456789abcdef", "code": "0a3Kx1000mQbXS1yZ8300Yd2Gq0Kx10Q"},
        answer=Session,
        example={"token": "eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl", "expires_in": 7200, "member": CARD_EXAMPLE},
        status=201,
        errors=problems(
            401,
            403,
            429,
            503,
            s401={"code_refused": "The code has expired or was used, or nobody has connected this AppID."},
            s403={"person_blocked": "WeChat does not let this person sign in."},
            s503={"wechat_away": "WeChat cannot be asked right now, or refuses the mini program's AppSecret."},
        ),
    )
    def post(self, request: Request) -> Response:
        """Ask WeChat who it is, outside every transaction; then record the person and the session in one."""
        given = read_body(LogIn, request.data)
        if not 0 < len(given["code"]) <= LONGEST_CODE:
            raise CodeRefused
        signed_in = gateway.sign_in(given["appid"], given["code"])
        program, at = signed_in.program, clock.now()
        with brand_scope(program.brand_id):
            member = services.record_mini_program_user(
                appid=program.appid,
                openid=signed_in.openid,
                unionid=signed_in.unionid,
                subject=program.open_platform_subject,
                at=at,
            )
            session = services.open_session(
                member=member,
                appid=program.appid,
                openid=signed_in.openid,
                session_key=signed_in.session_key,
                lifetime=token_lifetime(),
                at=at,
            )
            token, seconds = issue_member_token(brand_id=program.brand_id, session_id=session.public_id)
            return Response({"token": token, "expires_in": seconds, "member": card(member.pk)}, status=201)

    @endpoint(
        "close_session",
        "Sign out",
        tag="session",
        auth=MEMBER,
        status=204,
        description="Ends this session: its token stops working at once, and WeChat's session key is erased.",
    )
    def delete(self, request: Request) -> Response:
        """End the session."""
        services.end_session(session_id=request.user.session_id)  # type: ignore[union-attr]
        return Response(status=204)
