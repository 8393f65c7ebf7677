"""Celery: wake-up calls for workers. PostgreSQL holds the truth; a lost or doubled message does no harm."""

import os
from typing import Any

from celery import Celery
from celery.signals import worker_init

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("zhiyin")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_init.connect
def refuse_unsafe_worker(**_: Any) -> None:
    """A worker that row security does not bind must not start."""
    from config.startup import refuse_unsafe

    refuse_unsafe()
