"""A run for the ops server: counters, and whether the other side takes records."""

from prometheus_client import CollectorRegistry, Counter
from service_kit.ops import NotReadyError

from emitter.ledger import Run
from emitter.rows import PathName


class Metrics:
    """A spectator. ``accepting`` is a readiness check."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._rows = Counter("emitter_rows", "Rows taken from the source", registry=registry)
        self._records = Counter(
            "emitter_records", "Records by fate", ["path", "destination", "outcome"], registry=registry
        )
        self._again = Counter(
            "emitter_records_sent_again", "Records sent again", ["path", "destination"], registry=registry
        )
        self._problems: dict[PathName, str] = {}

    def began(self, run: Run, events: int | None) -> None:
        """Counters are of this process, not of the run."""

    def took(self, rows: int) -> None:
        """Count."""
        self._rows.inc(rows)

    def resolved(self, path: PathName, name: str, stored: int, refused: int) -> None:
        """Count; the path works (again)."""
        self._records.labels(path, name, "acknowledged").inc(stored)
        self._records.labels(path, name, "refused").inc(refused)
        self._problems.pop(path, None)

    def waiting(self, path: PathName, name: str, records: int, reason: str, seconds: float) -> None:  # noqa: ARG002
        """Count; the path does not work until something is accepted."""
        self._again.labels(path, name).inc(records)
        self._problems[path] = reason

    def accepting(self) -> str:
        """Says that records are accepted.

        Raises:
            NotReadyError: the last answer of a path made records wait.
        """
        problems = [f"{path} path: {reason}" for path, reason in list(self._problems.items())]
        if problems:
            raise NotReadyError("; ".join(problems))
        return "records are accepted"
