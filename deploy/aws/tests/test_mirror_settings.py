import pytest
from aws_deploy.mirror.settings import MirrorSettings


def test_a_bad_setting_is_named_and_ends_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GATEWAY_API_KEY", "a" * 20)
    monkeypatch.setenv("MIRROR_LOG_LEVEL", "verbose")
    with pytest.raises(SystemExit) as ended:
        MirrorSettings.load()
    assert ended.value.code == 2
    assert "MIRROR_LOG_LEVEL" in capsys.readouterr().err
