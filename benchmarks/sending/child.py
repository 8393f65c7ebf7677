"""A child process that is asked by lines of JSON on its standard input and answers each with one line."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Self

from benchmarks.rounds import InvalidRunError
from launcher.state import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class Child:
    """One such process; what it writes to its standard error is shown when it fails. It ends with its input."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            argv,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.argv = argv

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def ask(self, command: str, **arguments: Any) -> Any:
        """Have it do something; gives its answer. Raises InvalidRunError with what it says."""
        if self._process.stdin is None or self._process.stdout is None:
            raise InvalidRunError(f"{self.argv} has no pipes")
        try:
            self._process.stdin.write(json.dumps({"command": command, **arguments}) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise InvalidRunError(f"{self.argv} is gone: {error}") from error
        line = self._process.stdout.readline()
        if not line:
            raise InvalidRunError(f"{self.argv} ended during {command}")
        answer = json.loads(line)
        if "error" in answer:
            raise InvalidRunError(f"{self.argv} {command}: {answer['error']}")
        return answer.get("value")

    def close(self) -> None:
        """Let it end."""
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()


def serve(commands: Mapping[str, Callable[..., Any]]) -> None:
    """Answer until the input ends: the loop of such a process."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else prints must not come between the answers
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            value = commands[asked.pop("command")](**asked)
            answers.write(json.dumps({"value": value}) + "\n")
        except Exception as error:  # noqa: BLE001 - handed to whoever asked, which ends the run
            answers.write(json.dumps({"error": f"{type(error).__name__}: {error}"}) + "\n")
        answers.flush()


def end_with_parent() -> None:
    """Have the kernel end this process when whoever measures dies: a worker must not outlive a run that was killed."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def cpu() -> float:
    """Processor seconds of this process so far."""
    return time.process_time()
