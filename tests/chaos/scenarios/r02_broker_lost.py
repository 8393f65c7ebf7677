"""R2: nothing depends on the broker: flushed, killed without persistence, away for a while, all during a campaign."""

from __future__ import annotations

import time

import redis

from launcher import ports
from tests.chaos import campaigns
from tests.chaos.world import SEND, Shop

RESUMES_SECONDS = 15.0
SWEEP_SECONDS = 5.0


def run(stage, outcome):
    # kombu's event loop has more than one way to trip over a connection that has just gone; the supervisor starts the
    # worker again and nobody has to do anything. More than this would be worth knowing.
    outcome.may_end = 2
    people = stage.people(ci=4_000, default=20_000, full=20_000)
    away = stage.pick(ci=15, default=60, full=60)
    rig = stage.rig
    shop = Shop(stage, "r2", people=people)
    late = Shop(stage, "r2-late", people=200)
    stage.proxy.add("wechat", "latency", ms=300, jitter_ms=100)
    sent = shop.launch()
    resumed = {}

    _reach(stage, outcome, sent, 0.25 * people)
    _server(rig).flushall()
    resumed["after FLUSHALL"] = _next_call(stage, shop, time.time())

    _reach(stage, outcome, sent, 0.5 * people)
    rig.kill("valkey")
    rig.revive("valkey", wait=True)
    resumed["after SIGKILL"] = _next_call(stage, shop, time.time())

    _reach(stage, outcome, sent, 0.75 * people)
    rig.kill("valkey")
    rig.pause(away / 2)
    meanwhile = late.launch()  # nobody can be rung for it
    rig.pause(away / 2)
    during = sent.tried()
    rig.revive("valkey", wait=True)
    back = time.time()
    stage.say(f"valkey is back after {away} s; {during} were tried by then")
    begun = _next_call(stage, late, back)
    if during < people:
        resumed[f"after {away} s away"] = _next_call(stage, shop, back)
    outcome.note(left_when_the_broker_came_back=people - during)
    stage.proxy.heal()

    outcome.holds(
        f"not everybody was tried: {dict(sent.counts())}", campaigns.watch(stage, sent, seconds=60 + people / 50)
    )
    settled = campaigns.settle(stage, sent, seconds=60 + people / 50)
    outcome.holds(f"unconfirmed after the results: {dict(sent.counts())}", settled is not None)
    for what, seconds in resumed.items():
        outcome.at_most(f"resumed {what}", seconds, RESUMES_SECONDS)
    outcome.holds(
        f"one launched without a broker is not sent: {dict(meanwhile.counts())}",
        campaigns.watch(stage, meanwhile, seconds=60) and campaigns.settle(stage, meanwhile, seconds=60) is not None,
    )
    outcome.none(
        "lost of one launched without a broker", set(late.openids) - {row["openid"] for row in meanwhile.truth()}
    )
    # Found by the sweeper, frozen, found again.
    outcome.at_most("begun of what was launched without a broker", begun, RESUMES_SECONDS + SWEEP_SECONDS)
    campaigns.compare(stage, outcome, sent, bound=0)


def _reach(stage, outcome, sent, tried):
    reached = stage.rig.until(f"{tried:.0f} people", lambda: sent.tried() >= tried, 120, each=0.03)
    outcome.holds(f"the campaign stands still before {tried:.0f} people", reached)


def _server(rig):
    return redis.Redis(host=ports.HOST, port=rig.ports.redis)


def _next_call(stage, shop, since):
    """Seconds until work that must have been rung for anew: the first call of the next five seconds of steady work."""

    def calls():
        return [call["real"] for call in stage.wechat.calls(shop.appid, SEND) if call["real"] > since + 0.5]

    found = stage.rig.until("a call after the broker came back", calls, 60, each=0.3)
    return (min(found) - since) if found else 60.0
