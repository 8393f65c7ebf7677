"""One access token per app: read from PostgreSQL, refreshed by one holder at a time, healed within bounds."""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections import OrderedDict
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias

import orjson
from django.conf import settings

from common import clock
from common.failpoints import point
from common.secret import Secret
from wechat_gateway import platforms, transport
from wechat_gateway.answers import Answer, Outcome, classify
from wechat_gateway.errcodes import ErrorClass, Reaction, explain
from wechat_gateway.errors import CallsParked, Disconnected, NoPlatform
from wechat_gateway.models import AccessToken, MiniProgram, OfficialAccount
from wechat_gateway.quotas import SHANGHAI
from wechat_gateway.registries import repair_listeners
from wechat_gateway.stores import Busy, TokenStore

logger = logging.getLogger(__name__)

App: TypeAlias = OfficialAccount | MiniProgram

CACHE_SECONDS: Final = 5.0
FETCH_SECONDS: Final = 5.0
LIFE: Final = 7200
_FLIGHT_SECONDS: Final = 30.0  # longer than a refresh takes at worst
SHORTEST_LIFE: Final = 60
REFRESH_AT: Final = 0.8  # of its life: then a task fetches the next one while this one still works
HEAL_EVERY: Final = timedelta(seconds=60)
FORCE_EVERY: Final = timedelta(minutes=10)
FORCED_A_DAY: Final = 15  # WeChat allows 20 and people may need some themselves
_MOST_CACHED: Final = 10_000
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,1024}")
_PARK_BUSY: Final = timedelta(seconds=5)
_PARK_REFUSED: Final = timedelta(seconds=45)  # a try and the sweep before it within a minute of WeChat's repair
_PARK_RETRY: Final = timedelta(seconds=60)
_PARK_SHORT: Final = timedelta(minutes=5)
_PARK_LONG: Final = timedelta(hours=1)
_SHORT_CODES: Final = frozenset({40164, 61004, 89501, 89503, 89506, 89507})
# On the token endpoint 40001 is about the secret, not about a token (reference: service account 5.1).
_WRONG_SECRET: Final = 40001
_NOT_AUTHORISED: Final = 61003


@dataclass(frozen=True, slots=True)
class Token:
    """A usable token with the generation it belongs to."""

    secret: Secret
    generation: int
    expires_at: datetime
    refresh_due: bool


@dataclass(frozen=True, slots=True)
class _Problem:
    """Why there is no token, and how long to leave WeChat alone."""

    code: int | None
    pause: timedelta
    detail: str = ""


_cache: OrderedDict[tuple[int, str], tuple[float, Token]] = OrderedDict()
_flights: dict[tuple[int, str, int | None], Future[Token]] = {}
_store = TokenStore()
os.register_at_fork(after_in_child=_flights.clear)  # whose threads are not there to finish them


def current(app: App, *, at: datetime) -> Token:
    """The app's token; fetches one only when there is none or it has ended. Raises CallsParked.

    Opens its own short brand scope. Other callers in need of the same token wait for the one fetch.
    """
    key = (app.brand_id, app.appid)
    known = _cache.get(key)
    if known is not None and time.monotonic() < known[0] and at < known[1].expires_at:
        return known[1]
    with _store.scope(app.brand_id):
        token = _read(app, at)
    if token is None:
        token = _refresh_together(app, at, None)
    _remember(key, token)
    return token


def refused(app: App, generation: int, *, at: datetime) -> Token:
    """Say that WeChat refused the token of a generation; gives a newer one. Raises CallsParked.

    An older generation than the current one only means "read again". The current one is replaced at most once a
    minute per app, whoever asks; in between calls are parked, so that a refusal that lasts costs next to nothing.
    """
    key = (app.brand_id, app.appid)
    _cache.pop(key, None)
    token = _refresh_together(app, at, generation)
    _remember(key, token)
    return token


def refresh_early(app: App, *, at: datetime) -> None:
    """Fetch the next token while the present one still works. Raises CallsParked."""
    _cache.pop((app.brand_id, app.appid), None)
    _refresh(app, at, stale_generation=None, early=True)


def ask(app: App, *, at: datetime) -> Answer:
    """Ask WeChat whether the app can have a token, and store nothing: what a check of the credentials does."""
    if is_authorised(app):
        try:
            return platforms.call("api_get_authorizer_info", {"authorizer_appid": app.appid}, at=at)
        except CallsParked as parked:
            return Answer(Outcome.NOT_SENT, Reaction.PARK_BRAND, parked.wechat_code, "PARKED")
        except NoPlatform:
            return Answer(Outcome.NOT_SENT, Reaction.PARK_BRAND, _NOT_AUTHORISED)
    return _ask(app, force=False) if app.app_secret else Answer(Outcome.NOT_SENT, Reaction.PARK_BRAND, 41004)


def is_connected(app: App) -> bool:
    """Whether nobody has disconnected the app, as of now."""
    with _store.scope(app.brand_id):
        known = _store.parked(app)
    return known is None or known[3]


def is_authorised(app: App) -> bool:
    """Whether an app has its tokens through the third-party platform."""
    return bool(getattr(app, "platform_appid", ""))


def take_over(app: App, token: str, life: int, *, at: datetime) -> None:
    """Store a token that came with an authorisation; what was parked goes on."""
    if not _TOKEN.fullmatch(token) or life <= 0:
        return
    _cache.pop((app.brand_id, app.appid), None)
    with _store.scope(app.brand_id):
        row = _store.lock(app)
        row.token, row.generation = token, row.generation + 1
        row.fetched_at, row.expires_at = at, at + timedelta(seconds=max(SHORTEST_LIFE, min(LIFE, life)))
        _store.save(row, ["token", "generation", "fetched_at", "expires_at"])
        _store.unpark(app, at)


def forget_cached() -> None:
    """Drop what this process remembers; the next call reads PostgreSQL."""
    _cache.clear()


def park(app: App, *, code: int | None, at: datetime, pause: timedelta = _PARK_RETRY, detail: str = "") -> CallsParked:
    """Stop calls of an app for a while, with the reason people will see; gives the error to raise.

    The reason is a code and WeChat's own words, translated where it is shown (`selectors.parked_explanation`).
    """
    until = at + pause
    text = (detail or (str(explain(code).cause) if code is not None else ""))[:200]
    with _store.scope(app.brand_id):
        _store.park(app, code, text, until, at)
        point("token: parked, not committed")
    _cache.pop((app.brand_id, app.appid), None)
    logger.warning("calls of app %s are parked until %s (code %s)", app.appid, until.isoformat(), code)
    return CallsParked(wechat_code=code, reason=text, until=until)


def unpark(app: App, *, at: datetime) -> None:
    """Let calls go on at once: WeChat has taken one."""
    with _store.scope(app.brand_id):
        _store.unpark(app, at)


def repaired(app: App) -> None:
    """Somebody has mended what was wrong: calls go on at once, what waited for them is rung, a token may be healed."""
    at = clock.now()
    _cache.pop((app.brand_id, app.appid), None)
    with _store.scope(app.brand_id):
        _store.allow_healing(app)  # before the account, as whoever fetches a token locks both
        _store.unpark(app, at)
        for _key, listen in repair_listeners.items():
            listen(appid=app.appid, at=at)


def _remember(key: tuple[int, str], token: Token) -> None:
    _cache[key] = (time.monotonic() + CACHE_SECONDS, token)
    if len(_cache) > _MOST_CACHED:
        _cache.popitem(last=False)


def _read(app: App, at: datetime) -> Token | None:
    """The stored token if it is usable; raises CallsParked while the app is parked or disconnected."""
    _raise_if_parked(app, at)
    return _usable(_store.read(app), at)


def _raise_if_parked(app: App, at: datetime) -> None:
    parked = _store.parked(app)
    if parked is not None and not parked[3]:
        raise Disconnected
    if parked is not None and parked[2] is not None and parked[2] > at:
        raise CallsParked(wechat_code=parked[0], reason=parked[1], until=parked[2])


def _usable(row: AccessToken | None, at: datetime) -> Token | None:
    if row is None or row.expires_at is None or row.fetched_at is None or row.expires_at <= at or not row.token:
        return None
    return Token(row.token, row.generation, row.expires_at, _is_due(row, at))


def _newer(row: AccessToken, at: datetime, stale_generation: int | None) -> Token | None:
    known = _usable(row, at)
    return known if known is not None and known.generation > (stale_generation or 0) else None


def _is_due(row: AccessToken, at: datetime) -> bool:
    if row.expires_at is None or row.fetched_at is None:
        return True
    return at >= row.fetched_at + (row.expires_at - row.fetched_at) * REFRESH_AT


class _PlatformRefused(Exception):
    """WeChat did not take the platform's own token, of this generation."""

    def __init__(self, generation: int) -> None:
        super().__init__(generation)
        self.generation = generation


def _refresh_together(app: App, at: datetime, stale_generation: int | None) -> Token:
    """Ask by one thread of this process; those that need the same meanwhile take what it got. Raises CallsParked."""
    key = (app.brand_id, app.appid, stale_generation)
    own: Future[Token] = Future()
    flight = _flights.setdefault(key, own)
    if flight is not own:
        try:
            return flight.result(_FLIGHT_SECONDS)
        except (CancelledError, TimeoutError):
            return _refresh(app, at, stale_generation=stale_generation)
    try:
        own.set_result(_refresh(app, at, stale_generation=stale_generation))
    except CallsParked as parked:
        own.set_exception(parked)
    finally:
        del _flights[key]
        own.cancel()  # where neither came, each of the others asks for itself
    return own.result()


def _refresh(app: App, at: datetime, *, stale_generation: int | None, early: bool = False) -> Token:
    """Fetch under the row's lock, unless somebody else just has. Raises CallsParked."""
    if not is_authorised(app):
        return _refresh_once(app, at, stale_generation=stale_generation, early=early)
    for _ in range(2):
        _prepare_platform(at)
        try:
            return _refresh_once(app, at, stale_generation=stale_generation, early=early)
        except _PlatformRefused as refused:
            # Out here nobody waits for the app's row meanwhile, and what is written stays when this ends in a park.
            _prepare_platform(at, refused=refused.generation)
    raise CallsParked(wechat_code=None, reason="", until=at + _PARK_BUSY)


def _refresh_once(app: App, at: datetime, *, stale_generation: int | None, early: bool) -> Token:
    try:
        with _store.scope(app.brand_id):
            row = _store.lock(app, enough=None if early else lambda row: _newer(row, at, stale_generation) is not None)
            point("token: locked")
            _raise_if_parked(app, at)  # whoever held the lock may have parked the app
            known = _newer(row, at, stale_generation)
            if known is not None and not (early and known.refresh_due):
                return known
            if stale_generation is not None and row.healed_at is not None and at - row.healed_at < HEAL_EVERY:
                problem = _Problem(_WRONG_SECRET, min(_PARK_REFUSED, row.healed_at + HEAL_EVERY - at))
            else:
                found = _fetch_into(row, app, at, heal=stale_generation is not None)
                if isinstance(found, Token):
                    return found
                problem = found
                if early and known is not None:
                    logger.warning("app %s: no new token yet (%s)", app.appid, problem)
                    return known
    except Busy:
        raise CallsParked(wechat_code=None, reason="", until=at + _PARK_BUSY) from None
    raise park(app, code=problem.code, at=at, pause=problem.pause, detail=problem.detail)


def _fetch_into(row: AccessToken, app: App, at: datetime, *, heal: bool) -> Token | _Problem:
    """Ask WeChat and store what comes."""
    if not is_authorised(app) and not app.app_secret:
        return _Problem(41004, _PARK_LONG)
    old = row.token
    answer = _ask_any(app, at, force=False)
    point("token: answered")
    token, life = _token_in(answer)
    fields = ["healed_at", "forced_at", "forced_count"]
    if heal and token:
        # Only what WeChat has answered counts: after a fetch that failed the next one need not wait for a minute.
        row.healed_at = at
        if old and token == old.reveal():
            # WeChat still hands out the very token it refuses: only a forced refresh helps, and those are few.
            if not _may_force(row, at):
                _store.save(row, fields)
                return _Problem(_WRONG_SECRET, _PARK_REFUSED)
            answer = _ask_any(app, at, force=True)
            token, life = _token_in(answer)
    if not token:
        _store.save(row, fields)
        return _why(answer)
    row.token = token
    row.generation += 1
    row.fetched_at, row.expires_at = at, at + timedelta(seconds=life)
    _store.save(row, ["token", "generation", "fetched_at", "expires_at", *fields])
    renewed = answer.data.get("authorizer_refresh_token")
    if isinstance(renewed, str) and renewed:
        _store.keep_refresh_token(app, renewed)
    _store.unpark(app, at)
    point("token: stored, not committed")
    return Token(Secret(token), row.generation, row.expires_at, refresh_due=False)


def _may_force(row: AccessToken, at: datetime) -> bool:
    if row.forced_at is not None and row.forced_at.astimezone(SHANGHAI).date() != at.astimezone(SHANGHAI).date():
        row.forced_count = 0
    if row.forced_count >= FORCED_A_DAY or (row.forced_at is not None and at - row.forced_at < FORCE_EVERY):
        return False
    row.forced_at = at
    row.forced_count += 1
    return True


def _prepare_platform(at: datetime, *, refused: int | None = None) -> None:
    """Have the platform's own token before the app's row is locked. Raises CallsParked."""
    try:
        platforms.access_token(at=at, refused=refused)
    except NoPlatform:
        raise CallsParked(wechat_code=_NOT_AUTHORISED, reason="", until=at + _PARK_RETRY) from None


def _ask_any(app: App, at: datetime, *, force: bool) -> Answer:
    """Ask with the app's own secret, or with what it authorised the platform to."""
    if not is_authorised(app):
        return _ask(app, force=force)
    refresh_token = _store.refresh_token(app)
    if refresh_token is None:
        return Answer(Outcome.NOT_SENT, Reaction.PARK_BRAND, _NOT_AUTHORISED)
    payload = {"authorizer_appid": app.appid, "authorizer_refresh_token": refresh_token.reveal()}
    answer, generation = platforms.call_once("api_authorizer_token", payload, at=at)
    if answer.reaction is Reaction.REFRESH_TOKEN:
        raise _PlatformRefused(generation)
    return answer


def _ask(app: App, *, force: bool) -> Answer:
    secret = app.app_secret
    body: dict[str, Any] = {
        "grant_type": "client_credential",
        "appid": app.appid,
        "secret": secret.reveal() if secret else "",
        "force_refresh": force,
    }
    exchange = transport.perform(
        transport.HttpRequest(
            f"{settings.WECHAT_BASE_URL}/cgi-bin/stable_token",
            orjson.dumps(body),
            repeatable=not force,
            total_seconds=FETCH_SECONDS,
        ),
    )
    return classify(exchange)


def _token_in(answer: Answer) -> tuple[str, int]:
    """(token, life in seconds), ('', 0) when the answer holds no usable one."""
    token = answer.data.get("access_token") or answer.data.get("authorizer_access_token")
    life = answer.data.get("expires_in")
    if not answer.ok or not isinstance(token, str) or not _TOKEN.fullmatch(token):
        return "", 0
    if type(life) is not int or life <= 0:
        return "", 0
    return token, max(SHORTEST_LIFE, min(LIFE, life))


def _why(answer: Answer) -> _Problem:
    code = answer.code or None
    if code is None:
        return _Problem(None, _PARK_BUSY, answer.cause)
    if code in _SHORT_CODES:
        return _Problem(code, _PARK_SHORT, _first_words(answer))
    error_class = explain(code).error_class
    if code == _WRONG_SECRET or error_class in (ErrorClass.CONFIGURATION, ErrorClass.REQUEST):
        return _Problem(code, _PARK_LONG)
    return _Problem(code, _PARK_BUSY if error_class is ErrorClass.RETRY else _PARK_RETRY)


def _first_words(answer: Answer) -> str:
    """WeChat's own words where they name the address to allow; printable, short, without the request id."""
    return json.dumps(answer.message.partition(" rid:")[0], ensure_ascii=False)[1:-1][:150]
