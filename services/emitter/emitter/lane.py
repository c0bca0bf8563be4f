"""A lane: one request in flight, sent until each of its records has a fate. Order per key rests on this."""

import logging
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

import msgspec
from service_kit.retries import RetryPolicy

from emitter.delivery import DeliveryPath
from emitter.errors import GaveUpError
from emitter.inbox import Inbox, Request
from emitter.ledger import Ledger
from emitter.rows import PathName, Record
from emitter.verdicts import Again, Refused, Reply, Stored

logger = logging.getLogger(__name__)


class Watcher(Protocol):
    """Who wants to know how it goes. Called from every lane's thread."""

    def resolved(self, path: PathName, name: str, stored: int, refused: int) -> None:
        """Records found their fate."""

    def waiting(self, path: PathName, name: str, records: int, reason: str, seconds: float) -> None:
        """Records will be sent again after so many seconds."""


class Stops(Protocol):
    """The request to end early."""

    def requested(self) -> bool:
        """Whether to end now."""

    def pause(self, seconds: float) -> bool:
        """Sleep, but wake up early when asked to end; returns ``requested``."""


class Sorted(msgspec.Struct, frozen=True):
    """A request's records by verdict."""

    stored: list[tuple[Record, Stored]]
    refused: list[tuple[Record, Refused]]
    again: list[tuple[Record, Again]]


class Lane:
    """Takes requests from its inbox and delivers each of them before the next."""

    def __init__(
        self,
        *,
        inbox: Inbox,
        path: DeliveryPath,
        ledger: Ledger,
        policy: Callable[[], RetryPolicy],
        stops: Stops,
        watcher: Watcher,
    ) -> None:
        self._inbox = inbox
        self._path = path
        self._ledger = ledger
        self._policy = policy
        self._stops = stops
        self._watcher = watcher

    def run(self) -> None:
        """Until the inbox is closed and empty, or until asked to stop.

        Raises:
            GaveUpError: nothing was accepted within the deadline.
        """
        while request := self._inbox.take(
            self._path.records_per_request, self._path.bytes_per_request, self._stops.requested
        ):
            if not self.deliver(request):
                return

    def deliver(self, request: Request) -> bool:
        """Send until every record is stored or refused; False if stopped before.

        Raises:
            GaveUpError: nothing was accepted within the deadline.
        """
        parts = deque([request.records])
        waits = self._policy().waits()
        while parts:
            part = parts.popleft()
            reply = self._path.deliver(request.name, part)
            if reply.as_one and len(part) > 1:
                half = len(part) // 2
                parts.extendleft((part[half:], part[:half]))
                continue
            sort = _sorted(part, reply)
            if sort.stored or sort.refused:
                self._ledger.resolve(self._path.path, sort.stored, sort.refused)
                self._watcher.resolved(self._path.path, request.name, len(sort.stored), len(sort.refused))
                waits = self._policy().waits()  # the deadline counts from the last progress
            if sort.again:
                parts.appendleft([record for record, _ in sort.again])
                if self._pause(request.name, sort.again, waits, reply.retry_after_s):
                    return False
        return True

    def _pause(
        self, name: str, again: list[tuple[Record, Again]], waits: Iterator[float], retry_after_s: float | None
    ) -> bool:
        reason = again[0][1].reason
        wait = next(waits, None)
        if wait is None:
            msg = (
                f"{self._path.path} path, {name}: nothing was accepted within {self._policy().deadline_s:g} s: {reason}"
            )
            raise GaveUpError(msg)
        if retry_after_s is not None:
            wait = min(max(wait, retry_after_s), self._policy().deadline_s)
        self._watcher.waiting(self._path.path, name, len(again), reason, wait)
        logger.info(
            "records wait to be sent again",
            extra={
                "path": self._path.path,
                "destination": name,
                "records": len(again),
                "reason": reason,
                "wait_s": wait,
            },
        )
        return self._stops.pause(wait)


def _sorted(records: list[Record], reply: Reply) -> Sorted:
    out = Sorted([], [], [])
    for record, verdict in zip(records, reply.verdicts, strict=True):
        match verdict:
            case Stored():
                out.stored.append((record, verdict))
            case Refused():
                out.refused.append((record, verdict))
            case Again():
                out.again.append((record, verdict))
    return out
