"""Signatures and ciphers of WeChat Pay, written from the reference (pay reference 3.2 to 3.5)."""

from __future__ import annotations

import base64
import binascii

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SCHEME = "WECHATPAY2-SHA256-RSA2048"
NONCE = 12


def lines(*parts: str | bytes) -> bytes:
    """Every part followed by one line feed: what is signed (3.2, 3.3, 3.6)."""
    return b"".join((part if isinstance(part, bytes) else part.encode()) + b"\n" for part in parts)


def sign(key: rsa.RSAPrivateKey, message: bytes) -> str:
    """Base64 of RSASSA-PKCS1-v1_5 with SHA-256."""
    return base64.b64encode(key.sign(message, padding.PKCS1v15(), hashes.SHA256())).decode()


def verify(key: rsa.RSAPublicKey, signature: str, message: bytes) -> bool:
    """Whether the signature is this key's over exactly these bytes."""
    try:
        key.verify(base64.b64decode(signature, validate=True), message, padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def seal(key: str, nonce: str, associated_data: str, plain: bytes) -> str:
    """AEAD_AES_256_GCM: base64 of the cipher and its 16-byte tag (3.5)."""
    sealed = AESGCM(key.encode()).encrypt(nonce.encode(), plain, associated_data.encode())
    return base64.b64encode(sealed).decode()


def unseal(key: str, nonce: str, associated_data: str, ciphertext: str) -> bytes | None:
    """What was sealed; None when key, nonce, associated data or tag is another."""
    try:
        return AESGCM(key.encode()).decrypt(nonce.encode(), base64.b64decode(ciphertext), associated_data.encode())
    except (InvalidTag, binascii.Error, ValueError):
        return None


def read_sensitive(key: rsa.RSAPrivateKey, text: str) -> str | None:
    """A sensitive field: RSA-OAEP with SHA-1 and MGF1-SHA-1 (3.4); None when it was not made with this key."""
    oaep = padding.OAEP(mgf=padding.MGF1(hashes.SHA1()), algorithm=hashes.SHA1(), label=None)  # noqa: S303 - the protocol's
    try:
        return key.decrypt(base64.b64decode(text, validate=True), oaep).decode()
    except (binascii.Error, ValueError):
        return None
