import errno

import pytest
from aws_deploy.mirror import __main__ as mirror
from aws_deploy.mirror.settings import MirrorSettings
from service_kit.shutdown import Shutdown


@pytest.mark.parametrize(("variable", "value"), [("MIRROR_LOG_LEVEL", "verbose"), ("PIPELINE_ID", "Not Allowed")])
def test_a_bad_setting_is_named_and_ends_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str, value: str
) -> None:
    monkeypatch.setenv("GATEWAY_API_KEY", "a" * 20)
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as ended:
        MirrorSettings.load()
    assert ended.value.code == 2
    assert variable in capsys.readouterr().err


def test_only_a_port_that_cannot_be_bound_is_told_as_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Failing(Shutdown):
        requested = True

        def install(self) -> None:
            """The test's own signals stay."""

        def wait(self, seconds: float) -> bool:
            raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(mirror, "Shutdown", Failing)
    monkeypatch.setattr(mirror, "configure_logging", lambda *_: None)
    monkeypatch.setenv("GATEWAY_API_KEY", "a" * 20)
    monkeypatch.setenv("MIRROR_PORT", "0")
    with pytest.raises(OSError, match="too many open files"):
        mirror.main()
    assert "MIRROR_PORT" not in capsys.readouterr().err
