"""Which worlds there are, and how a seed is run in one."""

import asyncio
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from functools import partial

import psycopg2

from campaigns.services import sending
from common import failpoints
from tests.simulation.delivery import Delivery
from tests.simulation.inbox import Inbox
from tests.simulation.sabotages import SABOTAGES
from tests.simulation.tokens import Tokens
from tests.simulation.wechat import FATES
from tests.simulation.world import Killed
from wechat_gateway import intake

SCENARIOS = {"delivery": Delivery, "zombies": partial(Delivery, zombies=True), "tokens": Tokens, "inbox": Inbox}
# How often each is played in ten seeds.
TURNS = ("delivery", "tokens", "inbox", "delivery", "delivery", "zombies", "tokens", "delivery", "inbox", "delivery")
# What the runs as a whole must have met; otherwise they prove little.
SOMETIMES = (
    "kill", "stop", "connection lost", "commit whose answer was lost", "clock jumped", "token revoked", "40001",
    "wake-up call lost", "lock waited for", "row skipped", "repeat recognised by WeChat", "deadline of a batch",
    "idle session ended", "token row busy", "token left by another process", "nothing left by another process",
    "token fetched by another thread", "refused for ever", "parked", "operator: pause", "operator: resume",
    "operator: stop", "operator: retry", "spilt", "503", "poison", "replayed", "lost after the commit",
    "repeat found by PostgreSQL", "push repeated", *(f"fate: {fate}" for fate in FATES),
)  # fmt: skip


# What sabotages replace in the product itself.
_OWN = [
    (sending, "_entry", sending._entry),
    (sending, "_client_msg_id", sending._client_msg_id),
    (sending, "_patience", sending._patience),
    (intake.Intake, "keep", intake.Intake.keep),
    (intake.Intake, "drain", intake.Intake.drain),
]


@dataclass
class Outcome:
    breaches: list
    seen: dict
    trace: list = field(default_factory=list)


def run_one(name, seed, sabotage="", *, trace=False):
    for holder, attribute, value in _OWN:
        setattr(holder, attribute, value)
    run = SCENARIOS[name](seed, trace=trace)
    if sabotage:
        SABOTAGES[sabotage][1](run)
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


def caught_by(sabotage, most):
    """The first seed that a deliberate bug makes fail, and how; None when none of `most` does."""
    name = SABOTAGES[sabotage][0]
    for seed in range(most):
        outcome = run_one(name, seed, sabotage)
        if outcome.breaches:
            return seed, outcome.breaches[0]
    return None


# Between the answer of PostgreSQL and that to WeChat nothing reaches outside: only the process can end there.
CANNOT_RAISE = {"intake: written, not answered"}
WAYS = ("raise", "delay", "cut", "kill")


def fire_in_the_gateway(name, seeds):
    """Fire one point of the gateway's event loop in each way; (way, times fired, first breach) of all seeds."""
    for way in WAYS:
        if way == "raise" and name in CANNOT_RAISE:
            continue
        fired, breach = 0, None
        for seed in seeds:
            run = SCENARIOS["inbox"](seed)
            shots = _arm(run, name, way)
            try:
                breaches = run.run()
            except Exception as error:
                breaches = [("it runs", repr(error))]
            finally:
                failpoints.armed.clear()
            fired += len(shots)
            breach = breach or (breaches and (seed, breaches[0]))
        yield way, fired, breach


def _arm(run, name, way):
    shots = []

    def act():
        # What stands still has to be awake again when the faults end, 30 seconds after the beginning.
        if len(shots) == 2 or not run.world.faults or (way == "delay" and run.world.now > 20.0):
            return
        shots.append(run.world.now)
        loop = asyncio.get_running_loop()
        if way == "raise":
            raise psycopg2.OperationalError(name)
        if way == "delay":
            run.stand_still(loop, run.world.random.choice((0.3, 2.0, 8.0)))
        elif way == "cut":
            run.cut_off(loop.process)
        else:
            run.world.kill(loop.process)
            raise Killed

    failpoints.armed[name] = act
    return shots
