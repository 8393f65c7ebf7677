"""Ways to send a code by text message. Another provider is one class here or in an app above, and one test."""

from __future__ import annotations

import ipaddress
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

TIMEOUTS: Final = (3, 8)  # to connect, to be answered


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
    """Send JSON and give the status; nothing of the answer is read, and nobody is led elsewhere."""
    import requests  # with the first message: the gateway process never sends one

    with requests.Session() as session:
        session.trust_env = False
        try:
            with session.post(
                url, json=body, headers=headers, timeout=TIMEOUTS, allow_redirects=False, stream=True
            ) as answer:
                return answer.status_code
        except requests.Timeout:
            raise SmsFailed("TIMEOUT") from None
        except requests.RequestException as error:
            raise SmsFailed(type(error).__name__.upper()) from None


def is_public(url: str) -> bool:
    """Say whether an address leads out of our own network, by https; elsewhere than in production any does."""
    try:
        parts = urlsplit(url)
        port = parts.port or 443
    except ValueError:
        return False
    if not parts.hostname or parts.username or parts.scheme not in ("http", "https"):
        return False
    if not settings.IS_PRODUCTION:
        return True
    if parts.scheme != "https":
        return False
    try:
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    return all(ipaddress.ip_address(str(each[4][0]).split("%")[0]).is_global for each in found)


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
