"""The far end of the sending measurements: HTTP/1.1, one answer per message, tokens, and a record of what came.

`python -m benchmarks.sending.endpoint [--tls CERTIFICATE KEY] [--latency MS]` answers `port`, `take` and `accepted`
(see `child.serve`). It costs a small part of what a simulated WeChat does, so that the cores are the contestants'.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import ssl
import threading
from typing import Any

import uvloop

from benchmarks.sending.child import serve

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_ID = re.compile(rb'"client_msg_id": ?"([^"]+)"')
_TOKEN = b'{"access_token":"bench-token","expires_in":7200}'
_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nConnection: keep-alive\r\nContent-Length: "
)


class Seen:
    """What has come since it was last asked for."""

    def __init__(self) -> None:
        self.calls = 0
        self.msgids: dict[bytes, int] = {}
        self.bad = 0
        self.msgid = 3_000_000_000_000_000_000

    def take(self) -> dict[str, int]:
        """Give the counts and begin anew."""
        found = {"calls": self.calls, "distinct": len(self.msgids), "bad": self.bad}
        self.calls, self.bad, self.msgids = 0, 0, {}
        return found

    def accepted(self) -> dict[str, Any]:
        """Give the counts and the msgid of each message by its `client_msg_id`, and begin anew."""
        msgids = {name.decode(): str(msgid) for name, msgid in self.msgids.items()}
        return {**self.take(), "msgids": msgids}


class Answering(asyncio.Protocol):
    """One connection: a request is answered as soon as its body is there."""

    def __init__(self, seen: Seen, latency: float) -> None:
        self._seen = seen
        self._latency = latency
        self._loop = asyncio.get_running_loop()
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
            if b"/stable_token" in buffer[:40]:
                self._write(_TOKEN)
            elif self._latency:
                self._loop.call_later(self._latency, self._answer, buffer[end + 4 : size])
            else:
                self._answer(buffer[end + 4 : size])
            buffer = buffer[size:]
        self._buffer = buffer

    def _answer(self, body: bytes) -> None:
        seen = self._seen
        seen.calls += 1
        seen.msgid += 1
        found = _ID.search(body)
        if found is None:
            seen.bad += 1
        else:
            seen.msgids[found[1]] = seen.msgid
        self._write(b'{"errcode":0,"errmsg":"ok","msgid":%d}' % seen.msgid)

    def _write(self, answer: bytes) -> None:
        self._transport.write(_HEAD + b"%d\r\n\r\n" % len(answer) + answer)


def main() -> None:
    """Serve until the input ends."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--tls", nargs=2, metavar=("CERTIFICATE", "KEY"))
    parser.add_argument("--latency", type=float, default=0, metavar="MS")
    chosen = parser.parse_args()
    context = None
    if chosen.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*chosen.tls)
    seen = Seen()
    ready: threading.Event = threading.Event()
    ports: list[int] = []

    async def run() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: Answering(seen, chosen.latency / 1000), "127.0.0.1", 0, ssl=context, backlog=1024
        )
        ports.append(server.sockets[0].getsockname()[1])
        ready.set()
        await asyncio.Event().wait()

    threading.Thread(target=lambda: uvloop.run(run()), daemon=True).start()
    ready.wait(30)
    serve({"port": lambda: ports[0], "take": seen.take, "accepted": seen.accepted})


if __name__ == "__main__":
    main()
