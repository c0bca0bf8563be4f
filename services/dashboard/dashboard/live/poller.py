"""Every source on a thread of its own: one that hangs delays no other, and none is asked twice at once."""

from collections.abc import Mapping

from service_kit.clock import Clock

from dashboard.background import Attention, Repeated
from dashboard.live import numbers
from dashboard.live.looks import Source
from dashboard.live.scrape import Airflow, Kafka, LocalStack, Service
from dashboard.live.watched import Seen, Watched
from dashboard.settings import Settings

LEFT_OUT = Seen("left out", "", None, None)
NOT_MEASURED = Seen("not measured", "", None, None)


class Poller:
    """What is watched, by the service's name in ``compose.yaml``. Safe to use from any thread."""

    def __init__(self, sources: Mapping[str, Source], left_out: frozenset[str], clock: Clock) -> None:
        self.watched = {name: Watched(source, clock) for name, source in sources.items() if name not in left_out}
        self._left_out = left_out

    def seen(self, service: str) -> Seen:
        """How a service is now; one without an address is not measured."""
        if service in self._left_out:
            return LEFT_OUT
        watched = self.watched.get(service)
        return NOT_MEASURED if watched is None else watched.seen()

    def threads(self, attention: Attention, clock: Clock) -> list[Repeated]:
        """One for each service; none has started."""
        return [
            Repeated(f"look at {name}", watched.look, lambda: attention.pause_s, clock)
            for name, watched in self.watched.items()
        ]


def sources(settings: Settings) -> dict[str, Source]:
    """Whatever has an address."""
    ours = {
        "proxy": (settings.proxy_url, numbers.PROXY),
        "s3-sink": (settings.s3_sink_url, numbers.S3_SINK),
        "mirror": (settings.mirror_url, {}),
        "analyser": (settings.analyser_url, numbers.ANALYSER),
        "stream-reader": (settings.stream_reader_url, numbers.STREAM_READER),
    }
    found: dict[str, Source] = {name: Service(url, wanted) for name, (url, wanted) in ours.items() if url is not None}
    if settings.localstack_url is not None:
        found["localstack"] = LocalStack(settings.localstack_url, numbers.LOCALSTACK)
    if settings.airflow_url is not None:
        found["airflow"] = Airflow(settings.airflow_url)
    if settings.kafka is not None:
        host, _, port = settings.kafka.rpartition(":")
        found["kafka"] = Kafka(host, int(port))
    return found
