"""`make sabotage`: apply each deliberate bug to a copy of the project and show which test catches it."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.sabotage.patches import Patch, PatchError, all_patches, copy_project

_RED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)
_LONGEST = 600
_GREEN, _TESTS_FAILED = 0, 1


@dataclass(frozen=True)
class Outcome:
    """How the tests of one patch ended: `caught_by` is the first test that turned red, or nothing."""

    patch: Patch
    caught_by: str
    seconds: float
    problem: str = ""


def main() -> int:
    """Print a line for each bug; fail when one is not caught, a patch does not apply, or the tests are red without it."""
    parser = argparse.ArgumentParser(prog="make sabotage", description=main.__doc__)
    parser.add_argument("only", nargs="*", help="parts of the patches' names")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--trust", action="store_true", help="do not run the tests without the bugs first")
    chosen = parser.parse_args()
    patches = [each for each in all_patches() if not chosen.only or any(part in each.name for part in chosen.only)]
    if not chosen.trust and not _all_green(patches):
        return 1
    with ThreadPoolExecutor(chosen.jobs) as pool:
        outcomes = list(pool.map(_try, patches))
    missed = [outcome for outcome in outcomes if not outcome.caught_by]
    print(f"{len(outcomes) - len(missed)} of {len(outcomes)} bugs are caught")
    for outcome in missed:
        print(f"  NOT CAUGHT: {outcome.patch.name}: {outcome.problem}")
    return 1 if missed else 0


def _all_green(patches: list[Patch]) -> bool:
    """A test that is red without the bug proves nothing with it."""
    tests = sorted({test for patch in patches for test in patch.tests})
    print(f"first the {len(tests)} groups of tests without any bug …", flush=True)
    with tempfile.TemporaryDirectory(prefix="zhiyin-sabotage-") as folder:
        copy_project(Path(folder))
        result = _pytest(Path(folder), tests, "-n", "2")
    if result.returncode != _GREEN:
        print(result.stdout[-6000:], result.stderr[-2000:])
        print("the tests are not green without the bugs: nothing is proved")
    return result.returncode == _GREEN


def _try(patch: Patch) -> Outcome:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="zhiyin-sabotage-") as folder:
        copy_project(Path(folder))
        try:
            patch.apply(Path(folder))
            result = _pytest(Path(folder), patch.tests, "-x", "-p", "no:randomly")
        except (PatchError, subprocess.TimeoutExpired) as error:
            outcome = Outcome(patch, "", time.monotonic() - began, str(error))
        else:
            outcome = _judge(patch, result, time.monotonic() - began)
    sign = "caught" if outcome.caught_by else "NOT CAUGHT"
    print(f"{sign:<10} {outcome.seconds:>4.0f} s  {patch.name:<44} {outcome.caught_by or outcome.problem}", flush=True)
    return outcome


def _judge(patch: Patch, result: subprocess.CompletedProcess[str], seconds: float) -> Outcome:
    red = _RED.findall(result.stdout)
    if result.returncode == _TESTS_FAILED and red:
        return Outcome(patch, red[0], seconds)
    if result.returncode == _GREEN:
        return Outcome(patch, "", seconds, "the tests stay green")
    return Outcome(patch, "", seconds, f"pytest ended with {result.returncode}: {result.stdout[-500:]}")


def _pytest(folder: Path, tests: tuple[str, ...] | list[str], *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--no-header", "--tb=line", *options, *tests],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=_LONGEST,
        check=False,
    )


if __name__ == "__main__":
    sys.exit(main())
