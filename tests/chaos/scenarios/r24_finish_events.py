"""R24: WeChat's results settle every message: out of order, doubled, missing, before our own answer, in any words."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from datetime import timedelta

from campaigns import selectors
from common import clock
from tests.chaos import campaigns
from tests.chaos.scenarios.r08_each_event_once import Line, job_finished
from tests.chaos.world import SEND, Shop

EVENT = "TEMPLATESENDJOBFINISH"
# What a message is in when WeChat has said so; written out here, so that the product's own table is not its judge.
STATES = {
    "success": ("DELIVERED", ""),
    "failed:user block": ("REFUSED", "USER_BLOCK"),
    "failed: system failed": ("FAILED", "SYSTEM_FAILED"),
    "failed: freq limit": ("FAILED", "FREQ_LIMIT"),
    "failed:某种新的原因": ("FAILED", "RESULT_OTHER"),
}
PER_SECOND = 500
UNKNOWN_MSGID = 4_000_000_000_000_000_000  # of no message


def run(stage, outcome):
    people = stage.people(ci=2_000, default=20_000, full=20_000)
    shop = Shop(stage, "r24", people=people)

    def fault(kind, name, probability, **more):
        # Dice of their own: with one seed for all, each would strike the same messages.
        seed = f"{stage.seed}/r24/{name}"
        stage.wechat.fault(kind, name=name, probability=probability, appid=shop.appid, seed=seed, **more)

    stage.wechat.switch(finish_delay_seconds=0.1)
    fault("push_reorder", "shuffled", 0.4, event=EVENT, seconds=1.0)
    fault("push_duplicate", "doubled", 0.2, event=EVENT, copies=1)
    fault("finish_drop", "missing", 0.02)
    fault("latency", "early", 0.05, path=SEND, effect="after", ms=2000)
    for number, status in enumerate([status for status in STATES if status != "success"]):
        fault("finish_status", f"status-{number}", 0.06, status=status)
    try:
        sent = shop.launch(rate_per_second=PER_SECOND)  # or results wait in line behind each other
        tried = campaigns.watch(stage, sent, seconds=90 + people / 50)
        outcome.holds(f"not everybody was tried: {dict(sent.counts())}", tried)
        stage.wechat.ask("/settle", {"timeout": 60})
        hits = {fault["id"]: fault["hits"] for fault in stage.wechat.ask("/faults")["faults"]}
        wanted, missing = _wanted(stage, shop)
        settled = stage.rig.until("all results are matched", lambda: _matched(stage, shop, sent, len(missing)), 90, 0.3)
        outcome.holds("results stay unmatched", settled)
        found = {row[0]: row[1:] for row in sent.rows("msgid, state, reason")}
        outcome.none("in another state than WeChat said", [m for m, state in wanted.items() if found.get(m) != state])
        outcome.none("settled without a result", [m for m in missing if found.get(m) != ("SENT", "")])
        for verdict, count in Counter(wanted.values()).items():
            outcome.at_least(" ".join(verdict).strip().lower(), count, people // 50)
        outcome.equal("verdicts", len(set(wanted.values())), len(STATES))
        tallies = Counter(state for state, _reason in wanted.values()) + Counter(SENT=len(missing))
        outcome.equal("tallies as WeChat's results", dict(sent.counts()), dict(tallies))
        truth, calls = campaigns.compare(stage, outcome, sent, bound=0)
        outcome.at_least("results before our answer", _early(stage, shop, truth, calls), people // 50)
        outcome.none("message ids we do not know", {int(row["msgid"]) for row in truth} - set(found))
        outcome.note(missing=len(missing), doubled=hits["doubled"], shuffled=hits["shuffled"])
        for what in ("doubled", "shuffled", "missing", "early"):
            outcome.at_least(f"{what} results", hits[what], 1)
        outcome.equal("not confirmed too soon", _not_confirmed(shop, sent), 0)
        stage.wechat.advance(timedelta(hours=25).total_seconds())
        outcome.equal("not confirmed after 24 h", _not_confirmed(shop, sent), len(missing))
        still = {row[0] for row in sent.rows("msgid", "state = 'SENT'")}
        outcome.none("confirmed or not, other than WeChat", still ^ missing)
        _unmatched(stage, outcome, shop, sent, min(missing))
        outcome.none("broken invariants a day later", sent.breaches())
    finally:
        stage.wechat.switch(finish_delay_seconds=1.0)


def _pushes(stage, shop):
    return stage.wechat.ask(f"/pushes?appid={shop.appid}&kind={EVENT}&limit=100000")["pushes"]


def _wanted(stage, shop):
    """State and reason by message id as WeChat's own results say, and the ids nothing was said about."""
    told = {int(push["fields"]["MsgID"]): STATES[push["fields"]["Status"]] for push in _pushes(stage, shop)}
    rows = stage.wechat.ask(f"/truth?appid={shop.appid}&kind=template&limit=200000")["rows"]
    return told, {int(row["msgid"]) for row in rows} - set(told)


def _matched(stage, shop, sent, missing):
    waiting = stage.rig.sql("SELECT 1 FROM campaigns_finishevent WHERE brand_id = %s LIMIT 1", shop.brand.pk)
    counts = sent.counts()
    return not waiting and counts["SENT"] == missing and not counts["UNKNOWN"]


def _early(stage, shop, truth, calls):
    """How many results we acknowledged before WeChat answered the very call they are about."""
    digests = {row["msgid"]: row["digest"] for row in truth}
    answered = {call["digest"]: call["real"] for call in calls}
    first = {}
    for push in _pushes(stage, shop):
        moments = [each["real"] for each in push["tries"] if each["outcome"] in ("acknowledged", "replied")]
        msgid = str(push["fields"]["MsgID"])
        first[msgid] = min([*moments, first.get(msgid, float("inf"))])
    return sum(moment < answered[digests[msgid]] for msgid, moment in first.items())


def _unmatched(stage, outcome, shop, sent, msgid):
    """A result nobody knows the message of is kept for 48 hours: 47 h later it still settles, 49 h later it is gone."""
    rig, brand = stage.rig, shop.brand.pk
    ((row, openid),) = sent.rows("id, openid", f"msgid = {msgid}")
    # Nobody has written down yet under which id WeChat took the message.
    rig.sql("UPDATE campaigns_delivery SET msgid = NULL WHERE brand_id = %s AND id = %s", brand, row)
    line = Line(stage, [rig.ports.gateway], [shop])
    at = stage.wechat.now()
    results = [
        job_finished(shop, openid, at, number, "success") for number in (msgid, UNKNOWN_MSGID, UNKNOWN_MSGID + 1)
    ]
    asyncio.run(line.send_all(results))

    def waiting(where="true"):
        return {
            each
            for (each,) in rig.sql(f"SELECT msgid FROM campaigns_finishevent WHERE brand_id = %s AND {where}", brand)
        }

    everything = {msgid, UNKNOWN_MSGID, UNKNOWN_MSGID + 1}
    outcome.holds("a result without a message is not kept", rig.until("kept", lambda: waiting() == everything, 30, 0.3))
    age = (
        "UPDATE campaigns_finishevent SET created_at = now() - interval '{} hours', due_at = now() WHERE brand_id = %s"
    )
    rig.sql(age.format(47) + " AND msgid <> %s", brand, UNKNOWN_MSGID)
    rig.sql(age.format(49) + " AND msgid = %s", brand, UNKNOWN_MSGID)
    began = time.monotonic()
    looked = rig.until("looked at again", lambda: not waiting("due_at <= now()"), 90, 0.3)
    outcome.holds("unmatched results are not looked at again", looked)
    outcome.none("given up before 48 h or kept after", waiting() ^ {msgid, UNKNOWN_MSGID + 1})
    rig.sql("UPDATE campaigns_delivery SET msgid = %s WHERE brand_id = %s AND id = %s", msgid, brand, row)
    rig.sql("UPDATE campaigns_finishevent SET due_at = now() WHERE brand_id = %s", brand)

    def settled():
        return sent.rows("state", f"id = {row}") == [("DELIVERED",)]

    outcome.holds("a result does not settle its message after 47 h", rig.until("settled", settled, 90, 0.3))
    outcome.equal("kept for the rest of their 48 h", waiting(), {UNKNOWN_MSGID + 1})
    outcome.note(unmatched_results=f"{time.monotonic() - began:.1f} s")


def _not_confirmed(shop, sent):
    with shop.scope:
        return selectors.not_confirmed(sent.row(), at=clock.now())
