"""Answers of GetRecords in which a field is not what it ought to be: their records are delivered all the same.

Kinesis takes a partition key that is no text (half of a surrogate pair, as when an emoji is cut in two) and gives it
back as JSON that strict decoders refuse. Nobody can take such a record out of the stream, so it must not stop a shard.
"""

import base64
import binascii
import json
import math
from collections.abc import Mapping
from typing import Any

UNREADABLE = "\x1a"
"""First character (SUBSTITUTE) of a ``partitionKey`` that stands for fields that cannot be decoded; see ``marked``."""
LATEST_ARRIVAL_S = 253_402_300_799
"""The last second of the year 9999."""


class NotAnAnswerError(ValueError):
    """The body is no answer of GetRecords, or has a record without a sequence number, which has no place."""


def marked(**fields: Any) -> str:
    """What stands for a partition key where envelope fields cannot be decoded: the mark, then those fields as JSON.

    Everything is as it came: half a surrogate pair is ``\\ud83d``, a byte that is not UTF-8 ``\\udcNN``.
    """
    return UNREADABLE + json.dumps(fields, sort_keys=True, separators=(",", ":"))


def shown_key(key: str) -> str:
    """The key itself, or, where it is no text, marked. Marked, too, is one that begins with the mark."""
    try:
        key.encode()
    except UnicodeEncodeError:
        return marked(PartitionKey=key)
    return marked(PartitionKey=key) if key.startswith(UNREADABLE) else key


def shown_bytes(key: bytes) -> str:
    """The same for a key that ought to be UTF-8."""
    return shown_key(key.decode("utf-8", "surrogateescape"))


def lenient(body: bytes) -> Mapping[str, Any]:
    """Decode an answer like boto3 does, but with whatever text it holds; slow.

    Each record has ``SequenceNumber``, ``Data`` (None if it is not Base64), ``PartitionKey`` (marked, if one of the
    three others cannot be decoded) and ``ApproximateArrivalTimestamp`` (0 if it is no time).

    Raises:
        NotAnAnswerError: there is more wrong with it than that.
    """
    try:
        answer = json.loads(body.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError) as error:
        raise NotAnAnswerError(f"not JSON: {error}") from error
    if not isinstance(answer, dict) or not isinstance(answer.get("Records"), list):
        raise NotAnAnswerError("there are no Records")
    following, behind_ms = answer.get("NextShardIterator"), answer.get("MillisBehindLatest")
    if not isinstance(following, str | None) or not isinstance(behind_ms, int | None):
        raise NotAnAnswerError("NextShardIterator or MillisBehindLatest is of another type")
    return {
        "Records": [_record(entry) for entry in answer["Records"]],
        "NextShardIterator": following,
        "MillisBehindLatest": behind_ms,
    }


def _record(entry: Any) -> dict[str, Any]:
    number = entry.get("SequenceNumber") if isinstance(entry, dict) else None
    if not isinstance(number, str) or not (number.isascii() and number.isdigit()):
        raise NotAnAnswerError("a record has no sequence number")
    key, text, arrival_s = (entry.get(name) for name in ("PartitionKey", "Data", "ApproximateArrivalTimestamp"))
    wrong: dict[str, Any] = {}
    if not isinstance(key, str):
        wrong["PartitionKey"] = key
    data = _bytes(text)
    if data is None:
        wrong["Data"] = text
    if not _is_time(arrival_s):
        wrong["ApproximateArrivalTimestamp"], arrival_s = arrival_s, 0
    return {
        "SequenceNumber": number,
        "Data": data,
        "PartitionKey": marked(**{"PartitionKey": key} | wrong) if wrong else shown_key(key),
        "ApproximateArrivalTimestamp": arrival_s,
    }


def _bytes(text: Any) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True) if isinstance(text, str) else None
    except (binascii.Error, ValueError):
        return None


def _is_time(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and 0 <= value <= LATEST_ARRIVAL_S
