"""The gateway's own memory of accounts: path token → keys and reply book, never more than about a second old."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeVar

from django.db import DatabaseError, close_old_connections, connection

from accounts.errors import Unsealable
from accounts.tenancy import brand_scope, every_brand
from common.secret import Secret
from wechat_gateway.codec import AccountKeys, MessageCipher, Mode
from wechat_gateway.models import OfficialAccount
from wechat_gateway.registries import ReplyBook, compilers

logger = logging.getLogger(__name__)

T = TypeVar("T")

REFRESH_SECONDS: Final = 1.0
_WANTED_REFRESH_SECONDS: Final = 0.2
_RECOMPILE_SECONDS: Final = 30.0
# Books are made before the first push needs them: for half of each second, and so many that memory stays bounded.
_AHEAD_SECONDS: Final = 0.5
_MOST_AHEAD: Final = 1000
# Everything that changes an account changes its row version (or its brand's): no counter has to be kept up by hand.
_STAMPS: Final = (
    "SELECT a.id, a.xmin::text || '.' || b.xmin::text FROM wechat_gateway_officialaccount a "
    "JOIN accounts_brand b ON b.id = a.brand_id"
)
_SUMMARY: Final = (
    "SELECT count(*), coalesce(sum(a.xmin::text::bigint), 0), coalesce(sum(b.xmin::text::bigint), 0) "
    "FROM wechat_gateway_officialaccount a JOIN accounts_brand b ON b.id = a.brand_id"
)


@dataclass(slots=True)
class Entry:
    """One account as the gateway serves it. `book` is None until it has been compiled."""

    keys: AccountKeys
    replies_version: int
    stamp: str
    book: ReplyBook | None = None
    compiled_at: float = 0.0
    complete: bool = False


class Directory:
    """Reads run in one thread of its own; look-ups are plain dictionary reads on the event loop."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._token_of: dict[int, str] = {}
        self._summary: tuple[int, ...] = ()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="directory")
        self._wanted = False
        self._task: asyncio.Task[None] | None = None
        self._compiling: dict[int, asyncio.Future[ReplyBook]] = {}
        self._lock = threading.Lock()
        self.loaded = False
        # Answers for unknown paths go through the same work as for known ones.
        self.decoy = AccountKeys(0, 0, b"wx", "gh_", Mode.SAFE, os.urandom(16), None)

    async def start(self) -> None:
        """Load everything once if PostgreSQL is there, then keep up."""
        await self._in_thread(self._try_refresh)
        self._task = asyncio.get_running_loop().create_task(self._keep_up())

    async def stop(self) -> None:
        """Stop keeping up."""
        if self._task is not None:
            self._task.cancel()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def find(self, path_token: str) -> Entry | None:
        """The account of a path, from memory only; an unknown one makes the next look at PostgreSQL come sooner.

        Nobody waits for that look: an unknown address that took longer to refuse than a wrong signature would tell
        which addresses there are.
        """
        entry = self._entries.get(path_token)
        if entry is None:
            self._wanted = True
        return entry

    async def book_of(self, entry: Entry, seconds: float) -> ReplyBook:
        """The reply book of an account, compiled now if it is not yet; empty when that takes longer than `seconds`."""
        if entry.book is not None:
            return entry.book
        account_id = entry.keys.account_id
        running = self._compiling.get(account_id)
        if running is None:
            running = asyncio.ensure_future(self._in_thread(lambda: self._book_now(entry)))
            self._compiling[account_id] = running
            running.add_done_callback(lambda _: self._compiling.pop(account_id, None))
        try:
            return await asyncio.wait_for(asyncio.shield(running), seconds)
        except TimeoutError:
            return ReplyBook(account_id)

    async def _keep_up(self) -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(_WANTED_REFRESH_SECONDS)
            if self._wanted or time.monotonic() - last >= REFRESH_SECONDS:
                self._wanted = False
                last = time.monotonic()
                await self._in_thread(self._try_refresh)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def _try_refresh(self) -> None:
        try:
            self.refresh()
        except DatabaseError as error:
            connection.close()
            logger.warning("the account directory could not be read: %s", type(error).__name__)

    def refresh(self) -> None:
        """Bring the directory up to date; cheap when nothing has changed. Blocks; raises DatabaseError."""
        with self._lock:
            close_old_connections()
            changed, gone = self._changes()
            for path_token in gone:
                self._entries.pop(path_token, None)
            if changed:
                self._load(changed)
            self.loaded = True
        for entry in list(self._entries.values()):
            book = entry.book
            stale = book is not None and book.version != entry.replies_version
            retry = (
                book is not None and not entry.complete and time.monotonic() - entry.compiled_at > _RECOMPILE_SECONDS
            )
            if stale or retry:
                self._compile(entry)
        self._compile_ahead()

    def _compile_ahead(self) -> None:
        """Make books that no push has asked for yet, so that the first one gets its reply."""
        ends = time.monotonic() + _AHEAD_SECONDS
        for entry in list(self._entries.values())[:_MOST_AHEAD]:
            if entry.book is None:
                self._compile(entry)
                # Without PostgreSQL there is no book: the next look tries again.
                if not entry.compiled_at or time.monotonic() > ends:
                    return

    def _changes(self) -> tuple[dict[int, str], list[str]]:
        """(account id → stamp of what is new or changed, path tokens that are gone)."""
        with every_brand(reason="gateway account directory"), connection.cursor() as cursor:
            cursor.execute(_SUMMARY)
            summary = tuple(int(value) for value in cursor.fetchone() or ())
            if summary == self._summary:
                return {}, []
            cursor.execute(_STAMPS)
            stamps = dict(cursor.fetchall())
        self._summary = summary
        known = {entry.keys.account_id: entry.stamp for entry in self._entries.values()}
        changed = {pk: stamp for pk, stamp in stamps.items() if known.get(pk) != stamp}
        gone = [token for pk, token in self._token_of.items() if pk not in stamps]
        return changed, gone

    def _load(self, changed: dict[int, str]) -> None:
        with every_brand(reason="gateway account directory"):
            accounts = list(OfficialAccount.objects.filter(pk__in=list(changed)).select_related("brand"))
            for account in accounts:
                old_token = self._token_of.get(account.pk)
                old = self._entries.get(old_token) if old_token else None
                if old_token and old_token != account.path_token:
                    self._entries.pop(old_token, None)
                entry = _entry(account, changed[account.pk]) if account.is_active and account.brand.is_active else None
                if entry is None:
                    self._entries.pop(account.path_token, None)
                    self._token_of.pop(account.pk, None)
                    continue
                if old is not None:
                    entry.book, entry.compiled_at, entry.complete = old.book, old.compiled_at, old.complete
                self._entries[account.path_token] = entry
                self._token_of[account.pk] = account.path_token

    def _book_now(self, entry: Entry) -> ReplyBook:
        return entry.book or self._compile(entry)

    def _compile(self, entry: Entry) -> ReplyBook:
        """Make a whole new book; a compiler that fails keeps its last page and is tried again later."""
        keys = entry.keys
        old = entry.book
        pages = dict(old.pages) if old else {}
        complete = True
        try:
            with brand_scope(keys.brand_id):
                for key, compiler in compilers.items():
                    try:
                        pages[key] = compiler(keys.account_id)
                    except DatabaseError:
                        raise
                    except Exception:
                        complete = False
                        logger.exception("the reply compiler %s failed for account %s", key, keys.account_id)
        except DatabaseError as error:
            connection.close()
            complete = False
            logger.warning("reply rules could not be read: %s", type(error).__name__)
            if old is None:
                return ReplyBook(keys.account_id)
        book = ReplyBook(keys.account_id, entry.replies_version, MappingProxyType(pages))
        entry.book, entry.compiled_at, entry.complete = book, time.monotonic(), complete
        return book


def _entry(account: OfficialAccount, stamp: str) -> Entry | None:
    """The entry of an account, None when its secrets are missing or cannot be opened."""
    try:
        keys = AccountKeys(
            brand_id=account.brand_id,
            account_id=account.pk,
            appid=account.appid.encode(),
            original_id=account.original_id,
            mode=Mode(account.mode),
            token=_clear(account.callback_token).encode(),
            cipher=_cipher(account.encoding_aes_key),
            previous_cipher=_cipher(account.previous_encoding_aes_key),
            previous_until=account.previous_key_until.timestamp() if account.previous_key_until else 0.0,
        )
    except (Unsealable, ValueError) as error:
        logger.error("account %s cannot receive pushes: %s", account.pk, type(error).__name__)  # noqa: TRY400
        return None
    if not keys.token or (keys.mode is not Mode.PLAIN and keys.cipher is None):
        return None
    return Entry(keys, account.replies_version, stamp)


def _clear(secret: Secret | None) -> str:
    return secret.reveal() if secret else ""


def _cipher(secret: Secret | None) -> MessageCipher | None:
    return MessageCipher(secret.reveal()) if secret else None
