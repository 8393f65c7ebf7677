"""`/metrics`: requests as they were counted, and the state of inbox, sending, tokens and queues at this moment."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

import redis
from django.conf import settings
from django.db import connection
from django.db.models import Count, Max, Q, Sum
from django.http import Http404, HttpResponse
from django.views.decorators.http import require_GET
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import GaugeMetricFamily

from accounts.tenancy import every_brand
from campaigns.models import Tally
from common import clock, metrics
from wechat_gateway.models import AccessToken, InboundPush, PushState

if TYPE_CHECKING:
    from django.http import HttpRequest
    from prometheus_client.metrics_core import Metric

QUEUES = ("inbound", "send", "sync", "default")
TIMEOUT_MS = 1000


@require_GET
def scrape(request: HttpRequest) -> HttpResponse:
    """Answer Prometheus; without the token (`ZHIYIN_METRICS_TOKEN`) there is nothing here."""
    token: str = settings.METRICS_TOKEN
    given = request.headers.get("Authorization", "").encode()
    if not token or not hmac.compare_digest(given, f"Bearer {token}".encode()):
        raise Http404
    return HttpResponse(
        metrics.exposition(), content_type=CONTENT_TYPE_PLAIN_0_0_4, headers={"Cache-Control": "no-store"}
    )


def _work() -> Iterator[Metric]:
    """What waits in PostgreSQL, over all brands: counts only, read from small partial indexes and tallies."""
    at = clock.now()
    with every_brand(reason="metrics"):
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = {TIMEOUT_MS}")
        pushes = dict(
            InboundPush.objects.filter(state__in=[PushState.NEW, PushState.FAILED, PushState.QUARANTINED])
            .order_by()
            .values_list("state")
            .annotate(count=Count("pk")),
        )
        messages = dict(Tally.objects.order_by().values_list("state").annotate(people=Sum("count")))
        tokens = AccessToken.objects.filter(fetched_at__isnull=False).aggregate(
            known=Count("pk"), over=Count("pk", filter=Q(expires_at__lte=at)), newest=Max("fetched_at")
        )
    inbox = GaugeMetricFamily("zhiyin_inbox_pushes", "Pushes that wait, failed or are in quarantine.", labels=["state"])
    for state in (PushState.NEW, PushState.FAILED, PushState.QUARANTINED):
        inbox.add_metric([state.value], pushes.get(state, 0))
    yield inbox
    sent = GaugeMetricFamily("zhiyin_deliveries", "Messages of campaigns by state.", labels=["state"])
    for state, people in sorted(messages.items()):
        sent.add_metric([state], people)
    yield sent
    yield GaugeMetricFamily("zhiyin_access_tokens", "Access tokens that are kept.", value=tokens["known"])
    yield GaugeMetricFamily("zhiyin_access_tokens_over", "Access tokens that have ended.", value=tokens["over"])
    if tokens["newest"] is not None:
        age = (at - tokens["newest"]).total_seconds()
        yield GaugeMetricFamily("zhiyin_access_token_age_seconds", "Age of the newest access token.", value=age)


def _queues() -> Iterator[Metric]:
    """How many wake-up calls wait in each queue."""
    pipe = _broker(settings.REDIS_URL).pipeline(transaction=False)
    for queue in QUEUES:
        pipe.llen(queue)
    family = GaugeMetricFamily("zhiyin_queue_calls", "Wake-up calls that wait for a worker.", labels=["queue"])
    for queue, waiting in zip(QUEUES, pipe.execute(), strict=True):
        family.add_metric([queue], waiting)
    yield family


@lru_cache(maxsize=4)
def _broker(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=0.5, socket_connect_timeout=0.5)


metrics.figures.register("config.work", _work)
metrics.figures.register("config.queues", _queues)
