"""Servers with durable storage of their own, the simulated WeChat, and what they have used of the processor."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from benchmarks.callback.processes import cpu_seconds, tree
from benchmarks.rounds import InvalidRunError
from benchmarks.sending.child import Child
from launcher.launched import Launched
from launcher.product import manage
from launcher.state import ROOT

if TYPE_CHECKING:
    from types import TracebackType

_TICK = os.sysconf("SC_CLK_TCK")
SIMULATOR = "simulator"


class Stack:
    """PostgreSQL, Valkey and, if asked for, the simulator, on free ports; all of it is deleted at the end."""

    def __init__(self, *also: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="zhiyin-bench-")
        self.launched = Launched(
            *("--state-dir", self._folder.name, "--no-demo", "--only", ",".join(("servers", *also))),
            env={**os.environ, "ZHIYIN_CLOCK_URL": "", "ZHIYIN_ALLOWED_HOSTS": "127.0.0.1"},
        )
        self.env = {**self.launched.env, "ZHIYIN_CLOCK_URL": ""}
        if not also:
            self._migrate()

    def _migrate(self) -> None:
        import subprocess

        subprocess.run(manage("migrate", "--no-input", "-v", "0"), cwd=ROOT, env={**os.environ, **self.env}, check=True)

    def ours(self, module: str, **env: str) -> Child:
        """A child with the product's environment and interpreter."""
        return Child([sys.executable, "-m", module], {**self.env, **env})

    def simulator(self, path: str, body: Any = None) -> Any:
        """Ask the simulator's control API."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.launched.urls["simulator"] + path, data=data, headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def cpu_of(self, name: str) -> float:
        """Processor seconds of a server so far, its ended children included."""
        pid = self.launched.pids[name]
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError as error:
            raise InvalidRunError(f"{name} has ended") from error
        ended = (int(fields[13]) + int(fields[14])) / _TICK
        return cpu_seconds(tree(pid)) + ended

    def close(self) -> None:
        """Stop everything and delete its data."""
        self.launched.stop()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()
