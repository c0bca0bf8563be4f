"""What a checkpoint knows of the tables that its batches went to: the file ``tables.json`` inside its folder.

It tells tables that were lost under a kept checkpoint from those that the checkpoint counts on. And it saves a start
from reading the coordinates of all rows: a query that is past what earlier checkpoints brought has nothing to look up.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from stream_reader.lake.failures import UNREADABLE, TableError
from stream_reader.lake.tables import State, Tables
from stream_reader.queries.checkpoints import DamageError, write_atomically

_FILE: Final = "tables.json"


class Part(msgspec.Struct, frozen=True):
    """One table: its id and version, and the last batch that went to it, when the checkpoint appended last."""

    id: str
    version: int
    batch: int | None = None


class Mark(msgspec.Struct, frozen=True):
    """``held``: per shard, the last record that the tables held when the checkpoint began; without the shards that the
    query is past.
    """

    tables: Mapping[str, Part]
    held: Mapping[str, str]

    def lost(self, tables: Tables, query_id: str | None = None) -> str | None:
        """Which table is not the one that the checkpoint counts on; None: all are. With the id, batches are looked up.

        Raises:
            TableError: one cannot be read.
        """
        for table, part in self.tables.items():
            found = _found(tables, table)
            if found is None or found[0] != part.id:
                return f"the table {table} was lost or recreated"
            if found[1] < part.version:
                return f"the table {table} went back from version {part.version} to {found[1]}"
            if query_id is not None and part.batch is not None:
                seen = tables.transaction(table, application(query_id, table))
                if seen is None or seen < part.batch:
                    return f"the table {table} has lost batch {part.batch}"
        return None


def _found(tables: Tables, table: str) -> State | None:
    try:
        return tables.found(table)
    except UNREADABLE as error:
        raise TableError(table, error) from error


def application(query_id: str, table: str) -> str:
    """By what name a query's batches are known to a table."""
    return f"{query_id}/{table}"


_decode_mark = msgspec.json.Decoder(Mark).decode


def read_mark(folder: Path) -> Mark | None:
    """The mark of a checkpoint; None where there is none.

    Raises:
        DamageError: it cannot be read.
    """
    file = folder / _FILE
    try:
        return _decode_mark(file.read_bytes())
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, IsADirectoryError) as error:
        raise DamageError(f"{file} is damaged: {error}") from error


def write_mark(folder: Path, mark: Mark) -> None:
    """Keep it, in a folder that is made where it is not there.

    Raises:
        OSError: no room.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / _FILE, msgspec.json.encode(mark))
