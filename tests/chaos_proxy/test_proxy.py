"""Every fault of the chaos proxy does what its name says, and without one the proxy changes nothing."""

import asyncio
import os
import struct
import subprocess
import sys
import time

import psycopg2
import pytest

from launcher.ports import free_numbers
from tests.chaos.proxy import Frames, Proxy, Remote, Toxic


class Echo:
    """A server that answers each line with `answer` (by default the line itself) and remembers what it got."""

    def __init__(self, answer=None):
        self.answer = answer
        self.got = []

    async def __aenter__(self):
        self.server = await asyncio.start_server(self._client, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self.server.close()

    async def _client(self, reader, writer):
        try:
            while line := await reader.readline():
                self.got.append(line)
                writer.write(self.answer or line)
                await writer.drain()
        except OSError:
            pass
        writer.close()


def through(story, answer=None, seed="7"):
    """Run `story(proxy, port, echo)` with a link named `x` before an echo server."""

    async def play():
        async with Echo(answer) as echo:
            proxy = Proxy(seed)
            port = await proxy.link("x", echo.port)
            try:
                return await asyncio.wait_for(story(proxy, port, echo), 20)
            finally:
                await proxy.close()

    return asyncio.run(play())


async def say(port, line=b"hello\n", size=None):
    """One connection, one line; what came back until `size` bytes or the end. A reset raises."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(line)
        return await reader.readexactly(size or len(line))
    finally:
        writer.close()


def test_without_faults_bytes_pass_unchanged_in_both_directions():
    sent = os.urandom(300_000).replace(b"\n", b"-") + b"\n"

    async def story(proxy, port, echo):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
        writer.write(sent)
        back = bytearray()
        while len(back) < len(sent):
            back += await reader.read(65_536)
        writer.close()
        return bytes(back), await say(port), proxy.counts

    async def play():
        server = await asyncio.start_server(bounce, "127.0.0.1", 0)
        proxy = Proxy()
        port = await proxy.link("x", server.sockets[0].getsockname()[1])
        result = await asyncio.wait_for(story(proxy, port, None), 20)
        await proxy.close()
        server.close()
        return result

    async def bounce(reader, writer):
        while data := await reader.read(10_000):
            writer.write(data)
            await writer.drain()
        writer.close()

    back, line, counts = asyncio.run(play())
    assert back == sent
    assert line == b"hello\n"
    assert not counts


def test_the_end_of_a_request_reaches_the_server_and_its_last_words_the_client():
    async def play():
        async def count(reader, writer):
            data = await reader.read()  # until the client's end
            writer.write(b"%d" % len(data))
            writer.close()

        server = await asyncio.start_server(count, "127.0.0.1", 0)
        proxy = Proxy()
        port = await proxy.link("x", server.sockets[0].getsockname()[1])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"x" * 1000)
        writer.write_eof()
        said = await asyncio.wait_for(reader.read(), 20)
        writer.close()
        await proxy.close()
        server.close()
        return said

    assert asyncio.run(play()) == b"1000"


def test_latency_delays_and_keeps_the_order():
    async def story(proxy, port, echo):
        await proxy.add("x", "latency", ms=60, jitter_ms=50)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        began = time.monotonic()
        for number in range(20):
            writer.write(b"%d\n" % number)
            await writer.drain()
            await asyncio.sleep(0.002)
        lines = [await reader.readline() for _ in range(20)]
        writer.close()
        return time.monotonic() - began, lines, proxy.links["x"].toxics["latency"].hits

    seconds, lines, hits = through(story)
    assert lines == [b"%d\n" % number for number in range(20)]
    assert hits > 1
    assert seconds >= 0.01


@pytest.mark.parametrize(("kind", "options"), [("latency", {"ms": 80}), ("slicer", {"size": 1, "ms": 16})])
def test_an_answer_takes_as_long_as_the_fault_says(kind, options):
    async def story(proxy, port, echo):
        await proxy.add("x", kind, **options)
        began = time.monotonic()
        assert await say(port) == b"hello\n"
        return time.monotonic() - began

    assert through(story) >= 0.08


def test_bandwidth_bounds_what_passes():
    async def story(proxy, port, echo):
        await proxy.add("x", "bandwidth", rate=20_000)
        began = time.monotonic()
        await say(port, b"y" * 3_999 + b"\n")
        return time.monotonic() - began

    assert through(story) >= 0.2


def test_stop_after_passes_so_many_bytes_and_falls_silent():
    async def story(proxy, port, echo):
        await proxy.add("x", "stop_after", bytes=3)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"hello\n")
        first = await reader.readexactly(3)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.2)
        writer.close()
        return first, echo.got

    assert through(story) == (b"hel", [b"hello\n"])


def test_reset_before_keeps_the_request_from_the_server():
    async def story(proxy, port, echo):
        await proxy.add("x", "reset_before", count=1)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await say(port)
        return list(echo.got), await say(port)

    assert through(story) == ([], b"hello\n")


def test_reset_after_lets_the_request_through_and_loses_its_answer():
    async def story(proxy, port, echo):
        await proxy.add("x", "reset_after", count=1)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await say(port)
        return list(echo.got), await say(port), proxy.counts["x reset_after struck"]

    assert through(story) == ([b"hello\n"], b"hello\n", 1)


def test_half_open_accepts_and_never_answers():
    async def story(proxy, port, echo):
        await proxy.add("x", "half_open")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"hello\n")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.2)
        writer.close()
        await proxy.remove("x", "half_open")
        return list(echo.got), await say(port)

    assert through(story) == ([], b"hello\n")


def test_down_refuses_and_resets_until_it_is_taken_away():
    async def story(proxy, port, echo):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"hello\n")
        await reader.readexactly(6)
        await proxy.add("x", "down")
        with pytest.raises(ConnectionError):
            await reader.readexactly(1)
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", port)
        await proxy.heal()
        return await say(port)

    assert through(story) == b"hello\n"


def test_the_same_seed_strikes_the_same_occasions():
    def strikes(seed):
        toxic = Toxic("reset_after", "cut", seed, probability=0.1)
        return [toxic.strikes() for _ in range(500)]

    assert strikes("1/x") == strikes("1/x")
    assert strikes("1/x") != strikes("2/x")
    assert 20 < sum(strikes("1/x")) < 90


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="half_opne"):
        Toxic("half_opne", "x")


def frame(letter, payload):
    return letter + struct.pack("!i", len(payload) + 4) + payload


def test_queries_are_seen_in_any_pieces():
    startup = b"user\0zhiyin_app\0\0"
    stream = (
        struct.pack("!ii", 8, 80_877_103)
        + struct.pack("!ii", len(startup) + 8, 196_608)
        + startup
        + frame(b"p", b"secret\0")
        + frame(b"Q", b"BEGIN\0")
        + frame(b"P", b"\0SELECT 1\0\0\0")
        + frame(b"Q", b"COMMIT\0")
    )
    for size in (1, 3, 7, len(stream)):
        frames = Frames()
        seen = []
        for at in range(0, len(stream), size):
            seen += frames.feed(stream[at : at + size])
        assert seen == [b"BEGIN", b"COMMIT"]


def test_what_is_not_postgresql_is_left_alone():
    frames = Frames()
    assert frames.feed(b"GET / HTTP/1.1\r\n\r\n") == []
    assert frames.lost


@pytest.fixture
def remote_proxy(test_run, django_db_setup):
    """A proxy process before the test run's PostgreSQL, with its control port."""
    from django.conf import settings

    database = settings.DATABASES["owner"]
    listen, control = free_numbers(2)
    process = subprocess.Popen(
        [
            sys.executable, "-m", "tests.chaos.proxy", "--control", str(control), "--seed", "3",
            "--link", f"db={listen}:{database['PORT']}",
        ],
        stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout.readline() == b"ready\n"
    remote = Remote(control)

    def connect():
        return psycopg2.connect(
            host="127.0.0.1", port=listen, user=database["USER"], password=database["PASSWORD"],
            dbname=database["NAME"], connect_timeout=5,
        )  # fmt: skip

    yield remote, connect
    remote.close()
    process.terminate()
    process.wait(10)
    process.stdout.close()


@pytest.mark.stack
def test_a_commit_whose_answer_is_cut_has_happened(transactional_db, remote_proxy):
    remote, connect = remote_proxy
    table = f"chaos_{os.getpid()}"
    plain = connect()
    plain.autocommit = True
    plain.cursor().execute(f"CREATE TABLE {table} (n int)")
    try:
        remote.add("db", "cut_after_commit", count=1)
        doubtful = connect()
        doubtful.cursor().execute(f"INSERT INTO {table} VALUES (1)")
        with pytest.raises(psycopg2.OperationalError):
            doubtful.commit()
        doubtful.close()
        assert remote.hits("db", "cut_after_commit") == 1
        cursor = plain.cursor()
        cursor.execute(f"SELECT n FROM {table}")
        assert cursor.fetchall() == [(1,)]

        remote.heal()
        remote.add("db", "cut_after_query", text=f"insert into {table}", count=1)
        with pytest.raises(psycopg2.OperationalError):
            plain.cursor().execute(f"INSERT INTO {table} VALUES (2)")
        plain.close()
        plain = connect()
        plain.autocommit = True
        cursor = plain.cursor()
        cursor.execute(f"SELECT sum(n) FROM {table}")
        assert cursor.fetchone() == (3,)
        state = remote.state(log=10)
        assert state["counts"]["db cut_after_query answer cut"] == 1
        assert [entry[2] for entry in state["log"]].count("cut_after_commit") >= 2
    finally:
        plain.cursor().execute(f"DROP TABLE {table}")
        plain.close()


@pytest.mark.stack
def test_a_wrong_command_is_answered_and_harms_nothing(remote_proxy):
    remote, connect = remote_proxy
    with pytest.raises(RuntimeError, match="unknown kind"):
        remote.add("db", "gremlins")
    with pytest.raises(RuntimeError, match="KeyError"):
        remote.add("nowhere", "latency")
    connection = connect()
    cursor = connection.cursor()
    cursor.execute("SELECT 1")
    assert cursor.fetchone() == (1,)
    connection.close()
