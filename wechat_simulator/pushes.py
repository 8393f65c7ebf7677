"""Pushes to callback URLs: three modes, two formats, five seconds, three tries (reference: service account 1.2, 2)."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from wechat_simulator import replies, wire
from wechat_simulator.crypto import signature
from wechat_simulator.http_client import DeliveryError, HttpClient
from wechat_simulator.world import Account, Fan

if TYPE_CHECKING:
    from wechat_simulator.simulation import Simulation

FAILURE_TEXT = "该公众号提供的服务出现故障，请稍后再试"
NO_REPLY_EVENTS = frozenset(("unsubscribe", "TEMPLATESENDJOBFINISH", "VIEW", "view_miniprogram", "LOCATION"))
KEEP_PUSHES = 100_000


def _nothing() -> None:
    """Nobody waits for the first try."""


class Push:
    """One event or message on its way to a callback URL."""

    __slots__ = (
        "appid",
        "at",
        "fields",
        "kind",
        "n",
        "openid",
        "outcome",
        "problem",
        "reply",
        "shows_failure",
        "tries",
    )

    def __init__(self, n: int, appid: str, openid: str, kind: str, *, fields: wire.Fields, at: float) -> None:
        self.n = n
        self.appid = appid
        self.openid = openid
        self.kind = kind  # event name, or MsgType of a message
        self.fields = fields
        self.at = at
        self.shows_failure = False
        self.tries: list[dict[str, Any]] = []
        self.outcome = "waiting"  # acknowledged | replied | bad_reply | failed | dropped | no_callback
        self.problem = ""
        self.reply: dict[str, Any] | None = None

    def view(self) -> dict[str, Any]:
        """For the control API."""
        return {name: getattr(self, name) for name in self.__slots__}


class Pushes:
    """Delivers pushes and keeps a log of them."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        self.log: deque[Push] = deque(maxlen=KEEP_PUSHES)
        self.client = HttpClient()
        self._queues: dict[str, asyncio.Queue[tuple[Push, Fan]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._held: dict[str, tuple[Push, Fan]] = {}
        self._busy = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._number = 0
        self._message_id = 23456789012345678
        self.counts: dict[str, int] = {}

    # --- making ---------------------------------------------------------------------------------------------------

    def event(self, fan: Fan, event: str, at: float, **fields: Any) -> Push:
        """An event push (reference: service account 3.3, 3.4)."""
        return self._push(fan, event, at, {"MsgType": "event", "Event": event, **fields})

    def message(self, fan: Fan, kind: str, at: float, **fields: Any) -> Push:
        """A message push with a MsgId (reference: service account 3.2)."""
        self._message_id += 1
        push = self._push(fan, kind, at, {"MsgType": kind, **fields, "MsgId": self._message_id})
        push.shows_failure = True
        return push

    def _push(self, fan: Fan, kind: str, at: float, fields: wire.Fields) -> Push:
        self._number += 1
        common = {"ToUserName": fan.account.original_id, "FromUserName": fan.openid, "CreateTime": int(at)}
        push = Push(self._number, fan.account.appid, fan.openid, kind, fields={**common, **fields}, at=at)
        push.shows_failure = kind in self._sim.switches.failure_text_events
        self.log.append(push)
        return push

    # --- delivering -----------------------------------------------------------------------------------------------

    def background(self, push: Push, fan: Fan) -> None:
        """Deliver soon, many at a time, nobody waits: finish events."""
        queue = self._queues.get(push.appid)
        if queue is None:
            queue = self._queues[push.appid] = asyncio.Queue()
            self._keep(self._feed(queue))
        self._enter()
        queue.put_nowait((push, fan))

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def alongside(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do something in the background that `settle` waits for: an event of a third-party platform."""

        async def run() -> None:
            self._enter()
            try:
                await work
            finally:
                self._leave()

        self._keep(run())

    async def _feed(self, queue: asyncio.Queue[tuple[Push, Fan]]) -> None:
        slots = asyncio.Semaphore(self._sim.switches.push_concurrency)
        while True:
            push, fan = await queue.get()
            await slots.acquire()
            self._keep(self._one(push, fan, slots))

    async def _one(self, push: Push, fan: Fan, slots: asyncio.Semaphore) -> None:
        """A slot is held for the first try only: pushes that wait for a retry do not hold up the others."""
        released = False

        def release() -> None:
            nonlocal released
            if not released:
                released = True
                slots.release()

        try:
            await self._with_faults(push, fan, release)
        finally:
            release()
            self._leave()

    async def deliver(self, push: Push, fan: Fan) -> Push:
        """Deliver now and wait for the outcome: what a person did."""
        self._enter()
        try:
            await self._with_faults(push, fan)
        finally:
            self._leave()
        return push

    def _enter(self) -> None:
        self._busy += 1
        self._idle.clear()

    def _leave(self) -> None:
        self._busy -= 1
        if not self._busy:
            self._idle.set()

    async def settle(self, seconds: float) -> bool:
        """Wait until nothing is on its way; False when the real seconds ran out."""
        try:
            await asyncio.wait_for(self._idle.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def _with_faults(self, push: Push, fan: Fan, first_try_over: Callable[[], None] = _nothing) -> None:
        if not self._sim.faults.push_active:
            await self._tries(push, fan, first_try_over)
            return
        take = self._sim.faults.for_push
        where = (push.appid, push.kind, push.openid)
        if take(("push_drop",), *where):
            push.outcome = "dropped"
            return
        for fault in take(("push_delay",), *where):
            await asyncio.sleep(fault.number("seconds", 1.0))
        for fault in take(("push_reorder",), *where):
            if push.appid not in self._held:
                self._held[push.appid] = (push, fan)  # goes out after the next push of the account
                push.outcome = "held"
                self._keep(self._release(push, fan, fault.number("seconds", 3.0)))
                return
        copies = sum(int(fault.number("copies", 1)) for fault in take(("push_duplicate",), *where))
        await self._tries(push, fan, first_try_over)
        for _ in range(copies):
            await self._tries(push, fan, again=True)
        if held := self._held.pop(push.appid, None):
            await self._tries(*held)

    async def _release(self, push: Push, fan: Fan, seconds: float) -> None:
        """A held push goes out by itself when no other came meanwhile (real seconds)."""
        self._enter()
        try:
            await asyncio.sleep(seconds)
            if self._held.get(push.appid) == (push, fan):
                del self._held[push.appid]
                await self._tries(push, fan)
        finally:
            self._leave()

    async def _tries(
        self, push: Push, fan: Fan, first_try_over: Callable[[], None] = _nothing, *, again: bool = False
    ) -> None:
        account, switches = fan.account, self._sim.switches
        if not account.push_url:
            push.outcome = "no_callback"
            return
        sealed: tuple[str, bytes] | None = None
        for number in range(1, switches.push_tries + 1):
            started = time.monotonic()
            if sealed is None or switches.push_fresh_signature_per_try:
                sealed = self._seal(push, account)
            url, body = sealed
            attempt: dict[str, Any] = {"try": number, "real": time.time(), "again": again}
            push.tries.append(attempt)
            try:
                async with asyncio.timeout(switches.push_timeout_seconds):
                    status, answer = await self._post(push, url, body, account)
                attempt["status"] = status
                attempt["seconds"] = round(time.monotonic() - started, 4)
                if status == 200:
                    self._answered(push, fan, answer)
                    attempt["outcome"] = push.outcome
                    break
                attempt["outcome"] = f"http {status}"
                if status < 500 and not switches.push_retry_client_errors:
                    self._failed(push, fan)
                    break
            except TimeoutError:
                attempt["outcome"] = "timeout"
            except (OSError, DeliveryError) as error:
                attempt["outcome"] = str(error) or type(error).__name__
            attempt["seconds"] = round(time.monotonic() - started, 4)
            first_try_over()
            if number < switches.push_tries:
                await asyncio.sleep(max(switches.push_retry_spacing_seconds - (time.monotonic() - started), 0))
        else:
            self._failed(push, fan)
        self.counts[push.outcome] = self.counts.get(push.outcome, 0) + 1
        self._sim.bus.bump("push", fan.person.id, account.appid)

    async def _post(self, push: Push, url: str, body: bytes, account: Account) -> tuple[int, bytes]:
        if self._sim.faults.push_active:
            take = self._sim.faults.for_push
            if take(("push_bad_signature",), push.appid, push.kind, push.openid):
                url = url.replace("signature=", "signature=0", 1)
            if take(("push_cut",), push.appid, push.kind, push.openid):
                body = body[: len(body) // 2]
        return await self.client.exchange(
            "POST", url, body, "text/xml" if account.format == "xml" else "application/json"
        )

    def _seal(self, push: Push, account: Account) -> tuple[str, bytes]:
        """URL and body of one try (reference: service account 1.2, 1.3)."""
        switches = self._sim.switches
        timestamp, nonce = str(int(self._sim.clock.now())), str(self._sim.random.randrange(10**8, 2 * 10**9))
        query = {
            "signature": signature(account.push_token, timestamp, nonce),
            "timestamp": timestamp,
            "nonce": nonce,
            "openid": push.openid,
        }
        as_json = account.format == "json"

        def render(fields: wire.Fields) -> bytes:
            if as_json:
                return wire.to_json(fields, numbers_as_text=switches.push_json_numbers_as_text)
            return wire.to_xml(fields)

        body = render(push.fields)
        if account.push_mode != "plain":
            encrypted = account.cipher().encrypt(body)
            query["encrypt_type"] = "aes"
            query["msg_signature"] = signature(account.push_token, timestamp, nonce, encrypted)
            outer = push.fields if account.push_mode == "compatible" else {"ToUserName": account.original_id}
            body = render({**outer, "Encrypt": encrypted})
        joint = "&" if "?" in account.push_url else "?"
        return account.push_url + joint + urlencode(query), body

    def _answered(self, push: Push, fan: Fan, answer: bytes) -> None:
        if answer in (b"", b"success"):
            push.outcome = "acknowledged"
            return
        account = fan.account
        try:
            fields = replies.open_envelope(
                answer,
                mode=account.push_mode,
                data_format=account.format,
                token=account.push_token,
                cipher=None if account.push_mode == "plain" else account.cipher(),
            )
            seen = replies.seen(
                fields,
                openid=push.openid,
                original_id=account.original_id,
                inbound=str(push.fields["MsgType"]),
                text_limit=self._sim.switches.reply_text_limit_bytes,
            )
        except wire.ReplyError as error:
            push.problem = str(error)
            self._failed(push, fan, outcome="bad_reply")
            return
        push.outcome = "replied"
        push.reply = seen
        if push.kind not in NO_REPLY_EVENTS:
            self._sim.conversations.passive(fan, seen, self._sim.clock.now(), in_answer_to=push.n)

    def _failed(self, push: Push, fan: Fan, outcome: str = "failed") -> None:
        push.outcome = outcome
        if push.shows_failure:
            self._sim.conversations.system(fan, FAILURE_TEXT, self._sim.clock.now(), kind="failure")

    async def verify_url(self, account: Account) -> dict[str, Any]:
        """The GET that a console makes when the server configuration is saved (reference: service account 1.1)."""
        timestamp, nonce = str(int(self._sim.clock.now())), str(self._sim.random.randrange(10**8, 2 * 10**9))
        echo = str(self._sim.random.randrange(10**17, 10**19))
        query = {"signature": signature(account.token, timestamp, nonce), "echostr": echo}
        query |= {"timestamp": timestamp, "nonce": nonce}
        return await self._echoed(account.callback_url, query, echo, "echostr")

    async def _echoed(self, url: str, query: dict[str, str], echo: str, name: str) -> dict[str, Any]:
        """Ask a callback address for an echo; what is wrong with its answer, in words of `name`."""
        joint = "&" if "?" in url else "?"
        try:
            async with asyncio.timeout(self._sim.switches.push_timeout_seconds):
                status, answer = await self.client.exchange("GET", url + joint + urlencode(query), b"", "text/plain")
        except TimeoutError:
            return {"ok": False, "problem": "timeout"}
        except (OSError, DeliveryError) as error:
            return {"ok": False, "problem": str(error) or type(error).__name__}
        if status != 200 or answer != echo.encode():
            return {"ok": False, "problem": f"http {status}, body is not {name}"}
        return {"ok": True, "problem": ""}

    def close(self) -> None:
        """Stop workers and drop connections."""
        for task in list(self._tasks):
            task.cancel()
        self.client.close()
