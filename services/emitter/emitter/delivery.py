"""What the two paths share: what one delivers, and how to read answers that are no verdicts on records."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Protocol

import msgspec
from pipeline_contracts.names import Kind
from service_kit.clock import Clock

from emitter.rows import PathName, Record
from emitter.transport import Answer
from emitter.verdicts import Again, Refused, Reply

_SHOWN_OF_BODY = 200


class DeliveryPath(Protocol):
    """One of the two ways into the pipeline. ``deliver`` is called from several threads."""

    @property
    def path(self) -> PathName:
        """Which of the two."""

    @property
    def names(self) -> dict[Kind, str]:
        """Each kind's topic or stream."""

    @property
    def records_per_request(self) -> int:
        """At most so many."""

    @property
    def bytes_per_request(self) -> int:
        """At most so many bytes of body."""

    def deliver(self, name: str, records: Sequence[Record]) -> Reply:
        """Send the records to one topic or stream, once. Blocks for the answer; never raises for what may pass."""


def all_again(records: Sequence[Record], reason: str, retry_after_s: float | None = None) -> Reply:
    """Nothing of the request is known to be kept."""
    return Reply([Again(reason)] * len(records), retry_after_s)


def all_refused(records: Sequence[Record], reason: str, *, as_one: bool) -> Reply:
    """Nothing of the request will ever be taken, as it is."""
    return Reply([Refused(reason)] * len(records), as_one=as_one)


def described(answer: Answer, message: str | None = None) -> str:
    """An answer in one line, for people."""
    text = message if message is not None else answer.body[:_SHOWN_OF_BODY].decode(errors="replace").strip()
    return f"{answer.status} {text}".strip()


def retry_after(answer: Answer, clock: Clock) -> float | None:
    """Seconds of the Retry-After header, which holds seconds or a date; None without one that can be read."""
    text = answer.headers.get("retry-after")
    if text is None:
        return None
    if text.strip().isdecimal():
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    aware = date if date.tzinfo is not None else date.replace(tzinfo=UTC)
    now: datetime = clock.now()
    return max(0.0, (aware - now).total_seconds())


def decoded[T](body: bytes, decode: Callable[[bytes], T]) -> T | None:
    """The body as the decoder's model, or None where it is something else.

    Decoders are made when modules are loaded: msgspec completes a model at its first use, and two threads that use it
    first at the same time crash the process.
    """
    try:
        return decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
