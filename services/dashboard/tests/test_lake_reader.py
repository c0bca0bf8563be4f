import base64
import json
import socket
import struct
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timezone
from pathlib import Path

import pyarrow as pa
import pytest
from dashboard.lake import reader as reading
from dashboard.lake import sql, totals
from dashboard.lake.reader import At, BusyError, LakeError, LakeReader, MissingTableError
from delta_tables import write
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline_contracts.lake import EVENTS, QUARANTINE, STREAM_QUARANTINE, stream_table
from pipeline_contracts.names import KINDS, Names

ONE = {"n": pa.int64()}
HELD = {"reason": pa.string(), "source": pa.string()}
TRICKS = ["'", "''", "\\'", "' OR '1'='1", "--", "\0", '"']
TEXTS = st.text(st.characters(codec="utf-8"), max_size=30) | st.sampled_from(TRICKS)
COLUMNS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> LakeReader:
    root = tmp_path_factory.mktemp("lake")
    write(root / "one", ONE, [[1]])
    return LakeReader(root.as_uri())


@given(TEXTS, st.integers(-(2**63), 2**63 - 1), st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)), COLUMNS)  # noqa: DTZ001
@settings(max_examples=100, deadline=None)
def test_a_value_enters_a_query_as_itself_whatever_it_is(
    one: LakeReader, text: str, number: int, moment: datetime, column: str
) -> None:
    aware = moment.replace(tzinfo=UTC)
    column = column or "text"
    values = f"{sql.literal(number)} AS number_, {sql.literal(aware)} AS at_"
    asked = f"SELECT {sql.literal(text)} AS {sql.name(column)}, {values} FROM t"
    (row,) = one.rows(asked, {"t": At("one")}, most=5)
    found_text, found_number, found_moment = row.values()
    assert (found_text, found_number) == (text, number)
    assert found_moment.replace(tzinfo=UTC) == aware
    assert next(iter(row)) == column


def test_a_point_in_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        sql.literal(datetime(2026, 1, 1))  # noqa: DTZ001
    assert sql.literal(datetime(1970, 1, 1, 1, tzinfo=timezone.utc)) == "to_timestamp_micros(3600000000)"  # noqa: UP017


@given(st.sets(st.tuples(TEXTS, st.integers(0, 3), TEXTS)), st.tuples(TEXTS, st.integers(0, 3), TEXTS))
@settings(max_examples=25, deadline=None)
def test_what_comes_after_a_key_is_what_sorts_behind_it(
    tmp_path_factory: pytest.TempPathFactory, keys: set[tuple[str, int, str]], after: tuple[str, int, str]
) -> None:
    root = tmp_path_factory.mktemp("keys")
    write(root / "keys", {"a": pa.string(), "b": pa.int64(), "c": pa.string()}, sorted(keys))
    asked = f"SELECT * FROM t WHERE {sql.after(['a', 'b', 'c'], list(after))}"
    rows = LakeReader(str(root)).rows(asked, {"t": At("keys")}, most=1_000)

    def order(key: tuple[str, int, str]) -> tuple[bytes, int, bytes]:
        return key[0].encode(), key[1], key[2].encode()

    assert {tuple(row.values()) for row in rows} == {key for key in keys if order(key) > order(after)}


def test_rows_are_bounded_and_a_table_that_is_not_there_is_named(one: LakeReader, tmp_path: Path) -> None:
    write(tmp_path / "many", ONE, [[number] for number in range(20_000)])
    assert len(LakeReader(str(tmp_path)).rows("SELECT * FROM t", {"t": At("many")}, most=4_321)) == 4_321
    with pytest.raises(MissingTableError, match="there is no table two"):
        one.rows("SELECT * FROM t", {"t": At("two")}, most=1)
    (tmp_path / "folder").mkdir()
    with pytest.raises(MissingTableError):
        LakeReader(str(tmp_path)).rows("SELECT * FROM t", {"t": At("folder")}, most=1)


def test_questions_are_asked_in_turn_and_none_waits_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "many", ONE, [[number] for number in range(200_000)])
    reader = LakeReader(str(tmp_path))
    with pytest.raises(BusyError, match="within 0 s"):
        reader.rows("SELECT * FROM t", {"t": At("many")}, most=10**9, deadline_s=0)
    monkeypatch.setattr(reading, "_TURN_S", 0.05)
    with reader._turn(), reader._turn(), pytest.raises(BusyError, match="did not end within"):
        reader.rows("SELECT * FROM t", {"t": At("many")}, most=1)
    assert len(reader.rows("SELECT * FROM t", {"t": At("many")}, most=1)) == 1


def test_many_threads_read_while_a_writer_commits(tmp_path: Path) -> None:
    write(tmp_path / "t", ONE, [[0]])
    reader = LakeReader(str(tmp_path))
    done = threading.Event()
    wrong: list[object] = []

    def look() -> None:
        last = 0
        while not done.is_set():
            rows = reader.rows("SELECT count(*) AS c, max(n) AS m FROM t", {"t": At("t")}, most=1)
            if rows[0]["c"] != rows[0]["m"] + 1 or rows[0]["m"] < last:
                wrong.append(rows)
            last = rows[0]["m"]

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(1, 20):
        write(tmp_path / "t", ONE, [[number]], append=True)
    done.set()
    for thread in threads:
        thread.join(30)
    assert not wrong
    assert reader.count(At("t")) == 20


@given(
    st.lists(st.tuples(st.sampled_from(["bad_key", "not_json", None]), st.sampled_from(["record", "dead_letter"]))),
    st.lists(st.tuples(st.sampled_from(["bad_envelope", "it's"]), st.just("record"))),
    st.integers(0, 3),
)
@settings(max_examples=15, deadline=None)
def test_totals_are_exact_and_quarantine_is_counted_by_path_reason_and_source(
    tmp_path_factory: pytest.TempPathFactory,
    batch: list[tuple[str | None, str]],
    stream: list[tuple[str, str]],
    events: int,
) -> None:
    root = tmp_path_factory.mktemp("lake")
    reader = LakeReader(root.as_uri())
    write(root / EVENTS, ONE, [[number] for number in range(events)])
    write(root / QUARANTINE, HELD, batch)
    write(root / STREAM_QUARANTINE, HELD, stream)
    found = totals.read(reader, Names())
    counted = Counter({(one.path, one.reason, one.source): one.records for one in found.quarantined})
    assert counted == Counter([("batch", why or "", of) for why, of in batch] + [("stream", *row) for row in stream])
    assert found.dead_letters == sum(of == "dead_letter" for _, of in batch)
    assert found.tables[EVENTS].rows == events
    streams = {stream_table(Names(), kind) for kind in KINDS}
    assert {found.tables[table] for table in streams} == {totals.Total(None, None)}
    assert found.tables.keys() == {EVENTS, QUARANTINE, STREAM_QUARANTINE, *streams}, "others are shown nowhere"

    write(root / EVENTS, ONE, [[7]], append=True)
    again = totals.read(reader, Names(), found)
    assert again.tables[EVENTS].rows == events + 1
    assert again.tables[QUARANTINE] is found.tables[QUARANTINE], "what did not change is not counted again"
    assert set(again.quarantined) == set(found.quarantined)


def test_a_table_that_cannot_be_read_has_a_problem_and_the_others_their_numbers(tmp_path: Path) -> None:
    write(tmp_path / EVENTS, ONE, [[1]])
    write(tmp_path / QUARANTINE, HELD, [("bad_key", "record")])
    log = next((tmp_path / QUARANTINE / "_delta_log").glob("*.json"))
    whole = log.read_bytes()
    log.write_bytes(b"{")
    reader = LakeReader(tmp_path.as_uri())
    broken = totals.read(reader, Names())
    assert (broken.tables[EVENTS].rows, broken.tables[QUARANTINE].rows) == (1, None)
    assert {name for name, total in broken.tables.items() if total.problem} == {QUARANTINE}
    assert f"the table {QUARANTINE} is damaged" in broken.tables[QUARANTINE].problem
    log.write_bytes(whole)
    well = totals.read(reader, Names(), broken)
    assert ({total.problem for total in well.tables.values()}, well.tables[QUARANTINE].rows) == ({""}, 1)


def test_rows_that_a_log_does_not_count_are_counted(tmp_path: Path) -> None:
    write(tmp_path / "t", ONE, [[number] for number in range(10)])
    log = next((tmp_path / "t" / "_delta_log").glob("*.json"))
    text = log.read_text().replace('"stats":"', '"tags":null,"no":"')
    log.write_text(text)
    assert DeltaTable(str(tmp_path / "t")).count() != 10
    assert LakeReader(str(tmp_path)).count(At("t")) == 10


def test_rows_that_are_marked_as_deleted_do_not_count(tmp_path: Path) -> None:
    write(tmp_path / "t", ONE, [[number] for number in range(10)])
    log = next((tmp_path / "t" / "_delta_log").glob("*.json"))
    # The third row, as Delta's protocol writes it into the log: a bitmap of one container with one number.
    bitmap = struct.pack("<IQI", 1_681_511_377, 1, 0) + struct.pack("<IIHHIH", 12_346, 1, 0, 0, 16, 2)
    padded = bitmap + b"\0" * (-len(bitmap) % 4)
    vector = {"storageType": "i", "pathOrInlineDv": base64.z85encode(padded).decode(), "cardinality": 1}
    actions = [json.loads(line) for line in log.read_text().splitlines()]
    for action in actions:
        if "protocol" in action:
            features = ["deletionVectors"]
            action["protocol"] = {"minReaderVersion": 3, "minWriterVersion": 7}
            action["protocol"] |= {"readerFeatures": features, "writerFeatures": features}
        if "add" in action:
            action["add"]["deletionVector"] = {**vector, "sizeInBytes": len(bitmap)}
    log.write_text("\n".join(map(json.dumps, actions)))
    reader = LakeReader(str(tmp_path))
    rows = reader.rows("SELECT n FROM t ORDER BY n", {"t": At("t")}, most=20)
    assert [row["n"] for row in rows] == [0, 1, 3, 4, 5, 6, 7, 8, 9]
    assert reader.count(At("t")) == 9


def test_a_store_that_is_down_or_silent_is_no_damage_and_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    options = {"AWS_REGION": "us-east-1", "AWS_ALLOW_HTTP": "true"}
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for port in (1, silent.getsockname()[1]):
            endpoint = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
            reader = LakeReader("s3://bucket/lake", {**options, **endpoint}, remote_timeout_s=1)
            began = time.monotonic()
            with pytest.raises(LakeError, match="the table runs cannot be read") as told:
                reader.state("runs")
            assert "damaged" not in str(told.value)
            assert time.monotonic() - began < 15
