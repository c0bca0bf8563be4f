"""Problems of services and their remedies, one line each, from the status that the supervisor writes."""

from collections.abc import Iterable
from datetime import UTC, datetime

from pipeline_local.status import ServiceStatus, Status

REMEDY = "fix it, then `pipeline up` (after a change of settings, `pipeline down` first)"


def is_on_its_way(status: Status, name: str) -> bool:
    """Whether a service that is not ready may become ready without a person's help."""
    service = status.services[name]
    match service.state:
        case "starting":
            return True
        case "restarting":
            return status.reason is None
        case "unready":
            return service.seconds_to_ready is not None
        case "waiting":
            return status.reason is None and all(
                status.services[other].state == "ready" or is_on_its_way(status, other) for other in service.waits_for
            )
        case _:
            return False


def is_settled(status: Status) -> bool:
    """Whether each service is ready, or needs a person's help."""
    return not any(is_on_its_way(status, name) for name in status.services)


def line(name: str, service: ServiceStatus, now: datetime) -> str | None:
    """One service in one line: its state, its last error, when it is retried, what to do. None if it has no problem."""
    said = f": {service.reason}" if service.reason else ""
    found: str | None = None
    match service.state:
        case "ready" if service.failures:
            found = f"{name} is ready, and was started again{said}"
        case "unready":
            found = f"{name} runs, but is not ready{said}; see `pipeline logs {name}`"
        case "starting":
            found = f"{name} starts{said}"
        case "waiting" if service.waits_for:
            found = f"{name} waits for {' and '.join(service.waits_for)}"
        case "restarting":
            found = f"{name} failed{_times(service)} and is restarted{_when(service, now)}{said}"
        case "failing":
            tried = _when(service, now) or " and is being retried"
            found = f"{name} failed{_times(service)}{tried}{said}; see `pipeline logs {name}`; {REMEDY}"
        case "failed":
            found = f"{name} could not be stopped; see `pipeline logs supervisor`"
    return found


def lines(status: Status, now: datetime | None = None) -> list[str]:
    """One line for a problem of all services, if there is one, and one for each service with a problem."""
    at = now or datetime.now(UTC)
    found = [line(name, service, at) for name, service in status.services.items()]
    return [one for one in [status.reason, *found] if one]


def not_ready(status: Status, now: datetime | None = None) -> list[str]:
    """A line for a problem of all services, if there is one, and one for each service that is not ready."""
    at = now or datetime.now(UTC)
    late = [(name, service) for name, service in status.services.items() if service.state != "ready"]
    found = [line(name, service, at) or f"{name} is {service.state}" for name, service in late]
    return [status.reason, *found] if status.reason and found else found


def hindrances(status: Status, needed: Iterable[str], now: datetime | None = None) -> list[str]:
    """The lines of the needed services, and of those they wait for, that cannot become ready without help."""
    at = now or datetime.now(UTC)
    stuck: dict[str, None] = {}
    todo = [name for name in needed if name in status.services]
    while todo:
        name = todo.pop(0)
        service = status.services[name]
        if service.state in {"ready", "unready"} or is_on_its_way(status, name):
            continue
        if service.state == "waiting":
            todo += [other for other in service.waits_for if status.services[other].state != "ready"]
        stuck[name] = None
    found = [line(name, status.services[name], at) for name in stuck]
    return [one for one in [status.reason if stuck else None, *found] if one]


def _times(service: ServiceStatus) -> str:
    return f" {service.failures} times in a row" if service.failures > 1 else ""


def _when(service: ServiceStatus, now: datetime) -> str:
    if service.retry_at is None:
        return ""
    seconds = (datetime.fromisoformat(service.retry_at) - now).total_seconds()
    return f", next try in {seconds:.0f} s" if seconds >= 1 else ", next try now"
