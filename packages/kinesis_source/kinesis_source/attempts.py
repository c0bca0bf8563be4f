"""Errors of the AWS client, and how long to go on in spite of them. The one place that decides it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from service_kit.retries import RetryPolicy

from kinesis_source.errors import AccessError, StreamMissingError, UnavailableError
from kinesis_source.failures import Failure, classify

_UNBROKEN_S = 90.0
"""Failures further apart are not one outage: in between nobody asked, because the buffer was full."""


@dataclass(frozen=True)
class Retry:
    """Try again, after a wait."""

    failure: Failure
    wait_s: float

    @property
    def new_iterator(self) -> bool:
        """Whether an iterator that was used is of no use any more."""
        return self.failure != "transient"


class Attempts:
    """What to do after each error of one shard or stream, until the bound is over."""

    def __init__(self, what: str, retries: RetryPolicy, check_identity: Callable[[], None] | None = None) -> None:
        """``what`` is for messages. ``check_identity`` raises if the stream is another, which explains some errors.

        Without it nothing depends on a position, and what Kinesis does not accept, it never will.
        """
        self._what, self._retries, self._check_identity = what, retries, check_identity
        self._waits: Iterator[float] | None = None
        self._failed_at_s = 0.0

    def worked(self) -> None:
        """There was an answer: the next error is the first of another outage."""
        self._waits = None

    def failed(self, error: Exception) -> Retry:
        """What to do about an error of ``CLIENT_ERRORS``.

        Raises:
            AccessError: retrying does not help.
            StreamReplacedError: by ``check_identity``.
            UnavailableError, StreamMissingError: no answer for as long as the policy says.
        """
        failure = classify(error)
        if failure == "fatal" or (failure == "invalid" and self._check_identity is None):
            raise AccessError(f"{self._what}: {error}") from error
        if failure in ("missing", "invalid") and self._check_identity is not None:
            self._check_identity()
        now_s = self._retries.clock.monotonic()
        if self._waits is None or now_s - self._failed_at_s > _UNBROKEN_S:
            self._waits = self._retries.waits()
        self._failed_at_s = now_s
        wait_s = next(self._waits, None)
        if wait_s is not None:
            return Retry(failure, wait_s)
        deadline_s = self._retries.deadline_s
        if failure == "missing":
            raise StreamMissingError(f"{self._what}: not there for {deadline_s:g} s: {error}") from error
        raise UnavailableError(
            f"{self._what}: no records from Kinesis for {deadline_s:g} s (retryDeadline): {error}"
        ) from error
