"""What ``/readyz`` knows: written by the sink's loop, read by the threads that answer probes."""

from collections.abc import Mapping

import msgspec
from service_kit.clock import Clock
from service_kit.ops import Check, NotReadyError


class Health(msgspec.Struct):
    """The last news of each dependency; None: all is fine. Whole values are replaced, so no lock is needed."""

    clock: Clock
    loop_limit_s: float
    """How long one round of the loop may take before the service counts as hanging."""
    log: str | None = "not asked yet"
    archive: str | None = "not asked yet"
    stuck: str | None = None
    sender_times: frozenset[str] = frozenset()
    """Topics whose timestamps are their senders' own."""
    partitions: int = 0
    last_round: float = float("-inf")

    def checks(self) -> Mapping[str, Check]:
        """The checks for ``service_kit.ops``."""
        return {"kafka": self._log_check, "bucket": self._archive_check, "partitions": self._partitions_check}

    def _log_check(self) -> str:
        if self.log is not None:
            raise NotReadyError(self.log)
        return "the topics are there"

    def _archive_check(self) -> str:
        if self.archive is not None:
            raise NotReadyError(self.archive)
        return "the objects can be listed"

    def _partitions_check(self) -> str:
        silent_s = self.clock.monotonic() - self.last_round
        if silent_s > self.loop_limit_s:
            msg = f"the loop has not come round for {silent_s:.0f} s"
            raise NotReadyError(msg)
        if self.stuck is not None:
            raise NotReadyError(self.stuck)
        said = f"{self.partitions} partitions"
        if self.sender_times:
            topics = ", ".join(sorted(self.sender_times))
            said += f"; timestamps of {topics} are set by senders: set message.timestamp.type=LogAppendTime"
        return said
