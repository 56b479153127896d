# SPDX-License-Identifier: Apache-2.0
"""What Prometheus may ask: requests by route and status, their seconds, jobs by state, the worker.

Labels are route templates, never paths: a path may hold an identifier.
"""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from monai_cxr_cf.server.queue.jobs import STATES
from monai_cxr_cf.server.queue.store import Store


class Metrics:
    """The figures of one server."""

    def __init__(self, store: Store) -> None:
        self._registry = CollectorRegistry()
        names = ("route", "method", "status")
        self._requests = Counter(
            "cxr_cf_requests", "HTTP requests.", names, registry=self._registry
        )
        self._seconds = Histogram(
            "cxr_cf_request_seconds", "Seconds of a request.", ["route"], registry=self._registry
        )
        self._registry.register(_Jobs(store))

    def seen(self, route: str, method: str, status: int, *, seconds: float) -> None:
        """Count one request."""
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def exposed(self) -> tuple[bytes, str]:
        """Prometheus text and its media type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST


class _Jobs(Collector):
    """Counts jobs when asked."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def collect(self) -> Iterator[Metric]:
        jobs = GaugeMetricFamily("cxr_cf_jobs", "Jobs by state.", labels=["state"])
        counts = self._store.counts()
        for state in STATES:
            jobs.add_metric([state], counts.get(state, 0))
        yield jobs
        ready = self._store.worker() is not None
        yield GaugeMetricFamily("cxr_cf_worker_ready", "1: weights are loaded.", value=float(ready))

    def describe(self) -> list[Metric]:
        return []
