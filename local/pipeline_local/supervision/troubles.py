"""What is wrong, in lines on which a person can act, from the status that the supervisor writes."""

from collections.abc import Iterable
from datetime import UTC, datetime

from pipeline_local.status import ServiceStatus, Status

REMEDY = "fix it, then `pipeline up` (after a change of settings, `pipeline down` first)"


def is_on_its_way(status: Status, name: str) -> bool:
    """Whether a service that is not ready may be so soon, without anybody's help."""
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
    """Whether nothing is on its way: each service is ready, or a person must do something."""
    return not any(is_on_its_way(status, name) for name in status.services)


def line(name: str, service: ServiceStatus, now: datetime) -> str | None:
    """One service in one line: what it does, what it said last, when it is retried, what to do. None: all well."""
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
    """One line for all services where something concerns all, and one for each that is not as it should be."""
    at = now or datetime.now(UTC)
    found = [line(name, service, at) for name, service in status.services.items()]
    return [one for one in [status.reason, *found] if one]


def not_ready(status: Status, now: datetime | None = None) -> list[str]:
    """One line for each service that is not ready; after that which concerns all of them."""
    at = now or datetime.now(UTC)
    late = [(name, service) for name, service in status.services.items() if service.state != "ready"]
    found = [line(name, service, at) or f"{name} is {service.state}" for name, service in late]
    return [status.reason, *found] if status.reason and found else found


def hindrances(status: Status, needed: Iterable[str], now: datetime | None = None) -> list[str]:
    """The lines of those services for which nobody need wait: of what is needed, or of what that waits for itself."""
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
