"""What reaches Redis under which key, while anything runs."""

from __future__ import annotations

import re
import threading

import redis
from django.conf import settings

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
NO_KEY = "no key arguments"
END = "end-of-watch"


def strangers(seen):
    """Keys that carry no brand and are not declared."""
    return sorted(
        key for key in seen if not OF_A_BRAND.search(key) and not any(re.search(each, key) for each in GLOBAL)
    )


class Watch:
    """Notes every key that any client names, with MONITOR, in the databases of this test process.

    Which of a command's words are keys, Redis itself says (COMMAND GETKEYS): a command of another shape is no gap here.
    """

    def __init__(self):
        self.keys = set()
        self._commands, self._end = set(), f"{END}-{id(self)}"
        self._client = redis.Redis.from_url(settings.REDIS_URL, decode_responses=True, encoding_errors="replace")
        first = self._client.connection_pool.connection_kwargs.get("db") or 0
        self._databases = {first, first + 1}
        pool = self._client.connection_pool
        self._monitor = pool.connection_class(**pool.connection_kwargs | {"socket_timeout": None})  # nothing may happen

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
            if place is None or int(place[1]) not in self._databases:
                continue
            words = tuple(WORD.findall(line))
            if words[1:2] == (self._end,):
                return
            if words and words[0].upper() != "COMMAND" and not "".join(words[1:2]).startswith(END):
                self._commands.add(words)

    def seen(self):
        """All keys so far."""
        for words in list(self._commands):
            self._commands.discard(words)
            self.keys.update(self._keys_of(words))
        return self.keys

    def _keys_of(self, words):
        try:
            return self._client.execute_command("COMMAND GETKEYS", *words)
        except redis.ResponseError as error:
            if NO_KEY in str(error).lower():
                return []
            raise

    def __exit__(self, *_):
        self._client.get(self._end)
        self._thread.join(30)
        self.seen()
        self._monitor.disconnect()
        self._client.close()
