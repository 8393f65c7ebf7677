"""Registries: how a new file adds behaviour without a shared list being edited."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")
D = TypeVar("D")

ALL: dict[str, Registry[object]] = {}


@dataclass(frozen=True)
class Entry(Generic[T]):
    """One registered item. `registered` is where a value was, which does not know its own place."""

    key: str
    item: T
    registered: str = ""

    @property
    def where(self) -> str:
        """The place it came from (`module:line`). Found by reading the source, so only when somebody asks."""
        return self.registered or _definition(self.item)


class Registry(Generic[T]):
    """Keys to items. Keys are stored in rows, so they are promises: rename by alias, never reuse."""

    def __init__(self, name: str, *, purpose: str) -> None:
        self.name = name
        self.purpose = purpose
        self._entries: dict[str, Entry[T]] = {}
        self._aliases: dict[str, str] = {}
        ALL[name] = self  # type: ignore[assignment]

    def register(self, key: str, item: T, *, aliases: tuple[str, ...] = ()) -> T:
        """Add an item; a key that is taken raises `ValueError` (registering the same item twice is fine)."""
        known = self._entries.get(key)
        if known is not None and known.item is not item:
            message = f"{self.name}: {key!r} is taken by {known.where}"
            raise ValueError(message)
        self._entries[key] = Entry(key, item, "" if _is_defined(item) else _caller())
        for alias in aliases:
            self._aliases[alias] = key
        return item

    def add(self, key: str, *, aliases: tuple[str, ...] = ()) -> Callable[[D], D]:
        """Register the decorated object under `key`."""

        def decorate(item: D) -> D:
            self.register(key, item, aliases=aliases)  # type: ignore[arg-type]
            return item

        return decorate

    def get(self, key: str) -> T:
        """Give the item of a key or alias; unknown keys raise `KeyError`."""
        return self._entries[self._aliases.get(key, key)].item

    def find(self, key: str) -> T | None:
        """Give the item of a key or alias, or None."""
        entry = self._entries.get(self._aliases.get(key, key))
        return entry.item if entry else None

    def entries(self) -> list[Entry[T]]:
        """Give every entry, ordered by key."""
        return [self._entries[key] for key in sorted(self._entries)]

    def items(self) -> Iterator[tuple[str, T]]:
        """Give (key, item) pairs, ordered by key."""
        return ((entry.key, entry.item) for entry in self.entries())

    def __contains__(self, key: str) -> bool:
        return key in self._entries or key in self._aliases


def _is_defined(item: object) -> bool:
    return inspect.isclass(item) or inspect.isroutine(item)


def _definition(item: Any) -> str:
    module = getattr(item, "__module__", "?")
    try:
        line = inspect.getsourcelines(item)[1]
    except (OSError, TypeError):
        return module
    return f"{module}:{line}"


def _caller() -> str:
    """Say which module registers: its own line if it is being imported, else the nearest function outside of here."""
    nearest = ""
    frame = inspect.currentframe()
    while frame is not None:
        module = str(frame.f_globals.get("__name__"))
        if module.startswith(("importlib", "django")):
            break
        if module != __name__:
            place = f"{module}:{frame.f_lineno}"
            if frame.f_code.co_name == "<module>":
                return place
            nearest = nearest or place
        frame = frame.f_back
    return nearest
