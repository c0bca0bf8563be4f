"""Looks at the answers of the newest complete run again and again, so that no page has to."""

from typing import Final

from service_kit.clock import Clock

from dashboard.blocks import Kept
from dashboard.lake import answers, runs
from dashboard.lake.answers import Answers
from dashboard.lake.reader import LakeError, LakeReader
from dashboard.lake.watch import NO_RUN, STALE_AFTER_S

_READ_AGAIN_S: Final = 30.0


class AnswersWatch:
    """``look`` by one at a time; ``answers`` tells any thread what it brought. ``reader`` reads what is not kept."""

    def __init__(self, reader: LakeReader, clock: Clock) -> None:
        self.reader = reader
        self.answers: Kept[Answers] = Kept(clock, STALE_AFTER_S)
        self._clock = clock
        self._read: Answers | None = None
        self._read_at = clock.monotonic()

    def look(self) -> None:
        """Read what has changed; blocks as long as that takes. That the lake cannot be read is told by the block."""
        try:
            newest = next(iter(runs.newest(self.reader)), None)
            if newest is None:
                self._read = None
                self.answers.nothing(NO_RUN, "pipeline analyse")
                return
            # Read now and then although they are in memory, so that damage shows before it is in the way.
            old = self._clock.monotonic() - self._read_at > _READ_AGAIN_S
            if self._read is None or self._read.run != newest or old:
                self._read, self._read_at = None, self._clock.monotonic()
                self._read = answers.read(self.reader, newest)
            self.answers.took(self._read)
        except LakeError as error:
            self.answers.failed(str(error))
