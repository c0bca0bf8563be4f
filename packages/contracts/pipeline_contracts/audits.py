"""Audits: the row of one partition, what the rows mean, and the file that keeps an audit for those who look later.

A file holds one audit as JSON (``StoredAudit``). It has the name of the moment at which the audit ended, so that names
sort by time, and is written as a whole or not at all.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Final, Literal, get_args

import msgspec

EXIT_EQUAL: Final = 0
EXIT_MISSING: Final = 1
EXIT_FLOWING: Final = 4

PathName = Literal["batch", "stream"]
PATHS: Final[tuple[PathName, ...]] = get_args(PathName)

TROUBLES: Final = ("missing", "doubled", "altered", "lost", "cut")
"""The lists of a row that name ranges of offsets."""

Range = Annotated[list[int | str], msgspec.Meta(min_length=2, max_length=2)]
"""First and last offset, both inside; of a stream, first and last sequence number."""

MOST_AUDITS: Final = 100
"""How many files are kept: the newest."""
MOST_RANGES: Final = 1_000
"""How many ranges of one audit its file names."""
MOST_BYTES: Final = 4 * 1024**2
"""How large a file may be."""
_NAME: Final = re.compile(r"\d{8}T\d{12}Z\.json", re.ASCII)
_TIME: Final = "%Y%m%dT%H%M%S%fZ.json"


class AuditRow(msgspec.Struct, frozen=True):
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
    missing: list[Range] = []
    doubled: list[Range] = []
    altered: list[Range] = []
    lost: list[Range] = []
    cut: list[Range] = []

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
        return any(getattr(self, trouble) for trouble in TROUBLES) or self.expired > 0 or self.fates != self.in_log

    @property
    def missing_records(self) -> int:
        """How many records ``missing`` names, those included whose ranges a file leaves out."""
        named = sum(
            last - first + 1 for first, last in self.missing if isinstance(first, int) and isinstance(last, int)
        )
        return max(named, self.acknowledged + self.unacknowledged - self.fates, self.in_log - self.fates)


def exit_code(rows: list[AuditRow]) -> Literal[0, 1, 4]:
    """0 all equal, 1 something is missing, doubled, altered, lost or cut, 4 something is still on its way."""
    if any(row.is_wrong for row in rows):
        return EXIT_MISSING
    return EXIT_FLOWING if any(row.in_flight for row in rows) else EXIT_EQUAL


class StoredAudit(msgspec.Struct, frozen=True):
    """One audit that came to a verdict. ``paths`` are those it looked at; ``exit_code`` is that of all its rows.

    ``ranges_left_out`` counts those beyond ``MOST_RANGES``, which no row here names.
    """

    finished_at: datetime
    seconds: float
    exit_code: Literal[0, 1, 4]
    paths: list[PathName]
    rows: list[AuditRow]
    ranges_left_out: int = 0


def file_name(finished_at: datetime) -> str:
    """What an audit's file is called."""
    return finished_at.astimezone(UTC).strftime(_TIME)


def is_file_name(name: str) -> bool:
    """Whether a file is an audit's, by its name."""
    if not _NAME.fullmatch(name):
        return False
    try:
        datetime.strptime(name, _TIME).replace(tzinfo=UTC)
    except ValueError:
        return False
    return True


def encoded(audit: StoredAudit) -> bytes:
    """The file's bytes.

    Raises:
        ValueError: there would be more than ``MOST_BYTES``.
    """
    body = msgspec.json.format(msgspec.json.encode(audit), indent=1) + b"\n"
    if len(body) > MOST_BYTES:
        raise ValueError(f"an audit of {len(audit.rows):,} partitions takes {len(body):,} bytes, over {MOST_BYTES:,}")
    return body


def decoded(body: bytes) -> StoredAudit:
    """An audit from its file.

    Raises:
        ValueError: it is none, or was cut off.
    """
    try:
        audit = _decode(body)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if audit.finished_at.tzinfo is None:
        raise ValueError("finished_at has no time zone")
    return audit


_decode: Final = msgspec.json.Decoder(StoredAudit).decode
