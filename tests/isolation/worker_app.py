# ruff: noqa: E402 - Django must be set up before models are imported
"""Tasks that a real worker runs for the test of contexts: each says which brands' rows it saw and what it left behind.

Groups, chords, chains and links are not here because the product has none: a message carries one brand, work finds what
comes after it in PostgreSQL. `lint.findings` reports the first use of one.
"""

from __future__ import annotations

import json
import os
import signal

import django
import redis
from celery.signals import task_failure, task_postrun, task_prerun
from django.conf import settings
from django.db import connection

django.setup()  # before the models: celery sets Django up only once it has found this module

from accounts.tasks_base import brand_task, global_task, ring
from accounts.tenancy import brand_scope, current_scope, every_brand
from config.celery import app
from members.models import Tag

__all__ = ["app"]

SAID = "zhiyin:global:test:context"
EVERY_BRAND = 10  # tasks that beat starts have negative numbers, multiples of this: they neither fail nor nest
_client: dict[str, redis.Redis] = {}
app.conf.beat_schedule = {"look": {"task": "tests.context.tick", "schedule": 0.5, "options": {"queue": "context"}}}
# What a killed worker held comes again after this long; the product waits ten minutes.
app.conf.broker_transport_options = {
    **app.conf.broker_transport_options,
    "visibility_timeout": int(os.environ.get("CONTEXT_VISIBILITY", "600")),
    "unacked_restore_interval": 1,
    "unacked_restore_throttle": 0,
}


class TryAgain(Exception):
    """Makes the worker try once more."""


def say(**facts: object) -> None:
    """Tell the test."""
    client = _client.setdefault("client", redis.Redis.from_url(settings.REDIS_URL))
    client.rpush(SAID, json.dumps(facts | {"pid": os.getpid()}))


def rows() -> list[int]:
    """Which brands' rows plain SQL shows."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT brand_id FROM members_tag")
        return [row[0] for row in cursor.fetchall()]


@brand_task(name="tests.context.work", autoretry_for=(TryAgain,), default_retry_delay=0, max_retries=3, queue="context")
def work(brand_id: int, number: int) -> None:
    """Look at the brand's rows; some fail inside the scope, some are tried again, some nest."""
    first = connection.connection is None or number % 2 == 0
    with brand_scope(brand_id):
        say(what="saw", brand=brand_id, number=number, seen=sorted(set(rows()) | set(_by_manager())))
        if number % 10 == 3:
            raise ZeroDivisionError
        if number % 10 == 4 and first:
            _once(brand_id, number)
        if number % 10 == 5:
            with brand_scope(brand_id):
                Tag.objects.update(meaning=str(brand_id))
        if number % 10 == 6:
            with connection.cursor() as cursor:
                cursor.execute("SELECT nothing FROM nowhere")


def _by_manager() -> set[int]:
    return set(Tag.objects.values_list("brand_id", flat=True))


def _once(brand_id: int, number: int) -> None:
    client = _client["client"]
    if client.set(f"{SAID}:b{brand_id}:{number}", 1, nx=True, ex=600):
        raise TryAgain


@brand_task(name="tests.context.stumble", queue="context")
def stumble(brand_id: int, number: int, victim: str) -> None:
    """Be killed in the middle of the brand's transaction, the first time: the child alone, or the whole worker."""
    with brand_scope(brand_id):
        Tag.objects.update(meaning=f"half {number}")
        client = _client.setdefault("client", redis.Redis.from_url(settings.REDIS_URL))
        first = client.set(f"{SAID}:b{brand_id}:{number}:killed", 1, nx=True, ex=600)
        meaning = sorted(set(Tag.objects.values_list("meaning", flat=True)))
        say(what="half" if first else "again", brand=brand_id, number=number, seen=rows(), meaning=meaning)
        if first and victim == "worker" and not os.environ.get("CONTEXT_THREADS"):
            os.kill(os.getppid(), signal.SIGKILL)
        if first:
            os.kill(os.getpid(), signal.SIGKILL)


@global_task(name="tests.context.tick", queue="context")
def tick() -> None:
    """What beat starts: like the product's sweepers, look for brands and ring a task for each."""
    say(what="tick", seen=rows())
    with every_brand(reason="whom to ring"):
        brands = sorted(_by_manager())
    for brand in brands:
        ring(work, brand, -EVERY_BRAND)


@global_task(name="tests.context.sweep", queue="context")
def sweep() -> None:
    """Look without a brand."""
    say(what="sweep", seen=rows())


@task_prerun.connect
def before(sender: object = None, **_: object) -> None:
    """Say what the task before has left behind."""
    say(what="before", scope=str(current_scope() or ""), seen=rows())


@task_postrun.connect
def after(sender: object = None, **_: object) -> None:
    """Say what this task leaves behind."""
    say(what="after", scope=str(current_scope() or ""), seen=rows(), atomic=connection.in_atomic_block)


@task_failure.connect
def failed(sender: object = None, exception: Exception | None = None, args: object = (), **_: object) -> None:
    """Say how a task failed."""
    say(what="failed", error=type(exception).__name__, args=list(args or ()))
