import json
from collections.abc import Sequence

import pytest
from emitter.errors import TransportError
from emitter.rows import Record
from emitter.stream_path import StreamPath
from emitter.transport import Answer
from emitter.verdicts import Again, Refused, Reply, Stored
from pipeline_contracts.names import Names
from service_kit.clock import ManualClock

STREAM = "streaming-pinterest-geo"
RECORDS = [Record(1, STREAM, "11", "a", b'{"ind": 11}'), Record(2, STREAM, "12", "b", b'{"ind":12}')]


def described(created: float = 1.5) -> Answer:
    summary = {"StreamARN": f"arn:{STREAM}", "StreamCreationTimestamp": created, "StreamStatus": "ACTIVE"}
    return Answer(200, {}, json.dumps({"StreamDescriptionSummary": summary}).encode())


def put(*numbers: str | None) -> Answer:
    failed = {"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "Rate exceeded"}
    records = [
        {"SequenceNumber": number, "ShardId": "shardId-000000000001"} if number else failed for number in numbers
    ]
    body = {"FailedRecordCount": numbers.count(None), "Records": records, "EncryptionType": "NONE"}
    return Answer(200, {}, json.dumps(body).encode())


class Script:
    """Answers in turn; None is no answer. Each takes ``takes_s`` of the clock's seconds."""

    def __init__(self, answers: Sequence[Answer | None]) -> None:
        self.answers = list(answers)
        self.sent: list[tuple[str, str, bytes]] = []
        self.clock = ManualClock()
        self.takes_s = 0.0

    @property
    def methods(self) -> list[str]:
        return [method for method, _, _ in self.sent]

    def request(self, method: str, path: str, body: bytes, content_type: str) -> Answer:
        assert content_type == "application/json"
        self.sent.append((method, path, body))
        self.clock.sleep(self.takes_s)
        answer = self.answers.pop(0)
        if answer is None:
            raise TransportError("read timed out")
        return answer


def stream_path(*answers: Answer | None) -> tuple[StreamPath, Script]:
    script = Script(answers)
    return StreamPath(script, Names(), script.clock, 10_000, 9_000_000), script


def test_limits_are_kinesis_own() -> None:
    path, _ = stream_path()
    assert (path.records_per_request, path.bytes_per_request) == (500, 5 * 1024 * 1024)


def test_rows_keys_and_coordinates() -> None:
    path, script = stream_path(described(), put("49", "50"), put("51", "52"))
    reply = path.deliver(STREAM, RECORDS)
    log_id = f"arn:{STREAM}@1500"
    assert reply == Reply([Stored(log_id, "shardId-000000000001", "49"), Stored(log_id, "shardId-000000000001", "50")])
    path.deliver(STREAM, RECORDS)
    body = b'{"records":[{"data":{"ind": 11},"partition-key":"11"},{"data":{"ind":12},"partition-key":"12"}]}'
    put_request = ("PUT", f"/streams/{STREAM}/records", body)
    assert script.sent == [("GET", f"/streams/{STREAM}", b""), put_request, put_request]


def test_only_failed_entries_are_sent_again() -> None:
    path, _ = stream_path(described(), put("49", None))
    stored, again = path.deliver(STREAM, RECORDS).verdicts
    assert isinstance(stored, Stored)
    assert again == Again("ProvisionedThroughputExceededException Rate exceeded")


@pytest.mark.parametrize("failure", [None, Answer(500, {}, b"{}"), Answer(404, {}, b""), Answer(200, {}, b"{}")])
def test_after_a_failure_the_stream_may_be_another(failure: Answer | None) -> None:
    path, _ = stream_path(described(1.5), failure, described(9.0), put("1", "2"))
    assert [type(verdict) for verdict in path.deliver(STREAM, RECORDS).verdicts] == [Again, Again]
    [stored, _] = path.deliver(STREAM, RECORDS).verdicts
    assert isinstance(stored, Stored)
    assert stored.log_id == f"arn:{STREAM}@9000"


def test_a_stream_made_anew_without_a_failed_request() -> None:
    path, script = stream_path(described(1.5), put("49", "50"), put("1", "2"), described(9.0), put("3", "4"))
    path.deliver(STREAM, RECORDS)
    script.clock.sleep(2)
    assert path.deliver(STREAM, RECORDS).verdicts == [Again("the stream was recreated meanwhile")] * 2
    [stored, _] = path.deliver(STREAM, RECORDS).verdicts
    assert stored == Stored(f"arn:{STREAM}@9000", "shardId-000000000001", "3")
    assert script.methods == ["GET", "PUT", "PUT", "GET", "PUT"]


def test_a_stream_made_anew_during_a_slow_request() -> None:
    path, script = stream_path(described(1.5), put("1", "2"), described(9.0))
    script.takes_s = 5
    assert [type(verdict) for verdict in path.deliver(STREAM, RECORDS).verdicts] == [Again, Again]


@pytest.mark.parametrize("answer", [None, Answer(429, {"retry-after": "3"}, b""), Answer(200, {}, b"{}")])
def test_nothing_is_acknowledged_by_a_stream_that_is_not_certain(answer: Answer | None) -> None:
    path, script = stream_path(described(), put("1", "2"), answer, described(), put("3", "4"))
    script.takes_s = 2
    reply = path.deliver(STREAM, RECORDS)
    assert [type(verdict) for verdict in reply.verdicts] == [Again, Again]
    assert reply.retry_after_s == (3.0 if answer is not None and answer.headers else None)
    script.takes_s = 0
    assert [type(verdict) for verdict in path.deliver(STREAM, RECORDS).verdicts] == [Stored, Stored]
    assert script.methods == ["GET", "PUT", "GET", "GET", "PUT"], "before it is sent again, the id is asked for"


def test_a_stream_is_asked_for_once_a_second() -> None:
    class Steady(Script):
        def request(self, method: str, path: str, body: bytes, content_type: str) -> Answer:
            self.answers = [described() if method == "GET" else put("1", "2")]
            return super().request(method, path, body, content_type)

    script = Steady([])
    script.takes_s = 0.01
    path = StreamPath(script, Names(), script.clock, 500, 5_000_000)
    while script.clock.monotonic() < 10:
        assert all(isinstance(verdict, Stored) for verdict in path.deliver(STREAM, RECORDS).verdicts)
    assert script.methods.count("PUT") > 900
    assert 9 <= script.methods.count("GET") <= 10


@pytest.mark.parametrize("answer", [None, Answer(403, {}, b'{"message":"Forbidden"}'), Answer(200, {}, b"{}")])
def test_nothing_is_sent_to_a_stream_without_an_id(answer: Answer | None) -> None:
    path, script = stream_path(answer)
    assert [type(verdict) for verdict in path.deliver(STREAM, RECORDS).verdicts] == [Again, Again]
    assert len(script.sent) == 1


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (Answer(400, {}, b'{"__type":"ValidationException","message":"bad"}'), Refused("400 ValidationException bad")),
        (Answer(400, {}, b'{"__type":"com.amazon#SerializationException"}'), Refused("400 SerializationException")),
        (Answer(400, {}, b'{"message":"Invalid request body"}'), Refused("400 Invalid request body")),
        (
            Answer(400, {}, b'{"message":"Invalid request body: [$.records: must have at most 500 items]"}'),
            Refused("400 Invalid request body: [$.records: must have at most 500 items]"),
        ),
        (Answer(400, {}, b'{"message":"Unsupported"}'), Again("400 Unsupported")),
        (Answer(413, {}, b"too large"), Refused("413 too large")),
        (Answer(400, {}, b'{"__type":"ResourceNotFoundException"}'), Again("400 ResourceNotFoundException")),
        (Answer(400, {}, b'{"__type":"LimitExceededException"}'), Again("400 LimitExceededException")),
        (Answer(503, {"retry-after": "3"}, b""), Again("503")),
    ],
)
def test_whole_answers(answer: Answer, verdict: Refused | Again) -> None:
    path, _ = stream_path(described(), answer)
    reply = path.deliver(STREAM, RECORDS)
    assert reply.verdicts == [verdict, verdict]
    assert reply.as_one is isinstance(verdict, Refused)
    assert reply.retry_after_s == (3.0 if answer.headers else None)
