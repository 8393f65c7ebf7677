"""Ends every process group of a supervisor that died without stopping them (SIGKILL, out of memory).

Runs as `python -I -S watchdog.py` with the read end of a pipe as standard input. Lines: `+GROUP SIGNAL`, `-GROUP`.
The kernel closes the pipe when the supervisor is gone, whatever ended it. The parent-death signal alone reaches only
direct children: the pool of a Celery worker or the workers of a web server would live on.
"""

import contextlib
import os
import signal
import sys
import time


def _kill(group: int, number: int) -> None:
    # PermissionError: the number belongs to somebody else by now.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _runs(process: int) -> bool:
    """Tell whether a process still runs; nobody may be there to collect a dead child of a dead supervisor."""
    try:
        with open(f"/proc/{process}/stat") as handle:  # noqa: PTH123 - pathlib costs more than all the rest here
            return handle.read().rpartition(")")[2].split()[0] not in "ZX"
    except (OSError, IndexError):
        return False


def end_all(groups: dict[int, int], patience: float = 5.0) -> None:
    """Kill all groups at once; those with another signal get that first and up to `patience` seconds."""
    polite = {group: number for group, number in groups.items() if number != signal.SIGKILL}
    for group in groups.keys() - polite.keys():
        _kill(group, signal.SIGKILL)
    for group, number in polite.items():
        _kill(group, number)
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and any(_runs(group) for group in polite):
        time.sleep(0.02)
    for group in polite:
        _kill(group, signal.SIGKILL)


def main() -> None:
    """Follow the supervisor's lines until the pipe closes, then end what it left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: dict[int, int] = {}
    for line in sys.stdin:
        with contextlib.suppress(ValueError, KeyError):
            if line.startswith("+"):
                group, polite = line[1:].split()
                groups[int(group)] = int(polite)
            elif line.startswith("-"):
                del groups[int(line[1:])]
    end_all(groups)


if __name__ == "__main__":
    main()
