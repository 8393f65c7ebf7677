"""Tasks of twenty brands interleaved in real workers, of processes and of threads: each sees its own brand, none leaves
one behind; nor do those that beat starts, nor one whose worker was killed in the middle of it.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from itertools import pairwise

import pytest
import redis

from launcher.state import ROOT
from tests.isolation.cells import Cells
from tests.isolation.matrix.console import THOROUGH

TASKS = 5_000 if THOROUGH else 300
BRANDS = 20
SAID = "zhiyin:global:test:context"
POOLS = {"prefork": ("-P", "prefork", "-c", "2"), "threads": ("-P", "threads", "-c", "4")}
ONE = {"prefork": ("-P", "prefork", "-c", "1"), "threads": ("-P", "threads", "-c", "1")}
STANDSTILL = 30  # seconds in which nothing more gets done, after which nothing will
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600), pytest.mark.long(20)]

MAKE = f"""
import json, random, sys
import django; django.setup()
from accounts.services import create_brand
from accounts.tenancy import brand_scope
from tests.factories import make_tag
from tests.isolation import worker_app
brands = []
for each in range({BRANDS}):
    brand = create_brand(slug=f"context-{{each:02d}}", name=f"品牌 {{each}}")
    with brand_scope(brand.pk):
        make_tag(f"{{brand.pk}}")
    brands.append(brand.pk)
draw = random.Random(1)
def send(name, *args):
    worker_app.app.send_task(f"tests.context.{{name}}", args, queue="context", connection=connection)
with worker_app.app.connection_for_write() as connection:
"""
FEED = f"""{MAKE}
    for number in range(int(sys.argv[1])):
        send("work", draw.choice(brands), number)
        if number % 50 == 0:
            send("sweep")
    for wrong in ((), (None, 1), ("1", 1), (True, 1)):
        send("work", *wrong)
"""
# Killed for one brand, then the next brand: with one process both are done by the same one.
STUMBLE = f"""{MAKE}
    for number in range(int(sys.argv[1])):
        a, b = brands[number % 10], brands[10 + number % 10]
        send("stumble", a, number * 10, sys.argv[2])
        send("work", b, number * 10)
"""


@contextmanager
def celery(environment, *arguments):
    """A process of Celery in a product of its own; what it forks ends with it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "tests.isolation.worker_app", *arguments, "-l", "CRITICAL"],
        cwd=ROOT, env=environment, **QUIET,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)


def worker(environment, pool):
    """A worker of the queue."""
    name = f"context{os.getpid()}@%h"
    return celery(environment, "worker", *pool, "-Q", "context", "-n", name, "--without-mingle", "--without-gossip")


def feed(environment, source, *arguments):
    """Make the brands and ring."""
    fed = subprocess.run(
        [sys.executable, "-c", source, *map(str, arguments)],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert fed.returncode == 0, fed.stderr[-2000:]


def look(cells, said):
    """Every task saw its own brand alone, and nothing was there before and after it."""
    for each in said:
        if each["what"] in {"saw", "half", "again"}:
            cells.expect(each["seen"] == [each["brand"]], each["what"], each["brand"], each["number"], saw=each["seen"])
        elif each["what"] in {"before", "after", "sweep", "tick"}:
            fine = not each.get("scope") and not each.get("atomic") and each["seen"] == []
            cells.expect(fine, each["what"], "left behind", saw=each)


@pytest.mark.parametrize("pool", POOLS)
def test_each_task_sees_its_brand_and_leaves_none_behind(fresh_database, tmp_path, pool):
    cells = Cells(f"contexts in a worker of {pool}")
    with ExitStack() as stack:
        stack.enter_context(worker(fresh_database, POOLS[pool]))
        feed(fresh_database, FEED, TASKS)
        stack.enter_context(celery(fresh_database, "beat", "-s", str(tmp_path / "beat"), "--pidfile="))
        said = heard(fresh_database["REDIS_URL"])
    counted = Counter(each["what"] for each in said)
    look(cells, said)
    done = {each["number"] for each in said if each["what"] == "saw" and each["number"] >= 0}
    cells.expect(done == set(range(TASKS)), "every task ran", saw=f"{len(done)} of {TASKS}")
    errors = Counter(each["error"] for each in said if each["what"] == "failed")
    cells.expect(errors["TypeError"] == 4, "tasks without a brand are refused", saw=errors)
    cells.expect(errors["ZeroDivisionError"] == len([n for n in range(TASKS) if n % 10 == 3]), "failures", saw=errors)
    times = Counter(each["number"] for each in said if each["what"] == "saw" and each["number"] >= 0)
    retried = sum(count > 1 for count in times.values())
    cells.expect(retried > 0, "some were tried again", saw=retried)
    by_beat = {each["brand"] for each in said if each["what"] == "saw" and each["number"] < 0}
    cells.expect(len(by_beat) == BRANDS, "what beat started rang for every brand", saw=len(by_beat))
    cells.facts |= {"messages": dict(counted), "failures": dict(errors), "tried again": retried}
    cells.close()


KILLS = 10 if THOROUGH else 2


@pytest.mark.parametrize(("pool", "victim"), [("prefork", "child"), ("prefork", "worker"), ("threads", "worker")])
def test_what_was_killed_half_way_comes_again_and_the_next_brand_sees_nothing_of_it(fresh_database, pool, victim):
    cells = Cells(f"killed half way · {victim} of {pool}")
    environment = {**fresh_database, "CONTEXT_VISIBILITY": "2"}
    if pool == "threads":
        environment["CONTEXT_THREADS"] = "yes"
    feed(environment, STUMBLE, KILLS, victim)
    starts = 0
    with redis.Redis.from_url(environment["REDIS_URL"]) as client:
        deadline = time.monotonic() + 300
        while not all_came_again(said := lines(client)) and time.monotonic() < deadline:
            starts += 1
            with worker(environment, ONE[pool]) as process:
                while process.poll() is None and not all_came_again(lines(client)) and time.monotonic() < deadline:
                    time.sleep(0.1)
    look(cells, said)
    half, again = ({each["number"]: each for each in said if each["what"] == what} for what in ("half", "again"))
    wanted = {number * 10 for number in range(KILLS)}
    cells.expect(set(half) == wanted == set(again), "each was killed and came again", saw=(sorted(half), sorted(again)))
    for number, each in again.items():
        cells.expect(each["pid"] != half[number]["pid"], number, "by another process")
        cells.expect(each["meaning"] == [f"half {number}"], number, "sees what it wrote itself", saw=each["meaning"])
    bodies = [each for each in said if each["what"] in {"again", "saw"}]
    followed = [
        number
        for number, (one, other) in enumerate(pairwise(bodies))
        if one["what"] == "again" and one["pid"] == other["pid"] and one["brand"] != other["brand"]
    ]
    cells.expect(bool(followed), "another brand's task came next in the same process", saw=len(followed))
    cells.expect((starts > 1) == (victim == "worker"), "workers were started", saw=starts)
    cells.facts |= {"workers": starts, "followed by another brand in the process": len(followed)}
    cells.close()


def lines(client):
    return [json.loads(line) for line in client.lrange(SAID, 0, -1)]


def all_came_again(said):
    """Whatever was killed was done, and so was what stood behind it."""
    done = Counter(each["what"] for each in said)
    numbers = {each["number"] for each in said if each["what"] == "saw"}
    return done["again"] >= KILLS and len(numbers) == KILLS


def progress_of(said):
    """Which tasks were done, for which brands beat's were, how many were refused."""
    numbers = {each["number"] for each in said if each["what"] == "saw" and each["number"] >= 0}
    rung = {each["brand"] for each in said if each["what"] == "saw" and each["number"] < 0}
    refused = sum(each["what"] == "failed" and each["error"] == "TypeError" for each in said)
    return len(numbers), len(rung), refused


def heard(url):
    """What the tasks said, once all is done or nothing more gets done."""
    progress, since = (), time.monotonic()
    with redis.Redis.from_url(url) as client:
        while time.monotonic() - since < STANDSTILL:
            said = lines(client)
            if progress_of(said) != progress:
                progress, since = progress_of(said), time.monotonic()
            if progress == (TASKS, BRANDS, 4) and not client.llen("context"):
                break
            time.sleep(0.2)
    return said
