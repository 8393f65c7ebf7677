"""Who calls the API: a member's mini-program session or one of the brand's other systems."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.tokens import AccessToken

from accounts.selectors import KeyHolder, holder_of_key

if TYPE_CHECKING:
    from rest_framework.request import Request


@dataclass(frozen=True)
class MemberPrincipal:
    """A person in a mini-program, known by our own token."""

    brand_id: int
    member_id: int
    appid: str
    openid: str
    is_authenticated: bool = True


@dataclass(frozen=True)
class SystemPrincipal:
    """One of the brand's other systems, known by an API key."""

    brand_id: int
    key_id: int
    label: str
    scopes: tuple[str, ...]
    is_authenticated: bool = True


def issue_member_token(*, brand_id: int, member_id: int, appid: str, openid: str) -> tuple[str, int]:
    """Make the token a mini-program front end sends as `Authorization: Bearer …`. Gives (token, seconds it lives)."""
    lifetime = timedelta(minutes=settings.SIMPLE_JWT_ACCESS_MINUTES)
    token = AccessToken()
    token.set_exp(lifetime=lifetime)
    token["brand"], token["member"], token["appid"], token["openid"] = brand_id, member_id, appid, openid
    return str(token), int(lifetime.total_seconds())


class MemberTokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer <token>` of a mini-program session."""

    def authenticate(self, request: Request) -> tuple[MemberPrincipal, None] | None:
        """Give the member a valid token stands for; a bad token is 401."""
        kind, _sep, value = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer":
            return None
        try:
            token = AccessToken(value.strip().encode())  # type: ignore[arg-type]
            principal = MemberPrincipal(
                int(token["brand"]), int(token["member"]), str(token["appid"]), str(token["openid"])
            )
        except (TokenError, KeyError, ValueError, TypeError):
            raise exceptions.AuthenticationFailed from None
        return principal, None

    def authenticate_header(self, request: Request) -> str:
        """Name the scheme, so that refusals are 401."""
        return "Bearer"


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Key <key>` of one of the brand's other systems."""

    def authenticate(self, request: Request) -> tuple[SystemPrincipal, None] | None:
        """Give the system a valid key stands for; a bad key is 401."""
        kind, _sep, value = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "key":
            return None
        holder: KeyHolder | None = holder_of_key(value.strip())
        if holder is None:
            raise exceptions.AuthenticationFailed
        return SystemPrincipal(holder.brand_id, holder.key_id, holder.label, holder.scopes), None

    def authenticate_header(self, request: Request) -> str:
        """Name the scheme, so that refusals are 401."""
        return "Key"


class MemberTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the API description shows member tokens."""

    target_class = "accounts.rest.authentication.MemberTokenAuthentication"
    name = "memberToken"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """Describe the scheme."""
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the API description shows API keys."""

    target_class = "accounts.rest.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """Describe the scheme."""
        return {"type": "apiKey", "in": "header", "name": "Authorization", "description": "Key <key>"}
