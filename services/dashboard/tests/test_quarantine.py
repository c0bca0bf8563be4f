"""Pages of quarantine, by key, over tables of any rows."""

import base64
import json
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from dashboard.lake.reader import LakeReader
from dashboard.records.held import Held, Key, Only
from dashboard.records.quarantine import TEXT_CHARS, Quarantine
from dashboard_records import RecordsLake, second
from deltalake import DeltaTable
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

SOME = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
HOSTILE = st.sampled_from(
    ["plain", "'; DROP TABLE held; --", 'a"b', "\\'", "\u202eevil", "<img src=x onerror=y>", "\x00", "%_"]
)

batch_row = st.fixed_dictionaries(
    {
        "source": st.sampled_from(["record", "object", "dead_letter"]),
        "log_id": HOSTILE,
        "partition": st.integers(0, 1),
        "offset": st.none() | st.integers(0, 3),
        "line": st.none() | st.integers(1, 3),
        "recorded_at": st.none() | st.integers(0, 2).map(second),
        "reason": HOSTILE,
        "raw": st.binary(max_size=8),
    }
)
stream_row = st.fixed_dictionaries(
    {
        "log_id": HOSTILE,
        "offset": st.integers(0, 3).map(str),
        "recorded_at": st.integers(0, 2).map(second),
        "reason": HOSTILE,
        "raw": st.binary(max_size=8),
    }
)


def told_apart(rows: list[dict[str, Any]], *columns: str) -> list[dict[str, Any]]:
    """One row of each key."""
    return list({tuple(row.get(column) for column in columns): row for row in rows}.values())


@SOME
@given(
    st.lists(batch_row, max_size=10),
    st.lists(stream_row, max_size=6),
    st.integers(1, 4),
    st.sampled_from([None, "batch", "stream"]),
    st.none() | HOSTILE,
)
def test_pages_hold_every_row_once_the_newest_first(
    batch: list[dict[str, Any]], stream: list[dict[str, Any]], most: int, path: Any, reason: str | None
) -> None:
    batch = told_apart(batch, "recorded_at", "log_id", "partition", "offset", "line", "source")
    stream = told_apart(stream, "recorded_at", "log_id", "offset")
    with TemporaryDirectory() as name:
        lake = RecordsLake(Path(name))
        lake.quarantine(*batch)
        lake.stream_quarantine(*stream)
        quarantine = Quarantine(LakeReader(name))
        found: list[Held] = []
        before = None
        while True:
            page = quarantine.listing(Only(path=path, reason=reason), most, before)
            assert len(page.rows) == most or page.before is None
            found += page.rows
            before = page.before
            if before is None:
                break
        counts = quarantine.counts()
        raw = {row.key: quarantine.raw(row.key) for row in found}
        again = {row.key: quarantine.row(Key.read(row.key.text)) for row in found}
    expected = [("batch", row) for row in batch] + [("stream", {"source": "record", **row}) for row in stream]
    assert Counter((one.path, one.source, one.reason) for one in counts for _ in range(one.rows)) == Counter(
        (kind, row["source"], row["reason"]) for kind, row in expected
    )
    asked = [(k, row) for k, row in expected if path in {None, k} and reason in {None, row["reason"]}]
    assert Counter(
        (row.key.path, row.source, row.log_id, row.offset, row.line, row.recorded_at, row.reason, raw[row.key])
        for row in found
    ) == Counter(
        (k, row["source"], row["log_id"], None if row["offset"] is None else str(row["offset"]), row.get("line"),
         row["recorded_at"], row["reason"], row["raw"]) for k, row in asked
    )  # fmt: skip
    times = [row.recorded_at or second(-1) for row in found]
    assert times == sorted(times, reverse=True)
    assert again == {row.key: row for row in found}


def test_a_row_that_went_is_none_and_a_table_that_is_not_there_is_empty(tmp_path: Path) -> None:
    quarantine = Quarantine(LakeReader(str(tmp_path)))
    assert (quarantine.counts(), quarantine.listing(Only(), 5).rows) == ([], ())
    RecordsLake(tmp_path).quarantine({"offset": 1, "raw": b"\xff" * (TEXT_CHARS + 1)}, {"offset": 2, "raw": b"x" * 501})
    second_row, first = quarantine.listing(Only(), 5).rows
    assert (first.text, second_row.text) == (None, "x" * TEXT_CHARS)
    DeltaTable(tmp_path / "quarantine/batch").delete()
    assert (quarantine.row(first.key), quarantine.raw(first.key)) == (None, None)
    assert quarantine.listing(Only(), 5).rows == ()


def test_a_table_of_an_earlier_version_lacks_the_columns_of_lines(tmp_path: Path) -> None:
    RecordsLake(tmp_path).quarantine({"offset": 1}, older=True)
    (row,) = Quarantine(LakeReader(str(tmp_path))).listing(Only(), 5).rows
    assert (row.line, row.size, row.sha256, row.offset) == (None, None, None, "1")


@given(st.text(max_size=40) | st.binary(max_size=60).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_an_id_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Key.read(text)


FIRST, LAST = -62_135_596_800_000_000, 253_402_300_799_999_999


@settings(deadline=None)
@given(st.integers(-(2**63), 2**63 - 1), st.sampled_from(["id", "before"]))
@example(FIRST, "id")
@example(LAST, "before")
def test_an_id_of_a_moment_that_cannot_be_is_nothing(at: int, name: str) -> None:
    text = base64.urlsafe_b64encode(json.dumps(["stream", at, ["l", "s", "p", "5", "record"]]).encode()).decode()
    try:
        key = Key.read(text.rstrip("="))
    except ValueError:
        assert not FIRST <= at <= LAST
    else:
        quarantine = Quarantine(LakeReader("/nowhere"))
        assert quarantine.row(key) is None if name == "id" else not quarantine.listing(Only(), 5, key).rows


@given(
    st.none() | st.integers(FIRST, LAST),
    st.tuples(*[st.text(), st.text(), st.integers(-1, 9), st.integers(-1, 2**62), *[st.text()]], st.integers(-1, 9)),
)
def test_an_id_is_read_as_it_was_written(at: int | None, of: tuple[Any, ...]) -> None:
    key = Key("batch", at, (*of, "record", "ab"))
    assert Key.read(key.text) == key
    with pytest.raises(ValueError):
        Key("stream", at, key.of)


def test_rows_of_one_moment_have_pages_too(tmp_path: Path) -> None:
    """As the lines of one object are."""
    raw = b"y" * 2_000
    RecordsLake(tmp_path).quarantine(
        *[{"source": "object", "line": number, "recorded_at": second(0), "raw": raw} for number in range(3_000)]
    )
    quarantine = Quarantine(LakeReader(str(tmp_path)))
    lines, before = [], None
    for _ in range(4):
        page = quarantine.listing(Only(source="object"), 50, before)
        lines += [row.line for row in page.rows]
        before = page.before
    assert lines == list(range(2_999, 2_799, -1))
