"""R11: WeChat refuses one brand's token for ever: that brand waits and comes back by itself, others do not notice."""

from __future__ import annotations

import time
from pathlib import Path

from tests.chaos import campaigns
from tests.chaos.rig import CHILDREN, SENDERS
from tests.chaos.world import SEND, TOKEN, Shop

PARKS_SECONDS = 10.0
RESUMES_SECONDS = 60.0


def run(stage, outcome):
    people = stage.people(ci=1_500, default=3_000, full=5_000)
    lasts = stage.pick(ci=20, default=75, full=600)
    rounds = stage.pick(ci=1, default=2, full=2)
    bad, good = Shop(stage, "r11-bad", people=500), Shop(stage, "r11-good", people=people)
    stage.proxy.add("wechat", "latency", ms=100, jitter_ms=20)
    _speed(stage, good)  # everything is warm
    alone = [_speed(stage, good) for _ in range(rounds)]
    before = _memory(stage)
    stage.wechat.fault("errcode", name="refused", appid=bad.appid, path=SEND, errcode=40001)
    broken = time.monotonic()
    sent = bad.launch()
    parked = stage.rig.until("A is parked", lambda: sent.state == "PARKED", 60)
    outcome.at_most("parked after", time.monotonic() - broken if parked else 60.0, PARKS_SECONDS)
    outcome.holds(f"parked without a cause: {sent.parked_code!r}", bool(sent.parked_code))
    beside = [_speed(stage, good) for _ in range(rounds)]
    outcome.note(alone=f"{max(alone):.0f}/s", beside=f"{max(beside):.0f}/s")
    outcome.at_least("speed beside, % of alone", 100 * max(beside) / max(alone), 95.0)
    while time.monotonic() < broken + lasts:
        stage.rig.pause(0.5)
    minutes = (time.monotonic() - broken) / 60
    fetches = stage.wechat.calls(bad.appid, TOKEN)
    wasted = stage.wechat.calls(bad.appid, SEND)
    # The first token, one heal a minute, one of which in ten minutes also forces a new token.
    outcome.at_most("token fetches", len(fetches), 3 + int(minutes) + int(minutes / 10))
    outcome.at_most("wasted calls", len(wasted), 3 * CHILDREN * len(SENDERS) + int(minutes) * 2)
    outcome.at_most("grown by, MB", _memory(stage) - before, 60.0)
    outcome.equal("failed by it", sent.counts()["FAILED"] + sent.counts()["REFUSED"], 0)
    stage.wechat.heal()
    repaired = time.monotonic()
    back = stage.rig.until("A goes on", lambda: len(stage.wechat.calls(bad.appid, SEND)) > len(wasted) + 5, 120)
    outcome.at_most("resumed after", time.monotonic() - repaired if back else 120.0, RESUMES_SECONDS)
    stage.proxy.heal()
    outcome.holds("A is not finished", campaigns.watch(stage, sent, seconds=90))
    outcome.holds("A's results do not settle", campaigns.settle(stage, sent, seconds=60) is not None)
    campaigns.compare(stage, outcome, sent, bound=len(wasted) + 5)


def _speed(stage, shop):
    """Messages a second of one campaign, from its first to its last call."""
    since = max((call["real"] for call in stage.wechat.calls(shop.appid, SEND)), default=0.0)
    sent = shop.launch()
    campaigns.watch(stage, sent, seconds=120, every=0.2)
    moments = [call["real"] for call in stage.wechat.calls(shop.appid, SEND) if call["real"] > since]
    stage.rig.until("its results", lambda: not sent.counts()["SENT"], 60, each=0.3)
    return len(moments) / max(0.001, max(moments) - min(moments))


def _memory(stage):
    """Resident megabytes of the processes that send."""
    total = 0.0
    for name in SENDERS:
        for pid in stage.rig.children(name):
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    total += int(line.split()[1]) / 1024
    return total
