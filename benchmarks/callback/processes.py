"""Child processes whose processor time and memory are measured, each on the cores it is given."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from benchmarks.rounds import InvalidRunError
from launcher.ports import free_numbers
from launcher.state import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import TracebackType

PEERS_PYTHON: Final = ROOT / ".venv-peers" / "bin" / "python"
_PRIORITY: Final = -10
_PR_SET_PDEATHSIG: Final = 1
_libc: Final = ctypes.CDLL(None)
_CORES: Final = sorted(os.sched_getaffinity(0))
SERVER_CORE: Final = {_CORES[0]}
OTHER_CORES: Final = set(_CORES[1:]) or {_CORES[0]}


def tree(pid: int) -> list[int]:
    """The process and its descendants."""
    found = [pid]
    for parent in found:
        for task in _tasks(parent):
            with contextlib.suppress(OSError):
                found.extend(int(child) for child in (task / "children").read_text().split())
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """Processor time of all threads of the processes so far, to the nanosecond where the kernel tells it."""
    total = 0
    for pid in pids:
        for task in _tasks(pid):
            with contextlib.suppress(OSError):
                total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def resident_mb(pid: int) -> float:
    """Resident memory of the largest process of a tree: the one that serves."""
    sizes: list[int] = []
    for each in tree(pid):
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{each}/status").read_text()
            sizes.extend(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
    return max(sizes) / 1024


def pin(pids: Iterable[int], cores: set[int]) -> None:
    """Keep all threads of the processes on these cores, before other work of the machine where that is allowed."""
    for pid in pids:
        _favour(pid)
        for task in _tasks(pid):
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(int(task.name), cores)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.setpriority(os.PRIO_PROCESS, int(task.name), _PRIORITY)


def _favour(pid: int) -> None:
    """Raise the share of the process's session: between sessions, priorities of single processes count for nothing."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(str(_PRIORITY))


def _tasks(pid: int) -> list[Path]:
    try:
        return list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return []


def _begin(cores: set[int]) -> None:
    """Keep to the cores, and end when whoever measures dies."""
    os.sched_setaffinity(0, cores)
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, _PRIORITY)
    _favour(os.getpid())
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Server:
    """A web server as a child process on a free port and one core; `{port}` in its arguments is filled in."""

    def __init__(
        self, argv: Sequence[str], env: Mapping[str, str], *, cores: set[int] = SERVER_CORE, port: int = 0
    ) -> None:
        self.port = port or free_numbers(1)[0]
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self.process = subprocess.Popen(
            [part.replace("{port}", str(self.port)) for part in argv],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **env},
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=functools.partial(_begin, cores),  # noqa: PLW1509 - before it has threads
        )
        self._wait()

    @property
    def pid(self) -> int:
        """The process that was started; servers with workers have more below it."""
        return self.process.pid

    def cpu(self) -> float:
        """Processor seconds so far."""
        return cpu_seconds(tree(self.pid))

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1):
                    return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.close()
                    raise InvalidRunError(f"{self.process.args!r} did not start: {self.said[-2000:]}") from None
                time.sleep(0.05)

    def close(self) -> None:
        """Stop it and what it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self._output.seek(0)
        self.said = self._output.read().decode(errors="replace")
        self._output.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()
