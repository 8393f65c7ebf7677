"""Pushes of safe-mode accounts as WeChat sends them, and a judge of the answers; shares no code with the product."""

from __future__ import annotations

import base64
import os
import re
import time
from dataclasses import asdict, dataclass
from hashlib import sha1
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from benchmarks.rounds import InvalidRunError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

KEYWORDS: Final = 50
PEOPLE: Final = 9973
# Of a brand with 50 rules of every kind: words with one answer for everybody, and words with one more for regulars.
PLAIN_WORDS: Final = range(20)
FACT_WORDS: Final = range(20, 35)
FACT_PEOPLE: Final = 199  # of each account; a prime, so that every account meets all of them
GREETING: Final = "老朋友您好。"
DEFAULT: Final = "您好，已收到您的消息，我们会尽快回复。"
_ENCRYPTED: Final = re.compile(rb"<Encrypt><!\[CDATA\[([^\]]+)\]\]></Encrypt>")
_SIGNATURE: Final = re.compile(rb"<MsgSignature><!\[CDATA\[([0-9a-f]{40})\]\]></MsgSignature>")
_TIMESTAMP: Final = re.compile(rb"<TimeStamp>(?:<!\[CDATA\[)?([0-9]+)(?:\]\]>)?</TimeStamp>")
_NONCE: Final = re.compile(rb"<Nonce><!\[CDATA\[([^\]]+)\]\]></Nonce>")
_TO: Final = re.compile(rb"<ToUserName><!\[CDATA\[([^\]]*)\]\]></ToUserName>")
_FROM: Final = re.compile(rb"<FromUserName><!\[CDATA\[([^\]]*)\]\]></FromUserName>")
_CONTENT: Final = re.compile(rb"<Content><!\[CDATA\[(.*?)\]\]></Content>", re.DOTALL)


def keyword(number: int) -> str:
    """What people type."""
    return f"门店{number}营业时间"


def answer_to(content: str) -> str:
    """The answer that every contestant's rules give."""
    number = content.removeprefix("门店").removesuffix("营业时间")
    return f"{number} 号店每天 10:00–22:00 营业，地址与导航请点菜单「附近门店」。" if number != content else DEFAULT


def is_regular(openid: str) -> bool:
    """Say whether somebody carries the tag for which half of the rules are."""
    return int(openid[1:]) % 2 == 0


def answer_by_facts(push: Push) -> str:
    """The answer of rules that look at who asks."""
    plain = answer_to(push.content)
    return f"{GREETING}{plain}" if plain != DEFAULT and is_regular(push.openid) else plain


@dataclass(frozen=True)
class Account:
    """A service account as both ends know it."""

    path: str
    token: str
    aes_key: str
    appid: str
    original_id: str
    brand_id: int = 0
    account_id: int = 0

    def as_json(self) -> dict[str, object]:
        """For child processes."""
        return asdict(self)


@dataclass(slots=True)
class Push:
    """One prepared request and what its answer must hold. A retry carries the number of the message it repeats."""

    request: bytes
    account: Account
    number: int
    openid: str
    content: str


class Numbers:
    """Every message of a whole run has a number of its own."""

    def __init__(self) -> None:
        self.next = 0

    def take(self, count: int) -> range:
        """Give numbers nobody else gets."""
        first, self.next = self.next, self.next + count
        return range(first, self.next)


class Writer:
    """Writes requests of some accounts to one address."""

    def __init__(
        self,
        accounts: Sequence[Account],
        port: int,
        *,
        words: Sequence[int] = range(KEYWORDS),
        people: int = PEOPLE,
        answer: Callable[[Push], str] | None = None,
    ) -> None:
        self._accounts = accounts
        self._words = words
        self._people = people
        self._answer = answer or (lambda push: answer_to(push.content))
        self._port = port
        self._ciphers = {account.appid: _cipher(account) for account in accounts}

    @property
    def accounts(self) -> int:
        """How many accounts take turns."""
        return len(self._accounts)

    def push(self, number: int) -> Push:
        """Make the request of message `number`; calling again makes WeChat's retry of it, encrypted anew."""
        account = self._accounts[number % len(self._accounts)]
        openid = f"o{number % self._people:027d}"
        # One message in ten is no keyword and gets the reply to any message; every account is asked for every word.
        turn = number + number // len(self._accounts)
        content = keyword(self._words[turn % len(self._words)]) if turn % 10 else f"请问{number}怎么走"
        text = (
            f"<xml><ToUserName><![CDATA[{account.original_id}]]></ToUserName>"
            f"<FromUserName><![CDATA[{openid}]]></FromUserName>"
            f"<CreateTime>{1_750_000_000 + number // 1000}</CreateTime>"
            f"<MsgType><![CDATA[text]]></MsgType><Content><![CDATA[{content}]]></Content>"
            f"<MsgId>{msgid(number)}</MsgId></xml>"
        ).encode()
        encryptor = self._ciphers[account.appid].encryptor()
        plain = os.urandom(16) + len(text).to_bytes(4, "big") + text + account.appid.encode()
        pad = 32 - len(plain) % 32
        encrypted = base64.b64encode(encryptor.update(plain + bytes([pad]) * pad) + encryptor.finalize())
        timestamp, nonce = b"%d" % time.time(), b"%d" % int.from_bytes(os.urandom(4), "big")
        token = account.token.encode()
        body = (
            b"<xml>\n    <ToUserName><![CDATA[%b]]></ToUserName>\n    <Encrypt><![CDATA[%b]]></Encrypt>\n</xml>\n"
        ) % (account.original_id.encode(), encrypted)
        request = (
            b"POST %b?signature=%b&timestamp=%b&nonce=%b&openid=%b&encrypt_type=aes&msg_signature=%b HTTP/1.1\r\n"
            b"Host: 127.0.0.1:%d\r\nUser-Agent: Mozilla/4.0\r\nAccept: */*\r\nPragma: no-cache\r\n"
            b"Content-Type: text/xml\r\nContent-Length: %d\r\n\r\n%b"
        ) % (
            account.path.encode(),
            _sign(token, timestamp, nonce),
            timestamp,
            nonce,
            openid.encode(),
            _sign(token, timestamp, nonce, encrypted),
            self._port,
            len(body),
            body,
        )
        return Push(request, account, number, openid, content)

    def pushes(self, numbers: Iterable[int]) -> list[Push]:
        """Make the requests of several messages."""
        return [self.push(number) for number in numbers]

    def reply_in(self, push: Push, body: bytes) -> bytes:
        """The decrypted reply in an answer that is right in every respect. Raises InvalidRunError."""
        account = push.account
        encrypted, signature = _ENCRYPTED.search(body), _SIGNATURE.search(body)
        timestamp, nonce = _TIMESTAMP.search(body), _NONCE.search(body)
        if not (encrypted and signature and timestamp and nonce):
            raise InvalidRunError(f"message {push.number}: no encrypted reply but {body[:200]!r}")
        if signature[1] != _sign(account.token.encode(), timestamp[1], nonce[1], encrypted[1]):
            raise InvalidRunError(f"message {push.number}: the reply's signature is wrong")
        decryptor = self._ciphers[account.appid].decryptor()
        plain = decryptor.update(base64.b64decode(encrypted[1])) + decryptor.finalize()
        length = int.from_bytes(plain[16:20], "big")
        text = plain[20 : 20 + length]
        if plain[20 + length : -plain[-1]] != account.appid.encode():
            raise InvalidRunError(f"message {push.number}: the reply is not of this account")
        to, sender, content = _TO.search(text), _FROM.search(text), _CONTENT.search(text)
        found = (to and to[1].decode(), sender and sender[1].decode(), content and content[1].decode())
        if found != (push.openid, account.original_id, self._answer(push)):
            raise InvalidRunError(f"message {push.number}: wrong reply {found!r}")
        return text


def msgid(number: int) -> int:
    """WeChat's id of a message."""
    return 24_000_000_000_000_000 + number


def _cipher(account: Account) -> Cipher[modes.CBC]:
    key = base64.b64decode(account.aes_key + "=")
    return Cipher(algorithms.AES(key), modes.CBC(key[:16]))


def _sign(*parts: bytes) -> bytes:
    return sha1(b"".join(sorted(parts)), usedforsecurity=False).hexdigest().encode()
