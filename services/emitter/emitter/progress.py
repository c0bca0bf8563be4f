"""What a person sees while a run goes, on stderr: a bar on a terminal, else a line now and then."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from service_kit.inert import visible

from emitter.ledger import Run
from emitter.rows import PathName

_LINE_EVERY_S = 5.0


class ProgressBar:
    """Events taken and records acknowledged; and, while something is sent again, why."""

    def __init__(self, paths: int) -> None:
        self._paths = paths
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("[yellow]{task.fields[note]}"),
            console=Console(stderr=True),
        )
        self._task = self._progress.add_task("records", total=None, note="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._progress.stop()

    def began(self, run: Run, events: int | None) -> None:
        """Name the run and its size."""
        total = None if events is None else (events - run.taken.rows) * self._paths
        self._progress.update(self._task, description=f"run {run.id}", total=total)

    def took(self, rows: int) -> None:
        """The bar moves with acknowledgements only."""

    def resolved(self, path: PathName, name: str, stored: int, refused: int) -> None:  # noqa: ARG002 (Watcher)
        """Move the bar."""
        self._progress.update(self._task, advance=stored + refused, note="")

    def waiting(self, path: PathName, name: str, records: int, reason: str, seconds: float) -> None:  # noqa: ARG002
        """Say why nothing moves."""
        note = visible(f"{name}: {records:,} again in {seconds:.1f} s: {reason}").replace("[", r"\[")
        self._progress.update(self._task, note=note)


class ProgressLines:
    """The same for a log: a line every few seconds."""

    def __init__(self, write: Callable[[str], None], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._write = write
        self._monotonic = monotonic
        self._last = monotonic()
        self._done = 0

    def began(self, run: Run, events: int | None) -> None:
        """Name the run."""
        size = "all events" if events is None else f"{events:,} events"
        after = f", going on after {run.taken.rows:,}" if run.resumed else ""
        self._write(f"run {run.id}: {size}{after}")

    def took(self, rows: int) -> None:
        """Lines follow acknowledgements only."""

    def resolved(self, path: PathName, name: str, stored: int, refused: int) -> None:  # noqa: ARG002 (Watcher)
        """A line, if it is time."""
        self._done += stored + refused
        self._now_and_then(f"{self._done:,} records done")

    def waiting(self, path: PathName, name: str, records: int, reason: str, seconds: float) -> None:
        """A line, if it is time."""
        self._now_and_then(f"{path} path, {name}: {records:,} records again in {seconds:.1f} s: {reason}")

    def _now_and_then(self, line: str) -> None:
        now = self._monotonic()
        if now - self._last >= _LINE_EVERY_S:
            self._last = now
            self._write(line)
