"""Media types of Kafka REST v2: what a body is written in, and what the answer may be."""

import re
from functools import lru_cache
from typing import Final, Literal

from pipeline_contracts.proxy import ANSWER_V2, BINARY_V2, JSON_V2

from ingest_proxy.errors import NotAcceptableError, UnsupportedMediaTypeError

Format = Literal["json", "binary", "schema"]
"""``schema``: Avro, Protobuf and JSON Schema, which need a registry that this system does not have."""

_FORMATS: Final[dict[str, Format]] = {
    JSON_V2: "json",
    "application/vnd.kafka.json+json": "json",
    BINARY_V2: "binary",
    "application/vnd.kafka.binary+json": "binary",
    # Without an embedded format the reference takes binary.
    ANSWER_V2: "binary",
    "application/vnd.kafka+json": "binary",
    "application/json": "binary",
    **{
        f"application/vnd.kafka.{name}{version}+json": "schema"
        for name in ("avro", "protobuf", "jsonschema")
        for version in (".v2", "")
    },
}

# In order of preference, where the sender leaves a choice.
_ANSWERS: Final = (ANSWER_V2, "application/vnd.kafka+json", "application/json", JSON_V2, BINARY_V2)

_CACHED_HEADER_CHARACTERS = 256
_QUALITY = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?")


def body_format(content_type: str | None) -> Format:
    """The embedded format that ``Content-Type`` names.

    Raises:
        UnsupportedMediaTypeError: no type, one that is not read here, or a charset other than UTF-8.
    """
    return _remembered_format(content_type or "")


def answer_type(accept: str | None) -> str:
    """The type of the answer that ``Accept`` likes best; without the header, Kafka REST v2's own.

    Raises:
        NotAcceptableError: it allows none of those served here.
    """
    if not accept:
        return ANSWER_V2
    return _remembered_answer(accept) if len(accept) <= _CACHED_HEADER_CHARACTERS else _negotiate(accept)


def unsupported(content_type: str) -> UnsupportedMediaTypeError:
    """The error that names what is read here."""
    given = content_type[:_CACHED_HEADER_CHARACTERS] or "missing"
    return UnsupportedMediaTypeError(f"Content-Type is {given}; send {JSON_V2} or {BINARY_V2}")


@lru_cache(maxsize=64)
def _remembered_format(content_type: str) -> Format:
    kind, parameters = _parse(content_type)
    found = _FORMATS.get(kind)
    if found is None:
        raise unsupported(content_type)
    if parameters.get("charset", "utf-8").lower() not in {"utf-8", "utf8"}:
        raise UnsupportedMediaTypeError("The charset must be utf-8")
    return found


def _negotiate(accept: str) -> str:
    ranges = [_parse(part) for part in accept.split(",") if part.strip()]
    best, best_quality = None, 0.0
    for offered in _ANSWERS:
        quality = _quality(offered, ranges)
        if quality > best_quality:
            best, best_quality = offered, quality
    if best is None:
        raise NotAcceptableError(f"Accept allows none of {', '.join(_ANSWERS[:3])}")
    return best


_remembered_answer = lru_cache(maxsize=64)(_negotiate)


def _quality(offered: str, ranges: list[tuple[str, dict[str, str]]]) -> float:
    """The weight of the most specific range that covers a type (RFC 9110, 12.5.1); 0 where none does."""
    for wanted in (offered, "application/*", "*/*"):
        weights = [parameters.get("q", "1") for kind, parameters in ranges if kind == wanted]
        if weights:
            return max(float(weight) if _QUALITY.fullmatch(weight) else 0.0 for weight in weights)
    return 0.0


def _parse(value: str) -> tuple[str, dict[str, str]]:
    kind, *rest = (part.strip() for part in value.split(";"))
    pairs = (part.partition("=") for part in rest)
    return kind.lower(), {name.strip().lower(): text.strip().strip('"') for name, _, text in pairs}
