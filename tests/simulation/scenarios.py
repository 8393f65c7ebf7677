"""Which worlds there are, and how a seed is run in one."""

import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from functools import partial

from tests.simulation.delivery import Delivery
from tests.simulation.inbox import Inbox
from tests.simulation.tokens import Tokens

SCENARIOS = {"delivery": Delivery, "zombies": partial(Delivery, zombies=True), "tokens": Tokens, "inbox": Inbox}
SOMETIMES = ("kill", "stop", "connection lost")


@dataclass
class Outcome:
    breaches: list
    seen: dict
    trace: list = field(default_factory=list)


def run_one(name, seed, sabotage="", *, trace=False):
    from tests.simulation.sabotages import SABOTAGES

    run = SCENARIOS[name](seed, trace=trace)
    if sabotage:
        SABOTAGES[sabotage](run)
    try:
        breaches = run.run()
    except Exception as error:
        breaches = [*run.breaches, ("it runs", "".join(traceback.format_exception(error)[-4:])[-900:])]
    return Outcome(breaches, run.world.seen, run.world.trace or [])


def run_many(seeds, names, sabotage=""):
    """Each seed in one of the scenarios, in turn. Gives what was seen, the failures and the CPU used."""
    began = time.process_time()
    seen, failures = Counter(), []
    for seed in seeds:
        name = names[seed % len(names)]
        outcome = run_one(name, seed, sabotage)
        seen.update(outcome.seen)
        if outcome.breaches:
            failures.append((name, seed, outcome.breaches))
    return seen, failures, time.process_time() - began
