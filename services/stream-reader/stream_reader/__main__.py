"""``python -m stream_reader``: settings, session, queries, popularity, API. The only reader of the environment.

Exit codes: 0 stopped in order; 1 the JVM is gone or did not start; 2 bad settings, port taken; 3 another writer.
"""

import logging
import math
import sys
import threading
import time
from collections.abc import Callable
from functools import partial

from prometheus_client import REGISTRY
from pyspark.sql import SparkSession
from service_kit.hosts import for_hosts
from service_kit.logs import configure_logging
from service_kit.ops import Ops
from service_kit.retries import RetryPolicy
from service_kit.shutdown import Shutdown
from service_kit.web import bound_server
from spark_kit.fence import FencedError, hold_fence
from spark_kit.jvm import JvmError
from spark_kit.session import build_session, session_alive, stop_session
from werkzeug.serving import BaseWSGIServer

from stream_reader.queries.streams import KinesisStreams
from stream_reader.reader import Reader, build_reader
from stream_reader.rehearsal import rehearse, try_rehearsal
from stream_reader.settings import Settings

logger = logging.getLogger(__name__)

SERVICE = "stream-reader"
EXIT_OK, EXIT_CRASHED, EXIT_BAD_INPUT, EXIT_OTHER_WRITER = 0, 1, 2, 3


def main() -> int:
    """Run until SIGTERM or SIGINT; returns the exit code."""
    settings = Settings.load()
    configure_logging(SERVICE, settings.log_level)
    shutdown = Shutdown()
    shutdown.install()
    logger.info("starting", extra={"settings": settings.described()})
    try:
        fence = hold_fence(settings.lake_uri, service=SERVICE, area="stream", wait_s=settings.lock_wait_s)
    except FencedError as error:
        logger.error("the stream reader cannot start", extra={"reason": str(error)})  # noqa: TRY400  # it says it all
        return EXIT_OTHER_WRITER
    with fence:
        try:
            spark = build_session(settings.session(), inherit=fence.inheritable)
        except JvmError as error:
            logger.error("the stream reader cannot start", extra={"reason": str(error)})  # noqa: TRY400
            return EXIT_CRASHED
        try:
            return _run(settings, spark, shutdown)
        finally:
            stop_session(spark, settings.jvm_stop_s)


def _run(settings: Settings, spark: SparkSession, shutdown: Shutdown) -> int:
    streams = KinesisStreams(settings.aws_endpoint_url, settings.aws_region)
    retries = RetryPolicy(  # without an end: the waits are bounded, and /readyz shows what is retried
        deadline_s=math.inf,
        first_wait_s=settings.restart_first_wait_s,
        longest_wait_s=settings.restart_longest_wait_s,
    )
    reader = build_reader(settings, spark, streams, retries, REGISTRY)
    ops = Ops(SERVICE, reader.checks)
    try:
        # Granian serves WSGI from worker processes only, and the profiles are in this one's memory.
        served = for_hosts(settings.allowed_hosts, ops.in_front_of(reader.app.wsgi_app))
        server = bound_server(settings.host, settings.port, served)
    except OSError as error:
        sys.stderr.write(f"STREAM_READER_PORT: {settings.host}:{settings.port} cannot be used: {error.strerror}\n")
        return EXIT_BAD_INPUT
    rehearsal = partial(
        rehearse, spark, settings.names, settings.state_dir / "rehearsal", lambda: not shutdown.requested
    )
    return _serve(reader, server, shutdown, settings.stop_s, rehearsal if settings.rehearses else None)


def _serve(
    reader: Reader, server: BaseWSGIServer, shutdown: Shutdown, stop_s: float, rehearsal: Callable[[], None] | None
) -> int:
    http = threading.Thread(target=server.serve_forever, name="http", daemon=True)
    http.start()
    if rehearsal is not None:
        try_rehearsal(rehearsal)
    if not shutdown.requested:
        reader.start()
    while not shutdown.wait(0.5) and session_alive():
        pass
    crashed = not shutdown.requested
    if crashed:
        logger.error("the JVM is gone; the stream reader ends")
    started = time.monotonic()
    in_time = reader.stop(0.1 if crashed else stop_s)
    server.shutdown()
    http.join(1.0)
    logger.info("stopped", extra={"in_time": in_time, "seconds": round(time.monotonic() - started, 2)})
    return EXIT_CRASHED if crashed else EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
