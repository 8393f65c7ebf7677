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


def _kill(group: int, number: int) -> bool:
    """Send a signal to a process group; False when nobody is left in it."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        # Somebody is there whom we may not signal: a recycled number, no child of ours.
        return False
    return True


def end_all(groups: dict[int, int], patience: float = 5.0) -> None:
    """Send each group its own signal, wait up to `patience` seconds, then SIGKILL what is left."""
    for group, number in groups.items():
        _kill(group, number)
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and any(_kill(group, 0) for group in groups):
        time.sleep(0.02)
    for group in groups:
        _kill(group, signal.SIGKILL)


def main() -> None:
    """Follow the supervisor's lines until the pipe closes, then end what it left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: dict[int, int] = {}
    for line in sys.stdin:
        with contextlib.suppress(ValueError, KeyError):
            if line.startswith("+"):
                group, number = line[1:].split()
                groups[int(group)] = int(number)
            elif line.startswith("-"):
                del groups[int(line[1:])]
    end_all(groups)


if __name__ == "__main__":
    main()
