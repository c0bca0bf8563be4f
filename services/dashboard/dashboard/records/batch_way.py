"""One record's way down the batch path: Kafka, object, bronze, silver or quarantine, answers.

The verdicts are those of ``pipeline audit``, as far as the lake alone can tell: of a record that bronze does not have,
Kafka and the bucket could say more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from pipeline_contracts.lake import Cleaned
from pipeline_contracts.names import Kind, Names

from dashboard.lake import runs
from dashboard.lake.reader import Commit, LakeReader
from dashboard.lake.runs import Run
from dashboard.records import batch_steps
from dashboard.records.asking import Asking, Row
from dashboard.records.batch_tables import MOST_RECORDS, BatchTables, Spot, spot
from dashboard.records.places import Fate, Found, Path, Place, Record, content

_PATH: Final[Path] = "batch"
_COMMITS: Final = 200


@dataclass(frozen=True)
class _Settled:
    """What silver says of some records: the rows of contents by coordinate and by hash, and the keys' winners."""

    current: Mapping[Spot, Row]
    superseded: Mapping[Spot, Row]
    by_content: Mapping[str, Row]
    winners: Mapping[int, Row]


@dataclass(frozen=True)
class _Progress:
    """How far silver has come, and the last run. ``counted``: the winners that its answers count; None: not known."""

    commits: Sequence[Commit]
    run: Run | None
    counted: Mapping[int, Row] | None = field(default_factory=dict)

    @property
    def cleaned_batch(self) -> int:
        return Cleaned.newest(commit.note for commit in self.commits if commit.note).cleaned_batch

    def cleaned_at(self, batch: int) -> datetime | None:
        """When silver came to a batch; None where the log has forgotten, or does not say."""
        reached = [
            commit for commit in self.commits if commit.note and Cleaned.newest([commit.note]).cleaned_batch >= batch
        ]
        if not reached or reached[-1] is self.commits[-1]:
            return None
        return reached[-1].at


@dataclass(frozen=True)
class _Known:
    """All that is known of some records of bronze."""

    refused: Mapping[Spot, Row]
    settled: _Settled
    objects: Mapping[str, Row]
    progress: _Progress


class BatchWay:
    """Finds records and judges them.

    Blocks while tables are read, some tenths of a second. Raises ``LakeError`` where one cannot be.
    """

    def __init__(self, reader: LakeReader, names: Names) -> None:
        self._reader = reader
        self._names = names

    def by_key(self, kind: Kind, key: int, *, with_value: bool = False) -> Found:
        """The records of one post: its contents and their repeats, and what was sent with its key and not cleaned."""
        tables = self._tables(kind)
        commits = self._commits(tables)
        rows = tables.of_key(key, with_value=with_value)
        return Found(self._judged(tables, kind, rows[:MOST_RECORDS], commits), len(rows) > MOST_RECORDS)

    def by_place(
        self, kind: Kind, partition: int, offset: int, log_id: str | None = None, *, with_value: bool = False
    ) -> Found:
        """The record at a coordinate; without ``log_id`` one of each log that has it. At least one."""
        tables = self._tables(kind)
        # What is committed later is read first: so an analysis that commits meanwhile makes nothing look lost.
        covering = tables.covering(partition, offset, log_id)
        held = tables.not_records(partition, offset, log_id)
        commits = self._commits(tables)
        rows = tables.at(partition, offset, log_id, with_value=with_value)
        records = list(self._judged(tables, kind, rows[:MOST_RECORDS], commits))
        known = {record.place.log_id for record in records}
        records += self._elsewhere(kind, (partition, offset), held, covering, known)
        if not records:
            place = self._place(kind, (log_id or "", partition, offset))
            records = [Record(place, kind, "not_there_yet", batch_steps.not_there_yet(place))]
        return Found(tuple(records), len(rows) > MOST_RECORDS)

    def _judged(
        self, tables: BatchTables, kind: Kind, rows: Sequence[Row], commits: Sequence[Commit]
    ) -> tuple[Record, ...]:
        """Records that bronze has. ``commits`` of silver were read before them, quarantine and silver after them."""
        if not rows:
            return ()
        refused = tables.quarantined(rows)
        settled = self._settled(tables, rows)
        objects = tables.objects(row["object_key"] for row in rows)
        known = _Known(refused, settled, objects, self._progress(tables, settled, commits))
        return tuple(self._record(kind, row, known) for row in rows)

    def _record(self, kind: Kind, row: Row, known: _Known) -> Record:
        at, place = spot(row), self._place(kind, spot(row))
        mine = known.settled.current.get(at) or known.settled.superseded.get(at)
        first = known.settled.by_content.get(row["content_hash"])
        steps = [*batch_steps.until_bronze(place, row, known.objects.get(row["object_key"]))]
        cleaned_at = known.progress.cleaned_at(row["ingest_batch"])
        fate: Fate
        if at in known.refused:
            fate = "quarantined"
            steps.append(batch_steps.quarantined(known.refused[at]))
        elif mine is not None:
            fate = "current" if at in known.settled.current else "superseded"
            winner = known.settled.winners.get(mine["ind"])
            steps.append(batch_steps.settled(fate, mine, cleaned_at, self._of(kind, winner)))
            steps.append(batch_steps.answers(fate, mine, known.progress.run, known.progress.counted))
        elif first is not None:
            fate = "repeated"
            steps.append(batch_steps.repeated(first, cleaned_at, self._of(kind, first)))
        elif row["ingest_batch"] > known.progress.cleaned_batch:
            fate = "in_flight"
            steps.append(batch_steps.waits_for_cleaning())
        else:
            fate = "missing"
            steps.append(batch_steps.missing_in_silver())
        cleaned = mine or (first if fate == "repeated" else None)
        fields = {} if cleaned is None else content(cleaned)
        return Record(
            place, kind, fate, tuple(steps), row["recorded_at"], row["content_hash"], fields, row.get("value")
        )

    def _elsewhere(
        self,
        kind: Kind,
        at: tuple[int, int],
        held: Sequence[Row],
        covering: Mapping[str, Row],
        known: set[str],
    ) -> list[Record]:
        """What quarantine and the ledger of objects know of a coordinate, in logs in which bronze does not have it."""
        held = [row for row in held if row["log_id"] not in known]
        covering = {log: row for log, row in covering.items() if log not in known}
        records = []
        for log in sorted({row["log_id"] for row in held} | covering.keys()):
            place = self._place(kind, (log, *at))
            mine = {row["source"]: row for row in held if row["log_id"] == log}
            found = covering.get(log)
            fate: Fate
            if letter := mine.get("dead_letter"):
                fate, steps = "dead_lettered", batch_steps.dead_lettered(place, letter)
            elif line := mine.get("object"):
                fate, steps = "missing", batch_steps.unreadable_line(place, line, found)
            elif found is not None and _has_line(found, at[1]):
                fate, steps = "missing", batch_steps.missing_in_bronze(place, found)
            else:
                fate, steps = "unclear", batch_steps.no_line(place, found or {})
            records.append(Record(place, kind, fate, steps, None if letter is None else letter["recorded_at"]))
        return records

    def _settled(self, tables: BatchTables, rows: Sequence[Row]) -> _Settled:
        current, superseded = tables.settled(rows)
        by_content = {row["content_hash"]: row for row in [*superseded, *current]}
        winners = tables.current({row["ind"] for row in [*current, *superseded]}) or {}
        return _Settled(
            {spot(row): row for row in current}, {spot(row): row for row in superseded}, by_content, winners
        )

    def _commits(self, tables: BatchTables) -> Sequence[Commit]:
        return self._reader.commits(tables.silver, _COMMITS)

    def _progress(self, tables: BatchTables, settled: _Settled, commits: Sequence[Commit]) -> _Progress:
        run = next(iter(runs.newest(self._reader)), None)
        state = self._reader.state(tables.silver)
        version = None if run is None else run.versions.get(tables.silver)
        if version is None or state is None:
            return _Progress(commits, run)
        if version == state.version:
            return _Progress(commits, run, settled.winners)
        return _Progress(commits, run, tables.current(settled.winners.keys(), version))

    def _tables(self, kind: Kind) -> BatchTables:
        return BatchTables(Asking(self._reader), self._names, kind)

    def _place(self, kind: Kind, at: Spot) -> Place:
        log_id, partition, offset = at
        return Place(_PATH, self._names.topic(kind), log_id, str(partition), str(offset))

    def _of(self, kind: Kind, row: Row | None) -> Place | None:
        return None if row is None else self._place(kind, spot(row))


def _has_line(found: Row, offset: int) -> bool:
    """Whether an object's lines that were read hold this offset."""
    return any(one["first"] <= offset < one["next"] for one in found["ranges"] or ())
