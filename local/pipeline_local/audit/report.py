"""The audit's rows and what they mean for the exit code."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

EXIT_EQUAL, EXIT_MISSING, EXIT_UNREACHABLE, EXIT_FLOWING = 0, 1, 3, 4

PathName = Literal["batch", "stream"]
PATHS: tuple[PathName, ...] = get_args(PathName)

Range = list[int] | list[str]
"""First and last offset, both inside; of a stream, first and last sequence number."""


@dataclass(frozen=True)
class AuditRow:
    """One partition of one log: of a topic, or a shard of a stream.

    ``in_log`` is how many records the log has taken, ``acknowledged`` how many of them the ledger knows. Every
    one of them has one fate: ``in_log`` = ``current`` + ``superseded`` + ``repeated`` + ``quarantined`` +
    ``dead_lettered`` + ``expired`` + ``in_flight`` + what ``missing`` names. ``altered`` names acknowledged
    coordinates that hold something else than what was sent; ``lost`` the offsets of those that are ``expired``; ``cut``
    offsets that the log has given out and does not reach any more: it was cut short, and gives them out again, to
    records that the sink takes for archived ones. ``in_objects`` and ``in_bronze`` are None for streams.
    """

    path: PathName
    name: str
    log_id: str
    partition: int | str
    acknowledged: int = 0
    unacknowledged: int = 0
    in_log: int = 0
    expired: int = 0
    dead_lettered: int = 0
    in_objects: int | None = None
    in_bronze: int | None = None
    current: int = 0
    superseded: int = 0
    repeated: int = 0
    quarantined: int = 0
    in_flight: int = 0
    missing: list[Range] = field(default_factory=list)
    doubled: list[Range] = field(default_factory=list)
    altered: list[Range] = field(default_factory=list)
    lost: list[Range] = field(default_factory=list)
    cut: list[Range] = field(default_factory=list)

    @property
    def fates(self) -> int:
        """How many records have a fate."""
        return (
            self.current
            + self.superseded
            + self.repeated
            + self.quarantined
            + self.dead_lettered
            + self.expired
            + self.in_flight
        )

    @property
    def is_wrong(self) -> bool:
        """Whether something is not as it should be, and will not come right by itself."""
        named = self.missing or self.doubled or self.altered or self.lost or self.cut
        return bool(named) or self.expired > 0 or self.fates != self.in_log


@dataclass(frozen=True)
class Audit:
    """The rows of one audit."""

    rows: list[AuditRow]

    @property
    def exit_code(self) -> int:
        """0 all equal, 1 something is missing, doubled, altered, lost or cut, 4 something is still on its way."""
        if any(row.is_wrong for row in self.rows):
            return EXIT_MISSING
        return EXIT_FLOWING if any(row.in_flight for row in self.rows) else EXIT_EQUAL

    @property
    def ok(self) -> bool:
        """Whether every record is accounted for and at rest."""
        return self.exit_code == EXIT_EQUAL

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        return {"ok": self.ok, "rows": [asdict(row) for row in self.rows]}
