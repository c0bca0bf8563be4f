"""The stream as it is now: its identity and its shards, asked for again and again."""

import logging
from collections.abc import Callable, Mapping, Sequence

from service_kit.retries import RetryPolicy

from kinesis_source.attempts import Attempts
from kinesis_source.errors import StreamReplacedError, UnavailableError
from kinesis_source.failures import CLIENT_ERRORS
from kinesis_source.horizon import Retention
from kinesis_source.identity import StreamId
from kinesis_source.offsets import Offset
from kinesis_source.options import Options
from kinesis_source.stream import Shard, Stream, StreamInfo

logger = logging.getLogger(__name__)

DESCRIBE_INTERVAL_S = 3600.0


class Listing:
    """Asks for the stream's shards; notices that it is another stream. Not thread-safe.

    Requests block, with retries, up to ``options.retry_deadline_s``; then they raise UnavailableError (or
    StreamMissingError). They may raise AccessError and StreamReplacedError, too.
    """

    def __init__(self, stream: Stream, options: Options, retries: RetryPolicy) -> None:
        self._stream, self._options, self._retries = stream, options, retries
        self._clock = retries.clock
        self._info: StreamInfo | None = None
        self._retention: Retention | None = None
        self._starting: dict[str, str] = {}
        self._asked_s = 0.0
        self.shards: Sequence[Shard] = ()
        self.at_ms = 0
        """When these were listed: a shard that is not among them was created later."""
        self._open_ms: dict[str, int] = {}
        self._absent_ms: dict[str, int] = {}

    @property
    def id(self) -> StreamId:
        """Which stream it is; known once ``identify`` has returned."""
        return self._identified()[0].id

    @property
    def retention(self) -> Retention:
        """How long it keeps a record."""
        return self._identified()[1]

    @property
    def open_ms(self) -> Mapping[str, int]:
        """When each shard was last seen open."""
        return self._open_ms

    @property
    def absent_ms(self) -> Mapping[str, int]:
        """For each shard that appeared since: when a listing last lacked it."""
        return self._absent_ms

    def identify(self, start: Offset | None) -> StreamInfo:
        """Describe the stream once, between two equal listings: so these shards are known to be this stream's.

        And see that it is the stream of the checkpoint.
        """
        waits = self._retries.waits()
        while self._info is None:
            before = _starting(self._list())
            info = self.request(self._stream.describe)
            if start is not None and info.id != start.stream:
                raise StreamReplacedError(start.stream, info.id)
            self._take(self._list)
            if before.items() <= self._starting.items():
                self._retention = Retention(self._retention_ms, self._clock, info.retention_ms)
                self._info = info
            elif (wait_s := next(waits, None)) is not None:
                self._starting, self.at_ms = {}, 0
                self._clock.sleep(wait_s)
            else:
                msg = f"stream {self._options.stream}: its shards change with every listing (retryDeadline)"
                raise UnavailableError(msg)
        if start is not None:  # Spark asks for the initial offset first, also where there is a checkpoint
            if self._info.id != start.stream:
                raise StreamReplacedError(start.stream, self._info.id)
            self.retention.keep(start.retention_ms)
        return self._info

    def refresh(self, *, force: bool) -> None:
        """List the shards if it is time; notice there, too, that the stream is another one."""
        if not force and self.shards and self._clock.monotonic() - self._asked_s < self._options.shard_fetch_interval_s:
            return
        self._take(self._list)

    def refresh_retention(self) -> None:
        """Ask for retention if it is time."""
        retention = self.retention
        self.request(lambda: retention.shortest_ms(DESCRIBE_INTERVAL_S))

    def forget(self) -> None:
        """Make the next ``refresh`` list the shards, whatever the time."""
        self.shards = ()

    def _take(self, ask: Callable[[], Sequence[Shard]]) -> None:
        at_ms, before_ms = round(self._clock.now().timestamp() * 1000), self.at_ms
        asked_s = self._clock.monotonic()
        listed = ask()
        starting = _starting(listed)
        if self._info is not None:
            for shard_id, number in starting.items():
                if self._starting.get(shard_id, number) != number:
                    raise StreamReplacedError(self._info.id, self.request(self._stream.describe).id)
        if before_ms and listed:
            self._absent_ms |= dict.fromkeys(starting.keys() - self._starting.keys(), before_ms)
        self._starting |= starting
        self._open_ms |= dict.fromkeys((shard.shard_id for shard in listed if not shard.closed), at_ms)
        if listed:
            self.at_ms = at_ms
            for known in (self._open_ms, self._absent_ms):
                for shard_id in known.keys() - starting.keys():
                    del known[shard_id]
        self.shards, self._asked_s = listed, asked_s

    def _identified(self) -> tuple[StreamInfo, Retention]:
        if self._info is None or self._retention is None:
            raise RuntimeError("nothing is fetched before the stream was identified")
        return self._info, self._retention

    def _retention_ms(self) -> int:
        info = self._stream.describe()
        if info.id != self.id:
            raise StreamReplacedError(self.id, info.id)
        return info.retention_ms

    def _list(self) -> Sequence[Shard]:
        return self.request(lambda: self._stream.list_shards(self._options.max_shards_per_describe))

    def request[T](self, call: Callable[[], T]) -> T:
        """Call until it answers, within the bound."""
        attempts = Attempts(f"stream {self._options.stream}", self._retries)
        while True:
            try:
                return call()
            except CLIENT_ERRORS as error:
                wait_s = attempts.failed(error).wait_s
                logger.info(
                    "Kinesis does not answer, retrying",
                    extra={"wait_s": round(wait_s, 3), "reason": str(error)},
                )
            self._clock.sleep(wait_s)


def _starting(shards: Sequence[Shard]) -> dict[str, str]:
    return {shard.shard_id: shard.starting for shard in shards}
