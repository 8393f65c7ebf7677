"""R8: each push counts once: at several processes at once, later, a day later, after a crash between INSERT and answer."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from urllib.parse import urlencode

from tests.chaos.world import Shop
from tests.hostile.measured import request_bytes
from wechat_gateway.selectors import callback_url
from wechat_simulator import wire
from wechat_simulator.crypto import MessageCipher, signature
from wechat_simulator.http_client import DeliveryError, HttpClient

AT_ONCE = 32
TRIES = 12
message_ids = itertools.count(70_000_000_000_000_001)


def run(stage, outcome):
    count = stage.pick(ci=600, default=5_000, full=5_000)
    pairs = stage.pick(ci=60, default=500, full=500)
    shops = [Shop(stage, f"r8-{name}", people=60) for name in "ab"]
    ports = stage.rig.more_gateways(stage.pick(ci=1, default=3, full=3))
    line = Line(stage, ports, shops)
    try:
        events = _plain(stage, shops, count) + _look_alikes(stage, shops, pairs)
        outcome.note(events=len(events), look_alike_pairs=pairs, gateways=len(ports))
        asyncio.run(_everything(stage, outcome, line, events))
        stage.wechat.advance(24 * 3600)
        stage.rig.pause(1.5)
        asyncio.run(line.send_all(events))
    finally:
        for number in range(2, len(ports) + 1):
            stage.rig.kill(f"gateway-{number}")
            stage.rig.forget(f"gateway-{number}")
    _judge(stage, outcome, shops, events)
    outcome.note(sent=line.sent, unanswered_tries=line.failed)
    outcome.equal("never acknowledged", line.lost, 0)


async def _everything(stage, outcome, line, events):
    first = [copy for event in events for copy in [event] * stage.random.choice((1, 1, 2, 3))]
    stage.random.shuffle(first)
    third = len(first) // 3
    await line.send_all(first[:third])
    # The connection breaks when the INSERT has happened and before the gateway hears of it.
    stage.proxy.add("database", "cut_after_query", "insert cut", text="INSERT INTO wechat_gateway_inboundpush", count=6)
    await line.send_all(first[third : 2 * third])
    outcome.at_least("cuts between INSERT and answer", stage.proxy.hits("database", "insert cut"), 3)
    stage.proxy.heal()
    # A gateway is killed in the middle: nobody knows what it has stored.
    killing = asyncio.create_task(_kill_gateways(stage, line))
    await line.send_all(first[2 * third :])
    outcome.note(killed_gateways=await killing)
    await asyncio.sleep(stage.pick(ci=5, default=5, full=15))
    await line.send_all(stage.random.sample(events, len(events) // 3))


async def _kill_gateways(stage, line):
    for killed in range(stage.pick(ci=2, default=4, full=8)):
        await asyncio.sleep(0.4)
        name = "gateway" if killed % 2 else f"gateway-{len(line.ports)}"
        stage.rig.kill(name)
        stage.rig.revive(name)
    return killed + 1


class Line:
    """Sends as WeChat does: signed anew at each try, again until it is acknowledged."""

    def __init__(self, stage, ports, shops):
        self.stage, self.ports = stage, ports
        self.random = random.Random(f"{stage.seed}/line")
        self.sent = self.failed = self.lost = 0
        self.keys = {}
        for shop in shops:
            with shop.scope:
                path = "/" + callback_url(shop.account).split("/", 3)[3]
                cipher = MessageCipher(shop.account.encoding_aes_key.reveal(), shop.appid)
                self.keys[shop.appid] = path, cipher, shop.account.callback_token.reveal()

    async def send_all(self, copies):
        self.client = HttpClient()
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(event):
            async with slots:
                await self._send(*event)

        await asyncio.gather(*(one(event) for event in copies))
        self.client.close()

    async def _send(self, shop, fields):
        for number in range(TRIES):
            path, query, body = self._sealed(shop, fields)
            url = f"http://127.0.0.1:{self.random.choice(self.ports)}{path}?{query}"
            try:
                async with asyncio.timeout(5):
                    status, _ = await self.client.exchange("POST", url, body, "text/xml")
            except (OSError, DeliveryError, TimeoutError):
                status = 0
            if status == 200:
                self.sent += 1
                return
            self.failed += 1
            await asyncio.sleep(0.2 + number * 0.2)
        self.lost += 1

    def request(self, shop, fields):
        """The bytes of one try, for lines that are kept open."""
        path, query, body = self._sealed(shop, fields)
        return request_bytes(path, query.encode(), body)

    def _sealed(self, shop, fields):
        path, cipher, token = self.keys[shop.appid]
        encrypted = cipher.encrypt(wire.to_xml(fields))
        timestamp, nonce = str(int(self.stage.wechat.clock_now())), str(self.random.randrange(10**8, 10**9))
        query = {
            "signature": signature(token, timestamp, nonce),
            "timestamp": timestamp, "nonce": nonce, "openid": fields["FromUserName"], "encrypt_type": "aes",
            "msg_signature": signature(token, timestamp, nonce, encrypted),
        }  # fmt: skip
        return path, urlencode(query), wire.to_xml({"ToUserName": shop.account.original_id, "Encrypt": encrypted})


def _fields(shop, openid, at, **more):
    return {"ToUserName": shop.account.original_id, "FromUserName": openid, "CreateTime": int(at), **more}


def scan(shop, openid, at, key):
    return shop, _fields(shop, openid, at, MsgType="event", Event="SCAN", EventKey=key, Ticket="gQH47joAAAAAAAAA")


def click(shop, openid, at, key):
    return shop, _fields(shop, openid, at, MsgType="event", Event="CLICK", EventKey=key)


def job_finished(shop, openid, at, msgid, status):
    event = {"MsgType": "event", "Event": "TEMPLATESENDJOBFINISH", "MsgID": msgid, "Status": status}
    return shop, _fields(shop, openid, at, **event)


def text(shop, openid, at, msgid, content="在吗"):
    return shop, _fields(shop, openid, at, MsgType="text", Content=content, MsgId=msgid)


def _plain(stage, shops, count):
    at = stage.wechat.now() - 3_600
    made = []
    for number in range(count):
        shop = shops[number % 2]
        openid = stage.random.choice(shop.openids)
        if number % 3 == 0:
            made.append(text(shop, openid, at + number, next(message_ids), f"在吗{number}"))
        elif number % 3 == 1:
            made.append(scan(shop, openid, at + number, f"shelf-{number}"))
        else:
            made.append(click(shop, openid, at + number, f"button-{number % 7}"))
    return made


def _look_alikes(stage, shops, pairs):
    """Pairs that differ in one thing only; each counts."""
    at = stage.wechat.now() - 7_200
    made = []
    for number in range(pairs):
        shop = shops[number % 2]
        one, other = stage.random.sample(shop.openids[:40], 2)
        when, key, msgid = at - number, f"pair-{number}", next(message_ids)
        kind = number % 5
        if kind == 0:
            made += [scan(shop, one, when, key), scan(shop, one, when, f"{key}-other")]
        elif kind == 1:
            made += [scan(shop, one, when, key), click(shop, one, when, key)]
        elif kind == 2:
            made += [text(shop, one, when, msgid, key), text(shop, other, when, msgid, key)]
        elif kind == 3:
            made += [text(shops[0], one, when, msgid, key), text(shops[1], one, when, msgid, key)]
        else:
            made += [text(shop, one, when, msgid, key), text(shop, one, when, next(message_ids), key)]
    return made


def _judge(stage, outcome, shops, events):
    rig = stage.rig
    brands = [shop.brand.pk for shop in shops]

    def waiting():
        return rig.sql(
            "SELECT 1 FROM wechat_gateway_inboundpush WHERE brand_id = ANY(%s) AND state = 'NEW' LIMIT 1", brands
        )

    began = time.monotonic()
    outcome.holds("pushes wait for ever", rig.until("all pushes are handled", lambda: not waiting(), 300, each=0.3))
    outcome.note(handled_after=f"{time.monotonic() - began:.1f} s")
    for shop in shops:
        who = shop.prefix.rpartition("-")[0]
        wanted = [fields for owner, fields in events if owner is shop]
        same(outcome, f"pushes, {who}", _pushes(rig, shop), [_one(fields) for fields in wanted])
        rest = "SELECT count(*) FROM wechat_gateway_inboundpush WHERE brand_id = %s AND state <> 'HANDLED'"
        outcome.equal(f"pushes set aside, {who}", rig.sql(rest, shop.brand.pk)[0][0], 0)
        for what, (statement, wanted_of) in EFFECTS.items():
            found = Counter()
            for *effect, times in rig.sql(statement, shop.brand.pk):
                found[tuple(effect)] += times
            same(outcome, f"{what}, {who}", found, [effect for each in wanted if (effect := wanted_of(each))])


def _one(fields):
    """What tells a push from every other one."""
    kind = fields.get("Event") or fields["MsgType"]
    return fields["FromUserName"], kind, str(fields["CreateTime"]), str(fields.get("MsgId") or fields["EventKey"])


def _pushes(rig, shop):
    rows = rig.sql(
        "SELECT body FROM wechat_gateway_inboundpush WHERE brand_id = %s AND state = 'HANDLED'", shop.brand.pk
    )
    return [_one(wire.parse(body.encode(), "xml")) for (body,) in rows]


def _event(name, *more):
    def effect(fields):
        return (fields["FromUserName"], *(fields[each] for each in more)) if fields.get("Event") == name else None

    return effect


def _line(fields):
    return (fields["FromUserName"], fields["CreateTime"], fields["Content"]) if "Content" in fields else None


# Each kind of push has an effect of its own: who, what (and when), how often.
EFFECTS = {
    "touches": (
        (
            "SELECT f.openid, extract(epoch FROM t.at)::bigint, t.scene, 1 FROM touchpoints_touch t"
            " JOIN members_follower f ON f.brand_id = t.brand_id AND f.id = t.follower_id WHERE t.brand_id = %s"
        ),
        _event("SCAN", "CreateTime", "EventKey"),
    ),
    "taps": (
        (
            "SELECT f.openid, u.key, u.taps FROM conversations_buttonuse u"
            " JOIN members_follower f ON f.brand_id = u.brand_id AND f.id = u.follower_id WHERE u.brand_id = %s"
        ),
        _event("CLICK", "EventKey"),
    ),
    "lines": (
        (
            "SELECT f.openid, extract(epoch FROM m.at)::bigint, m.text, 1 FROM inbox_message m"
            " JOIN inbox_conversation c ON c.brand_id = m.brand_id AND c.id = m.conversation_id"
            " JOIN members_follower f ON f.brand_id = c.brand_id AND f.id = c.follower_id"
            " WHERE m.brand_id = %s AND m.direction = 'IN'"
        ),
        _line,
    ),
}


def same(outcome, what, found, wanted):
    """Two multisets are the same: nothing lost, nothing twice, nothing else."""
    found, wanted = Counter(found), Counter(wanted)
    outcome.none(f"{what} lost", list((wanted - found).elements()))
    outcome.none(f"{what} twice", list((found - wanted).elements()))
    outcome.note(**{what: wanted.total()})
