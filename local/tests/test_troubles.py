from datetime import UTC, datetime, timedelta

from pipeline_local.status import ServiceState, ServiceStatus, Status
from pipeline_local.supervision import troubles

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
FAILING = ServiceStatus(
    "failing", failures=7, reason="it ended with exit code 3", retry_at=(NOON + timedelta(seconds=24)).isoformat()
)


def of(reason: str | None = None, **services: ServiceStatus | ServiceState) -> Status:
    found = {name: one if isinstance(one, ServiceStatus) else ServiceStatus(one) for name, one in services.items()}
    return Status(1, "starting", reason, found)


def waits_for(*names: str) -> ServiceStatus:
    return ServiceStatus("waiting", waits_for=list(names))


def test_a_line_says_who_what_when_and_what_to_do() -> None:
    assert troubles.lines(of(sink=FAILING, kafka="ready", mirror=waits_for("sink", "proxy")), NOON) == [
        "sink failed 7 times in a row, next try in 24 s: it ended with exit code 3; see `pipeline logs sink`; "
        "fix it, then `pipeline up` (after a change of settings, `pipeline down` first)",
        "mirror waits for sink and proxy",
    ]


def test_all_is_well() -> None:
    assert troubles.lines(of(kafka="ready")) == []
    assert troubles.is_settled(of(kafka="ready"))


def test_what_waits_for_a_service_that_keeps_failing_is_not_on_its_way() -> None:
    status = of(localstack=FAILING, mirror=waits_for("localstack"), sink=waits_for("mirror"), kafka="ready")
    assert troubles.is_settled(status)
    assert not troubles.is_settled(of(kafka="starting", proxy=waits_for("kafka")))
    assert not troubles.is_settled(of(kafka="restarting"))
    assert not troubles.is_settled(of(kafka="ready", proxy=waits_for()))


def test_on_a_full_disk_nothing_is_on_its_way_but_what_runs() -> None:
    assert troubles.is_settled(of("the disk is full", kafka="restarting", proxy=waits_for("kafka")))
    assert not troubles.is_settled(of("the disk is full", kafka="starting"))


def test_what_was_never_ready_is_not_on_its_way_once_it_is_late() -> None:
    assert troubles.is_settled(of(reader=ServiceStatus("unready")))
    assert not troubles.is_settled(of(reader=ServiceStatus("unready", seconds_to_ready=3.0)))


def test_only_what_is_needed_hinders() -> None:
    status = of(localstack=FAILING, mirror=waits_for("localstack"), kafka="ready", reader="unready", proxy="restarting")
    assert troubles.hindrances(status, ["kafka", "reader", "proxy", "unknown"], NOON) == []
    found = troubles.hindrances(status, ["mirror", "kafka"], NOON)
    assert [line.partition(" ")[0] for line in found] == ["mirror", "localstack"]
