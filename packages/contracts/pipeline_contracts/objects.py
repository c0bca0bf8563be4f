"""Names, metadata and lines of the raw S3 objects, as our sink and the Java connector write them.

Layout: ``topics/<topic>/partition=<n>/<topic>+<n>+<start offset, 20 digits>.jsonl.gz``. After a topic was made
anew, its records go below ``topics/<topic>/log=<topic id>/partition=<n>/``, so that new offsets never
meet old names.
"""

import re
from typing import Annotated, Final

import msgspec

OFFSET_DIGITS = 20
MAX_OFFSET: Final = 2**62
"""Beyond what any log holds, with room to count on in 64 bits; a larger number is no offset."""
MAX_PARTITION: Final = 2**31 - 1
ROOT = "topics"

# User metadata of an object, as S3 spells it (lower case).
LOG_ID: Final = "log-id"
FIRST_OFFSET: Final = "first-offset"
NEXT_OFFSET: Final = "next-offset"
RECORDS: Final = "records"
DEAD_LETTERED: Final = "dead-lettered"
WRITER_ID: Final = "writer-id"

# The Kafka client writes a log id in plain Base64, where "/" would divide a name. In names it stands as Kafka's own
# tools show it; the metadata hold it as it is.
_LOG_ID_IN_NAMES: Final = str.maketrans("+/", "-_")

_DIGITS = re.compile("[0-9]+")
_NAME = re.compile(
    rf"{ROOT}/(?P<topic>[^/]+)/(?:log=(?P<log_id>[^/]+)/)?partition=(?P<partition>\d+)/"
    r"(?P=topic)\+(?P=partition)\+(?P<offset>\d+)\.(?:json|jsonl)(?:\.gz)?"
)


class ObjectName(msgspec.Struct, frozen=True):
    """The parts of one object's name. ``log_id`` is None under the topic's plain prefix.

    Read from a name, ``log_id`` has ``-_`` in the place of ``+/``; which log an object is of, its metadata say.
    """

    topic: str
    partition: int
    start_offset: int
    log_id: str | None = None

    @property
    def key(self) -> str:
        """The object key, as our sink writes it."""
        prefix = partition_prefix(self.topic, self.partition, self.log_id)
        return f"{prefix}{self.topic}+{self.partition}+{self.start_offset:0{OFFSET_DIGITS}d}.jsonl.gz"


class Line(msgspec.Struct, frozen=True):
    """One line of an object. ``value`` and ``key`` are raw JSON; ``timestamp`` is UTC with milliseconds."""

    offset: Annotated[int, msgspec.Meta(ge=0, le=MAX_OFFSET)]
    value: msgspec.Raw
    key: msgspec.Raw = msgspec.Raw(b"null")
    timestamp: str | None = None


def topic_prefix(topic: str) -> str:
    """Every object of a topic lies below this prefix, whatever its log id."""
    return f"{ROOT}/{topic}/"


def partition_prefix(topic: str, partition: int, log_id: str | None = None) -> str:
    """The prefix of one partition's objects, in the topic's plain part or in a later log's."""
    log = "" if log_id is None else f"log={log_id.translate(_LOG_ID_IN_NAMES)}/"
    return f"{topic_prefix(topic)}{log}partition={partition}/"


def parse_object_key(key: str) -> ObjectName | None:
    """Read any installation's key (any padding, ``.json`` or ``.jsonl``, gzip or not); None for other names."""
    match = _NAME.fullmatch(key)
    if match is None:
        return None
    partition, offset = integer(match["partition"], MAX_PARTITION), integer(match["offset"], MAX_OFFSET)
    if partition is None or offset is None:
        return None
    return ObjectName(topic=match["topic"], partition=partition, start_offset=offset, log_id=match["log_id"])


def integer(text: str, most: int) -> int | None:
    """A number from 0 to ``most``, of ASCII digits; None for any other text, however long."""
    return int(text) if len(text) <= OFFSET_DIGITS and _DIGITS.fullmatch(text) and int(text) <= most else None
