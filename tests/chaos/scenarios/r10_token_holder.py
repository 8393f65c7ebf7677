"""R10: many processes, one token: one fetch per expiry, one more per killed holder, and nobody waits for a dead one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from launcher.environment import base
from tests.chaos.world import TOKEN, Shop

# Those of a frozen process who stand in line for the row hold it for a while, too, when their turn comes.
FROZEN_SECONDS = 75.0
CALLS = 2_000
HERDS = 3
USERS = "token-user-%"
WAIT_SECONDS = 0.2


def run(stage, outcome):
    processes = stage.pick(ci=8, default=16, full=16)
    kills = stage.pick(ci=6, default=20, full=20)
    shop = Shop(stage, "r10", people=1)
    stage.wechat.fault("latency", name="slow", path=TOKEN, appid=shop.appid, ms=200, jitter_ms=2800, seed=stage.seed)
    users = _users(stage, shop, processes)
    frozen, killed, froze = None, {}, 0.0
    try:
        first = _one_fetch(stage, shop, 0)
        if first != 1:
            stage.say(str([(call["n"], call["real"], call["result"]) for call in _fetches(stage, shop)]))
        outcome.equal("fetches at the start", first, 1)
        for _ in range(HERDS):  # how long everybody takes to look at a token that is there
            _forget(stage)
            stage.rig.pause(1.0)
        for _ in range(kills):
            before = len(_fetches(stage, shop))
            _expire(stage, shop)
            holder = stage.rig.until("somebody fetches", lambda: _holder(stage), 20, each=0.02)
            if not holder:
                outcome.breaches.append("nobody fetches a new token")
                break
            with suppress(ProcessLookupError):
                os.kill(holder, signal.SIGKILL)
            killed[holder] = time.time()
            outcome.holds("no fetch after a killed holder", _one_fetch(stage, shop, before) >= 1)
        froze = time.time()
        frozen = _sleeping_holder(stage, outcome, shop)
    finally:
        totals = _stop(users)
    outcome.note(processes=processes, killed_holders=len(killed))
    outcome.at_least(
        "calls", sum(each["calls"] for each in totals), stage.pick(ci=CALLS // 4, default=CALLS, full=CALLS)
    )
    outcome.at_least("processes that reported", len(totals), processes - 1)
    failed = [(at, cause) for each in totals for at, cause in each["failed"] if each["pid"] != frozen]
    outcome.none("failed calls", [cause for at, cause in failed if at < froze or cause != "PARKED"])
    # While somebody frozen has the row, whoever needs a token is told to come back.
    outcome.note(told_to_wait_for_a_frozen_one=len(failed))
    spans = _spans(stage, killed)
    # One at the start, one for each later end of a token, one more for each killed or frozen holder.
    outcome.equal("fetches", len(spans), 1 + 2 * len(killed) + 2)
    waits = [wait for each in totals for wait in each["waits"] if wait[1] < froze]
    _judge_waits(stage, outcome, spans, waits)


def _judge_waits(stage, outcome, spans, waits):
    """Nobody waits for a token longer than it is being fetched and 200 ms.

    Where many share few cores, a look at a token that is there takes its time, too: the longest one is allowed for.
    """
    fetches = _joined(spans)
    idle, beyond = [], []
    for began, ended in waits:
        near = [(start, end) for start, end in fetches if start < ended and began < end + 1.0]
        fetching = sum(_shared((began, ended), each) for each in near)
        (beyond if fetching else idle if not near else []).append(ended - began - fetching)
    outcome.note(longest_wait=f"{max(ended - began for began, ended in waits):.1f} s", waited_for_a_fetch=len(beyond))
    longest_look = max(idle)
    worst = max(waits, key=lambda wait: wait[1] - wait[0] - sum(_shared(wait, each) for each in fetches))
    stage.say(f"the worst wait: {worst}, beside {[each for each in spans if _shared(worst, each)]}")
    outcome.note(longest_look=f"{longest_look * 1000:.0f} ms")
    outcome.at_least("waits for a fetch", len(beyond), 50)
    outcome.at_most("wait beyond the fetch, ms", max(beyond) * 1000, (WAIT_SECONDS + longest_look) * 1000)


def _shared(one, other):
    return max(0.0, min(one[1], other[1]) - max(one[0], other[0]))


def _notes(stage):
    return stage.rig.folder / "fetches"


def _notes_of(stage):
    """Fetches that began and did not end, by process, and the spans of the others."""
    begun, found = {}, []
    for line in _notes(stage).read_text().splitlines():
        pid, what, at = line.split()
        if what == "began":
            begun[pid] = float(at)
        else:
            found.append((begun.pop(pid), float(at)))
    return begun, found


def _spans(stage, killed):
    """When somebody asked WeChat for a token; who was killed over it asked until then."""
    begun, found = _notes_of(stage)
    return found + [(began, killed[int(pid)]) for pid, began in begun.items()]


def _joined(spans):
    """Spans of time without overlaps."""
    found = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def _users(stage, shop, processes):
    process = subprocess.Popen(
        [
            sys.executable, "-m", "tests.chaos.token_users", str(shop.brand.pk), shop.appid, shop.openids[0],
            str(processes), "4",
            str(_notes(stage)),
        ],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**base(), **stage.rig.env},
    )  # fmt: skip
    if process.stdout.readline() != "ready\n":
        raise RuntimeError("the token users did not start")
    return process


def _stop(process):
    process.stdin.close()
    lines = process.stdout.read().splitlines()
    process.stdout.close()
    process.wait(60)
    return [json.loads(line) for line in lines if line.startswith("{")]


def _fetches(stage, shop):
    return stage.wechat.calls(shop.appid, TOKEN)


def _expire(stage, shop):
    """The token ends now, and everybody who remembers it notices at once: a herd."""
    stage.rig.sql(
        "UPDATE wechat_gateway_accesstoken SET expires_at = '2001-01-01', fetched_at = '2001-01-01' WHERE brand_id = %s",
        shop.brand.pk,
    )
    _forget(stage)


def _forget(stage):
    names = stage.rig.sql(
        "SELECT DISTINCT application_name FROM pg_stat_activity WHERE application_name LIKE %s", USERS
    )
    for (name,) in names:
        with suppress(ProcessLookupError):
            os.kill(int(name.rpartition("-")[2]), signal.SIGUSR1)


def _valid(stage, shop):
    return stage.rig.sql(
        "SELECT generation FROM wechat_gateway_accesstoken WHERE brand_id = %s AND expires_at > '2002-01-01'",
        shop.brand.pk,
    )


def _one_fetch(stage, shop, before):
    """Wait until there is a token and everybody has had time to see it; gives the fetches since `before`."""
    stage.rig.until("a token", lambda: _valid(stage, shop), 30, each=0.05)
    stage.rig.pause(0.7)
    return len(_fetches(stage, shop)) - before


def _holder(stage):
    """The process that is asking WeChat for a token."""
    begun = _notes_of(stage)[0]
    return next((int(pid) for pid in begun if Path(f"/proc/{pid}").exists()), None)


def _sleeping_holder(stage, outcome, shop):
    """A holder that is frozen in mid-fetch: the others get a token without it, and its own comes too late to matter."""
    _expire(stage, shop)
    holder = stage.rig.until("somebody fetches", lambda: _holder(stage), 20, each=0.02)
    if not holder:
        outcome.breaches.append("nobody fetches a new token to fall asleep over")
        return None
    os.kill(holder, signal.SIGSTOP)
    began = time.monotonic()
    try:
        found = stage.rig.until("a token in spite of a frozen holder", lambda: _valid(stage, shop), FROZEN_SECONDS)
        outcome.holds(f"a frozen holder keeps everybody waiting for {FROZEN_SECONDS:.0f} s", found)
        outcome.note(new_token_after_a_frozen_holder=f"{time.monotonic() - began:.1f} s")
        before = _valid(stage, shop)
    finally:
        os.kill(holder, signal.SIGCONT)
    stage.rig.pause(4.0)
    outcome.equal("generation after the late refresh", _valid(stage, shop), before)
    return holder
