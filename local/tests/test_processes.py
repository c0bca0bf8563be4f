import os
from pathlib import Path

import pytest
from pipeline_local import processes
from pipeline_local.installation import Installation
from pipeline_local.layout import Layout

ROOT = Path(__file__).parents[2]


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(Layout(ROOT, tmp_path))


def environment(installation: Installation, name: str) -> dict[str, str]:
    return processes.command(os.environ, installation.layout, installation.service(name)).env


def test_the_shells_settings_reach_the_emitter(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMITTER_SOURCE", "mysql+pymysql://reader:secret@db/posts")
    monkeypatch.setenv("EMITTER_LANES", "2")
    env = environment(installation, "emitter")
    assert env["EMITTER_SOURCE"] == "mysql+pymysql://reader:secret@db/posts"
    assert env["EMITTER_LANES"] == "2"


def test_gateway_and_ledger_are_the_installations_own(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCALSTACK_PORT", "4999")
    monkeypatch.setenv("GATEWAY_URL", "http://elsewhere")
    monkeypatch.setenv("EMITTER_LEDGER", "elsewhere.sqlite")
    env = environment(installation, "emitter")
    assert env["GATEWAY_URL"].startswith("http://127.0.0.1:4999/")
    assert env["EMITTER_LEDGER"] == str(installation.layout.ledger)


def test_services_that_stay_get_none_of_the_shells_settings(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROXY_ANSWER_TIMEOUT_S", "1")
    monkeypatch.setenv("EMITTER_SOURCE", "posts")
    assert not {"PROXY_ANSWER_TIMEOUT_S", "EMITTER_SOURCE"} & environment(installation, "proxy").keys()
