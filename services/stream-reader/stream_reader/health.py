"""What ``/readyz`` says."""

from collections.abc import Mapping
from pathlib import Path

from pipeline_contracts.names import Kind
from service_kit.ops import Check, NotReadyError
from spark_kit.session import session_alive

from stream_reader.popularity.keeper import Popularity
from stream_reader.queries.query import StreamQuery


def checks(
    queries: Mapping[Kind, StreamQuery], popularity: Popularity, folders: Mapping[str, Path]
) -> dict[str, Check]:
    """One check for Spark, for each query, for the popularity, and for each folder that is written to."""
    return {
        "spark": _spark,
        **{f"query {kind}": _query(query) for kind, query in queries.items()},
        "popularity": popularity.check,
        **{name: _folder(folder) for name, folder in folders.items()},
    }


def _spark() -> str:
    if not session_alive():
        raise NotReadyError("the JVM is gone; the service ends and must be started again")
    return "the JVM runs"


def _query(query: StreamQuery) -> Check:
    def check() -> str:
        problem = query.problem()
        if problem is not None:
            raise NotReadyError(problem)
        return f"{query.state}, {query.lag_ms / 1000:.1f} s behind"

    return check


def _folder(folder: Path) -> Check:
    def check() -> str:
        probe = folder / ".probe"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(b"")
            probe.unlink(missing_ok=True)
        except OSError as error:
            raise NotReadyError(f"{folder} cannot be written: {error.strerror}") from error
        return f"{folder} can be written"

    return check
