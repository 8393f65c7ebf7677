"""`python -m tests.isolation`: the whole proof that brands are kept apart, with figures.

The matrix on the product as it is; again with the Python guard opened; again with row security off (each pass must see
that its net is gone); the same requests with and without a twin; pooled connections; contexts in workers; times of
foreign and missing ids; the rest of this folder. `--only PASS …` runs some of: real guard-open rls-off worlds pooled
worker timing others.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from launcher.state import ROOT
from tests.isolation.cells import REPORT

HERE = "tests/isolation"
MATRIX = (f"{HERE}/test_matrix.py", f"{HERE}/test_gateway.py")
PASSES: dict[str, tuple[str, ...]] = {
    "real": MATRIX,
    "guard-open": MATRIX,
    "rls-off": MATRIX,
    "worlds": (f"{HERE}/test_two_worlds.py",),
    "pooled": (f"{HERE}/test_pooled.py",),
    "worker": (f"{HERE}/test_worker.py",),
    "timing": (f"{HERE}/test_timing.py",),
    "others": (HERE, "tests/accounts/test_catalogue.py", "tests/accounts/test_data_scope.py"),
}
TITLES = {
    "real": "the product as it is",
    "guard-open": "T3 the Python guard opened",
    "rls-off": "T3 row security off",
    "worlds": "T2 two worlds",
    "pooled": "T5 pooled connections",
    "worker": "T6 contexts in workers",
    "timing": "T9 time of foreign and missing ids",
    "others": "T4, T7, T11, T15 and the rest",
}


def main() -> int:
    """Run the passes, print the table, give the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.isolation", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PASSES, default=list(PASSES))
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    chosen = parser.parse_args()
    lines: list[dict] = []
    failed = []
    began = time.monotonic()
    for name in chosen.only:
        print(f"── {TITLES[name]}", flush=True)
        status, found = play(name)
        lines += found
        if status:
            failed.append(name)
    failed += [f"probe never tried: {each}" for each in report(lines)]
    print(f"\n{time.monotonic() - began:.0f} s in all", end="; ")
    print("failed: " + ", ".join(failed) if failed else "0 leaks, 0 undeclared")
    if chosen.json:
        chosen.json.write_text(json.dumps({"cells": lines, "failed": failed}, ensure_ascii=False, indent=2))
    return 1 if failed else 0


def play(name: str) -> tuple[int, list[dict]]:
    """Run one pass in a pytest of its own."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "cells.jsonl"
        environment = {
            **os.environ,
            REPORT: str(target),
            "ZHIYIN_ISOLATION_PASS": name if name in {"real", "guard-open", "rls-off"} else "real",
        }
        ignored = (
            [f"--ignore={path}" for paths in PASSES.values() for path in paths if path.endswith(".py") and HERE in path]
            if name == "others"
            else []
        )
        began = time.monotonic()
        result = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-n", "0" if name == "timing" else "2", "--dist", "load", "--tb=short", "--show-capture=no",
             "-p", "no:cacheprovider", *PASSES[name], *ignored],
            cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        said = result.stdout.strip().splitlines()
        if result.returncode:
            print("\n".join(line[:400] for line in said if line.startswith(("E  ", "FAILED", "ERROR")))[:8000])
        print(f"   {said[-1] if said else result.stderr[-500:]} · {time.monotonic() - began:.0f} s", flush=True)
        skips = [line for line in said if line.startswith("SKIPPED")]
        print("\n".join(f"   {line[:200]}" for line in skips), end="\n" if skips else "")
        rows = [json.loads(line) for line in target.read_text().splitlines()] if target.exists() else []
    for row in rows:
        row["pass"] = name
    return result.returncode, rows


def report(lines: list[dict]) -> list[str]:
    """Print what ran, per pass and section; give the probes that were never tried."""
    if not lines:
        return []
    print(f"\n{'pass':<12}{'section':<38}{'cells':>8}{'leaks':>7}{'undecl.':>8}{'skipped':>8}{'s':>8}")
    reasons: Counter[str] = Counter()
    for name in dict.fromkeys(row["pass"] for row in lines):
        rows = sorted((row for row in lines if row["pass"] == name), key=lambda row: row["section"])
        for row in rows:
            print(_line(name, row["section"], [row]))
            reasons.update(row["skipped"])
        print(_line(name, "all", rows))
    print(_line("", "everything", lines))
    facts = [(row["pass"], row["section"], row["facts"]) for row in lines if row["facts"]]
    print("\nseen on the way")
    for name, section, all_found in facts:
        found = {key: value for key, value in all_found.items() if key != "probes"}
        print(f"  {name}, {section}: " + "; ".join(f"{key} {value}" for key, value in found.items())[:600])
    never = probes(lines)
    print("\nskipped, because")
    for reason, count in reasons.most_common():
        print(f"  {count:>6}  {reason}")
    return never


def probes(lines: list[dict]) -> list[str]:
    """Print the ways in which admin sites leak, each with how often it was tried, or why it cannot be; give those never
    tried."""
    never = []
    for name in dict.fromkeys(row["pass"] for row in lines):
        rows = [row["facts"] for row in lines if row["pass"] == name and "probes" in row["facts"]]
        if not rows:
            continue
        print(f"\nadmin probes, {TITLES[name]}: {sum(each['models'] for each in rows)} models and people")
        for probe in rows[0]["probes"]:
            tried = [each["probes"][probe] for each in rows]
            total = tried[0] if isinstance(tried[0], str) else sum(tried)
            print(f"  {probe:<50}{total if isinstance(total, str) else format(total, ',')}")
            never += [] if total else [f"{probe} ({name})"]
    return never


def _line(name: str, section: str, rows: list[dict]) -> str:
    leaks, undeclared = (sum(len(row[key]) for row in rows) for key in ("leaks", "undeclared"))
    skipped = sum(sum(row["skipped"].values()) for row in rows)
    ran, seconds = sum(row["ran"] for row in rows), sum(row["seconds"] for row in rows)
    return f"{name:<12}{section[:37]:<38}{ran:>8,}{leaks:>7}{undeclared:>8}{skipped:>8}{seconds:>8.1f}"


if __name__ == "__main__":
    sys.exit(main())
