"""Each fate of the stream path, on a lake of real Delta tables and a ledger's columns written by hand."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from pipeline_contracts.names import Names
from pipeline_local.audit.report import Audit
from pipeline_local.audit.stream_fates import StreamStages, audit, not_stored
from pipeline_local.audit.stream_stage import StreamContents, StreamLog, StreamRecords
from pipeline_local.lake import Lake

STREAM = "streaming-pinterest-geo"
TABLE = "stream/pinterest_geo_table"
LOG = "arn:aws:kinesis:us-east-1:000000000000:stream/streaming-pinterest-geo@1764000000000"
OLD = "arn:aws:kinesis:us-east-1:000000000000:stream/streaming-pinterest-geo@1763000000000"
S0, S1 = "shardId-000000000000", "shardId-000000000001"
NOW = datetime(2026, 1, 2, tzinfo=UTC)
DAY = timedelta(days=1)
ROWS = pa.schema(
    [("ind", pa.int32()), ("log_id", pa.string()), ("partition", pa.string()), ("offset", pa.string()),
     ("recorded_at", pa.timestamp("us", tz="UTC")), ("content_hash", pa.string())]
)  # fmt: skip
# Sequence numbers are longer than any integer of SQL, and of different lengths.
BASE = 10**56


def number(place: int) -> str:
    return str(BASE - 3 + place)


@dataclass
class World:
    """What stream, tables and ledger hold. Records are named by their place in the shard."""

    folder: Path
    created: datetime = NOW - timedelta(hours=1)
    logs: tuple[str, ...] = (LOG,)
    held: list[tuple[str, str, int, str]] = field(default_factory=list)
    said: list[tuple[str, str, int, str]] = field(default_factory=list)

    def stream(self, places: dict[int, str], shard: str = S0) -> None:
        """The stream holds these contents now."""
        self.held += [(LOG, shard, place, content) for place, content in places.items()]

    def ledger(self, places: dict[int, str], shard: str = S0, log: str = LOG) -> None:
        """The ledger has these acknowledged."""
        self.said += [(log, shard, place, content) for place, content in places.items()]

    def table(
        self, ind: int, content: str, place: int, shard: str = S0, log: str = LOG, at: datetime | None = None
    ) -> None:
        """The stream table has a row more; recorded a second after ``NOW`` per place, unless said otherwise."""
        row = {
            "ind": ind, "log_id": log, "partition": shard, "offset": number(place),
            "recorded_at": at or NOW + timedelta(seconds=place), "content_hash": content,
        }  # fmt: skip
        write_deltalake(self.folder / TABLE, pa.Table.from_pylist([row], schema=ROWS), mode="append")

    def quarantine(self, place: int, shard: str = S0) -> None:
        row = {"source": "record", "log_id": LOG, "stream": STREAM, "partition": shard, "offset": number(place)}
        write_deltalake(self.folder / "quarantine/stream", pa.Table.from_pylist([row]), mode="append")

    def judged(self) -> Audit:
        logs = [StreamLog(STREAM, log, (S0, S1), self.created, NOW - DAY) for log in self.logs]
        contents = StreamContents(logs, columns(self.held))
        return Audit(audit(Names(), Lake(self.folder), StreamStages(contents, columns(self.said))))

    def row(self, shard: str = S0, log: str = LOG) -> dict[str, Any]:
        """What is not nothing in one shard's row."""
        rows = self.judged().as_document()["rows"]
        (found,) = [row for row in rows if (row["partition"], row["log_id"]) == (shard, log)]
        assert (found["path"], found["name"]) == ("stream", STREAM)
        assert (found["in_objects"], found["in_bronze"], found["dead_lettered"]) == (None, None, 0)
        others = {"path", "name", "log_id", "partition"}
        return {name: value for name, value in found.items() if name not in others and value not in (0, [], None)}


def columns(records: list[tuple[str, str, int, str]]) -> pa.Table:
    rows = [
        {"name": STREAM, "log_id": log, "partition": shard, "offset": number(place), "content_hash": content}
        for log, shard, place, content in records
    ]
    return pa.Table.from_pylist(rows, schema=StreamRecords)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_every_fate_at_once(world: World) -> None:
    """Post 1: A, B, A again; post 2: once; then a bad row, and one that is still in the stream alone."""
    everything = {1: "1A", 2: "1B", 3: "1A", 4: "2", 5: "bad", 6: "new"}
    world.stream(everything)
    for ind, content, place in [(1, "1A", 1), (1, "1B", 2), (1, "1A", 3), (2, "2", 4)]:
        world.table(ind, content, place)
    world.quarantine(5)
    world.ledger({place: content for place, content in everything.items() if place != 3})
    assert world.row() == {
        "acknowledged": 5, "unacknowledged": 1, "in_log": 6,
        "current": 2, "superseded": 1, "repeated": 1, "quarantined": 1, "in_flight": 1,
    }  # fmt: skip
    assert world.judged().exit_code == 4


def test_all_at_rest(world: World) -> None:
    world.stream({1: "1"})
    world.ledger({1: "1"})
    world.table(1, "1", 1)
    assert world.judged().exit_code == 0


def test_every_shard_has_a_row(world: World) -> None:
    assert [row.partition for row in world.judged().rows] == [S0, S1]


def test_sequence_numbers_are_ordered_as_numbers(world: World) -> None:
    """At one moment in one shard: …99 came before 1…00, which is longer and smaller as text."""
    assert len(number(2)) < len(number(3))
    assert number(3) < number(2)
    for place, content in [(3, "B"), (2, "A")]:
        world.table(1, content, place, at=NOW)
    world.table(1, "A", 5, at=NOW)
    found = world.judged()
    assert (found.rows[0].current, found.rows[0].superseded, found.rows[0].repeated) == (1, 1, 1)
    # Whose content is current shows in the shard of its first occurrence: move the winner there, and it follows.
    world.table(1, "C", 1, shard=S1, at=NOW - DAY)
    assert world.row(S1) == {"unacknowledged": 1, "in_log": 1, "superseded": 1}


def test_the_winner_is_the_latest_by_time_then_shard(world: World) -> None:
    world.table(1, "A", 9, shard=S0, at=NOW + DAY)
    world.table(1, "B", 1, shard=S1, at=NOW)
    assert (world.row(S0)["current"], world.row(S1)["superseded"]) == (1, 1)
    world.table(1, "C", 2, shard=S1, at=NOW + DAY)
    assert (world.row(S0)["superseded"], world.row(S1)) == (
        1,
        {"unacknowledged": 2, "in_log": 2, "superseded": 1, "current": 1},
    )


def test_a_record_that_the_reader_went_past_is_missing(world: World) -> None:
    world.stream({place: str(place) for place in range(1, 6)})
    world.table(1, "1", 1)
    world.table(4, "4", 4)
    assert world.row() == {
        "unacknowledged": 5, "in_log": 5, "current": 2, "in_flight": 1, "missing": [[number(2), number(3)]],
    }  # fmt: skip
    assert world.judged().exit_code == 1


def test_ranges_break_where_a_record_is_stored(world: World) -> None:
    world.stream({place: str(place) for place in range(1, 6)})
    world.table(2, "2", 2)
    world.table(5, "5", 5)
    assert world.row()["missing"] == [[number(1), number(1)], [number(3), number(4)]]


def test_a_quarantined_record_does_not_say_how_far_the_reader_is(world: World) -> None:
    """A batch is quarantined before its rows are appended."""
    world.stream({1: "1", 2: "bad"})
    world.quarantine(2)
    assert world.row() == {"unacknowledged": 2, "in_log": 2, "quarantined": 1, "in_flight": 1}


def test_one_shard_says_nothing_of_another(world: World) -> None:
    world.stream({1: "1"}, S0)
    world.stream({9: "9"}, S1)
    world.table(9, "9", 9, shard=S1)
    assert world.row(S0)["in_flight"] == 1


@pytest.mark.parametrize("where", ["table", "both"])
def test_a_coordinate_that_stands_twice_is_doubled(world: World, where: str) -> None:
    world.stream({1: "1", 2: "2"})
    world.table(1, "1", 1)
    world.table(2, "2", 2)
    if where == "both":
        world.quarantine(2)
    else:
        world.table(2, "2", 2)
    assert world.row() == {"unacknowledged": 2, "in_log": 2, "current": 2, "doubled": [[number(2), number(2)]]}
    assert world.judged().exit_code == 1


@pytest.mark.parametrize("where", ["table", "stream"])
def test_an_acknowledged_record_with_other_content_is_altered(world: World, where: str) -> None:
    world.stream({1: "other" if where == "stream" else "1"})
    world.table(1, "1" if where == "stream" else "other", 1)
    world.ledger({1: "1"})
    assert world.row()["altered"] == [[number(1), number(1)]]
    assert world.judged().exit_code == 1


def test_what_has_aged_out_of_the_stream_keeps_its_fate(world: World) -> None:
    world.created = NOW - 9 * DAY
    world.ledger({1: "1", 2: "1", 3: "bad"})
    world.table(1, "1", 1, at=NOW - 3 * DAY)
    world.table(1, "1", 2, at=NOW - 3 * DAY)
    world.quarantine(3)
    assert world.row() == {"acknowledged": 3, "in_log": 3, "current": 1, "repeated": 1, "quarantined": 1}
    assert world.judged().exit_code == 0


def test_acknowledged_aged_out_and_never_read_is_expired(world: World) -> None:
    world.created = NOW - 9 * DAY
    world.ledger({1: "1", 2: "2"})
    world.stream({2: "2"})
    world.table(2, "2", 2, at=NOW - DAY / 2)
    assert world.row() == {"acknowledged": 2, "in_log": 2, "current": 1, "expired": 1, "lost": [[number(1)] * 2]}
    assert world.judged().exit_code == 1


def test_an_old_stream_that_has_forgotten_everything(world: World) -> None:
    world.created = NOW - 9 * DAY
    world.ledger({1: "1"})
    assert world.row() == {"acknowledged": 1, "in_log": 1, "expired": 1, "lost": [[number(1)] * 2]}


def test_acknowledged_and_nowhere_is_missing_while_the_stream_keeps_everything(world: World) -> None:
    world.ledger({1: "1", 2: "2"})
    world.stream({2: "2"})
    world.table(2, "2", 2)
    assert world.row() == {"acknowledged": 2, "in_log": 1, "current": 1, "missing": [[number(1), number(1)]]}


@pytest.mark.parametrize("held", [True, False])
def test_acknowledged_and_nowhere_is_missing_where_an_older_record_would_still_be_kept(
    world: World, held: bool
) -> None:
    """The older one stands in the stream, or at least in the table with a time of arrival within the retention."""
    world.created = NOW - 9 * DAY
    world.ledger({1: "1", 2: "2"})
    if held:
        world.stream({1: "1"})
    world.table(1, "1", 1, at=NOW - 3 * DAY if held else NOW - DAY / 2)
    assert world.row()["missing"] == [[number(2), number(2)]]


def test_a_stream_made_anew_keeps_its_old_rows(world: World) -> None:
    world.table(1, "1", 1, log=OLD)
    world.ledger({1: "1"}, log=OLD)
    world.stream({1: "1B"})
    world.table(1, "1B", 1, at=NOW + DAY)
    assert world.row(log=OLD) == {"acknowledged": 1, "in_log": 1, "superseded": 1}
    assert world.row() == {"unacknowledged": 1, "in_log": 1, "current": 1}
    assert world.judged().exit_code == 0


def test_what_went_with_a_deleted_stream_unread_is_expired(world: World) -> None:
    world.ledger({1: "1"}, log=OLD)
    assert world.row(log=OLD) == {"acknowledged": 1, "in_log": 1, "expired": 1, "lost": [[number(1)] * 2]}
    assert world.judged().exit_code == 1


def test_how_many_are_not_stored_yet(world: World) -> None:
    world.ledger({1: "1", 2: "2", 3: "bad"})
    lake = Lake(world.folder)
    assert not_stored(Names(), lake, columns(world.said)) == 3
    world.table(1, "1", 1)
    world.quarantine(3)
    assert not_stored(Names(), lake, columns(world.said)) == 1
    world.table(2, "2", 2)
    assert not_stored(Names(), lake, columns(world.said)) == 0


def test_the_current_rows_are_a_view(world: World) -> None:
    for content, place in [("B", 3), ("A", 2), ("A", 5)]:
        world.table(1, content, place, at=NOW)
    with Lake(world.folder).connect() as connection:
        rows = connection.execute('select content_hash, "offset" from stream_pinterest_geo_current').fetchall()
        assert rows == [("B", number(3))]
        assert connection.execute("select count(*) from stream_pinterest_geo_table").fetchall() == [(3,)]
