"""Notifications of payments and refunds: sealed, signed, repeated by the clock (pay reference 3.3, 3.5, 3.8)."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from wechat_simulator.faults import Fault
from wechat_simulator.http_client import DeliveryError
from wechat_simulator.pay import keys
from wechat_simulator.pay.crypto import NONCE, SCHEME, lines, seal, sign
from wechat_simulator.pay.kinds import HEADERS
from wechat_simulator.pay.model import Merchant, Order, digits, key_of, moment
from wechat_simulator.world import token_urlsafe

if TYPE_CHECKING:
    from wechat_simulator.pay.orders import Pay

# Seconds from a try that failed to the next one: after the first, fifteen more in 24 hours and 4 minutes (3.8).
SCHEDULE = (15, 15, 30, 180, 600, 1200, 1800, 1800, 1800, 3600, 10800, 10800, 10800, 21600, 21600)
ENOUGH = (200, 204)
EVENT_TYPE = ""  # no field of the contents: what the envelope says instead
PROBE = "WECHATPAY/SIGNTEST/"
KEEP = 20_000
KEPT_ENDED = 1_000  # of the newest, in the state file, whatever became of them
ALTERED_SECONDS = {"old_timestamp": -301, "future_timestamp": 301}


class Notification:
    """One event on its way to a ``notify_url``. The contents are sealed once; every try is signed anew."""

    __slots__ = (
        "associated", "at", "event_type", "failed", "first", "id", "ids", "key", "late", "mchid", "n", "nonce",
        "outcome", "plain", "problem", "sealed_with", "summary", "tries", "url",
    )  # fmt: skip
    KEPT = tuple(name for name in __slots__ if name != "first")

    def __init__(self, n: int, mchid: str, event_type: str, *, url: str, at: float) -> None:
        self.n = n
        self.mchid = mchid
        self.event_type = event_type
        self.url = url
        self.at = at
        self.id = ""
        self.ids: list[str] = [mchid]  # what a fault may be aimed at: merchant, appid
        self.key = ""  # out_trade_no or out_refund_no
        self.summary = ""
        self.associated = ""
        self.nonce = ""
        self.sealed_with = ""
        self.plain: dict[str, Any] = {}
        self.failed = 0  # tries of the schedule that failed
        self.late = False
        self.tries: list[dict[str, Any]] = []
        self.outcome = "waiting"  # waiting | acknowledged | failed | accepted_wrong | no_url
        self.problem = ""
        self.first = asyncio.Event()  # the first try is over, or put off

    def view(self) -> dict[str, Any]:
        """For the control API: all but the key."""
        return {name: getattr(self, name) for name in self.KEPT if name != "sealed_with"}


class Notifications:
    """Makes, delivers and keeps them."""

    def __init__(self, pay: Pay) -> None:
        self._pay = pay
        self.log: deque[Notification] = deque(maxlen=KEEP)
        self.counts: dict[str, int] = {}
        self._number = 0
        self._stranger: Any = None  # the key of whoever forges
        pay.sim.timers.on("pay_notify", self._due)

    def add(
        self, merchant: Merchant, order: Order, *, event_type: str, summary: str, original_type: str, url: str,
        key: str, plain: dict[str, Any],
    ) -> int:  # fmt: skip
        """Make one and let it go now, or later when a fault says so; gives its number."""
        self._number += 1
        now = self._pay.now
        note = Notification(self._number, merchant.mchid, event_type, url=url, at=now)
        note.id = f"EV-{digits(now, '%Y%m%d%H%M%S')}{self._number:05d}"
        note.ids.append(order.appid)
        note.key, note.summary, note.associated, note.plain = key, summary, original_type, plain
        note.nonce = self._text(NONCE)
        note.sealed_with = merchant.api_v3_key
        self.log.append(note)
        if not url:
            note.outcome = "no_url"
            note.first.set()
            return note.n
        late = sum(fault.number("seconds", 300.0) for fault in self._take(note, "pay_late"))
        if late:
            note.late = True
            note.first.set()
            self._pay.sim.timers.at(now + late, "pay_notify", note.n)
        else:
            self._pay.sim.pushes.alongside(self._run(note, now))
        return note.n

    def get(self, n: int) -> Notification | None:
        """By number."""
        return next((note for note in reversed(self.log) if note.n == n), None)

    def _text(self, length: int) -> str:
        number = str(self._pay.sim.world.number())
        made = token_urlsafe(length, self._pay.sim.world.seed, "nonce", number)
        return made.replace("-", "x").replace("_", "y")

    def _take(self, note: Notification, kind: str) -> list[Fault]:
        return self._pay.sim.faults.for_pay((kind,), set(note.ids), note.event_type)

    def _due(self, due: float, n: int) -> None:
        note = self.get(n)
        if note is not None and note.outcome == "waiting":
            self._pay.sim.pushes.alongside(self._run(note, due))

    # --- the schedule (3.8) -------------------------------------------------------------------------------------------

    async def _run(self, note: Notification, due: float) -> None:
        """Try; when it failed, wait for the next moment of the schedule. What is overdue is tried at once."""
        while True:
            try:
                await self._one(note)
            finally:
                note.first.set()  # whoever waits for it goes on, whatever happened
            if note.outcome != "waiting":
                break
            if note.failed > len(SCHEDULE):
                note.outcome = "failed"
                break
            due += SCHEDULE[note.failed - 1]
            if due > self._pay.now:
                self._pay.sim.timers.at(due, "pay_notify", note.n)
                break
        if note.outcome != "waiting":
            self.counts[note.outcome] = self.counts.get(note.outcome, 0) + 1
        self._tell(note)

    def _tell(self, note: Notification) -> None:
        order = self._pay.orders.get((note.mchid, str(note.plain.get("out_trade_no"))))
        if order is not None:
            self._pay.sim.bus.bump("pay", self._pay.fan_of(order).person.id, order.appid)

    async def _one(self, note: Notification) -> None:
        """One moment of the schedule, with the faults that hit it."""
        for _ in self._take(note, "pay_probe"):
            if await self.post(note, "probe", forged="probe") in ENOUGH:
                self._wrong(note, "a signature probe was taken for a notification")
        if self._take(note, "pay_lost"):
            note.tries.append(self._row("lost"))
            note.failed += 1
            return
        forged = list(self._take(note, "pay_forged"))
        if forged:
            how = str(forged[-1].params.get("how", "signature"))
            await self._never(note, f"forged: {how}", forged=how)
            return
        damaged = list(self._take(note, "pay_damaged"))
        if damaged:
            how = str(damaged[-1].params.get("how", "tag"))
            await self._never(note, f"damaged: {how}", damage=how)
            return
        changed = self.changed(note, [*self._take(note, "pay_amount"), *self._take(note, "pay_changed")])
        if await self.post(note, "changed" if changed else "sent", changed=changed) in ENOUGH:
            note.outcome = "acknowledged"
            await self._copies(note)
        else:
            note.failed += 1

    async def _never(self, note: Notification, kind: str, *, forged: str = "", damage: str = "") -> None:
        """What must be refused; being taken for good is kept as a finding, and the real one still comes."""
        if await self.post(note, kind, forged=forged, damage=damage) in ENOUGH:
            self._wrong(note, f"{kind} was taken for a notification")
        note.failed += 1

    def _wrong(self, note: Notification, problem: str) -> None:
        note.problem = problem
        self.counts["accepted_wrong"] = self.counts.get("accepted_wrong", 0) + 1

    async def _copies(self, note: Notification) -> None:
        """The same notification again, one after the other or all at once."""
        for fault in self._take(note, "pay_duplicate"):
            changed = self.changed(note, [fault]) if fault.params.get("set") else None
            copies = [self.post(note, "again", changed=changed) for _ in range(int(fault.number("copies", 1)))]
            if fault.params.get("concurrent"):
                await asyncio.gather(*copies)
            else:
                for copy in copies:
                    await copy

    @staticmethod
    def changed(note: Notification, faults: list[Fault]) -> dict[str, Any] | None:
        """Contents with another amount, or other fields; None when nothing is changed."""
        if not faults:
            return None
        plain: dict[str, Any] = json.loads(json.dumps(note.plain))
        for fault in faults:
            if fault.kind == "pay_amount":
                money = plain["amount"]
                field = "refund" if note.associated == "refund" else "total"
                money[field] = int(fault.params.get(field, money[field] + int(fault.number("by", -1))))
                money["payer_" + field] = int(fault.params.get("payer_" + field, money[field]))
                if "currency" in fault.params:
                    money["currency"] = str(fault.params["currency"])
            else:
                _merge(plain, fault.params.get("set", {}))
                plain |= {EVENT_TYPE: fault.params["event_type"]} if "event_type" in fault.params else {}
                for name in fault.params.get("remove", ()):
                    plain.pop(name, None)
        return plain

    async def replay(self, note: Notification, copies: int = 1) -> list[int]:
        """The same notification once more, outside the schedule: gives the answers."""
        return list(await asyncio.gather(*(self.post(note, "again") for _ in range(copies))))

    # --- one request --------------------------------------------------------------------------------------------------

    def _row(self, kind: str) -> dict[str, Any]:
        return {"kind": kind, "real": time.time(), "at": self._pay.now}

    async def post(
        self,
        note: Notification,
        kind: str,
        *,
        forged: str = "",
        damage: str = "",
        changed: dict[str, Any] | None = None,
    ) -> int:
        """Send it and keep what came back; 0 when nothing did."""
        sim = self._pay.sim
        row = self._row(kind)
        note.tries.append(row)
        plain = dict(note.plain if changed is None else changed)
        body = self.body(note, plain, damage, plain.pop(EVENT_TYPE, ""))
        headers, body = self.signed(note, body, forged)
        started = time.monotonic()
        status = 0
        try:
            async with asyncio.timeout(sim.switches.push_timeout_seconds):
                status, _ = await sim.pushes.client.exchange("POST", note.url, body, "application/json", headers)
            row["status"] = status
            row["outcome"] = "acknowledged" if status in ENOUGH else f"http {status}"
        except TimeoutError:
            row["outcome"] = "timeout"
        except (OSError, DeliveryError) as error:
            row["outcome"] = str(error) or type(error).__name__
        row["seconds"] = round(time.monotonic() - started, 4)
        return status

    def body(self, note: Notification, plain: dict[str, Any], damage: str = "", event_type: str = "") -> bytes:
        """The envelope (3.8), its resource sealed with the APIv3 key of the moment it was made."""
        key, nonce, associated = note.sealed_with, note.nonce, note.associated
        if damage == "key":
            key = key[::-1]
        elif damage in ("short_nonce", "long_nonce"):
            nonce = nonce[:11] if damage == "short_nonce" else nonce + "z"
        ciphertext = seal(key, nonce, associated, compact(plain))
        if damage == "tag":
            raw = bytearray(base64.b64decode(ciphertext))
            raw[-1] ^= 1
            ciphertext = base64.b64encode(raw).decode()
        resource: dict[str, Any] = {
            "original_type": note.associated,
            "algorithm": "AEAD_AES_128_GCM" if damage == "algorithm" else "AEAD_AES_256_GCM",
            "ciphertext": ciphertext,
            "associated_data": "other" if damage == "associated_data" else associated,
            "nonce": nonce,
        }
        envelope: dict[str, Any] = {
            "id": note.id,
            "create_time": moment(note.at),
            "resource_type": "encrypt-resource",
            "event_type": event_type or note.event_type,
            "summary": note.summary,
        }
        if damage != "missing":
            envelope["resource"] = resource
        text = compact(envelope)
        return {
            "not_json": text[:-1],
            "array": b"[" + text + b"]",
            "duplicate_keys": text[:-1] + b',"event_type":"TRANSACTION.SUCCESS"}',
            "megabyte": text + b" " * 1_000_000,
        }.get(damage, text)

    def signed(self, note: Notification, body: bytes, forged: str = "") -> tuple[list[tuple[str, str]], bytes]:
        """Headers over the raw body (3.3), right or wrong as asked for; the body as it goes out."""
        pay = self._pay
        merchant = pay.merchants[note.mchid]
        serial, key = pay.notifier(merchant, note.n)
        stamp = self._stamp(forged)
        nonce = self._text(32)
        if forged == "merchant_key":
            key = key_of(merchant.private_key)
        elif forged == "unknown_serial":
            serial, key = keys.serial_of(nonce), self._unknown()
        elif forged == "public_key_id":
            serial = f"{keys.PUBLIC_KEY_PREFIX}0{note.mchid}"
        elif forged == "old_certificate":
            oldest = (pay.platform.certificates or [pay.platform.current(pay.now)])[0]
            serial, key = oldest.serial, oldest.key
        proof = sign(key, lines(stamp, nonce, body))
        if forged in ("signature", "localhost"):
            proof = sign(self._unknown(), lines(stamp, nonce, body))
        elif forged == "probe":
            proof = PROBE + proof[len(PROBE) :]
        headers = {
            "Wechatpay-Timestamp": stamp,
            "Wechatpay-Nonce": nonce,
            "Wechatpay-Signature": proof,
            "Wechatpay-Serial": serial,
            "Wechatpay-Signature-Type": SCHEME,
        }
        if forged == "altered_body":
            body = body.replace("成功".encode(), "完成".encode(), 1)
        elif forged == "spaced_body":
            body = body.replace(b'":"', b'": "', 1)
        elif forged == "no_headers":
            headers = {}
        return _given(headers, forged), body

    def _stamp(self, forged: str) -> str:
        if forged == "text_timestamp":
            return moment(self._pay.now)
        seconds = str(int(self._pay.now) + ALTERED_SECONDS.get(forged, 0))
        return seconds + "000" if forged == "millisecond_timestamp" else seconds

    def _unknown(self) -> Any:
        if self._stranger is None:
            self._stranger = keys.new_key()
        return self._stranger

    # --- state file ---------------------------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """For the state file: all that are still on their way, and the newest."""
        oldest = len(self.log) - KEPT_ENDED
        kept = [note for place, note in enumerate(self.log) if place >= oldest or note.outcome == "waiting"]
        rows = [{name: getattr(note, name) for name in note.KEPT} for note in kept]
        return {"number": self._number, "rows": rows, "counts": self.counts}

    def load(self, data: dict[str, Any]) -> None:
        """From the state file."""
        self._number, self.counts = data["number"], data["counts"]
        self.log.clear()
        for row in data["rows"]:
            note = Notification(row["n"], row["mchid"], row["event_type"], url=row["url"], at=row["at"])
            for name in note.KEPT:
                setattr(note, name, row[name])
            self.log.append(note)

    def resume(self) -> None:
        """After the state file: who waits and has no timer was being tried when the process ended."""
        timed = set(self._pay.sim.timers.payloads("pay_notify"))
        for note in self.log:
            if note.outcome == "waiting" and note.n not in timed:
                self._pay.sim.timers.at(self._pay.now, "pay_notify", note.n)


def compact(value: Any) -> bytes:
    """JSON as WeChat writes it: no spaces, Chinese as it is."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _given(headers: dict[str, str], forged: str) -> list[tuple[str, str]]:
    """The headers as they go out: one left out, empty or doubled, or another host."""
    how, _, name = forged.partition("_")
    given = list(headers.items())
    if name in HEADERS and how in ("no", "empty", "double"):
        place = list(headers).index(HEADERS[name])
        given[place : place + 1] = {
            "no": [],
            "empty": [(HEADERS[name], "")],
            "double": [(HEADERS[name], "0"), given[place]],
        }[how]
    if forged == "localhost":  # some libraries let such a request pass unverified (CVE-2026-33661)
        given.append(("Host", "localhost"))
    return given


def _merge(plain: dict[str, Any], more: dict[str, Any]) -> None:
    for name, value in more.items():
        if isinstance(value, dict) and isinstance(plain.get(name), dict):
            _merge(plain[name], value)
        else:
            plain[name] = value
