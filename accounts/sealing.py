"""Encryption at rest: AES-256-GCM under a key of the brand's own, bound to the place the value is stored in.

Envelope: a master key (environment) wraps the brand's data keys; purpose keys are derived from them. The first one lies
in the row of the brand and is number 0: fingerprints and the audit log stay with it. Values are sealed with the newest
(`accounts.key_rotation`). A sealed value is a head that names its key (version, 1 byte; from version 2 on the key's
number, 2), nonce (12), cipher text with tag; a wrapped key is id length, id, nonce, text.
"""

from __future__ import annotations

import base64
import hmac
import os
import time
import uuid
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from accounts.errors import Unsealable

if TYPE_CHECKING:
    from collections.abc import Iterable

VERSION = b"\x01"  # under the brand's first key
NUMBERED = b"\x02"
HEAD = 3  # of a value whose head has a number
NONCE = 12
KEY = 32
# Whoever seals something that stays knows of a new key so many seconds later at most.
KEY_AGE = 10.0


@lru_cache(maxsize=4)
def _master_keys(text: str) -> dict[str, bytes]:
    keys: dict[str, bytes] = {}
    for part in text.split(","):
        name, _, value = part.strip().partition(":")
        key = base64.b64decode(value)
        if not name or len(key) != KEY:
            message = "ZHIYIN_MASTER_KEYS must look like k1:<base64 of 32 bytes>[,k0:…]"
            raise ValueError(message)
        keys[name] = key
    return keys


def new_wrapped_key() -> bytes:
    """Make a brand's data key and wrap it with the current master key."""
    return wrap(os.urandom(KEY))


def wrap(key: bytes) -> bytes:
    """Wrap a data key with the current master key."""
    masters = _master_keys(settings.MASTER_KEYS)
    name = next(iter(masters))
    nonce = os.urandom(NONCE)
    head = bytes([len(name)]) + name.encode()
    return head + nonce + AESGCM(masters[name]).encrypt(nonce, key, b"brand-key" + head)


def rewrapped(wrapped: bytes) -> bytes:
    """Wrap what is wrapped with the current master key instead; raises `Unsealable` as `unwrap` does."""
    return wrap(unwrap(wrapped))


def current_master() -> str:
    """Give the name of the master key that wraps."""
    return next(iter(_master_keys(settings.MASTER_KEYS)))


def master_of(wrapped: bytes) -> str:
    """Give the name of the master key that something is wrapped with."""
    return wrapped[1 : 1 + wrapped[0]].decode(errors="replace")


def unwrap(wrapped: bytes) -> bytes:
    """Open a wrapped data key; raises `Unsealable` when its master key is not configured or it was changed."""
    size = wrapped[0]
    head, rest = wrapped[: 1 + size], wrapped[1 + size :]
    master = _master_keys(settings.MASTER_KEYS).get(head[1:].decode(errors="replace"))
    if master is None:
        raise Unsealable
    try:
        return AESGCM(master).decrypt(rest[:NONCE], rest[NONCE:], b"brand-key" + head)
    except InvalidTag:
        raise Unsealable from None


@lru_cache(maxsize=4096)
def _derived(wrapped: bytes, purpose: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY, salt=None, info=purpose.encode()).derive(unwrap(wrapped))


@dataclass(frozen=True, slots=True)
class _Ring:
    """A brand's wrapped keys by number, as they were when somebody asked for them."""

    asked: float
    newest: int
    wrapped: dict[int, bytes]


_rings: dict[int, _Ring] = {}
_MOST_RINGS: Final = 1024


def _asked_anew(brand_id: int) -> _Ring:
    from accounts.models import Brand

    asked = time.monotonic()  # before the question: a ring never seems younger than it is
    rows = list(Brand.objects.filter(pk=brand_id).values_list("data_key", "keys__number", "keys__wrapped"))
    if not rows:
        raise Brand.DoesNotExist
    wrapped = {0: bytes(rows[0][0])}
    wrapped |= {number: bytes(key) for _first, number, key in rows if number is not None}
    if len(_rings) >= _MOST_RINGS:
        _rings.clear()
    ring = _rings[brand_id] = _Ring(asked, max(wrapped), wrapped)
    return ring


def _ring(brand_id: int) -> _Ring:
    return _rings.get(brand_id) or _asked_anew(brand_id)


def _first_key(brand_id: int) -> bytes:
    return _ring(brand_id).wrapped[0]


def forget_keys() -> None:
    """Drop every cached key (after a rotation or an erasure)."""
    _rings.clear()
    _derived.cache_clear()


def head_of(number: int) -> bytes:
    """Give how values begin that are sealed with the key of a number."""
    return NUMBERED + number.to_bytes(2, "big") if number else VERSION


def key_of(sealed: bytes) -> int | None:
    """Give the number of the key that a value says it was sealed with; None when it says none."""
    if sealed[:1] == VERSION:
        return 0
    if sealed[:1] == NUMBERED and len(sealed) >= HEAD:
        return int.from_bytes(sealed[1:HEAD], "big")
    return None


def seal(brand_id: int, value: str, context: bytes, *, lasting: bool = True) -> bytes:
    """Encrypt a text for one place of one brand. `context` names the place: table, column, bound fields.

    What is not `lasting` (a cursor of a list) need not be under the newest key, and never costs a question.
    """
    ring = _ring(brand_id)
    if lasting and time.monotonic() - ring.asked > KEY_AGE:
        ring = _asked_anew(brand_id)
    head, nonce = head_of(ring.newest), os.urandom(NONCE)
    key = _derived(ring.wrapped[ring.newest], "seal")
    return head + nonce + AESGCM(key).encrypt(nonce, value.encode(), _bound(head, context))


def open_sealed(brand_id: int, sealed: bytes, context: bytes) -> str:
    """Decrypt a text; raises `Unsealable` when it was moved, changed or truncated. There is no plain fallback.

    A value under a key that this process has not met has it ask once: nobody waits for a new key to become known.
    """
    number = key_of(sealed)
    if number is None:
        raise Unsealable
    ring = _ring(brand_id)
    if number > ring.newest:
        ring = _asked_anew(brand_id)
    wrapped = ring.wrapped.get(number)
    if wrapped is None:
        raise Unsealable
    head = head_of(number)
    nonce, text = sealed[len(head) : len(head) + NONCE], sealed[len(head) + NONCE :]
    try:
        return AESGCM(_derived(wrapped, "seal")).decrypt(nonce, text, _bound(head, context)).decode()
    except (InvalidTag, ValueError):
        raise Unsealable from None


def _bound(head: bytes, context: bytes) -> bytes:
    """Which key a value names is bound to it as its place is."""
    return context if head == VERSION else head + context


def blind_index(brand_id: int, purpose: str, value: str) -> uuid.UUID:
    """Give a keyed fingerprint by which a sealed value can be found, as a UUID (its index works under row security).

    The same value gives different fingerprints in two brands and for two purposes.
    """
    return uuid.UUID(bytes=blind_indexes(brand_id, purpose, [value])[0])


def blind_indexes(brand_id: int, purpose: str, values: Iterable[str]) -> list[bytes]:
    """Give the fingerprints of many values at once: the sixteen bytes of each UUID."""
    key = _derived(_first_key(brand_id), f"index:{purpose}")
    return [hmac.digest(key, value.encode(), "sha256")[:16] for value in values]


def audit_key(brand_id: int) -> bytes:
    """Give the key under which a brand's audit log is sealed."""
    return _derived(_first_key(brand_id), "audit")


def sign(text: bytes) -> tuple[str, str]:
    """Sign what leaves the database: the name of the current master key, and a keyed digest."""
    masters = _master_keys(settings.MASTER_KEYS)
    name = next(iter(masters))
    return name, _signature(masters[name], text)


def is_signed(text: bytes, name: str, signature: str) -> bool | None:
    """Whether a signature is ours; None when the master key it was made with is not configured any more."""
    master = _master_keys(settings.MASTER_KEYS).get(name)
    return None if master is None else hmac.compare_digest(_signature(master, text), signature)


def _signature(master: bytes, text: bytes) -> str:
    key = HKDF(algorithm=SHA256(), length=KEY, salt=None, info=b"audit anchor").derive(master)
    return hmac.digest(key, text, "sha256").hex()
