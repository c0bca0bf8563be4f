"""What a run came to."""

from pathlib import Path

import msgspec
from pipeline_contracts.names import Kind

from emitter.ledger import Run
from emitter.ledger_reader import LedgerReader, PathCounts, Problem
from emitter.rows import PathName

ALL_SENT = 0
SOME_NOT_TAKEN = 1
NOT_FINISHED = 3


class Summary(msgspec.Struct, frozen=True):
    """Figures of the whole run, over all processes that worked on it.

    ``sent`` counts acknowledged events by the kind of topic they went to; one that went down both paths counts once.
    ``unfinished`` is None for a complete run, else the reason.
    """

    run: int
    resumed: bool
    sent: dict[Kind, int]
    paths: dict[PathName, PathCounts]
    retried: int
    seconds: float
    rejected: list[Problem]
    refused: list[Problem]
    unfinished: str | None

    @property
    def acknowledged(self) -> int:
        """Records acknowledged, over both paths."""
        return sum(counts.acknowledged for counts in self.paths.values())

    @property
    def exit_code(self) -> int:
        """0: every row is acknowledged; 1: some were rejected or refused; 3: the run can be gone on with."""
        if self.unfinished is not None:
            return NOT_FINISHED
        return SOME_NOT_TAKEN if self.rejected or self.refused else ALL_SENT


def summarise(ledger: Path, run: Run, unfinished: str | None) -> Summary:
    """Read a run's figures from the ledger."""
    with LedgerReader(ledger) as reader:
        retried, seconds = reader.figures(run.id)
        return Summary(
            run=run.id,
            resumed=run.resumed,
            sent=reader.events(run.id),
            paths=reader.paths(run.id),
            retried=retried,
            seconds=round(seconds, 3),
            rejected=reader.rejected(run.id),
            refused=reader.refused(run.id),
            unfinished=unfinished,
        )
