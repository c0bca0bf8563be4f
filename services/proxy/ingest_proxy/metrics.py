"""What the proxy counts. Cheap enough for every request: children are looked up once."""

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pipeline_contracts.proxy import ProducedRecord
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_SECONDS = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.25, 0.5, 1, 2, 4, 8, 16, 25)
_METHODS = ("GET", "POST")


class Metrics:
    """Counters of one process."""

    def __init__(self, registry: CollectorRegistry, topics: Iterable[str]) -> None:
        self._requests = Counter("proxy_requests", "Answered requests", ["method", "status"], registry=registry)
        self._seconds = Histogram(
            "proxy_request_seconds",
            "From the head of a request to its answer",
            ["method"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._in_flight = Gauge("proxy_requests_in_flight", "Requests being worked on", registry=registry)
        stored = Counter("proxy_records_stored", "Records that Kafka acknowledged", ["topic"], registry=registry)
        failed = Counter("proxy_records_failed", "Records told as failed", ["topic", "retriable"], registry=registry)
        body = Counter("proxy_body_bytes", "Bodies of produce requests", ["topic"], registry=registry)
        self._stored = {topic: stored.labels(topic) for topic in topics}
        self._body = {topic: body.labels(topic) for topic in topics}
        self._failed = failed
        self._by_status: dict[tuple[str, str], Counter] = {}
        self._by_method = {method: self._seconds.labels(method) for method in (*_METHODS, "other")}

    def received(self, topic: str, body_bytes: int) -> None:
        """A produce request's body was read."""
        self._body[topic].inc(body_bytes)

    def produced(self, topic: str, outcomes: list[ProducedRecord]) -> None:
        """The outcomes of one request."""
        failed = [outcome for outcome in outcomes if outcome.error_code is not None]
        self._stored[topic].inc(len(outcomes) - len(failed))
        for outcome in failed:
            self._failed.labels(topic, "no" if outcome.error_code == 1 else "yes").inc()

    def around(self, app: "WSGIApplication") -> "WSGIApplication":
        """The same application, counted and timed. (Hooks of the framework cost more than this.)"""

        def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
            started = time.perf_counter()
            method = environ["REQUEST_METHOD"]
            method = method if method in _METHODS else "other"
            answered = ["500"]

            def start(status: str, *rest: object) -> object:
                answered[0] = status[:3]
                return start_response(status, *rest)  # type: ignore[arg-type]

            self._in_flight.inc()
            try:
                return app(environ, start)  # type: ignore[arg-type]
            finally:
                self._in_flight.dec()
                self._by_method[method].observe(time.perf_counter() - started)
                self._count(method, answered[0])

        return application

    def _count(self, method: str, status: str) -> None:
        counter = self._by_status.get((method, status))
        if counter is None:
            counter = self._by_status[method, status] = self._requests.labels(method, status)
        counter.inc()
