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
