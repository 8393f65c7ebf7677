"""What the launcher prints: short lines on standard error, so that standard output stays for banners and JSON."""

import sys
import time

_started = time.monotonic()


def say(text: str) -> None:
    """Print one line of progress with the seconds since the start."""
    print(f"[{time.monotonic() - _started:5.1f}s] {text}", file=sys.stderr, flush=True)


def show(text: str) -> None:
    """Print `text` as it is (errors, tails of logs)."""
    print(text, file=sys.stderr, flush=True)
