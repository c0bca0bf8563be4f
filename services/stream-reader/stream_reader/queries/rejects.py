"""How many of the last records were rejected: more than a share of them means a wrong sender, or a wrong stream.

Nothing stops then: rejected records go to quarantine and good ones to their table. The service is not ready, and says
why.
"""

import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
from service_kit.clock import Clock

from stream_reader.queries.checkpoints import write_atomically

logger = logging.getLogger(__name__)

_PORTIONS: Final = 20
_FORGOTTEN_S: Final = 3_600.0
"""So long after the last rejected record nothing is wrong any more: its sender has ended, or sends good ones."""


class Portion(msgspec.Struct, frozen=True):
    """Some records in a row: how many, and for which reasons how many of them were rejected."""

    seen: int
    reasons: Mapping[str, int]


class Kept(msgspec.Struct, frozen=True):
    """What is kept over restarts: the last records in order, and when (Unix time) the last one was rejected."""

    portions: tuple[Portion, ...] = ()
    rejected_at_s: float = 0.0


_decode = msgspec.json.Decoder(Kept).decode


class RejectWindow:
    """The last records of one stream: ``size`` of them, or as many more as one batch and a twentieth of ``size`` hold.

    It takes the same room however many come. One thread adds; any may ask.
    """

    def __init__(self, size: int, ratio: float, clock: Clock, file: Path | None = None) -> None:
        """``ratio``: what share is bearable. ``file`` keeps the window over restarts; a damaged one is written anew."""
        self._size = size
        self._ratio = ratio
        self._clock = clock
        self._file = file
        self._kept = Kept() if file is None else _read(file)

    def add(self, seen: int, reasons: Mapping[str, int]) -> None:
        """Count a batch, which is counted again where it is repeated."""
        if not seen:
            return
        before = self._kept
        *portions, last = before.portions or (Portion(0, {}),)
        if last.seen * _PORTIONS >= self._size:
            portions, last = [*portions, last], Portion(0, {})
        portions.append(Portion(last.seen + seen, Counter(last.reasons) + Counter(reasons)))
        spare = sum(one.seen for one in portions) - self._size
        while portions[0].seen <= spare:
            spare -= portions.pop(0).seen
        self._kept = Kept(tuple(portions), self._clock.now().timestamp() if reasons else before.rejected_at_s)
        if self._file is not None and (_reasons(before) or reasons):
            _write(self._file, self._kept)

    @property
    def share(self) -> float:
        """What share of the last records was rejected, however few there are yet."""
        kept = self._kept
        return _reasons(kept).total() / max(1, _seen(kept))

    def problem(self) -> str | None:
        """Why the service is not ready, and what to do; None where no more than the bearable share was rejected.

        A few bad records at the beginning mean nothing: the first four user records of the original sample are
        misrouted. So there is no answer before ``size`` records came.
        """
        kept = self._kept
        seen, reasons = _seen(kept), _reasons(kept)
        if seen < self._size or reasons.total() <= self._ratio * seen:
            return None
        if self._clock.now().timestamp() - kept.rejected_at_s > _FORGOTTEN_S:
            return None
        ((reason, count),) = reasons.most_common(1)
        return (
            f"{reasons.total()} of the last {seen} records were rejected, {count} of them as {reason}: see "
            "`pipeline quarantine --path stream` (table quarantine/stream) and correct their sender; good records are "
            f"stored as ever, and this ends by itself once at most {self._ratio:.0%} are rejected, or "
            f"{_FORGOTTEN_S / 60:.0f} minutes after the last one"
        )


def _seen(kept: Kept) -> int:
    return sum(one.seen for one in kept.portions)


def _reasons(kept: Kept) -> Counter[str]:
    found: Counter[str] = Counter()
    for one in kept.portions:
        found.update(one.reasons)
    return found


def _read(file: Path) -> Kept:
    try:
        return _decode(file.read_bytes())
    except FileNotFoundError:
        return Kept()
    except (OSError, msgspec.DecodeError) as error:
        logger.warning("rejected records are counted anew", extra={"file": str(file), "reason": str(error)})
        return Kept()


def _write(file: Path, kept: Kept) -> None:
    """A file that cannot be written stops no query: the window in memory is right."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, msgspec.json.encode(kept))
    except OSError as error:
        logger.warning("the number of rejected records cannot be kept", extra={"file": str(file), "reason": str(error)})
