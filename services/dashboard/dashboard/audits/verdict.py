"""What the newest audits say, in few words: is anything lost, and did records come since."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from pipeline_contracts import audits as contract
from pipeline_contracts.audits import EXIT_EQUAL, EXIT_FLOWING, PATHS, AuditRow, PathName
from service_kit.clock import Clock

from dashboard import words
from dashboard.audits.folder import Audits, Named
from dashboard.blocks import Block
from dashboard.live.figures import Verdict

RecordsInLake = Mapping[PathName, int | None]
"""How many records of each path the lake holds now, quarantined ones included; None where that is not known."""

_TROUBLES: Final = {"doubled": "doubled", "altered": "altered", "cut": "cut off"}


def judged(block: Block[Audits], totals: RecordsInLake, now: datetime) -> Block[Verdict]:
    """The verdict as a block of its own: as fresh as what the folder holds."""
    if block.value is None:
        return Block(block.state, None, block.as_of, block.why, block.fills)
    return Block(block.state, verdict(block.value, totals, now), block.as_of, block.why, block.fills)


def of_one(one: Named, now: datetime) -> Verdict:
    """Of one audit, whatever came after it."""
    return verdict(Audits(dict.fromkeys(one.audit.paths, one), (), ()), {}, now)


def verdict(audits: Audits, totals: RecordsInLake, now: datetime) -> Verdict:
    """Of the newest audit of each path, together."""
    rows = [
        row for path in PATHS if path in audits.newest for row in audits.newest[path].audit.rows if row.path == path
    ]
    code = contract.exit_code(rows)
    oldest = min(one.audit.finished_at for one in audits.newest.values())
    ago = f"audited {words.age((now - oldest).total_seconds())} ago"
    lacking = [path for path in PATHS if path not in audits.newest]
    never = f"; {lacking[0]} path never audited" if lacking else ""
    if code not in {EXIT_EQUAL, EXIT_FLOWING}:
        return Verdict(what_is_wrong(rows), "down", f"{ago}{never}")
    more = sum(since(audits, totals).values())
    if more:
        text = f"Not audited since {words.moment(oldest, now)}"
        return Verdict(text, "slow", f"{words.number(more)} more {_records(more)} since; nothing was lost then{never}")
    if code == EXIT_FLOWING:
        waiting = sum(row.in_flight for row in rows)
        note = f"{words.number(waiting)} {_records(waiting)} on the way when {ago}{never}"
        return Verdict("Nothing lost so far", "idle", note)
    if lacking:
        return Verdict(f"Nothing lost on the {next(iter(audits.newest))} path", "slow", f"{ago}{never}")
    return Verdict("Nothing lost", "ready", f"{words.number(sum(row.in_log for row in rows))} records, {ago}")


def what_is_wrong(rows: list[AuditRow]) -> str:
    """Everything that is, in one line: ``3 missing, 1 expired, 2 ranges doubled``."""
    missing, expired = sum(row.missing_records for row in rows), sum(row.expired for row in rows)
    parts = [f"{words.number(count)} {what}" for count, what in ((missing, "missing"), (expired, "expired")) if count]
    for trouble, said in _TROUBLES.items():
        if count := sum(len(getattr(row, trouble)) for row in rows):
            parts.append(f"{words.number(count)} {'range' if count == 1 else 'ranges'} {said}")
    return ", ".join(parts) or "Not all accounted for"


def since(audits: Audits, totals: RecordsInLake) -> dict[PathName, int]:
    """How many more records the lake holds than the newest audit of each path saw; a path of which that is not known is
    left out. What is not ingested yet is not in it."""
    more: dict[PathName, int] = {}
    for path, newest in audits.newest.items():
        now = totals.get(path)
        if now is not None:
            rows = [row for row in newest.audit.rows if row.path == path]
            more[path] = max(0, now - _in_lake(path, rows) - sum(row.in_flight for row in rows))
    return more


def _in_lake(path: PathName, rows: list[AuditRow]) -> int:
    """How many records of these the lake held then."""
    if path == "batch":
        return sum(row.in_bronze or 0 for row in rows)
    return sum(row.current + row.superseded + row.repeated + row.quarantined for row in rows)


def _records(count: int) -> str:
    return "record" if count == 1 else "records"


def of(
    block: Callable[[], Block[Audits]], totals: Callable[[], RecordsInLake], clock: Clock
) -> Callable[[], Block[Verdict]]:
    """The verdict as the Overview asks for it; does not block."""
    return lambda: judged(block(), totals(), clock.now())
