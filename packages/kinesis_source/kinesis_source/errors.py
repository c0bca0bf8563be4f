"""What can go wrong, and what the caller can do about it.

Spark hands an error of a Python source on as text, in which the class's name stands: ``StreamReplacedError`` in the
message of a ``StreamingQueryException`` is what a caller looks for.
"""

from kinesis_source.identity import StreamId


class KinesisSourceError(Exception):
    """Base of all errors of this source."""


class OptionError(KinesisSourceError, ValueError):
    """An option is unknown, missing or wrong. Names the option; nothing was read."""

    def __init__(self, option: str, reason: str) -> None:
        super().__init__(f"option {option!r} of the kinesis source: {reason}")
        self.option = option


class OffsetError(KinesisSourceError):
    """The checkpoint was not written by this source, or by a newer version of it."""


class AccessError(KinesisSourceError):
    """Kinesis refuses: no credentials, no permission, a wrong request. Trying again does not help."""


class UnavailableError(KinesisSourceError):
    """Kinesis gave no answer for as long as ``retryDeadline`` says. Starting the query again goes on where it was."""


class StreamMissingError(UnavailableError):
    """There is no such stream, for as long as ``retryDeadline`` says."""


class StreamReplacedError(KinesisSourceError):
    """The stream was deleted and recreated; this checkpoint belongs to the old one. Start with a new checkpoint."""

    def __init__(self, expected: StreamId, found: StreamId) -> None:
        stream = found.arn if found.arn == expected.arn else f"{found.arn} (this checkpoint is of {expected.arn})"
        super().__init__(
            f"the stream {stream} was recreated: this checkpoint belongs to the one created at "
            f"{expected.created}, but the stream there now was created at {found.created}. Its "
            "sequence numbers mean other records; go on with a new checkpoint"
        )
        self.expected, self.found = expected, found


class DataLossError(KinesisSourceError):
    """Records that were not read yet are, or may be, gone. ``failOnDataLoss`` = ``false`` goes on without them."""

    def __init__(self, *, shard_id: str, lost: str) -> None:
        super().__init__(
            f"shard {shard_id}: {lost}. Set the option failOnDataLoss to false to go on without these records"
        )
        self.shard_id = shard_id


class SpoolError(KinesisSourceError):
    """The spool cannot be written. At the start of a query: the folder cannot be made, or is not ours."""
