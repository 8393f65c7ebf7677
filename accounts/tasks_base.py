"""The one way to define and to enqueue a task: the brand is its first argument, the broker may fail."""

from __future__ import annotations

import functools
import inspect
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import structlog
from celery import shared_task
from django.db import connection, transaction
from kombu.exceptions import OperationalError

from accounts.tenancy import current_scope

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

F = TypeVar("F", bound="Callable[..., Any]")


class Ringable(Protocol):
    """What can be enqueued."""

    name: str

    def apply_async(self, args: tuple[Any, ...], kwargs: dict[str, Any], **options: Any) -> Any:
        """Publish the wake-up call."""
        ...


def brand_task(**options: Any) -> Callable[[F], Ringable]:
    """Make a task whose first argument is `brand_id`.

    The body opens short `brand_scope(brand_id)` blocks itself. Keyword arguments it does not know are dropped, so that
    yesterday's worker survives today's caller. Every task must be safe to run twice and to be killed half way.
    """

    def decorate(body: F) -> Ringable:
        parameters = list(inspect.signature(body).parameters)
        if not parameters or parameters[0] != "brand_id":
            message = f"{body.__qualname__}: the first argument of a brand task is brand_id"
            raise TypeError(message)

        @functools.wraps(body)
        def run(brand_id: object, *args: Any, **kwargs: Any) -> Any:
            if not isinstance(brand_id, int) or isinstance(brand_id, bool):
                message = f"{body.__qualname__} needs a brand"
                raise TypeError(message)
            known = {key: value for key, value in kwargs.items() if key in parameters}
            with structlog.contextvars.bound_contextvars(brand=brand_id, task=body.__qualname__):
                try:
                    return body(brand_id, *args, **known)
                finally:
                    _assert_closed(body.__qualname__)

        return cast("Ringable", shared_task(**options)(run))

    return decorate


def global_task(**options: Any) -> Callable[[F], Ringable]:
    """Make a task that finds due work across brands (a sweeper); it does the work by ringing brand tasks."""

    def decorate(body: F) -> Ringable:
        @functools.wraps(body)
        def run(**_: Any) -> Any:
            try:
                return body()
            finally:
                _assert_closed(body.__qualname__)

        return cast("Ringable", shared_task(**options)(run))

    return decorate


def _assert_closed(name: str) -> None:
    if current_scope() is not None:
        logger.error("task %s left a brand scope open", name)


def ring(task: Ringable, *args: Any, **kwargs: Any) -> None:
    """Enqueue a task once the transaction has committed; once, however often one transaction asks for the same.

    A broker that is away is logged, never raised: the rows are in PostgreSQL and a sweeper rings again.
    """
    call = _Ring(task, args, kwargs)
    open_here = set(connection.savepoint_ids)
    # What was asked for in a savepoint that may still be taken back is no reason not to ask again.
    if not any(known == call and parts <= open_here for parts, known, *_ in connection.run_on_commit):
        transaction.on_commit(call)


@dataclass(frozen=True)
class _Ring:
    """A wake-up call that waits for the commit."""

    task: Ringable
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def __call__(self) -> None:
        _publish(self.task, self.args, self.kwargs)


def ring_later(task: Ringable, seconds: float, *args: Any) -> None:
    """Enqueue a task that is to run after some seconds; needs no database, which may be what is to be waited for."""
    _publish(task, args, {}, countdown=seconds)


def _publish(task: Ringable, args: tuple[Any, ...], kwargs: dict[str, Any], **options: Any) -> None:
    try:
        task.apply_async(args, kwargs, retry=False, **options)
    except (OperationalError, OSError) as error:
        logger.warning("could not ring %s: %s", task.name, type(error).__name__)
