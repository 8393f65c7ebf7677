"""Addresses that people of a brand type and our servers call (SS): the provider of text messages."""

import socket
import ssl
import threading
from urllib.parse import urlsplit

import pytest

from accounts.tenancy import brand_scope
from common.secret import Secret
from members import services, sms
from members.errors import SmsSettingsInvalid
from tests.factories import AT, make_brand
from tests.wechat_gateway.test_transport import _self_signed, serve  # noqa: F401 - fixture

TEXT = sms.Text("k", Secret("+8613700137000"), Secret("048213"), Secret("048213"))
INSIDE = [
    # SS01, SS02: this machine in every spelling
    *(f"https://{host}/" for host in (
        "127.0.0.1", "localhost", "localhost.", "LOCALHOST", "127.1", "0", "2130706433", "0x7f.1", "0177.0.0.1", "127.000.000.001",
        "[::1]", "[::ffff:127.0.0.1]", "[::]", "[fe80::1%25eth0]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[::7f00:1]", "0.0.0.0",
    )),
    # SS03, SS04: networks nobody outside has, and the clouds' own data about a machine
    *(f"https://{host}/latest/meta-data" for host in (
        "10.0.0.8", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "198.18.0.1", "0.1.2.3", "224.0.0.1", "239.1.2.3",
        "255.255.255.255", "240.0.0.1", "[fc00::1]", "[fd00::1]", "[ff02::1]", "100.100.100.200", "[fd00:ec2::254]",
        "metadata.google.internal", "metadata.tencentyun.com",
    )),
    # SS07: two readings of one address
    "https://good.example@127.0.0.1/", "https://8.8.8.8@127.0.0.1/", "https://8.8.8.8\\@127.0.0.1/", "https://127.0.0.1#@8.8.8.8/",
    "https://127.0.0.1\t/", "https://127.0\n.0.1/", "https://127。0。0。1/", "https://ⓛocalhost/", "https://8.8.8.8 .evil.example/",
    "https:\\\\127.0.0.1/", "https://[::1", "https://", "https:///x",
    # SS08, SS15: other ways of calling
    "http://8.8.8.8/", "file:///etc/passwd", "gopher://8.8.8.8/", "ftp://8.8.8.8/", "dict://8.8.8.8:6379/", "ldap://8.8.8.8/",
    "data:text/plain,x", "jar:https://8.8.8.8!/", "javascript:alert(1)", "", "//8.8.8.8/", "8.8.8.8", "unix:///var/run/docker.sock",
    "http+unix://%2Fvar%2Frun%2Fdocker.sock/", "https+unix://x/",
    # SS09: doors of something else
    *(f"https://8.8.8.8:{port}/" for port in (0, 22, 25, 80, 5432, 6379, 9200, 65536, "x", -1)),
    # SS10: ourselves
    "https://zhiyin.example/wx/token", "https://ZHIYIN.example./api/v1/",
]  # fmt: skip
OUTSIDE = ["https://8.8.8.8/", "https://8.8.8.8:8443/send?x=1", "https://[2400:3200::1]/"]


@pytest.fixture
def production(settings):
    settings.IS_PRODUCTION = True
    settings.ALLOWED_HOSTS = ["zhiyin.example"]


def send(url):
    sms.ByHttp().send(TEXT, sms.Provider(url, None, "", ""))


def test_target_is_refused_when_saved_and_when_called(db, production, monkeypatch):
    called, real = [], socket.getaddrinfo
    numbers = socket.AI_NUMERICHOST  # no name is asked for but this machine's
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, port, **more: real(host, port, flags=0 if "localhost" in host.lower() else numbers, **more),
    )
    monkeypatch.setattr(sms, "post", lambda url, *_: called.append(url) or 200)
    with brand_scope(make_brand().pk):
        for url in INSIDE:
            assert not sms.is_public(url), url
            with pytest.raises(SmsSettingsInvalid):
                services.set_sms(way="http", url=url, signature="", template="", secret="s", daily_limit=9, at=AT)
            with pytest.raises(sms.SmsFailed, match="ADDRESS"):
                send(url)
    assert called == []
    for url in OUTSIDE:
        assert sms.is_public(url), url


@pytest.fixture
def listening(serve, monkeypatch):  # noqa: F811
    """A server inside whose port is a usual one; gives its address and who came."""
    came = []
    port = urlsplit(serve(came.append)).port
    monkeypatch.setattr(sms, "PORTS", {port})
    return port, came


def test_no_target_inside_is_ever_connected_to(production, listening):
    port, came = listening
    for host in ("127.0.0.1", "localhost", "127.1", "2130706433", "[::ffff:127.0.0.1]", "0.0.0.0"):
        with pytest.raises(sms.SmsFailed, match="ADDRESS"):
            send(f"https://{host}:{port}/")
    assert came == []


@pytest.mark.parametrize("said", [["8.8.8.8"], ["8.8.8.8", "127.0.0.1"]], ids=["then inside", "both at once"])
def test_name_that_turns_inside_after_the_look_is_not_followed(production, listening, monkeypatch, said):
    """SS05, SS14: whatever a name said when it was looked at, the address that is connected to counts."""
    port, came = listening
    real, asked = socket.getaddrinfo, []

    def getaddrinfo(host, *args, **more):
        asked.append(host)
        if len(asked) > 1:
            return real(host, *args, **more)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in said]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(sms.SmsFailed):
        send(f"https://localhost:{port}/")
    assert asked
    assert came == []


HEAD = b"HTTP/1.1 200 OK\r\n"
ANSWERS = {
    "redirect": b"HTTP/1.1 302 Found\r\nLocation: {elsewhere}\r\nContent-Length: 0\r\n\r\n",
    "redirect that repeats": b"HTTP/1.1 307 x\r\nLocation: {elsewhere}\r\nContent-Length: 0\r\n\r\n",
    "never ends": HEAD + b"Content-Length: 10000000000\r\n\r\n" + b"x" * 100_000,
    "bomb": HEAD + b"Content-Encoding: gzip\r\nContent-Length: 20\r\n\r\n" + b"\x1f\x8b" * 10,
    "invalid chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\nZZZ\r\n",
    "nothing": b"",
    "no protocol": b"ok",
    "head without end": HEAD + b"X: y\r\n" * 200_000,
}


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_of_a_provider_lead_nowhere_and_end(serve, name, monkeypatch):  # noqa: F811
    """SS06, SS11: nothing of an answer but its status is read, and nobody is led elsewhere."""
    monkeypatch.setattr(sms, "SECONDS", 1.0)
    led = []
    elsewhere = serve(led.append)

    def answer(connection):
        connection.recv(65536)
        connection.sendall(ANSWERS[name].replace(b"{elsewhere}", elsewhere.encode()))
        connection.recv(65536)  # until the caller goes

    try:
        status = sms.post(serve(answer), {}, {})
    except sms.SmsFailed:
        status = 0
    assert status == {"redirect": 302, "redirect that repeats": 307}.get(name, status if status in (0, 200) else None)
    assert led == []


def test_head_that_comes_byte_by_byte_ends_at_the_deadline(serve, monkeypatch):  # noqa: F811
    monkeypatch.setattr(sms, "SECONDS", 0.5)

    def drip(connection):
        connection.recv(65536)
        for each in HEAD * 2:
            connection.sendall(bytes([each]))
            threading.Event().wait(0.1)

    with pytest.raises(sms.SmsFailed, match="TIMEOUT"):
        sms.post(serve(drip), {}, {})


def test_certificate_of_a_provider_must_hold(serve, tmp_path):  # noqa: F811
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_self_signed(tmp_path))
    heard = []

    def answer(connection):
        with context.wrap_socket(connection, server_side=True) as inner:
            heard.append(inner.recv(65536))

    with pytest.raises(sms.SmsFailed):
        sms.post(serve(answer).replace("http://127.0.0.1", "https://localhost"), {}, {})
    assert b"".join(heard) == b""


def test_proxies_of_the_environment_are_not_used(serve, monkeypatch):  # noqa: F811
    proxied = []
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, serve(proxied.append))
    url = serve(lambda connection: (connection.recv(65536), connection.sendall(HEAD + b"Content-Length: 0\r\n\r\n")))
    assert sms.post(url, {}, {}) == 200
    assert proxied == []
