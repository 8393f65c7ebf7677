"""Command line: ``python -m wechat_simulator``."""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

import uvicorn

from wechat_simulator.clock import DEFAULT_START, Clock, parse_moment
from wechat_simulator.pushes import is_loopback
from wechat_simulator.server import TRANSPORT, Application, Receive, Scope, Send
from wechat_simulator.simulation import Simulation
from wechat_simulator.switches import Switches
from wechat_simulator.world import DEFAULT_SEED

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


async def _with_transport(app: Any, transport: asyncio.Transport, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ANN401
    scope[TRANSPORT] = transport
    await app(scope, receive, send)


class Server(uvicorn.Server):
    """Tells open event streams to end before it waits for them."""

    def __init__(self, config: uvicorn.Config, sim: Simulation) -> None:
        super().__init__(config)
        self._sim = sim

    def handle_exit(self, sig: int, frame: Any) -> None:  # noqa: ANN401 - as the base class
        """A signal to stop."""
        self._sim.bus.close()
        super().handle_exit(sig, frame)


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="wechat_simulator", description="A stand-in for WeChat's servers on loopback."
    )
    parser.add_argument("--host", default="127.0.0.1", help="loopback address to listen on")
    parser.add_argument("--port", type=int, default=int(os.environ.get("ZHIYIN_SIMULATOR_PORT", "8002")))
    parser.add_argument("--world", type=Path, action="append", default=[], help="JSON file to merge at the start")
    parser.add_argument("--state-dir", type=Path, default=None, help="restore from here, save here on exit")
    parser.add_argument("--seed", default=DEFAULT_SEED)
    parser.add_argument("--start", default=None, help="simulated start, ISO (Asia/Shanghai) or epoch seconds")
    parser.add_argument("--rate", type=float, default=1.0, help="simulated seconds per real second")
    parser.add_argument("--switch", action="append", default=[], metavar="NAME=JSON", help="set a switch")
    parser.add_argument("--log-level", default="warning")
    return parser.parse_args(argv)


def make_simulation(options: argparse.Namespace) -> Simulation:
    """World, clock and switches as asked for."""
    start = DEFAULT_START
    if options.start is not None:
        start = float(options.start) if options.start.replace(".", "", 1).isdecimal() else parse_moment(options.start)
    switches = Switches()
    for item in options.switch:
        name, _, value = item.partition("=")
        switches.change({name: json.loads(value)})
    sim = Simulation(seed=options.seed, clock=Clock(start, options.rate), switches=switches)
    if options.state_dir is not None:
        sim.restore(options.state_dir)
    for path in options.world:
        sim.merge_world(json.loads(path.read_text(encoding="utf-8")))
    return sim


def main(argv: list[str] | None = None) -> int:
    """Run until a signal."""
    options = arguments(argv)
    logging.basicConfig(level=options.log_level.upper())
    if not is_loopback(options.host):
        sys.stderr.write("the simulator listens on loopback only\n")
        return 2
    sim = make_simulation(options)
    config = uvicorn.Config(
        Application(sim, options.state_dir),
        host=options.host,
        port=options.port,
        http=TransportProtocol,
        ws="none",
        lifespan="on",
        log_level=options.log_level,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        backlog=4096,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=3,
    )
    sys.stdout.write(f"wechat_simulator on http://{options.host}:{options.port}\n")
    sys.stdout.flush()
    Server(config, sim).run()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
