"""R16: a worker that slept past its lease changes nothing when it wakes up; who else sent its share is bounded."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

from tests.chaos import campaigns
from tests.chaos.rig import CLAIM_SIZE, LEASE_SECONDS
from tests.chaos.world import Shop

PAST_SECONDS = 20


def run(stage, outcome):
    people = stage.people(ci=1_500, default=4_000, full=20_000)
    rounds = stage.pick(ci=1, default=3, full=20)
    zombies = slept = late = 0
    for number in range(rounds):
        shop = Shop(stage, f"r16-{number}", people=people)
        stage.proxy.add("wechat", "latency", ms=500, jitter_ms=200)
        sent = shop.launch()
        # Whoever sleeps while the token is fetched has nothing to write afterwards (R10).
        stage.rig.until("the first call", lambda sent=sent: bool(sent.calls()), 60, each=0.05)
        pids = _put_to_sleep(stage, sent, 1 + number % 3)
        if not pids:
            outcome.breaches.append("no worker was caught with a lease")
            return
        since = time.monotonic()
        zombies += len(pids)
        try:
            held = len(sent.rows("id", f"state = 'LEASED' AND {_by(pids)}"))
            slept += held
            stage.proxy.heal()
            outcome.holds("the others do not finish", campaigns.watch(stage, sent, seconds=90 + people / 100))
            outcome.holds("results do not settle", campaigns.settle(stage, sent, seconds=60 + people / 100) is not None)
            while time.monotonic() < since + LEASE_SECONDS + PAST_SECONDS:
                stage.rig.pause(0.2)
            before = _snapshot(sent)
        finally:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
        stage.say(f"{len(pids)} zombies with {held} leases woke up after {time.monotonic() - since:.0f} s")
        woke = stage.rig.until("the late writes", lambda sent=sent: _late(sent) >= 1, 30)
        outcome.holds("the zombie never tried to write: the run proves nothing", woke)
        stage.rig.pause(1.0)
        late += _late(sent)
        after = _snapshot(sent)
        outcome.none("rows a zombie changed", [pk for pk in before if before[pk] != after.get(pk)])
        campaigns.compare(stage, outcome, sent, bound=len(pids) * CLAIM_SIZE)
    outcome.note(zombies=zombies, leases_slept_over=slept, late_writes_refused=late)


def _by(pids):
    return "(" + " OR ".join(f"leased_by LIKE '%%:{pid}'" for pid in pids) + ")"


def _put_to_sleep(stage, sent, wanted):
    """SIGSTOP so many processes with messages that WeChat has taken and they have not written down.

    A process caught between two batches, or before its first call, may go on: it would have nothing to write.
    """
    caught = []
    deadline = time.monotonic() + 60
    while len(caught) < wanted and time.monotonic() < deadline:
        for (holder,) in sent.rows("DISTINCT leased_by", "state = 'LEASED'"):
            pid = int(holder.rpartition(":")[2])
            if pid in caught or len(caught) == wanted:
                continue
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                held = sent.openids(f"state = 'LEASED' AND {_by([pid])}")
                if held and held & {row["openid"] for row in sent.truth()}:
                    caught.append(pid)
                else:
                    os.kill(pid, signal.SIGCONT)
        stage.rig.pause(0.05)
    return caught


def _snapshot(sent):
    return {row[0]: row[1:] for row in sent.rows("id, state, reason, attempt, round, msgid, due_at, sent_at, final_at")}


def _late(sent):
    ((count,),) = sent.rig.sql(
        "SELECT count(*) FROM campaigns_deliveryattempt a JOIN campaigns_delivery d ON d.id = a.delivery_id "
        "AND d.brand_id = a.brand_id WHERE a.outcome = 'LATE' AND d.campaign_id = %s AND d.brand_id = %s",
        sent.pk,
        sent.shop.brand.pk,
    )
    return count
