"""The gateway's own memory of accounts: path token → keys and reply book, never more than about a second old."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, TypeVar

from django.db import DatabaseError, close_old_connections, connection

from accounts.errors import Unsealable
from accounts.tenancy import brand_scope, every_brand
from common.secret import Secret
from wechat_gateway.codec import AccountKeys, MessageCipher, Mode
from wechat_gateway.models import OfficialAccount, Platform
from wechat_gateway.platforms import TESTERS
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


_PLATFORM: Final = "SELECT coalesce(sum(xmin::text::bigint), 0) FROM wechat_gateway_platform"
AUTHORISED: Final = "authorised:"  # before the appid: accounts that came through the platform have one address each


@dataclass(slots=True)
class Entry:
    """One account as the gateway serves it. `book` is None until it has been compiled."""

    keys: AccountKeys
    replies_version: int
    stamp: str
    book: ReplyBook | None = None
    compiled_at: float = 0.0
    complete: bool = False
    since: float = 0.0  # of two brands that authorised one account the later one has it


class Directory:
    """Reads run in one thread of its own; look-ups are plain dictionary reads on the event loop."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._token_of: dict[int, str] = {}
        self._summary: tuple[int, ...] = ()
        self._platform_stamp = -1
        self.platform: AccountKeys | None = None
        self.platform_path = ""
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

    def books(self) -> list[tuple[int, ReplyBook]]:
        """The reply books that were made, each with its brand."""
        return [(entry.keys.brand_id, entry.book) for entry in list(self._entries.values()) if entry.book is not None]

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
            self._load_platform()
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

    def _load_platform(self) -> None:
        """Keep up with the third-party platform; when its keys change, its accounts are read again."""
        with connection.cursor() as cursor:
            cursor.execute(_PLATFORM)
            stamp = int((cursor.fetchone() or (0,))[0])
        if stamp == self._platform_stamp:
            return
        self._platform_stamp = stamp
        platform = Platform.objects.filter(is_active=True).first()
        self.platform = _platform_keys(platform) if platform is not None else None
        self.platform_path = platform.path_token if platform is not None else ""
        for path, entry in list(self._entries.items()):
            if path.startswith(AUTHORISED):
                entry.stamp = ""
        self._summary = ()

    def tester(self, appid: str) -> AccountKeys | None:
        """The keys for one of WeChat's test accounts (reference: 7.7), which are no brand's."""
        original_id = TESTERS.get(appid)
        if original_id is None or self.platform is None:
            return None
        return replace(self.platform, original_id=original_id, account_appid=appid.encode())

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
                self._load_one(account, changed[account.pk])

    def _load_one(self, account: OfficialAccount, stamp: str) -> None:
        path = f"{AUTHORISED}{account.appid}" if account.platform_appid else account.path_token
        old_path = self._token_of.pop(account.pk, None)
        old = self._entries.get(old_path) if old_path else None
        if old is not None and old.keys.account_id != account.pk:
            old = None  # another brand's by now
        if old_path and old is not None:
            self._entries.pop(old_path, None)
        entry = _entry(account, stamp, self.platform) if account.is_active and account.brand.is_active else None
        if entry is None:
            return
        if old is not None:
            entry.book, entry.compiled_at, entry.complete = old.book, old.compiled_at, old.complete
        present = self._entries.get(path)
        if present is None or present.since <= entry.since:
            self._entries[path] = entry
        self._token_of[account.pk] = path

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


def _entry(account: OfficialAccount, stamp: str, platform: AccountKeys | None) -> Entry | None:
    """The entry of an account, None when its secrets are missing or cannot be opened."""
    if account.platform_appid:
        if platform is None or account.revoked_at is not None or account.platform_appid.encode() != platform.appid:
            return None
        keys = replace(
            platform,
            brand_id=account.brand_id,
            account_id=account.pk,
            original_id=account.original_id,
            account_appid=account.appid.encode(),
        )
        since = account.authorized_at.timestamp() if account.authorized_at else 0.0
        return Entry(keys, account.replies_version, stamp, since=since)
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
            previous_token=_clear(account.previous_callback_token).encode(),
            previous_until=account.previous_key_until.timestamp() if account.previous_key_until else 0.0,
        )
    except (Unsealable, ValueError) as error:
        logger.error("account %s cannot receive pushes: %s", account.pk, type(error).__name__)  # noqa: TRY400
        return None
    if not keys.token or (keys.mode is not Mode.PLAIN and keys.cipher is None):
        return None
    return Entry(keys, account.replies_version, stamp)


def _platform_keys(platform: Platform) -> AccountKeys | None:
    try:
        keys = AccountKeys(
            brand_id=0,
            account_id=0,
            appid=platform.appid.encode(),
            original_id="",
            mode=Mode.SAFE,
            token=_clear(platform.callback_token).encode(),
            cipher=_cipher(platform.encoding_aes_key),
            previous_cipher=_cipher(platform.previous_encoding_aes_key),
            previous_token=_clear(platform.previous_callback_token).encode(),
            previous_until=platform.previous_key_until.timestamp() if platform.previous_key_until else 0.0,
        )
    except (Unsealable, ValueError) as error:
        logger.error("the platform cannot receive pushes: %s", type(error).__name__)  # noqa: TRY400
        return None
    return keys if keys.token and keys.cipher is not None else None


def _clear(secret: Secret | None) -> str:
    return secret.reveal() if secret else ""


def _cipher(secret: Secret | None) -> MessageCipher | None:
    return MessageCipher(secret.reveal()) if secret else None
