"""Starts children in order, restarts those that die, stops all in reverse; a watchdog ends them if we are killed."""

from __future__ import annotations

import os
import select
import signal
import stat
import subprocess
import sys
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from launcher.child import Child
from launcher.errors import Interrupted, LauncherError
from launcher.screen import say, show

if TYPE_CHECKING:
    from collections.abc import Iterator

    from launcher.child import Spec
    from launcher.state import State

_MOST_DEATHS = 5
_WITHIN_SECONDS = 60.0
_LONGEST_PAUSE = 8.0


class Supervisor:
    """Owns every process of one launcher. Use from the main thread only (parent-death signals follow threads)."""

    def __init__(self, state: State, *, stop_on_end_of_input: bool = False) -> None:
        self._state = state
        self._waves: list[list[Child]] = []
        self._deaths: dict[str, deque[float]] = {}
        self._due: dict[str, float] = {}
        self._stop_asked = False
        self._stop_asked_at = 0.0
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        self._input = _pipe_on_standard_input() if stop_on_end_of_input else None
        self._watchdog: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        # Explicit also for SIGINT: Python leaves it ignored in the background job of a shell.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        self._start_watchdog()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def _on_signal(self, number: int, _frame: object) -> None:
        if self._stop_asked and number == signal.SIGINT and time.monotonic() - self._stop_asked_at > 1:
            show("again: ending everything at once")
            for child in self._children():
                child.process.kill()
        if not self._stop_asked:
            self._stop_asked_at = time.monotonic()
            say(f"{signal.Signals(number).name}: stopping")
        self._stop_asked = True

    # Starting

    def start(self, *specs: Spec) -> None:
        """Start `specs` together and return when all are ready.

        They also form one wave of the stop. Raises LauncherError when one ends or is not ready in its time,
        Interrupted when a stop was asked for meanwhile.
        """
        wave: list[Child] = []
        self._waves.append(wave)
        for spec in specs:
            wave.append(self._spawn(spec))  # noqa: PERF401 - one that cannot be started must not hide the others
        waiting = list(wave)
        while waiting:
            for child in list(waiting):
                if child.is_ready():
                    say(f"{child.spec.name} is ready")
                    waiting.remove(child)
                    child.troubles()  # what it complained of before it was ready is over
                elif not child.is_running():
                    raise LauncherError(
                        f"{child.spec.name} ended while starting (status {child.process.returncode}):\n{child.tail()}",
                        f"read {child.log}, mend the cause and start again.",
                    )
                elif time.monotonic() - child.started > child.spec.ready_seconds:
                    raise LauncherError(
                        f"{child.spec.name} was not ready after {child.spec.ready_seconds:.0f} s:\n{child.tail()}",
                        f"read {child.log}, mend the cause and start again.",
                    )
            if waiting:
                self._pause(0.05)

    def run(self, name: str, argv: list[str], env: dict[str, str]) -> str:
        """Run a command to its end and return what it printed; raises LauncherError when it fails."""
        log = self._state.logs / f"{name}.log"
        with log.open("ab") as errors:
            begin = errors.tell()
            process = subprocess.Popen(
                argv,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
            self._tell_watchdog(f"+{process.pid} {signal.SIGKILL:d}")
            try:
                output = self._collect(process)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                self._tell_watchdog(f"-{process.pid}")
            errors.write(output.encode())
        if process.returncode != 0:
            with log.open("rb") as handle:
                handle.seek(begin)
                lines = handle.read().decode(errors="replace").rstrip().splitlines()[-25:]
            raise LauncherError(
                f"`{' '.join(argv[1:])}` failed (status {process.returncode}):\n"
                + "\n".join(f"  | {line}" for line in lines),
                f"read {log}, mend the cause and start again.",
            )
        return output

    def _collect(self, process: subprocess.Popen[str]) -> str:
        while True:
            try:
                return process.communicate(timeout=0.1)[0]
            except subprocess.TimeoutExpired:
                self._pause(0)

    def _spawn(self, spec: Spec) -> Child:
        child = Child(spec, self._state.logs / f"{spec.name}.log")
        self._tell_watchdog(f"+{child.pid} {spec.death_signal:d}")
        return child

    # Watching

    def watch(self) -> None:
        """Keep the children alive until a stop is asked for; raises LauncherError when one keeps dying."""
        with suppress(Interrupted):
            while True:
                self._pause(0.25)
                self._mind_watchdog()
                for wave in self._waves:
                    for index, child in enumerate(wave):
                        for line in child.troubles()[:5]:
                            show(f"{child.spec.name}: {line}   ({child.log})")
                        if not child.is_running():
                            wave[index] = self._revive(child)

    def _revive(self, child: Child) -> Child:
        """Restart a dead child when its pause is over; give up after five deaths within a minute."""
        name, now = child.spec.name, time.monotonic()
        if name not in self._due:
            child.kill_group()
            self._tell_watchdog(f"-{child.pid}")
            deaths = self._deaths.setdefault(name, deque(maxlen=_MOST_DEATHS))
            deaths.append(now)
            if len(deaths) == _MOST_DEATHS and now - deaths[0] < _WITHIN_SECONDS:
                raise LauncherError(
                    f"{name} died {_MOST_DEATHS} times within a minute "
                    f"(status {child.process.returncode}):\n{child.tail()}",
                    f"read {child.log}, mend the cause and start again.",
                )
            recent = sum(1 for moment in deaths if now - moment < _WITHIN_SECONDS)
            pause = min(_LONGEST_PAUSE, 0.5 * 2 ** (recent - 1))
            show(f"{name} died (status {child.process.returncode}), next try in {pause:.1f} s:\n{child.tail(8)}")
            self._due[name] = now + pause
        if now < self._due[name]:
            return child
        del self._due[name]
        say(f"{name} is started again")
        return self._spawn(child.spec)

    def _pause(self, seconds: float) -> None:
        """Wait, but no longer than until a stop is asked for; raises Interrupted then."""
        sources = [self._wake_read] + ([self._input] if self._input is not None else [])
        if not self._stop_asked:
            ready, _, _ = select.select(sources, [], [], seconds)
            if self._wake_read in ready:
                os.read(self._wake_read, 1024)
            if self._input in ready and not os.read(self._input, 1024):
                say("end of input: stopping")
                self._stop_asked, self._stop_asked_at = True, time.monotonic()
        if self._stop_asked:
            raise Interrupted

    # Stopping

    def stop(self) -> None:
        """Stop everything in the reverse order of the start, each within its time, then kill."""
        self._stop_asked, self._stop_asked_at = True, time.monotonic()
        for wave in reversed(self._waves):
            for child in wave:
                child.ask_to_stop()
            for child in wave:
                if not child.finish(time.monotonic() + child.spec.stop_seconds):
                    show(f"{child.spec.name} did not stop within {child.spec.stop_seconds:.0f} s and was killed")
                self._tell_watchdog(f"-{child.pid}")
        self._waves.clear()
        if self._watchdog is not None and self._watchdog.stdin is not None:
            self._watchdog.stdin.close()
            self._watchdog.wait()
            self._watchdog = None
        signal.set_wakeup_fd(-1)

    def pids(self) -> dict[str, int]:
        """Return the process ids of the children by name."""
        return {child.spec.name: child.pid for child in self._children()}

    def _children(self) -> Iterator[Child]:
        for wave in self._waves:
            yield from wave

    # The watchdog

    def _start_watchdog(self) -> None:
        self._watchdog = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(__file__).with_name("watchdog.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    def _mind_watchdog(self) -> None:
        if self._watchdog is None or self._watchdog.poll() is None:
            return
        self._start_watchdog()
        for child in self._children():
            if child.is_running():
                self._tell_watchdog(f"+{child.pid} {child.spec.death_signal:d}")

    def _tell_watchdog(self, line: str) -> None:
        if self._watchdog is not None and self._watchdog.stdin is not None:
            with suppress(BrokenPipeError):
                self._watchdog.stdin.write(line + "\n")
                self._watchdog.stdin.flush()


def _pipe_on_standard_input() -> int | None:
    """Return the descriptor of standard input when its end means something: /dev/null and terminals do not."""
    try:
        mode = os.fstat(0).st_mode
    except OSError:
        return None
    return 0 if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) else None
