"""G1, G2, G3 once more with 10,000 keyword rules over 200 brands, the reply chosen by rule and by member facts."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

from benchmarks.callback import messages, processes
from benchmarks.callback.messages import Numbers, Writer
from benchmarks.callback.processes import Server
from benchmarks.callback.stage import EVERY_KIND, Stage, check_answers, check_rows, warm
from benchmarks.rounds import Bar
from benchmarks.suites.callback import BEST, FLASK, RAW, SHIPPED, USUAL, measure, peers, static
from launcher.ports import free_numbers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchmarks.callback.load import Result
    from benchmarks.rounds import Absent, Contestant, Reading

BRANDS: Final = 200
RULES: Final = "by rule"
FACTS: Final = "by member facts"
_RATE: Final = 9_000


def _bars(who: str, letter: str) -> tuple[Bar, ...]:
    """The bars of the callback suite, for another contestant."""
    return (
        Bar(f"G1{letter}a", f"{who}: callback req/s over WeRoBot as shipped", who, SHIPPED, "at least", 2.5, 3.5),
        Bar(f"G1{letter}b", f"{who}: callback req/s over WeRoBot on granian", who, BEST, "at least", 1.0, 1.5),
        Bar(f"G1{letter}c", f"{who}: callback req/s over wechatpy + Flask", who, FLASK, "at least", 3.5, 5.0),
        Bar(f"G2{letter}", f"{who}: callback req/s over the same work the usual way", who, USUAL, "at least", 10, 18),
        Bar(
            f"G3{letter}", f"{who}: app CPU per callback over raw ASGI", who, RAW, "at most", 5.0, 3.5, figure="cpu us"
        ),
    )


class RulesSuite:
    """The peers answer from a dictionary of fifty words, as in the callback suite; only our rules are more."""

    key = "rules"
    title = "an encrypted push among 10,000 rules of every kind over 200 brands; one core for the server"
    unit = "req/s"
    rounds = 5
    bars = (*_bars(RULES, "r"), *_bars(FACTS, "f"))

    @contextmanager
    def prepare(self, rounds: int) -> Iterator[Mapping[str, Contestant | Absent]]:
        """Start everybody; the gateway is asked for words that everybody's rules answer, then for those of some."""
        mine = os.sched_getaffinity(0)
        processes.pin([os.getpid()], processes.OTHER_CORES)
        numbers = Numbers()
        try:
            with ExitStack() as stack:
                stage = stack.enter_context(Stage(BRANDS, rules=EVERY_KIND))
                env = {**stage.env, "BENCH_ACCOUNTS": json.dumps([account.as_json() for account in stage.accounts])}
                by_rule = Writer(stage.accounts, stage.port, words=messages.PLAIN_WORDS)
                by_facts = Writer(
                    stage.accounts,
                    stage.port,
                    words=messages.FACT_WORDS,
                    people=messages.FACT_PEOPLE,
                    answer=messages.answer_by_facts,
                )
                for writer in (by_rule, by_facts):
                    warm(writer, stage.port, numbers)
                contestants: dict[str, Contestant | Absent] = {
                    RULES: partial(_ours, stage, by_rule, numbers),
                    FACTS: partial(_ours, stage, by_facts, numbers),
                }
                port = free_numbers(1)[0]
                raw_argv = stage.uvicorn("benchmarks.peers.callback_raw:application", port)
                raw = stack.enter_context(Server(raw_argv, env, port=port))
                contestants[RAW] = partial(static, raw, Writer(stage.accounts, raw.port), numbers)
                yield contestants | peers(stack, stage, env, numbers)
        finally:
            os.sched_setaffinity(0, mine)


def _ours(stage: Stage, writer: Writer, numbers: Numbers, _round: int) -> Reading:
    backends = stage.gateway_backends()
    before = processes.cpu_seconds(backends)

    def check(result: Result, taken: range) -> Mapping[str, float]:
        spent = processes.cpu_seconds(backends) - before
        check_answers(result, writer)
        check_rows(result, stage.stored(taken.start))
        return {"PG us": spent / len(result.pushes) * 1e6}

    return measure(_RATE, writer, stage.port, lambda: processes.tree(stage.gateway_pid), numbers, check)


SUITE = RulesSuite()
