"""The proxy as a process, over HTTP, on a real broker: what it promises when all is well and when it is not."""

import contextlib
import http.client
import json
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from pipeline_contracts.kafka_topics import topic_specs
from pipeline_contracts.names import Names
from pipeline_contracts.proxy import BINARY_V2, JSON_V2, TOPIC_ID_HEADER
from pipeline_local.command import Command
from schemathesis import GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import positive_data_acceptance
from servers import Kafka, Server, free_port
from waiting import wait_until

Answer = tuple[int, dict[str, str], Any]


class Proxy(Server):
    """One proxy process on a port of its own."""

    def __init__(self, folder: Path, kafka: Kafka, pipeline_id: str, **env: str) -> None:
        super().__init__(folder)
        self.port = free_port()
        self.pin = Names(pipeline_id).topic("pin")
        self._env = {
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "PIPELINE_ID": pipeline_id,
            "PROXY_PORT": str(self.port),
            **env,
        }

    def command(self) -> Command:
        return Command([sys.executable, "-m", "ingest_proxy"], env=self._env)

    def answers(self) -> bool:
        try:
            return self.call("GET", "/readyz")[0] == 200
        except OSError:
            return False

    def call(self, verb: str, path: str, body: Any = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=40)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(verb, path, body, named)
            answer = connection.getresponse()
            text = answer.read()
            is_json = "json" in (answer.getheader("Content-Type") or "") and "ndjson" not in str(
                answer.getheader("Content-Type")
            )
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, json.loads(text) if is_json else text
        finally:
            connection.close()

    def post(self, body: Any, path: str | None = None, **headers: str) -> Answer:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.call("POST", path or f"/topics/{self.pin}", data, **{"Content_Type": JSON_V2, **headers})

    def wait(self, seconds: float) -> int:
        assert self._child is not None
        return self._child.wait(seconds)

    def terminate(self) -> None:
        assert self._child is not None
        self._child.terminate()


def create_topics(kafka: Kafka, pipeline_id: str) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    specs = [NewTopic(spec.name, spec.partitions, 1, config=spec.config) for spec in topic_specs(Names(pipeline_id))]
    for future in admin.create_topics(specs).values():
        future.result(30)


def stored(kafka: Kafka, topic: str) -> dict[tuple[int, int], tuple[bytes | None, bytes | None]]:
    """Everything in a topic: (partition, offset) -> (key, value)."""
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap_servers, "group.id": uuid.uuid4().hex})
    places = [TopicPartition(topic, partition, 0) for partition in range(3)]
    expected = sum(consumer.get_watermark_offsets(place, timeout=10)[1] for place in places)
    consumer.assign(places)
    found: dict[tuple[int, int], tuple[bytes | None, bytes | None]] = {}
    deadline = time.monotonic() + 30
    while len(found) < expected and time.monotonic() < deadline:
        for message in consumer.consume(10_000, timeout=1):
            assert message.error() is None
            found[message.partition() or 0, message.offset() or 0] = message.key(), message.value()
    consumer.close()
    assert len(found) == expected
    return found


@pytest.fixture(scope="module")
def proxy(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    create_topics(kafka, "proxytest")
    with Proxy(tmp_path_factory.mktemp("proxy"), kafka, "proxytest", ALLOWED_HOSTS="proxy") as server:
        yield server


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[Kafka]:
    """A broker that a test may stop, kill and wipe."""
    with Kafka(tmp_path / "kafka") as server:
        create_topics(server, "pinterest")
        yield server


@pytest.fixture
def own_proxy(own_kafka: Kafka, tmp_path: Path) -> Iterator[Proxy]:
    with Proxy(tmp_path / "proxy", own_kafka, "pinterest") as server:
        yield server


def error(answer: Answer) -> tuple[int, int]:
    assert set(answer[2]) == {"error_code", "message"}, answer
    return answer[0], answer[2]["error_code"]


def test_values_are_stored_byte_by_byte(proxy: Proxy, kafka: Kafka) -> None:
    values = [
        b"0",
        b"false",
        b"{}",
        b"null",
        b'{"b": 1,"a":"\\u00c5 \xf0\x9f\x98\x80"}',
        b"[1.50,\r\n 1e400]",
        b'"x\\ny"',
    ]
    body = (
        b'{"records":['
        + b",".join(b'{"partition":1,"key":"%d","value":%b}' % (n, v) for n, v in enumerate(values))
        + b"]}"
    )
    status, headers, answer = proxy.post(body)
    assert status == 200
    assert len(headers[TOPIC_ID_HEADER.lower()]) == 22
    assert headers["content-type"] == "application/vnd.kafka.v2+json"
    assert (answer["key_schema_id"], answer["value_schema_id"]) == (None, None)
    log = stored(kafka, proxy.pin)
    got = [log[entry["partition"], entry["offset"]] for entry in answer["offsets"]]
    expected = [None if value == b"null" else value.replace(b"\r\n", b"") for value in values]
    assert got == [(b"%d" % n, value) for n, value in enumerate(expected)]


def test_binary_and_one_partition(proxy: Proxy, kafka: Kafka) -> None:
    body = {"records": [{"key": "aw==", "value": "/wA="}, {"value": ""}]}
    _, _, answer = proxy.post(body, f"/topics/{proxy.pin}/partitions/2", Content_Type=BINARY_V2)
    log = stored(kafka, proxy.pin)
    assert [entry["partition"] for entry in answer["offsets"]] == [2, 2]
    assert [log[2, entry["offset"]] for entry in answer["offsets"]] == [(b"k", b"\xff\x00"), (None, b"")]


def test_bad_requests_write_nothing(proxy: Proxy, kafka: Kafka) -> None:
    before = len(stored(kafka, proxy.pin))
    assert error(proxy.post(b"not json")) == (400, 400)
    assert error(proxy.post(b"")) == (400, 400)
    assert error(proxy.post(b'{"records":[{"value":"\xff"}]}')) == (400, 400)
    assert error(proxy.post([])) == (422, 422)
    assert error(proxy.post({"records": []})) == (422, 422)
    assert error(proxy.post({"records": [{"value": 1, "partition": "x"}]})) == (422, 422)
    answer = proxy.post({"records": [{"value": 1}, {"ind": 7528, "country": "Åland Islands"}]})
    assert (error(answer), answer[2]["message"]) == ((422, 422), "Unrecognized field: ind")
    assert error(proxy.post({"records": [{"value": 1}, {"value": 1, "partition": 3}]})) == (404, 40402)
    assert error(proxy.post({"records": [{"value": 1}]}, f"/topics/{proxy.pin}/partitions/9")) == (404, 40402)
    assert error(proxy.post({"records": [{"value": 1}]}, Content_Type="text/csv")) == (415, 415)
    assert error(proxy.post({"records": [{"value": 1}]}, Accept="text/html")) == (406, 406)
    assert error(proxy.post({"records": [{"value": 1}]}, Content_Type="application/vnd.kafka.avro.v2+json")) == (
        422,
        42202,
    )
    assert error(proxy.post({"records": [{"value": 1}] * 100_001})) == (422, 422)
    assert len(stored(kafka, proxy.pin)) == before


@pytest.mark.parametrize("topic", ["proxytest.pni", "proxytest.dlq", "pinterest.pin", "__consumer_offsets"])
def test_other_topics_do_not_exist(proxy: Proxy, topic: str) -> None:
    assert error(proxy.post({"records": [{"value": 1}]}, f"/topics/{topic}")) == (404, 40401)
    assert error(proxy.call("GET", f"/topics/{topic}")) == (404, 40401)


def test_bodies_over_the_limit(proxy: Proxy) -> None:
    large = b'{"records":[{"value":"' + b"x" * 10_500_000 + b'"}]}'
    assert error(proxy.post(large)) == (413, 413)
    chunks = (large[start : start + 65_536] for start in range(0, len(large), 65_536))
    answer = proxy.call("POST", f"/topics/{proxy.pin}", chunks, Content_Type=JSON_V2)
    assert error(answer) == (413, 413)
    assert proxy.post({"records": [{"value": "still there"}]})[0] == 200


def test_ten_megabytes_and_a_hundred_thousand_records(proxy: Proxy, kafka: Kafka) -> None:
    rows = [b'{"key":"%d","value":{"ind":%d,"country":"%050d"}}' % (n, n, n) for n in range(100_000)]
    body = b'{"records":[' + b",".join(rows) + b"]}"
    assert 9_000_000 < len(body) < 10 * 1024 * 1024
    begun = time.monotonic()
    status, _, answer = proxy.post(body)
    assert time.monotonic() - begun < 25
    assert status == 200
    assert len(answer["offsets"]) == 100_000
    log = stored(kafka, proxy.pin)
    for n, entry in enumerate(answer["offsets"]):
        assert entry["error_code"] is None
        assert log[entry["partition"], entry["offset"]][0] == b"%d" % n


def test_records_too_large_for_kafka(proxy: Proxy) -> None:
    status, headers, answer = proxy.post({"records": [{"value": "x" * 1_100_000}]})
    assert status == 422
    assert answer["offsets"][0]["error_code"] == 1
    assert "too large" in answer["offsets"][0]["error"].lower()
    assert TOPIC_ID_HEADER.lower() in headers
    status, _, answer = proxy.post({"records": [{"value": 1}, {"value": "x" * 1_100_000}]})
    assert (status, [entry["error_code"] for entry in answer["offsets"]]) == (200, [None, 1])


def test_metadata(proxy: Proxy) -> None:
    assert proxy.call("GET", "/topics")[2] == ["proxytest.geo", "proxytest.pin", "proxytest.user"]
    topic = proxy.call("GET", f"/topics/{proxy.pin}", Accept="application/json")[2]
    assert (topic["name"], topic["configs"]["retention.ms"], len(topic["partitions"])) == (proxy.pin, "-1", 3)
    partition = {"partition": 1, "leader": 1, "replicas": [{"broker": 1, "leader": True, "in_sync": True}]}
    assert proxy.call("GET", f"/topics/{proxy.pin}/partitions")[2][1] == partition
    assert proxy.call("GET", f"/topics/{proxy.pin}/partitions/1")[2] == partition
    assert error(proxy.call("GET", f"/topics/{proxy.pin}/partitions/3")) == (404, 40402)
    assert proxy.call("GET", "/brokers")[2] == {"brokers": [1]}
    end = proxy.call("GET", f"/topics/{proxy.pin}/partitions/0/offsets")[2]["end_offset"]
    proxy.post({"records": [{"value": 1, "partition": 0}]})
    offsets = proxy.call("GET", f"/topics/{proxy.pin}/partitions/0/offsets")[2]
    assert offsets == {"beginning_offset": 0, "end_offset": end + 1}


@pytest.mark.parametrize(("host", "status"), [("localhost:1", 200), ("proxy:8082", 200), ("evil.example", 421)])
def test_only_by_its_own_names(host: str, status: int, proxy: Proxy) -> None:
    assert proxy.call("GET", "/readyz", Host=host)[0] == status
    answer = proxy.post({"records": [{"value": {"index": 1}}]}, Host=host)
    assert answer[0] == status
    if status == 421:
        assert error(answer) == (421, 421)


def test_a_taken_port_is_a_clear_error(proxy: Proxy) -> None:
    command = proxy.command()
    done = subprocess.run(command.argv, env=command.env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert f"port {proxy.port}" in done.stderr
    assert "PROXY_PORT" in done.stderr


class Load:
    """Four senders, each one request at a time; sends again what was not acknowledged."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.acknowledged: list[tuple[str, int, int, bytes]] = []
        self.statuses: set[int] = set()
        self.slowest_s = 0.0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(4)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(40)

    def wait_for(self, more: int) -> None:
        goal = len(self.acknowledged) + more
        wait_until(f"{goal} acknowledged", lambda: len(self.acknowledged) >= goal)

    def _run(self, number: int) -> None:
        turn = 0
        while not self._stop.is_set():
            values = [f'"{number}-{turn}-{n}"' for n in range(5)]
            records = ",".join(f'{{"key":"{number}","value":{value}}}' for value in values)
            begun = time.monotonic()
            try:
                status, headers, answer = self.proxy.post(f'{{"records":[{records}]}}'.encode())
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)
                continue
            self.slowest_s = max(self.slowest_s, time.monotonic() - begun)
            self.statuses.add(status)
            if status == 200 and all(entry["error_code"] is None for entry in answer["offsets"]):
                log_id = headers[TOPIC_ID_HEADER.lower()]
                for entry, value in zip(answer["offsets"], values, strict=True):
                    self.acknowledged.append((log_id, entry["partition"], entry["offset"], value.encode()))
                turn += 1
            else:
                assert status in {200, 503}, answer
                time.sleep(0.05)

    def check_kept(self, kafka: Kafka, log_id: str | None = None) -> None:
        """Every acknowledged coordinate holds what was sent."""
        log = stored(kafka, self.proxy.pin)
        wanted = [entry for entry in self.acknowledged if log_id in {None, entry[0]}]
        assert wanted
        for _, partition, offset, value in wanted:
            assert log[partition, offset][1] == value


def test_a_killed_broker(own_kafka: Kafka, own_proxy: Proxy) -> None:
    with Load(own_proxy) as load:
        load.wait_for(200)
        own_kafka.kill()
        wait_until("it notices", lambda: own_proxy.call("GET", "/readyz")[0] == 503)
        begun = time.monotonic()
        answer = own_proxy.post({"records": [{"value": 1}]})
        assert error(answer) == (503, 503)
        assert int(answer[1]["retry-after"]) >= 1
        assert time.monotonic() - begun < 3, "known to be away: no waiting"
        assert own_proxy.call("GET", "/livez")[0] == 200
        own_kafka.start()
        load.wait_for(200)
    assert load.statuses == {200, 503}
    assert load.slowest_s < 25
    load.check_kept(own_kafka)


def test_a_wiped_broker_never_gets_the_old_id(own_kafka: Kafka, own_proxy: Proxy) -> None:
    with Load(own_proxy) as load:
        load.wait_for(100)
        own_kafka.kill()
        shutil.rmtree(own_kafka.folder / "data")
        own_kafka.start()
        create_topics(own_kafka, "pinterest")
        load.wait_for(200)
    old, new = list(dict.fromkeys(entry[0] for entry in load.acknowledged))
    assert own_proxy.post({"records": [{"value": 1}]})[1][TOPIC_ID_HEADER.lower()] == new != old
    load.check_kept(own_kafka, new)
    highest = {}
    for log_id, partition, offset, _ in load.acknowledged:
        assert (log_id, partition, offset) not in highest, "one coordinate, told twice"
        highest[log_id, partition, offset] = True


def test_sigterm_under_load_keeps_what_was_acknowledged(own_kafka: Kafka, own_proxy: Proxy) -> None:
    with Load(own_proxy) as load:
        load.wait_for(300)
        own_proxy.terminate()
        assert own_proxy.wait(20) == 0
    assert load.statuses == {200}
    load.check_kept(own_kafka)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_the_live_service_keeps_to_its_description(proxy: Proxy, mode: GenerationMode) -> None:
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{proxy.port}/openapi.json")
    for result in schema.get_all_operations():
        assert isinstance(result, Ok)
        operation = result.ok()

        @settings(
            max_examples=10,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def check(case: schemathesis.Case[Any]) -> None:
            to_partition = case.operation.definition.raw.get("operationId") == "produceToPartition"
            case.call_and_validate(excluded_checks=[positive_data_acceptance] if to_partition else None)

        with contextlib.suppress(Unsatisfiable):  # an operation without parameters cannot be asked wrongly
            check()
