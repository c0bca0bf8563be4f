"""Who looks on while a run goes: counts for the ledger, and whatever shows them."""

import threading
from typing import Protocol

from emitter.lane import Watcher
from emitter.ledger import Run
from emitter.rows import PathName


class Spectator(Watcher, Protocol):
    """A watcher that also wants to know of the run and of the source."""

    def began(self, run: Run, events: int | None) -> None:
        """The run is open; ``events`` is how many it was asked for."""

    def took(self, rows: int) -> None:
        """So many rows more were read from the source."""


class Tally:
    """Counts what is sent again, and passes everything on to the spectators."""

    def __init__(self, *spectators: Spectator) -> None:
        self._spectators = spectators
        self._lock = threading.Lock()
        self.retried = 0

    def began(self, run: Run, events: int | None) -> None:
        """Pass on."""
        for spectator in self._spectators:
            spectator.began(run, events)

    def took(self, rows: int) -> None:
        """Pass on."""
        for spectator in self._spectators:
            spectator.took(rows)

    def resolved(self, path: PathName, name: str, stored: int, refused: int) -> None:
        """Pass on."""
        for spectator in self._spectators:
            spectator.resolved(path, name, stored, refused)

    def waiting(self, path: PathName, name: str, records: int, reason: str, seconds: float) -> None:
        """Count, and pass on."""
        with self._lock:
            self.retried += records
        for spectator in self._spectators:
            spectator.waiting(path, name, records, reason, seconds)
