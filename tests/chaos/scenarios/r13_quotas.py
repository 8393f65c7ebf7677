"""R13: quotas park a campaign and fail nobody; service messages still pass; it goes on by itself after the reset."""

from __future__ import annotations

import bisect
import time
from datetime import timedelta

from common import clock
from members.models import Purpose
from tests.chaos import campaigns
from tests.chaos.scenarios.p01_withdrawal import accepted, all_write
from tests.chaos.world import SEND, Shop
from wechat_gateway import client, quotas

PROBE_SECONDS = 300
RATE = 20  # a second
DAY = 500  # messages a day, in the part where campaigns and service messages share them
CUSTOM = "/cgi-bin/message/custom/send"


def run(stage, outcome):
    people = stage.people(ci=600, default=5_000, full=5_000)
    shop = Shop(stage, "r13", people=people)
    _minute(stage, outcome, Shop(stage, "r13-minute", people=400))
    # More people than a minute at its pace holds, or nothing could be above it.
    _paced(stage, outcome, Shop(stage, "r13-paced", people=RATE * 75))
    _shared(stage, outcome, Shop(stage, "r13-shared", people=DAY + DAY // 2, callbacks=False))
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
    sent = shop.launch(rate_per_second=RATE)
    outcome.holds("the paced campaign does not end", campaigns.watch(stage, sent, seconds=30 + len(shop.openids) / 10))
    moments = sorted(call["real"] for call in sent.calls())
    outcome.equal("calls at its own pace", len(moments), len(shop.openids))
    # A bucket holds one second's worth beside what flows in; a minute never holds more than the setting.
    for window, bound in ((5, RATE * 6), (60, RATE * 60)):
        most = max(bisect.bisect(moments, moment + window) - index for index, moment in enumerate(moments))
        outcome.at_most(f"calls in any {window} s", most, bound)


def _shared(stage, outcome, shop):
    """A campaign takes four fifths of a day's messages; whoever has just asked something gets an answer of the rest."""
    where = {"appid": shop.appid, "path": CUSTOM}
    _jump_to(stage, quotas.day_start(clock.now()) + timedelta(hours=34))
    stage.wechat.ask("/quotas", {**where, "per_day": DAY})
    quotas.told(brand_id=shop.brand.pk, appid=shop.appid, api=CUSTOM, limit=DAY, used=0, at=clock.now())
    all_write(stage, shop)
    sent = shop.launch(
        purpose=Purpose.MARKETING, carrier="custom", template=None, content={"text": "周末见"}, name="周末见"
    )
    outcome.holds("not parked by its share", stage.rig.until("parked", lambda: sent.state == "PARKED", 60))
    stage.rig.pause(6.5)  # the sweeper looks every five seconds
    got = set(accepted(sent))
    outcome.equal("marketing, of the day's messages", f"{len(got)} of {DAY}", f"{DAY * 4 // 5} of {DAY}")
    rest = [openid for openid in shop.openids if openid not in got][: DAY // 5 + 1]
    answers = [_answer(shop, openid) for openid in rest]
    outcome.equal("service messages beside it", sum(answer.ok for answer in answers[:-1]), DAY // 5)
    outcome.equal("one more than the day has", answers[-1].cause, "QUOTA")
    refused = [call for call in stage.wechat.calls(shop.appid, CUSTOM) if call["result"].startswith("45009")]
    outcome.none("calls over the day's quota", refused)
    stage.wechat.ask("/quotas", {**where, "per_day": DAY * 10})
    _jump_to(stage, quotas.next_reset(clock.now()) + timedelta(seconds=30))
    outcome.holds("marketing does not go on after midnight", campaigns.watch(stage, sent, seconds=90))
    outcome.none("not reached by marketing", set(shop.openids) - set(accepted(sent)))
    outcome.equal("marketing failed by its share", sent.counts()["FAILED"] + sent.counts()["REFUSED"], 0)


def _answer(shop, openid):
    ((_, answer),) = client.send_many(shop.account, [client.custom_text(openid=openid, text="在的")], concurrency=1)
    return answer


def _jump_to(stage, moment):
    stage.wechat.ask("/clock", {"set": moment.timestamp()})
    clock.resync()
    stage.rig.pause(1.5)  # the product follows within a second
