"""Whether the process lives and whether it can work; nothing about versions, hosts or brands."""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import TYPE_CHECKING

import redis
from django.conf import settings
from django.db import Error, connection
from django.db.migrations.loader import MigrationLoader
from django.http import HttpResponse, JsonResponse
from django.views.decorators.http import require_safe

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest

logger = logging.getLogger(__name__)


@require_safe
def alive(_request: HttpRequest) -> HttpResponse:
    """200 as long as the process answers."""
    return HttpResponse("ok", content_type="text/plain", headers={"Cache-Control": "no-store"})


@require_safe
def ready(_request: HttpRequest) -> JsonResponse:
    """200 when everything this process needs is there, else 503 with the part that is not."""
    parts = {name: _holds(name, ask) for name, ask in _PARTS.items()}
    status = 200 if all(parts.values()) else 503
    body = {name: "ok" if holds else "not ready" for name, holds in parts.items()}
    return JsonResponse(body, status=status, headers={"Cache-Control": "no-store"})


def _holds(name: str, ask: Callable[[], bool]) -> bool:
    try:
        return ask()
    except (Error, redis.RedisError) as error:
        logger.warning("not ready: %s (%s)", name, type(error).__name__)
        return False


def _database() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        return bool(cursor.fetchone() == (1,))


def _redis() -> bool:
    return bool(_client(settings.REDIS_URL).ping())


@lru_cache(maxsize=4)
def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=0.5, socket_connect_timeout=0.5)


_known: set[tuple[str, str]] = set()


def _migrations() -> bool:
    """Compare the files with what the database has; files do not change while a process runs, so they are read once."""
    wanted = _wanted()
    if not wanted <= _known:
        with connection.cursor() as cursor:
            cursor.execute("SELECT app, name FROM django_migrations")
            _known.update(cursor.fetchall())
    return wanted <= _known


@lru_cache(maxsize=1)
def _wanted() -> frozenset[tuple[str, str]]:
    loader = MigrationLoader(None)
    return frozenset(loader.disk_migrations or ())


_PARTS: dict[str, Callable[[], bool]] = {"database": _database, "redis": _redis, "migrations": _migrations}
