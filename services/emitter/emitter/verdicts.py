"""What became of one record of one request."""

import msgspec


class Stored(msgspec.Struct, frozen=True):
    """Acknowledged: durably kept at this coordinate. ``offset`` is an offset or a sequence number."""

    log_id: str
    partition: str
    offset: int | str


class Refused(msgspec.Struct, frozen=True):
    """Sending it again cannot help."""

    reason: str


class Again(msgspec.Struct, frozen=True):
    """Not accepted, or not known to be: send it again."""

    reason: str


Verdict = Stored | Refused | Again


class Reply(msgspec.Struct, frozen=True):
    """One verdict per record of the request, in its order.

    ``retry_after_s`` is what the other side asked for. ``as_one`` says that the request was refused as a whole,
    so that a smaller one may tell the culprit from the rest.
    """

    verdicts: list[Verdict]
    retry_after_s: float | None = None
    as_one: bool = False
