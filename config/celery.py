"""Celery: wake-up calls for workers. PostgreSQL holds the truth; a lost or doubled message does no harm."""

import os
from typing import Any

from celery import Celery
from celery.signals import worker_init
from kombu.transport import redis as kombu_redis
from redis.exceptions import ConnectionError as BrokerGone

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")


class LateAcks(kombu_redis.QoS):
    """Acknowledgements that may come after their connection has gone.

    kombu looks for the address of a connection that is no more, and the AttributeError ends the worker. As a lost
    connection it is what it is: the message comes again, and doing its task again is harmless.
    """

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message, or say that nobody is there any more."""
        if self.channel.connection is None or self.channel.connection.client is None:
            raise BrokerGone("the connection of this message has gone")
        super().ack(delivery_tag)


kombu_redis.Channel.QoS = LateAcks

app = Celery("zhiyin")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_init.connect
def refuse_unsafe_worker(**_: Any) -> None:
    """A worker that row security does not bind must not start."""
    from config.startup import refuse_unsafe

    refuse_unsafe()
