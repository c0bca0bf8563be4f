"""The sink as a process, on a real broker and a real S3: golden objects, kills, outages, two at once, new logs."""

import base64
import gzip
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from confluent_kafka import KafkaException
from confluent_kafka.admin import NewTopic
from pipeline_contracts import dead_letters, objects
from pipeline_contracts.kafka_topics import topic_specs
from servers import Kafka, LocalStack
from service_kit.retries import RetryPolicy, retry
from sink_deployment import Deployment
from waiting import wait_until


@pytest.fixture
def deployment(kafka: Kafka, localstack: LocalStack, tmp_path: Path) -> Iterator[Deployment]:
    made = Deployment(kafka, localstack, tmp_path)
    made.create_topics()
    made.create_bucket()
    yield made
    made.end_sinks()


def test_golden_object(deployment: Deployment) -> None:
    sample: list[tuple[bytes | None, bytes | None]] = [
        (b"9455", b'{"ind":9455,"b":1.10,"a":"\xc3\xa9\\u00e9","n":12345678901234567890}'),
        (None, b'{\n  "ind": 1\n}'),
        ("é\n".encode(), None),
        (b"k", b"0"),
    ]
    for key, value in sample:
        deployment.produce_one(key, value, partition=1)
    deployment.flush()
    sink = deployment.start(S3_SINK_FLUSH_INTERVAL_MS="1500")
    wait_until("the records are archived", deployment.archived)
    wait_until("the sink is ready", lambda: deployment.ready(sink))
    (key_name,) = deployment.object_keys()
    assert key_name == f"topics/{deployment.pin}/partition=1/{deployment.pin}+1+00000000000000000000.jsonl.gz"
    metadata, lines = deployment.object(key_name)
    assert (metadata["first-offset"], metadata["next-offset"], metadata["records"]) == ("0", "4", "4")
    assert metadata["dead-lettered"] == "0"
    timestamps = [line.pop("timestamp") for line in lines]
    assert lines == [
        {"offset": 0, "value": {"ind": 9455, "b": 1.1, "a": "éé", "n": 12345678901234567890}, "key": "9455"},
        {"offset": 1, "value": {"ind": 1}, "key": None},
        {"offset": 2, "value": None, "key": "é\n"},
        {"offset": 3, "value": 0, "key": "k"},
    ]
    assert all(time.strptime(stamp[:19], "%Y-%m-%dT%H:%M:%S") and stamp.endswith("Z") for stamp in timestamps)
    found = deployment.s3.get_object(Bucket=deployment.bucket, Key=key_name)
    assert found["ContentType"] == "application/octet-stream"
    body = gzip.decompress(found["Body"].read())
    assert sample[0][1] is not None
    assert sample[0][1] in body, "the value's bytes were changed"
    # The object is in S3 a moment before its put has returned.
    wait_until("the records are counted", lambda: deployment.metric(sink, "records_total") == 4)


def test_poison_reaches_the_dead_letter_objects(deployment: Deployment) -> None:
    deployment.produce_one(b"good", b"{}", partition=0)
    deployment.produce_one(b"bad", b"\xff\xfe", partition=0)
    deployment.produce_one(b"bad too", b'{"n":NaN}', partition=2)
    deployment.flush()
    deployment.start()
    dlq = deployment.names.dead_letter_topic
    wait_until("the dead letters are archived", lambda: deployment.count(dlq) == 2)
    letters = deployment.lines(dlq)[0]
    origins = {}
    for letter in letters:
        headers = {header["key"]: header["value"] for header in letter["headers"]}
        assert headers[dead_letters.TOPIC] == deployment.pin
        assert headers[dead_letters.CONNECTOR] == f"{deployment.names.pipeline_id}-s3-sink"
        assert headers[dead_letters.LOG_ID]
        origin = headers[dead_letters.PARTITION], headers[dead_letters.OFFSET]
        origins[origin] = base64.b64decode(letter["key"]), base64.b64decode(letter["value"])
    assert origins == {("0", "1"): (b"bad", b"\xff\xfe"), ("2", "0"): (b"bad too", b'{"n":NaN}')}
    wait_until("the good one is archived", lambda: deployment.count() == 1)
    metadata, lines = deployment.object(objects.ObjectName(deployment.pin, 2, 0).key)
    assert (metadata["next-offset"], metadata["records"], metadata["dead-lettered"], lines) == ("1", "0", "1", [])


def test_kill_at_any_moment_loses_and_repeats_nothing(deployment: Deployment) -> None:
    for round_number in range(6):
        deployment.produce(400)
        sink = deployment.start(S3_SINK_FLUSH_INTERVAL_MS="50", S3_SINK_MAX_BUFFER_BYTES="3000")
        before = len(deployment.object_keys())
        wait_until("an object is there", lambda: len(deployment.object_keys()) > before)  # noqa: B023 (called at once)
        time.sleep(0.05 * round_number)
        sink.send_signal(signal.SIGKILL)
        sink.wait(10)
    deployment.start()
    wait_until("all is archived", deployment.archived)
    deployment.check_parity()


def test_stopping_flushes_and_is_quick(deployment: Deployment) -> None:
    sink = deployment.start(S3_SINK_FLUSH_INTERVAL_MS="600000")
    wait_until("the sink is ready", lambda: deployment.ready(sink))
    deployment.produce(200)
    wait_until("the records are read", lambda: deployment.metric(sink, "buffered_bytes") > 200 * 90)
    assert deployment.object_keys() == []
    began = time.monotonic()
    sink.terminate()
    assert sink.wait(20) == 0
    assert time.monotonic() - began < 15
    deployment.check_parity()


def test_two_sinks_at_once_end_with_right_objects(deployment: Deployment) -> None:
    deployment.produce(500)
    fast = {"S3_SINK_FLUSH_INTERVAL_MS": "100", "S3_SINK_MAX_BUFFER_BYTES": "20000"}
    sinks = [deployment.start(**fast), deployment.start(**fast)]
    for sink in sinks:
        wait_until("it is ready", lambda: deployment.ready(sink))  # noqa: B023 (called at once)

    def one_came_second() -> bool:
        deployment.produce(50)
        return any(deployment.metric(sink, "other_writers_total") for sink in sinks)

    wait_until("one meets the other", one_came_second, poll_s=0.2)
    assert "Two sinks write to one bucket" in deployment.log()
    wait_until("all is archived", deployment.archived)
    deployment.check_parity()
    assert [sink.poll() for sink in sinks] == [None, None]


def test_a_bucket_deleted_under_the_sink_is_filled_again(deployment: Deployment) -> None:
    sink = deployment.start()
    deployment.produce(300)
    wait_until("all is archived", deployment.archived)
    deployment.delete_objects()
    retry(lambda: deployment.s3.delete_bucket(Bucket=deployment.bucket), RetryPolicy(10), ClientError)
    wait_until("the sink is not ready without a bucket", lambda: not deployment.ready(sink))
    deployment.produce(50)
    time.sleep(1)
    assert sink.poll() is None
    deployment.create_bucket()
    wait_until("all is archived again", deployment.archived)
    deployment.check_parity()
    wait_until("the sink is ready again", lambda: deployment.ready(sink))


def test_a_hole_in_the_middle_is_filled_exactly(deployment: Deployment) -> None:
    deployment.start()
    for _ in range(3):
        deployment.produce(60)
        wait_until("all is archived", deployment.archived)
    taken = [key for key in deployment.object_keys() if key.endswith("+00000000000000000000.jsonl.gz")]
    before = {key: deployment.object(key) for key in deployment.object_keys() if key not in taken}
    lines = deployment.lines()
    for key in taken:
        deployment.s3.delete_object(Bucket=deployment.bucket, Key=key)
    wait_until("the holes are filled", deployment.archived)
    assert deployment.lines() == lines
    assert {key: deployment.object(key) for key in before} == before
    deployment.check_parity()


def test_a_topic_made_anew_begins_a_new_epoch(deployment: Deployment) -> None:
    sink = deployment.start()
    deployment.produce(90)
    wait_until("all is archived", deployment.archived)
    old = {key: deployment.object(key) for key in deployment.object_keys()}
    (old_id,) = {metadata["log-id"] for metadata, _ in old.values()}

    deployment.admin.delete_topics([deployment.pin])[deployment.pin].result(10)
    specs = [spec for spec in topic_specs(deployment.names) if spec.name == deployment.pin]
    topics = [NewTopic(spec.name, spec.partitions, config=spec.config) for spec in specs]
    retry(lambda: deployment.admin.create_topics(topics)[deployment.pin].result(10), RetryPolicy(20), KafkaException)
    deployment.sent.clear()
    deployment.produce(600)

    wait_until("the new log has objects", lambda: deployment.new_log_id() is not None)
    log_id = deployment.new_log_id()
    wait_until("all of it is archived", lambda: deployment.archived(log_id=log_id))
    deployment.check_parity(log_id=log_id)
    for key in deployment.object_keys():
        name, (metadata, _) = objects.parse_object_key(key), deployment.object(key)
        assert name is not None
        in_names = metadata["log-id"].translate(str.maketrans("+/", "-_"))
        assert (name.log_id == in_names) if name.log_id else (metadata["log-id"] == old_id)
    assert {key: deployment.object(key) for key in old} == old
    assert deployment.metric(sink, "epoch_changes_total") == 1
    assert sink.poll() is None


def test_what_others_put_into_the_bucket_stops_nothing_but_what_it_stands_in_the_way_of(deployment: Deployment) -> None:
    """A folder's marker, a console's copy, a folder in a folder, another installation's name; then the next name."""
    sink = deployment.start()
    deployment.produce(90)
    wait_until("all is archived", deployment.archived)
    (first, *_) = deployment.object_keys()
    folder, name = first.rsplit("/", 1)
    for key in (f"{folder}/", f"{folder}/{name.replace('0' * 20, '0' * 9 + '7')}"):
        deployment.s3.put_object(Bucket=deployment.bucket, Key=key, Body=b"")
    for key in (f"{folder}/copy of {name}", f"{folder}/backup/{name}"):
        deployment.s3.copy_object(Bucket=deployment.bucket, Key=key, CopySource=f"{deployment.bucket}/{first}")
    wait_until("they are seen", lambda: deployment.metric(sink, "foreign_objects") == 3)
    deployment.produce(90)
    wait_until("what came later is archived", deployment.archived)
    deployment.check_parity()
    assert deployment.ready(sink)

    ends = {number: len(lines) for number, lines in deployment.lines().items()}
    taken = objects.ObjectName(deployment.pin, 0, ends[0]).key
    deployment.s3.put_object(Bucket=deployment.bucket, Key=taken, Body=gzip.compress(b""))
    for number in range(3):
        deployment.produce_one(b"late", b"{}", partition=number)
    deployment.flush()
    wait_until("it is not ready", lambda: not deployment.ready(sink))
    said = deployment.said(sink)
    assert f"{deployment.pin}-0 waits: {taken} was not written by this sink" in said
    assert "Move or delete that object" in said

    def others_go_on() -> bool:
        return all(len(deployment.lines()[number]) == ends[number] + 1 for number in (1, 2))

    wait_until("the other partitions go on", others_go_on)
    sink.terminate()
    assert sink.wait(20) == 0
    sink = deployment.start()
    wait_until("it still waits", lambda: taken in deployment.said(sink))
    deployment.s3.delete_object(Bucket=deployment.bucket, Key=taken)
    wait_until("all is archived", deployment.archived)
    deployment.check_parity()
    wait_until("it is ready again", lambda: deployment.ready(sink))


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"S3_SINK_CONNECTORS_DIR": "nowhere"}, "nowhere/s3-sink.properties: cannot be read"),
        ({"S3_SINK_UPLOADS": "many"}, "S3_SINK_UPLOADS: "),
        ({"PIPELINE_ID": "Not An Id"}, "PIPELINE_ID is 'Not An Id'"),
    ],
)
def test_bad_settings_are_one_clear_line(deployment: Deployment, settings: dict[str, str], problem: str) -> None:
    assert deployment.start(**settings).wait(30) == 2
    assert problem in deployment.log()
    assert "Traceback" not in deployment.log()


def test_a_port_in_use_is_named(deployment: Deployment, kafka: Kafka) -> None:
    port = kafka.bootstrap_servers.rsplit(":", 1)[1]
    assert deployment.start(S3_SINK_PORT=port).wait(30) == 2
    assert f"S3_SINK_PORT: 127.0.0.1:{port} cannot be used" in deployment.log()


def test_s3_and_kafka_killed_and_wiped_under_the_sink(tmp_path: Path) -> None:
    """One sink lives through all of it: S3 dies and comes back empty, Kafka dies, Kafka's data are wiped."""
    with Kafka(tmp_path / "kafka") as kafka, LocalStack(tmp_path / "localstack") as localstack:
        deployment = Deployment(kafka, localstack, tmp_path)
        deployment.create_topics()
        deployment.create_bucket()
        sink = deployment.start()
        try:
            deployment.produce(300)
            wait_until("all is archived", deployment.archived)

            localstack.kill()
            deployment.produce(300)
            wait_until("the sink is not ready without S3", lambda: not deployment.ready(sink))
            localstack.start()
            deployment.create_bucket()
            wait_until("all is archived again", deployment.archived)
            deployment.check_parity()

            kafka.kill()
            wait_until("the sink is not ready without Kafka", lambda: not deployment.ready(sink))
            kafka.start()
            deployment.produce(300)
            wait_until("what came later is archived", deployment.archived)
            deployment.check_parity()

            kafka.kill()
            for path in (tmp_path / "kafka").iterdir():
                if path.is_dir():
                    shutil.rmtree(path)
            kafka.start()
            deployment.create_topics()
            deployment.sent.clear()
            deployment.produce(100)
            topic_prefix = f"topics/{deployment.pin}/log="
            wait_until(
                "a new epoch has begun", lambda: any(key.startswith(topic_prefix) for key in deployment.object_keys())
            )
            log_id = next(key for key in deployment.object_keys() if key.startswith(topic_prefix)).split("/")[2][4:]
            wait_until("the new log is archived", lambda: deployment.archived(log_id=log_id))
            deployment.check_parity(log_id=log_id)
            wait_until("the sink is ready", lambda: deployment.ready(sink))
            assert sink.poll() is None
        finally:
            deployment.end_sinks()
