"""Head and body of an answer leave the gateway in one write.

uvicorn writes them one after the other and uvloop sends at once whatever it is given: two system calls and two packets
an answer, each of which wakes the other side.
"""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle


def write_answers_whole() -> None:
    """Teach uvicorn's connections. Its server picks the class before it imports us."""
    kind: Any = HttpToolsProtocol
    complete = kind.on_headers_complete

    def on_headers_complete(self: HttpToolsProtocol) -> None:
        before = self.cycle
        complete(self)
        cycle: Any = self.cycle
        # A HEAD request has no body that its head could wait for; what becomes a websocket has no cycle.
        if cycle is not None and cycle is not before and cycle.scope["method"] != "HEAD":
            cycle.transport = _Together(cycle)

    kind.on_headers_complete = on_headers_complete


class _Together:
    """A transport as the cycle of one request sees it: the head of the answer is kept until the body comes."""

    __slots__ = ("_cycle", "_head", "_transport")

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._transport = cycle.transport
        self._head: bytes | None = None

    def write(self, data: bytes) -> None:
        """Pass on what comes before the answer ("100 Continue") and all that follows its head."""
        if self._head is not None:
            # Nothing else is held back: the cycle must not keep us, whom it would outlive until the collector comes.
            self._cycle.transport = self._transport
            self._transport.write(self._head + data)
        elif self._cycle.response_started:
            self._head = data
        else:
            self._transport.write(data)

    def is_closing(self) -> bool:
        """Whether the connection is being given up."""
        return self._transport.is_closing()

    def close(self) -> None:
        """Let the other side go; a head without its body says nothing and is dropped."""
        self._transport.close()
