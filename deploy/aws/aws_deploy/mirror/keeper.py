"""Keeps one side as it should be: looks every few seconds, and makes again what is lost."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge
from service_kit.clock import Clock
from service_kit.ops import NotReadyError
from service_kit.retries import RetryPolicy
from service_kit.shutdown import Shutdown

from aws_deploy.errors import DeployError
from aws_deploy.mirror.sides import Side

_LOG = logging.getLogger(__name__)
SEEN_WITHIN_S = 15.0
"""A side not seen whole for longer than this is not ready, whatever the last look said."""


class Metrics:
    """What the mirror counts, by side."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.deployments = Counter(
            "mirror_deployments",
            "Attempts to make a side, by outcome (ok, failed)",
            ["side", "outcome"],
            registry=registry,
        )
        self.seconds = Counter("mirror_deployment_seconds", "Time spent on these attempts", ["side"], registry=registry)
        self.seen = Gauge(
            "mirror_last_seen_timestamp_seconds", "When the side was last seen whole", ["side"], registry=registry
        )


@dataclass(frozen=True)
class _Seen:
    at: float


@dataclass(frozen=True)
class _Trouble:
    text: str


class Keeper:
    """Keeps one side. ``run`` belongs to one thread; ``ready`` may be asked from any."""

    def __init__(self, side: Side, *, metrics: Metrics, clock: Clock, check_seconds: float) -> None:
        self._side = side
        self._metrics = metrics
        self._clock = clock
        self._check_seconds = check_seconds
        self._made = False
        # One reference, replaced whole: readers on other threads see one or the other.
        self._state: _Seen | _Trouble = _Trouble("has not been deployed yet")

    def ready(self) -> str:
        """A check for ``/readyz``: made completely, and seen lately."""
        state = self._state
        if isinstance(state, _Trouble):
            raise NotReadyError(state.text)
        age = self._clock.monotonic() - state.at
        if age > SEEN_WITHIN_S:
            raise NotReadyError(f"has not been seen for {age:.0f} s")
        return f"seen {age:.0f} s ago"

    def run(self, shutdown: Shutdown) -> None:
        """Keep until asked to stop. A failure is logged and retried, with growing waits up to 5 s."""
        waits = self._backoff()
        while not shutdown.requested:
            try:
                self.step()
            except DeployError as error:
                self._failed(str(error))
                _LOG.warning("side cannot be kept now", extra={"side": self._side.name, "reason": str(error)})
                wait = next(waits)
            except Exception as error:  # noqa: BLE001 (outermost loop: a mirror that has ended keeps nothing)
                self._failed(f"{type(error).__name__}: {error}")
                _LOG.exception("side failed unexpectedly", extra={"side": self._side.name})
                wait = next(waits)
            else:
                waits = self._backoff()
                wait = self._check_seconds
            shutdown.wait(wait)

    def step(self) -> None:
        """Look once; deploy at the first time, and when something is lost.

        Raises:
            DeployError: the side does not answer, or could not be made.
        """
        lost = self._side.lost()
        if lost or not self._made:
            self._made = False
            self._state = _Trouble(f"is being deployed; missing: {', '.join(lost) or 'nothing known'}")
            self._deploy(lambda: self._side.make(lost))
            self._made = True
        self._state = _Seen(self._clock.monotonic())
        self._metrics.seen.labels(self._side.name).set(self._clock.now().timestamp())

    def _deploy(self, make: Callable[[], object]) -> None:
        name = self._side.name
        start = self._clock.monotonic()
        outcome = "failed"
        try:
            done = make()
            outcome = "ok"
            _LOG.info("side deployed", extra={"side": name, "done": done})
        finally:
            self._metrics.seconds.labels(name).inc(self._clock.monotonic() - start)
            self._metrics.deployments.labels(name, outcome).inc()

    def _failed(self, reason: str) -> None:
        self._state = _Trouble(reason)

    def _backoff(self) -> Iterator[float]:
        return RetryPolicy(deadline_s=float("inf"), first_wait_s=0.2, longest_wait_s=5.0, clock=self._clock).waits()
