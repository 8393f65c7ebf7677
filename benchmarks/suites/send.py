"""The client alone: processor time per message over TLS, beside aiohttp, wechatpy and Go."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.callback.processes import PEERS_PYTHON
from benchmarks.rounds import Absent, Bar, InvalidRunError, Reading
from benchmarks.sending import certificate
from benchmarks.sending.child import Child
from benchmarks.sending.stack import Stack
from launcher.state import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchmarks.rounds import Contestant

OURS: Final = "ours"
AIOHTTP: Final = "aiohttp, 100 at a time"
WECHATPY: Final = "wechatpy, one by one"
GO: Final = "Go net/http, 100 at a time"
_COUNTS: Final = {OURS: 16_000, AIOHTTP: 8_000, WECHATPY: 1_000, GO: 16_000}
_NO_PEERS: Final = "no .venv-peers (make venv-peers)"


class Send:
    """Every contestant sends messages of the same form to the same endpoint."""

    key = "send"
    title = "client over TLS, processor time per message"
    unit = "us/message"
    rounds = 5
    bars = (
        Bar("G5", "client against aiohttp", OURS, AIOHTTP, "at most", 0.5),
        Bar("G5", "client against wechatpy", OURS, WECHATPY, "at most", 0.06),
        Bar("G5", "client against Go", OURS, GO, "at most", None, 1.0),
    )

    @contextmanager
    def prepare(self, _rounds: int) -> Iterator[Mapping[str, Contestant | Absent]]:
        """Start the endpoint and one process per contestant."""
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="zhiyin-bench-")))
            authority, server, key = certificate.make(folder)
            argv = [sys.executable, "-m", "benchmarks.sending.endpoint", "--tls", str(server), str(key)]
            endpoint = stack.enter_context(Child(argv, {}))
            url = f"https://127.0.0.1:{endpoint.ask('port')}"
            env = {"BENCH_URL": url, "SSL_CERT_FILE": str(authority)}
            servers = stack.enter_context(Stack())
            ours = servers.ours("benchmarks.sending.ours_client", ZHIYIN_WECHAT_BASE_URL=url, **env)
            children: dict[str, Child | Absent] = {OURS: ours, AIOHTTP: Absent(_NO_PEERS), WECHATPY: Absent(_NO_PEERS)}
            if PEERS_PYTHON.exists():
                for name, module in ((AIOHTTP, "send_aiohttp"), (WECHATPY, "send_wechatpy")):
                    children[name] = Child([str(PEERS_PYTHON), "-m", f"benchmarks.peers.{module}"], env)
            children[GO] = _go(folder, env)
            contestants: dict[str, Contestant | Absent] = {}
            for name, child in children.items():
                if isinstance(child, Child):
                    stack.enter_context(child)
                    contestant = functools.partial(_measure, child, endpoint, _COUNTS[name])
                    _measure(child, endpoint, 200, -1)  # connections and imports
                    contestants[name] = contestant
                else:
                    contestants[name] = child
            yield contestants


def _go(folder: Path, env: Mapping[str, str]) -> Child | Absent:
    compiler = shutil.which("go")
    if compiler is None:
        return Absent("no Go compiler")
    program = folder / "send_go"
    source = ROOT / "benchmarks" / "peers" / "send_go" / "main.go"
    built = subprocess.run(
        [compiler, "build", "-o", str(program), str(source)],
        env={**os.environ, "GOCACHE": str(folder / "cache"), "GOFLAGS": "-mod=mod", "GOPROXY": "off"},
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode:
        return Absent(f"Go cannot build it: {built.stderr[-300:]}")
    return Child([str(program)], env)


def _measure(child: Child, endpoint: Child, count: int, number: int) -> Reading:
    endpoint.ask("take")
    found = child.ask("send", count=count, prefix=f"{id(child):x}r{number}")
    came = endpoint.ask("take")
    if came != {"calls": count, "distinct": count, "bad": 0} or (found["accepted"], found["ids"]) != (count, count):
        raise InvalidRunError(f"{child.argv}: {count} messages, {found}, {came}")
    return Reading(found["cpu"] / count * 1e6, {"msg/s": count / found["seconds"]})


SUITE = Send()
