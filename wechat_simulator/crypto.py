"""Signatures and the message cipher of WeChat pushes, written from the reference (service account 1.1 to 1.4)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

BLOCK = 32  # PKCS#7 block of this protocol; AES itself has 16 (reference: service account 1.3)
RANDOM_PREFIX = 16
LENGTH_FIELD = 4


class CipherError(ValueError):
    """The text cannot be read with this key, or belongs to another appid."""


def signature(*parts: str) -> str:
    """SHA-1 hex over the sorted parts joined (reference: service account 1.1, 1.2)."""
    return hashlib.sha1("".join(sorted(parts)).encode(), usedforsecurity=False).hexdigest()


def same(left: str, right: str) -> bool:
    """Compare two signatures in constant time."""
    return hmac.compare_digest(left.encode(), right.encode())


class MessageCipher:
    """AES-256-CBC with the framing of reference: service account 1.3."""

    def __init__(self, encoding_aes_key: str, appid: str) -> None:
        if len(encoding_aes_key) != 43:
            msg = "EncodingAESKey must have 43 characters"
            raise ValueError(msg)
        key = base64.b64decode(encoding_aes_key + "=")
        self.appid = appid
        self._cipher = Cipher(algorithms.AES(key), modes.CBC(key[:16]))

    def encrypt(self, message: bytes, random: bytes | None = None) -> str:
        """Base64 text of ``random(16) + length + message + appid``, padded to 32."""
        plain = b"".join(
            (
                random if random is not None else os.urandom(RANDOM_PREFIX),
                len(message).to_bytes(LENGTH_FIELD, "big"),
                message,
                self.appid.encode(),
            )
        )
        pad = BLOCK - len(plain) % BLOCK
        encryptor = self._cipher.encryptor()
        return base64.b64encode(encryptor.update(plain + bytes((pad,)) * pad) + encryptor.finalize()).decode()

    def decrypt(self, text: str) -> bytes:
        """The message inside; every way of going wrong is one ``CipherError``."""
        try:
            data = base64.b64decode(text, validate=True)
            decryptor = self._cipher.decryptor()
            plain = decryptor.update(data) + decryptor.finalize()
        except (binascii.Error, ValueError) as error:
            raise CipherError("not base64 of whole AES blocks") from error
        if not plain or not 1 <= plain[-1] <= BLOCK or plain[-plain[-1] :] != plain[-1:] * plain[-1]:
            raise CipherError("bad padding")
        plain = plain[: -plain[-1]]
        start = RANDOM_PREFIX + LENGTH_FIELD
        if len(plain) < start:
            raise CipherError("too short")
        length = int.from_bytes(plain[RANDOM_PREFIX:start], "big")
        if start + length > len(plain):
            raise CipherError("length beyond the text")
        if plain[start + length :] != self.appid.encode():
            raise CipherError("another appid")
        return plain[start : start + length]
