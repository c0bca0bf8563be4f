"""Status, audit, quarantine and rows as people read them."""

import io
import json
import shutil
from collections import Counter
from dataclasses import asdict
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from pipeline_local import descendants
from pipeline_local.audit.report import EXIT_EQUAL, EXIT_FLOWING, EXIT_MISSING, Audit
from pipeline_local.installation import Installation
from pipeline_local.status import Status

STAGES = ("acknowledged", "in_log", "in_objects", "in_bronze", "unacknowledged")
FATES = ("current", "superseded", "repeated", "quarantined", "dead_lettered", "expired", "in_flight")
VERDICTS = {
    EXIT_EQUAL: "every record is accounted for: none missing, none doubled",
    EXIT_MISSING: "NOT EQUAL: records are missing, doubled, altered or expired; see above",
    EXIT_FLOWING: "still flowing: some records have not reached the end; run `pipeline analyse`, then audit again",
}

_COLOURS = {"ready": "green", "failed": "red", "unready": "yellow", "restarting": "yellow"}


def all_ready(status: Status) -> bool:
    """Whether every service is ready."""
    return all(service.state == "ready" for service in status.services.values())


def print_status(console: Console, installation: Installation) -> None:
    """A table of services; one line when nothing runs."""
    status = installation.status
    if status is None or not installation.runs:
        reason = f" ({status.reason})" if status and status.reason else ""
        console.print(f"nothing is running{reason}; `pipeline up` starts it", highlight=False)
        return
    table = Table("service", "state", "process", "port", "restarts", "ready after", "memory (PSS)")
    for name, service in status.services.items():
        colour = _COLOURS.get(service.state, "white")
        seconds = "" if service.seconds_to_ready is None else f"{service.seconds_to_ready:.1f} s"
        process = str(service.process.pid) if service.process else ""
        memory = f"{memory_bytes(installation, name) / 1024**2:,.0f} MiB"
        table.add_row(
            name, f"[{colour}]{service.state}", process, str(service.port), str(service.restarts), seconds, memory
        )
    console.print(table)


def status_json(installation: Installation) -> str:
    """The same for programs."""
    status = installation.status
    if status is None:
        return json.dumps({"state": "stopped", "services": {}})
    document = asdict(status) | {"running": installation.runs}
    if installation.runs:
        for name, service in document["services"].items():
            service["memory_bytes"] = memory_bytes(installation, name)
    return json.dumps(document, indent=2)


def memory_bytes(installation: Installation, service: str) -> int:
    """Proportional set size of a service with all its children, in bytes (0 when it is gone)."""
    total = 0
    for process in descendants.of(f"{installation.layout.home}/{service}:"):
        try:
            total += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue  # it ended while being looked at
    return total


def print_audit(console: Console, found: Audit) -> None:
    """One column per log, the stages and then the fates as rows; below it every trouble, and a verdict in words."""
    logs = sorted({(row.name, row.log_id) for row in found.rows})
    names = Counter(name for name, _ in logs)
    titles = [name if names[name] == 1 else f"{name}\n{log_id}" for name, log_id in logs]
    table = Table("records", *titles, "all", title="Every record and its fate", title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for section in (STAGES, FATES):
        for measure in section:
            sums = [
                sum(getattr(row, measure) or 0 for row in found.rows if (row.name, row.log_id) == log) for log in logs
            ]
            table.add_row(measure.replace("_", " "), *(f"{one:,}" for one in sums), f"{sum(sums):,}")
        table.add_section()
    console.print(table)
    for row in found.rows:
        for what in ("missing", "doubled", "altered"):
            if ranges := getattr(row, what):
                console.print(f"{what}: {row.name}, partition {row.partition}, offsets {ranges}", highlight=False)
    console.print(VERDICTS[found.exit_code], highlight=False)


def print_quarantine(console: Console, rows: list[dict[str, Any]], limit: int) -> None:
    """Counts by reason, then the rows with their coordinates."""
    if not rows:
        console.print("nothing is quarantined")
        return
    counts = Table("reason", "source", "records", title="Quarantine", title_justify="left")
    for (reason, source), count in sorted(Counter((row["reason"], row["source"]) for row in rows).items()):
        counts.add_row(reason, source, str(count))
    console.print(counts)
    table = Table("topic", "partition", "offset", "reason", "text")
    for row in rows[:limit]:
        table.add_row(
            row["topic"],
            str(row["partition"]),
            str(row["offset"]),
            row["reason"],
            (row["value"] or row["raw_base64"])[:120],
        )
    console.print(table)
    if len(rows) > limit:
        console.print(f"{len(rows) - limit} more; --limit shows them")


def print_rows(console: Console, title: str, rows: list[dict[str, Any]]) -> None:
    """A titled table; ``none`` where there are no rows."""
    table = Table(*(rows[0] if rows else ["none"]), title=title, title_justify="left")
    for row in rows:
        table.add_row(*(_number(value) for value in row.values()))
    console.print(table)


def rendered(columns: list[str], rows: list[tuple[Any, ...]]) -> str:
    """A plain table as text."""
    console = Console(record=True, file=io.StringIO(), width=shutil.get_terminal_size((160, 40)).columns)
    table = Table(*columns)
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row))
    console.print(table)
    return console.export_text()


def _number(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 10_000:
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.1f}"
    return "" if value is None else str(value)
