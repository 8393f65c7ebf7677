"""Wake-up calls of welcome sequences: PostgreSQL says what is due, a lost, doubled or late call does no harm."""

from __future__ import annotations

from accounts.tasks_base import brand_task, global_task
from accounts.tenancy import brand_scope
from common import clock


@brand_task(name="welcomes.tasks.run_due")
def run_due(brand_id: int) -> None:
    """Settle what is due for new followers of a brand."""
    from welcomes import services

    more = 1
    while more:
        with brand_scope(brand_id):
            more = services.run_due(at=clock.now())


@global_task(name="welcomes.tasks.sweep")
def sweep() -> None:
    """Find the brands in which something is due, and ring for them (every 5 s)."""
    from welcomes import services

    services.sweep(at=clock.now())
