"""The base of every endpoint: one transaction in the caller's brand."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from rest_framework.views import APIView

from accounts.rest.authentication import SystemPrincipal
from accounts.tenancy import brand_scope
from accounts.viewer import Viewer, viewing

if TYPE_CHECKING:
    from rest_framework.request import Request


class BrandAPIView(APIView):
    """A view that runs in the brand its caller belongs to: one transaction, rolled back when an error is answered."""

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Keep the scope open while the method runs."""
        with ExitStack() as self._scope:
            return super().dispatch(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Open the caller's brand once the caller is known and permitted."""
        super().initial(request, *args, **kwargs)
        user: Any = request.user
        if user is None:
            return
        self._scope.enter_context(brand_scope(user.brand_id))
        label = user.label if isinstance(user, SystemPrincipal) else f"member {user.member_id}"
        viewer = Viewer(
            staff_id=None,
            label=label,
            brand_id=user.brand_id,
            role="",
            ip=request.META.get("REMOTE_ADDR", ""),
            request_id=getattr(request, "request_id", ""),
            via="api",
        )
        self._scope.enter_context(viewing(viewer))

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Personal data is never kept by anything between us and the caller."""
        response = super().finalize_response(request, response, *args, **kwargs)
        response.headers.setdefault("Cache-Control", "private, no-store")
        return response
