"""What Prometheus may ask about. One registry for each app, so that two in one process do not mix."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from backend.webhook import KNOWN

SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 100)


class Metrics:
    """The counters, filled by the parts that they are handed to."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._tasks = Counter("recaption_tasks", "Tasks answered", ["version", "outcome"], registry=self.registry)
        self._requests = Counter("recaption_requests", "HTTP requests", ["path", "status"], registry=self.registry)
        self._request_seconds = Histogram(
            "recaption_request_seconds", "Time to answer", ["path"], registry=self.registry, buckets=SECONDS
        )
        self._photo_seconds = Histogram(
            "recaption_photo_seconds", "Time to fetch and decode a picture", registry=self.registry, buckets=SECONDS
        )
        self._batch_seconds = Histogram(
            "recaption_batch_seconds", "Time of the model for a batch", registry=self.registry, buckets=SECONDS
        )
        self._batch_size = Histogram(
            "recaption_batch_size", "Pictures in a batch", registry=self.registry, buckets=(1, 2, 4, 8, 16)
        )
        self._events = Counter("recaption_webhook_events", "Webhook events", ["action"], registry=self.registry)
        self._swaps = Counter("recaption_swaps", "Versions that came to serve", ["outcome"], registry=self.registry)
        self._swap_seconds = Histogram(
            "recaption_swap_seconds", "Time from a pointer's move to serving", registry=self.registry, buckets=SECONDS
        )
        self._awaited = Gauge(
            "recaption_awaited_versions", "Pointers whose version does not serve", registry=self.registry
        )
        self._refused = Counter("recaption_auth_failures", "Requests without the password", registry=self.registry)

    def task(self, version: str, outcome: str) -> None:
        self._tasks.labels(version, outcome).inc()

    def request(self, path: str, status: int, seconds: float) -> None:
        self._requests.labels(path, str(status)).inc()
        self._request_seconds.labels(path).observe(seconds)

    def photo(self, seconds: float) -> None:
        self._photo_seconds.observe(seconds)

    def batch(self, size: int, seconds: float) -> None:
        self._batch_size.observe(size)
        self._batch_seconds.observe(seconds)

    def event(self, action: str) -> None:
        # Callers choose the action's text: only known names become labels, or memory would grow with each new one.
        self._events.labels(action if action in KNOWN else "other").inc()

    def refused(self) -> None:
        self._refused.inc()

    def swapped(self, outcome: str, seconds: float | None = None) -> None:
        """`outcome`: swapped or quarantined."""
        self._swaps.labels(outcome).inc()
        if seconds is not None:
            self._swap_seconds.observe(seconds)

    def awaited(self, count: int) -> None:
        """How many pointers name a version that does not serve: 0 when all is well."""
        self._awaited.set(count)

    def watch(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        """A gauge that reads its value when asked."""
        Gauge(f"recaption_{name}", meaning, registry=self.registry).set_function(read)

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self.registry)
