"""What a member's card shows beside the person: apps above register sections, one query each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from common.registry import Registry


@dataclass(frozen=True)
class Section:
    """One part of the card: its name, how the API describes it, and its values for a member (None for nothing)."""

    key: str
    serializer: type
    load: Callable[[int], dict[str, Any] | None]


sections: Registry[Section] = Registry("card sections", purpose="what a member's card shows beside the person")


@dataclass(frozen=True)
class Part:
    """Some of what the member centre shows: names with how the API describes each, and one reading of all of them.

    A name that the card has too takes its place: the centre says more of it. What is read costs as many queries for a
    member with a thousand rows as for one with three.
    """

    shapes: Mapping[str, type]
    load: Callable[[int, datetime], dict[str, Any]]


centre_parts: Registry[Part] = Registry("centre parts", purpose="what the member centre's one call shows")
