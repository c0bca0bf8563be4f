"""One query: started, watched, and started again when it failed."""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, get_args

from pipeline_contracts.names import Kind
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from service_kit.clock import Clock
from service_kit.retries import RetryPolicy

from stream_reader.lake.failures import FAILURES, brief
from stream_reader.metrics import Metrics
from stream_reader.queries.batch import BatchWriter
from stream_reader.queries.pulse import Pulse
from stream_reader.queries.rejects import RejectWindow
from stream_reader.queries.streams import StreamError, Streams

logger = logging.getLogger(__name__)

State = Literal["starting", "running", "failed"]
STATES: Final[tuple[State, ...]] = get_args(State)
_AFTER_TROUBLE_S = 5.0
_LINES, _CHARACTERS = 8, 2000
_FRAMES_FOLLOW = "Traceback (most recent call last):"
_ANOTHER_FOLLOWS = {
    "During handling of the above exception, another exception occurred:",
    "The above exception was the direct cause of the following exception:",
}
_GO_ON_WITHOUT = (
    "to continue without these records, set STREAM_READER_FAIL_ON_DATA_LOSS=false and restart the stream reader"
)


class Running(Protocol):
    """What this module needs of a ``StreamingQuery``."""

    @property
    def id(self) -> str:
        """The checkpoint's own query id."""

    @property
    def isActive(self) -> bool:  # noqa: N802 (PySpark's name)
        """Whether it runs."""

    @property
    def status(self) -> dict[str, Any]:
        """``isDataAvailable``: whether the last look at the source found something new."""

    @property
    def lastProgress(self) -> Mapping[str, Any] | None:  # noqa: N802 (PySpark's name)
        """Its last look at the source; None until the first one is over."""

    def exception(self) -> Exception | None:
        """Why it ended; None where it was stopped."""

    def stop(self) -> None:
        """End it now."""


Launch = Callable[[Kind, str], tuple[BatchWriter, Running]]
"""Starts the query of a kind on the stream with this log id."""


@dataclass(frozen=True)
class Limits:
    """Times in seconds."""

    describe_interval_s: float
    lag_limit_s: float
    close_s: float
    settled_s: float = 60.0
    """A query that ran for this long has recovered from earlier failures."""


class StreamQuery:
    """The query of one kind. ``step`` is called again and again by one thread; the rest is safe for any thread."""

    def __init__(
        self,
        kind: Kind,
        *,
        stream: str,
        streams: Streams,
        launch: Launch,
        rejects: RejectWindow,
        retries: RetryPolicy,
        limits: Limits,
        metrics: Metrics,
    ) -> None:
        self.kind = kind
        self._stream = stream
        self._streams = streams
        self._launch = launch
        self._rejects = rejects
        self._retries = retries
        self._limits = limits
        self._metrics = metrics
        self._clock: Clock = retries.clock
        self._lock = threading.Lock()
        self._waits = retries.waits()
        self._pulse = Pulse(limits.lag_limit_s, limits.settled_s, self._clock)
        self._writer: BatchWriter | None = None
        self._query: Running | None = None
        self._log_id: str | None = None
        self._error: str | None = None
        self._failure: str | None = None
        self._unreachable: str | None = None
        self._restarts = 0
        self._next_try = self._next_describe = self._clock.monotonic()
        self._seen_before = self._rejected_before = 0

    @property
    def state(self) -> State:
        """``starting`` until it has looked at its stream once, ``failed`` while it waits for the next start."""
        if self._query is not None and self._pulse.looked:
            return "running"
        return "starting" if self._error is None else "failed"

    def run(self, stop: threading.Event, every_s: float) -> None:
        """Look after the query until ``stop``, on a thread of its own."""
        while not stop.wait(every_s):
            try:
                self.step()
            except Exception as error:  # the outermost loop: one query's trouble must not end the others
                logger.exception("query cannot be looked after", extra={"kind": self.kind})
                with self._lock:
                    self._failed(f"{type(error).__name__}: {error}")
                stop.wait(_AFTER_TROUBLE_S)

    def step(self) -> None:
        """Look after the query once. Blocks while a query starts or ends."""
        with self._lock:
            if self._query is None:
                if self._clock.monotonic() >= self._next_try:
                    self._start()
            else:
                self._watch(self._query)
            self._publish()

    def close(self, deadline_s: float) -> bool:
        """End the query behind its running batch; says whether that one ended in time."""
        with self._lock:
            return self._end(deadline_s)

    def problem(self) -> str | None:
        """Why the query is not as it should be; None: it is."""
        if self.state != "running":
            if self._query is not None:
                before = "" if self._failure is None else f"; before, it failed: {self._failure}"
                return f"has not looked at its stream yet{before}"
            return self._error or "not started yet"
        found = (self._unreachable or self._pulse.problem(), self._rejects.problem())
        return "; ".join(one for one in found if one is not None) or None

    @property
    def lag_ms(self) -> float:
        """How late records are, of the last batch, the running one, or not fetched yet; 0 where none waits.

        While the query fails it is at least the time since it began to.
        """
        return self._pulse.lag_ms

    def described(self) -> dict[str, Any]:
        """For people and programs."""
        writer = self._writer
        progress = None if writer is None else writer.progress
        return {
            "kind": self.kind,
            "stream": self._stream,
            "log_id": self._log_id,
            "state": self.state,
            "problem": self.problem(),
            "restarts": self._restarts,
            "last_batch": None if progress is None else progress.batch_id,
            "batch_s": None if progress is None else round(progress.batch_s, 3),
            "records": self._seen_before + (0 if progress is None else progress.seen),
            "rejected": self._rejected_before + (0 if progress is None else progress.rejected),
            "lag_ms": round(self.lag_ms, 1),
            "lag_records": 0 if progress is None else progress.in_batch,
        }

    def _start(self) -> None:
        try:
            log_id = self._streams.describe(self._stream).log_id
            if self._log_id not in {None, log_id}:
                self._metrics.replaced.labels(self.kind).inc()
                logger.warning(
                    "stream was recreated; the query goes over to it, with a checkpoint of its own",
                    extra={"kind": self.kind, "stream": self._stream, "log_id": log_id, "before": self._log_id},
                )
            self._log_id = log_id
            self._writer, self._query = self._launch(self.kind, log_id)
        except (StreamError, PySparkException, Py4JError) as error:
            self._failed(str(error))
            return
        except FAILURES as error:
            self._failed(brief(error))
            return
        self._error = self._unreachable = None
        self._pulse.began()
        self._next_describe = self._clock.monotonic() + self._limits.describe_interval_s
        logger.info("query started", extra={"kind": self.kind, "log_id": log_id, "query_id": self._query.id})

    def _watch(self, query: Running) -> None:
        writer, now = self._writer, self._clock.monotonic()
        if writer is None:
            return
        if not query.isActive:
            self._ended(query, replaced=writer.progress.replaced)
        elif now >= self._next_describe:
            self._next_describe = now + self._limits.describe_interval_s
            self._describe(writer)
        if self._pulse.settled:
            self._waits, self._failure = self._retries.waits(), None

    def _describe(self, writer: BatchWriter) -> None:
        """Notice a recreated stream, and tables lost, though no batch comes."""
        try:
            current = self._streams.describe(self._stream).log_id
            lost = writer.lost()
        except StreamError as error:
            self._unreachable = str(error)
            return
        except FAILURES as error:
            self._unreachable = brief(error)
            return
        self._unreachable = None
        if current != self._log_id or lost is not None:
            if lost is not None:
                logger.error("the query is restarted with a new checkpoint", extra={"kind": self.kind, "reason": lost})
            self._end(self._limits.close_s)
            self._next_try = self._clock.monotonic()

    def _ended(self, query: Running, *, replaced: bool) -> None:
        error = query.exception()
        if not replaced:
            self._pulse.down()
        self._forget()
        if replaced:
            self._next_try = self._clock.monotonic()
        else:
            reason = _brief(error)
            if "DataLossError" in reason:  # its own words are of the source's options
                reason += f" ({_GO_ON_WITHOUT})"
            self._pulse.failed(reason)
            self._failed(reason)

    def _failed(self, reason: str) -> None:
        wait_s = next(self._waits)
        self._error = self._failure = reason
        self._pulse.down()
        self._restarts += 1
        self._next_try = self._clock.monotonic() + wait_s
        self._metrics.restarts.labels(self.kind).inc()
        logger.error(
            "query failed; it is restarted", extra={"kind": self.kind, "reason": reason, "wait_s": round(wait_s, 2)}
        )

    def _end(self, deadline_s: float) -> bool:
        if self._query is None or self._writer is None:
            return True
        ended = self._writer.close(deadline_s)
        try:
            self._query.stop()
        except (PySparkException, Py4JError) as error:
            logger.warning("query did not stop in order", extra={"kind": self.kind, "reason": _brief(error)})
        self._forget()
        return ended

    def _forget(self) -> None:
        if self._writer is not None:
            self._seen_before += self._writer.progress.seen
            self._rejected_before += self._writer.progress.rejected
        self._writer = self._query = None
        self._pulse.began()

    def _publish(self) -> None:
        writer, query = self._writer, self._query
        if writer is not None and query is not None:
            if self._pulse.look_due():
                self._pulse.came_round(query.lastProgress)
            running = writer.progress.began_at
            batch_age_s = 0.0 if running is None else self._clock.monotonic() - running
            waits = running is not None or query.status["isDataAvailable"]
            self._pulse.observe(writer.progress.lag_ms if waits else 0.0, batch_age_s)
        self._metrics.lag_ms.labels(self.kind).set(self.lag_ms)
        self._metrics.rejected_share.labels(self.kind).set(self._rejects.share)
        self._metrics.lag_records.labels(self.kind).set(0 if writer is None else writer.progress.in_batch)
        for state in STATES:
            self._metrics.state.labels(self.kind, state).set(state == self.state)


def _brief(error: Exception | None) -> str:
    """A failure's own words in one line: of a chain of exceptions the last one's; no frames, not Spark's whole plan."""
    if error is None:
        return "it ended by itself"
    lines = [line for line in str(error).splitlines() if line.strip() and not line[0].isspace()]
    last = max((number for number, line in enumerate(lines) if line.strip() in _ANOTHER_FOLLOWS), default=0)
    words = (line.removesuffix(_FRAMES_FOLLOW).strip() for line in [*lines[:1], *lines[last + 1 :]][:_LINES])
    told = " ".join(word for word in words if word)
    return told[:_CHARACTERS] or type(error).__name__
