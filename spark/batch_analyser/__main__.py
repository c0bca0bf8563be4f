"""The analyser's service: ``python -m batch_analyser``.

Exit codes: 0 stopped in order; 1 the JVM is gone or did not start; 2 bad settings, port taken; 3 another writer.
"""

import logging
import sqlite3
import sys
import threading
from collections.abc import Callable, Mapping
from functools import partial

import boto3
from botocore.config import Config
from pyspark.sql import SparkSession
from service_kit.clock import SystemClock
from service_kit.hosts import for_hosts
from service_kit.logs import configure_logging
from service_kit.ops import Check, Ops
from service_kit.shutdown import Shutdown
from service_kit.web import bound_server
from spark_kit.fence import FencedError, hold_fence
from spark_kit.jvm import JvmError
from spark_kit.session import build_session, session_alive, stop_session

from batch_analyser.jobs.catalogue import ALL_TASKS, run_task
from batch_analyser.lake import Lake
from batch_analyser.objects.listing import Bucket
from batch_analyser.service.api import create_app
from batch_analyser.service.readiness import SessionCheck, bucket_check, lake_check
from batch_analyser.service.store import RunStore
from batch_analyser.service.worker import CRASHED, Task, Worker
from batch_analyser.settings import ServerSettings

logger = logging.getLogger(__name__)

EXIT_OK, EXIT_CRASHED, EXIT_BAD_INPUT, EXIT_OTHER_WRITER = 0, 1, 2, 3
_BEAT_S = 15.0


def main() -> int:
    """Run until SIGTERM or SIGINT; returns the exit code."""
    settings = ServerSettings.load()
    configure_logging("analyser", settings.log_level)
    shutdown = Shutdown()
    shutdown.install()
    try:
        fence = hold_fence(settings.lake_uri, service="analyser", area="batch", wait_s=settings.lock_wait_s)
    except FencedError as error:
        logger.error("the analyser cannot start", extra={"reason": str(error)})  # noqa: TRY400  # the reason says it all
        return EXIT_OTHER_WRITER
    with fence:
        try:
            spark = build_session(settings.session(), inherit=fence.inheritable)
        except JvmError as error:
            logger.error("the analyser cannot start", extra={"reason": str(error)})  # noqa: TRY400
            return EXIT_CRASHED
        try:
            return serve(settings, spark, shutdown)
        finally:
            stop_session(spark)


def serve(settings: ServerSettings, spark: SparkSession, shutdown: Shutdown) -> int:
    """Answer and work until asked to stop, or until the JVM is gone; returns the exit code."""
    try:
        store = RunStore(settings.state_dir / "runs.sqlite", SystemClock())
    except (sqlite3.Error, OSError) as error:
        sys.stderr.write(f"ANALYSER_STATE_DIR: {settings.state_dir}/runs.sqlite cannot be opened: {error}\n")
        return EXIT_BAD_INPUT
    if cut_off := store.end_unfinished(CRASHED):
        logger.warning("runs had been cut off", extra={"runs": cut_off})
    worker = Worker(store, _tasks(spark, settings), settings.queue_limit, _cancel_all(spark), session_alive)
    session = SessionCheck(lambda: spark.range(1).collect(), lambda: worker.active is not None)
    checks: dict[str, Check] = {
        "spark": session,
        "bucket": bucket_check(_bucket(settings)),
        "lake": lake_check(settings.lake_uri),
        "runs": worker.check,
    }
    # Granian serves WSGI from worker processes only, and the one session lives here; the few clients are on loopback
    # or behind a token, so Werkzeug's threaded server does.
    base_url = f"http://{settings.host}:{settings.port}"
    app = create_app(store, worker, settings.names, settings.token, base_url)
    try:
        served = for_hosts(settings.allowed_hosts, Ops("analyser", checks).in_front_of(app.wsgi_app))
        server = bound_server(settings.host, settings.port, served)
    except OSError as error:
        sys.stderr.write(f"ANALYSER_PORT: {settings.host}:{settings.port} cannot be used: {error.strerror}\n")
        store.close()
        return EXIT_BAD_INPUT
    stop_beat = threading.Event()
    worker.start(first=partial(_warm_up, spark, settings))
    threads = [
        threading.Thread(target=server.serve_forever, name="http", daemon=True),
        threading.Thread(target=session.beat_until, args=(stop_beat, _BEAT_S), name="beat", daemon=True),
    ]
    for thread in threads:
        thread.start()
    logger.info("analyser ready", extra={"settings": settings.described()})
    while not shutdown.wait(0.5) and session_alive():
        pass
    stop_beat.set()
    crashed = not shutdown.requested
    if crashed:
        logger.error("the JVM is gone; the analyser ends")
    worker.stop(0.1 if crashed else settings.stop_s)
    server.shutdown()
    for thread in threads:
        thread.join(1.0)
    store.close()
    return EXIT_CRASHED if crashed else EXIT_OK


def _tasks(spark: SparkSession, settings: ServerSettings) -> Mapping[str, Task]:
    def task(name: str) -> Task:
        return lambda parameters: run_task(spark, settings, name, parameters)

    return {name: task(name) for name in ALL_TASKS}


def _warm_up(spark: SparkSession, settings: ServerSettings) -> None:
    """The first query of a JVM takes seconds; the first run should not."""
    lake = Lake(spark, settings.lake_uri)
    lake.create_all()
    lake.newest_batch()


def _cancel_all(spark: SparkSession) -> Callable[[], None]:
    def cancel() -> None:
        if session_alive():
            spark.sparkContext.cancelAllJobs()

    return cancel


def _bucket(settings: ServerSettings) -> Bucket:
    config = Config(connect_timeout=0.7, read_timeout=1.0, retries={"total_max_attempts": 1})
    client = boto3.client("s3", endpoint_url=settings.aws_endpoint_url, region_name=settings.aws_region, config=config)
    return Bucket(client, settings.bucket)


if __name__ == "__main__":
    sys.exit(main())
