"""Counts the records that streams take on this machine, where they enter: through the gateway and directly alike.

AWS counts them in CloudWatch (``IncomingRecords``). These counts begin at 0 with each start of LocalStack.
"""

import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

METRICS: Final = "/_pipeline/metrics"
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_MOST_STREAMS: Final = 1_000
"""Names that are counted by themselves; streams can be made and deleted without end."""
_OTHERS: Final = "(others)"
_NAME: Final = "localstack_kinesis_records_total"


class StreamRecords:
    """How many records each stream has taken. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def took(self, operation: str, asked: Mapping[str, Any], answered: Mapping[str, Any]) -> None:
        """A call of Kinesis was answered with success: its operation, request and answer as boto3 names them.

        Of a batch, what Kinesis refused does not count. An aggregate is one record.
        """
        if operation == "PutRecord":
            count = 1
        elif operation == "PutRecords":
            count = sum(1 for record in answered.get("Records") or () if not record.get("ErrorCode"))
        else:
            return
        stream = str(asked.get("StreamName") or asked.get("StreamARN") or "").rpartition("/")[2]
        with self._lock:
            known = stream in self._counts or len(self._counts) < _MOST_STREAMS
            self._counts[stream if known else _OTHERS] += count

    def text(self) -> str:
        """In Prometheus' text format. Names of streams that took something need no escaping."""
        with self._lock:
            counts = sorted(self._counts.items())
        lines = [f"# HELP {_NAME} Records that a stream has taken", f"# TYPE {_NAME} counter"]
        lines += [f'{_NAME}{{stream="{stream}"}} {count}' for stream, count in counts]
        return "\n".join(lines) + "\n"
