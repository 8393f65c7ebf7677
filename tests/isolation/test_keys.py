"""Every key that reaches Redis carries a brand or is on a short list of what belongs to the whole installation."""

import re
import threading

import pytest
import redis
from django.conf import settings
from django.core.cache import cache
from django.test import Client

from accounts.errors import NoBrandInScope
from accounts.tenancy import brand_scope
from tests.isolation.cells import Cells
from tests.isolation.conftest import askers_of
from tests.isolation.matrix import rest, working
from tests.isolation.world import build

# What belongs to the installation, and why. At most twenty; a new one is a decision.
GLOBAL = {
    r"^(inbound|default|send|sync|celery)(\\x06\\x16\d)?$": "queues of the broker: messages carry the brand",
    r"^_kombu\.binding": "the broker's own tables",
    r"^unacked": "messages being worked on",
    r"^zhiyin:inbox:spill$": "pushes while PostgreSQL is away: each carries its brand",
    r"^zhiyin:global:bucket:": "tries to sign in by address, before a brand is known",
    r"^:1:axes-|^axes-": "tries to sign in by address and name, before a brand is known",
    r"^zhiyin:health": "whether Redis takes a write",
}
OF_A_BRAND = re.compile(r"(^|:)b\d+(:|$)|^global:tags:\d+:\d+|:global:tags:\d+:\d+")
LINE = re.compile(r"[\d.]+ \[(\d+) ")
WORD = re.compile(r'"((?:[^"\\]|\\.)*)"')
KEYS_OF = {"EVALSHA": 2, "EVAL": 2}
NO_KEY = {"HELLO", "CLIENT", "SELECT", "PING", "MONITOR", "INFO", "SCRIPT", "SUBSCRIBE", "MULTI", "EXEC", "AUTH", "SCAN",
          "CONFIG", "COMMAND", "DBSIZE", "FLUSHDB", "PUBLISH", "UNWATCH"}  # fmt: skip


def strangers(seen):
    """Keys that carry no brand and are not declared."""
    return sorted(
        key for key in seen if not OF_A_BRAND.search(key) and not any(re.search(each, key) for each in GLOBAL)
    )


class Watch:
    """Notes every key that any client names, with MONITOR, in the databases of this test process."""

    def __init__(self):
        self.keys = set()
        self._client = redis.Redis.from_url(settings.REDIS_URL, decode_responses=True, encoding_errors="replace")
        first = self._client.connection_pool.connection_kwargs.get("db") or 0
        self._databases = {first, first + 1}
        self._monitor = self._client.connection_pool.get_connection()

    def __enter__(self):
        self._monitor.send_command("MONITOR")
        self._monitor.read_response()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        return self

    def _listen(self):
        while True:
            line = str(self._monitor.read_response())
            place = LINE.match(line)
            words = WORD.findall(line)
            if place is None or int(place[1]) not in self._databases or not words or words[0].upper() in NO_KEY:
                continue
            if words[1:2] == ["end-of-watch"]:
                return
            self._note(words)

    def _note(self, words):
        place = KEYS_OF.get(words[0].upper())
        if place is not None:
            count = int(words[place])
            self.keys.update(words[place + 1 : place + 1 + count])
        elif words[0].upper() == "BRPOP":
            self.keys.update(words[1:-1])
        elif len(words) > 1:
            self.keys.add(words[1])

    def __exit__(self, *_):
        self._client.get("end-of-watch")
        self._thread.join(10)
        self._monitor.disconnect()
        self._client.close()


@pytest.mark.django_db
@pytest.mark.timeout(300)
@pytest.mark.long(15)
def test_every_key_carries_its_brand_or_is_declared(client, monkeypatch):
    cells = Cells("keys in Redis")
    world = build()
    askers = askers_of(world)
    from types import SimpleNamespace

    matrix = SimpleNamespace(world=world, askers=askers, layer="real")
    with Watch() as watch:
        rest.paths(matrix, Cells("x"), only="api/v1/m")
        askers["nobody"].ask("POST", "/api/v1/session/", {"appid": "wxffffffffffffffff", "code": "x"})
        Client().post("/login/", {"username": "owner-a", "password": "wrong"})
        for path in ("/healthz", "/readyz", "/brands/"):
            askers["owner"].ask("GET", path)
        working.tasks(matrix, Cells("x"), only="sync_account_tags")
        with brand_scope(world.a.brand.pk):
            cache.set("probe", 1)
        task = working.surfaces.tasks()["campaigns.tasks.settle_results"]
        task.apply_async((world.a.brand.pk,))
    unknown = strangers(watch.keys)
    for key in sorted(watch.keys):
        cells.expect(key not in unknown, "key", key)
    assert any(OF_A_BRAND.search(key) for key in watch.keys), watch.keys
    assert any(key.startswith("zhiyin:global:bucket") for key in watch.keys), watch.keys
    assert "send" in watch.keys
    assert len(GLOBAL) <= 20
    cells.facts["keys"] = len(watch.keys)
    cells.close()


@pytest.mark.django_db
def test_cache_without_a_brand_raises(brand):
    with pytest.raises(NoBrandInScope):
        cache.set("figures", 1)
    with pytest.raises(NoBrandInScope):
        cache.get("figures")


@pytest.mark.django_db
def test_same_key_of_two_brands_is_two_entries(brand, other_brand):
    with brand_scope(brand.pk):
        cache.set("figures", "ours")
    with brand_scope(other_brand.pk):
        assert cache.get("figures") is None
        cache.set("figures", "theirs")
    with brand_scope(brand.pk):
        assert cache.get("figures") == "ours"
        cache.delete("figures")
