"""What a member's card shows beside the person: apps above register sections, one query each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from common.registry import Registry


@dataclass(frozen=True)
class Section:
    """One part of the card: its name, how the API describes it, and its values for a member (None for nothing)."""

    key: str
    serializer: type
    load: Callable[[int], dict[str, Any] | None]


sections: Registry[Section] = Registry("card sections", purpose="what a member's card shows beside the person")
