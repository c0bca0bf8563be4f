"""A stand-in for ``streams``, apart from the others: the notebook's tests use it where Spark is Databricks'."""

from pipeline_contracts.kinesis import StreamSummary

from stream_reader.queries.streams import StreamError, StreamMissingError

ARN = "arn:aws:kinesis:us-east-1:000000000000:stream/"


def log_id(name: str, created_s: float) -> str:
    """The log id of a stream that was made then."""
    return StreamSummary(ARN + name, created_s).log_id


class FakeStreams:
    """Kinesis, as far as it describes streams. A stream that is not in ``created`` is missing."""

    def __init__(self, **created: float) -> None:
        self.created = {name.replace("_", "-"): value for name, value in created.items()}
        self.away = False
        self.away_for = 0
        """The next so many calls fail."""

    def describe(self, name: str) -> StreamSummary:
        """See ``Streams``."""
        self.away_for -= 1
        if self.away or self.away_for >= 0:
            raise StreamError("Kinesis is away")
        if name not in self.created:
            raise StreamMissingError(f"there is no stream {name}")
        return StreamSummary(ARN + name, self.created[name])
