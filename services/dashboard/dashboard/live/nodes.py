"""The topology as the Overview draws it: both paths in the order in which records come by, and what is beside them."""

from dataclasses import dataclass
from typing import Final

from dashboard import words


@dataclass(frozen=True)
class Number:
    """A number of ``numbers.py`` that a service counts, and what it counts; ``one``: said of 1."""

    service: str
    name: str
    unit: str
    one: str = ""

    def said(self, count: float) -> str:
        """The count, with its unit."""
        return f"{words.number(count)} {self.one if count == 1 and self.one else self.unit}"


@dataclass(frozen=True)
class Node:
    """One station. ``service``: whose answer tells its state, by those checks alone that are of one of ``parts``.

    ``rates``: what goes through it, together; ``lag``: how far it is behind, in seconds; ``waits``: what waits
    before it; ``holds``: what it has; ``page``: where to see that.
    """

    id: str
    title: str
    role: str
    service: str
    parts: tuple[str, ...] = ()
    rates: tuple[Number, ...] = ()
    lag: Number | None = None
    waits: Number | None = None
    holds: Number | None = None
    page: str = ""

    @property
    def command(self) -> str:
        """What shows why it is red."""
        return "pipeline status" if self.service == "lake" else f"pipeline logs {self.service}"

    @property
    def container_command(self) -> str:
        """The same, where the services run in containers."""
        return "docker compose ps" if self.service == "lake" else f"docker compose logs {self.service}"


HELP: Final = "docs/troubleshooting.md, While it runs"
HELP_ON_AWS: Final = "docs/aws/runbooks.md"
"""The part of a document that says what to do."""

_BATCHED: Final = Number("proxy", "records", "records")
_STREAMED: Final = Number("localstack", "streamed", "records")
GATEWAY: Final = Node(
    "gateway", "API gateway", "takes events", "localstack", ("apigateway",), rates=(_BATCHED, _STREAMED)
)
BATCH: Final = (
    Node("proxy", "proxy", "REST to Kafka", "proxy", rates=(_BATCHED,)),
    Node(
        "kafka", "Kafka", "keeps the log", "kafka", waits=Number("s3-sink", "waiting", "records wait", "record waits")
    ),
    Node(
        "s3-sink",
        "s3-sink",
        "log to objects",
        "s3-sink",
        rates=(Number("s3-sink", "records", "records"),),
        lag=Number("s3-sink", "lag_s", "behind"),
    ),
    Node("s3", "S3", "raw objects", "localstack", ("s3",), rates=(Number("s3-sink", "objects", "objects"),)),
    Node(
        "analyser",
        "analyser",
        "Spark and Delta",
        "analyser",
        waits=Number("analyser", "runs_waiting", "runs wait", "run waits"),
    ),
    Node("answers", "answers", "of the last run", "lake", page="/answers"),
)
STREAM: Final = (
    Node("kinesis", "Kinesis", "keeps the streams", "localstack", ("kinesis",), rates=(_STREAMED,)),
    Node(
        "stream-reader",
        "stream reader",
        "cleans and appends",
        "stream-reader",
        ("spark", "query"),
        rates=(Number("stream-reader", "records", "records"),),
        lag=Number("stream-reader", "lag_s", "behind"),
    ),
    Node("tables", "tables", "of the streams", "lake", page="/records"),
    Node(
        "popularity",
        "popularity",
        "who is popular now",
        "stream-reader",
        ("popularity",),
        lag=Number("stream-reader", "popularity_lag_s", "behind"),
        holds=Number("stream-reader", "profiles", "profiles", "profile"),
        page="/popular",
    ),
)
FLOWS: Final = {"batch": _BATCHED, "stream": _STREAMED}
"""What goes down each path, for its trace of the last minutes."""
KEEPERS: Final = (
    Node("mirror", "mirror", "keeps buckets, streams, topics and API deployed", "mirror"),
    Node("airflow", "Airflow", "starts the analysis daily, or when asked", "airflow"),
)
NODES: Final = (GATEWAY, *BATCH, *STREAM, *KEEPERS)
