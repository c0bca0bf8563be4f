"""What Kinesis says of a stream: whether it is there, and since when."""

from typing import TYPE_CHECKING, Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pipeline_contracts.kinesis import StreamSummary

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

_TIMEOUT_S = 2.0


class StreamError(Exception):
    """Kinesis cannot say now; the message says why."""


class StreamMissingError(StreamError):
    """There is no such stream."""


class Streams(Protocol):
    """Knows streams by name."""

    def describe(self, name: str) -> StreamSummary:
        """What the stream is now; blocks for a few seconds at most.

        Raises:
            StreamMissingError: there is none of this name.
            StreamError: not to be had now.
        """


class KinesisStreams:
    """Asks Kinesis."""

    def __init__(self, endpoint_url: str | None, region: str) -> None:
        config = Config(connect_timeout=_TIMEOUT_S, read_timeout=2 * _TIMEOUT_S, retries={"total_max_attempts": 1})
        self._client: KinesisClient = boto3.client(
            "kinesis", endpoint_url=endpoint_url, region_name=region, config=config
        )

    def describe(self, name: str) -> StreamSummary:
        """See ``Streams``."""
        try:
            found = self._client.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
        except self._client.exceptions.ResourceNotFoundException as error:
            raise StreamMissingError(f"there is no stream {name}") from error
        except (ClientError, BotoCoreError) as error:
            raise StreamError(f"stream {name} cannot be described: {error}") from error
        return StreamSummary(found["StreamARN"], found["StreamCreationTimestamp"].timestamp())
