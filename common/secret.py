"""A value that must never be printed, logged or serialised by accident."""

from __future__ import annotations

import hmac
from typing import Any, NoReturn


class Secret:
    """Wraps a secret string; every way of showing it gives `***`, only `reveal()` opens it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Give the plain text. Call it where the value is used, never to store or log it."""
        return self._value

    def __str__(self) -> str:
        return "***"

    __repr__ = __str__

    def __format__(self, format_spec: str) -> str:
        return "***"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> NoReturn:
        message = "a Secret cannot be pickled"
        raise TypeError(message)

    def __getattr__(self, name: str) -> Any:
        # Serialisers probe for __json__, isoformat and the like: none of them may succeed.
        raise AttributeError(name)
