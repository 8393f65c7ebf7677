"""Gives up connections to the gateway that never finish a request's headers; uvicorn itself waits for ever.

Bodies have their own limit (`wechat_gateway.asgi.BODY_SECONDS`), idle connections after an answer uvicorn's own.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, TimerHandle, Transport

HEADER_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.5

# Since when each connection waits for headers, the oldest first. Nearly all end within the same read: one look at them
# all now and then costs them less than a timer each.
_waiting: dict[HttpToolsProtocol, float] = {}
_looks: dict[AbstractEventLoop, TimerHandle] = {}


def limit_headers() -> None:
    """Teach uvicorn's connections patience of ten seconds. Its server picks the class before it imports us."""
    kind: Any = HttpToolsProtocol
    made, began, complete, lost = (
        kind.connection_made,
        kind.on_message_begin,
        kind.on_headers_complete,
        kind.connection_lost,
    )

    def connection_made(self: HttpToolsProtocol, transport: Transport) -> None:
        made(self, transport)
        _wait(self)

    def on_message_begin(self: HttpToolsProtocol) -> None:
        began(self)
        if self not in _waiting:
            _wait(self)

    def on_headers_complete(self: HttpToolsProtocol) -> None:
        _waiting.pop(self, None)
        complete(self)

    def connection_lost(self: HttpToolsProtocol, error: Exception | None) -> None:
        _waiting.pop(self, None)
        lost(self, error)

    kind.connection_made, kind.on_message_begin = connection_made, on_message_begin
    kind.on_headers_complete, kind.connection_lost = on_headers_complete, connection_lost


def _wait(connection: HttpToolsProtocol) -> None:
    _waiting[connection] = time.monotonic()
    if connection.loop not in _looks:
        _look_later(connection.loop)


def _look_later(loop: AbstractEventLoop) -> None:
    _looks[loop] = loop.call_later(_LOOK_SECONDS, _look, loop)


def _look(loop: AbstractEventLoop) -> None:
    """Give up whoever has waited too long; look again for as long as anybody waits."""
    now = time.monotonic()
    for connection, since in list(_waiting.items()):
        if now - since < HEADER_SECONDS:
            break
        del _waiting[connection]
        if not connection.transport.is_closing():
            connection.transport.abort()
    if _waiting:
        _look_later(loop)
    else:
        del _looks[loop]
