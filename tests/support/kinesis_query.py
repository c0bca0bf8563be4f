"""What Spark does with the ``kinesis`` source, without Spark: offset log, batches, crashes, restarts."""

import json
import os
from pathlib import Path

from kinesis_source import reader as reader_module
from kinesis_source.driver import Driver
from kinesis_source.fakes import FakeKinesis
from kinesis_source.options import parse_options
from kinesis_source.reader import KinesisStreamReader
from kinesis_source.spool import Spool
from kinesis_source.stream import Stream
from service_kit.clock import ManualClock
from service_kit.retries import RetryPolicy

Row = tuple[str, str, bytes]
"""Shard, sequence number, data."""


class Query:
    """One query with its checkpoint (``log``, ``committed``) and its sink (``batches``), on a clock that is told."""

    def __init__(self, kinesis: FakeKinesis, folder: Path, clock: ManualClock, options: dict[str, str]) -> None:
        self.log: list[str] = []
        self.committed = 0
        self.batches: list[list[Row]] = []
        self.clock, self._kinesis, self._folder = clock, kinesis, folder
        self._given = {"streamName": "s", "initialPosition": "trim_horizon"} | options
        self.restart()

    def restart(self, **options: str) -> None:
        """A new process on the same checkpoint, with other options. The old one was killed: nothing of it is told."""
        self._given |= options
        self._options = parse_options(self._given)
        retries = RetryPolicy(self._options.retry_deadline_s, clock=self.clock, uniform=lambda _, most: most)
        spool = Spool(self._folder)
        stream = Stream(self._kinesis, {"StreamName": "s"})
        self.driver = Driver(stream, self._options, spool, retries=retries, threads=0)
        self.reader = KinesisStreamReader(self._options)
        self.reader._driver = self.driver
        reader_module._streams[os.getpid(), self._options] = stream
        self.spool = spool

    def fetch(self, steps: int = 1000) -> None:
        """Let the fetchers do what is due now, and move the clock on by a poll interval."""
        while steps > 0 and self.driver.prefetcher.run_due():
            steps -= 1
        self.clock.sleep(0.2)

    def plan(self) -> bool:
        """Plan a batch as Spark does: replay one that was planned and not committed, else ask. False: nothing new."""
        if len(self.log) > self.committed:
            return True
        start = json.loads(self.log[-1]) if self.log else self.reader.initialOffset()
        end = json.dumps(self.reader.latestOffset(start, self.reader.getDefaultReadLimit()))
        if self.log and end == self.log[-1]:
            return False
        self.log.append(end)
        if self.committed:
            self.reader.commit(json.loads(self.log[self.committed - 1]))
        return True

    def read(self) -> list[Row]:
        """The rows of the batch that was planned last."""
        start = json.loads(self.log[-2]) if len(self.log) > 1 else self.reader.initialOffset()
        rows = []
        for partition in self.reader.partitions(start, json.loads(self.log[-1])):
            for batch in self.reader.read(partition):
                columns = (batch.column(name).to_pylist() for name in ("shardId", "sequenceNumber", "data"))
                rows += list(zip(*columns, strict=True))
        return rows

    def commit(self, rows: list[Row]) -> None:
        """The sink has the rows."""
        self.batches.append(rows)
        self.committed = len(self.log)

    def tick(self) -> bool:
        """One whole batch. False: nothing new."""
        if not self.plan():
            return False
        self.commit(self.read())
        return True

    def drain(self) -> None:
        """Go on until nothing is left, new shards (looked for once a second) included."""
        idle = 0
        while idle < 7:
            self.fetch()
            idle = 0 if self.tick() else idle + 1

    @property
    def rows(self) -> list[Row]:
        return [row for batch in self.batches for row in batch]

    @property
    def data(self) -> list[bytes]:
        return [data for _, _, data in self.rows]
