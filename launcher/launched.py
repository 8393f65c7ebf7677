"""Runs a launcher as a child process for a script or a test: `with Launched("--only", "servers") as running: …`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any, Self

from launcher.state import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType


class LaunchFailed(RuntimeError):
    """The launcher ended before it was ready; the message is what it said."""


class Launched:
    """`python -m launcher run --free-ports --json …`, ready to use.

    `urls`, `env`, `pids`, `state_dir` and `logs` are what the launcher reports. It stops with `stop()`, and also when
    this process dies, because its standard input then ends.
    """

    def __init__(self, *arguments: str, env: Mapping[str, str] | None = None, show_messages: bool = False) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._said = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "launcher", "run", "--free-ports", "--json", *arguments],
            cwd=ROOT,
            env=dict(os.environ if env is None else env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if show_messages else self._errors,
            text=True,
            # Ctrl-C belongs to whoever started us; the end of input tells the launcher when it is over.
            start_new_session=True,
        )
        line = self.process.stdout.readline() if self.process.stdout else ""
        if not line:
            self.stop()
            raise LaunchFailed(self.messages())
        report: dict[str, Any] = json.loads(line)
        self.urls: dict[str, str] = report["urls"]
        self.env: dict[str, str] = report["env"]
        self.pids: dict[str, int] = report["pids"]
        self.state_dir: str = report["state_dir"]
        self.logs: str = report["logs"]

    def messages(self) -> str:
        """Return what the launcher has said so far."""
        if not self._errors.closed:
            self._errors.seek(0)
            self._said = self._errors.read().decode(errors="replace")
        return self._said

    def stop(self, timeout: float = 90) -> int:
        """Ask it to stop, wait, and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + timeout
        if self.process.stdin:
            self.process.stdin.close()
        try:
            self.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.kill()
        if self.process.stdout:
            self.process.stdout.close()
        status = self.process.wait()
        self.messages()
        self._errors.close()
        return status

    def close(self) -> None:
        """Stop it, whatever its exit status."""
        self.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()
