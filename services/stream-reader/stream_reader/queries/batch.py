"""One batch of one stream, decoded and cleaned: append it. What the query calls.

Decoding and cleaning are part of the query itself (``launch``), whose plan is made once and not for each batch.

A batch is written at most once: the appends carry the query's id and the batch's number, and Delta leaves out those it
has seen. Killed between two appends, the same batch comes again and finds the first one done.
"""

import logging
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

import pyarrow as pa
from pipeline_contracts.lake import STREAM_QUARANTINE, stream_table
from pipeline_contracts.names import Kind, Names
from pyspark.sql import DataFrame
from service_kit.clock import Clock
from service_kit.retries import RetryPolicy
from spark_kit.lake import Transaction

from stream_reader.lake.failures import TableError
from stream_reader.lake.tables import STORED, Tables
from stream_reader.latency import Latencies
from stream_reader.metrics import Metrics
from stream_reader.popularity.arrivals import Arrivals
from stream_reader.popularity.posts_database import FACTS
from stream_reader.queries.beginning import Beginning
from stream_reader.queries.decode import collect, quarantine_rows, table_rows
from stream_reader.queries.marks import application
from stream_reader.queries.rejects import RejectWindow
from stream_reader.queries.streams import StreamError, Streams

logger = logging.getLogger(__name__)

_ID_DEADLINE_S = 30.0


class BatchRefusedError(Exception):
    """The batch was not written; the query ends, and its owner knows how to go on."""


class StreamReplacedError(BatchRefusedError):
    """Another stream of the same name is there now, so the batch cannot be told to be of the old one."""


class ClosingError(BatchRefusedError):
    """The query is about to be stopped."""


@dataclass(frozen=True)
class Source:
    """The stream that a query reads: its name, and which one of that name."""

    kind: Kind
    stream: str
    log_id: str


@dataclass(frozen=True)
class Sink:
    """Where a batch goes, and who is told."""

    tables: Tables
    names: Names
    arrivals: Arrivals
    metrics: Metrics
    latencies: Latencies
    clock: Clock


@dataclass
class Progress:
    """What one query has done since it was started. Whole values are replaced, so readers need no lock."""

    batch_id: int | None = None
    seen: int = 0
    rejected: int = 0
    lag_ms: float = 0.0
    in_batch: int = 0
    batch_s: float = 0.0
    began_at: float | None = None
    """By the monotonic clock, while a batch runs."""
    finished_at: float | None = None
    replaced: bool = False


@dataclass
class BatchWriter:
    """The function of one query. Spark calls it with one batch at a time."""

    source: Source
    sink: Sink
    streams: Streams
    begun: Beginning
    rejects: RejectWindow
    retries: RetryPolicy
    query_id: "Future[str]" = field(default_factory=Future)
    at: Callable[[str], None] = lambda _stage: None
    """Called between steps; a test crashes there."""
    progress: Progress = field(default_factory=Progress)
    _closing: bool = False
    _idle: threading.Condition = field(default_factory=threading.Condition)
    _busy: bool = False

    def __call__(self, frame: DataFrame, batch_id: int) -> None:
        """Write one batch: the rows of ``decode.read_rows``.

        Raises:
            BatchRefusedError: it was not written, and should not be.
            StreamError: Kinesis does not say which stream this is.
            PySparkException: Spark failed.
        """
        with self._idle:
            if self._closing:
                raise ClosingError("the query is about to be stopped")
            self._busy = True
        started = self.progress.began_at = self.sink.clock.monotonic()
        try:
            self._write(frame, batch_id)
        finally:
            self.progress.began_at = None
            self.progress.batch_s = self.sink.clock.monotonic() - started
            self.progress.in_batch = 0
            self.sink.metrics.batch_seconds.labels(self.source.kind).observe(self.progress.batch_s)
            with self._idle:
                self._busy = False
                self._idle.notify_all()

    def lost(self) -> str | None:
        """Which table is not the one that the batches went to any more, so that a restart is due; None: all are.

        Raises:
            TableError: the kind's own table cannot be read.
        """
        try:
            return self.begun.lost()
        except TableError as error:
            if error.table != STREAM_QUARANTINE:  # that one is recreated
                raise
            return str(error)

    def close(self, deadline_s: float) -> bool:
        """Begin no further batch; wait for the running one, and say whether it ended."""
        with self._idle:
            self._closing = True
            return self._idle.wait_for(lambda: not self._busy, deadline_s)

    def _write(self, frame: DataFrame, batch_id: int) -> None:
        read = collect(frame)
        self.progress.in_batch = read.num_rows
        # After the records were fetched: creation times do not come back, so all of them are of this stream.
        self._check_stream()
        if read.num_rows:
            self._store(read, self._without_known(read), batch_id)
        self.progress.batch_id = batch_id
        self.progress.finished_at = self.sink.clock.monotonic()

    def _check_stream(self) -> None:
        current = self._log_id()
        if current != self.source.log_id:
            self.progress.replaced = True
            msg = f"stream {self.source.stream} is {current} now, and this query reads {self.source.log_id}"
            raise StreamReplacedError(msg)

    def _log_id(self) -> str:
        """Ask Kinesis, and for a while again: all who describe streams in an account share 20 calls a second."""
        waits = self.retries.waits()
        while True:
            try:
                return self.streams.describe(self.source.stream).log_id
            except StreamError as error:
                wait_s = next(waits, None)
                if wait_s is None or self._closing:
                    raise
                logger.info("the stream is described again", extra={"kind": self.source.kind, "reason": str(error)})
            self.sink.clock.sleep(wait_s)

    def _without_known(self, read: pa.Table) -> pa.Table:
        places = zip(read["partition"].to_pylist(), read["offset"].to_pylist(), strict=True)
        if not self.begun.known.overlaps(places):
            return read
        left = self.begun.known.without(read)
        logger.info(
            "records that the tables hold already are left out",
            extra={"kind": self.source.kind, "left_out": read.num_rows - left.num_rows, "records": read.num_rows},
        )
        return left

    def _store(self, read: pa.Table, new: pa.Table, batch_id: int) -> None:
        """Append what is new; hand over all that was read, for a batch may have been cut off between the two."""
        kind, sink = self.source.kind, self.sink
        reasons = Counter(reason for reason in new["reason"].to_pylist() if reason is not None)
        query_id = self.query_id.result(_ID_DEADLINE_S)
        if reasons:
            self._append(STREAM_QUARANTINE, quarantine_rows(new, sink.clock.now()), query_id, batch_id)
        table, good, stored = stream_table(sink.names, kind), table_rows(read, kind), table_rows(new, kind)
        with sink.arrivals.committing(kind):
            if stored.num_rows:
                self._append(table, stored, query_id, batch_id)
            if good.num_rows:
                facts = good.select(["ind", *STORED, *FACTS[kind]])
                sink.arrivals.add(kind, facts, _arrived_ms(stored), sink.clock.monotonic())
        self.begun.keep()
        now_ms = sink.clock.now().timestamp() * 1000
        waited_ms = [now_ms - arrived for arrived in _arrived_ms(new)]
        sink.latencies.add(waited_ms)
        self._count(new.num_rows, reasons, max(waited_ms, default=0.0))

    def _append(self, table: str, rows: pa.Table, query_id: str, batch_id: int) -> None:
        self.sink.tables.append(table, rows, Transaction(application(query_id, table), batch_id))
        self.begun.appended(table, batch_id)
        self.at(table)

    def _count(self, seen: int, reasons: Counter[str], lag_ms: float) -> None:
        kind, metrics, progress = self.source.kind, self.sink.metrics, self.progress
        metrics.records.labels(kind).inc(seen)
        for reason, count in reasons.items():
            metrics.rejected.labels(kind, reason).inc(count)
        progress.seen += seen
        progress.rejected += reasons.total()
        progress.lag_ms = lag_ms
        before = self.rejects.problem()
        self.rejects.add(seen, reasons)
        problem = self.rejects.problem()
        if problem is not None and before is None:
            logger.error("many records are rejected", extra={"kind": kind, "reason": problem})


def _arrived_ms(summary: pa.Table) -> list[float]:
    """Times of arrival; without those that Kinesis' answer did not tell (1970)."""
    return [micros / 1000 for micros in summary["recorded_at"].cast(pa.int64()).to_pylist() if micros]
