"""The sign-in to MSK: the token is a signed request to the region's Kafka, good for 15 minutes."""

import base64
import time
from urllib.parse import parse_qs, urlsplit

import pytest
from ingest_proxy.login import SignInError, login_settings


def test_a_laptop_signs_in_nowhere() -> None:
    assert login_settings("none", None) == {}


def test_a_token_for_msk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "session")
    settings = login_settings("aws-msk-iam", "eu-west-1")
    assert (settings["security.protocol"], settings["sasl.mechanism"]) == ("SASL_SSL", "OAUTHBEARER")
    callback = settings["oauth_cb"]
    assert callable(callback)
    token, ends = callback("")
    assert 800 < ends - time.time() <= 900
    url = urlsplit(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode())
    asked = {name: values[0] for name, values in parse_qs(url.query).items()}
    assert url.netloc == "kafka.eu-west-1.amazonaws.com"
    assert asked["Action"] == "kafka-cluster:Connect"
    assert asked["X-Amz-Credential"].startswith("AKIDEXAMPLE/")
    assert "secret" not in token


def test_without_keys_the_log_says_why(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    callback = login_settings("aws-msk-iam", "eu-west-1")["oauth_cb"]
    assert callable(callback)
    with pytest.raises(SignInError):
        callback("")
    assert "no token to sign in to MSK" in caplog.text
