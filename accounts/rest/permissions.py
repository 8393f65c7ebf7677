"""Who may call an endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.permissions import BasePermission

from accounts.rest.callers import MemberPrincipal, SystemPrincipal
from accounts.rest.scopes import SCOPES

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.views import APIView


class Authenticated(BasePermission):
    """Somebody must be known."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Say whether the caller is known."""
        return bool(request.user and request.user.is_authenticated)


class MembersOnly(BasePermission):
    """A mini-program session must be known."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Say whether the caller is a member's session; an API key is refused."""
        return isinstance(request.user, MemberPrincipal)


def needs_scope(scope: str, *, or_member: bool = False) -> type[BasePermission]:
    """Make a permission: an API key with this scope, or with `or_member` any member's session as well."""
    if scope not in SCOPES:
        raise LookupError(scope)

    class HasScope(BasePermission):
        def has_permission(self, request: Request, view: APIView) -> bool:
            if isinstance(request.user, MemberPrincipal):
                return or_member
            return isinstance(request.user, SystemPrincipal) and scope in request.user.scopes

    return HasScope
