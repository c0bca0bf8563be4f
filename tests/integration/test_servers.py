"""The servers that other tests trust."""

from pathlib import Path

import boto3
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from servers import Kafka, LocalStack, free_port, make_topics


def test_kafka_keeps_a_record(kafka: Kafka) -> None:
    make_topics(kafka.bootstrap_servers, NewTopic("servers", 1))
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    producer.produce("servers", b"value")
    assert producer.flush(10) == 0
    consumer = Consumer(
        {"bootstrap.servers": kafka.bootstrap_servers, "group.id": "servers", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe(["servers"])
    message = consumer.poll(20)
    consumer.close()
    assert message is not None
    assert message.value() == b"value"


def test_kafka_keeps_its_records_in_a_folder_of_any_name(tmp_path: Path) -> None:
    server = Kafka(tmp_path / "my läke 😀")
    with server:
        make_topics(server.bootstrap_servers, NewTopic("servers", 1))
    assert (server.folder / "data" / "servers-0").is_dir()
    with server:  # what is formatted is not formatted again
        assert "servers" in AdminClient({"bootstrap.servers": server.bootstrap_servers}).list_topics(timeout=10).topics


def test_localstack_keeps_an_object(localstack: LocalStack) -> None:
    s3 = boto3.client("s3", endpoint_url=localstack.endpoint_url)
    s3.create_bucket(Bucket="servers")
    s3.put_object(Bucket="servers", Key="a", Body=b"value")
    assert s3.get_object(Bucket="servers", Key="a")["Body"].read() == b"value"


def test_no_port_is_given_twice() -> None:
    ports = [free_port() for _ in range(200)]
    assert len(set(ports)) == len(ports)
