"""R24: WeChat's results settle every message: out of order, doubled, missing, before our own answer, in any words."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from campaigns import selectors
from campaigns.services.results import verdict
from common import clock
from tests.chaos import campaigns
from tests.chaos.world import SEND, Shop

EVENT = "TEMPLATESENDJOBFINISH"
STATUSES = ("failed:user block", "failed: system failed", "failed: freq limit", "failed:某种新的原因")


def run(stage, outcome):
    people = stage.people(ci=2_000, default=10_000, full=20_000)
    shop = Shop(stage, "r24", people=people)
    where = {"appid": shop.appid, "seed": f"{stage.seed}/r24"}
    stage.wechat.switch(finish_delay_seconds=0.1)
    stage.wechat.fault("push_reorder", name="shuffled", event=EVENT, probability=0.4, seconds=1.0, **where)
    stage.wechat.fault("push_duplicate", name="doubled", event=EVENT, probability=0.2, copies=1, **where)
    stage.wechat.fault("finish_drop", name="missing", probability=0.02, **where)
    stage.wechat.fault("latency", name="early", path=SEND, effect="after", probability=0.05, ms=1500, **where)
    for number, status in enumerate(STATUSES):
        stage.wechat.fault("finish_status", name=f"status-{number}", probability=0.06, status=status, **where)
    try:
        sent = shop.launch()
        tried = campaigns.watch(stage, sent, seconds=90 + people / 50)
        outcome.holds(f"not everybody was tried: {dict(sent.counts())}", tried)
        stage.wechat.ask("/settle", {"timeout": 60})
        hits = {fault["id"]: fault["hits"] for fault in stage.wechat.ask("/faults")["faults"]}
        wanted, missing = _wanted(stage, shop)
        settled = stage.rig.until("all results are matched", lambda: _matched(stage, shop, sent, len(missing)), 90, 0.3)
        outcome.holds("results stay unmatched", settled)
        before = _early(stage, shop)
        found = {row[0]: row[1] for row in sent.rows("msgid, state")}
        outcome.none("in another state than WeChat said", [m for m, state in wanted.items() if found.get(m) != state])
        outcome.none("settled without a result", [m for m in missing if found.get(m) != "SENT"])
        truth, _calls = campaigns.compare(stage, outcome, sent, bound=0)
        outcome.none("message ids we do not know", {int(row["msgid"]) for row in truth} - set(found))
        outcome.note(missing=len(missing), early=before, doubled=hits["doubled"], shuffled=hits["shuffled"])
        for what in ("doubled", "shuffled", "missing", "early"):
            outcome.at_least(f"{what} results", hits[what], 1)
        outcome.equal("not confirmed too soon", _not_confirmed(shop, sent), 0)
        stage.wechat.advance(timedelta(hours=25).total_seconds())
        outcome.equal("not confirmed after 24 h", _not_confirmed(shop, sent), len(missing))
        outcome.none("broken invariants a day later", sent.breaches())
    finally:
        stage.wechat.switch(finish_delay_seconds=1.0)


def _wanted(stage, shop):
    """State by message id as WeChat's own results say, and the ids nothing was said about."""
    pushes = stage.wechat.ask(f"/pushes?appid={shop.appid}&kind={EVENT}&limit=100000")["pushes"]
    told = {int(push["fields"]["MsgID"]): verdict(push["fields"]["Status"])[0] for push in pushes}
    rows = stage.wechat.ask(f"/truth?appid={shop.appid}&kind=template&limit=200000")["rows"]
    return told, {int(row["msgid"]) for row in rows} - set(told)


def _matched(stage, shop, sent, missing):
    waiting = stage.rig.sql("SELECT 1 FROM campaigns_finishevent WHERE brand_id = %s LIMIT 1", shop.brand.pk)
    counts = sent.counts()
    return not waiting and counts["SENT"] == missing and not counts["UNKNOWN"]


def _early(stage, shop):
    """How many results had to wait for our own answer."""
    calls = Counter(bool(call["faults"]) for call in stage.wechat.calls(shop.appid, SEND))
    return calls[True]


def _not_confirmed(shop, sent):
    with shop.scope:
        return selectors.not_confirmed(sent.row(), at=clock.now())
