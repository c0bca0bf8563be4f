import os
from pathlib import Path

import pytest
from pipeline_local import http_client, locks
from pipeline_local.commands_events import needed_by_sender
from pipeline_local.http_client import HttpClient
from pipeline_local.installation import Installation, InstallationError
from pipeline_local.layout import Layout
from pipeline_local.needs import may_go_on, must_serve, watching
from pipeline_local.status import ServiceStatus, Status

ROOT = Path(__file__).parents[2]


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(Layout(ROOT, tmp_path))


def says(installation: Installation, status: Status) -> None:
    status.write(installation.layout.status_file)


def test_nothing_runs(installation: Installation) -> None:
    with pytest.raises(InstallationError, match="nothing is running; start it with `pipeline up`"):
        must_serve(installation, "kafka")
    says(installation, Status(1, "failed", "the supervisor failed: x"))
    with pytest.raises(InstallationError, match=r"nothing is running \(the supervisor failed: x\)"):
        must_serve(installation, "kafka")


def test_a_service_that_keeps_failing_is_named_where_it_is_needed(installation: Installation) -> None:
    held = locks.take(installation.layout.supervisor_lock)
    assert held is not None
    with held:
        services = {
            "kafka": ServiceStatus("ready"),
            "s3-sink": ServiceStatus("failing", failures=6, reason="no bucket"),
        }
        says(installation, Status(1, "degraded", None, services))
        must_serve(installation, "kafka")
        with pytest.raises(InstallationError, match="s3-sink failed 6 times in a row and is being retried: no bu"):
            must_serve(installation, "kafka", "s3-sink")
        says(installation, Status(1, "stopping", None, services))
        with pytest.raises(InstallationError, match="`pipeline up` starts them again"):
            must_serve(installation, "kafka")


def test_what_is_at_work_goes_on_where_the_supervisor_was_killed(installation: Installation) -> None:
    says(installation, Status(1, "ready", None, {"kafka": ServiceStatus("ready")}))
    may_go_on(installation, "kafka")
    with pytest.raises(InstallationError, match="the supervisor was killed"):
        must_serve(installation, "kafka")


def test_a_supervisor_that_says_nothing_is_told(installation: Installation) -> None:
    held = locks.take(installation.layout.supervisor_lock)
    assert held is not None
    with held:
        says(installation, Status(1, "ready", None, {"kafka": ServiceStatus("ready")}))
        assert installation.status is not None
        assert installation.status.reason is None
        os.utime(installation.layout.status_file, (0, 0))
        assert "the supervisor has said nothing for" in (installation.status.reason or "")
        installation.layout.status_file.write_text("{")
        assert "status.json cannot be read" in (installation.status.reason or "")


def test_a_request_is_not_sent_again_where_nobody_will_answer(installation: Installation) -> None:
    client = HttpClient(
        "nobody", "http://127.0.0.1:9", outage=http_client.RESTART, on_outage=watching(installation, "analyser")
    )
    with pytest.raises(InstallationError, match="nothing is running"):
        client.ask("GET", "/")


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        ([], ["kafka", "localstack", "proxy"]),
        (["--events", "3", "--path", "stream"], ["localstack"]),
        (["--path=both"], ["kafka", "localstack", "proxy"]),
        (["--path"], ["kafka", "localstack", "proxy"]),
        (["--path", "elsewhere"], []),
    ],
)
def test_what_a_sender_needs(arguments: list[str], needed: list[str]) -> None:
    assert needed_by_sender(arguments) == needed
