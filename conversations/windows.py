"""Customer-service messages that answers need: taken, before they leave, from the one ledger of what acts allow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from common.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime


class Reserve(Protocol):
    """Take messages for followers: {follower id: how many are wanted} → {follower id: how many may go}."""

    def __call__(self, *, wanted: Mapping[int, int], at: datetime) -> dict[int, int]:
        """Take what is allowed, in the caller's transaction."""
        ...


class Settle(Protocol):
    """Put right what was taken: messages that did not leave, and what WeChat refused."""

    def __call__(
        self, *, unsent: Iterable[tuple[int, datetime]], refused: Iterable[tuple[int, int]], at: datetime
    ) -> None:
        """Give back (follower id, when it was taken); believe (follower id, WeChat's code)."""
        ...


class Hold(Protocol):
    """Lock what is locked before a follower's ledger, for who changes the ledger first and the rest afterwards."""

    def __call__(self, *, follower_id: int) -> None:
        """Lock it until the transaction ends."""
        ...


@dataclass(frozen=True)
class Ledger:
    """Where it is kept how many messages a follower's own acts still allow, whoever sends them."""

    reserve: Reserve
    settle: Settle
    hold: Hold


ledgers: Registry[Ledger] = Registry("reply ledgers", purpose="what may still be written to a follower, by anybody")


def reserve(*, wanted: Mapping[int, int], at: datetime) -> dict[int, int]:
    """Take messages before they leave; without a ledger each push's own allowance is all that is known."""
    granted = dict(wanted)
    for _key, ledger in ledgers.items():
        granted = ledger.reserve(wanted=granted, at=at)
    return granted


def hold(*, follower_id: int) -> None:
    """Lock what is locked before the ledger of a follower whom a person will be asked for."""
    for _key, ledger in ledgers.items():
        ledger.hold(follower_id=follower_id)


def settle(*, unsent: list[tuple[int, datetime]], refused: list[tuple[int, int]], at: datetime) -> None:
    """Give back what was taken and not sent, and believe WeChat where it knows better."""
    if not (unsent or refused):
        return
    for _key, ledger in ledgers.items():
        ledger.settle(unsent=unsent, refused=refused, at=at)
