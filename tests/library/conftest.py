"""Storage of the test's own, an account the simulated WeChat knows, and files of every kind."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from library import services
from tests.factories import AT, make_account
from wechat_gateway import tokens

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 40
JPEG = b"\xff\xd8\xff\xe0" + b"\x00" * 40
GIF = b"GIF89a" + b"\x00" * 40
MP3 = b"ID3\x03" + b"\x00" * 40
BARE_MP3 = b"\xff\xfb\x90\x00" + b"\x00" * 40
MP4 = b"\x00\x00\x00\x18ftypmp42" + b"\x00" * 40


def amr(seconds):
    """An AMR recording: 12.2 kbit/s, 50 frames a second."""
    return b"#!AMR\n" + (b"\x3c" + b"\x00" * 31) * int(seconds * 50)


@pytest.fixture(autouse=True)
def _own_storage(settings, tmp_path):
    tokens.forget_cached()
    settings.STORAGES = {
        **settings.STORAGES,
        "private": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": str(tmp_path), "base_url": None},
        },
    }
    yield
    tokens.forget_cached()


@pytest.fixture
def account(in_brand):
    return make_account()


@pytest.fixture
def wechat(simulator, account):
    """The account as the simulated WeChat knows it; `now` is the moment there."""
    simulator.know(account)

    def now():
        return datetime.fromtimestamp(simulator.get("/_sim/clock")["now"], UTC)

    return SimpleNamespace(simulator=simulator, account=account, now=now)


def add(in_brand, body=PNG, name="门口", **more):
    return services.add_media(name=name, body=body, at=AT, brand_id=in_brand.pk, **more)
