"""Join codes that somebody shows to whoever joins: apps above say whose they are and what follows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from common.registry import Registry
from members.errors import JoinCodeRefused


@dataclass(frozen=True)
class JoinCodes:
    """`knows(code, at)` says whether somebody shows it; `join(code=, member_id=, is_new=, at=)` does what follows.

    The second is called in the transaction that binds the phone and raises `JoinCodeRefused` for a code that ended.
    """

    knows: Callable[[str, datetime], bool]
    join: Callable[..., None]


join_codes: Registry[JoinCodes] = Registry("join codes", purpose="codes shown to whoever joins, and what follows")


def check_join_code(code: str | None, *, at: datetime) -> None:
    """Refuse a join code that nobody shows, before anything is spent. Raises `JoinCodeRefused`."""
    if code is not None and not any(each.knows(code, at) for _key, each in join_codes.items()):
        raise JoinCodeRefused


def join_through(code: str | None, *, member_id: int, is_new: bool, at: datetime) -> None:
    """Do what follows a join code. Raises `JoinCodeRefused`."""
    if code is None:
        return
    found = next((each for _key, each in join_codes.items() if each.knows(code, at)), None)
    if found is None:
        raise JoinCodeRefused
    found.join(code=code, member_id=member_id, is_new=is_new, at=at)
