"""A TCP proxy that does on purpose what networks do: between the product and PostgreSQL, Valkey, WeChat.

Every fault ("toxic") has a name, a kind and, where chance is involved, a random source of its own made of the proxy's
seed and that name, so that a run can be repeated. What each did is in the log.

`Proxy` is for use inside an event loop. `python -m tests.chaos.proxy --control PORT --link sim=LISTEN:UPSTREAM` runs
one as a process; `Remote` steers it with one JSON object a line over the control port.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import socket
import struct
import sys
import time
from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass, field

HOST = "127.0.0.1"
CHUNK = 65_536
MOST_LOGGED = 20_000
_SSL_REQUEST, _GSS_REQUEST = 80_877_103, 80_877_104

KINDS = {
    "latency": "delay what passes: ms, jitter_ms; direction: up, down or both (default down)",
    "bandwidth": "pass at most `rate` bytes a second",
    "slicer": "pass pieces of `size` bytes with `ms` between them",
    "stop_after": "pass `bytes` bytes of a connection's answers, then nothing any more",
    "reset_before": "reset the connection when a request comes in, before anything is passed on",
    "reset_after": "pass the request on, reset the connection when its answer comes",
    "half_open": "accept new connections and never answer; old ones fall silent",
    "down": "refuse: the listener is closed, every connection is reset",
    "cut_after_commit": "PostgreSQL: pass COMMIT on, reset the connection when its answer comes",
    "cut_after_query": "PostgreSQL: the same for simple queries that begin with `text`",
}


@dataclass
class Toxic:
    """One fault of one link. `probability` is per connection, request or answer, as the kind has it."""

    kind: str
    name: str
    seed: str = ""
    probability: float = 1.0
    count: int | None = None  # so often at most
    options: dict = field(default_factory=dict)
    hits: int = 0

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind {self.kind!r}; there are: {', '.join(KINDS)}")
        self.random = random.Random(f"{self.seed}/{self.name}")

    def strikes(self):
        """Throw the dice for one occasion; count it when it hits."""
        if self.count is not None and self.hits >= self.count:
            return False
        if self.probability < 1.0 and self.random.random() >= self.probability:
            return False
        self.hits += 1
        return True

    def get(self, name, default=0.0):
        return self.options.get(name, default)

    def delay(self):
        return max(0.0, self.get("ms") + self.random.uniform(-1, 1) * self.get("jitter_ms")) / 1000

    def applies(self, direction):
        wanted = self.get("direction", "down")
        return wanted in (direction, "both")


class Frames:
    """Reads a client's PostgreSQL stream as far as needed to see simple queries; gives those that are complete."""

    def __init__(self):
        self._buffer = bytearray()
        self._begun = False
        self.lost = False  # encrypted or not PostgreSQL: nothing can be seen

    def feed(self, data):
        if self.lost:
            return []
        self._buffer += data
        queries = []
        while True:
            head = 5 if self._begun else 4
            if len(self._buffer) < head:
                return queries
            (length,) = struct.unpack_from("!i", self._buffer, head - 4)
            size = length + head - 4
            if length < 4 or (not self._begun and length > 10_000):
                self.lost = True
                return queries
            if len(self._buffer) < size:
                return queries
            message = bytes(self._buffer[:size])
            del self._buffer[:size]
            if not self._begun:
                (code,) = struct.unpack_from("!i", message, 4)
                self._begun = code not in (_SSL_REQUEST, _GSS_REQUEST)
            elif message[:1] == b"Q":
                queries.append(message[5:-1])


class Connection:
    """One client, one connection to the server behind, a task for each direction."""

    def __init__(self, link, client_reader, client_writer):
        self.link = link
        self.client = (client_reader, client_writer)
        self.server = None
        self.passed = 0  # bytes of answers
        self.silent = False
        self.cut_next_answer = None
        self.frames = Frames()
        self.tasks = []

    async def run(self):
        link = self.link
        if link.hit("half_open"):
            self.silent = True
        if not self.silent:
            try:
                self.server = await asyncio.open_connection(HOST, link.upstream)
            except OSError:
                self.reset("the server refuses")
                return
        self.tasks = [asyncio.current_task(), asyncio.ensure_future(self._pump("up"))]
        down = asyncio.ensure_future(self._pump("down")) if self.server else None
        if down:
            self.tasks.append(down)
        try:
            await asyncio.gather(*self.tasks[1:])
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self.close()

    async def _pump(self, direction):
        reader = self.client[0] if direction == "up" else self.server[0]
        queue = asyncio.Queue(64)
        sender = asyncio.ensure_future(self._send(direction, queue))
        self.tasks.append(sender)
        last = 0.0
        loop = asyncio.get_running_loop()
        while True:
            try:
                data = await reader.read(CHUNK)
            except OSError:
                data = b""
            if self.silent:
                if not data:
                    break
                continue
            if data and not self._passes(direction, data):
                return
            due = 0.0
            for toxic in self.link.of("latency"):
                if data and toxic.applies(direction) and toxic.strikes():
                    due = loop.time() + toxic.delay()
            last = max(last, due)  # bytes never overtake each other
            await queue.put((last, data))
            if not data:
                await sender
                break

    def _passes(self, direction, data):
        """Judge a piece; False when the connection has been reset over it."""
        link = self.link
        if direction == "up":
            if link.hit("reset_before"):
                self.reset("reset_before")
                return False
            for query in self.frames.feed(data):
                self._watch(query)
            return True
        cut = self.cut_next_answer
        if cut is not None:
            link.note(cut, "answer cut")
            self.reset(cut.kind)
            return False
        toxic = link.hit("reset_after")
        if toxic:
            self.reset("reset_after")
            return False
        return True

    def _watch(self, query):
        text = query.strip().rstrip(b";").upper()
        for toxic in (*self.link.of("cut_after_commit"), *self.link.of("cut_after_query")):
            wanted = b"COMMIT" if toxic.kind == "cut_after_commit" else str(toxic.get("text", "")).upper().encode()
            same = text == wanted if toxic.kind == "cut_after_commit" else text.startswith(wanted)
            if same and toxic.strikes():
                self.cut_next_answer = toxic

    async def _send(self, direction, queue):
        stream = self.server if direction == "up" else self.client
        if stream is None:
            return  # half open: nobody is there
        writer = stream[1]
        loop = asyncio.get_running_loop()
        while True:
            due, data = await queue.get()
            wait = due - loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
            try:
                if not data:
                    writer.write_eof()
                    return
                await self._write(direction, writer, data)
            except (OSError, RuntimeError):
                self.reset("")
                return

    async def _write(self, direction, writer, data):
        if self.silent:
            return
        link = self.link
        for toxic in link.of("stop_after") if direction == "down" else ():
            left = int(toxic.get("bytes")) - self.passed
            if left < len(data):
                link.note(toxic, "fell silent")
                toxic.hits += 1
                data, self.silent = data[: max(0, left)], True
        pieces, pause = [data], 0.0
        for toxic in link.of("slicer"):
            if toxic.applies(direction):
                size = max(1, int(toxic.get("size", 1)))
                pieces, pause = [data[at : at + size] for at in range(0, len(data), size)], toxic.get("ms") / 1000
                toxic.hits += 1
        rate = min((float(toxic.get("rate", 1e9)) for toxic in link.of("bandwidth")), default=0.0)
        if rate and pause == 0.0:
            step = max(1, int(rate / 20))
            pieces = [data[at : at + step] for at in range(0, len(data), step)]
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            if direction == "down":
                self.passed += len(piece)
            if pause or rate:
                await asyncio.sleep(max(pause, len(piece) / rate if rate else 0.0))

    def reset(self, _why):
        """End both sides with a TCP reset."""
        for stream in (self.client, self.server):
            if stream is None:
                continue
            sock = stream[1].get_extra_info("socket")
            if sock is not None:
                with suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            with suppress(RuntimeError):
                stream[1].transport.abort()
        self._end_tasks()

    def close(self):
        for stream in (self.client, self.server):
            if stream is not None:
                with suppress(RuntimeError, OSError):
                    stream[1].close()
        self._end_tasks()

    def _end_tasks(self):
        here = asyncio.current_task()
        for task in self.tasks:
            if task is not here and not task.done():
                task.cancel()
        self.link.connections.discard(self)


class Link:
    """One listening port and the port behind it."""

    def __init__(self, proxy, name, listen, upstream):
        self.proxy = proxy
        self.name = name
        self.listen = listen
        self.upstream = upstream
        self.toxics = {}
        self.connections = set()
        self.server = None
        self.accepted = 0

    def of(self, kind):
        return [toxic for toxic in self.toxics.values() if toxic.kind == kind]

    def hit(self, kind):
        """Give the first fault of a kind that strikes now, and log it."""
        for toxic in self.of(kind):
            if toxic.strikes():
                self.note(toxic, "struck")
                return toxic
        return None

    def note(self, toxic, what):
        self.proxy.note(self.name, toxic.kind, toxic.name, what)

    async def open(self):
        if self.server is None:
            self.server = await asyncio.start_server(self._client, HOST, self.listen, reuse_address=True)
            self.listen = self.server.sockets[0].getsockname()[1]

    async def _client(self, reader, writer):
        self.accepted += 1
        connection = Connection(self, reader, writer)
        self.connections.add(connection)
        await connection.run()

    def refuse(self):
        if self.server is not None:
            self.server.close()
            self.server = None
        self.reset_all()

    def reset_all(self):
        for connection in list(self.connections):
            connection.reset("")

    async def add(self, toxic):
        self.toxics[toxic.name] = toxic
        self.note(toxic, "added")
        if toxic.kind == "down":
            toxic.hits += 1
            self.refuse()
        elif toxic.kind == "half_open" and toxic.probability >= 1.0:
            for connection in self.connections:
                connection.silent = True
                toxic.hits += 1

    async def remove(self, name):
        toxic = self.toxics.pop(name, None)
        if toxic is None:
            return
        self.note(toxic, "removed")
        if toxic.kind == "down" and not self.of("down"):
            await self.open()
        if toxic.kind == "half_open":
            for connection in list(self.connections):
                if connection.silent:
                    connection.reset("")


class Proxy:
    """Links by name, and the log of what was done to them."""

    def __init__(self, seed="0"):
        self.seed = str(seed)
        self.links = {}
        self.log = deque(maxlen=MOST_LOGGED)
        self.counts = Counter()

    async def link(self, name, upstream, listen=0):
        """Open a link; gives the port it listens on."""
        self.links[name] = made = Link(self, name, listen, upstream)
        await made.open()
        return made.listen

    async def add(self, link, kind, name="", *, probability=1.0, count=None, **options):
        """Add a fault under a name (by default its kind); one of the same name is replaced."""
        toxic = Toxic(kind, name or kind, f"{self.seed}/{link}", probability, count, options)
        await self.links[link].add(toxic)
        return toxic

    async def remove(self, link, name):
        await self.links[link].remove(name)

    async def heal(self):
        """Take every fault away."""
        for link in self.links.values():
            for name in list(link.toxics):
                await link.remove(name)

    def note(self, *what):
        self.counts[f"{what[0]} {what[2]} {what[3]}"] += 1
        self.log.append((round(time.time(), 3), *what))

    async def close(self):
        for link in self.links.values():
            link.refuse()
        await asyncio.sleep(0)

    # --- the control port --------------------------------------------------------------------------------------------

    async def serve_control(self, port):
        server = await asyncio.start_server(self._controlled, HOST, port)
        return server.sockets[0].getsockname()[1]

    async def _controlled(self, reader, writer):
        while line := await reader.readline():
            try:
                answer = await self._command(json.loads(line))
            except (ValueError, KeyError, TypeError, OSError) as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        writer.close()

    async def _command(self, asked):
        do = asked.pop("do")
        if do == "add":
            toxic = await self.add(asked.pop("link"), asked.pop("kind"), asked.pop("name", ""), **asked)
            return {"name": toxic.name, "seed": toxic.seed}
        if do == "remove":
            await self.remove(asked["link"], asked["name"])
            return {}
        if do == "heal":
            await self.heal()
            return {}
        if do == "reset":
            self.links[asked["link"]].reset_all()
            return {}
        if do == "state":
            return {
                "seed": self.seed,
                "counts": dict(self.counts),
                "links": {
                    name: {
                        "listen": link.listen,
                        "upstream": link.upstream,
                        "open": len(link.connections),
                        "accepted": link.accepted,
                        "toxics": {each.name: {"kind": each.kind, "hits": each.hits} for each in link.toxics.values()},
                    }
                    for name, link in self.links.items()
                },
                "log": list(self.log)[-int(asked.get("log", 0)) :] if asked.get("log") else [],
            }
        raise ValueError(f"unknown command {do!r}")


class Remote:
    """Steers a proxy that runs as a process of its own."""

    def __init__(self, port):
        self._socket = socket.create_connection((HOST, port), timeout=20)
        self._file = self._socket.makefile("rwb")

    def _ask(self, **asked):
        self._file.write(json.dumps(asked).encode() + b"\n")
        self._file.flush()
        answer = json.loads(self._file.readline() or b'{"error": "the proxy is gone"}')
        if "error" in answer:
            raise RuntimeError(f"the proxy: {answer['error']}")
        return answer

    def add(self, link, kind, name="", **options):
        return self._ask(do="add", link=link, kind=kind, name=name, **options)

    def remove(self, link, name):
        self._ask(do="remove", link=link, name=name)

    def heal(self):
        self._ask(do="heal")

    def reset(self, link):
        self._ask(do="reset", link=link)

    def state(self, log=0):
        return self._ask(do="state", log=log)

    def hits(self, link, name):
        """How often a fault that is still there has struck."""
        return self.state()["links"][link]["toxics"][name]["hits"]

    def close(self):
        self._file.close()
        self._socket.close()


async def _run(options):
    proxy = Proxy(options.seed)
    for text in options.link:
        name, _, ports = text.partition("=")
        listen, _, upstream = ports.partition(":")
        await proxy.link(name, int(upstream), int(listen))
    await proxy.serve_control(options.control)
    print("ready", flush=True)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()
    await proxy.close()


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.proxy", description=__doc__)
    parser.add_argument("--control", type=int, required=True, help="port for commands")
    parser.add_argument("--seed", default="0")
    parser.add_argument("--link", action="append", default=[], metavar="NAME=LISTEN:UPSTREAM")
    options = parser.parse_args(arguments)
    with suppress(ImportError):
        import uvloop

        uvloop.install()
    asyncio.run(_run(options))


if __name__ == "__main__":
    main(sys.argv[1:])
