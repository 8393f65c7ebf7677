"""The caller's own key of a request: the same request with the same key happens once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter

if TYPE_CHECKING:
    from rest_framework.request import Request

_LONGEST: Final = 80


def key_parameter(means: str) -> OpenApiParameter:
    """Describe the header; `means` says what an equal key stands for."""
    return OpenApiParameter(
        "Idempotency-Key",
        OpenApiTypes.STR,
        OpenApiParameter.HEADER,
        description=f"The caller's own key, at most {_LONGEST} characters: {means}.",
    )


def key_of(request: Request) -> str | None:
    """Give the key of a request, '' without one, None for one that cannot be used."""
    key = str(request.META.get("HTTP_IDEMPOTENCY_KEY", ""))
    return key if len(key) <= _LONGEST and key.isprintable() else None
