"""Every name that two processes share, derived from one pipeline id."""

import re
from typing import Literal, get_args

import msgspec

Kind = Literal["pin", "geo", "user"]
KINDS: tuple[Kind, ...] = get_args(Kind)

TOPIC_PARTITIONS = 3
STREAM_SHARDS = 2
API_STAGE = "dev"

_PIPELINE_ID = re.compile(r"[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?")


class InvalidPipelineIdError(ValueError):
    """The pipeline id cannot be part of topic, stream and bucket names."""


def checked_id(pipeline_id: str) -> str:
    """The id as it is; settings check theirs by this.

    Raises:
        InvalidPipelineIdError: it is not 1 to 20 of ``a-z0-9-`` with a letter or digit at both ends.
    """
    if not _PIPELINE_ID.fullmatch(pipeline_id):
        msg = (
            f"PIPELINE_ID is {pipeline_id!r}; it must be 1 to 20 characters of a-z, 0-9 and '-', "
            "with a letter or digit at both ends"
        )
        raise InvalidPipelineIdError(msg)
    return pipeline_id


class Names(msgspec.Struct, frozen=True):
    """Names of one deployment.

    Raises:
        InvalidPipelineIdError: see ``checked_id``.
    """

    pipeline_id: str = "pinterest"

    def __post_init__(self) -> None:
        checked_id(self.pipeline_id)

    def topic(self, kind: Kind) -> str:
        """The Kafka topic of one kind of event."""
        return f"{self.pipeline_id}.{kind}"

    def stream(self, kind: Kind) -> str:
        """The Kinesis stream of one kind of event."""
        return f"streaming-{self.pipeline_id}-{kind}"

    @property
    def topics(self) -> dict[str, Kind]:
        """Event topics and the kind each must hold."""
        return {self.topic(kind): kind for kind in KINDS}

    @property
    def streams(self) -> dict[str, Kind]:
        """Streams and the kind each must hold."""
        return {self.stream(kind): kind for kind in KINDS}

    @property
    def dead_letter_topic(self) -> str:
        """Where the sink puts records it cannot write; nobody produces to it through the proxy."""
        return f"{self.pipeline_id}.dlq"

    @property
    def bucket(self) -> str:
        """The bucket of raw objects."""
        return f"{self.pipeline_id}-raw"

    @property
    def api_id(self) -> str:
        """The REST API's id on the laptop, where it is fixed; AWS chooses its own."""
        return self.pipeline_id

    def job(self, name: Literal["batch", "upkeep"]) -> str:
        """A job's name in the Jobs API."""
        return f"{self.pipeline_id}-{name}"

    def dag(self, name: Literal["batch"]) -> str:
        """A DAG's id in Airflow."""
        return f"{self.pipeline_id}_{name}"

    def stream_table(self, kind: Kind) -> str:
        """The Delta table of one kind's streaming rows, below ``stream/``."""
        return f"{self.pipeline_id}_{kind}_table"
