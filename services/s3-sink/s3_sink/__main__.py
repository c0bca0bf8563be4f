"""Composition root: settings and connector files, clients, the sink, run.

Exit codes: 0 stopped in order; 1 a bug; 2 bad settings or connector files.
"""

import contextlib
import logging
import math
import sys
import uuid
from concurrent.futures import Executor, ThreadPoolExecutor
from threading import Event
from typing import NamedTuple

from prometheus_client import REGISTRY
from service_kit.clock import SystemClock
from service_kit.logs import configure_logging
from service_kit.ops import Ops, OpsServer
from service_kit.retries import RetryPolicy
from service_kit.shutdown import Shutdown

from s3_sink.archive import S3Archive, s3_client
from s3_sink.chain import Chain, StoppedError
from s3_sink.connector import Connector, load_connector, load_flush_interval_ms
from s3_sink.health import Health
from s3_sink.log import KafkaLog
from s3_sink.metrics import Metrics
from s3_sink.placement import Placement
from s3_sink.properties import PropertiesError
from s3_sink.settings import Settings
from s3_sink.sink import Limits, Sink
from s3_sink.store import Storer
from s3_sink.uploads import Uploads

logger = logging.getLogger("s3_sink")

SERVICE = "s3-sink"
CONNECTOR_FILES = ("s3-sink.properties", "dead-letters.properties")
EXIT_OK, EXIT_BAD_INPUT = 0, 2
_ROUND_LIMIT_S = 60.0


def main() -> int:
    """Run until SIGTERM or SIGINT; returns the exit code."""
    settings = Settings.load()
    try:
        connectors, flush_interval_ms = load_connectors(settings)
    except PropertiesError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_BAD_INPUT
    configure_logging(SERVICE, settings.log_level)
    shutdown = Shutdown()
    shutdown.install()
    logger.info("starting", extra=settings.described())
    limits = Limits(
        flush_interval_s=flush_interval_ms / 1_000,
        window_bytes=settings.max_buffer_bytes,
        total_bytes=settings.max_total_bytes,
        log_check_interval_s=settings.log_check_interval_ms / 1_000,
        verify_interval_s=settings.verify_interval_ms / 1_000,
        stuck_after_s=settings.stuck_after_ms / 1_000,
    )
    return run(settings, connectors, limits, shutdown)


def load_connectors(settings: Settings) -> tuple[list[Connector], int]:
    """Both connectors, and the worker's flush interval in milliseconds.

    Raises:
        PropertiesError: a file cannot be used, or the two contradict each other.
    """
    folder, placeholders = settings.connectors_dir, settings.placeholders()
    connectors = [load_connector(folder / name, placeholders) for name in CONNECTOR_FILES]
    topics = [topic for connector in connectors for topic in connector.topics]
    twice = sorted({topic for topic in topics if topics.count(topic) > 1})
    if twice:
        msg = f"{folder}: {', '.join(twice)} is given to two connectors, which would write the same objects"
        raise PropertiesError(msg)
    if len({connector.bucket for connector in connectors}) > 1:
        msg = f"{folder}: the connectors must have one bucket"
        raise PropertiesError(msg)
    return connectors, load_flush_interval_ms(folder / "worker.properties", placeholders)


def run(settings: Settings, connectors: list[Connector], limits: Limits, shutdown: Shutdown) -> int:
    """Build everything and loop until asked to stop; returns the exit code."""
    health = Health(clock=SystemClock(), loop_limit_s=_ROUND_LIMIT_S)
    try:
        server = OpsServer(Ops(SERVICE, health.checks()), settings.host, settings.port, settings.allowed_hosts)
    except OSError as error:
        sys.stderr.write(f"S3_SINK_PORT: {settings.host}:{settings.port} cannot be used: {error.strerror}\n")
        return EXIT_BAD_INPUT
    give_up = Event()
    # Whoever may have to wait has threads of its own: stores for S3, those with dead letters for their topic, and HEADs
    # and listings, which go on while stores wait.
    with (
        server,
        ThreadPoolExecutor(settings.uploads, thread_name_prefix="store") as stores,
        ThreadPoolExecutor(settings.uploads, thread_name_prefix="letters") as with_letters,
        ThreadPoolExecutor(settings.uploads, thread_name_prefix="head") as heads,
        ThreadPoolExecutor(1, thread_name_prefix="list") as lister,
    ):
        threads = Threads(stores, with_letters, heads, lister)
        try:
            sink = build_sink(
                settings, connectors, limits, health=health, shutdown=shutdown, give_up=give_up, threads=threads
            )
            with contextlib.suppress(StoppedError):
                while not shutdown.requested:
                    sink.step()
            sink.drain(settings.stop_deadline_ms / 1_000)
        finally:
            give_up.set()
    logger.info("stopped")
    return EXIT_OK


class Threads(NamedTuple):
    """Which work goes where; see ``run``."""

    stores: Executor
    with_letters: Executor
    heads: Executor
    lister: Executor


def build_sink(
    settings: Settings,
    connectors: list[Connector],
    limits: Limits,
    *,
    health: Health,
    shutdown: Shutdown,
    give_up: Event,
    threads: Threads,
) -> Sink:
    """The sink over real clients. ``shutdown`` ends its waits; ``give_up`` ends stores that are retried."""
    retries = RetryPolicy(deadline_s=math.inf)  # ended by the stop of the service, shown by /readyz
    timeout_s = settings.request_timeout_ms / 1_000
    client = s3_client(settings.aws_endpoint_url, settings.aws_region, timeout_s, 3 * settings.uploads + 2)
    archive = S3Archive(client, connectors[0].bucket)
    log = KafkaLog(settings.kafka_bootstrap_servers, f"connect-{connectors[0].name}", timeout_s)
    metrics = Metrics(REGISTRY)
    chain = Chain(archive, threads.heads, lambda: shutdown.requested)
    storer = Storer(
        archive=archive,
        log=log,
        writer_id=str(uuid.uuid4()),
        retries=retries,
        wait=give_up.wait,
        given_up=give_up.is_set,
    )
    return Sink(
        placement=Placement(connectors, log, chain, retries.clock, metrics),
        log=log,
        uploads=Uploads(storer, threads.stores, threads.with_letters, metrics),
        lister=threads.lister,
        limits=limits,
        retries=retries,
        metrics=metrics,
        health=health,
        pause=shutdown.wait,
    )


if __name__ == "__main__":
    sys.exit(main())
