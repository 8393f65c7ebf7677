"""The gateway process: WeChat's callbacks as a thin ASGI application of our own, beside Django's web process.

Path token → stored mode → signature → decryption → one durable row → reply or `success`. Whatever is not authentic
gets one and the same empty 403; whatever is authentic is kept and acknowledged.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import hmac
import logging
import re
import time
import types
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Generator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Final, TypeAlias, TypeVar
from urllib.parse import urlsplit

from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection
from kombu.exceptions import OperationalError

from accounts.tenancy import BrandRead, brand_scope
from common import clock
from wechat_gateway.codec import (
    ALARMING,
    Accepted,
    AccountKeys,
    Doubt,
    Quarantined,
    Refused,
    judge_echo,
    judge_event,
    judge_push,
    seal_reply,
)  # fmt: skip
from wechat_gateway.directory import AUTHORISED, Directory, Entry
from wechat_gateway.events import Push, lane_of, make_push
from wechat_gateway.intake import Intake, NotKept, Row
from wechat_gateway.lookups import Lookups
from wechat_gateway.platforms import TESTERS, keep_event, keep_release_check, keep_unreadable
from wechat_gateway.pulse import OWN_NONCE, PulseWriter
from wechat_gateway.registries import Replier, ReplyBook, repliers_of
from wechat_gateway.remembering import Rememberer
from wechat_gateway.replies import Reply, Text, render
from wechat_gateway.ringing import Lanes, Ringer
from wechat_gateway.spill import RedisSpill
from wechat_gateway.tasks import handle_inbound, handle_platform_pushes
from wechat_gateway.wire import text_of

logger = logging.getLogger(__name__)

T = TypeVar("T")
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Answered: TypeAlias = bytes | Refused  # b"" for plain `success`

MAX_BODY: Final = 65_536
BODY_SECONDS: Final = 10.0
READING_REPLIER_SECONDS: Final = 0.4  # what queries of `lookups` may take together and then alone is as much
# With what a row may wait (intake) well within the platform's five seconds; nobody waits for rules while PostgreSQL is
# known to be away.
BOOK_SECONDS: Final = 2.0
_BOOK_SECONDS_WITHOUT_POSTGRESQL: Final = 0.1
_READING_THREADS: Final = 4
_MOST_FAILURES_A_MINUTE: Final = 1000
_MOST_ADDRESSES: Final = 10_000
_PATH: Final = re.compile(rb"/wx/([0-9A-Za-z_-]{16,64})")
_AUTHORISED_PATH: Final = re.compile(r"/wx/(wx[0-9a-f]{16})/callback")
_PLATFORM_PATH: Final = re.compile(r"/wx/platform/([0-9A-Za-z_-]{16,64})")
_PLATFORM_SECONDS: Final = 2.0

_QUERY_AUTH_CODE: Final = "QUERY_AUTH_CODE:"
_SUCCESS: Final = b"success"
_NO_BODY: Final = [(b"content-length", b"0")]
_CLOSE: Final = [(b"content-length", b"0"), (b"connection", b"close")]
_AGAIN: Final = [(b"content-length", b"0"), (b"retry-after", b"1")]
_NOT_ALLOWED: Final = [(b"content-length", b"0"), (b"allow", b"GET, POST")]
_PLAIN: Final = (b"content-type", b"text/plain; charset=utf-8")
_XML: Final = (b"content-type", b"text/xml; charset=utf-8")
_JSON: Final = (b"content-type", b"application/json; charset=utf-8")
_NOSNIFF: Final = (b"x-content-type-options", b"nosniff")


class _TooLarge(Exception):
    pass


class _Gone(Exception):
    pass


class Gateway:
    """The application object. Everything it holds is made when the server starts its event loop."""

    directory: Directory
    intake: Intake
    pulse: PulseWriter

    def __init__(self, ring: Callable[[Lanes], None] | None = None) -> None:
        """`ring` wakes workers for (brand, lane) pairs; by default through the broker."""
        self.counters: Counter[str] = Counter()
        self._ring = ring or _ring_by_broker
        self._started = False
        self._failures: dict[str, tuple[int, int]] = {}
        self._hosts = _allowed_hosts()
        self._known_hosts: set[bytes] = set()
        self._readers = ThreadPoolExecutor(_READING_THREADS, thread_name_prefix="replier")
        self._lookups = Lookups(self._readers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of the ASGI protocol."""
        if scope["type"] == "http":
            match = _PATH.fullmatch(scope.get("raw_path") or scope["path"].encode())
            if match is not None:
                await self._callback(match[1].decode(), scope, receive, send)
            else:
                await self._other(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)

    # -- starting and stopping ----------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Load accounts, connect to the inbox, start ringing."""
        self._ringer = Ringer(self._ring)
        self._ringer.start()
        self._spill = RedisSpill(settings.REDIS_URL)
        self.pulse = PulseWriter(settings.REDIS_URL)
        self.pulse.start()
        self.intake = Intake(settings.DATABASE_INTAKE_URL, self._spill, on_stored=self._ringer.ring)
        self.intake.start()
        self.directory = Directory()
        await self.directory.start()
        self._rememberer = Rememberer(self.directory.books)
        self._rememberer.start()
        self._started = True

    async def stop(self) -> None:
        """Write what is waiting and let go."""
        self._started = False
        await self._rememberer.stop()
        await self.directory.stop()
        await self.intake.close()
        await self._spill.close()
        await self.pulse.stop()
        await asyncio.to_thread(self._ringer.stop)
        self._readers.shutdown(wait=False, cancel_futures=True)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self.start()
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await self.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return

    # -- callbacks ----------------------------------------------------------------------------------------------------

    async def _callback(  # noqa: C901, PLR0911 - every way a callback can end, in order
        self, path_token: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        method = scope["method"]
        if method not in ("POST", "GET"):
            await _respond(send, 405, _NOT_ALLOWED)
            return
        try:
            body = await self._body(scope, receive)
        except _TooLarge:
            self.counters["too large"] += 1
            await _respond(send, 413, _CLOSE)
            return
        except TimeoutError:
            await _respond(send, 408, _CLOSE)
            return
        except _Gone:
            return
        if body is None:
            await _respond(send, 400, _NO_BODY)
            return
        entry = self.directory.find(path_token)
        keys = entry.keys if entry is not None else self.directory.decoy
        now = clock.timestamp()
        if method == "GET":
            await self._echo(keys, scope, body, now, send)
            return
        judged = judge_push(keys, scope["query_string"], body, now=now, freshness=settings.CALLBACK_FRESHNESS_SECONDS)
        if isinstance(judged, Refused) and judged.reason is Doubt.TIMESTAMP and clock.is_simulated():
            # The simulator's clock may just have jumped; ours follows it once a second.
            await asyncio.to_thread(clock.resync)
            now = clock.timestamp()
            judged = judge_push(
                keys, scope["query_string"], body, now=now, freshness=settings.CALLBACK_FRESHNESS_SECONDS
            )
        if isinstance(judged, Refused) or entry is None:
            await self._refuse(judged, keys, scope, send)
            return
        try:
            if isinstance(judged, Accepted):
                reply = await self._accept(entry, judged, now)
            else:
                reply = await self._quarantine(keys, judged, now)
        except NotKept:
            self.counters["unavailable"] += 1
            await _respond(send, 503, _AGAIN)
            return
        if not reply:
            await _respond(send, 200, [_PLAIN, (b"content-length", b"7")], _SUCCESS)
            return
        is_json = isinstance(judged, Accepted) and judged.is_json
        await _respond(send, 200, [_JSON if is_json else _XML, (b"content-length", b"%d" % len(reply))], reply)

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        """The whole body; None when host or encoding forbid reading it. Raises _TooLarge, TimeoutError or _Gone."""
        host = b""
        for name, value in scope["headers"]:
            if name == b"content-length":
                if not value.isdigit() or int(value) > MAX_BODY:
                    raise _TooLarge
            elif name == b"host":
                host = value
            elif name == b"content-encoding" and value.lower() != b"identity":
                self.counters["encoded"] += 1
                raise _TooLarge
        if host not in self._known_hosts and not self._host_allowed(host):
            return None
        # Nearly always the body is there already, and a timeout would cost as much as opening the envelope.
        reading = _whole_body(receive)
        try:
            waits_for = reading.send(None)
        except StopIteration as ended:
            found: bytes = ended.value
            return found
        async with asyncio.timeout(BODY_SECONDS):
            return await _go_on(reading, waits_for)

    def _host_allowed(self, host: bytes) -> bool:
        name = host.decode("latin-1").lower()
        name = name.rpartition(":")[0] if name.rpartition(":")[2].isdigit() and ":" in name else name
        if "*" in self._hosts or name in self._hosts:
            if len(self._known_hosts) < 100:
                self._known_hosts.add(host)
            return True
        return False

    async def _echo(self, keys: AccountKeys, scope: Scope, body: bytes, now: float, send: Send) -> None:
        judged = judge_echo(keys, scope["query_string"], now=now, freshness=settings.CALLBACK_FRESHNESS_SECONDS)
        if body or isinstance(judged, Refused) or keys is self.directory.decoy:
            await self._refuse(judged, keys, scope, send)
            return
        self.counters["echoed"] += 1
        if b"nonce=" + OWN_NONCE.encode() not in scope["query_string"]:
            self.pulse.verified(keys.brand_id, keys.account_id, now)
        await _respond(send, 200, [_PLAIN, _NOSNIFF, (b"content-length", b"%d" % len(judged))], judged)

    async def _refuse(self, judged: object, keys: AccountKeys, scope: Scope, send: Send) -> None:
        reason = judged.reason if isinstance(judged, Refused) else "PATH"
        self.counters[f"refused {reason}"] += 1
        if reason in ALARMING:
            logger.error("account %s: an authentic push of another account came in (%s)", keys.account_id, reason)
        if keys.account_id and isinstance(judged, Refused):
            self.pulse.refused(keys.brand_id, keys.account_id, reason, clock.timestamp())
        await _respond(send, 429 if self._fails_too_often(scope) else 403, _NO_BODY)

    def _fails_too_often(self, scope: Scope) -> bool:
        address = _address(scope)
        minute = int(time.monotonic() // 60)
        window, count = self._failures.get(address, (minute, 0))
        count = count + 1 if window == minute else 1
        if len(self._failures) >= _MOST_ADDRESSES:
            self._failures.clear()
        self._failures[address] = (minute, count)
        return count > _MOST_FAILURES_A_MINUTE

    async def _accept(self, entry: Entry, judged: Accepted, now: float) -> bytes:
        """Answer first, so that the reply is stored with the push, then keep it."""
        keys, head = entry.keys, judged.head
        repliers = repliers_of(head.kind)
        reply = await self._reply(entry, judged, repliers, now) if repliers else ""
        kept = await self.intake.keep(
            Row(
                brand_id=keys.brand_id,
                account_id=keys.account_id,
                dedupe_key=head.dedupe_key,
                digest=head.digest,
                kind=head.kind,
                openid=head.openid,
                lane=lane_of(head.openid),
                event_at=head.event_at,
                received_at=now,
                body=judged.body.decode(),
                reply=reply,
                reason=head.mark,
            ),
        )
        self.counters["repeated" if kept.repeated else "accepted"] += 1
        self.pulse.verified(keys.brand_id, keys.account_id, now)
        return seal_reply(keys, judged, kept.reply.encode(), now=now) if kept.reply else b""

    async def _quarantine(self, keys: AccountKeys, judged: Quarantined, now: float) -> bytes:
        self.counters["quarantined"] += 1
        self.pulse.verified(keys.brand_id, keys.account_id, now)
        logger.warning("account %s: an authentic push could not be read (%s)", keys.account_id, judged.reason)
        body, is_binary = _as_text(judged.body)
        key = blake2b(judged.body, digest_size=16).hexdigest()
        await self.intake.keep(
            Row(
                brand_id=keys.brand_id,
                account_id=keys.account_id,
                dedupe_key=key,
                digest=key,
                kind="unreadable",
                openid="",
                lane=0,
                event_at=now,
                received_at=now,
                body=body,
                is_binary=is_binary,
                state="QUARANTINED",
                reason=judged.reason,
            ),
        )
        return b""

    # -- passive replies ----------------------------------------------------------------------------------------------

    async def _reply(self, entry: Entry, judged: Accepted, repliers: tuple[Replier, ...], now: float) -> str:
        """The rendered reply of the first replier that has one, '' for none."""
        keys = entry.keys
        book = entry.book
        if book is None:
            seconds = BOOK_SECONDS if self.intake.connected else _BOOK_SECONDS_WITHOUT_POSTGRESQL
            book = await self.directory.book_of(entry, seconds)
        push = make_push(
            judged.fields,
            judged.head,
            brand_id=keys.brand_id,
            account_id=keys.account_id,
            appid=(keys.account_appid or keys.appid).decode(),
            original_id=keys.original_id,
            received_at=datetime.fromtimestamp(now, UTC),
        )
        for replier in repliers:
            if replier.when is not None and not self._holds(replier, push, book):
                continue
            reply = await self._answer_of(replier, push, book)
            if reply is not None:
                return render(
                    reply,
                    openid=push.openid,
                    original_id=keys.original_id,
                    at=now,
                    as_json=judged.is_json,
                )
        return ""

    async def _answer_of(self, replier: Replier, push: Push, book: ReplyBook) -> Reply | None:
        """The answer of a replier; one that fails or is late has none."""
        try:
            if replier.asks is not None:
                query = replier.asks(push, book)
                if query is None:
                    return None
                async with asyncio.timeout(READING_REPLIER_SECONDS):
                    rows = await self._lookups.ask(BrandRead(push.brand_id, query))
                return replier.run(push, book, rows)
            if replier.reads:
                work = asyncio.get_running_loop().run_in_executor(self._readers, _read_and_reply, replier, push, book)
                return await asyncio.wait_for(work, READING_REPLIER_SECONDS)
            return replier.run(push, book)
        except TimeoutError:
            self.counters["replier late"] += 1
            logger.warning("the replier %s was late", replier.key)
        except Exception:
            self.counters["replier failed"] += 1
            logger.exception("the replier %s failed", replier.key)
        return None

    def _holds(self, replier: Replier, push: Push, book: ReplyBook) -> bool:
        """Whether a replier is to be asked about this push; one whose condition fails is not."""
        try:
            return replier.when is None or replier.when(push, book)
        except Exception:
            self.counters["replier failed"] += 1
            logger.exception("the condition of the replier %s failed", replier.key)
        return False

    # -- the third-party platform -------------------------------------------------------------------------------------

    async def _platform_post(
        self, scope: Scope, receive: Receive, send: Send, answer: Callable[[bytes, bytes, float], Awaitable[Answered]]
    ) -> None:
        """Read one request to the platform as such; whatever is not authentic gets the same 403 as everywhere."""
        if scope["method"] != "POST":
            await _respond(send, 405, _NOT_ALLOWED)
            return
        try:
            body = await self._body(scope, receive)
        except _TooLarge:
            await _respond(send, 413, _CLOSE)
            return
        except TimeoutError:
            await _respond(send, 408, _CLOSE)
            return
        except _Gone:
            return
        if body is None:
            await _respond(send, 400, _NO_BODY)
            return
        try:
            judged = await answer(scope["query_string"], body, clock.timestamp())
        except (DatabaseError, TimeoutError) as error:
            logger.warning("an event of the platform could not be kept: %s", type(error).__name__)
            self.counters["unavailable"] += 1
            await _respond(send, 503, _AGAIN)
            return
        if isinstance(judged, Refused):
            await self._refuse(judged, self.directory.decoy, scope, send)
        elif judged:
            await _respond(send, 200, [_XML, (b"content-length", b"%d" % len(judged))], judged)
        else:
            await _respond(send, 200, [_PLAIN, (b"content-length", b"7")], _SUCCESS)

    async def _platform_event(self, path_token: str, query: bytes, body: bytes, now: float) -> Answered:
        """Keep a ticket or an authorisation event, then acknowledge it (reference: 7.4)."""
        keys = self.directory.platform
        if keys is None or not hmac.compare_digest(path_token, self.directory.platform_path):
            keys = self.directory.decoy
        judged = judge_event(keys, query, body, now=now, freshness=settings.CALLBACK_FRESHNESS_SECONDS)
        if isinstance(judged, Refused):
            return judged
        if isinstance(judged, Quarantined):
            logger.error("an authentic event of the platform could not be read (%s)", judged.reason)
            self.counters["quarantined"] += 1
            unreadable = judged
            await self._kept(lambda: keep_unreadable(unreadable.body, unreadable.reason, now=now))
            return b""
        if await self._kept(lambda: keep_event(judged, now=now)):
            self._ring_platform()
        self.counters["platform events"] += 1
        return b""

    async def _tester(self, appid: str, query: bytes, body: bytes, now: float) -> Answered:
        """Answer WeChat's test accounts as its release check wants it (reference: 7.7); nothing of theirs is stored."""
        keys = self.directory.tester(appid) or self.directory.decoy
        judged = judge_push(keys, query, body, now=now, freshness=settings.CALLBACK_FRESHNESS_SECONDS)
        if not isinstance(judged, Accepted):
            return judged if isinstance(judged, Refused) else b""
        content, name = text_of(judged.fields, "Content"), text_of(judged.fields, "Event")
        if content.startswith(_QUERY_AUTH_CODE):
            code, openid = content.removeprefix(_QUERY_AUTH_CODE), judged.head.openid
            await self._kept(lambda: keep_release_check(appid=appid, openid=openid, code=code, now=now))
            self._ring_platform()
            return b""
        if content == "TESTCOMPONENT_MSG_TYPE_TEXT":
            said = f"{content}_callback"
        elif name:
            said = f"{name}from_callback"
        else:
            return b""
        text = render(
            Text(said), openid=judged.head.openid, original_id=keys.original_id, at=now, as_json=judged.is_json
        )
        return seal_reply(keys, judged, text.encode(), now=now)

    async def _kept(self, work: Callable[[], bool]) -> bool:
        """Write something of the platform in a thread, within the time WeChat waits."""

        def write() -> bool:
            close_old_connections()
            return work()

        async with asyncio.timeout(_PLATFORM_SECONDS):
            return await asyncio.get_running_loop().run_in_executor(self._readers, write)

    def _ring_platform(self) -> None:
        def publish() -> None:
            try:
                handle_platform_pushes.apply_async((), {}, retry=False, ignore_result=True)
            except (OperationalError, OSError) as error:
                logger.warning("could not ring for the platform: %s", type(error).__name__)

        # A ring that is lost does no harm: the sweep comes every minute.
        asyncio.get_running_loop().run_in_executor(self._readers, publish)

    # -- everything else ----------------------------------------------------------------------------------------------

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        authorised, platform = _AUTHORISED_PATH.fullmatch(path), _PLATFORM_PATH.fullmatch(path)
        if authorised is not None and authorised[1] in TESTERS:
            await self._platform_post(scope, receive, send, functools.partial(self._tester, authorised[1]))
        elif authorised is not None:
            await self._callback(f"{AUTHORISED}{authorised[1]}", scope, receive, send)
        elif platform is not None:
            await self._platform_post(scope, receive, send, functools.partial(self._platform_event, platform[1]))
        elif path.startswith("/wx"):
            # A malformed path token looks exactly like an unknown one.
            await self._callback("", scope, receive, send)
        elif path == "/healthz":
            await _respond(send, 200, [_PLAIN, (b"content-length", b"2")], b"ok")
        elif path == "/readyz":
            ready = self._started and self.directory.loaded and self.intake.connected
            await _respond(send, 200 if ready else 503, _NO_BODY)
        elif path == "/metrics" and _holds_metrics_token(scope):
            text = self._metrics()
            await _respond(send, 200, [_PLAIN, (b"content-length", b"%d" % len(text))], text)
        else:
            await _respond(send, 404, _NO_BODY)

    def _metrics(self) -> bytes:
        lines = [
            f'zhiyin_gateway_total{{what="{what}"}} {count}'
            for source in (self.counters, self.intake.counters)
            for what, count in sorted(source.items())
        ]
        lines.append(f"zhiyin_gateway_waiting {self.intake.waiting}")
        return "\n".join([*lines, ""]).encode()


async def _whole_body(receive: Receive) -> bytes:
    """Read what was sent; raises _TooLarge or _Gone."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > MAX_BODY:
            raise _TooLarge
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


@types.coroutine
def _go_on(begun: Coroutine[Any, Any, T], waits_for: Any) -> Generator[Any, Any, T]:
    """Await a coroutine that was begun by hand and has given what it waits for."""
    try:
        while True:
            try:
                found = yield waits_for
            except BaseException as error:  # noqa: BLE001 - whatever it is, it is meant for the coroutine
                waits_for = begun.throw(error)
            else:
                waits_for = begun.send(found)
    except StopIteration as ended:
        result: T = ended.value
        return result


def _ring_by_broker(lanes: Lanes) -> None:
    # The worker that gets the call spreads it: the door has no time to.
    first, *others = lanes
    handle_inbound.apply_async(first, {"also": others} if others else {}, retry=False, ignore_result=True)


def _read_and_reply(replier: Replier, push: Push, book: ReplyBook) -> Reply | None:
    close_old_connections()
    with brand_scope(push.brand_id):
        with connection.cursor() as cursor:
            cursor.execute(
                f"SET LOCAL statement_timeout = {int(READING_REPLIER_SECONDS * 1000)}; SET TRANSACTION READ ONLY",
            )
        return replier.run(push, book)


async def _respond(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes = b"") -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _address(scope: Scope) -> str:
    """Where a request came from; forwarded headers count only as far as `TRUSTED_PROXY_HOPS` says."""
    hops: int = settings.TRUSTED_PROXY_HOPS
    if hops:
        forwarded = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for").split(b",")
        if len(forwarded) >= hops and forwarded[-hops].strip():
            return forwarded[-hops].strip().decode("latin-1")
    return str((scope.get("client") or ("",))[0])


def _as_text(body: bytes) -> tuple[str, bool]:
    """(text, False), or (base64, True) for what PostgreSQL cannot hold as text."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return base64.b64encode(body).decode(), True
    return (text, False) if "\x00" not in text else (base64.b64encode(body).decode(), True)


def _allowed_hosts() -> frozenset[str]:
    return frozenset({host.lower() for host in settings.ALLOWED_HOSTS} | {urlsplit(settings.PUBLIC_URL).hostname or ""})


def _holds_metrics_token(scope: Scope) -> bool:
    token = settings.METRICS_TOKEN
    given = dict(scope["headers"]).get(b"authorization", b"")
    return bool(token) and hmac.compare_digest(given, f"Bearer {token}".encode())


application = Gateway()
