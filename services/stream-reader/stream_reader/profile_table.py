"""The table ``stream/profile_popularity``: one row per profile, for everyone who reads Delta."""

from collections.abc import Iterable, Sequence

import msgspec
import pyarrow as pa
from pyspark.sql import DataFrame

from stream_reader.score import Profile
from stream_reader.tables import POPULARITY, StreamLake

_NOTES = 100
"""Of so many commits one has a note: only upkeep makes commits without."""


class Note(msgspec.Struct, frozen=True):
    """The note of a commit: its number, counted by this service; the half life that scores were computed with."""

    commit: int
    half_life_s: float


class ProfileTable:
    """The one writer of the table. ``lake`` has a session of its own, because notes are set on it."""

    def __init__(self, lake: StreamLake) -> None:
        self._lake = lake
        self._schema: pa.Schema | None = None

    def load(self) -> list[Profile]:
        """Every row."""
        rows: list[Profile] = self._lake.read(POPULARITY).toArrow().to_pylist()
        return rows

    def note(self) -> Note | None:
        """The note of the last commit; None before the first."""
        for text in self._lake.notes(POPULARITY, _NOTES):
            try:
                return msgspec.json.decode(text, type=Note)
            except msgspec.MsgspecError:
                continue
        return None

    def merge(self, changed: Sequence[Profile], note: Note) -> int:
        """One commit that shows these profiles as they are now; returns the bytes that it wrote."""
        with self._lake.noted(msgspec.json.encode(note).decode()):
            (
                self._lake.delta(POPULARITY)
                .alias("old")
                .merge(self._frame(changed).alias("new"), "old.poster_name = new.poster_name")
                .whenMatchedDelete("new.posts = 0")
                .whenMatchedUpdateAll()
                .whenNotMatchedInsertAll("new.posts > 0")
                .execute()
            )
        return self._lake.last_commit(POPULARITY).metric("numTargetBytesAdded")

    def replace(self, profiles: Iterable[Profile], note: Note) -> None:
        """One commit after which these are all."""
        rows = [profile for profile in profiles if profile["posts"]]
        with self._lake.noted(msgspec.json.encode(note).decode()):
            self._lake.overwrite(POPULARITY, self._frame(rows))

    def _frame(self, rows: Sequence[Profile]) -> DataFrame:
        if self._schema is None:
            self._schema = self._lake.read(POPULARITY).limit(0).toArrow().schema
        return self._lake.spark.createDataFrame(pa.Table.from_pylist(list(rows), self._schema))
