"""Complete runs of the analysis, as the table ``runs`` names them: one row each, written last."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pipeline_contracts.lake import RUNS

from dashboard.lake.reader import At, LakeReader

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
    return [
        Run(
            run_id=row["run_id"],
            started_at=row["started_at"],
            finished_at=row["finished_at"],
            policies=dict(row["policies"] or ()),
            versions=dict(row["versions"] or ()),
            records=dict(row["records"] or ()),
        )
        for row in reader.rows(sql, {"runs": At(RUNS)}, most=most)
    ]
