"""`make hostile`: run every hostile test, and print rows, figures and the verdict.

ARGS: --mutants --inputs --texts --cases --timings NUMBER; --only "fuzz api" names some test files.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.hostile.rows import COUNTS, is_run, register
from tests.hostile.sizes import FIGURES, SIZES

HERE = Path(__file__).parent
# Measured alone, before the rest keeps both cores busy.
ALONE = "measured"


def options():
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__.partition("\n")[0])
    for name, (_, number, what) in SIZES.items():
        parser.add_argument(f"--{name}", type=int, default=number, help=f"{what}; {number} unless said")
    parser.add_argument("--only", default="", help="names of test files, such as: fuzz api measured")
    parser.add_argument("--seed", default="20261122", help="seed of the fuzzer")
    return parser.parse_args()


def files(wanted):
    known = {path.stem.removeprefix("test_"): path for path in sorted(HERE.glob("test_*.py"))}
    unknown = set(wanted) - set(known)
    if unknown:
        sys.exit(f"no such tests: {' '.join(sorted(unknown))}; there are {' '.join(known)}")
    return {name: path for name, path in known.items() if not wanted or name in wanted}


def run(paths, env, *arguments):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", *arguments, *map(str, paths)]
    return subprocess.run(command, env=env, cwd=HERE.parent.parent, check=False).returncode == 0


def print_rows():
    rows = register()
    print("\nRows of the bad-input list")
    for section in COUNTS:
        own = {name: where for name, where in rows.items() if name.startswith(section)}
        done = [name for name, where in own.items() if not where.startswith("- ") and is_run(name, where)]
        print(f"  {section}  run {len(done)} of {len(own)}")
        reasons = {}
        for name, where in own.items():
            if name not in done:
                reasons.setdefault(where.removeprefix("- "), []).append(name)
        for reason, names in reasons.items():
            print(f"      not run: {', '.join(names)}: {reason}")


def print_figures(path):
    print("\nFigures")
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    for line in sorted(lines, key=lambda each: (each["section"], each["name"])):
        bar = f"   (bar: {line['bar']})" if line["bar"] else ""
        print(f"  {line['section']:4} {line['name']}: {line['value']}{bar}")


def main():
    chosen, began = options(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="zhiyin-hostile-") as folder:
        figures = Path(folder) / "figures"
        env = {**os.environ, FIGURES: str(figures), "ZHIYIN_HOSTILE_SEED": chosen.seed}
        env |= {f"ZHIYIN_HOSTILE_{name.upper()}": str(getattr(chosen, name)) for name in SIZES}
        paths = files(chosen.only.split())
        alone = paths.pop(ALONE, None)
        verdicts = [run([alone], env)] if alone else []
        if paths:
            # Long ones first, so that both workers end together.
            first = [paths.pop(name) for name in ("api", "fuzz", "canaries") if name in paths]
            verdicts.append(run([*first, *paths.values()], env, "-n", "2", "--dist", "worksteal"))
        print_rows()
        print_figures(figures)
    fine = all(verdicts)
    print(f"\nhostile: {'held' if fine else 'FAILED'} after {time.monotonic() - began:.0f} s")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
