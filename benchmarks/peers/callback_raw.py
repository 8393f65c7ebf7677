"""The limit: a bare ASGI application that takes the request and answers with static bytes of a reply's size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_BODY: Final = b"<xml>" + b"x" * 620 + b"</xml>"
_HEADERS: Final = [(b"content-type", b"text/xml; charset=utf-8"), (b"content-length", b"%d" % len(_BODY))]


async def application(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Answer anything."""
    if scope["type"] != "http":
        return
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": _BODY})
