"""A brand with a connected account, and the gateway as an application without a network."""

import asyncio
import itertools
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from accounts.services import create_brand
from accounts.tenancy import brand_scope
from tests.wechat_gateway import forge
from wechat_gateway import registries, services, tokens

NOW = datetime.fromtimestamp(forge.NOW, UTC)
_numbers = itertools.count(1)


def make_account(slug=None, **changes):
    """A brand and its connected service account, committed or within the test's transaction."""
    number = next(_numbers)
    brand = create_brand(slug=slug or f"brand-{number}", name=f"品牌 {number}")
    with brand_scope(brand.pk):
        return services.connect_official_account(
            **{
                "name": "服务号",
                "appid": forge.APPID,
                "original_id": forge.ORIGINAL_ID,
                "app_secret": "a" * 32,
                "callback_token": forge.TOKEN,
                "encoding_aes_key": forge.AES_KEY,
                "at": NOW,
                **changes,
            },
        )


@pytest.fixture
def account(db):
    return make_account()


@pytest.fixture(autouse=True)
def _fresh_memory():
    tokens.forget_cached()
    yield
    tokens.forget_cached()


@pytest.fixture
def own_registries(monkeypatch):
    """Only what the test registers takes part."""
    monkeypatch.setattr(registries, "_handlers", {})
    monkeypatch.setattr(registries, "_preparations", {})
    monkeypatch.setattr(registries, "_repliers", {})
    monkeypatch.setattr(registries, "_ordered", {})
    for registry in (registries.handlers, registries.preparations, registries.repliers, registries.compilers):
        monkeypatch.setattr(registry, "_entries", {})


class Answered:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    def __eq__(self, other):
        return (self.status, self.headers, self.body) == (other.status, other.headers, other.body)

    def __hash__(self):
        return hash((self.status, tuple(self.headers), self.body))

    def __repr__(self):
        return f"{self.status} {self.headers} {self.body[:80]}"


class Caller:
    """Calls an ASGI application as a server would."""

    def __init__(self, application):
        self.application = application

    async def request(self, method, path, query=b"", body=b"", headers=(), chunks=None, raw_path=None):
        pieces = [body] if chunks is None else list(chunks)
        messages = [
            {"type": "http.request", "body": piece, "more_body": number < len(pieces) - 1}
            for number, piece in enumerate(pieces)
        ]
        received = iter(messages)
        self.taken = 0
        answer = {}

        async def receive():
            self.taken += 1
            found = next(received, None)
            if found is None:
                await asyncio.sleep(3600)
            return found

        async def send(message):
            if message["type"] == "http.response.start":
                answer["status"], answer["headers"] = message["status"], message["headers"]
            else:
                answer["body"] = answer.get("body", b"") + message.get("body", b"")

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": raw_path or path.encode(),
            "query_string": query,
            "headers": [(b"host", b"127.0.0.1"), *headers],
            "client": ("10.0.0.1", 1),
        }
        await self.application(scope, receive, send)
        return Answered(answer["status"], answer["headers"], answer["body"])

    async def push(self, account, message, **how):
        query, body = forge.push(message, **how)
        return await self.request("POST", f"/wx/{account.path_token}", query, body)


@pytest.fixture
def gateway(transactional_db, own_registries, monkeypatch, settings):
    """`async with gateway() as caller:` runs the application at the moment of the test vectors."""
    from common import clock
    from wechat_gateway import asgi

    monkeypatch.setattr(clock, "timestamp", lambda: forge.NOW)

    @asynccontextmanager
    async def start(ring=lambda lanes: None):
        application = asgi.Gateway(ring)
        await application.start()
        deadline = time.monotonic() + 30
        while not application.intake.connected and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        try:
            yield Caller(application)
        finally:
            await application.stop()

    return start


@pytest.fixture
def committed_account(transactional_db):
    return make_account()
