"""R20: every worker is away while people keep coming: WeChat is answered in time, and what came meanwhile is all done."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import Path

from conversations.models import ReplyRule
from tests.chaos.scenarios.r08_each_event_once import Line, message_ids, same, scan, text
from tests.chaos.world import AT, Shop
from tests.hostile.measured import interleaved
from touchpoints.services import replies_changed

WORKERS = ("worker-inbound", "worker-send", "worker-send-2", "beat")
P99_MS = 300
RSS_MB = 300
KEYWORD = "营业时间"


def run(stage, outcome):
    rate = stage.pick(ci=60, default=200, full=800)
    seconds = stage.pick(ci=10, default=30, full=60)
    shops = [Shop(stage, f"r20-{name}", people=100) for name in "ab"]
    for shop in shops:
        _rule(shop)
    line = Line(stage, [stage.rig.ports.gateway], shops)
    _until_answered(stage, outcome, line, shops)
    events = _events(stage, shops, rate * seconds)
    busy = len(events) // 5  # so many come while the workers still run, and are killed in the middle of it

    asyncio.run(line.send_all(events[:busy]))
    for name in WORKERS:
        stage.rig.kill(name)
    waiting = _count(stage, shops, "state = 'NEW'")
    outcome.holds("the workers were done before they were killed", waiting > 0)
    before = _resident(stage)
    requests = [line.request(*event) for event in events[busy:]]
    spent, found = asyncio.run(interleaved(stage.rig.ports.gateway, requests, rate))
    waits = sorted(wait for wait, _status, _body in found)
    outcome.note(pushes=len(events), without_workers=len(found), a_second=f"{len(found) / spent:.0f}")
    outcome.equal("refused", sum(status != b"200" for _wait, status, _body in found), 0)
    outcome.note(p50=f"{waits[len(waits) // 2]:.1f} ms")
    outcome.at_most("p99 ms", waits[int(len(waits) * 0.99)], float(P99_MS))
    outcome.at_most("longest ms", waits[-1], 5_000.0)
    outcome.at_most("memory of the gateway, MB", _resident(stage), RSS_MB)
    outcome.note(grown_by=f"{_resident(stage) - before} MB")
    outcome.equal("waiting in the inbox", _count(stage, shops, "state = 'NEW'") - waiting, len(found))

    for name in WORKERS:
        stage.rig.revive(name)
    _judge(stage, outcome, shops, events)


def _rule(shop):
    with shop.scope:
        ReplyRule.objects.create(
            account=shop.account, name="时间", trigger="KEYWORD", match="EXACT", keywords=[KEYWORD],
            text=f"{shop.prefix} 10:00–22:00", updated_at=AT,
        )  # fmt: skip
        replies_changed(account_id=shop.account.pk)


def _until_answered(stage, outcome, line, shops):
    """The rules are compiled when they are asked for first."""
    for shop in shops:

        def answered(shop=shop):
            asked = line.request(*text(shop, shop.openids[0], stage.wechat.now(), next(message_ids), KEYWORD))
            _seconds, found = asyncio.run(interleaved(stage.rig.ports.gateway, [asked], 1))
            return found[0][2] != b"success"

        outcome.holds("the rule is never heard", stage.rig.until("the rule answers", answered, 30, each=0.3))
    stage.rig.until("they are handled", lambda: not _count(stage, shops, "state = 'NEW'"), 60, each=0.3)
    for shop in shops:
        stage.rig.sql("DELETE FROM wechat_gateway_inboundpush WHERE brand_id = %s", shop.brand.pk)


def _events(stage, shops, count):
    """Scans, questions that a rule answers at once, and what no rule knows, in turns."""
    at = stage.wechat.now()
    made = []
    for number in range(count):
        shop = shops[number % 2]
        openid = stage.random.choice(shop.openids)
        kind = number // 2 % 3
        if kind == 0:
            made.append(scan(shop, openid, at + number // 100, f"shelf-{number}"))
        else:
            words = KEYWORD if kind == 1 else f"有没有{number}号"
            made.append(text(shop, openid, at + number // 100, next(message_ids), words))
    return made


def _count(stage, shops, where):
    brands = [shop.brand.pk for shop in shops]
    ((count,),) = stage.rig.sql(
        f"SELECT count(*) FROM wechat_gateway_inboundpush WHERE brand_id = ANY(%s) AND {where}", brands
    )
    return count


def _resident(stage):
    """Megabytes the gateway keeps in memory."""
    status = Path(f"/proc/{stage.rig.child('gateway').pid}/status").read_text()
    return next(int(row.split()[1]) for row in status.splitlines() if row.startswith("VmRSS:")) // 1024


def _judge(stage, outcome, shops, events):
    rig = stage.rig
    began = time.monotonic()
    limit = 120 + len(events) / 10
    handled = rig.until("all pushes are handled", lambda: not _count(stage, shops, "state = 'NEW'"), limit, each=0.3)
    outcome.holds("pushes wait for ever", handled)
    spent = time.monotonic() - began
    outcome.note(handled_after=f"{spent:.1f} s", handled_a_second=f"{len(events) * 4 / 5 / spent:.0f}")
    for shop in shops:
        who = shop.prefix.rpartition("-")[0]
        wanted = [fields for owner, fields in events if owner is shop]
        same(outcome, f"pushes, {who}", _bodies(rig, shop), [_key(fields) for fields in wanted])
        scans = [fields["EventKey"] for fields in wanted if fields.get("Event") == "SCAN"]
        found = rig.sql("SELECT scene FROM touchpoints_touch WHERE brand_id = %s", shop.brand.pk)
        same(outcome, f"touches, {who}", [scene for (scene,) in found], scans)
        said = Counter(fields["Content"] == KEYWORD for fields in wanted if "Content" in fields)
        ((answers,),) = rig.sql(
            "SELECT count(*) FROM wechat_gateway_inboundpush p JOIN conversations_replyrecord r"
            " ON r.brand_id = p.brand_id AND r.push_id = p.id"
            " WHERE p.brand_id = %s AND r.way = 'PASSIVE' AND p.reply LIKE %s",
            shop.brand.pk, f"%{shop.prefix} 10:00%",
        )  # fmt: skip
        outcome.equal(f"answered at once by its own rule, {who}", answers, said[True])
        found = rig.sql("SELECT text FROM inbox_message WHERE brand_id = %s AND direction = 'IN'", shop.brand.pk)
        unknown = [fields["Content"] for fields in wanted if fields.get("Content", KEYWORD) != KEYWORD]
        same(outcome, f"lines, {who}", [words for (words,) in found if words != KEYWORD], unknown)


def _key(fields):
    return str(fields.get("MsgId") or fields["EventKey"])


def _bodies(rig, shop):
    rows = rig.sql(
        "SELECT coalesce(substring(body from '<MsgId>(?:<!\\[CDATA\\[)?([0-9]+)'),"
        " substring(body from '<EventKey><!\\[CDATA\\[(.+?)\\]\\]>')) FROM wechat_gateway_inboundpush"
        " WHERE brand_id = %s AND state = 'HANDLED'",
        shop.brand.pk,
    )
    return [key for (key,) in rows]
