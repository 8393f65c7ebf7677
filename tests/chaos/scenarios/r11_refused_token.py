"""R11: WeChat refuses one brand's token for ever: that brand waits and comes back by itself, others do not notice."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median

from tests.chaos import campaigns
from tests.chaos.rig import CHILDREN, SENDERS
from tests.chaos.world import SEND, TOKEN, Shop

PARKS_SECONDS = 10.0
RESUMES_SECONDS = 60.0
STEP_SECONDS = 30  # of simulated time
GROWS_MB = 10.0


def run(stage, outcome):
    people = stage.people(ci=2_000, default=5_000, full=5_000)
    minutes = stage.pick(ci=2, default=10, full=10)
    rounds = stage.pick(ci=1, default=3, full=5)
    bad, good = Shop(stage, "r11-bad", people=500), Shop(stage, "r11-good", people=people)
    # So slow that WeChat, not this machine, sets the speed.
    stage.proxy.add("wechat", "latency", ms=300, jitter_ms=20)
    _speed(stage, good)  # everything is warm
    alone = [_speed(stage, good) for _ in range(rounds)]
    stage.wechat.fault("errcode", name="refused", appid=bad.appid, path=SEND, errcode=40001)
    broken = time.monotonic()
    sent = bad.launch()
    parks = Parks(sent, broken)
    beside = [_speed(stage, good, parks.look) for _ in range(rounds)]  # the first while A is being refused
    stage.rig.until("A is parked", lambda: parks.look() or parks.after, 60)
    outcome.at_most("parked after", parks.after or 60.0, PARKS_SECONDS)
    outcome.holds(f"parked without a cause: {parks.code!r}", bool(parks.code))
    outcome.note(alone=_each(alone), beside=_each(beside))
    outcome.at_least("speed beside, % of alone", 100 * median(beside) / median(alone), 95.0)
    before = _memory(stage)
    clock = stage.wechat.now()
    while stage.wechat.now() < clock + minutes * 60:
        stage.wechat.advance(STEP_SECONDS)
        stage.rig.pause(6.5)  # the sweeper looks every five seconds
    minutes = (stage.wechat.now() - clock + time.monotonic() - broken) / 60
    fetches = stage.wechat.calls(bad.appid, TOKEN)
    wasted = stage.wechat.calls(bad.appid, SEND)
    # The first token, one heal a minute, one of which in ten minutes also forces a new token.
    outcome.at_most("token fetches", len(fetches), 3 + int(minutes) + int(minutes / 10))
    outcome.at_most("wasted calls", len(wasted), 3 * CHILDREN * len(SENDERS) + int(minutes) * 3)
    after = _memory(stage)
    grown = max((after[pid] - before[pid] for pid in before.keys() & after.keys()), default=0.0)
    outcome.at_most("one process grown by, MB", grown, GROWS_MB)
    outcome.note(minutes=f"{minutes:.1f}")
    outcome.equal("failed by it", sent.counts()["FAILED"] + sent.counts()["REFUSED"], 0)
    stage.wechat.heal()
    repaired = time.monotonic()
    back = stage.rig.until("A goes on", lambda: len(stage.wechat.calls(bad.appid, SEND)) > len(wasted) + 5, 120)
    outcome.at_most("resumed after", time.monotonic() - repaired if back else 120.0, RESUMES_SECONDS)
    stage.proxy.heal()
    outcome.holds("A is not finished", campaigns.watch(stage, sent, seconds=90))
    outcome.holds("A's results do not settle", campaigns.settle(stage, sent, seconds=60) is not None)
    campaigns.compare(stage, outcome, sent, bound=len(wasted) + 5)


class Parks:
    """When A was first seen parked, and why."""

    def __init__(self, sent, since):
        self.sent, self.since, self.after, self.code = sent, since, 0.0, ""

    def look(self, _tried=None):
        if not self.after and self.sent.state == "PARKED":
            self.after, self.code = time.monotonic() - self.since, self.sent.parked_code


def _each(speeds):
    return " ".join(f"{speed:.0f}" for speed in speeds) + "/s"


def _speed(stage, shop, each=lambda _tried: None):
    """Messages a second of one campaign, from its first to its last call."""
    since = max((call["real"] for call in stage.wechat.calls(shop.appid, SEND)), default=0.0)
    sent = shop.launch()
    campaigns.watch(stage, sent, each, seconds=120, every=0.2)
    moments = [call["real"] for call in stage.wechat.calls(shop.appid, SEND) if call["real"] > since]
    stage.rig.until("its results", lambda: not sent.counts()["SENT"], 60, each=0.3)
    return len(moments) / max(0.001, max(moments) - min(moments))


def _memory(stage):
    """Resident megabytes of each process that sends."""
    found = {}
    for name in SENDERS:
        for pid in stage.rig.children(name):
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    found[pid] = int(line.split()[1]) / 1024
    return found
