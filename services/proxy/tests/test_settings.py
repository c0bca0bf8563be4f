import pytest
from ingest_proxy.settings import ProxySettings


def test_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PIPELINE_ID", "KAFKA_BOOTSTRAP_SERVERS", "PROXY_PORT", "PROXY_HOST"):
        monkeypatch.delenv(name, raising=False)
    settings = ProxySettings.load()
    assert (settings.host, settings.port, settings.bootstrap_servers) == ("127.0.0.1", 8082, "localhost:9092")
    assert list(settings.names.topics) == ["pinterest.pin", "pinterest.geo", "pinterest.user"]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PROXY_PORT", "0"),
        ("PIPELINE_ID", "Not Allowed"),
        ("PROXY_ANSWER_TIMEOUT_S", "26"),
        ("PROXY_DELIVERY_TIMEOUT_MS", "23000"),
        ("KAFKA_AUTHENTICATION", "aws-msk-iam"),  # without a region
        ("KAFKA_AUTHENTICATION", "password"),
        ("PROXY_LOG_LEVEL", "verbose"),
    ],
)
def test_bad_values_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str, value: str
) -> None:
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as caught:
        ProxySettings.load()
    assert caught.value.code == 2
    assert variable in capsys.readouterr().err
