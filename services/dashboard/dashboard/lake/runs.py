"""Complete runs of the analysis, as the table ``runs`` names them: one row each, written last."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pipeline_contracts.lake import RUNS

from dashboard.lake.reader import At, DamagedTableError, LakeReader

_RUN_ID: Final = re.compile(r"[!#-~]{1,200}")
"""It stands in headers of answers, between quotes."""
_COLUMNS: Final = "run_id, started_at, finished_at, policies, versions, records"


@dataclass(frozen=True)
class Run:
    """One complete run. ``versions``: of each table, what belongs together; ``records``: rows read and written."""

    run_id: str
    started_at: datetime
    finished_at: datetime
    policies: Mapping[str, str]
    versions: Mapping[str, int]
    records: Mapping[str, int]

    @property
    def posts(self) -> int | None:
        """How many posts the answers are computed from; None where the run does not say."""
        return self.records.get("posts")


def newest(reader: LakeReader, most: int = 1) -> list[Run]:
    """The newest runs, the newest first; none where none ended yet.

    Raises:
        LakeError: the table is there and cannot be read.
    """
    if reader.state(RUNS) is None:
        return []
    sql = f"SELECT {_COLUMNS} FROM runs ORDER BY finished_at DESC, run_id DESC LIMIT {int(most)}"  # noqa: S608
    return [_run(row) for row in reader.rows(sql, {"runs": At(RUNS)}, most=most)]


def _run(row: Mapping[str, Any]) -> Run:
    run_id, started_at, finished_at = row["run_id"], row["started_at"], row["finished_at"]
    if not isinstance(run_id, str) or not _RUN_ID.fullmatch(run_id):
        raise DamagedTableError(RUNS, "a row's run_id is none")
    if not isinstance(started_at, datetime) or not isinstance(finished_at, datetime):
        raise DamagedTableError(RUNS, f"the row of {run_id} does not say when the run was")
    maps = (dict(row[name] or ()) for name in ("policies", "versions", "records"))
    return Run(run_id, started_at, finished_at, *maps)
