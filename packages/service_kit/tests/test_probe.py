import pytest
from prometheus_client import CollectorRegistry
from service_kit import probe
from service_kit.ops import Check, NotReadyError, Ops, OpsServer


def fine() -> str:
    return "fine"


def away() -> str:
    raise NotReadyError("kafka is away")


@pytest.mark.parametrize(("check", "code", "said"), [(fine, 0, "fine"), (away, 1, "kafka is away")])
def test_it_tells_what_readyz_says(check: Check, code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with OpsServer(Ops("test", {"one": check}, CollectorRegistry()), "127.0.0.1", 0) as server:
        assert probe.main([str(server.port)]) == code
    assert said in capsys.readouterr().out


def test_nobody_listens(capsys: pytest.CaptureFixture[str]) -> None:
    with OpsServer(Ops("test", {}, CollectorRegistry()), "127.0.0.1", 0) as server:
        port = server.port
    assert probe.main([str(port)]) == 1
    assert "no answer" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["http://localhost"], ["1", "x"], ["1", "2", "3"]])
def test_wrong_usage(arguments: list[str]) -> None:
    assert probe.main(arguments) == 2
