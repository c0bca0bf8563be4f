"""The file of an audit: its name, what is one and what is none, and what its rows say is missing."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipeline_contracts import audits
from pipeline_contracts.audits import AuditRow

EXAMPLE = (Path(__file__).parents[1] / "examples" / "stored-audit.json").read_bytes()


@given(st.datetimes(datetime(1970, 1, 1), datetime(2199, 1, 1)), st.integers(-12, 12))  # noqa: DTZ001 (its zone comes next)
def test_names_sort_by_time(moment: datetime, hours: int) -> None:
    here = moment.replace(tzinfo=UTC).astimezone(timezone(timedelta(hours=hours)))
    name = audits.file_name(here)
    assert audits.is_file_name(name)
    assert audits.file_name(here - timedelta(microseconds=1)) < name


@pytest.mark.parametrize("name", ["", "x.json", "20261330T120000123456Z.json", "20261130T120000123456Z.json.draft"])
def test_other_names(name: str) -> None:
    assert not audits.is_file_name(name)


def test_an_audit_that_was_cut_off_is_none() -> None:
    assert audits.decoded(EXAMPLE).exit_code == audits.EXIT_MISSING
    for length in range(len(EXAMPLE.rstrip())):
        with pytest.raises(ValueError):
            audits.decoded(EXAMPLE[:length])


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xfe", b"[]", b"{}", b"[" * 200_000, b'{"x":' * 200_000,
        EXAMPLE.replace(b'"exit_code": 1', b'"exit_code": 3'), EXAMPLE.replace(b'"in_log": 5', b'"in_log": "5"'),
        EXAMPLE.replace(b'12Z"', b'12"'),
    ],
)  # fmt: skip
def test_what_is_no_audit(body: bytes) -> None:
    with pytest.raises(ValueError):
        audits.decoded(body)


def test_what_is_missing_is_counted_in_both_paths() -> None:
    batch = AuditRow("batch", "t", "L", 0, in_log=5, current=2, missing=[[2, 3], [4, 4]])
    stream = AuditRow("stream", "s", "L", "shardId-0", acknowledged=3, in_log=1, current=1, missing=[["7", "9"]])
    never_in_the_log = AuditRow("batch", "t", "L", 0, acknowledged=1, in_log=5, current=5, missing=[[9, 9]])
    assert [row.missing_records for row in (batch, stream, never_in_the_log)] == [3, 2, 1]
