"""Looks at the processes and their logs while the fuzzer runs."""

from collections import Counter
from collections.abc import Iterator

from pipeline_local.status import DamagedStatusError, ServiceStatus, read_status

from fuzzing.place import Place

DEFECTS = (b"Traceback (most recent call last)",)
WITH_TRACES = {"analyser", "stream-reader", "localstack", "kafka"}
"""Their logs hold the traces of Spark's tasks that failed as they should, and LocalStack's of what it refused."""


MOST_TRACES = 3
"""Of one service; more would say the same."""


class Watch:
    """No process is started again, and no log holds a secret or the trace of a defect. ``look`` says what is new."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._pids = {name: service.pid for name, service in self._services().items()}
        self._read: dict[str, int] = {}
        self._told: Counter[str] = Counter()

    def look(self) -> Iterator[str]:
        """What happened since the last look."""
        for name, service in self._services().items():
            if service.pid not in {None, self._pids.get(name)}:
                yield f"{name} was started again: {service.reason}"
                self._pids[name] = service.pid
        for log in sorted((self._place.home / "logs").glob("*.log")):
            yield from self._news(log.stem)

    def unready(self) -> list[str]:
        """What is not ready now, and why."""
        return [f"{name} is {it.state}: {it.reason}" for name, it in self._services().items() if it.state != "ready"]

    def _services(self) -> dict[str, ServiceStatus]:
        try:
            status = read_status(self._place.home / "status.json")
        except DamagedStatusError:
            return {}
        return {} if status is None else status.services

    def _news(self, service: str) -> Iterator[str]:
        with (self._place.home / "logs" / f"{service}.log").open("rb") as log:
            log.seek(self._read.get(service, 0))
            news = log.read()
        whole = news[: news.rfind(b"\n") + 1]
        self._read[service] = self._read.get(service, 0) + len(whole)
        for line in whole.splitlines():
            if any(secret.encode() in line for secret in self._place.secrets):
                yield f"the log of {service} has a secret: {line[:600]!r}"
            elif service not in WITH_TRACES and any(word in line for word in DEFECTS):
                self._told[service] += 1
                if self._told[service] <= MOST_TRACES:
                    yield f"the log of {service} has a trace: {line[:300]!r} … {line[-900:]!r}"
