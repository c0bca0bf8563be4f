import json
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from emitter.batch_path import BatchPath
from emitter.errors import TransportError
from emitter.rows import Record
from emitter.transport import Answer
from emitter.verdicts import Again, Refused, Reply, Stored
from pipeline_contracts.names import Names
from service_kit.clock import ManualClock

RECORDS = [
    Record(1, "pinterest.pin", "11", "a", b'{"index": 11,\t"title":"\xf0\x9f\x98\x8d"}'),
    Record(2, "pinterest.pin", "12", "b", b'{"index":12}'),
]


class OneAnswer:
    def __init__(self, answer: Answer | None) -> None:
        self.answer = answer
        self.sent: list[tuple[str, str, bytes, str]] = []

    def request(self, method: str, path: str, body: bytes, content_type: str) -> Answer:
        self.sent.append((method, path, body, content_type))
        if self.answer is None:
            raise TransportError("read timed out")
        return self.answer


def deliver(answer: Answer | None) -> Reply:
    clock = ManualClock(datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC))
    return BatchPath(OneAnswer(answer), Names(), clock, 500, 5_000_000).deliver("pinterest.pin", RECORDS)


def answered(status: int, body: object, **headers: str) -> Reply:
    return deliver(
        Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps(body).encode())
    )


def offsets(*entries: tuple[int | None, int | None, int | None, str | None]) -> dict[str, object]:
    names = ("partition", "offset", "error_code", "error")
    return {"offsets": [dict(zip(names, entry, strict=True)) for entry in entries], "key_schema_id": None}


def test_the_body_holds_the_rows_own_bytes_and_bare_keys() -> None:
    transport = OneAnswer(None)
    BatchPath(transport, Names(), ManualClock(), 500, 5_000_000).deliver("pinterest.pin", RECORDS)
    [(method, path, body, content_type)] = transport.sent
    assert (method, path, content_type) == ("POST", "/topics/pinterest.pin", "application/vnd.kafka.json.v2+json")
    expected = b'{"records":[{"key":11,"value":%b},{"key":12,"value":{"index":12}}]}' % RECORDS[0].value
    assert body == expected


def test_each_record_has_its_own_verdict() -> None:
    reply = answered(200, offsets((0, 23, None, None), (None, None, 2, "not leader")), kafka_topic_id="T")
    assert reply == Reply([Stored("T", "0", 23), Again("not leader")])
    reply = answered(422, offsets((None, None, 1, "too large"), (None, None, 1, "too large")))
    assert reply == Reply([Refused("too large"), Refused("too large")])


def test_a_stored_record_without_topic_id_names_its_topic() -> None:
    reply = answered(200, offsets((0, 0, None, None), (2, 1, None, None)))
    assert reply.verdicts[0] == Stored("topic:pinterest.pin", "0", 0)


@pytest.mark.parametrize(
    "entry", [(0, None, None, None), (0, -1, None, None), (None, 3, None, None), (0, 3, 50003, "x")]
)
def test_no_offset_is_no_acknowledgement(entry: tuple[int | None, int | None, int | None, str | None]) -> None:
    assert isinstance(answered(200, offsets(entry, (0, 0, None, None))).verdicts[0], Again)


@pytest.mark.parametrize(
    ("answer", "as_one"),
    [
        (Answer(404, {}, b'{"error_code":40401,"message":"Topic not found"}'), False),
        (Answer(404, {}, b'{"error_code":40402,"message":"Partition not found"}'), False),
        (Answer(422, {}, b'{"error_code":422,"message":"bad"}'), True),
        (Answer(400, {}, b'{"error_code":400,"message":"bad"}'), True),
        (Answer(413, {}, b'{"error_code":413,"message":"large"}'), True),
        (Answer(413, {}, b'{"message":"Request Too Long"}'), True),
    ],
)
def test_the_proxys_refusals_are_final(answer: Answer, as_one: bool) -> None:
    reply = deliver(answer)
    assert all(isinstance(verdict, Refused) for verdict in reply.verdicts)
    assert len(reply.verdicts) == 2
    assert reply.as_one is as_one


@pytest.mark.parametrize(
    "answer",
    [
        None,
        Answer(403, {}, b'{"message":"Forbidden"}'),
        Answer(404, {}, b"<html>no such API</html>"),
        Answer(404, {}, b""),
        Answer(404, {}, b'{"error_code":404,"message":"Not Found"}'),
        Answer(405, {}, b'{"error_code":405,"message":"Method Not Allowed"}'),
        Answer(415, {}, b'{"error_code":415,"message":"media type"}'),
        Answer(421, {}, b'{"error_code":421,"message":"proxy.example.com is not served"}'),
        Answer(429, {}, b'{"error_code":429,"message":"slow down"}'),
        Answer(500, {}, b'{"error_code":50002,"message":"Kafka error"}'),
        Answer(502, {}, b"Bad Gateway"),
        Answer(503, {}, b'{"error_code":503,"message":"no broker"}'),
        Answer(504, {}, b""),
        Answer(200, {}, b""),
        Answer(200, {}, b"{}"),
        Answer(200, {}, b'{"offsets":[]}'),
        Answer(204, {}, b""),
        Answer(302, {"location": "/x"}, b""),
    ],
)
def test_everything_else_is_sent_again(answer: Answer | None) -> None:
    reply = deliver(answer)
    assert [type(verdict) for verdict in reply.verdicts] == [Again, Again]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        ("Mon, 23 Nov 2026 12:00:30 GMT", 30.0),
        ("Mon, 23 Nov 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("Mon, 23 Nov 2026 12:00:30 +99999999999999", None),
        (None, None),
    ],
)
def test_retry_after(text: str | None, seconds: float | None) -> None:
    headers = {} if text is None else {"retry-after": text}
    assert deliver(Answer(503, headers, b"")).retry_after_s == seconds


FIRST_ANSWERS = """
import sys, threading
from emitter.batch_path import BatchPath
from emitter.rows import Record
from emitter.transport import Answer
from emitter.verdicts import Stored
from pipeline_contracts.names import Names
from service_kit.clock import ManualClock

BODY = b'{"offsets": [{"partition": 0, "offset": 23, "error_code": null, "error": null}]}'

class Same:
    def request(self, *_):
        return Answer(200, {}, BODY)

path = BatchPath(Same(), Names(), ManualClock(), 500, 5_000_000)
begin, stored = threading.Barrier(8), []

def lane():
    begin.wait(30)
    stored.extend(path.deliver("pinterest.pin", [Record(1, "pinterest.pin", "1", "a", b"{}")]).verdicts)

sys.setswitchinterval(1e-6)
lanes = [threading.Thread(target=lane) for _ in range(8)]
for each in lanes:
    each.start()
for each in lanes:
    each.join(30)
assert len(stored) == 8 and all(isinstance(one, Stored) for one in stored), stored
"""


def test_the_first_answers_may_come_to_all_lanes_at_once() -> None:
    """msgspec 0.22 crashes where two threads are the first to decode one model: more than half of such processes."""
    started = [subprocess.Popen([sys.executable, "-c", FIRST_ANSWERS], stderr=subprocess.PIPE) for _ in range(8)]
    said = [process.communicate(timeout=60)[1] for process in started]
    assert [(process.returncode, text) for process, text in zip(started, said, strict=True)] == [(0, b"")] * 8
