"""One supervised process: how it is started, known to be ready, and ended with everything it started itself."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from launcher.state import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_PR_SET_PDEATHSIG = 1
_LARGEST_LOG = 10 * 1024 * 1024

# Loaded here: the code between fork and exec must not import anything.
try:
    _prctl: Callable[..., int] | None = ctypes.CDLL(None).prctl
except (OSError, AttributeError):
    _prctl = None  # not Linux: the watchdog alone does the work

_APPLICATION_TROUBLE = re.compile(rb"\b(ERROR|CRITICAL)\b|^Traceback |\"level\": ?\"(error|critical)\"")
SERVER_TROUBLE = re.compile(rb"\b(FATAL|PANIC):")


@dataclass(frozen=True)
class Spec:
    """What to run and how. `ready` is asked until true; signals are those for a polite stop and for our own death."""

    name: str
    argv: list[str]
    env: Mapping[str, str]
    ready: Callable[[Child], bool]
    ready_seconds: float = 60
    stop_signal: int = signal.SIGTERM
    stop_seconds: float = 10
    death_signal: int = signal.SIGKILL
    trouble: re.Pattern[bytes] = _APPLICATION_TROUBLE
    popen: Mapping[str, Any] = field(default_factory=dict)


class Child:
    """A started process; its process group has the number of its pid."""

    def __init__(self, spec: Spec, log: Path) -> None:
        self.spec = spec
        self.log = log
        if log.exists() and log.stat().st_size > _LARGEST_LOG:
            log.rename(log.with_suffix(".log.1"))
        with log.open("ab") as output:
            self.log_start = self._read_to = output.tell()
            # Must be called in the main thread: the parent-death signal follows the *thread* that started the child.
            self.process = subprocess.Popen(
                spec.argv,
                cwd=ROOT,
                env=dict(spec.env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_dies_with(os.getpid(), spec.death_signal),
                **spec.popen,
            )
        self.pid = self.process.pid
        self.started = time.monotonic()

    def is_running(self) -> bool:
        """Tell whether the process still runs."""
        return self.process.poll() is None

    def is_ready(self) -> bool:
        """Tell whether the process does its work."""
        return self.is_running() and self.spec.ready(self)

    def ask_to_stop(self) -> None:
        """Send the polite signal to the process alone; it tells its own children."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(self.spec.stop_signal)

    def finish(self, deadline: float) -> bool:
        """Wait until `deadline` (monotonic seconds), then kill what is left of the group; True if it went by itself."""
        polite = True
        try:
            self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            polite = False
        self.kill_group()
        return polite

    def kill_group(self) -> None:
        """Kill the process and everything it started that stayed in its group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()

    def output(self) -> bytes:
        """Return what the process has printed since it was started."""
        with self.log.open("rb") as handle:
            handle.seek(self.log_start)
            return handle.read()

    def tail(self, lines: int = 25) -> str:
        """Return the last `lines` of what it printed."""
        text = self.output().decode(errors="replace").rstrip()
        return "\n".join(f"  | {line}" for line in text.splitlines()[-lines:]) or "  | (it printed nothing)"

    def troubles(self) -> list[str]:
        """Return the lines that report trouble and were printed since the last call."""
        with self.log.open("rb") as handle:
            handle.seek(self._read_to)
            fresh = handle.read(1024 * 1024)
        complete = fresh.rfind(b"\n") + 1
        self._read_to += complete
        return [
            line.decode(errors="replace").rstrip()
            for line in fresh[:complete].splitlines()
            if self.spec.trouble.search(line)
        ]


def _dies_with(parent: int, number: int) -> Callable[[], None]:
    def before_exec() -> None:
        if _prctl is not None:
            _prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != parent:  # the parent died before the line above
            os._exit(1)
        # A background job of a shell is started with SIGINT ignored, and PostgreSQL stops on SIGINT.
        for each in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
            signal.signal(each, signal.SIG_DFL)

    return before_exec
