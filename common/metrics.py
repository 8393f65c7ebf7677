"""Counting requests for Prometheus, and figures that are read when somebody asks.

With `PROMETHEUS_MULTIPROC_DIR` set, the processes of one machine add up in files there; without it each counts alone.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from common.registry import Registry

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase
    from prometheus_client.metrics_core import Metric

logger = logging.getLogger(__name__)

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

own = CollectorRegistry()
requests = Counter("zhiyin_requests", "Requests answered.", ["route", "method", "status"], registry=own)
latency = Histogram("zhiyin_request_seconds", "Time to answer.", ["route"], buckets=_BUCKETS, registry=own)

# What is read at the moment of asking: callable() -> metric families. Whatever it asks must be cheap.
figures: Registry[Callable[[], Iterable[Metric]]] = Registry("metrics", purpose="figures read when Prometheus asks")


class RequestMetricsMiddleware:
    """Counts every answer by route, method and status; routes are patterns, so no id or brand is ever a label."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Measure one request."""
        started = time.perf_counter()
        response = self.get_response(request)
        match = request.resolver_match
        route = match.route or "/" if match is not None else "unmatched"
        method = request.method if request.method in _METHODS else "other"
        requests.labels(route, method, str(response.status_code)).inc()
        latency.labels(route).observe(time.perf_counter() - started)
        return response


class _Figures:
    """Asks every registered source; one that fails is left out and logged, the others still answer."""

    def collect(self) -> Iterator[Metric]:
        """Give all families."""
        for key, read in figures.items():
            try:
                found = list(read())
            except Exception:
                logger.exception("figures %s could not be read", key)
                continue
            yield from found


def exposition() -> bytes:
    """Give everything in Prometheus's text format."""
    asked = CollectorRegistry()
    asked.register(_Figures())
    counted: Any = own
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        counted = CollectorRegistry()
        MultiProcessCollector(counted)  # type: ignore[no-untyped-call]
    return generate_latest(counted) + generate_latest(asked)
