"""Status, audit, quarantine, popular profiles and rows as people read them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import psutil
from pipeline_contracts.audits import EXIT_EQUAL, EXIT_FLOWING, EXIT_MISSING, PATHS, AuditRow, PathName
from rich.table import Table
from rich.text import Text

from pipeline_local import descendants
from pipeline_local.audit.report import Audit
from pipeline_local.installation import Installation
from pipeline_local.printing import InertConsole, cell, recorded
from pipeline_local.status import Status
from pipeline_local.supervision import troubles

NARROW = 120
"""Columns of a console on which a coordinate takes more than one line."""
STAGES = ("acknowledged", "in_log", "in_objects", "in_bronze", "unacknowledged")
FATES = ("current", "superseded", "repeated", "quarantined", "dead_lettered", "expired", "in_flight")
NOT_OF_STREAMS = {"in_objects", "in_bronze", "dead_lettered"}
TROUBLES = {
    "missing": "",
    "doubled": "",
    "altered": "",
    "lost": ": expired before they were archived",
    "cut": ": the log was cut short before them and uses them again, and the sink does not archive the records that "
    "get them; delete the topic, which is recreated with a new log",
}
"""The lists of a row that name offsets, and what there is to say to each."""
VERDICTS = {
    EXIT_EQUAL: "every record is accounted for: none missing, none doubled",
    EXIT_MISSING: "NOT ALL ACCOUNTED FOR: records are missing, doubled, altered, lost or cut off; see above",
    EXIT_FLOWING: "still flowing: some records have not reached the end; run `pipeline analyse`, then audit again "
    "(the stream path needs no command)",
}

_COLOURS = {"ready": "green", "failed": "red", "unready": "yellow", "restarting": "yellow", "failing": "red"}


def all_ready(status: Status) -> bool:
    """Whether every service is ready."""
    return bool(status.services) and all(service.state == "ready" for service in status.services.values())


def print_status(console: InertConsole, installation: Installation) -> None:
    """A table of services and a line for each that is not as it should be; one line when nothing runs.

    Memory is the proportional set size (PSS).
    """
    status = installation.status
    if status is None or not installation.runs:
        console.print(installation.why_not_running, soft_wrap=True)
        return
    table = Table("service", "state", "process", "port", "restarts", "ready in", "MiB")
    table.columns[0].min_width = max(map(len, status.services), default=0)
    for name, service in status.services.items():
        colour = _COLOURS.get(service.state, "white")
        seconds = "" if service.seconds_to_ready is None else f"{service.seconds_to_ready:.1f} s"
        process = str(service.pid) if service.pid else ""
        memory = f"{memory_bytes(installation, name) / 1024**2:,.0f}"
        table.add_row(
            name, Text(service.state, style=colour), process, str(service.port), str(service.restarts), seconds, memory
        )
    console.print(table)
    for line in troubles.lines(status):
        console.print(line, soft_wrap=True)


def status_document(installation: Installation) -> dict[str, Any]:
    """The same for programs."""
    status = installation.status
    if status is None:
        return {"state": "stopped", "services": {}}
    document = asdict(status) | {"running": installation.runs}
    if installation.runs:
        for name, service in document["services"].items():
            service["memory_bytes"] = memory_bytes(installation, name)
    return document


def memory_bytes(installation: Installation, service: str) -> int:
    """Proportional set size of a service with all its children, in bytes (0 when it is gone)."""
    total = 0
    for process in descendants.of(f"{installation.layout.home}/{service}:"):
        try:
            total += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue  # it ended while being looked at
    return total


def print_audit(console: InertConsole, found: Audit) -> None:
    """A table per path, with one column per log; below them every trouble, and a verdict in words."""
    for path in PATHS:
        if rows := [row for row in found.rows if row.path == path]:
            _print_fates(console, path, rows)
    for row in found.rows:
        for what, remedy in TROUBLES.items():
            if ranges := getattr(row, what):
                place = "shard" if row.path == "stream" else "partition"
                console.print(f"{what}: {row.name}, {place} {row.partition}, offsets {ranges}{remedy}")
    console.print(VERDICTS[found.exit_code])


def _print_fates(console: InertConsole, path: PathName, rows: list[AuditRow]) -> None:
    logs = sorted({(row.name, row.log_id) for row in rows})
    names = Counter(name for name, _ in logs)
    titles = [_narrow(name) if names[name] == 1 else f"{_narrow(name)}\n{_short(log_id)}" for name, log_id in logs]
    table = Table("records", title=f"Every record and its fate: {path}", title_justify="left")
    for title in (*titles, "all"):
        table.add_column(title, justify="right", overflow="fold")
    for section in (STAGES, FATES):
        for measure in section:
            if path == "stream" and measure in NOT_OF_STREAMS:
                continue
            sums = [sum(getattr(row, measure) or 0 for row in rows if (row.name, row.log_id) == log) for log in logs]
            table.add_row(measure.replace("_", " "), *(f"{one:,}" for one in sums), f"{sum(sums):,}")
        table.add_section()
    console.print(table)


def _narrow(name: str) -> str:
    """A stream's name on two lines, so that three of them fit a terminal."""
    return name.replace("streaming-", "streaming-\n", 1)


def _short(log_id: str) -> str:
    """What tells two logs of one name apart: of a stream, when it was made."""
    _, at, created_ms = log_id.rpartition("@")
    if not at:
        return log_id
    return f"of {datetime.fromtimestamp(int(created_ms) / 1000, UTC):%Y-%m-%d %H:%M:%S}"


def print_quarantine(console: InertConsole, rows: list[dict[str, Any]], limit: int) -> None:
    """Counts by reason, then the rows with their coordinates."""
    if not rows:
        console.print("nothing is quarantined")
        return
    counts = Table("path", "reason", "source", "records", title="Quarantine", title_justify="left")
    for (path, *why), count in sorted(Counter((row["path"], row["reason"], row["source"]) for row in rows).items()):
        counts.add_row(path, *why, str(count))
    console.print(counts)
    table = Table()
    # Folded, since a coordinate that is cut off finds nothing.
    for title, narrow in (("topic or stream", 16), ("partition", 11), ("offset", 10), ("reason", 12)):
        table.add_column(title, overflow="fold", width=narrow if console.width < NARROW else None)
    table.add_column("text")
    for row in rows[:limit]:
        table.add_row(
            cell(row["topic"]) if row["path"] == "batch" else _narrow(cell(row["stream"])),
            cell(row["partition"]),
            cell(row["offset"]),
            cell(row["reason"]),
            cell((row["value"] or row["raw_base64"])[:120]),
        )
    console.print(table)
    if len(rows) > limit:
        console.print(f"{len(rows) - limit} more; --limit shows them")


def print_popular(console: InertConsole, profiles: list[dict[str, Any]]) -> None:
    """Profiles and their scores, the highest first."""
    table = Table(
        "", "profile", "score", "posts", "followers", "last post", title="Popular profiles", title_justify="left"
    )
    for column in (table.columns[0], *table.columns[2:5]):
        column.justify = "right"
    for place, profile in enumerate(profiles, start=1):
        table.add_row(
            str(place),
            cell(profile["poster_name"]),
            f"{profile['score']:.3f}",
            f"{profile['posts']:,}",
            f"{profile['follower_count'] or 0:,}",
            cell(profile["last_post_at"]),
        )
    console.print(table)


def print_stream_tables(console: InertConsole, counts: Mapping[str, Mapping[str, int]]) -> None:
    """How many rows each stream table holds, and how many of them count."""
    table = Table("table", "rows", "current rows", title="Stream tables", title_justify="left")
    for kind, numbers in counts.items():
        table.add_row(kind, f"{numbers['rows']:,}", f"{numbers['current']:,}")
    console.print(table)


def print_latencies(console: InertConsole, latencies: Mapping[str, Mapping[str, float | None]]) -> None:
    """One line: how long after its arrival in the stream a record was in its table, and counted for its profile."""
    parts = [
        f"{what} {' / '.join('-' if one is None else f'{one:,.0f} ms' for one in (ms['p50'], ms['p95']))}"
        for what, ms in latencies.items()
    ]
    console.print(f"from arrival in the stream (half / 95 % within): {', '.join(parts)}")


def print_rows(console: InertConsole, title: str, rows: list[dict[str, Any]]) -> None:
    """A titled table; ``none`` where there are no rows."""
    table = Table(*(rows[0] if rows else ["none"]), title=title, title_justify="left")
    for row in rows:
        table.add_row(*(_number_or_text(value) for value in row.values()))
    console.print(table)


def rendered(columns: list[str], rows: list[tuple[Any, ...]]) -> str:
    """A plain table as text; what DuckDB writes on several lines, such as a plan, stays on them."""
    console = recorded()
    table = Table(*columns)
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row))
    console.print(table)
    return console.export_text()


def _number_or_text(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 10_000:
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.1f}"
    return cell(value)
