"""A gateway in memory with the interface of the emitter's transport, and with faults on demand."""

import json
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from emitter.errors import TransportError
from emitter.transport import Answer

Fault = Literal["ok", "down", "lost", "busy", "no_api", "some_fail", "crash_before", "crash_after"]
"""down: no answer, nothing kept. lost: kept, but no answer. busy: 503. no_api: 403 of a gateway. some_fail: every
other record fails for now. crash_*: the process dies before or after the records are kept."""

LOG_ID = "c0ffee00-0000-4000-8000-000000000001"


class ProcessDiedError(Exception):
    """Stands for kill -9."""


@dataclass
class Stored:
    """One record in a topic's log."""

    partition: int
    offset: int
    key: int
    value: bytes


@dataclass
class FakeGateway:
    """Topics with three partitions, behind the produce route. ``fault`` says what happens to each request in turn."""

    fault: Callable[[int], Fault] = lambda _: "ok"
    refuse: Callable[[dict[str, Any]], str | None] = lambda _: None
    topics: tuple[str, ...] = ("pinterest.pin", "pinterest.geo", "pinterest.user")
    most_bytes: int = 10 * 1024 * 1024
    logs: dict[str, list[Stored]] = field(default_factory=lambda: defaultdict(list))
    requests: list[tuple[str, int]] = field(default_factory=list)
    unanswered: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def request(self, method: str, path: str, body: bytes, content_type: str) -> Answer:
        """Answer as the gateway and the proxy do together."""
        with self._lock:
            number = len(self.requests)
            topic = path.rpartition("/")[2]
            if content_type != "application/vnd.kafka.json.v2+json":
                return _error(415, 415, "HTTP 415 Unsupported Media Type")
            records = json.loads(body)["records"]
            self.requests.append((topic, len(records)))
            return self._answer(self.fault(number), topic, records, body)

    def _answer(self, fault: Fault, topic: str, records: list[dict[str, Any]], body: bytes) -> Answer:
        if fault == "crash_before":
            raise ProcessDiedError
        if fault == "down":
            raise TransportError("connection refused")
        if fault == "busy":
            return _error(503, 503, "the broker is away", {"retry-after": "1"})
        if fault == "no_api":
            return Answer(403, {}, b'{"message":"Forbidden"}')
        if len(body) > self.most_bytes:
            return _error(413, 413, "the body is too large")
        if topic not in self.topics:
            return _error(404, 40401, f"Topic not found: {topic}")
        offsets = [
            {"partition": None, "offset": None, "error_code": 2, "error": "Broker: Not leader for partition"}
            if fault == "some_fail" and place % 2 == 0
            else self._store(topic, record)
            for place, record in enumerate(records)
        ]
        if fault in {"lost", "crash_after"}:
            self.unanswered += len(records)
            raise ProcessDiedError if fault == "crash_after" else TransportError("read timed out")
        status = 422 if all(entry["error_code"] == 1 for entry in offsets) else 200
        answer = {"offsets": offsets, "key_schema_id": None, "value_schema_id": None}
        return Answer(status, {"kafka-topic-id": LOG_ID}, json.dumps(answer).encode())

    def _store(self, topic: str, record: dict[str, Any]) -> dict[str, Any]:
        reason = self.refuse(record["value"])
        if reason is not None:
            return {"partition": None, "offset": None, "error_code": 1, "error": reason}
        partition = record["key"] % 3
        offset = sum(stored.partition == partition for stored in self.logs[topic])
        value = json.dumps(record["value"], ensure_ascii=False).encode()
        self.logs[topic].append(Stored(partition, offset, record["key"], value))
        return {"partition": partition, "offset": offset, "error_code": None, "error": None}


def _error(status: int, code: int, message: str, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status, headers or {}, json.dumps({"error_code": code, "message": message}).encode())
