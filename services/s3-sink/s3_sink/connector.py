"""What the sink implements of the connector's configuration, key by key.

``README.md`` shows the same table. A key that is not here is refused by name, and so is a value that would make
MSK Connect and this sink write different objects.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

import msgspec

from s3_sink.properties import PropertiesError, Property, read_properties

Format = Literal["json", "bytes"]
"""``json``: values are JSON, keys text. ``bytes``: both become Base64, and headers are written."""

_KAFKA: Final = "org.apache.kafka.connect"
_STRING: Final = f"{_KAFKA}.storage.StringConverter"
_JSON: Final = f"{_KAFKA}.json.JsonConverter"
_BYTES: Final = f"{_KAFKA}.converters.ByteArrayConverter"

_ANY = ".+"
_TOPIC = r"[A-Za-z0-9._-]+"
_COMMON: Final[dict[str, str]] = {
    "name": _TOPIC,
    "connector.class": re.escape("io.aiven.kafka.connect.s3.AivenKafkaConnectS3SinkConnector"),
    "tasks.max": r"[1-9]\d*",
    "topics": rf"{_TOPIC}(\s*,\s*{_TOPIC})*",
    "aws.s3.bucket.name": r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]",
    "aws.s3.region": r"[a-z0-9-]+",
    "format.output.type": "jsonl",
    "file.compression.type": "gzip",
    "file.name.template": re.escape(
        "topics/{{topic}}/partition={{partition}}/{{topic}}+{{partition}}+{{start_offset:padding=true}}.jsonl.gz"
    ),
}
_REQUIRED: Final[dict[Format, dict[str, str]]] = {
    "json": {
        **_COMMON,
        "key.converter": re.escape(_STRING),
        "value.converter": re.escape(_JSON),
        "value.converter.schemas.enable": "false",
        "format.output.fields": "key,value,offset,timestamp",
        "errors.tolerance": "all",
        "errors.deadletterqueue.topic.name": _TOPIC,
        "errors.deadletterqueue.context.headers.enable": "true",
    },
    "bytes": {
        **_COMMON,
        "key.converter": re.escape(_BYTES),
        "value.converter": re.escape(_BYTES),
        "header.converter": re.escape(_STRING),
        "format.output.fields": "key,value,offset,timestamp,headers",
    },
}
_OPTIONAL: Final[dict[Format, dict[str, str]]] = {
    "json": {"errors.log.enable": "true|false", "errors.log.include.messages": "false"},
    "bytes": {},
}
_WORKER: Final[dict[str, str]] = {
    "key.converter": _ANY,
    "value.converter": _ANY,
    "offset.flush.interval.ms": r"[1-9]\d*",
}
_SHOWN: Final = {
    _ANY: "anything",
    _TOPIC: "a name of letters, digits, '.', '_' and '-'",
    r"[1-9]\d*": "a whole number from 1",
}


class Connector(msgspec.Struct, frozen=True):
    """One connector: which topics, into which bucket, in which format. ``dead_letters`` is None for ``bytes``."""

    name: str
    format: Format
    topics: tuple[str, ...]
    bucket: str
    dead_letters: str | None


def load_connector(path: Path, placeholders: Mapping[str, str]) -> Connector:
    """Read and check one connector file.

    Raises:
        PropertiesError: see ``read_properties``; also a key that is unknown or missing, or a value not implemented.
    """
    properties = read_properties(path, placeholders)
    converter = properties.get("value.converter")
    output: Format = "bytes" if converter is not None and converter.value == _BYTES else "json"
    _check(path, properties, _REQUIRED[output], _OPTIONAL[output])
    dead_letters = properties.get("errors.deadletterqueue.topic.name")
    return Connector(
        name=properties["name"].value,
        format=output,
        topics=tuple(topic.strip() for topic in properties["topics"].value.split(",")),
        bucket=properties["aws.s3.bucket.name"].value,
        dead_letters=None if dead_letters is None else dead_letters.value,
    )


def load_flush_interval_ms(path: Path, placeholders: Mapping[str, str]) -> int:
    """Read the worker's file: how long a record may wait, in milliseconds.

    Raises:
        PropertiesError: as for a connector file.
    """
    properties = read_properties(path, placeholders)
    _check(path, properties, {"offset.flush.interval.ms": _WORKER["offset.flush.interval.ms"]}, _WORKER)
    return int(properties["offset.flush.interval.ms"].value)


def _check(
    path: Path, properties: Mapping[str, Property], required: Mapping[str, str], optional: Mapping[str, str]
) -> None:
    known = {**optional, **required}
    for key, found in properties.items():
        pattern = known.get(key)
        if pattern is None:
            msg = f"{found.where}: {key} is not implemented by this sink; implemented are {', '.join(sorted(known))}"
            raise PropertiesError(msg)
        if re.fullmatch(pattern, found.value) is None:
            shown = _SHOWN.get(pattern, pattern.replace("\\", ""))
            msg = f"{found.where}: {key}={found.value} is not implemented by this sink; it takes {shown}"
            raise PropertiesError(msg)
    missing = sorted(required.keys() - properties.keys())
    if missing:
        msg = f"{path}: {', '.join(missing)} must be given"
        raise PropertiesError(msg)
