"""Judges callbacks: signature, decryption, whose they are; and encrypts replies (reference: service account 1).

Nothing in here raises on input from outside: every request becomes Accepted, Quarantined or Refused.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import re
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha1
from typing import Final, NamedTuple
from urllib.parse import parse_qsl

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from wechat_gateway.events import Head, read_head
from wechat_gateway.wire import Fields, Unreadable, read_fields, text_of

FRESHNESS_SECONDS: Final = 300
MAX_ECHO: Final = 1024
_BLOCK: Final = 32  # WeChat pads to 32 although AES blocks are 16
_AES_BLOCK: Final = 16
_HEAD: Final = 20  # 16 random bytes and the length
_PADDINGS: Final = tuple(bytes((size,)) * size for size in range(_BLOCK + 1))
_NONCE: Final = re.compile(rb"[0-9A-Za-z_-]{1,64}")
_SIGNATURE_SIZE: Final = 40
_TIMESTAMP_SIZE: Final = 10
_PLAIN_QUERY: Final = re.compile(rb"[0-9A-Za-z_.~=&-]*")
_ORIGINAL_ID: Final = re.compile(rb"<ToUserName>\s*(?:<!\[CDATA\[)?\s*([0-9A-Za-z_-]{1,64})")
# The one shape WeChat's safe-mode envelope has; anything else takes the strict parser and gives the same result.
_ENVELOPE: Final = re.compile(
    rb"\s*<xml>\s*(?:<ToUserName>(?:<!\[CDATA\[[\w-]*\]\]>|[\w-]*)</ToUserName>\s*)?"
    rb"<Encrypt>(?:<!\[CDATA\[([A-Za-z0-9+/=]+)\]\]>|([A-Za-z0-9+/=]+))</Encrypt>\s*</xml>\s*",
)


class Mode(StrEnum):
    """How an account's callbacks are protected; stored, never taken from a request."""

    SAFE = "SAFE"
    COMPATIBLE = "COMPATIBLE"
    PLAIN = "PLAIN"


class MessageCipher:
    """AES-256-CBC under one EncodingAESKey, prepared once per account; belongs to one thread.

    The first block of every text is random and thrown away by whoever reads it, and it is all that the IV changes. So
    one context serves all messages, each chained to the last block of the one before: preparing a context costs more
    than deciphering a push.
    """

    __slots__ = ("_cipher", "_decrypting", "_encrypting")

    def __init__(self, encoding_aes_key: str) -> None:
        """Raise ValueError unless the key has 43 base64 characters (its last one may carry spare bits)."""
        key = base64.b64decode(encoding_aes_key + "=")
        if len(encoding_aes_key) != 43 or len(key) != 32:
            message = "an EncodingAESKey has 43 letters and digits"
            raise ValueError(message)
        # The IV is fixed by the protocol; 16 random bytes lead every text, so equal texts still differ.
        self._cipher = Cipher(algorithms.AES(key), modes.CBC(key[:_AES_BLOCK]))
        self._decrypting = self._cipher.decryptor()
        self._encrypting = self._cipher.encryptor()

    def __repr__(self) -> str:
        return "MessageCipher(***)"

    def decrypt_raw(self, data: bytes) -> bytes:
        """Decrypt whole blocks, the first of which comes out as noise; the caller judges the rest."""
        return self._decrypting.update(data)

    def encrypt(self, text: bytes, appid: bytes, *, random: bytes | None = None) -> bytes:
        """Base64 of the encrypted text. `random` (16 bytes) is for test vectors."""
        pad = _BLOCK - (_HEAD + len(text) + len(appid)) % _BLOCK
        plain = b"".join((random or os.urandom(16), len(text).to_bytes(4, "big"), text, appid, _PADDINGS[pad]))
        encrypting = self._encrypting if random is None else self._cipher.encryptor()
        return binascii.b2a_base64(encrypting.update(plain), newline=False)


@dataclass(frozen=True, slots=True, repr=False)
class AccountKeys:
    """All that judging one account's callbacks takes. Holds secrets in clear: never log, never pickle."""

    brand_id: int
    account_id: int
    appid: bytes
    original_id: str
    mode: Mode
    token: bytes
    cipher: MessageCipher | None = None
    previous_cipher: MessageCipher | None = None
    previous_token: bytes = b""
    previous_until: float = 0.0
    # With a third-party platform the message is made for the platform's appid; this is the account's own then.
    account_appid: bytes = b""

    def __repr__(self) -> str:
        return f"AccountKeys(account {self.account_id})"

    def tokens(self, now: float) -> tuple[bytes, ...]:
        """The tokens that may have signed at a moment, the current one first."""
        return (self.token, self.previous_token) if self.previous_token and now < self.previous_until else (self.token,)

    def ciphers(self, now: float) -> tuple[MessageCipher, ...]:
        """The keys to try at a moment, the current one first."""
        if self.cipher is None:
            return ()
        if self.previous_cipher is not None and now < self.previous_until:
            return (self.cipher, self.previous_cipher)
        return (self.cipher,)


class Doubt(StrEnum):
    """Why a request was refused; for counters and alarms, never for the answer."""

    QUERY = "QUERY"
    TIMESTAMP = "TIMESTAMP"
    NONCE = "NONCE"
    SIGNATURE = "SIGNATURE"
    ENVELOPE = "ENVELOPE"
    BASE64 = "BASE64"
    APPID = "APPID"
    ORIGINAL_ID = "ORIGINAL_ID"
    ECHO = "ECHO"


# Somebody with real keys sent another account's message: mixed-up settings or an attack from inside.
ALARMING: Final = frozenset({Doubt.APPID, Doubt.ORIGINAL_ID})


class Accepted(NamedTuple):  # made for every push, at a third of what a frozen data class takes
    """An authentic, readable push. `cipher` is the key that opened it, None in plain mode; `token` has signed it."""

    body: bytes
    fields: Fields
    head: Head
    is_json: bool
    cipher: MessageCipher | None
    nonce: bytes
    token: bytes


@dataclass(frozen=True, slots=True)
class Quarantined:
    """Authentic but unreadable: kept as it came and acknowledged."""

    body: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Not authentic: nothing is kept but a count."""

    reason: Doubt


class _Refusal(Exception):
    def __init__(self, reason: Doubt) -> None:
        super().__init__(reason)
        self.reason = reason


class _Undecipherable(Exception):
    def __init__(self, raw: bytes, reason: str) -> None:
        super().__init__(reason)
        self.raw = raw
        self.reason = reason


def signature(*parts: bytes) -> bytes:
    """40 lower-case hex characters over the sorted parts."""
    return sha1(b"".join(sorted(parts)), usedforsecurity=False).hexdigest().encode()


def judge_push(
    keys: AccountKeys,
    query: bytes,
    body: bytes,
    *,
    now: float,
    freshness: float = FRESHNESS_SECONDS,
) -> Accepted | Quarantined | Refused:
    """Judge a POST. `query` is the raw query string, `now` seconds since the epoch."""
    try:
        values = _query(query)
        timestamp, nonce = _fresh(values, now, freshness)
        token = _signer(keys, now, values.get(b"signature", b""), timestamp, nonce)
        if keys.mode is Mode.PLAIN:
            return _judge_plain(keys, body, token, nonce, now)
        encrypted = _envelope(body)
        _require_signature(values.get(b"msg_signature", b""), token, timestamp, nonce, encrypted)
        text, cipher = _decrypt(keys, encrypted, now)
    except _Refusal as refusal:
        return Refused(refusal.reason)
    except _Undecipherable as found:
        return Quarantined(found.raw, found.reason)
    return _judge_text(keys, text, cipher, token, nonce, now)


def judge_event(
    keys: AccountKeys,
    query: bytes,
    body: bytes,
    *,
    now: float,
    freshness: float = FRESHNESS_SECONDS,
) -> Fields | Quarantined | Refused:
    """Judge a POST to the platform's address for authorisation events (reference: 7.4): its fields, or the refusal."""
    try:
        values = _query(query)
        timestamp, nonce = _fresh(values, now, freshness)
        encrypted = _envelope(body)
        _signer(keys, now, values.get(b"msg_signature", b""), timestamp, nonce, encrypted)
        text, _cipher = _decrypt(keys, encrypted, now)
        fields = read_fields(text)
    except _Refusal as refusal:
        return Refused(refusal.reason)
    except _Undecipherable as found:
        return Quarantined(found.raw, found.reason)
    except Unreadable as found:
        return Quarantined(text, found.reason)
    if text_of(fields, "AppId").encode() != keys.appid:
        return Refused(Doubt.APPID)
    return fields


def judge_echo(
    keys: AccountKeys,
    query: bytes,
    *,
    now: float,
    freshness: float = FRESHNESS_SECONDS,
) -> bytes | Refused:
    """Judge a GET (URL verification): the bytes to echo, or the refusal."""
    try:
        values = _query(query)
        timestamp, nonce = _fresh(values, now, freshness)
        _signer(keys, now, values.get(b"signature", b""), timestamp, nonce)
    except _Refusal as refusal:
        return Refused(refusal.reason)
    echo = values.get(b"echostr", b"")
    return echo if 0 < len(echo) <= MAX_ECHO else Refused(Doubt.ECHO)


def seal_reply(keys: AccountKeys, accepted: Accepted, reply: bytes, *, now: float) -> bytes:
    """Wrap a rendered reply as the account's mode asks, in the push's format, under the push's own key and token."""
    if accepted.cipher is None:
        return reply
    encrypted = accepted.cipher.encrypt(reply, keys.appid)
    timestamp = b"%d" % now
    signed = signature(accepted.token, timestamp, accepted.nonce, encrypted)
    if accepted.is_json:
        return b'{"Encrypt":"%b","MsgSignature":"%b","TimeStamp":%b,"Nonce":"%b"}' % (
            encrypted,
            signed,
            timestamp,
            accepted.nonce,
        )
    return (
        b"<xml><Encrypt><![CDATA[%b]]></Encrypt><MsgSignature><![CDATA[%b]]></MsgSignature>"
        b"<TimeStamp>%b</TimeStamp><Nonce><![CDATA[%b]]></Nonce></xml>"
    ) % (encrypted, signed, timestamp, accepted.nonce)


def _query(query: bytes) -> dict[bytes, bytes]:
    """Parameters by name. Repeated and bracketed ones are refused: two readers could choose different values."""
    if _PLAIN_QUERY.fullmatch(query):
        pairs = [(name, value) for name, _, value in (part.partition(b"=") for part in query.split(b"&"))]
        plain = dict(pairs)
        if len(plain) == len(pairs):
            return plain
    else:
        try:
            # Latin-1 keeps every byte as it came.
            found = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=32, encoding="latin-1")
        except ValueError:
            raise _Refusal(Doubt.QUERY) from None
        pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in found]
    values: dict[bytes, bytes] = {}
    for name, value in pairs:
        if b"[" in name:
            raise _Refusal(Doubt.QUERY)
        # encrypt_type is never read: the stored mode decides.
        if name in values and name != b"encrypt_type":
            raise _Refusal(Doubt.QUERY)
        values[name] = value
    return values


def _fresh(values: dict[bytes, bytes], now: float, freshness: float) -> tuple[bytes, bytes]:
    """Timestamp and nonce, if they are of a strict form; a digit moved between them would keep the hash."""
    timestamp = values.get(b"timestamp", b"")
    if len(timestamp) != _TIMESTAMP_SIZE or not timestamp.isdigit() or abs(int(timestamp) - now) > freshness:
        raise _Refusal(Doubt.TIMESTAMP)
    nonce = values.get(b"nonce", b"")
    if not _NONCE.fullmatch(nonce):
        raise _Refusal(Doubt.NONCE)
    return timestamp, nonce


def _signer(keys: AccountKeys, now: float, given: bytes, *parts: bytes) -> bytes:
    """The token that has signed; during a rotation it may be the previous one, which is only tried after the other."""
    for token in keys.tokens(now):
        if len(given) == _SIGNATURE_SIZE and hmac.compare_digest(given, signature(token, *parts)):
            return token
    raise _Refusal(Doubt.SIGNATURE)


def _require_signature(given: bytes, *parts: bytes) -> None:
    if len(given) != _SIGNATURE_SIZE or not hmac.compare_digest(given, signature(*parts)):
        raise _Refusal(Doubt.SIGNATURE)


def _envelope(body: bytes) -> bytes:
    """The value of the single Encrypt element or key."""
    match = _ENVELOPE.fullmatch(body)
    if match:
        return match[1] or match[2]
    try:
        fields = read_fields(body, clean=False)
    except Unreadable:
        raise _Refusal(Doubt.ENVELOPE) from None
    encrypted = text_of(fields, "Encrypt").encode(errors="replace")
    if not encrypted:
        raise _Refusal(Doubt.ENVELOPE)
    return encrypted


def _decrypt(keys: AccountKeys, encrypted: bytes, now: float) -> tuple[bytes, MessageCipher]:
    try:
        data = binascii.a2b_base64(encrypted, strict_mode=True)
    except ValueError:
        raise _Refusal(Doubt.BASE64) from None
    if len(data) % _AES_BLOCK or len(data) < _BLOCK + _AES_BLOCK:
        # Signed by the account, yet too short or ragged to hold anything: keep it for a person to look at.
        raise _Undecipherable(encrypted, "CIPHER_LENGTH")
    for cipher in keys.ciphers(now):
        found = _unwrap(cipher.decrypt_raw(data), keys.appid)
        if found is not None:
            return found, cipher
    raise _Refusal(Doubt.APPID)


def _unwrap(plain: bytes, appid: bytes) -> bytes | None:
    """The text inside, or None when it was not made for this appid (or under another key).

    Raises _Undecipherable when our own appid is inside but padding or length are wrong.
    """
    pad = plain[-1]
    well_padded = 1 <= pad <= _BLOCK and plain.endswith(_PADDINGS[pad])
    content = plain[_HEAD : len(plain) - pad] if well_padded else plain[_HEAD:]
    length = int.from_bytes(plain[16:_HEAD], "big")
    if well_padded and 0 < length < len(content):
        if hmac.compare_digest(content[length:], appid):
            return content[:length]
        if content.endswith(appid):
            raise _Undecipherable(content, "INNER_LENGTH")
        return None
    if well_padded:
        if content.endswith(appid):
            raise _Undecipherable(content, "INNER_LENGTH")
        return None
    if appid in content[-(len(appid) + 256) :]:
        raise _Undecipherable(content, "PADDING")
    return None


def _judge_text(
    keys: AccountKeys,
    text: bytes,
    cipher: MessageCipher | None,
    token: bytes,
    nonce: bytes,
    now: float,
) -> Accepted | Quarantined | Refused:
    try:
        fields = read_fields(text)
        addressed_to = text_of(fields, "ToUserName")
        if keys.original_id and addressed_to and addressed_to != keys.original_id:
            return Refused(Doubt.ORIGINAL_ID)
        if not addressed_to:
            return Quarantined(text, "TO_USER")
        head = read_head(fields, now=now)
    except Unreadable as found:
        return Quarantined(text, found.reason)
    return Accepted(text, fields, head, text.lstrip()[:1] == b"{", cipher, nonce, token)


def _judge_plain(
    keys: AccountKeys, body: bytes, token: bytes, nonce: bytes, now: float
) -> Accepted | Quarantined | Refused:
    """Plain mode signs the URL only, so the account's own original id inside is all that binds the body."""
    try:
        fields = read_fields(body)
    except Unreadable as found:
        match = _ORIGINAL_ID.search(body)
        if match and match[1].decode() == keys.original_id:
            return Quarantined(body, found.reason)
        return Refused(Doubt.ENVELOPE)
    if "MsgType" not in fields and "Encrypt" in fields:
        return Refused(Doubt.ENVELOPE)
    if text_of(fields, "ToUserName") != keys.original_id:
        return Refused(Doubt.ORIGINAL_ID)
    return _judge_text(keys, body, None, token, nonce, now)
