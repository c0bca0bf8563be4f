"""Each example decodes through its type, strictly, and survives a round trip."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from pipeline_contracts import audits, events, kinesis, objects, proxy, runs

EXAMPLES = Path(__file__).parents[1] / "examples"
TYPES: dict[str, Any] = {
    "pin": events.Pin,
    "geo": events.Geo,
    "user": events.User,
    "produce-answer": proxy.ProduceAnswer,
    "error-answer": proxy.ErrorAnswer,
    "object-line": objects.Line,
    "put-records-request": kinesis.PutRecordsRequest,
    "put-records-answer": kinesis.PutRecordsAnswer,
    "stream-summary-answer": kinesis.StreamSummaryAnswer,
    "run-states": runs.RunStates,
    "stored-audit": audits.StoredAudit,
}


def test_every_example_has_a_type() -> None:
    assert {path.stem for path in EXAMPLES.iterdir()} == set(TYPES)


@pytest.mark.parametrize("name", sorted(TYPES))
def test_example_survives_a_round_trip(name: str) -> None:
    text = (EXAMPLES / f"{name}.json").read_bytes()
    decoded = msgspec.json.decode(text, type=TYPES[name])
    again: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(decoded))
    original: dict[str, Any] = msgspec.json.decode(text)
    assert strip_nulls(again) == strip_nulls(original)


def strip_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: strip_nulls(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [strip_nulls(inner) for inner in value]
    return value


@pytest.mark.parametrize("kind", sorted(events.EVENT_TYPES))
def test_kind_field_is_in_its_kind_alone(kind: str) -> None:
    for other, model in events.EVENT_TYPES.items():
        assert (events.KIND_FIELD[other] in msgspec.json.decode((EXAMPLES / f"{kind}.json").read_bytes())) == (
            other == kind
        ), model


def test_a_streams_log_id() -> None:
    text = (EXAMPLES / "stream-summary-answer.json").read_bytes()
    summary = msgspec.json.decode(text, type=kinesis.StreamSummaryAnswer).summary
    assert summary.log_id == "arn:aws:kinesis:us-east-1:000000000000:stream/streaming-pinterest-pin@1795443739499"
