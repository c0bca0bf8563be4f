import io
from pathlib import Path
from typing import Any

import pytest
from pipeline_contracts.audits import AuditRow
from pipeline_local import locks, tables
from pipeline_local.audit.report import Audit
from pipeline_local.installation import Installation
from pipeline_local.layout import Layout
from pipeline_local.printing import InertConsole
from pipeline_local.status import ServiceState, ServiceStatus, Status

MADE_ANEW = "arn:aws:kinesis:us-east-1:0:stream/s"
QUARANTINED = {"reason": "not_json", "source": "record", "partition": "p", "offset": "1", "raw_base64": "eA=="}


@pytest.fixture
def console() -> InertConsole:
    return InertConsole(record=True, width=150, file=io.StringIO())


def test_the_status_fits_80_columns_and_a_trouble_is_one_line(tmp_path: Path) -> None:
    own = Installation(Layout(Path(__file__).parents[2], tmp_path))
    states: dict[str, ServiceState] = {"stream-reader": "restarting", "kafka": "ready"}
    services = {name: ServiceStatus(state, 123456, 24534, 12, 168.2) for name, state in states.items()}
    services["s3-sink"] = ServiceStatus("failing", failures=6, reason=f"no bucket {'x' * 200}")
    Status(1, "degraded", None, services).write(own.layout.status_file)
    narrow = InertConsole(record=True, width=80, file=io.StringIO())
    held = locks.take(own.layout.supervisor_lock)
    assert held is not None
    with held:
        tables.print_status(narrow, own)
    *table, restarting, failing = narrow.export_text().splitlines()
    assert max(len(line) for line in table) <= 80
    assert all(line.endswith(("┓", "┃", "┩", "│", "┘")) for line in table), "no column is cut off"
    assert restarting.startswith("stream-reader failed and is restarted")
    assert failing.startswith("s3-sink failed 6 times in a row")
    assert failing.endswith("`pipeline down` first)")


def test_each_path_has_a_table_and_the_verdict_comes_once(console: InertConsole) -> None:
    rows = [
        AuditRow("batch", "pinterest.pin", "L", 0, in_log=2, current=2, in_objects=2, in_bronze=2),
        AuditRow("stream", "streaming-pinterest-pin", f"{MADE_ANEW}@1", "shardId-0", in_log=1, current=1),
    ]
    tables.print_audit(console, Audit(rows))
    said = console.export_text()
    assert said.index("Every record and its fate: batch") < said.index("Every record and its fate: stream")
    assert said.count("in objects") == 1
    assert said.count("every record is accounted for") == 1


def test_streams_of_one_name_are_told_apart_by_their_creation(console: InertConsole) -> None:
    rows = [AuditRow("stream", "s", f"{MADE_ANEW}@{ms}", "shardId-0") for ms in (1764000000000, 1764000001000)]
    tables.print_audit(console, Audit(rows))
    said = console.export_text()
    assert "2025-11-24 16:00:00" in said
    assert "2025-11-24 16:00:01" in said


def test_troubles_are_named(console: InertConsole) -> None:
    tables.print_audit(console, Audit([AuditRow("stream", "s", "l", "shardId-0", missing=[["1", "2"]])]))
    assert "missing: s, shard shardId-0, offsets [['1', '2']]" in console.export_text()


@pytest.mark.parametrize("text", ["[/b] not markup [red] :rainbow:", None])
def test_quarantine_of_both_paths(console: InertConsole, text: str | None) -> None:
    rows: list[dict[str, Any]] = [
        {"path": "batch", "topic": "pinterest.pin", "value": text, **QUARANTINED},
        {"path": "stream", "stream": "streaming-pinterest-pin", "value": text, **QUARANTINED},
    ]
    tables.print_quarantine(console, rows, 20)
    said = console.export_text()
    assert "pinterest-pin" in said
    assert said.count(text or "eA==") == 2


def test_popular_profiles(console: InertConsole) -> None:
    profile = {"poster_name": "[b]The/One[/i] :rainbow:", "score": 12.34567, "posts": 1200, "follower_count": None}
    tables.print_popular(console, [profile | {"last_post_at": "2026-01-01T00:00:00Z"}])
    said = console.export_text()
    assert "[b]The/One[/i] :rainbow:" in said
    assert "12.346" in said
    assert "1,200" in said


@pytest.mark.parametrize("name", ["Kids [/b] corner", "[red] shoes [x]", "ok :rainbow: x"])
def test_rows_show_what_was_sent(console: InertConsole, name: str) -> None:
    tables.print_rows(console, "t", [{"poster_name": name, "posts": 12_345}])
    said = console.export_text()
    assert name in said
    assert "12,345" in said
    told = tables.rendered([name], [(name,), (None,)])
    assert told.count(name) == 2


def test_latencies_that_were_not_measured(console: InertConsole) -> None:
    tables.print_latencies(console, {"table": {"p50": 812.4, "p95": 2100.0}, "popularity": {"p50": None, "p95": None}})
    assert "table 812 ms / 2,100 ms, popularity - / -" in console.export_text()
