"""Small stand-ins for queries and what starts them, with the real interfaces."""

import json
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from pipeline_contracts.names import Kind
from service_kit.clock import Clock

from stream_reader.queries.batch import Progress


class FakeWriter:
    """What a query needs to know of its batch function."""

    def __init__(self) -> None:
        self.progress = Progress()
        self.closed = False
        self.lost_table: str | None = None
        self.fails: Exception | None = None
        self.query_id: Future[str] = Future()

    def lost(self) -> str | None:
        """What ``lost_table`` says, or ``fails``."""
        if self.fails is not None:
            raise self.fails
        return self.lost_table

    def close(self, deadline_s: float) -> bool:  # noqa: ARG002 (the interface)
        """Nothing runs."""
        self.closed = True
        return True


class FakeRunning:
    """A streaming query."""

    id = "q"

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.looks = True
        """Whether it comes round, again and again."""
        self.behind_ms = 0
        self.unanswered = 0
        self._progress: Mapping[str, Any] | None = None
        self.isActive = True
        self.available = True
        self.error: Exception | None = None

    @property
    def lastProgress(self) -> Mapping[str, Any] | None:  # noqa: N802 (PySpark's name)
        """The last look; there is one whenever it is asked for while it ``looks``."""
        if self.looks:
            report = json.dumps({"behind_ms": self.behind_ms, "shards": {}, "unanswered": self.unanswered})
            self._progress = {"timestamp": self._clock.monotonic(), "sources": [{"latestOffset": report}]}
        return self._progress

    @property
    def status(self) -> dict[str, Any]:
        """Whether there is more."""
        return {"isDataAvailable": self.available}

    def exception(self) -> Exception | None:
        """What ``fail`` was given."""
        return self.error

    def stop(self) -> None:
        """End in order."""
        self.isActive = False

    def fail(self, error: Exception | None) -> None:
        """End by itself."""
        self.isActive, self.error = False, error


class FakeLaunch:
    """Starts fake queries, and remembers them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.looks = True
        self.started: list[tuple[Kind, str]] = []
        self.fails: Exception | None = None

    def __call__(self, kind: Kind, log_id: str) -> Any:
        """Start one, or fail with ``fails``."""
        if self.fails is not None:
            raise self.fails
        self.started.append((kind, log_id))
        self.writer, self.query = FakeWriter(), FakeRunning(self._clock)
        self.query.looks = self.looks
        return self.writer, self.query
