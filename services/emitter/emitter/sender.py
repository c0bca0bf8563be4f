"""The work of a run: one reader, which is the calling thread, bounded inboxes, one thread per lane."""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from service_kit.retries import RetryPolicy

from emitter.delivery import DeliveryPath
from emitter.errors import EmitterError
from emitter.inbox import Inbox
from emitter.lane import Lane
from emitter.ledger import Ledger, Run
from emitter.pacing import Pacer
from emitter.rows import PathName, Record, Row, examine
from emitter.sources.source import Source
from emitter.stops import Stops
from emitter.watchers import Tally

logger = logging.getLogger(__name__)

_CHUNK_ROWS = 1_000
_CHUNK_BYTES = 4_000_000
_INBOX_REQUESTS = 4
_INBOX_BYTES = 8_000_000
_STOP_S = 15.0
"""How long a stop waits for requests in flight: inside the 20 s that every process has to end."""
_LOOK_AGAIN_S = 0.2
_ON_REQUEST = "stopped on request"


class Sender:
    """Reads, writes intents, hands records to lanes. A lane is chosen by the key, so each key has one."""

    def __init__(
        self,
        *,
        source: Source,
        ledger: Ledger,
        run: Run,
        paths: Sequence[DeliveryPath],
        lanes: int,
        pacer: Pacer,
        policy: Callable[[], RetryPolicy],
        stops: Stops,
        watcher: Tally,
    ) -> None:
        self._source = source
        self._ledger = ledger
        self._run = run
        self._paths = paths
        self._pacer = pacer
        self._stops = stops
        self._watcher = watcher
        self._inboxes: dict[PathName, list[Inbox]] = {}
        self._threads: list[threading.Thread] = []
        for path in paths:
            most = _INBOX_REQUESTS * path.records_per_request
            self._inboxes[path.path] = [Inbox(most, _INBOX_BYTES) for _ in range(lanes)]
            for number, inbox in enumerate(self._inboxes[path.path]):
                lane = Lane(inbox=inbox, path=path, ledger=ledger, policy=policy, stops=stops, watcher=watcher)
                # A daemon: a stop does not wait for ever for an answer that may never come.
                self._threads.append(
                    threading.Thread(target=self._work, args=(lane,), name=f"{path.path}-{number}", daemon=True)
                )

    def send(self, events: int | None) -> str | None:
        """Go on until the source or ``events`` rows of it are done; None, or why that is not so."""
        for thread in self._threads:
            thread.start()
        unfinished: str | None = None
        try:
            if not (self._resend() and self._read(events)):
                unfinished = _ON_REQUEST
        except EmitterError as error:
            unfinished = str(error)  # the lanes finish what was read before
        except Exception as error:
            self._stops.give_up(error)
            raise
        finally:
            self._finish()
        for failure in self._stops.failures:
            if not isinstance(failure, EmitterError):
                raise failure
            return str(failure)
        if unfinished is None and next(self._ledger.pending(self._run.id), None) is not None:
            return _ON_REQUEST
        return unfinished

    def _resend(self) -> bool:
        """First what an earlier process left without an answer, in order; False if stopped."""
        pending = self._ledger.pending(self._run.id)
        while (allowed := self._pacer.take(_CHUNK_ROWS)) and not self._stops.requested():
            chunk = list(islice(pending, allowed))
            if not chunk:
                return True
            if not self._hand_out(chunk):
                return False
        return False

    def _read(self, events: int | None) -> bool:
        """Then the rest of the source; False if stopped."""
        taken = self._run.taken
        rows = self._source.rows(taken)
        destinations = [(path.path, path.names) for path in self._paths]
        while events is None or taken.rows < events:
            most = _CHUNK_ROWS if events is None else min(_CHUNK_ROWS, events - taken.rows)
            allowed = self._pacer.take(most)
            if not allowed or self._stops.requested():
                return False
            chunk = _chunk(rows, allowed)
            if not chunk:
                return True
            taken = taken.after(chunk)
            records = self._ledger.intend(self._run.id, destinations, map(examine, chunk), taken)
            self._watcher.took(len(chunk))
            if not self._hand_out(records):
                return False
        return True

    def _hand_out(self, records: Iterable[tuple[PathName, Record]]) -> bool:
        shares: dict[tuple[PathName, int], list[Record]] = {}
        for path, record in records:
            lane = int(record.key) % len(self._inboxes[path])
            shares.setdefault((path, lane), []).append(record)
        return all(
            self._inboxes[path][lane].put(share, self._stops.requested) for (path, lane), share in shares.items()
        )

    def _finish(self) -> None:
        for inboxes in self._inboxes.values():
            for inbox in inboxes:
                inbox.close()
        stop_at: float | None = None
        for thread in self._threads:
            while thread.is_alive():
                thread.join(_LOOK_AGAIN_S)
                if not self._stops.requested():
                    continue
                now = self._stops.clock.monotonic()
                stop_at = stop_at or now + _STOP_S
                if now > stop_at:
                    logger.warning("left a request in flight", extra={"lane": thread.name})
                    break

    def _work(self, lane: Lane) -> None:
        try:
            lane.run()
        except Exception as error:  # noqa: BLE001 (the thread's outermost frame: the run ends with this error)
            self._stops.give_up(error)


def _chunk(rows: Iterator[Row], most: int) -> list[Row]:
    """The next rows, fewer where they are large."""
    chunk: list[Row] = []
    size = 0
    for row in islice(rows, most):
        chunk.append(row)
        size += len(row.value)
        if size >= _CHUNK_BYTES:
            break
    return chunk
