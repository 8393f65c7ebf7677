"""Requests as somebody of a role, and answers made comparable."""

from __future__ import annotations

import json
import re
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.test import Client
from django.utils import translation

BACKEND = "django.contrib.auth.backends.ModelBackend"
NO_ADDRESS = "<no such address>"
_VOLATILE = (
    (re.compile(r'(csrfmiddlewaretoken" value=|X-CSRFToken": )"\w+"'), r"\1"),
    (re.compile(r'nonce="[^"]+"'), "nonce"),
    (re.compile(r'name="signed_key" value="[^"]+"'), "signed_key"),
    (re.compile(r'name="(s\d+_key)" value="[^"]+"'), r"\1"),  # a new step of a sequence
    (re.compile(r"(open=\d*&amp;v=)[0-9a-f]+"), r"\1"),  # a digest of what is asked, too
    (re.compile(r"编号 [0-9A-F]{8}"), "编号"),
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "<uuid>"),
)
_OWN_HEADERS = {"Expires", "Last-Modified", "X-Request-Id", "Content-Security-Policy", "Set-Cookie", "Content-Length"}


@dataclass(frozen=True)
class Heard:
    """An answer without what differs from request to request."""

    status: int
    headers: tuple[tuple[str, str], ...]
    text: str
    queries: int
    fault: str = field(default="", compare=False)  # the exception behind a status of 500, and the statement it names

    def __str__(self) -> str:
        return f"{self.status} in {self.queries} queries, {len(self.text)} characters"

    def without(self, *keys: object) -> Heard:
        """The answer with keys the caller chose taken out."""
        text, headers = self.text, str(self.headers)
        for key in sorted({str(each) for each in keys}, key=len, reverse=True):
            # Inside an address a key may follow an escaped character: q%3D12.
            pattern = re.compile(rf"(?:(?<![0-9A-Za-z])|(?<=%[0-9A-F][0-9A-F])){re.escape(key)}(?![0-9A-Za-z])")
            text, headers = pattern.sub("#", text), pattern.sub("#", headers)
        return Heard(self.status, ((headers, ""),), text, self.queries)

    def names(self, *marks: str) -> str:
        """The first mark that the answer shows, '' for none."""
        # JSON may be escaped; JavaScript of the page as well.
        seen = f"{self.text} {self.headers}".lower()
        return next((mark for mark in marks if mark.lower() in seen), "")


class Counter:
    """Counts statements that go to PostgreSQL."""

    def __init__(self) -> None:
        self.count = 0
        self.statements: list[str] = []

    @property
    def asked(self) -> int:
        """Statements other than those that begin and end savepoints."""
        return sum(not re.match(r"(SAVEPOINT|RELEASE|ROLLBACK)", each) for each in self.statements)

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        self.count += 1
        self.statements.append(sql)
        return execute(sql, params, many, context)


class Asker:
    """Somebody with a session, a key or a token. Each request starts from the same cookies."""

    def __init__(self, name: str, *, user: Any = None, authorization: str = "") -> None:
        self.name = name
        self._headers = {"authorization": authorization} if authorization else {}
        self._session = ""
        if user is not None:
            client = Client()
            client.force_login(user, backend=BACKEND)
            self._session = client.cookies[settings.SESSION_COOKIE_NAME].value
        self.last: Any = None
        self.statements: list[str] = []
        self.look: Any = None  # called after an answer, before what it has written is undone

    def ask(self, method: str, path: str, data: Any = None, *, keep: bool = False, **more: Any) -> Heard:
        """Send a request; whatever it writes is undone, unless kept."""
        client = Client(raise_request_exception=False)
        if self._session:
            client.cookies = SimpleCookie({settings.SESSION_COOKIE_NAME: self._session})
        counter = Counter()
        with ExitStack() as stack:
            stack.enter_context(translation.override(None))
            if not keep:
                stack.enter_context(transaction.atomic())
            with connection.execute_wrapper(counter):
                answer = self._send(client, method, path, data, more)
            text = _text_of(answer)
            if self.look is not None:
                self.look()
            if not keep:
                transaction.set_rollback(True)
        self.last = answer
        self.statements = counter.statements
        headers = tuple(sorted((key, value) for key, value in answer.headers.items() if key not in _OWN_HEADERS))
        status = answer.status_code
        if status == 301 and answer.headers["Location"].partition("?")[0].endswith(f"{path.partition('?')[0]}/"):
            # Django only knows that the address with a slash would reach the console's page for "no such page".
            status, headers, text = 404, (), NO_ADDRESS
        raised = getattr(answer, "exc_info", None)
        fault = f"{raised[0].__name__}: {raised[1]}"[:200] if raised else ""
        return Heard(status, headers, text, counter.count, fault)

    def _send(self, client: Client, method: str, path: str, data: Any, more: dict[str, Any]) -> Any:
        if path.startswith("/api/") or self._headers:
            body = "" if data is None or method == "GET" else json.dumps(data)
            query = data if method == "GET" else None
            return client.generic(
                method, path, body, content_type="application/json", headers=self._headers, query_params=query, **more
            )
        if method == "GET":
            return client.get(path, data or {}, **more)
        if method == "POST":
            return client.post(path, data or {}, **more)
        return client.generic(method, path, **more)


def _text_of(answer: Any) -> str:
    body = b"".join(answer.streaming_content) if answer.streaming else answer.content
    text = body.decode("utf-8", "replace")
    for pattern, put in _VOLATILE:
        text = pattern.sub(put, text)
    return text
