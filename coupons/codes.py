"""Codes that people type: no letters that look alike, a check character, forgiving about how they are written."""

from __future__ import annotations

import functools
import hmac
import itertools
import operator
import unicodedata
from typing import Final

# 23 characters: what is mistaken for another one in print is left out (0 O Q, 1 I L, 2 Z, 5 S, 8 B, U). 23 is a prime,
# so the weighted sum finds every single wrong character and every two that changed places.
ALPHABET: Final = "34679ACDEFGHJKMNPRTVWXY"
LENGTH: Final = 12  # 11 by chance (2 to the power of 49.8) and one to check
_VALUE: Final = {character: value for value, character in enumerate(ALPHABET)}
_CHANCE: Final = LENGTH - 1
_WEIGHTS: Final = range(1, LENGTH)
_MANY: Final = len(ALPHABET) ** _CHANCE
_LONGEST: Final = 64
# Greek and Cyrillic capitals with the shape of one of ours; keyboards of other languages give them.
_SHAPES: Final = str.maketrans("АСЕНКМРТХУΑΕΗΚΜΝΡΤΧΥ", "ACEHKMPTXYAEHKMNPTXY")


@functools.cache
def _threes() -> list[str]:
    """Give three characters at a time: a batch has a million codes. Most processes never make one."""
    return ["".join(each) for each in itertools.product(ALPHABET, repeat=3)]


def check_character(first: str) -> str:
    """Give the character that follows eleven others."""
    return ALPHABET[sum(map(operator.mul, _WEIGHTS, map(_VALUE.__getitem__, first))) % len(ALPHABET)]


def derive(secret: bytes, serial: int) -> str:
    """Give the code with a number of a batch: the same secret and number give the same code, nothing else tells it."""
    number = int.from_bytes(hmac.digest(secret, serial.to_bytes(8), "sha256")[:16]) % _MANY
    number, last = divmod(number, len(ALPHABET) ** 2)
    threes = _threes()
    number, one = divmod(number, len(threes))
    two, three = divmod(number, len(threes))
    first = threes[one] + threes[two] + threes[three] + threes[last][1:]
    return first + check_character(first)


def folded(text: str) -> str | None:
    """Give the code somebody typed, None when no code looks like that.

    Case, full width, spaces, dashes and letters of other alphabets with the same shape make no difference.
    """
    if len(text) > _LONGEST:
        return None
    plain = unicodedata.normalize("NFKC", text).upper().translate(_SHAPES)
    code = "".join(each for each in plain if unicodedata.category(each) not in ("Pd", "Zs", "Cc", "Cf"))
    if len(code) != LENGTH or any(each not in _VALUE for each in code):
        return None
    return code if check_character(code[:-1]) == code[-1] else None


def shown(code: str) -> str:
    """Write a code in groups of four."""
    return "-".join(code[at : at + 4] for at in range(0, len(code), 4))
