"""Counters per state and reason, changed in the transaction of what they count."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaigns.models import DeliveryState
from campaigns.services.store import store

if TYPE_CHECKING:
    from collections import Counter

# Lanes count in shards 0 …; these belong to writers of which there is one at a time per campaign.
PROBE_SHARD = 999
RESULTS_SHARD = 1000
STEERING_SHARD = 1001


def bucket(state: str, reason: str) -> tuple[str, str]:
    """Where a row counts: a lease counts as waiting, waiting has no reason."""
    if state in (DeliveryState.PENDING, DeliveryState.LEASED):
        return (DeliveryState.PENDING.value, "")
    return (str(state), reason)


def add(brand_id: int, shard: int, deltas: Counter[tuple[int, str, str]]) -> None:
    """Add differences by (campaign, state, reason); the last statement of its transaction, so that nothing waits."""
    changed = sorted((key, count) for key, count in deltas.items() if count)
    if not changed:
        return
    store.add_tallies(
        [
            brand_id,
            shard,
            [key[0] for key, _ in changed],
            [key[1] for key, _ in changed],
            [key[2] for key, _ in changed],
            [count for _, count in changed],
        ],
    )
