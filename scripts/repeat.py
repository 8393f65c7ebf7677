"""Run all tests again and again, each time in another random order, and count what was not always green."""

from __future__ import annotations

import argparse
import os
import re
import secrets
import subprocess
import sys
import time
from collections import Counter

_PARALLEL = ("-n", "5", "--dist", "worksteal")  # as `make test`
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)
_SUMMARY = re.compile(r"^=* ?(.*(?:passed|failed|error).*?) ?=*$", re.MULTILINE)


def main() -> int:
    """Print one line for each run, then every test that failed in any; fail when there is one."""
    parser = argparse.ArgumentParser(prog="make repeat", description=main.__doc__)
    parser.add_argument("times", type=int, nargs="?", default=20)
    parser.add_argument("rest", nargs="*", help="further arguments of pytest")
    chosen = parser.parse_args()
    failures: Counter[str] = Counter()
    red = 0
    for number in range(1, chosen.times + 1):
        seed = secrets.randbelow(2**31)
        began = time.monotonic()
        result = subprocess.run(
            [sys.executable, "-m", "pytest", *_PARALLEL, "-q", f"--randomly-seed={seed}", *chosen.rest],
            capture_output=True,
            text=True,
            env={**os.environ, "ZHIYIN_CHANCE": "1"},  # other examples of every property each time, too
            check=False,
        )
        found = _FAILED.findall(result.stdout)
        failures.update(found)
        red += result.returncode != 0
        summary = (_SUMMARY.findall(result.stdout) or [result.stderr.strip()[-200:]])[-1]
        print(f"{number:>3}/{chosen.times} seed {seed:<11} {time.monotonic() - began:>5.0f} s  {summary}", flush=True)
        for name in found:
            print(f"      {name}", flush=True)
        if found or result.returncode != 0:
            print("\n".join(f"      | {line}" for line in result.stdout.splitlines()[-60:]), flush=True)
    print(f"{chosen.times - red} of {chosen.times} runs were green")
    for name, times in failures.most_common():
        print(f"  {times} × {name}")
    return 1 if red else 0


if __name__ == "__main__":
    sys.exit(main())
