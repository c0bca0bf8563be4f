"""Random histories of a stream and of a query that reads it: each record is read once, or its loss is said.

A history is told by its seed alone. ``python tests/support/kinesis_histories.py --count 100000`` runs many;
``--seed 17 --trace`` runs one and prints what happens in it.
"""

import argparse
import json
import logging
import random
import re
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from botocore.exceptions import EndpointConnectionError
from kinesis_query import Query
from kinesis_source.aggregation import MAGIC, SubRecord, aggregate
from kinesis_source.errors import DataLossError
from kinesis_source.fake_shards import error
from kinesis_source.fakes import FakeKinesis
from kinesis_source.horizon import MIN_RETENTION_MS, START_GRACE_MS
from kinesis_verdict import Facts, Loss, Put, WrongError, line_of
from service_kit.clock import ManualClock

STREAM = "s"
HOUR_S = 3600.0
MOST_SHARDS = 5
FAULTS = (
    ("get_records", error("GetRecords", "ProvisionedThroughputExceededException")),
    ("get_records", error("GetRecords", "ExpiredIteratorException")),
    ("get_records", EndpointConnectionError(endpoint_url="http://away")),
    ("get_shard_iterator", EndpointConnectionError(endpoint_url="http://away")),
    ("list_shards", error("ListShards", "LimitExceededException")),
    ("list_shards", error("ListShards", "ExpiredNextTokenException")),
    ("describe_stream_summary", error("DescribeStreamSummary", "LimitExceededException")),
)
HOURS = {"past": -5, "old": -40, "ahead": 3}
KEYS = ("a", "b", "c", "d", "Nice post \ud83d", "\x1a", "e")
ACTIONS = {
    "put": 10, "split": 3, "merge": 2, "pause": 3, "hours": 4, "retention": 2, "fault": 2, "empty answers": 1,
    "fetch": 6, "batch": 5, "settle": 4, "kill": 2, "kill in batch": 2, "away": 3, "now": 1, "delete spool": 1,
}  # fmt: skip


class _Warnings(logging.Handler):
    """Collects the losses that the source warns of: shard and words."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.found: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        said = vars(record)
        if "shard" in said:
            words = said.get("reason") or f"records after {said['after']} and before {said.get('before', 'now')}"
            self.found.append((said["shard"], words))


class History:
    """One history: a stream with its past, a query of it, and what happens to both."""

    def __init__(self, seed: int, folder: Path, trace: Callable[[str], None]) -> None:
        self.chance = random.Random(seed)
        self.trace = trace
        self.clock = ManualClock()
        refuse = self.chance.random() < 0.3
        lag_s = self.chance.choice([0.0, 0.0, 0.05, -0.05, 2.0])
        self.skew_ms = abs(lag_s) * 1000
        self.kinesis = FakeKinesis(self.clock, page_size=5, refuse_trimmed=refuse, lag_s=lag_s)
        self.kinesis.create_stream(StreamName=STREAM, ShardCount=self.chance.randint(1, 3))
        self.retention_h = 24
        self.puts: list[Put] = []
        self.losses: list[Loss] = []
        self.planned: dict[int, tuple[int, list[Any]]] = {}
        self.settled_ms = 0
        self.blind = False
        self.lowered = False
        self.lossy = self.chance.random() < 0.5
        self._warnings = _Warnings()
        for _ in range(self.chance.choice([0, 0, 2, 6])):
            self._happen(self.chance.choice(["put", "put", "split", "merge", "hours", "pause"]))
        options, self.from_now, self.from_ms = self._options()
        self.trace(f"begins: {options}, lossy {self.lossy}, refuse trimmed {refuse}, lag {lag_s}")
        self.query = Query(self.kinesis, folder, self.clock, options)
        self._begin()

    def run(self) -> None:
        """Let things happen, then read to the end and judge."""
        root = logging.getLogger("kinesis_source")
        root.addHandler(self._warnings)
        propagate, root.propagate = root.propagate, False
        try:
            names, weights = list(ACTIONS), list(ACTIONS.values())
            for name in self.chance.choices(names, weights, k=self.chance.randint(4, 20)):
                self._happen(name)
            self.trace("the end")
            self._drain()
            self._facts().judge()
        finally:
            root.removeHandler(self._warnings)
            root.propagate = propagate
            self.query.driver.stop()

    # What the world does

    def _happen(self, name: str) -> None:
        self.trace(f"{self._now_ms() / HOUR_S / 1000 % 10_000:.4f} h {name}")
        getattr(self, "_" + name.replace(" ", "_"))()
        self._look()

    def _put(self) -> None:
        for _ in range(self.chance.randint(1, 8)):
            number = len(self.puts)
            rows = [b"%d-%d" % (number, sub) for sub in range(self.chance.choice([1, 1, 1, 3]))]
            data = rows[0] if len(rows) == 1 else aggregate([SubRecord(b"k", row) for row in rows])
            if self.chance.random() < 0.05:
                data = MAGIC + rows[0]  # begins like an aggregate
                rows = [data]
            answer = self.kinesis.put_record(StreamName=STREAM, Data=data, PartitionKey=self.chance.choice(KEYS))
            self.puts.append(Put(answer["ShardId"], answer["SequenceNumber"], rows, self._server_ms()))
            if self.chance.random() < 0.5:
                self.clock.sleep(0.001)

    def _split(self) -> None:
        shards = self._open()
        shard = self.chance.choice(shards)
        if len(shards) < MOST_SHARDS:
            at = str((shard.low + shard.high) // 2)
            self.kinesis.split_shard(StreamName=STREAM, ShardToSplit=shard.shard_id, NewStartingHashKey=at)

    def _merge(self) -> None:
        shards = self._open()
        if len(shards) > 1:
            at = self.chance.randrange(len(shards) - 1)
            one, other = shards[at].shard_id, shards[at + 1].shard_id
            self.kinesis.merge_shards(StreamName=STREAM, ShardToMerge=one, AdjacentShardToMerge=other)

    def _pause(self) -> None:
        self.clock.sleep(self.chance.choice([0.05, 1, 30, 400]))

    def _hours(self) -> None:
        self.clock.sleep(HOUR_S * self.chance.choice([1, 5, 12, 23, 23.9, 25, 30, 50]))

    def _retention(self) -> None:
        hours = self.chance.choice([24, 24, 48, 168])
        request = {"StreamName": STREAM, "RetentionPeriodHours": hours}
        if hours < self.retention_h:
            self.kinesis.decrease_stream_retention_period(**request)
            self.lowered = True
        elif hours > self.retention_h:
            self.kinesis.increase_stream_retention_period(**request)
            # Nobody but the last record of a shard can tell that it was shorter for a while.
            self.blind = self.blind or self.lowered
        self.retention_h = hours
        self.clock.sleep(2)  # it is asked for once a second at most
        self.trace(f"  retention {hours} h")

    def _fault(self) -> None:
        operation, failure = self.chance.choice(FAULTS)
        self.kinesis.fail(operation, failure, self.chance.randint(1, 3))

    def _empty_answers(self) -> None:
        self.kinesis.empty_answers = self.chance.randint(1, 6)

    def _delete_spool(self) -> None:
        for file in self.query.spool.folder.iterdir():
            file.unlink()

    # What the query does

    def _restart(self, **options: str) -> None:
        self.query.restart(**options)
        if not self.query.log:
            self._begin()

    def _begin(self) -> None:
        """Without a checkpoint a query begins at each start."""
        self.clock.sleep(0.001)
        self.kinesis._faults.clear()
        self._look()
        self.began_ms = self._now_ms()
        if self.from_now:
            self.from_ms = self.began_ms
        self.query.reader.initialOffset()

    def _fetch(self) -> None:
        self._attempt(lambda: self.query.fetch(self.chance.randint(1, 6)))

    def _batch(self) -> None:
        self._attempt(lambda: self._tick(commit=True))

    def _settle(self) -> None:
        """Read until nothing is new."""
        self.kinesis._faults.clear()
        self.kinesis.empty_answers = 0
        self._attempt(self._until_idle)

    def _kill(self) -> None:
        self._restart()

    def _kill_in_batch(self) -> None:
        self._attempt(lambda: self._tick(commit=False))
        self._restart()

    def _away(self) -> None:
        """Killed, and started again much later."""
        for _ in range(self.chance.randint(1, 4)):
            self._happen(self.chance.choice(["put", "hours", "hours", "split", "merge", "retention"]))
        self._restart()

    def _now(self) -> None:
        """A run of ``Trigger.AvailableNow``."""
        self.kinesis._faults.clear()
        self._restart()
        self._attempt(self._available_now)
        self._restart()

    def _available_now(self) -> None:
        self.query.reader.prepareForTriggerAvailableNow()
        self.query.driver.prefetcher.wait = lambda *_: self.query.fetch()  # type: ignore[method-assign]
        for _ in range(200):
            if not self._tick(commit=True):
                return
        raise WrongError("Trigger.AvailableNow does not end")

    def _attempt(self, call: Callable[[], Any]) -> None:
        """Where the query ends with a loss, its keeper takes note and lets it go on without."""
        for _ in range(50):
            try:
                call()
            except DataLossError as lost:
                if self.lossy:
                    raise WrongError(f"failOnDataLoss=false does not get through: {lost}") from lost
                self._said(lost.shard_id, str(lost))
                self._restart(failOnDataLoss="false")
                self.lossy = True
            else:
                self._take_warnings()
                self._take_lowered()
                return
        raise WrongError("it does not end")

    def _tick(self, *, commit: bool) -> bool:
        """A batch; one that was read before must be the same, less what has expired since."""
        if not self.query.plan():
            return False
        known = self.planned.get(len(self.query.log))
        rows = self.query.read()
        self._take_warnings()
        if known is not None and rows != known[1]:
            still = {row for row in known[1] if row not in rows}
            alive = {(shard, number) for shard, number, _ in self.kinesis.records(STREAM)}
            if any((shard, number) in alive for shard, number, _ in still) or any(row not in known[1] for row in rows):
                raise WrongError(f"batch {len(self.query.log)} is another one when it is read again")
        self.planned.setdefault(len(self.query.log), (self._now_ms(), rows))
        if commit:
            self.query.commit(rows)
        return True

    def _until_idle(self) -> None:
        idle = 0
        for _ in range(500):
            self.query.fetch()
            idle = 0 if self._tick(commit=True) else idle + 1
            if idle >= 7 and not self._ends_unseen():
                self.settled_ms = self._now_ms()
                return
        raise WrongError("it does not come to rest")

    def _ends_unseen(self) -> bool:
        """Whether a shard that Kinesis has closed is not read to its end: it is asked again after a while only."""
        shards = json.loads(self.query.log[-1])["shards"] if self.query.log else {}
        listed = self.kinesis._stream("ListShards", {"StreamName": STREAM}).shards
        return any(
            not shard.get("closed") and name in listed and listed[name].ending is not None
            for name, shard in shards.items()
        )

    def _drain(self) -> None:
        self.kinesis._faults.clear()
        self.kinesis.empty_answers = 0
        self.clock.sleep(1)
        self._attempt(self._until_idle)

    # What the source says

    def _facts(self) -> Facts:
        known = {name for log in self.query.log for name in json.loads(log)["shards"]}
        return Facts(
            self.puts,
            self.losses,
            self.query.batches,
            known,
            self._parents,
            began_ms=self.began_ms,
            from_ms=self.from_ms,
            skew_ms=self.skew_ms,
            now_ms=self._now_ms(),
            retention_ms=self.retention_h * HOUR_S * 1000,
            blind=self.blind,
        )

    def _said(self, shard: str, words: str) -> None:
        self.trace(f"  loss: {shard}: {words}")
        if (found := re.search(r"records from (\d+) up to (\d+)", words)) is not None:
            loss = Loss(shard, found[1], found[2], whole=True)
        elif (found := re.search(r"after (its beginning|\d+)(?: and before (now|\d+))?", words)) is not None:
            after, before = (None if word in ("its beginning", "now") else word for word in found.groups())
            loss = Loss(shard, after, before, whole=False)
        else:
            raise WrongError(f"a loss that does not say of what: {words}")
        self.losses.append(loss)
        line = {shard, *line_of(shard, self._parents)}
        unread = {put.number for put in self.puts if put.gone_ms is not None and put.shard in line}
        unread -= {number for _, number, _ in self.query.rows}
        if not unread and self._now_ms() - self.settled_ms < MIN_RETENTION_MS - 2 * START_GRACE_MS:
            raise WrongError(f"nothing is lost, and it was read to its end shortly before: {loss}")

    def _take_warnings(self) -> None:
        for shard, words in self._warnings.found:
            self._said(shard, words)
        self._warnings.found.clear()

    def _take_lowered(self) -> None:
        """Retention was asked for lately if an hour has passed since it was lowered."""
        if self.query.driver._listing._retention is not None:
            current = self.query.driver._listing.retention._current_ms
            if current == self.retention_h * HOUR_S * 1000:
                self.lowered = False

    # Odds and ends

    def _options(self) -> tuple[dict[str, str], bool, int | None]:
        """Options, whether the query begins now, and the time of arrival at which it begins, if it does at one."""
        options = self.chance.choice(
            [
                {},
                {"maxRecordsPerTrigger": "3"},
                {"maxRecordsPerFetch": "2", "fetchBufferSize": "200"},
                {"maxShardsPerDescribe": "1"},
            ]
        )
        from_ms = None
        position = self.chance.choice(["latest", "trim_horizon", "trim_horizon", "past", "old", "ahead"])
        if position in HOURS:
            from_ms = self._now_ms() + HOURS[position] * 3_600_000
            position = json.dumps({"at_timestamp": from_ms})
        failing = "false" if self.lossy else "true"
        options = options | {"initialPosition": position, "failOnDataLoss": failing, "retryDeadline": "10m"}
        return options, position == "latest", from_ms

    def _open(self) -> list[Any]:
        shards = self.kinesis._stream("ListShards", {"StreamName": STREAM}).shards.values()
        return sorted((shard for shard in shards if shard.ending is None), key=lambda shard: shard.low)

    def _look(self) -> None:
        """Note what has expired, and how shards hang together."""
        alive = {number for _, number, _ in self.kinesis.records(STREAM)}
        for put in self.puts:
            if put.gone_ms is None and put.number not in alive:
                put.gone_ms = self._now_ms()
        for name, shard in self.kinesis._streams[STREAM].shards.items():
            self._parents.setdefault(name, tuple(shard.parents))

    @property
    def _parents(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = self.__dict__.setdefault("_line_of", {})
        return found

    def _now_ms(self) -> int:
        return round(self.clock.now().timestamp() * 1000)

    def _server_ms(self) -> int:
        return int(self.kinesis._now_s() * 1000)


def run(seed: int, folder: Path, trace: Callable[[str], None] = lambda _: None) -> None:
    """One history.

    Raises:
        WrongError, or whatever the source raised: its seed is in a note.
    """
    try:
        with tempfile.TemporaryDirectory(dir=folder) as own:
            History(seed, Path(own), trace).run()
    except BaseException as failure:
        failure.add_note(f"history {seed}: python tests/support/kinesis_histories.py --seed {seed} --trace")
        raise


def main() -> int:
    """Run many, or one; returns the exit code. One that fails is printed with its seed, and the others go on."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="the first one")
    parser.add_argument("--trace", action="store_true", help="print what happens; one history alone")
    given = parser.parse_args()
    began_s = time.monotonic()
    failed: list[int] = []
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        for number in range(1 if given.trace else given.count):
            try:
                run(given.seed + number, Path(folder), print if given.trace else lambda _: None)
            except Exception:  # noqa: BLE001  # whatever the source raised
                failed.append(given.seed + number)
                sys.stdout.write(traceback.format_exc())
            if number % 1000 == 999:
                sys.stdout.write(f"{number + 1} histories, {len(failed)} failed, {time.monotonic() - began_s:.0f} s\n")
                sys.stdout.flush()
    told = f"failed: {failed}" if failed else "each record read once, or named"
    sys.stdout.write(f"histories {given.seed} to {given.seed + given.count - 1}: {told}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
