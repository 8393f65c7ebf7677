"""`python -m tests.chaos [R1 R16 …] [--recipients N] [--ci | --full] [--seed N] [--list]`."""

from __future__ import annotations

import argparse
import ast
import importlib
import importlib.util
import pkgutil
import random
import sys
import time
import traceback

from launcher.errors import Interrupted
from tests.chaos import scenarios
from tests.chaos.rig import Rig, setup_django
from tests.chaos.verdict import Outcome, tell

# Those that move the clock or break the most come last: they share one product with the others.
ORDER = ("R12", "R10", "R16", "R25", "P1", "R1", "R8", "R20", "R18", "R2", "R4", "R11", "R24", "R13")


class Stage:
    """What a scenario works with: the rig, the simulated WeChat, its size and its own randomness."""

    def __init__(self, rig, options):
        from tests.chaos.world import Wechat

        self.rig = rig
        self.proxy = rig.proxy
        self.options = options
        self.wechat = Wechat(rig.env["ZHIYIN_SIMULATOR_URL"])
        self.size = "ci" if options.ci else "full" if options.full else "default"
        self.seed = options.seed
        self.random = random.Random(options.seed)

    def pick(self, *, ci, default, full):
        """The figure of this run's size."""
        return {"ci": ci, "default": default, "full": full}[self.size]

    def people(self, *, ci, default, full):
        return self.options.recipients or self.pick(ci=ci, default=default, full=full)

    def say(self, text):
        if self.options.verbose:
            sys.stdout.write(f"      {time.monotonic() - self.rig.began:6.1f} s  {text}\n")
            sys.stdout.flush()

    def calm(self):
        """Take every fault away; what a scenario broke and left broken is started again."""
        self.proxy.heal()
        self.wechat.heal()
        for name in list(self.rig.down):
            self.rig.revive(name, wait=True)


def known():
    """Scenarios by id: each module of `tests.chaos.scenarios` has KEY, ABOUT and run(stage) -> Outcome."""
    found = {}
    for module in pkgutil.iter_modules(scenarios.__path__):
        name = module.name.partition("_")[0].upper().replace("R0", "R").replace("P0", "P")
        found[name] = f"{scenarios.__name__}.{module.name}"
    return {key: found[key] for key in ORDER if key in found}


def main(arguments):
    everything = known()
    options = _parser().parse_args(arguments)
    if options.list:
        for key, module in everything.items():
            source = importlib.util.find_spec(module).loader.get_source(module)  # importing it needs Django
            about = ast.get_docstring(ast.parse(source)).splitlines()[0]
            sys.stdout.write(f"{key:<4} {about}\n")
        return 0
    wanted = [key.upper() for key in options.scenarios] or list(everything)
    if unknown := set(wanted) - set(everything):
        sys.stderr.write(f"unknown {', '.join(sorted(unknown))}; there are {', '.join(everything)}\n")
        return 2
    began = time.monotonic()
    failed: list[str] = []
    with Rig(seed=options.seed) as rig:
        try:
            rig.start_product()
            setup_django(rig.env)
            stage = Stage(rig, options)
            sys.stdout.write(f"the product is up after {time.monotonic() - began:.1f} s; seed {options.seed}\n")
            chosen = [key for key in everything if key in wanted]
            failed = [key for key in chosen if not _play(stage, key, everything[key])]
        except Interrupted:
            sys.stdout.write("stopped\n")
            return 130
    spent = time.monotonic() - began
    sys.stdout.write(
        f"{len(wanted) - len(failed)} held, {len(failed)} broke{': ' if failed else ''}{', '.join(failed)}"
    )
    sys.stdout.write(f"; {spent:.0f} s\n")
    return 1 if failed else 0


def _play(stage, key, module):
    outcome = Outcome()
    died = len(stage.rig.died)
    stage.random = random.Random(f"{stage.seed}/{key}")
    try:
        importlib.import_module(module).run(stage, outcome)
    except Interrupted:
        raise
    except Exception as error:
        traceback.print_exc()
        outcome.breaches.append(f"the scenario itself failed: {type(error).__name__}: {error}")
    stage.calm()
    ended = stage.rig.died[died:]
    if len(ended) > outcome.may_end:
        outcome.none("ended by themselves", [f"{name} at {when} s" for name, when, _ in ended])
    else:
        outcome.note(ended_by_themselves=len(ended))
    for name, _, tail in ended:
        sys.stdout.write(f"      the last words of {name}:\n{tail}\n")
    tell(key, outcome, stage.seed)
    if not outcome.passed:
        stage.rig.show_logs()
    return outcome.passed


def _parser():
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("scenarios", nargs="*", help="ids; all when none is given")
    parser.add_argument("--recipients", type=int, help="people per campaign, instead of the scenario's own number")
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--ci",
        action="store_true",
        help="small sizes, for a look before a change is submitted (R1: 20,000 people all the same)",
    )
    size.add_argument("--full", action="store_true", help="the sizes of the guarantees")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--list", action="store_true", help="list the scenarios")
    parser.add_argument("--verbose", action="store_true", help="tell every kill and cut")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
