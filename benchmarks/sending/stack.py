"""Servers with durable storage of their own, and what they have used of the processor."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

from benchmarks.callback.processes import cpu_seconds, tree
from benchmarks.rounds import InvalidRunError
from benchmarks.sending.child import Child
from launcher.launched import Launched
from launcher.product import manage
from launcher.state import ROOT

if TYPE_CHECKING:
    from types import TracebackType

_TICK = os.sysconf("SC_CLK_TCK")


class Stack:
    """PostgreSQL and Valkey on free ports; all of it is deleted at the end."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="zhiyin-bench-")
        self.launched = Launched(
            *("--state-dir", self._folder.name, "--no-demo", "--only", "servers"),
            env={**os.environ, "ZHIYIN_CLOCK_URL": "", "ZHIYIN_ALLOWED_HOSTS": "127.0.0.1"},
        )
        self.env = {**self.launched.env, "ZHIYIN_CLOCK_URL": ""}
        subprocess.run(manage("migrate", "--no-input", "-v", "0"), cwd=ROOT, env={**os.environ, **self.env}, check=True)

    def ours(self, module: str, **env: str) -> Child:
        """A child with the product's environment and interpreter."""
        return Child([sys.executable, "-m", module], {**self.env, **env})

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
