"""An audit and what it means for the exit code."""

from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from pipeline_contracts.audits import EXIT_EQUAL, AuditRow, exit_code

EXIT_UNREACHABLE = 3
"""There is no verdict: a stage cannot be read."""


@dataclass(frozen=True)
class Audit:
    """The rows of one audit."""

    rows: list[AuditRow]

    @property
    def exit_code(self) -> Literal[0, 1, 4]:
        """As ``audits.exit_code`` says."""
        return exit_code(self.rows)

    @property
    def ok(self) -> bool:
        """Whether every record is accounted for and at rest."""
        return self.exit_code == EXIT_EQUAL

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        return {"ok": self.ok, "rows": [msgspec.structs.asdict(row) for row in self.rows]}
