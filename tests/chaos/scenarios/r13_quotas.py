"""R13: quotas park a campaign and fail nobody; service messages still pass; it goes on by itself after the reset."""

from __future__ import annotations

import bisect
import time
from datetime import timedelta

from common import clock
from tests.chaos import campaigns
from tests.chaos.world import SEND, Shop
from wechat_gateway import client, quotas

PROBE_SECONDS = 300


def run(stage, outcome):
    people = stage.people(ci=600, default=2_500, full=5_000)
    shop = Shop(stage, "r13", people=people)
    _minute(stage, outcome, Shop(stage, "r13-minute", people=400))
    _paced(stage, outcome, Shop(stage, "r13-paced", people=stage.pick(ci=150, default=300, full=1_500)))
    _day(stage, outcome, shop, people)


def _day(stage, outcome, shop, people):
    quota = people // 5
    stage.wechat.ask("/quotas", {"appid": shop.appid, "path": SEND, "per_day": quota})
    # Far from midnight, so that the day's reset is a long way off.
    _jump_to(stage, quotas.day_start(clock.now()) + timedelta(hours=34))
    sent = shop.launch()
    outcome.holds("not parked by 45009", stage.rig.until("parked", lambda: sent.state == "PARKED", 60))
    outcome.equal("cause", sent.parked_code, "45009")
    stage.rig.pause(3.0)
    accepted = len({row["openid"] for row in sent.truth()})
    outcome.equal("accepted before the quota", accepted, quota)
    counts = sent.counts()
    outcome.equal("marked failed by a quota", counts["FAILED"] + counts["REFUSED"], 0)

    calls = len(sent.calls())
    for _ in range(3):
        stage.wechat.advance(PROBE_SECONDS)
        stage.rig.pause(6.5)  # the sweeper looks every five seconds
    outcome.at_most("probes in 15 minutes", len(sent.calls()) - calls, 3)
    outcome.equal("state while the quota lasts", str(sent.state), "PARKED")
    _service_message(stage, outcome, shop)

    began = time.monotonic()
    stage.wechat.ask("/quotas", {"appid": shop.appid, "path": SEND, "per_day": people * 10})
    _jump_to(stage, quotas.next_reset(clock.now()) + timedelta(seconds=30))
    outcome.holds("it does not go on after midnight", campaigns.watch(stage, sent, seconds=60 + people / 50))
    outcome.note(finished_after_midnight=f"{time.monotonic() - began:.1f} s")
    outcome.holds("results do not settle", campaigns.settle(stage, sent, seconds=60 + people / 50) is not None)
    # A call refused by the quota is made again with the same bytes.
    refused = sum(call["result"].startswith("45009") for call in sent.calls())
    outcome.at_most("calls refused by the quota", refused, 4 * 64)
    campaigns.compare(stage, outcome, sent, bound=0)


def _minute(stage, outcome, shop):
    """45011: a pause of a minute, by the simulated clock."""
    where = {"appid": shop.appid, "path": SEND}
    stage.wechat.fault("errcode", name="minute", errcode=45011, after_calls=100, **where)
    sent = shop.launch()
    outcome.holds("not parked by 45011", stage.rig.until("parked", lambda: sent.state == "PARKED", 60))
    outcome.equal("cause of the pause", sent.parked_code, "45011")
    stage.rig.pause(1.0)
    calls = len(sent.calls())
    stage.rig.pause(7.0)
    outcome.equal("calls during the pause", len(sent.calls()) - calls, 0)
    stage.wechat.heal()
    stage.wechat.advance(61)
    outcome.holds("it does not go on after a minute", campaigns.watch(stage, sent, seconds=60))
    outcome.equal("failed by the minute's quota", sent.counts()["FAILED"], 0)


def _paced(stage, outcome, shop):
    """The campaign's own rate, in any window."""
    rate = 20
    sent = shop.launch(rate_per_second=rate)
    outcome.holds("the paced campaign does not end", campaigns.watch(stage, sent, seconds=30 + len(shop.openids) / 10))
    moments = sorted(call["real"] for call in sent.calls())
    for window in (5, 60):
        most = max(bisect.bisect(moments, moment + window) - index for index, moment in enumerate(moments))
        # A bucket holds one second's worth beside what flows in.
        bound = rate * window if window == 60 else rate * (window + 1)
        outcome.at_most(f"calls in any {window} s", most, bound)


def _service_message(stage, outcome, shop):
    """What a person has just asked is answered although the campaign's quota is used up."""
    person = f"{shop.prefix}000001"
    stage.wechat.ask(f"/people/{person}/act", {"act": "text", "appid": shop.appid, "content": "在吗"})
    call = client.custom_text(openid=shop.openids[0], text="在的")
    ((_, answer),) = client.send_many(shop.account, [call], concurrency=1)
    outcome.holds(f"a service message does not pass: {answer.outcome} {answer.code}", answer.ok)


def _jump_to(stage, moment):
    stage.wechat.ask("/clock", {"set": moment.timestamp()})
    clock.resync()
    stage.rig.pause(1.5)  # the product follows within a second
