"""Gives up connections to the gateway that never finish a request's headers; uvicorn itself waits for ever.

Bodies have their own limit (`wechat_gateway.asgi.BODY_SECONDS`), idle connections after an answer uvicorn's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    from asyncio import TimerHandle, Transport

HEADER_SECONDS: Final = 10.0

_waiting: WeakKeyDictionary[HttpToolsProtocol, TimerHandle] = WeakKeyDictionary()


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
        _stop(self)
        complete(self)

    def connection_lost(self: HttpToolsProtocol, error: Exception | None) -> None:
        _stop(self)
        lost(self, error)

    kind.connection_made, kind.on_message_begin = connection_made, on_message_begin
    kind.on_headers_complete, kind.connection_lost = on_headers_complete, connection_lost


def _wait(connection: HttpToolsProtocol) -> None:
    _waiting[connection] = connection.loop.call_later(HEADER_SECONDS, _give_up, connection)


def _stop(connection: HttpToolsProtocol) -> None:
    timer = _waiting.pop(connection, None)
    if timer is not None:
        timer.cancel()


def _give_up(connection: HttpToolsProtocol) -> None:
    _waiting.pop(connection, None)
    if not connection.transport.is_closing():
        connection.transport.abort()
