"""A ``kinesis`` source for Structured Streaming outside Databricks, with Databricks' schema and option names."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kinesis_source.reader import FORMAT, KinesisDataSource, read_stream, register

__all__ = ["FORMAT", "KinesisDataSource", "read_stream", "register"]


def __getattr__(name: str) -> Any:
    """These names are loaded when they are asked for: who takes an aggregate apart needs no Spark."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from kinesis_source import reader  # noqa: PLC0415 - see above

    return getattr(reader, name)
