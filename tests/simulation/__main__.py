"""`python -m tests.simulation [--seeds N] [--seed S... --scenario NAME] [--sabotage NAME | --sabotages | --points]`."""

import argparse
import base64
import gc
import itertools
import logging
import multiprocessing
import os
import subprocess
import sys
import time
from collections import Counter

ENVIRONMENT = {
    "DJANGO_SETTINGS_MODULE": "config.settings",
    "ZHIYIN_ENV": "test",
    "ZHIYIN_SECRET_KEY": "only-for-the-simulation-0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJ",
    "ZHIYIN_MASTER_KEYS": f"k1:{base64.urlsafe_b64encode(bytes(32)).decode()}",
    **dict.fromkeys(
        ("DATABASE_URL", "DATABASE_OWNER_URL", "DATABASE_INTAKE_URL"), "postgresql://nobody@127.0.0.1:9/none"
    ),
    "REDIS_URL": "redis://127.0.0.1:9/0",
}


def prepare():
    """Django without a database: the simulation brings its own."""
    import django

    os.environ.update(ENVIRONMENT)
    django.setup()
    logging.disable(logging.CRITICAL)


def _chunk(job):
    from tests.simulation import scenarios

    first, last, names, sabotage = job
    return scenarios.run_many(range(first, last), names, sabotage)


def _try(name):
    from tests.simulation import scenarios

    return name, scenarios.caught_by(name, 2_000)


def _try_sabotages(processes):
    from tests.simulation.sabotages import SABOTAGES

    missed = 0
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        for name, caught in pool.imap_unordered(_try, SABOTAGES):
            missed += caught is None
            print(f"{name:32} {f'seed {caught[0]}: {caught[1][0]}' if caught else 'NOT CAUGHT'}", flush=True)
    return 1 if missed else 0


def _fire_points():
    from tests.simulation import points, scenarios

    failed = 0
    for name in sorted(name for name in points.declared() if name.startswith(points.IN_THE_GATEWAY)):
        for way, fired, breach in scenarios.fire_in_the_gateway(name, range(12)):
            failed += bool(breach) or not fired
            print(f"{name:32} {way:6} fired {fired:3}  {breach or ('mended' if fired else 'NEVER FIRED')}", flush=True)
    return 1 if failed else 0


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000, help="how many seeds to run")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, nargs="+", help="run these only, with their traces")
    parser.add_argument("--scenario", action="append", help="delivery, tokens, inbox (all, if none is named)")
    parser.add_argument("--sabotage", default="", help="break the engine in this way first")
    parser.add_argument("--sabotages", action="store_true", help="only show which seed catches each deliberate bug")
    parser.add_argument("--points", action="store_true", help="only fire every failpoint of the gateway's event loop")
    parser.add_argument("--tests", action="store_true", help="only run the tests at full size: points, Nth call, twins")
    parser.add_argument("--no-tests", action="store_true", help="run the seeds and the deliberate bugs only")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.tests:
        return _run_tests()
    prepare()
    from tests.simulation import sabotages, scenarios

    gc.freeze()  # what is loaded by now need not be looked through again and again
    gc.set_threshold(50_000, 20, 50)
    if arguments.sabotage and arguments.sabotage not in sabotages.SABOTAGES:
        parser.error(f"known: {', '.join(sabotages.SABOTAGES)}")
    arguments.names = arguments.scenario or list(scenarios.TURNS)
    if arguments.sabotages:
        return _try_sabotages(arguments.processes)
    if arguments.points:
        return _fire_points()
    if arguments.seed is not None:
        return _play_some(arguments)
    failed = _play_many(arguments)
    if arguments.scenario or arguments.sabotage:
        return failed
    failed = max(failed, _try_sabotages(arguments.processes))
    return failed if arguments.no_tests else max(failed, _run_tests())


def _play_some(arguments):
    from tests.simulation import scenarios

    failed = 0
    for name, seed in itertools.product(dict.fromkeys(arguments.names), arguments.seed):
        outcome = scenarios.run_one(name, seed, arguments.sabotage, trace=True)
        print("\n".join(outcome.trace))
        print(f"{name} seed {seed}: {outcome.breaches or 'every invariant holds'}")
        failed += bool(outcome.breaches)
    return 1 if failed else 0


def _run_tests():
    environment = {name: value for name, value in os.environ.items() if name not in ENVIRONMENT}
    environment |= {"SIMULATION_FULL": "all"}
    # They wait for PostgreSQL as long as for Python: three keep two cores busy.
    parallel = ("-n", "3", "--dist", "worksteal")
    command = [sys.executable, "-m", "pytest", "-q", *parallel, "tests/simulation"]
    return 1 if subprocess.run(command, env=environment, check=False).returncode else 0


def _play_many(arguments):
    from tests.simulation import scenarios

    began = time.monotonic()
    step = 50
    last = arguments.first + arguments.seeds
    jobs = [(n, min(n + step, last), arguments.names, arguments.sabotage) for n in range(arguments.first, last, step)]
    seen, failures, cpu = Counter(), [], 0.0
    with multiprocessing.get_context("fork").Pool(arguments.processes) as pool:
        for counts, bad, seconds in pool.imap_unordered(_chunk, jobs):
            seen.update(counts)
            failures += bad
            cpu += seconds
    for what, count in sorted(seen.items()):
        print(f"  {count:9}  {what}")
    for name, seed, breaches in sorted(failures)[:20]:
        print(f"FAILED {name} seed {seed}: {breaches[:3]}")
        print(f"       python -m tests.simulation --scenario {name} --seed {seed}")
    never = (
        [what for what in scenarios.SOMETIMES if not seen[what]]
        if arguments.seeds >= 2_000 and not arguments.scenario
        else []
    )
    for what in never:
        print(f"NEVER SEEN {what}: the simulation has lost its teeth")
    print(
        f"{arguments.seeds} seeds, {len(failures)} failed, {time.monotonic() - began:.1f} s, "
        f"{cpu * 1000 / max(1, arguments.seeds):.1f} ms of CPU a seed"
    )
    return 1 if failures or never else 0


if __name__ == "__main__":
    sys.exit(main())
