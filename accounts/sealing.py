"""Encryption at rest: AES-256-GCM under a key of the brand's own, bound to the place the value is stored in.

Envelope: a master key (environment) wraps the brand's data key (row of the brand); purpose keys are derived from it.
A sealed value is version (1 byte), nonce (12), cipher text with tag; a wrapped key is id length, id, nonce, text.
"""

from __future__ import annotations

import base64
import hmac
import os
import uuid
from functools import lru_cache
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from accounts.errors import Unsealable

if TYPE_CHECKING:
    from collections.abc import Iterable

VERSION = b"\x01"
NONCE = 12
KEY = 32


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


@lru_cache(maxsize=1024)
def _wrapped_key(brand_id: int) -> bytes:
    from accounts.models import Brand

    return bytes(Brand.objects.values_list("data_key", flat=True).get(pk=brand_id))


def forget_keys() -> None:
    """Drop every cached key (after a rotation or an erasure)."""
    _wrapped_key.cache_clear()
    _derived.cache_clear()


def seal(brand_id: int, value: str, context: bytes) -> bytes:
    """Encrypt a text for one place of one brand. `context` names the place: table, column, bound fields."""
    nonce = os.urandom(NONCE)
    key = _derived(_wrapped_key(brand_id), "seal")
    return VERSION + nonce + AESGCM(key).encrypt(nonce, value.encode(), context)


def open_sealed(brand_id: int, sealed: bytes, context: bytes) -> str:
    """Decrypt a text; raises `Unsealable` when it was moved, changed or truncated. There is no plain fallback."""
    if sealed[:1] != VERSION:
        raise Unsealable
    key = _derived(_wrapped_key(brand_id), "seal")
    try:
        return AESGCM(key).decrypt(sealed[1 : 1 + NONCE], sealed[1 + NONCE :], context).decode()
    except (InvalidTag, ValueError):
        raise Unsealable from None


def blind_index(brand_id: int, purpose: str, value: str) -> uuid.UUID:
    """Give a keyed fingerprint by which a sealed value can be found, as a UUID (its index works under row security).

    The same value gives different fingerprints in two brands and for two purposes.
    """
    return uuid.UUID(bytes=blind_indexes(brand_id, purpose, [value])[0])


def blind_indexes(brand_id: int, purpose: str, values: Iterable[str]) -> list[bytes]:
    """Give the fingerprints of many values at once: the sixteen bytes of each UUID."""
    key = _derived(_wrapped_key(brand_id), f"index:{purpose}")
    return [hmac.digest(key, value.encode(), "sha256")[:16] for value in values]


def audit_key(brand_id: int) -> bytes:
    """Give the key under which a brand's audit log is sealed."""
    return _derived(_wrapped_key(brand_id), "audit")


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
