"""The HTTP client against servers that misbehave: bounded, and honest about what had left."""

import itertools
import json
import socket
import ssl
import struct
import threading
import time

import pytest

from launcher.ports import free_numbers
from wechat_gateway import curl
from wechat_gateway.curl import MAX_BODY, Transport
from wechat_gateway.transport import HttpRequest

OK = b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"errcode":0}'


@pytest.fixture
def transport():
    found = Transport()
    yield found
    found.close()


@pytest.fixture
def serve():
    """Start a TCP server that treats each connection with the given function; gives its URL and the request counter."""
    listeners = []

    def start(treat):
        listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        listeners.append(listener)
        stopping = threading.Event()

        def accept():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=_treat, args=(treat, connection, stopping), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/cgi-bin/x?access_token=canary"

    yield start
    for listener in listeners:
        listener.close()


def _treat(treat, connection, stopping):
    with connection:
        try:
            treat(connection)
        except OSError:
            return


def read_request(connection):
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = connection.recv(65536)
        if not chunk:
            return b""
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            while len(body) < int(line.split(b":")[1]):
                body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def test_body_goes_out_as_raw_utf8_and_comes_back(transport, serve):
    seen = []

    def answer(connection):
        seen.append(read_request(connection))
        connection.sendall(OK)

    exchange = transport.perform(HttpRequest(serve(answer), '{"name":"会员"}'.encode()))
    assert (exchange.status, exchange.body, exchange.error, exchange.request_written) == (
        200,
        b'{"errcode":0}',
        "",
        True,
    )
    assert seen[0].endswith('{"name":"会员"}'.encode())
    assert b"Content-Type: application/json; charset=utf-8" in seen[0]
    assert b"Expect" not in seen[0]


def test_connection_refused_means_not_written(transport):
    (port,) = free_numbers(1)
    exchange = transport.perform(HttpRequest(f"http://127.0.0.1:{port}/", b"{}"))
    assert (exchange.error, exchange.request_written) == ("CONNECT", False)


def test_unknown_host_means_not_written(transport):
    exchange = transport.perform(HttpRequest("http://nowhere.invalid/", b"{}"))
    assert (exchange.error, exchange.request_written) == ("DNS", False)


def test_reset_after_the_request_was_read_is_unknown(transport, serve):
    url = serve(lambda connection: (read_request(connection), reset(connection)))
    exchange = transport.perform(HttpRequest(url, b"{}"))
    assert (exchange.error, exchange.request_written) == ("RESET", True)


def test_reset_in_the_middle_of_a_large_request_means_not_written(transport, serve):
    url = serve(lambda connection: (connection.recv(1000), reset(connection)))
    exchange = transport.perform(HttpRequest(url, b"x" * 20_000_000))
    assert (exchange.error, exchange.request_written) == ("RESET", False)


@pytest.mark.parametrize(("repeatable", "expected"), [(False, ("RESET", 2)), (True, ("", 3))])
def test_message_is_never_sent_twice_behind_our_back(transport, serve, repeatable, expected):
    """A kept connection dies under the second request: libcurl would repeat it on a fresh one by itself."""
    requests = itertools.count()
    seen = []

    def answer(connection):
        read_request(connection)
        number = next(requests)
        seen.append(number)
        connection.sendall(OK)
        if number == 0 and read_request(connection):
            seen.append(next(requests))
            reset(connection)

    url = serve(answer)
    assert transport.perform(HttpRequest(url, b"{}", repeatable=repeatable)).status == 200
    exchange = transport.perform(HttpRequest(url, b'{"second":1}', repeatable=repeatable))
    assert (exchange.error, len(seen)) == expected


def test_connection_that_was_silent_for_long_is_not_used_again(serve, monkeypatch):
    """The far end may be closing it right now, and what became of the message then is unknown."""
    monkeypatch.setattr(curl, "_REUSED_SECONDS", 1)
    connections = itertools.count()
    opened = []

    def answer(connection):
        opened.append(next(connections))
        while read_request(connection):
            connection.sendall(OK)

    url = serve(answer)
    transport = Transport()
    for _ in range(2):
        assert transport.perform(HttpRequest(url, b"{}")).status == 200
    assert opened == [0]
    silent = threading.Event()
    silent.wait(2.1)  # libcurl counts whole seconds of its own clock
    assert transport.perform(HttpRequest(url, b"{}")).status == 200
    transport.close()
    assert opened == [0, 1]


def test_silence_ends_at_the_deadline(transport, serve):
    url = serve(lambda connection: (read_request(connection), connection.recv(1)))
    started = time.monotonic()
    exchange = transport.perform(HttpRequest(url, b"{}", total_seconds=0.4))
    assert (exchange.error, exchange.request_written) == ("TIMEOUT", True)
    assert time.monotonic() - started < 10


def test_drip_of_single_bytes_ends_at_the_deadline(transport, serve):
    def drip(connection):
        read_request(connection)
        stop = threading.Event()
        for byte in OK * 100:
            connection.sendall(bytes([byte]))
            stop.wait(0.05)

    exchange = transport.perform(HttpRequest(serve(drip), b"{}", total_seconds=0.5))
    assert (exchange.error, exchange.request_written) == ("TIMEOUT", True)


def test_body_beyond_one_megabyte_is_cut(transport, serve):
    def flood(connection):
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (MAX_BODY + 200_000))

    exchange = transport.perform(HttpRequest(serve(flood), b"{}"))
    assert exchange.error == "TOO_LARGE"
    assert len(exchange.body) <= MAX_BODY


def test_redirect_is_not_followed(transport, serve):
    target = []
    elsewhere = serve(lambda connection: target.append(read_request(connection)))
    moved = f"HTTP/1.1 302 Found\r\nLocation: {elsewhere}\r\nContent-Length: 0\r\n\r\n".encode()
    url = serve(lambda connection: (read_request(connection), connection.sendall(moved)))
    assert transport.perform(HttpRequest(url, b"{}")).status == 302
    assert target == []


def test_cut_answer_is_an_error(transport, serve):
    cut = b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"errcode":0'
    url = serve(lambda connection: (read_request(connection), connection.sendall(cut)))
    assert transport.perform(HttpRequest(url, b"{}")).error == "CUT"


def test_retry_after_is_told(transport, serve):
    slow = b"HTTP/1.1 429 Too Many\r\nRetry-After: 17\r\nContent-Length: 0\r\n\r\n"
    url = serve(lambda connection: (read_request(connection), connection.sendall(slow)))
    exchange = transport.perform(HttpRequest(url, b"{}"))
    assert (exchange.status, exchange.retry_after) == (429, 17)


def test_plain_text_server_under_https_is_a_tls_error(transport, serve):
    url = serve(lambda connection: (connection.recv(100), connection.sendall(OK)))
    exchange = transport.perform(HttpRequest(url.replace("http:", "https:"), b"{}"))
    assert (exchange.error, exchange.request_written) == ("TLS", False)


def test_certificate_nobody_vouches_for_is_refused(transport, serve, tmp_path):
    certificate = _self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    reached = []

    def answer(connection):
        with context.wrap_socket(connection, server_side=True) as inner:
            reached.append(read_request(inner))

    exchange = transport.perform(HttpRequest(serve(answer).replace("http://127.0.0.1", "https://localhost"), b"{}"))
    assert (exchange.error, exchange.request_written) == ("TLS", False)
    assert b"".join(reached) == b""


def _self_signed(folder):
    import datetime as dt

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now).not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    path = folder / "server.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM),
    )
    return path


def keep_alive(connection):
    while read_request(connection):
        connection.sendall(OK)


def test_batch_answers_every_request_once_within_its_concurrency(transport, serve):
    at_once, most, lock = 0, 0, threading.Lock()

    def answer(connection):
        nonlocal at_once, most
        while read_request(connection):
            with lock:
                at_once += 1
                most = max(most, at_once)
            with lock:
                at_once -= 1
            connection.sendall(OK)

    url = serve(answer)
    requests = [HttpRequest(url, b"{}", tag=number) for number in range(300)]
    exchanges = list(transport.perform_many(requests, concurrency=8))
    assert sorted(exchange.request.tag for exchange in exchanges) == list(range(300))
    assert {exchange.status for exchange in exchanges} == {200}
    assert most <= 8


def test_request_inside_a_batch_does_not_disturb_it(transport, serve):
    url = serve(keep_alive)
    outer = []
    for exchange in transport.perform_many((HttpRequest(url, b"{}", tag=n) for n in range(100)), concurrency=10):
        outer.append(exchange.request.tag)
        if exchange.request.tag % 10 == 0:
            assert transport.perform(HttpRequest(url, b"{}", tag="inner")).request.tag == "inner"
    assert sorted(outer) == list(range(100))


def test_deadline_of_a_batch_hands_back_what_never_started(transport, serve):
    url = serve(lambda connection: (read_request(connection), connection.recv(1)))
    requests = [HttpRequest(url, b"{}", tag=number) for number in range(5)]
    exchanges = list(transport.perform_many(requests, concurrency=2, deadline=0.3))
    assert sorted(exchange.error for exchange in exchanges) == ["DEADLINE"] * 3 + ["TIMEOUT"] * 2
    assert [e.request_written for e in exchanges if e.error == "DEADLINE"] == [False] * 3


def test_printed_exchange_shows_no_token(transport, serve):
    exchange = transport.perform(HttpRequest(serve(keep_alive), json.dumps({"secret": "canary"}).encode()))
    assert "canary" not in repr(exchange)
