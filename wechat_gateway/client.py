"""Calls to WeChat on behalf of an app: token, healing, quota, classification; nothing raises for an answer."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias
from urllib.parse import urlencode

import orjson
from django.conf import settings

from accounts.tenancy import brand_scope
from common import clock
from common.failpoints import point
from wechat_gateway import incidents, quotas, tokens, transport
from wechat_gateway.answers import PICTURE, Answer, Outcome, classify
from wechat_gateway.errcodes import Reaction
from wechat_gateway.errors import CallsParked, Disconnected
from wechat_gateway.messages import (
    CUSTOM_SEND,
    SUBSCRIBE_SEND,
    TEMPLATE_SEND,
    Outgoing,
    custom_image,
    custom_mini_program,
    custom_news,
    custom_text,
    subscribe_message,
    template_message,
)
from wechat_gateway.models import MiniProgram, OfficialAccount

__all__ = [  # what others call WeChat with, in one place
    "BATCH_SECONDS",
    "CUSTOM_SEND",
    "ID_FIELDS",
    "MASS_SEND",
    "MASS_SEND_ALL",
    "MINI_CODE",
    "SUBSCRIBE_SEND",
    "TEMPLATE_SEND",
    "App",
    "Outgoing",
    "Portion",
    "call",
    "custom_image",
    "custom_mini_program",
    "custom_news",
    "custom_text",
    "get_templates",
    "send_many",
    "send_stream",
    "subscribe_message",
    "template_message",
]
App: TypeAlias = OfficialAccount | MiniProgram

MASS_SEND: Final = "/cgi-bin/message/mass/send"
MASS_SEND_ALL: Final = "/cgi-bin/message/mass/sendall"
MINI_CODE: Final = "/wxa/getwxacodeunlimit"

# An accepted message has an id; code 0 without one proves nothing (goal R12, OB02).
ID_FIELDS: Final = {
    TEMPLATE_SEND: "msgid",
    MASS_SEND: "msg_id",
    MASS_SEND_ALL: "msg_id",
    MINI_CODE: PICTURE,
}
# Refusals of the app as such: nothing else can succeed before people act.
_APP_WIDE: Final = frozenset(
    {40013, 40125, 40164, 40243, 41002, 41004, 50002, 61003, 61004, 89501, 89503, 89506, 89507}
)
# What tells WeChat's own counts, and sets them back, is asked even when our counts say that nothing is left.
_ALWAYS_ASKED: Final = frozenset({"/cgi-bin/openapi/quota/get", "/cgi-bin/clear_quota"})
_ASKS_AT: Final = 8  # the next portion is asked for when as little waits as this part of what runs at once
_REFRESH_RING_SECONDS: Final = 30.0
BATCH_SECONDS: Final = 60.0

_proven: dict[tuple[int, str], int] = {}
_rung: dict[tuple[int, str], float] = {}
_troubled: dict[tuple[int, str, str], set[str]] = {}  # (brand, appid, path): what of it this process saw refused


def forget_answers() -> None:
    """Drop what this process learned from WeChat's answers; the next call is as careful as the first."""
    _proven.clear()
    _rung.clear()
    _troubled.clear()


@dataclass(frozen=True, slots=True)
class Portion:
    """Messages that may leave now. Both moments are of the monotonic clock.

    What has not begun by `starts_until` comes back as NOT_SENT, what has is waited for until `ends_at`.
    """

    calls: Sequence[Outgoing]
    at: datetime
    starts_until: float
    ends_at: float


def call(
    app: App,
    path: str,
    payload: Mapping[str, Any] | None = None,
    *,
    at: datetime | None = None,
    query: Mapping[str, str] | None = None,
    sends: bool = False,
    once: bool = False,
    raw: tuple[bytes, str] | None = None,
) -> Answer:
    """Make one call: POST with `payload` as JSON (or `raw` as (body, content type)), GET without either.

    `sends` says that doing it twice would be seen by a person: then it is never repeated by itself. `once` says that
    doing it twice leaves two at WeChat: then the transport does not repeat it on a fresh connection either. Never
    raises for an answer: look at `Answer.ok`. A call for which no quota is left is not made: NOT_SENT, cause "QUOTA";
    neither is one of a disconnected app: cause "DISCONNECTED". `at` defaults to now.
    """
    at = at or clock.now()
    answer = Answer(Outcome.NOT_SENT, Reaction.RETRY, cause="NOT_TRIED")
    generation: int | None = None
    for _ in range(2):
        try:
            token = tokens.current(app, at=at) if generation is None else tokens.refused(app, generation, at=at)
        except CallsParked as parked:
            return _parked(app, parked, at)
        _ring_if_due(app, token)
        if generation is None and not granted(app, path, at=at):
            return not_granted(app, path, at=at)
        point("client: before the call")
        answer = classify(
            transport.perform(_request(path, payload, query, raw, token, repeatable=not (sends or once))),
            id_field=ID_FIELDS.get(path, ""),
            sends=sends,
        )
        point("client: answered")
        if answer.reaction is not Reaction.REFRESH_TOKEN:
            _note(app, path, answer, token.generation, at, payload)
            return answer
        generation = token.generation
    return _refused_again(app, generation or 0, answer, at)


def granted(app: App, path: str, *, at: datetime) -> bool:
    """Take one call of a path from its quota: one short statement, whose lock ends with it."""
    if path in _ALWAYS_ASKED:
        return True
    return bool(quotas.take(brand_id=app.brand_id, appid=app.appid, api=path, count=1, at=at))


def not_granted(app: App, path: str, *, at: datetime) -> Answer:
    """The answer of a call that was not granted: the app is disconnected, or no quota is left until `retry_after`."""
    if not tokens.is_connected(app):
        return _parked(app, Disconnected(), at)
    until = quotas.free_at(brand_id=app.brand_id, appid=app.appid, api=path, at=at)
    reaction = Reaction.PARK_UNTIL_RESET if until == quotas.next_reset(at) else Reaction.PAUSE_MINUTE
    wait = max(1, math.ceil((until - at).total_seconds()))
    return Answer(Outcome.NOT_SENT, reaction, cause="QUOTA", retry_after=wait)


def send_many(
    app: App,
    calls: Sequence[Outgoing],
    *,
    concurrency: int,
    at: datetime | None = None,
    deadline: float = BATCH_SECONDS,
    share: float = 1.0,
) -> Iterator[tuple[int, Answer]]:
    """Send a batch, yielding (index into `calls`, answer) as answers come: a stream of one portion."""
    ends_at = time.monotonic() + deadline
    portion = Portion(calls, at or clock.now(), ends_at, ends_at)
    return send_stream(app, [portion], concurrency=concurrency, share=share)


def send_stream(
    app: App, portions: Iterable[Portion], *, concurrency: int, share: float = 1.0
) -> Generator[tuple[int, Answer], None, None]:
    """Send portion after portion, yielding (number of the call, answer); every call taken gets exactly one answer.

    Calls are numbered from 0 in the order of the portions. The next portion is asked for when hardly anything waits any
    more, while earlier calls are under way. Quota is taken for a whole portion first (`share` keeps the rest of it for
    others); what was not granted comes back as NOT_SENT without a call, and so does the rest once WeChat says that
    nothing more can succeed now: then no more is asked for. A caller that stops early leaves the fate of calls under
    way unknown; it closes the stream, which gives back unused quota.
    """
    return _Stream(app, concurrency, share).run(iter(portions))


def get_templates(app: App, *, at: datetime | None = None) -> list[dict[str, Any]]:
    """The account's template messages: [{template_id, title, content, example …}] (5.6). Raises WeChatRefused."""
    answer = call(app, "/cgi-bin/template/get_all_private_template", at=at).require()
    found = answer.data.get("template_list")
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


@dataclass(slots=True)
class _Attempt:
    waiting: _Waiting
    generation: int


@dataclass(slots=True)
class _Waiting:
    index: int
    call: Outgoing
    portion: Portion
    again: bool = False


class _Stream:
    """The state of one `send_stream`."""

    def __init__(self, app: App, concurrency: int, share: float) -> None:
        self._app = app
        self._concurrency = concurrency
        self._share = share
        self._at = clock.now()
        self._portions: Iterator[Portion] = iter(())
        self._numbered = 0
        self._token: tokens.Token | None = None
        self._waiting: deque[_Waiting] = deque()
        self._turned_away: deque[tuple[int, Answer]] = deque()
        self._stopped: Answer | None = None
        self._is_closed = False  # no more portions, or no quota for them
        self._unused: Counter[str] = Counter()
        self._urls: dict[tuple[str, int], str] = {}

    def run(self, portions: Iterator[Portion]) -> Generator[tuple[int, Answer], None, None]:
        """Yield an answer for each call."""
        self._portions = portions
        try:
            while self._stopped is None and self._has_more():
                # Probe a new token with one call: one that is refused then costs one, not as many as run at once.
                proven = self._is_proven()
                yield from self._perform(self._concurrency if proven else 1, most=None if proven else 1)
            while self._waiting:
                waiting = self._waiting.popleft()
                self._unused[waiting.call.path] += 1
                yield waiting.index, self._stopped or Answer(Outcome.NOT_SENT, Reaction.RETRY, cause="DEADLINE")
            yield from self._refusals()
        finally:
            for path, count in self._unused.items():
                quotas.give_back(brand_id=self._app.brand_id, appid=self._app.appid, api=path, count=count, at=self._at)

    def _has_more(self) -> bool:
        """Whether a call waits; asks for portions until one does or there are none left."""
        while not self._waiting and self._ask():
            pass
        return bool(self._waiting)

    def _ask(self) -> bool:
        """Take the next portion, if there is one."""
        portion = None if self._is_closed else next(self._portions, None)
        if portion is None:
            self._is_closed = True
            return False
        self._at = portion.at
        self._admit(portion)
        point("client: quota taken")
        try:
            self._token = tokens.current(self._app, at=self._at)
            _ring_if_due(self._app, self._token)
        except CallsParked as parked:
            self._stopped = _parked(self._app, parked, self._at)
        return True

    def _admit(self, portion: Portion) -> None:
        calls, first = portion.calls, self._numbered
        self._numbered += len(calls)
        by_path: dict[str, list[int]] = {}
        for index, call in enumerate(calls):
            by_path.setdefault(call.path, []).append(index)
        for path, group in by_path.items():
            count = quotas.take(
                brand_id=self._app.brand_id,
                appid=self._app.appid,
                api=path,
                count=len(group),
                at=self._at,
                share=self._share,
            )
            self._waiting.extend(_Waiting(first + index, calls[index], portion) for index in group[:count])
            if count < len(group):
                refused = not_granted(self._app, path, at=self._at)
                self._turned_away.extend((first + index, refused) for index in group[count:])
                self._is_closed = True

    def _refusals(self) -> Iterator[tuple[int, Answer]]:
        while self._turned_away:
            yield self._turned_away.popleft()

    def _is_proven(self) -> bool:
        return self._token is not None and _proven.get((self._app.brand_id, self._app.appid)) == self._token.generation

    def _is_troubled(self, path: str) -> bool:
        return (self._app.brand_id, self._app.appid, path) in _troubled

    def _perform(self, concurrency: int, most: int | None = None) -> Iterator[tuple[int, Answer]]:
        for exchange in transport.perform_many(self._outgoing(concurrency, most), concurrency=concurrency):
            attempt: _Attempt = exchange.request.tag
            path = attempt.waiting.call.path
            answer = classify(exchange, id_field=ID_FIELDS.get(path, ""), sends=True)
            if answer.reaction is Reaction.REFRESH_TOKEN:
                healed = self._heal(attempt, answer)
                if healed is None:
                    attempt.waiting.again = True
                    self._waiting.append(attempt.waiting)
                    continue
                answer = healed
            elif not (answer.ok and self._is_proven() and not self._is_troubled(path)):
                _note(self._app, path, answer, attempt.generation, self._at, attempt.waiting.call.body)
                self._stop_if_hopeless(answer)
            yield attempt.waiting.index, answer

    def _outgoing(self, concurrency: int, most: int | None) -> Iterator[transport.HttpRequest]:
        """Requests as they can start; ends when nothing more may, or when a new token has to be tried first."""
        started = 0
        while started != most:
            if most is None and not self._is_closed and len(self._waiting) <= concurrency // _ASKS_AT:
                transport.drive()  # what was just started is under way while the portion is fetched
                self._ask()
            if self._stopped is not None or self._token is None or not self._has_more():
                return
            if most is None and not self._is_proven():
                return
            waiting = self._waiting.popleft()
            started += 1
            call = waiting.call
            body = call.body if isinstance(call.body, bytes) else orjson.dumps(call.body)
            generation = self._token.generation
            url = self._urls.get((call.path, generation))
            if url is None:
                url = self._urls[call.path, generation] = _url(call.path, self._token, None)
            portion = waiting.portion
            ends_at = portion.ends_at if time.monotonic() < portion.starts_until else 0.0
            yield transport.HttpRequest(url, body, ends_at=ends_at, tag=_Attempt(waiting, generation))

    def _heal(self, attempt: _Attempt, answer: Answer) -> Answer | None:
        """None: try this call once more with a newer token. Otherwise its answer."""
        try:
            self._token = tokens.refused(self._app, attempt.generation, at=self._at)
        except CallsParked as parked:
            self._stopped = _parked(self._app, parked, self._at)
            return self._stopped
        return answer if attempt.waiting.again else None

    def _stop_if_hopeless(self, answer: Answer) -> None:
        if answer.reaction in (Reaction.PARK_UNTIL_RESET, Reaction.PAUSE_MINUTE) or answer.code in _APP_WIDE:
            self._stopped = Answer(
                Outcome.NOT_SENT, answer.reaction, answer.code, answer.cause, retry_after=answer.retry_after
            )


def _request(
    path: str,
    payload: Mapping[str, Any] | None,
    query: Mapping[str, str] | None,
    raw: tuple[bytes, str] | None,
    token: tokens.Token,
    *,
    repeatable: bool,
) -> transport.HttpRequest:
    url = _url(path, token, query)
    if raw is not None:
        return transport.HttpRequest(url, raw[0], raw[1], repeatable=repeatable)
    # Raw UTF-8: several endpoints store \uXXXX escapes literally (reference: service account 5).
    body = None if payload is None else orjson.dumps(payload)
    return transport.HttpRequest(url, body, repeatable=repeatable)


def _url(path: str, token: tokens.Token, query: Mapping[str, str] | None) -> str:
    parameters = urlencode({"access_token": token.secret.reveal(), **(query or {})})
    return f"{settings.WECHAT_BASE_URL}{path}?{parameters}"


def _note(
    app: App, path: str, answer: Answer, generation: int, at: datetime, body: Mapping[str, Any] | bytes | None
) -> None:
    """Remember what an answer says about the app as a whole."""
    key = (app.brand_id, app.appid)
    is_first = _proven.get(key) != generation
    if answer.code is not None and answer.code not in _APP_WIDE and _proven.get(key) != generation:
        _proven[key] = generation
        tokens.unpark(app, at=at)  # what was wrong is repaired
    if answer.reaction is Reaction.PARK_UNTIL_RESET:
        quotas.exhausted(brand_id=app.brand_id, appid=app.appid, api=path, at=at)
    elif answer.code in _APP_WIDE:
        tokens.park(app, code=answer.code, at=at)
    _note_incident(app, path, answer, body, at, is_first=is_first)


def _note_incident(
    app: App, path: str, answer: Answer, body: Mapping[str, Any] | bytes | None, at: datetime, *, is_first: bool
) -> None:
    """Open what a refusal says about one path or template, and close it when the same works again.

    A process that saw a refusal looks at every answer for the path; the others at their first one with a new token.
    """
    where = (app.brand_id, app.appid, path)
    refused = answer.code in incidents.PERMISSION_CODES or answer.code in incidents.TEMPLATE_CODES
    if not refused and not (answer.ok and (is_first or where in _troubled)):
        return
    template_id = _template_in(body)
    by_template = answer.code in incidents.TEMPLATE_CODES and template_id
    if refused:
        _troubled.setdefault(where, set()).add(template_id if by_template else path)
    with brand_scope(app.brand_id):
        if refused:
            incidents.open_incident(
                kind=incidents.TEMPLATE if by_template else incidents.PERMISSION,
                appid=app.appid,
                subject=template_id if by_template else path,
                code=answer.code,
                detail=answer.message.partition(" rid:")[0],
                at=at,
            )
            return
        incidents.close_incident(kind=incidents.PERMISSION, appid=app.appid, subject=path, at=at)
        if template_id:
            incidents.close_incident(kind=incidents.TEMPLATE, appid=app.appid, subject=template_id, at=at)
    left = _troubled.pop(where, set()) - {path, template_id}
    if left:
        _troubled[where] = left


def _template_in(body: Mapping[str, Any] | bytes | None) -> str:
    if isinstance(body, bytes):
        body = orjson.loads(body)
    return str(body.get("template_id", "")) if isinstance(body, Mapping) else ""


def _refused_again(app: App, generation: int, answer: Answer, at: datetime) -> Answer:
    """A fresh token was refused, too: leave the app alone for a while."""
    try:
        tokens.refused(app, generation, at=at)
    except CallsParked as parked:
        return _parked(app, parked, at)
    return answer


def _parked(app: App, parked: CallsParked, at: datetime) -> Answer:
    _proven.pop((app.brand_id, app.appid), None)
    wait = 0 if parked.until is None else max(1, math.ceil((parked.until - at).total_seconds()))
    return Answer(
        Outcome.NOT_SENT, Reaction.PARK_BRAND, parked.wechat_code, parked.cause, parked.reason, retry_after=wait
    )


def _ring_if_due(app: App, token: tokens.Token) -> None:
    if not token.refresh_due:
        return
    key = (app.brand_id, app.appid)
    if time.monotonic() - _rung.get(key, -_REFRESH_RING_SECONDS) < _REFRESH_RING_SECONDS:
        return
    _rung[key] = time.monotonic()
    from accounts.tasks_base import ring
    from wechat_gateway.tasks import refresh_token

    ring(refresh_token, app.brand_id, app.appid)
