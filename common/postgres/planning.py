"""Telling PostgreSQL how to read a large brand, which it takes for a small one: it keeps no statistics of brands."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.db import connection

if TYPE_CHECKING:
    from collections.abc import Iterator

_PLANNING = "SELECT set_config('enable_sort', %s, true), set_config('enable_bitmapscan', %s, true)"


@contextmanager
def in_order() -> Iterator[None]:
    """Have rows read in the order of an index, up to the limit.

    Left to itself PostgreSQL would read all that an index finds in a brand first, and sort it. For questions whose
    order an index has, or that have none. The settings travel with the statements, so they cost no round trip.
    """
    wrapper: Any = connection
    wrapper.send_ahead(_PLANNING, ("off", "off"))
    try:
        yield
    finally:
        wrapper.send_ahead(_PLANNING, ("on", "on"))


@contextmanager
def by_one_process() -> Iterator[None]:
    """Have PostgreSQL read without parallel workers.

    For statements over a small part of a large brand, which has an index of its own: to share the work PostgreSQL
    would rather read all of a larger index.
    """
    wrapper: Any = connection
    wrapper.send_ahead("SET LOCAL max_parallel_workers_per_gather = 0", ())
    try:
        yield
    finally:
        wrapper.send_ahead("SET LOCAL max_parallel_workers_per_gather TO DEFAULT", ())
