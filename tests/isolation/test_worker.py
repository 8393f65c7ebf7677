"""Tasks of twenty brands interleaved in a real prefork worker: each sees its own brand, none leaves one behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
import redis

from launcher.state import ROOT
from tests.isolation.cells import Cells
from tests.isolation.matrix.console import THOROUGH

TASKS = 5_000 if THOROUGH else 300
BRANDS = 20
SAID = "zhiyin:global:test:context"

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400), pytest.mark.long(20)]

FEED = f"""
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
with worker_app.app.connection_for_write() as connection:
    for number in range(int(sys.argv[1])):
        worker_app.work.apply_async((draw.choice(brands), number), connection=connection)
        if number % 50 == 0:
            worker_app.sweep.apply_async((), connection=connection)
    for wrong in ((), (None, 1), ("1", 1), (True, 1)):
        worker_app.app.send_task("tests.context.work", wrong, queue="context", connection=connection)
print(json.dumps(brands))
"""


@pytest.fixture
def worker(fresh_database):
    process = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "tests.isolation.worker_app", "worker", "-P", "prefork", "-c", "2",
         "-Q", "context", "-l", "CRITICAL", "-n", f"context{os.getpid()}@%h", "--without-mingle", "--without-gossip"],
        cwd=ROOT, env=fresh_database, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    yield fresh_database
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def test_each_task_sees_its_brand_and_leaves_none_behind(worker):
    cells = Cells("contexts in a worker")
    fed = subprocess.run(
        [sys.executable, "-c", FEED, str(TASKS)], cwd=ROOT, env=worker, capture_output=True, text=True, check=False
    )
    assert fed.returncode == 0, fed.stderr[-2000:]
    said = heard(worker["REDIS_URL"])
    counted = Counter(each["what"] for each in said)
    for each in said:
        if each["what"] == "saw":
            cells.expect(each["seen"] == [each["brand"]], "task", each["brand"], each["number"], saw=each["seen"])
        elif each["what"] in {"before", "after", "sweep"}:
            fine = not each.get("scope") and not each.get("atomic") and each["seen"] == []
            cells.expect(fine, each["what"], "left behind", saw=each)
    done = {each["number"] for each in said if each["what"] == "saw"}
    cells.expect(done == set(range(TASKS)), "every task ran", saw=f"{len(done)} of {TASKS}")
    errors = Counter(each["error"] for each in said if each["what"] == "failed")
    cells.expect(errors["TypeError"] == 4, "tasks without a brand are refused", saw=errors)
    cells.expect(errors["ZeroDivisionError"] == len([n for n in range(TASKS) if n % 10 == 3]), "failures", saw=errors)
    retried = sum(count > 1 for count in Counter(each["number"] for each in said if each["what"] == "saw").values())
    cells.expect(retried > 0, "some were tried again", saw=retried)
    cells.facts |= {"messages": dict(counted), "failures": dict(errors), "tried again": retried}
    cells.close()


def heard(url):
    """What the tasks said, once it has stopped growing and everything is there."""
    deadline = time.monotonic() + 360
    with redis.Redis.from_url(url) as client:
        while time.monotonic() < deadline:
            said = [json.loads(line) for line in client.lrange(SAID, 0, -1)]
            done = {each["number"] for each in said if each["what"] == "saw"}
            refused = sum(each["what"] == "failed" and each["error"] == "TypeError" for each in said)
            if len(done) == TASKS and refused == 4 and not client.llen("context"):
                return said
            time.sleep(0.2)
    return said
