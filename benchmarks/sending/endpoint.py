"""The far end of the client's measurement: TLS, HTTP/1.1, one answer per message, and a count of what came.

`python -m benchmarks.sending.endpoint CERTIFICATE KEY` prints its port and answers `take` (see `child.serve`).
"""

from __future__ import annotations

import asyncio
import re
import ssl
import sys
import threading
from typing import Any

import uvloop

from benchmarks.sending.child import serve

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_ID = re.compile(rb'"client_msg_id": ?"([^"]+)"')
_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nConnection: keep-alive\r\nContent-Length: "
)


class Seen:
    """What has come since it was last asked for."""

    def __init__(self) -> None:
        self.calls = 0
        self.ids: set[bytes] = set()
        self.bad = 0
        self.msgid = 3_000_000_000_000_000_000

    def take(self) -> dict[str, int]:
        """Give the counts and begin anew."""
        found = {"calls": self.calls, "distinct": len(self.ids), "bad": self.bad}
        self.calls, self.bad, self.ids = 0, 0, set()
        return found


class Answering(asyncio.Protocol):
    """One connection: a request is answered as soon as its body is there."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._buffer = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        buffer = self._buffer + data if self._buffer else data
        while True:
            end = buffer.find(b"\r\n\r\n")
            if end < 0:
                break
            found = _LENGTH.search(buffer, 0, end + 2)
            size = end + 4 + (int(found[1]) if found else 0)
            if len(buffer) < size:
                break
            self._answer(buffer[end + 4 : size])
            buffer = buffer[size:]
        self._buffer = buffer

    def _answer(self, body: bytes) -> None:
        seen = self._seen
        seen.calls += 1
        found = _ID.search(body)
        if found is None:
            seen.bad += 1
        else:
            seen.ids.add(found[1])
        seen.msgid += 1
        answer = b'{"errcode":0,"errmsg":"ok","msgid":%d}' % seen.msgid
        self._transport.write(_HEAD + b"%d\r\n\r\n" % len(answer) + answer)


def main() -> None:
    """Serve until the input ends."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[1], sys.argv[2])
    seen = Seen()
    ready: threading.Event = threading.Event()
    ports: list[int] = []

    async def run() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Answering(seen), "127.0.0.1", 0, ssl=context, backlog=1024)
        ports.append(server.sockets[0].getsockname()[1])
        ready.set()
        await asyncio.Event().wait()

    threading.Thread(target=lambda: uvloop.run(run()), daemon=True).start()
    ready.wait(30)
    serve({"port": lambda: ports[0], "take": seen.take})


if __name__ == "__main__":
    main()
