"""Celery: wake-up calls for workers. PostgreSQL holds the truth; a lost or doubled message does no harm."""

import os
from importlib import import_module
from typing import Any

from celery import Celery
from celery.signals import worker_init
from kombu.transport import redis as kombu_redis
from redis.exceptions import ConnectionError as BrokerGone

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
# Django's checks import every page and every REST view, 7 MB in each worker; `manage.py` runs them, when migrating at
# the latest. What makes a worker unsafe is looked at below.
os.environ.setdefault("CELERY_SKIP_CHECKS", "1")


_channel: Any = kombu_redis.Channel  # no stub knows the method below
_connparams = _channel._connparams  # noqa: SLF001 - the one place that all of them pass


def _address_of_broker(channel: Any, *args: Any, **kwargs: Any) -> Any:
    """Where a channel's broker is; a lost connection when the channel's connection has gone.

    Acknowledging and giving back after that look for an address that is no more. kombu's AttributeError would end the
    worker, a lost connection does not: the messages come again, and doing their tasks again is harmless.
    """
    if channel.connection is None or channel.connection.client is None:
        raise BrokerGone("the connection of this channel has gone")
    return _connparams(channel, *args, **kwargs)


_channel._connparams = _address_of_broker  # noqa: SLF001

app = Celery("zhiyin")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_init.connect
def load_before_forking(**_: Any) -> None:
    """What is otherwise imported with the first call to WeChat: loaded once, the children share it."""
    import_module("wechat_gateway.curl")


@worker_init.connect
def refuse_unsafe_worker(**_: Any) -> None:
    """A worker that row security does not bind must not start; one that starts shares what is loaded."""
    from config.startup import keep_what_is_loaded, refuse_unsafe

    refuse_unsafe()
    keep_what_is_loaded()
