"""Interleaved measurement: every contestant once in each round, the ratio of each round, its median, the verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from statistics import median
from typing import Literal, Protocol


class InvalidRunError(Exception):
    """A bad reply, a lost row or a doubled row: what was measured did not do the work, so no figure of it counts."""


@dataclass(frozen=True)
class Reading:
    """What one contestant did in one round: the compared figure in the suite's unit, and others that are only shown."""

    value: float
    details: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Absent:
    """A contestant that cannot run on this machine, with the reason: shown, never passed over in silence."""

    reason: str


@dataclass(frozen=True)
class Bar:
    """One comparison: `ours` divided by `peer`, in every round; must and aim are bounds of the median.

    With `figure` the bar compares that entry of the details instead of the value. With `peer` empty the bar is
    absolute: the figure itself (for example at most 60 us) is compared. Without `must` the bar only tells how far the
    aim is, and cannot be missed. With `every_round` the worst round is judged: what may never happen has no median.
    """

    id: str
    text: str
    ours: str
    peer: str
    direction: Literal["at least", "at most"]
    must: float | None
    aim: float | None = None
    figure: str = ""
    every_round: bool = False


Contestant = Callable[[int], Reading]


class Suite(Protocol):
    """One thing measured. `prepare(rounds)` starts what is needed and yields every contestant under its name."""

    key: str
    title: str
    unit: str
    rounds: int
    bars: tuple[Bar, ...]

    def prepare(self, rounds: int) -> AbstractContextManager[Mapping[str, Contestant | Absent]]: ...


@dataclass(frozen=True)
class Verdict:
    """A bar with the ratio of each round, and its result; `aim not met` is only said where nothing must be met."""

    bar: Bar
    ratios: tuple[float, ...]
    result: Literal["aim met", "must met", "aim not met", "missed", "not run"]
    reason: str = ""

    @property
    def median(self) -> float:
        return median(self.ratios)


@dataclass(frozen=True)
class Outcome:
    """All readings of a suite by contestant, and its verdicts."""

    suite: Suite
    readings: Mapping[str, tuple[Reading, ...]]
    absent: Mapping[str, str]
    verdicts: tuple[Verdict, ...]
    invalid: str = ""


def run(suite: Suite, rounds: int | None = None) -> Outcome:
    """Measure a suite: each round runs every contestant once, in an order that turns with the round."""
    rounds = rounds or suite.rounds
    readings: dict[str, list[Reading]] = {}
    absent: dict[str, str] = {}
    invalid = ""
    try:
        with suite.prepare(rounds) as contestants:
            runnable = {name: entry for name, entry in contestants.items() if not isinstance(entry, Absent)}
            absent = {name: entry.reason for name, entry in contestants.items() if isinstance(entry, Absent)}
            for number in range(rounds):
                for name in _turned(list(runnable), number):
                    reading = runnable[name](number)
                    readings.setdefault(name, []).append(reading)
    except InvalidRunError as error:
        invalid = str(error)
    frozen = {name: tuple(series) for name, series in readings.items()}
    verdicts = tuple(_judge(bar, frozen, absent, invalid) for bar in suite.bars)
    return Outcome(suite, frozen, absent, verdicts, invalid)


def _turned(names: list[str], by: int) -> Iterator[str]:
    shift = by % len(names) if names else 0
    yield from names[shift:]
    yield from names[:shift]


def _judge(bar: Bar, readings: Mapping[str, tuple[Reading, ...]], absent: Mapping[str, str], invalid: str) -> Verdict:
    needed = [name for name in (bar.ours, bar.peer) if name]
    for name in needed:
        if name in absent:
            return Verdict(bar, (), "not run", f"{name}: {absent[name]}")
    if invalid:
        return Verdict(bar, (), "missed", "invalid run")
    series = [[_figure(reading, bar.figure) for reading in readings[name]] for name in needed]
    ratios = tuple(a / b for a, b in zip(series[0], series[1], strict=True)) if bar.peer else tuple(series[0])
    worst = min if bar.direction == "at least" else max
    return Verdict(bar, ratios, _result(bar, worst(ratios) if bar.every_round else median(ratios)))


def _figure(reading: Reading, name: str) -> float:
    return reading.details[name] if name else reading.value


def _result(bar: Bar, found: float) -> Literal["aim met", "must met", "aim not met", "missed"]:
    def meets(bound: float) -> bool:
        return found >= bound if bar.direction == "at least" else found <= bound

    if bar.aim is not None and meets(bar.aim):
        return "aim met"
    if bar.must is None:
        return "aim not met"
    return "must met" if meets(bar.must) else "missed"
