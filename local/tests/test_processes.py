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


@pytest.mark.parametrize("name", ["dashboard", "mirror", "proxy", "s3-sink", "analyser", "stream-reader", "airflow"])
def test_a_services_home_and_temporary_files_are_in_its_folder(installation: Installation, name: str) -> None:
    left = installation.layout.home / name / "tmp" / "of one that was killed"
    left.mkdir(parents=True)
    env = environment(installation, name)
    folder = installation.layout.home / name
    assert (env["HOME"], env["TMPDIR"]) == (str(folder), str(folder / "tmp"))
    assert not left.exists()


def test_a_job_has_the_users_home_and_no_share_in_the_temporary_folder(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("TMPDIR", "/elsewhere")
    of_another_job = installation.layout.home / "emitter" / "tmp" / "of another job"
    of_another_job.mkdir(parents=True)
    env = environment(installation, "emitter")
    assert (env["HOME"], env["TMPDIR"]) == ("/home/someone", str(of_another_job.parent))
    assert of_another_job.exists()


def test_the_dashboard_is_told_where_every_service_of_this_installation_is(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the ports that it has here; what is left out keeps a name that leads nowhere, and is named."""
    monkeypatch.setenv("PIPELINE_WITHOUT", "airflow")
    monkeypatch.setenv("PROXY_PORT", "4999")
    env = environment(installation, "dashboard")
    told = {address.removeprefix("http://") for name, address in env.items() if name.endswith(("_URL", "_KAFKA"))}
    others = {one.address for one in installation.topology.long_running if one.name != "dashboard"}
    assert told == {*others, "airflow:8080"}
    assert env["DASHBOARD_PROXY_URL"] == "http://127.0.0.1:4999"
    assert env["DASHBOARD_WITHOUT"] == "airflow"
    assert env["LAKE_URI"] == installation.layout.lake.as_uri()
    assert env["DASHBOARD_AUDITS_DIR"] == str(installation.layout.audits)
