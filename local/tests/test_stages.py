"""What the audit says of a stage that is not there."""

import socket

import pytest
from pipeline_local.audit import stages


def test_a_broker_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "TIMEOUT_S", 0.5)
    with socket.socket() as held:  # bound, and never listening
        held.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{held.getsockname()[1]}"
        with pytest.raises(stages.StageUnreachableError, match=rf"Kafka at {address} does not answer\W+\w"):
            stages.KafkaStage(address).watermarks(["pinterest.pin"])


@pytest.mark.parametrize(
    "changed", [{}, {"offset": "9" * 20}, {"offset": "x"}, {"partition": "-1"}, {"topic": ""}, {"topic": "a\xff"}]
)
def test_the_origin_of_a_dead_letter(changed: dict[str, str]) -> None:
    told = {"topic": "a", "partition": "2", "offset": "77"} | changed
    found = stages._origin({f"__connect.errors.{name}": value.encode("latin-1") for name, value in told.items()})
    expected = {"{}": "a", str({"topic": "a\xff"}): "a\ufffd"}.get(str(changed))
    assert found == (None if expected is None else stages.Coordinate(expected, f"topic:{expected}", 2, 77))


def test_a_letter_without_headers_has_no_origin() -> None:
    assert stages._origin({}) is None
