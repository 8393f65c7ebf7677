"""What the hostile tests start from: brands with keys of their own, and the gateway as an application or a process."""

import asyncio
import time
from contextlib import asynccontextmanager

import pytest

from common import clock
from tests.hostile.forgery import Addressed
from tests.wechat_gateway import forge
from tests.wechat_gateway.conftest import _fresh_memory, make_account, own_registries  # noqa: F401 - fixtures
from wechat_gateway import asgi


@pytest.fixture
def at(monkeypatch):
    """Sets what the gateway takes for now, in seconds after the moment of the test vectors."""
    now = [forge.NOW]
    monkeypatch.setattr(clock, "timestamp", lambda: now[0])

    def to(seconds):
        now[0] = forge.NOW + seconds

    return to


@asynccontextmanager
async def running():
    """The gateway's application, called without a network."""
    application = asgi.Gateway(lambda *_: None)
    await application.start()
    deadline = time.monotonic() + 30
    while not application.intake.connected and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    try:
        yield Addressed(application)
    finally:
        await application.stop()


@pytest.fixture
def brands(transactional_db):
    """Two brands in safe mode and one that allows both, each with keys of its own."""
    b = {"appid": "wxaaaaaaaaaaaaaaaa", "original_id": "gh_other0000000", "callback_token": "otherToken"}
    c = {"appid": "wxcccccccccccccccc", "original_id": "gh_third0000000", "callback_token": "thirdToken"}
    return [
        make_account(),
        make_account(**b, encoding_aes_key="b" * 42 + "A"),
        make_account(**c, encoding_aes_key="c" * 42 + "A", mode="COMPATIBLE"),
    ]
