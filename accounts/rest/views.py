"""The base of every endpoint: one transaction in the caller's brand."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

from django.db import DatabaseError
from django.utils import translation
from rest_framework.exceptions import NotFound
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.rest.authentication import ApiKeyAuthentication, MemberTokenAuthentication, live_principal
from accounts.rest.callers import SessionClaim, SystemPrincipal
from accounts.rest.parsers import StrictJSONParser
from accounts.rest.permissions import Authenticated
from accounts.rest.renderers import OrjsonRenderer
from accounts.rest.throttling import PerCaller, PerKey, caller_address
from accounts.services import note_key_use
from accounts.tenancy import brand_scope
from accounts.viewer import Viewer, viewing
from common import clock
from common.registry import Registry

if TYPE_CHECKING:
    from rest_framework.authentication import BaseAuthentication
    from rest_framework.request import Request


class OnlyJson(DefaultContentNegotiation):
    """Answers are JSON whatever the caller would rather have."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        """Give the one renderer there is."""
        return renderers[0], renderers[0].media_type


class JsonAPIView(APIView):
    """A view that takes strict JSON and answers JSON in one error shape and in the language of `Accept-Language`."""

    parser_classes = (StrictJSONParser,)
    renderer_classes = (OrjsonRenderer,)
    content_negotiation_class = OnlyJson
    metadata_class = None  # OPTIONS would describe serializers without asking who calls

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Speak the caller's language."""
        with translation.override(translation.get_language_from_request(request)):
            return super().dispatch(request, *args, **kwargs)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Personal data is never kept by anything between us and the caller."""
        response = super().finalize_response(request, response, *args, **kwargs)
        response.headers.setdefault("Cache-Control", "private, no-store")
        return response


class OpenAPIView(JsonAPIView):
    """An endpoint for callers nobody knows yet."""

    authentication_classes = ()
    permission_classes = ()


#: Who is told, in the same transaction, that one of the brand's other systems has read something about one person.
person_reads: Registry[Callable[..., None]] = Registry(
    "person reads", purpose="who is told that a system read about one person: callable(*, member_no, page, at)"
)
_OF_PERSON: Final = "<str:member_no>/"


class _Undo(Exception):
    """Carries a refusal through the scope, so that its transaction is rolled back."""


class BrandAPIView(JsonAPIView):
    """A view that runs in the brand its caller belongs to: one transaction, rolled back when an error is answered.

    With `holds_scope = False` the caller is looked up and the transaction ends before the method runs: for methods
    that call WeChat and open short scopes of their own.
    """

    authentication_classes = (MemberTokenAuthentication, ApiKeyAuthentication)
    permission_classes: Any = (Authenticated,)
    throttle_classes: Any = (PerCaller, PerKey)
    holds_scope = True

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Keep the scope open while the method runs; a fault at its end is answered like any other."""
        self._refused = False
        try:
            with ExitStack() as self._viewing, ExitStack() as self._scope:
                response = super().dispatch(request, *args, **kwargs)
                if self._refused:
                    raise _Undo  # noqa: TRY301 - it is for the scopes in between
                if "member_no" in kwargs:
                    self._tell_of_read(request, kwargs["member_no"])
        except _Undo:
            return response
        except DatabaseError as error:
            return self.finalize_response(self.request, self.handle_exception(error), *args, **kwargs)
        return response

    def perform_authentication(self, request: Request) -> None:
        """Find out who calls, and open their brand."""
        user: Any = request.user
        if user is None:
            return
        self._scope.enter_context(brand_scope(user.brand_id))
        if isinstance(user, SessionClaim):
            user = live_principal(user, clock.now())
            request.user = user
        elif isinstance(user, SystemPrincipal):
            note_key_use(key_id=user.key_id, last=user.last_used_at, at=clock.now())
        label = user.label if isinstance(user, SystemPrincipal) else f"member {user.member_id}"
        viewer = Viewer(
            staff_id=None,
            label=label,
            brand_id=user.brand_id,
            role="",
            ip=caller_address(request),
            request_id=getattr(request, "request_id", ""),
            via="api",
            key_id=user.key_id if isinstance(user, SystemPrincipal) else None,
        )
        self._viewing.enter_context(viewing(viewer))

    def _tell_of_read(self, request: Any, member_no: str) -> None:
        if request.method not in ("GET", "HEAD") or not isinstance(self.request.user, SystemPrincipal):
            return
        page = request.resolver_match.route.partition(_OF_PERSON)[2]
        for _key, tell in person_reads.items():
            tell(member_no=member_no, page=page, at=clock.now())

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Check who calls, what they may and how often."""
        super().initial(request, *args, **kwargs)
        if not self.holds_scope:
            self._scope.close()

    def handle_exception(self, exc: Exception) -> Response:
        """Answer an error; what was written before it is undone."""
        self._refused = True
        return super().handle_exception(exc)

    def get_authenticators(self) -> list[BaseAuthentication]:
        """Give one instance of each way to be known."""
        return [way() for way in self.authentication_classes]


class NothingHere(OpenAPIView):
    """Any address below /api/ that does not exist: 404 in the one error shape, whatever the method."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse before anything is read."""
        raise NotFound

    def http_method_not_allowed(self, request: Any, *args: Any, **kwargs: Any) -> Response:
        """Never reached: `initial` refuses first."""
        raise NotFound


def known_text(value: str) -> str:
    """Make a part of a path fit for a look-up: PostgreSQL takes no NUL, and nothing contains one."""
    return "" if "\x00" in value else value
