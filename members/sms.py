"""Ways to send a code by text message. Another provider is one class here or in an app above, and one test."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext_lazy

from common.registry import Registry

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise as StrPromise

    from common.secret import Secret

CONNECT_SECONDS: Final = 3.0
SECONDS: Final = 8.0  # for the whole call
PORTS: Final = frozenset({443, 8443})
_PLAIN: Final = re.compile(r"[!#-\[\]-~]+")  # no blank, no backslash: programs read addresses with those in two ways
# IPv4 written as IPv6: compatible, mapped, translated, 6to4, Teredo.
_OTHERS: Final = [
    ipaddress.IPv6Network(network)
    for network in ("::/96", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")
]


@dataclass(frozen=True)
class Provider:
    """What a brand has said about its provider."""

    url: str
    secret: Secret | None
    signature: str
    template: str


@dataclass(frozen=True)
class Text:
    """One message: to whom, the code and the words around it. `key` is the same whenever the same one is sent."""

    key: str
    phone: Secret
    code: Secret
    words: Secret


class SmsFailed(Exception):
    """It did not leave; `reason` is a word or a number of the provider's, never what was sent."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason[:60]


class SmsWay(Protocol):
    """A way: its name, whether it needs an address and a secret, whether it is offered here, and how it sends."""

    label: ClassVar[StrPromise]
    needs_address: ClassVar[bool]

    def offered(self) -> bool:
        """Say whether this installation has it."""
        ...

    def send(self, text: Text, provider: Provider) -> None:
        """Send once, outside every transaction. Raises `SmsFailed`."""
        ...


ways: Registry[SmsWay] = Registry("ways of text messages", purpose="how codes for joining are sent to phones")


def post(url: str, body: dict[str, Any], headers: dict[str, str]) -> int:
    """Send JSON and give the status; nothing else of the answer is read, and nobody is led elsewhere.

    What counts is the address that is connected to, whatever its name said when somebody looked.
    """
    import certifi  # with the first message: the gateway process never sends one
    import pycurl

    refused: list[str] = []

    def connect(_purpose: int, to: tuple[int, int, int, tuple[str, int]]) -> socket.socket | int:
        family, kind, protocol, (address, *_rest) = to
        if settings.IS_PRODUCTION and not is_outside(address):
            refused.append(address)
            return int(pycurl.SOCKET_BAD)
        return socket.socket(family, kind, protocol)

    curl = pycurl.Curl()
    for option, value in (
        (pycurl.URL, url),
        (pycurl.POSTFIELDS, json.dumps(body)),
        (
            pycurl.HTTPHEADER,
            ["Content-Type: application/json", *(f"{name}: {value}" for name, value in headers.items())],
        ),
        (pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS),
        (pycurl.OPENSOCKETFUNCTION, connect),
        (pycurl.PROXY, ""),
        (pycurl.NOSIGNAL, 1),
        (pycurl.CAINFO, os.environ.get("SSL_CERT_FILE") or certifi.where()),
        (pycurl.CONNECTTIMEOUT_MS, int(CONNECT_SECONDS * 1000)),
        (pycurl.TIMEOUT_MS, int(SECONDS * 1000)),
        (pycurl.WRITEFUNCTION, lambda _bytes: 0),  # ends the call: the status has been read by then
    ):
        curl.setopt(option, value)
    try:
        curl.perform()
    except pycurl.error as error:
        status = int(curl.getinfo(pycurl.RESPONSE_CODE))
        if error.args[0] != pycurl.E_WRITE_ERROR or not status:
            timeout = error.args[0] == pycurl.E_OPERATION_TIMEDOUT
            reason = "ADDRESS" if refused else "TIMEOUT" if timeout else f"CURL {error.args[0]}"
            raise SmsFailed(reason) from None
        return status
    else:
        return int(curl.getinfo(pycurl.RESPONSE_CODE))
    finally:
        curl.close()


def is_public(url: str) -> bool:
    """Say whether an address leads out of our own network, by https; elsewhere than in production any does."""
    try:
        parts = urlsplit(url)
        port = 443 if parts.port is None else parts.port
    except ValueError:
        return False
    if not parts.hostname or parts.username is not None or parts.scheme not in ("http", "https"):
        return False
    if not settings.IS_PRODUCTION:
        return True
    host = parts.hostname.rstrip(".")
    if parts.scheme != "https" or port not in PORTS or host in settings.ALLOWED_HOSTS or not _PLAIN.fullmatch(url):
        return False
    try:
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    return all(is_outside(str(each[4][0])) for each in found)


def is_outside(address: str) -> bool:
    """Say whether an IP address is one of the open internet, and none that stands for another one."""
    ip = ipaddress.ip_address(address.split("%", maxsplit=1)[0])
    hidden = isinstance(ip, ipaddress.IPv6Address) and any(ip in network for network in _OTHERS)
    return ip.is_global and not ip.is_multicast and not ip.is_reserved and not hidden


class ByHttp:
    """JSON to an address of the brand's provider, or of a small bridge in front of it."""

    label: ClassVar[StrPromise] = gettext_lazy("HTTPS address of the provider")
    needs_address: ClassVar[bool] = True

    def offered(self) -> bool:
        """Say that every installation has it."""
        return True

    def send(self, text: Text, provider: Provider) -> None:
        """Send; any 2xx means that the provider took it."""
        if not is_public(provider.url):
            raise SmsFailed("ADDRESS")
        status = post(
            provider.url,
            {
                "id": text.key,
                "phone": text.phone.reveal(),
                "code": text.code.reveal(),
                "text": text.words.reveal(),
                "signature": provider.signature,
                "template": provider.template,
            },
            {
                "Authorization": f"Bearer {provider.secret.reveal() if provider.secret else ''}",
                "Idempotency-Key": text.key,
            },
        )
        if not 200 <= status < 300:
            raise SmsFailed(f"HTTP {status}")


class ToSimulator:
    """To the phone of the simulated person, for trying things out: nothing is written to a log or a screen of ours."""

    label: ClassVar[StrPromise] = gettext_lazy("Simulated phone (development)")
    needs_address: ClassVar[bool] = False

    def offered(self) -> bool:
        """Say whether there is a simulator; production has none."""
        return bool(settings.SIMULATOR_URL) and not settings.IS_PRODUCTION

    def send(self, text: Text, provider: Provider) -> None:
        """Let the simulated phone ring."""
        if not self.offered():
            raise SmsFailed("NO SIMULATOR")
        body = {"phone": text.phone.reveal(), "text": text.words.reveal()}
        status = post(f"{settings.SIMULATOR_URL}/_sim/texts", body, {"Idempotency-Key": text.key})
        if status != 200:
            raise SmsFailed(f"HTTP {status}")


ways.register("http", ByHttp())
ways.register("simulator", ToSimulator())
