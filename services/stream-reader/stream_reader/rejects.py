"""When too many records of a query cannot be read: a wrong producer, or a wrong stream."""

from collections import deque


class RejectLimit:
    """Looks at the last records of one query, ``minimum`` of them at least.

    The minimum keeps a few bad records at the beginning from stopping anything: the first four user records of the
    original sample are misrouted.
    """

    def __init__(self, minimum: int, ratio: float) -> None:
        self._minimum = minimum
        self._ratio = ratio
        self._batches: deque[tuple[int, int]] = deque()
        self._seen = 0
        self._rejected = 0

    def add(self, seen: int, rejected: int) -> str | None:
        """Count a batch; returns why the query must stop, or None."""
        self._batches.append((seen, rejected))
        self._seen += seen
        self._rejected += rejected
        while self._batches and self._seen - self._batches[0][0] >= self._minimum:
            gone = self._batches.popleft()
            self._seen -= gone[0]
            self._rejected -= gone[1]
        if self._seen < self._minimum or self._rejected <= self._ratio * self._seen:
            return None
        return (
            f"{self._rejected} of the last {self._seen} records were rejected, more than {self._ratio:.0%}; "
            "see quarantine/stream, then resume the query"
        )
