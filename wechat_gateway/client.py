"""Calls to WeChat on behalf of an app: token, healing, quota and classification; nothing raises for what WeChat says."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeAlias
from urllib.parse import urlencode

import orjson
from django.conf import settings

from wechat_gateway import quotas, tokens, transport
from wechat_gateway.answers import Answer, Outcome, classify
from wechat_gateway.errcodes import Reaction
from wechat_gateway.errors import CallsParked
from wechat_gateway.models import MiniProgram, OfficialAccount

App: TypeAlias = OfficialAccount | MiniProgram

# An accepted message has an id; code 0 without one proves nothing (goal R12, OB02).
ID_FIELDS: Final = {
    "/cgi-bin/message/template/send": "msgid",
    "/cgi-bin/message/mass/send": "msg_id",
    "/cgi-bin/message/mass/sendall": "msg_id",
}
# Refusals of the app as such: nothing else can succeed before people act.
_APP_WIDE: Final = frozenset(
    {40013, 40125, 40164, 40243, 41002, 41004, 50002, 61003, 61004, 61007, 89501, 89503, 89506, 89507}
)
_REFRESH_RING_SECONDS: Final = 30.0
_BATCH_SECONDS: Final = 60.0

_proven: dict[tuple[int, str], int] = {}
_rung: dict[tuple[int, str], float] = {}


@dataclass(frozen=True, slots=True)
class SendRequest:
    """One message: the API path, its JSON body, and whatever the caller wants back with the answer."""

    path: str
    body: Mapping[str, Any] | bytes = field(repr=False)
    tag: Any = None


def call(
    app: App,
    path: str,
    payload: Mapping[str, Any] | None = None,
    *,
    at: datetime,
    query: Mapping[str, str] | None = None,
    sends: bool = False,
    raw: tuple[bytes, str] | None = None,
) -> Answer:
    """Make one call: POST with `payload` as JSON (or `raw` as (body, content type)), GET without either.

    `sends` says that doing it twice would be seen by a person: then it is never repeated by itself. Never raises for
    an answer: look at `Answer.ok`.
    """
    answer = Answer(Outcome.NOT_SENT, Reaction.RETRY, cause="NOT_TRIED")
    generation: int | None = None
    for _ in range(2):
        try:
            token = tokens.current(app, at=at) if generation is None else tokens.refused(app, generation, at=at)
        except CallsParked as parked:
            return _parked(parked)
        _ring_if_due(app, token)
        answer = classify(
            transport.perform(_request(path, payload, query, raw, token, sends=sends)),
            id_field=ID_FIELDS.get(path, ""),
            sends=sends,
        )
        if answer.reaction is not Reaction.REFRESH_TOKEN:
            _note(app, path, answer, token.generation, at)
            return answer
        generation = token.generation
    return _refused_again(app, generation or 0, answer, at)


def send_many(
    app: App,
    requests: Sequence[SendRequest],
    *,
    at: datetime,
    concurrency: int,
    deadline: float = _BATCH_SECONDS,
    share: float = 1.0,
) -> Iterator[tuple[SendRequest, Answer]]:
    """Send a batch, yielding (request, answer) as answers come; every request gets exactly one answer.

    Quota is taken for the whole batch first; what was not granted comes back as NOT_SENT without a call, and so does
    the rest once WeChat says that nothing more can succeed now. `deadline` is in seconds for the whole batch. A caller
    that stops early leaves the fate of requests under way unknown.
    """
    return _Batch(app, at, concurrency, deadline, share).run(requests)


@dataclass(slots=True)
class _Attempt:
    request: SendRequest
    generation: int
    again: bool


class _Batch:
    """The state of one `send_many`."""

    def __init__(self, app: App, at: datetime, concurrency: int, deadline: float, share: float) -> None:
        self._app = app
        self._at = at
        self._concurrency = concurrency
        self._ends_at = time.monotonic() + deadline
        self._share = share
        self._token: tokens.Token | None = None
        self._waiting: deque[tuple[SendRequest, bool]] = deque()
        self._stopped: Answer | None = None
        self._unused: dict[str, int] = {}

    def run(self, requests: Sequence[SendRequest]) -> Iterator[tuple[SendRequest, Answer]]:
        yield from self._admit(requests)
        try:
            self._token = tokens.current(self._app, at=self._at)
            _ring_if_due(self._app, self._token)
        except CallsParked as parked:
            self._stopped = _parked(parked)
        try:
            if self._waiting and self._stopped is None and not self._is_proven():
                # One probe: a token that is refused costs one call, not as many as run at once.
                yield from self._perform(1, most=1)
            while self._waiting and self._stopped is None:
                yield from self._perform(self._concurrency)
            while self._waiting:
                request, _ = self._waiting.popleft()
                self._unused[request.path] = self._unused.get(request.path, 0) + 1
                yield request, self._stopped or Answer(Outcome.NOT_SENT, Reaction.RETRY, cause="DEADLINE")
        finally:
            for path, count in self._unused.items():
                quotas.give_back(
                    brand_id=self._app.brand_id,
                    appid=self._app.appid,
                    api=path,
                    count=count,
                    at=self._at,
                )

    def _admit(self, requests: Sequence[SendRequest]) -> Iterator[tuple[SendRequest, Answer]]:
        by_path: dict[str, list[SendRequest]] = {}
        for request in requests:
            by_path.setdefault(request.path, []).append(request)
        for path, group in by_path.items():
            granted = quotas.take(
                brand_id=self._app.brand_id,
                appid=self._app.appid,
                api=path,
                count=len(group),
                at=self._at,
                share=self._share,
            )
            self._waiting.extend((request, False) for request in group[:granted])
            for request in group[granted:]:
                yield request, Answer(Outcome.NOT_SENT, Reaction.PARK_UNTIL_RESET, cause="QUOTA")

    def _is_proven(self) -> bool:
        return self._token is not None and _proven.get((self._app.brand_id, self._app.appid)) == self._token.generation

    def _perform(self, concurrency: int, most: int | None = None) -> Iterator[tuple[SendRequest, Answer]]:
        exchanges = transport.perform_many(
            self._outgoing(most),
            concurrency=concurrency,
            deadline=max(0.0, self._ends_at - time.monotonic()),
        )
        for exchange in exchanges:
            attempt: _Attempt = exchange.request.tag
            request = attempt.request
            answer = classify(exchange, id_field=ID_FIELDS.get(request.path, ""), sends=True)
            if answer.reaction is Reaction.REFRESH_TOKEN:
                again = self._heal(attempt, answer)
                if again is None:
                    self._waiting.append((request, True))
                    continue
                answer = again
            else:
                _note(self._app, request.path, answer, attempt.generation, self._at)
                self._stop_if_hopeless(answer)
            yield request, answer

    def _outgoing(self, most: int | None) -> Iterator[transport.HttpRequest]:
        """Requests as they can start; ends when the batch has been stopped."""
        started = 0
        while self._waiting and self._stopped is None and self._token is not None and started != most:
            request, again = self._waiting.popleft()
            started += 1
            body = request.body if isinstance(request.body, bytes) else orjson.dumps(request.body)
            yield transport.HttpRequest(
                _url(request.path, self._token, None),
                body,
                tag=_Attempt(request, self._token.generation, again),
            )

    def _heal(self, attempt: _Attempt, answer: Answer) -> Answer | None:
        """None: try this request once more with a newer token. Otherwise its answer."""
        try:
            self._token = tokens.refused(self._app, attempt.generation, at=self._at)
        except CallsParked as parked:
            self._stopped = _parked(parked)
            return self._stopped
        return answer if attempt.again else None

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
    sends: bool,
) -> transport.HttpRequest:
    url = _url(path, token, query)
    if raw is not None:
        return transport.HttpRequest(url, raw[0], raw[1], repeatable=not sends)
    # Raw UTF-8: several endpoints store \uXXXX escapes literally (reference: service account 5).
    body = None if payload is None else orjson.dumps(payload)
    return transport.HttpRequest(url, body, repeatable=not sends)


def _url(path: str, token: tokens.Token, query: Mapping[str, str] | None) -> str:
    parameters = urlencode({"access_token": token.secret.reveal(), **(query or {})})
    return f"{settings.WECHAT_BASE_URL}{path}?{parameters}"


def _note(app: App, path: str, answer: Answer, generation: int, at: datetime) -> None:
    """Remember what an answer says about the app as a whole."""
    if answer.code is not None:
        _proven[app.brand_id, app.appid] = generation
    if answer.reaction is Reaction.PARK_UNTIL_RESET:
        quotas.exhausted(brand_id=app.brand_id, appid=app.appid, api=path, at=at)
    elif answer.code in _APP_WIDE:
        tokens.park(app, code=answer.code, at=at)


def _refused_again(app: App, generation: int, answer: Answer, at: datetime) -> Answer:
    """A fresh token was refused, too: leave the app alone for a while."""
    try:
        tokens.refused(app, generation, at=at)
    except CallsParked as parked:
        return _parked(parked)
    return answer


def _parked(parked: CallsParked) -> Answer:
    return Answer(Outcome.NOT_SENT, Reaction.PARK_BRAND, parked.wechat_code, "PARKED", parked.reason)


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
