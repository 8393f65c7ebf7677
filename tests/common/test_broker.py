"""A worker outlives its broker: acknowledging a message of a connection that has gone is a lost connection, no more."""

import logging
import uuid

import pytest
from django.conf import settings
from kombu import Connection

from config import celery

logger = logging.getLogger(__name__)


def test_a_late_acknowledgement_does_no_harm(caplog):
    assert celery.app.main == "zhiyin"
    with Connection(settings.REDIS_URL) as connection:
        queue = connection.SimpleQueue(f"late-{uuid.uuid4().hex}")
        queue.put({"brand": 1})
        queue.put({"brand": 2})
        queue.get(timeout=10).ack()
        late = queue.get(timeout=10)
        late.channel._closing = True
        late.channel._disconnect_pools()
        late.channel.connection.client = None  # what the loss of a connection leaves behind

        late.ack_log_error(logger, connection.connection_errors)

        assert "Couldn't ack" in caplog.text
        late.channel.connection.client = connection


def test_giving_messages_back_after_the_loss_is_a_lost_connection():
    with Connection(settings.REDIS_URL) as connection:
        queue = connection.SimpleQueue(f"late-{uuid.uuid4().hex}")
        channel = queue.channel
        channel._disconnect_pools()
        channel.connection.client = None
        with pytest.raises(connection.connection_errors):
            channel.qos.restore_unacked()
        channel.connection.client = connection
