"""Who calls the API: a member's mini-program session or one of the brand's other systems."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.tokens import AccessToken

from accounts.rest.callers import MemberPrincipal, SessionClaim, SystemPrincipal, sessions
from accounts.selectors import KeyHolder, holder_of_key

if TYPE_CHECKING:
    from datetime import datetime

    from rest_framework.request import Request


def token_lifetime() -> timedelta:
    """Give how long a member's token is good for."""
    return timedelta(minutes=settings.SIMPLE_JWT_ACCESS_MINUTES)


def issue_member_token(*, brand_id: int, session_id: uuid.UUID) -> tuple[str, int]:
    """Make the token a mini-program front end sends as `Authorization: Bearer …`. Gives (token, seconds it lives).

    Its holder can read it, so it says nothing but the brand and a random session id.
    """
    lifetime = token_lifetime()
    token = AccessToken()
    token.set_exp(lifetime=lifetime)
    token["brand"], token["session"] = brand_id, session_id.hex
    return str(token), int(lifetime.total_seconds())


# Ours have some 300 characters; nothing much longer is worth decoding.
_MAX_TOKEN: Final = 512


def claim_of_token(token: str) -> SessionClaim | None:
    """Give what a token says, None unless it is ours, unchanged and not over."""
    if len(token) > _MAX_TOKEN:
        return None
    try:
        said = AccessToken(token)  # type: ignore[arg-type] # a text is what it reads; its hint names the class
        return SessionClaim(int(said["brand"]), uuid.UUID(said["session"]))
    except (TokenError, KeyError, ValueError, TypeError, AttributeError):
        return None


class MemberTokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer <token>` of a mini-program session."""

    def authenticate(self, request: Request) -> tuple[SessionClaim, None] | None:
        """Give what a valid token claims; a bad token is 401. `BrandAPIView` looks the session up."""
        kind, _sep, value = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer":
            return None
        claim = claim_of_token(value.strip())
        if claim is None:
            raise exceptions.AuthenticationFailed
        return claim, None

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
        clear = value.strip()
        holder: KeyHolder | None = holder_of_key(clear) if clear.isascii() and clear.isprintable() else None
        if holder is None:
            raise exceptions.AuthenticationFailed
        return SystemPrincipal(holder.brand_id, holder.key_id, holder.label, holder.scopes, holder.last_used_at), None

    def authenticate_header(self, request: Request) -> str:
        """Name the scheme, so that refusals are 401."""
        return "Key"


def live_principal(claim: SessionClaim, at: datetime) -> MemberPrincipal:
    """Give the person behind a claim, in the brand in scope; 401 when the session has ended."""
    for _key, find in sessions.items():
        found = find(claim, at)
        if found is not None:
            return found
    raise exceptions.AuthenticationFailed


class MemberTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the API description shows member tokens."""

    target_class = "accounts.rest.authentication.MemberTokenAuthentication"
    name = "memberToken"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """Describe the scheme."""
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "The token that POST /api/v1/session/ gives to a mini program.",
        }


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the API description shows API keys."""

    target_class = "accounts.rest.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """Describe the scheme."""
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Key <key>`: a key of another system of the brand, issued in the console with its scopes.",
        }
