"""What must hold before a process of the product starts to work: row security binds it, and production is safe."""

from __future__ import annotations

import gc
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.db.backends.signals import connection_created

from accounts.checks import role_problem

if TYPE_CHECKING:
    from django.core.checks import CheckMessage

logger = logging.getLogger(__name__)

_KEY = "config.startup"


def keep_what_is_loaded() -> None:
    """Have the garbage collector never look through what is loaded by now: it stays as long as the process.

    Call it last in an entry, before anything forks: children then share those pages for longer, too.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def refuse_unsafe() -> None:
    """End the process with a message unless it may run. Call it in every entry: web, gateway, workers.

    While the database is away nobody can say; then the first connection is refused if its role is wrong.
    It asks from a thread of its own: an ASGI server imports its application inside the event loop, and whoever forks
    afterwards must not share the connection.
    """
    with ThreadPoolExecutor(1) as pool:
        problem = pool.submit(_ask).result()
    if problem is not None and problem.is_serious():
        raise SystemExit(f"{problem.msg}\n  {problem.hint}")
    if problem is not None:
        logger.warning("%s It is asked again at the first connection.", problem.msg)
        connection_created.connect(_ask_again, dispatch_uid=_KEY)
    if settings.IS_PRODUCTION:
        for found in checks.run_checks(tags=[checks.Tags.security], include_deployment_checks=True):
            if found.is_serious():
                raise SystemExit(f"{found.msg}\n  {found.hint or ''}".rstrip())


def _ask() -> CheckMessage | None:
    try:
        return role_problem()
    finally:
        connection.close()


def _ask_again(sender: object, connection: Any, **_: Any) -> None:
    if connection.alias != "default":
        return
    # The question itself uses this connection: do not ask about the asking.
    connection_created.disconnect(dispatch_uid=_KEY)
    problem = role_problem()
    if problem is None:
        return
    connection_created.connect(_ask_again, dispatch_uid=_KEY)
    if problem.is_serious():
        connection.close()
        raise ImproperlyConfigured(problem.msg)
