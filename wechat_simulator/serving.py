"""How the application is served: uvicorn with a protocol that lets faults cut the TCP connection."""

from __future__ import annotations

import asyncio
import functools
from pathlib import Path
from typing import Any

import uvicorn

from wechat_simulator.server import TRANSPORT, Application, Receive, Scope, Send
from wechat_simulator.simulation import Simulation

try:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as HttpProtocol
except ImportError:  # httptools is a faster parser; without it everything works, more slowly
    from uvicorn.protocols.http.h11_impl import H11Protocol as HttpProtocol  # type: ignore[assignment]


class TransportProtocol(HttpProtocol):
    """Hands the TCP transport to the application, which must be able to cut it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Remember the transport for every request of this connection."""
        super().connection_made(transport)
        self.app = functools.partial(_with_transport, self.app, transport)


async def _with_transport(app: Any, transport: asyncio.Transport, scope: Scope, receive: Receive, send: Send) -> None:
    scope[TRANSPORT] = transport
    await app(scope, receive, send)


class Server(uvicorn.Server):
    """Tells open event streams to end before it waits for them."""

    def __init__(self, config: uvicorn.Config, sim: Simulation) -> None:
        super().__init__(config)
        self._sim = sim

    async def shutdown(self, sockets: Any = None) -> None:
        """End the streams, then stop as uvicorn does."""
        self._sim.bus.close()
        await super().shutdown(sockets)

    @property
    def port(self) -> int:
        """The port it listens on (of interest when port 0 was asked for)."""
        port: int = self.servers[0].sockets[0].getsockname()[1]
        return port


def make_server(
    sim: Simulation, host: str, port: int, *, state_dir: Path | None = None, log_level: str = "warning"
) -> Server:
    """A server that is not running yet."""
    config = uvicorn.Config(
        Application(sim, state_dir),
        host=host,
        port=port,
        http=TransportProtocol,
        ws="none",
        lifespan="on",
        log_level=log_level,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        backlog=4096,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=3,
    )
    return Server(config, sim)
