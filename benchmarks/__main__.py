"""`make bench`: our paths, their peers and the physical limit side by side, with ratios and verdicts."""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import sys
from pathlib import Path

from benchmarks import report, suites
from benchmarks.rounds import Suite, run


def _suites() -> dict[str, Suite]:
    found: dict[str, Suite] = {}
    for module in pkgutil.iter_modules(suites.__path__):
        suite: Suite = importlib.import_module(f"{suites.__name__}.{module.name}").SUITE
        found[suite.key] = suite
    return found


def main() -> int:
    """Measure the named suites, or all; write the JSON; fail when a bar is missed."""
    known = _suites()
    parser = argparse.ArgumentParser(prog="make bench", description=main.__doc__)
    parser.add_argument("only", nargs="*", help=f"suites to measure, of: {', '.join(known)}")
    parser.add_argument("--rounds", type=int, help="rounds of each suite (its own number when left out)")
    parser.add_argument("--json", type=Path, default=Path("var/bench.json"), help="where the figures are written")
    chosen = parser.parse_args()
    unknown = set(chosen.only) - set(known)
    if unknown:
        parser.error(f"unknown suites: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    outcomes = []
    for key in chosen.only or known:
        outcomes.append(run(known[key], chosen.rounds))
        print(report.table(outcomes[-1]), flush=True)
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps(report.as_json(outcomes), indent=1, ensure_ascii=False))
    missed = [verdict.bar for outcome in outcomes for verdict in outcome.verdicts if verdict.result == "missed"]
    if missed:
        print(f"\n{len(missed)} bars missed: {', '.join(bar.id for bar in missed)}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
