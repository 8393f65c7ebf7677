"""The table and the JSON of measured suites."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.rounds import Outcome, Verdict


def table(outcome: Outcome) -> str:
    """A suite as text: every contestant with its median and range, then every bar with its verdict."""
    suite = outcome.suite
    lines = ["", f"== {suite.key}: {suite.title}"]
    if outcome.invalid:
        lines.append(f"   INVALID RUN: {outcome.invalid}")
    for name, readings in outcome.readings.items():
        values = [reading.value for reading in readings]
        details = "  ".join(
            f"{key} {median(reading.details[key] for reading in readings):,.4g}" for key in readings[0].details
        )
        span = f"{min(values):,.4g}–{max(values):,.4g}"
        lines.append(f"   {name:<34} {median(values):>12,.4g} {suite.unit:<12} ({span})  {details}")
    lines.extend(f"   {name:<34} not run: {reason}" for name, reason in outcome.absent.items())
    lines.extend(_line(verdict) for verdict in outcome.verdicts)
    return "\n".join(lines)


def _line(verdict: Verdict) -> str:
    bar = verdict.bar
    sign = "≥" if bar.direction == "at least" else "≤"
    wanted = (("must", bar.must), ("aim", bar.aim))
    bounds = ", ".join(f"{name} {sign} {bound:g}" for name, bound in wanted if bound is not None)
    if not verdict.ratios:
        return f" {verdict.result.upper():<8} {bar.id:<4} {bar.text}: {verdict.reason}  [{bounds}]"
    span = f"{min(verdict.ratios):.3g}–{max(verdict.ratios):.3g}"
    return f" {verdict.result.upper():<8} {bar.id:<4} {bar.text}: {verdict.median:.3g} ({span})  [{bounds}]"


def as_json(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """Everything measured, with the machine and the load it was measured under."""
    return {
        "measured_at": datetime.now(tz=UTC).isoformat(timespec="seconds"),
        "machine": {
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "system": platform.platform(terse=True),
            "load": os.getloadavg(),
        },
        "suites": [_suite(outcome) for outcome in outcomes],
    }


def _suite(outcome: Outcome) -> dict[str, Any]:
    return {
        "key": outcome.suite.key,
        "title": outcome.suite.title,
        "unit": outcome.suite.unit,
        "invalid": outcome.invalid,
        "absent": dict(outcome.absent),
        "readings": {
            name: [{"value": reading.value, **reading.details} for reading in readings]
            for name, readings in outcome.readings.items()
        },
        "bars": [
            {
                "id": verdict.bar.id,
                "text": verdict.bar.text,
                "ours": verdict.bar.ours,
                "peer": verdict.bar.peer,
                "direction": verdict.bar.direction,
                "must": verdict.bar.must,
                "aim": verdict.bar.aim,
                "ratios": verdict.ratios,
                "median": verdict.median if verdict.ratios else None,
                "result": verdict.result,
                "reason": verdict.reason,
            }
            for verdict in outcome.verdicts
        ],
    }
