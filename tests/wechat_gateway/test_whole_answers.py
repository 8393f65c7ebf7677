"""An answer leaves the gateway in one write, and what uvicorn sends is otherwise what it sends without us."""

import asyncio
import gc
import weakref

import pytest
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from config.whole_answers import write_answers_whole


class Line(asyncio.Transport):
    """The other side of a connection: what was written, write by write."""

    def __init__(self):
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.writes, self.closed = [], False

    def write(self, data):
        self.writes.append(bytes(data))

    def is_closing(self):
        return self.closed

    def close(self):
        self.closed = True

    def pause_reading(self): ...

    def resume_reading(self): ...

    def set_write_buffer_limits(self, high=None, low=None): ...


async def app(scope, receive, send):
    body = (await receive())["body"]
    if scope["path"] == "/fails":
        raise ValueError
    sized = [] if scope["path"] in ("/parts", "/half") else [(b"content-length", b"%d" % (len(body) + 2))]
    await send({"type": "http.response.start", "status": 200, "headers": sized})
    if scope["path"] == "/half":
        raise ValueError
    await send({"type": "http.response.body", "body": b"a:", "more_body": True})
    await send({"type": "http.response.body", "body": body})


async def whole(scope, receive, send):
    body = (await receive())["body"]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


def written(application, *requests):
    async def talk():
        config = Config(app=application, date_header=False, server_header=False, log_level="critical")
        config.load()
        protocol = HttpToolsProtocol(config=config, server_state=ServerState(), app_state={})
        line = Line()
        protocol.connection_made(line)
        for request in requests:
            protocol.data_received(request)
            for _ in range(5):
                await asyncio.sleep(0)
        protocol.connection_lost(None)
        return line

    return asyncio.run(talk())


def post(path, body=b"hello", *headers):
    lines = [b"POST %s HTTP/1.1" % path, b"host: x", b"content-length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@pytest.fixture
def taught(monkeypatch):
    monkeypatch.setattr(HttpToolsProtocol, "on_headers_complete", HttpToolsProtocol.on_headers_complete)
    write_answers_whole()


REQUESTS = {
    "whole": (whole, [post(b"/")]),
    "two on one line": (whole, [post(b"/", b"one"), post(b"/", b"two")]),
    "two at once": (whole, [post(b"/", b"one") + post(b"/", b"two")]),
    "empty": (whole, [post(b"/", b"")]),
    "parts": (app, [post(b"/parts")]),
    "sized parts": (app, [post(b"/sized")]),
    "fails": (app, [post(b"/fails")]),
    "head": (whole, [b"HEAD / HTTP/1.1\r\nhost: x\r\n\r\n"]),
    "continue": (whole, [post(b"/", b"", b"expect: 100-continue")[:-2].replace(b": 0", b": 5") + b"\r\n", b"hello"]),
    "close": (whole, [post(b"/", b"bye", b"connection: close")]),
    "not http": (whole, [b"nonsense\r\n\r\n"]),
}


@pytest.mark.parametrize("case", REQUESTS)
def test_same_bytes_as_without_us(case, request):
    application, sent = REQUESTS[case]
    plain = written(application, *sent)
    request.getfixturevalue("taught")
    ours = written(application, *sent)

    assert b"".join(ours.writes) == b"".join(plain.writes) != b""
    assert ours.closed == plain.closed
    assert len(ours.writes) <= len(plain.writes)


def test_one_write_an_answer(taught):
    assert len(written(whole, post(b"/")).writes) == 1
    assert len(written(whole, post(b"/", b"one"), post(b"/", b"two")).writes) == 2


def test_client_that_waits_for_leave_gets_it_before_it_sends(taught):
    asked, body = REQUESTS["continue"][1]
    assert written(whole, asked).writes == [b"HTTP/1.1 100 Continue\r\n\r\n"]
    assert b"".join(written(whole, asked, body).writes).endswith(b"hello")


def test_answer_that_breaks_off_ends_the_line(taught):
    assert written(app, post(b"/half")).closed


def test_request_that_was_answered_is_forgotten_without_the_collector(taught):
    """Otherwise the collector takes a sixteenth of the gateway's time, and thousands of requests wait for it."""
    cycles = []

    async def remembers(scope, receive, send):
        cycles.append(weakref.ref(send.__self__))
        await whole(scope, receive, send)

    gc.disable()
    try:
        line = written(remembers, post(b"/", b"one"), post(b"/", b"two"))
    finally:
        gc.enable()

    assert len(line.writes) == len(cycles) == 2
    assert cycles[0]() is None
