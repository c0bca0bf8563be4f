"""A ``kinesis`` source for Structured Streaming outside Databricks, with Databricks' schema and option names."""

from kinesis_source.reader import FORMAT, KinesisDataSource, read_stream, register

__all__ = ["FORMAT", "KinesisDataSource", "read_stream", "register"]
