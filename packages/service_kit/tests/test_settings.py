import pytest
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict
from service_kit.settings import LogLevel, PlainSecret, ServiceSettings, check_reach


class Example(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="EXAMPLE_")

    log_level: LogLevel = "INFO"
    port: int = Field(8082, ge=1, le=65535)
    token: PlainSecret | None = None
    bootstrap: str = Field("localhost:9092", validation_alias="KAFKA_BOOTSTRAP_SERVERS")


def test_values_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXAMPLE_PORT", "1")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "k:1")
    assert (Example.load().port, Example.load().bootstrap) == (1, "k:1")


def test_a_log_level_in_small_letters_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXAMPLE_LOG_LEVEL", "debug")
    assert Example.load().log_level == "DEBUG"


def test_an_empty_variable_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXAMPLE_PORT", "")
    assert Example.load().port == 8082


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("EXAMPLE_PORT", "99999", "Input should be less than or equal to 65535"),
        ("EXAMPLE_LOG_LEVEL", "verbose", "Input should be 'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        ("EXAMPLE_TOKEN", "ab/cd+ef=ab/cd+ef=ab/cd+ef=", "Value error, may hold A-Z, a-z, 0-9, '_' and '-' only"),
        ("EXAMPLE_TOKEN", "for-this-machine#0002", "Value error, may hold A-Z, a-z, 0-9, '_' and '-' only"),
        ("EXAMPLE_TOKEN", "for-this-machine-02", "Value should have at least 20 items"),
    ],
)
def test_a_bad_value_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as stop:
        Example.load()
    assert stop.value.code == 2
    assert f"{variable}: {said}" in capsys.readouterr().err


def test_secrets_are_not_described(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXAMPLE_TOKEN", "hunter2-hunter2-hunter2")
    assert Example.load().token == SecretStr("hunter2-hunter2-hunter2")
    assert "hunter2" not in str(Example.load().described())
    assert "hunter2" not in repr(Example.load())


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "::1"])
def test_on_loopback_no_token_is_needed(host: str) -> None:
    check_reach("EXAMPLE_", host, None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org", ""])
def test_beyond_loopback_a_token_is_needed(host: str) -> None:
    check_reach("EXAMPLE_", host, SecretStr("t"))
    with pytest.raises(ValueError, match=r"EXAMPLE_HOST is .*set EXAMPLE_TOKEN"):
        check_reach("EXAMPLE_", host, None)
