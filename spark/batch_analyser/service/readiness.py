"""What the service needs to do its work, checked in less than two seconds each."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from service_kit.ops import Check, NotReadyError
from spark_kit.fence import local_folder
from spark_kit.session import session_alive

from batch_analyser.objects.listing import Bucket, BucketMissingError

FRESH_S = 60.0


class SessionCheck:
    """Whether Spark answers: a small query was answered lately, or a run is going on.

    ``beat`` asks Spark; call it from a thread of its own, because behind a large job the answer takes a while.
    """

    def __init__(self, query: Callable[[], object], is_busy: Callable[[], bool]) -> None:
        self._query = query
        self._is_busy = is_busy
        self._answered: float | None = None

    def beat(self) -> None:
        """Run the small query."""
        self._query()
        self._answered = time.monotonic()

    def beat_until(self, stop: threading.Event, every_s: float) -> None:
        """Beat at intervals; ends with ``stop``, or when the JVM is gone."""
        while session_alive() and not stop.is_set():
            # Cancelled with a run's jobs: Py4J's own error. A Spark that never answers is not ready.
            with suppress(PySparkException, Py4JError):
                self.beat()
            stop.wait(every_s)

    def __call__(self) -> str:
        """The check."""
        if not session_alive():
            raise NotReadyError("the JVM is gone; the service ends and must be started again")
        if self._is_busy():
            return "a run is going on"
        if self._answered is None:
            raise NotReadyError("Spark has not answered yet")
        age = time.monotonic() - self._answered
        if age > FRESH_S:
            msg = f"Spark has not answered for {age:.0f} s"
            raise NotReadyError(msg)
        return "Spark answers"


def bucket_check(bucket: Bucket) -> Check:
    """Whether the raw objects can be listed; the client must have short timeouts."""

    def check() -> str:
        try:
            bucket.check()
        except (BucketMissingError, ClientError, BotoCoreError) as error:
            raise NotReadyError(str(error)) from error
        return f"bucket {bucket.name} can be listed"

    return check


def lake_check(lake_uri: str) -> Check:
    """Whether a local lake can be written; an object store shows it at the first commit."""
    folder = local_folder(lake_uri)

    def check() -> str:
        if folder is None:
            return "the lake is in an object store"
        probe = folder / ".locks" / f"probe-{threading.get_ident()}"
        try:
            _write(probe)
        except OSError as error:
            msg = f"the lake {folder} cannot be written: {error.strerror}"
            raise NotReadyError(msg) from error
        return f"the lake {folder} can be written"

    return check


def _write(probe: Path) -> None:
    probe.parent.mkdir(parents=True, exist_ok=True)
    probe.write_bytes(b"")
    probe.unlink()
