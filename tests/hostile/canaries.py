"""Values that must not come out anywhere, in every spelling they could come out in."""

import base64
import json
import secrets
import string
from urllib.parse import quote, quote_plus

LETTERS = string.ascii_letters + string.digits


def letters(count):
    return "".join(secrets.choice(LETTERS) for _ in range(count))


def base64_of(data):
    """The part of base64 that stays the same wherever `data` begins in what is encoded, for the three places it can."""
    found = set()
    for shift in range(3):
        text = base64.b64encode(b"\0" * shift + data).decode()
        text = text[-(-shift * 4 // 3) + (shift > 0) :] if shift else text
        found.add(text.rstrip("=")[: (len(data) * 8 - 6 * 2) // 6 - 1])
    return {each for each in found if len(each) >= 10}


def spellings(secret):
    """The secret as it is, URL-encoded, base64, JSON-escaped, reversed, in hex, in either case, and each of its halves."""
    data = secret.encode()
    escaped = json.dumps(secret)[1:-1]
    found = {
        secret, quote(secret, safe=""), quote_plus(secret), quote(quote(secret, safe=""), safe=""), escaped, json.dumps(escaped)[1:-1],
        secret[::-1], data.hex(), data.hex().upper(), "".join(f"\\u{ord(each):04x}" for each in secret),
    }  # fmt: skip
    if not secret.isdigit():
        found |= {secret.lower(), secret.upper()}
    if len(secret) >= 20:
        half = len(secret) // 2
        found |= {secret[:half], secret[half:]}
    return found | base64_of(data) | base64_of(secret[::-1].encode())
