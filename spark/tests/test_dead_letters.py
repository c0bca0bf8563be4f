import base64
import json

import pytest
from batch_analyser.objects.dead_letters import DeadLetter, decode_dead_letters
from batch_analyser.objects.pieces import Reject

ORIGIN = {
    "__connect.errors.topic": "pinterest.pin",
    "__connect.errors.partition": "2",
    "__connect.errors.offset": "77",
    "__connect.errors.exception.message": "the value is not JSON: malformed",
    "pipeline.log-id": "LOG",
}


def letter(raw: bytes, headers: dict[str, str], offset: int = 0) -> bytes:
    line = {
        "headers": [{"key": key, "value": value} for key, value in headers.items()],
        "offset": offset,
        "value": base64.b64encode(raw).decode(),
        "key": None,
        "timestamp": "2026-01-01T00:00:00Z",
    }
    return json.dumps(line).encode() + b"\n"


def test_a_letter_has_its_origins_coordinate_and_bytes() -> None:
    assert list(decode_dead_letters(letter(b"\xff not json {", ORIGIN, 5))) == [
        DeadLetter(5, "LOG", "pinterest.pin", 2, 77, "2026-01-01T00:00:00Z", b"\xff not json {", "not_json")
    ]


def test_a_reason_of_ours_is_kept() -> None:
    (found,) = decode_dead_letters(letter(b"x", ORIGIN | {"__connect.errors.exception.message": "bad_key"}))
    assert isinstance(found, DeadLetter)
    assert found.reason == "bad_key"


def test_without_headers_the_letters_own_coordinate_counts() -> None:
    (found,) = decode_dead_letters(letter(b"x", {}, 9))
    assert isinstance(found, DeadLetter)
    assert (found.topic, found.log_id, found.offset) == (None, None, 9)


def test_the_connectors_letters_have_no_log_id() -> None:
    headers = {key: value for key, value in ORIGIN.items() if key != "pipeline.log-id"}
    (found,) = decode_dead_letters(letter(b"x", headers))
    assert isinstance(found, DeadLetter)
    assert (found.log_id, found.topic, found.partition, found.offset) == (None, "pinterest.pin", 2, 77)


def test_a_line_that_is_no_letter_is_rejected() -> None:
    (found,) = decode_dead_letters(b'{"value":[]}\n')
    assert isinstance(found, Reject)


@pytest.mark.parametrize("changed", [{"offset": "9" * 20}, {"offset": "-1"}, {"offset": "x"}, {"partition": "9" * 11}])
def test_a_letter_whose_origin_cannot_be_keeps_its_own_coordinate(changed: dict[str, str]) -> None:
    headers = ORIGIN | {f"__connect.errors.{name}": value for name, value in changed.items()}
    (found,) = decode_dead_letters(letter(b"x", headers, 9))
    assert isinstance(found, DeadLetter)
    assert (found.topic, found.log_id, found.partition, found.offset) == (None, None, 0, 9)


def test_a_letter_of_an_offset_that_no_log_holds_is_rejected() -> None:
    (found,) = decode_dead_letters(letter(b"x", ORIGIN, 10**19))
    assert isinstance(found, Reject)
