"""Where a query resumes: at its checkpoint if that matches the tables, else at the oldest record.

A checkpoint is of no use where one of its files is damaged, where a table that it counts on was lost, recreated or put
back to an older version, and where it is itself older than the tables (put back from a copy): Delta would then take new
batches for old ones of the same number, and leave them out.
"""

from dataclasses import dataclass
from pathlib import Path

from pipeline_contracts.lake import STREAM_QUARANTINE, stream_table
from pipeline_contracts.names import Kind, Names

from stream_reader.lake.tables import Tables
from stream_reader.queries.checkpoints import Checkpoint, DamageError, read_checkpoint, set_aside
from stream_reader.queries.known import Held, Known
from stream_reader.queries.marks import Mark, Part, application, read_mark, write_mark


@dataclass
class Beginning:
    """The state that a query's checkpoint keeps of the tables. One thread at a time changes it."""

    folder: Path
    tables: Tables
    known: Known
    parts: dict[str, Part]

    def appended(self, table: str, batch: int) -> None:
        """A batch went to this table."""
        self.parts[table] = Part(self.parts[table].id, self.tables.version(table), batch)

    def lost(self) -> str | None:
        """Which table is another by now; see ``Mark.lost``."""
        return self.mark.lost(self.tables)

    def keep(self) -> None:
        """Write down what is known now.

        Raises:
            OSError: no room.
        """
        write_mark(self.folder, self.mark)

    @property
    def mark(self) -> Mark:
        """What is written down."""
        return Mark(dict(self.parts), self.known.highest)


def begin(tables: Tables, names: Names, kind: Kind, log_id: str, folder: Path) -> Beginning:
    """Look at checkpoint and tables, which are there; set the checkpoint aside where they do not belong together.

    Blocks for the time it takes to read two columns of rows: of all in both tables where the checkpoint is new, else
    of what something else wrote to them since (a compaction, another query).

    Raises:
        OSError: the folder cannot be used.
        What reading a table raises.
    """
    of = (stream_table(names, kind), STREAM_QUARANTINE)
    mark, reason = None, None
    try:
        if (checkpoint := read_checkpoint(folder)) is not None:
            mark = read_mark(folder)
            reason = _mismatch(tables, of, checkpoint, mark)
    except DamageError as error:
        reason = str(error)
    if reason is not None:
        set_aside(folder, reason)
        mark = None
    before = Mark({}, {}) if mark is None else mark
    parts = {table: _part(tables, table, before) for table in of}
    changed = {table: _since(before, table) for table, part in parts.items() if part != before.tables.get(table)}
    begun = Beginning(folder, tables, Known.of(Held(tables, of, log_id), changed, before.held), parts)
    begun.keep()
    return begun


def _since(before: Mark, table: str) -> int | None:
    """The version whose rows the mark knows; of another table of this name it would not have been kept."""
    was = before.tables.get(table)
    return None if was is None else was.version


def _part(tables: Tables, table: str, before: Mark) -> Part:
    state = tables.found(table)
    if state is None:
        raise FileNotFoundError(f"there is no table {table}")
    was = before.tables.get(table)
    return Part(*state, None if was is None else was.batch)


def _mismatch(tables: Tables, of: tuple[str, ...], checkpoint: Checkpoint, mark: Mark | None) -> str | None:
    """Why this checkpoint does not match these tables; None if it does."""
    if mark is None:
        return "what it recorded of the tables is missing"
    if (lost := mark.lost(tables, checkpoint.query_id)) is not None:
        return lost
    seen = [tables.transaction(table, application(checkpoint.query_id, table)) for table in of]
    newest = max((batch for batch in seen if batch is not None), default=None)
    if newest is not None and newest > checkpoint.planned:
        return f"the tables hold its batch {newest}, and it has planned no batch after {checkpoint.planned}"
    return None
