"""One suite for the topics, on the fake of the unit tests and on a real Kafka."""

import uuid

import pytest
from aws_deploy.errors import TopicError
from aws_deploy.topics import KafkaTopics, Topics, ensure_topics, missing_topics
from fake_topics import FakeTopics
from pipeline_contracts.kafka_topics import TopicSpec, topic_specs
from pipeline_contracts.names import Names
from servers import Kafka, free_port
from service_kit.clock import SystemClock
from service_kit.retries import RetryPolicy, retry


@pytest.fixture(params=["fake", "kafka"])
def topics(request: pytest.FixtureRequest) -> Topics:
    if request.param == "fake":
        return FakeTopics()
    return KafkaTopics(request.getfixturevalue("kafka").bootstrap_servers)


@pytest.fixture
def name() -> str:
    return f"top-{uuid.uuid4().hex[:8]}"


def eventually(check: object) -> None:
    """The broker's answers follow a change after some milliseconds."""

    def attempt() -> None:
        assert callable(check)
        assert check()

    retry(attempt, RetryPolicy(deadline_s=15, clock=SystemClock()), AssertionError)


def test_all_topics_are_made_as_the_contracts_say(topics: Topics, name: str) -> None:
    specs = topic_specs(Names(name))
    assert missing_topics(topics, specs) == [spec.name for spec in specs]
    assert ensure_topics(topics, specs) == [f"{spec.name}: created" for spec in specs]
    eventually(lambda: missing_topics(topics, specs) == [])
    found = topics.describe([spec.name for spec in specs])
    for spec in specs:
        assert found[spec.name].partitions == spec.partitions
        assert dict(spec.config).items() <= dict(found[spec.name].config).items()
    assert ensure_topics(topics, specs) == []


def test_a_topic_is_corrected_and_keeps_what_is_not_ours(topics: Topics, name: str) -> None:
    topics.create(TopicSpec(name, 1, {"retention.ms": "1000", "segment.ms": "3600000"}))
    eventually(lambda: name in topics.partitions())
    wanted = TopicSpec(name, 3, {"retention.ms": "-1"})
    assert missing_topics(topics, [wanted]) == [name]
    assert ensure_topics(topics, [wanted]) == [f"{name}: partitions 1 -> 3", f"{name}: retention.ms 1000 -> -1"]
    eventually(lambda: missing_topics(topics, [wanted]) == [])
    eventually(lambda: topics.describe([name])[name].config["retention.ms"] == "-1")
    assert topics.describe([name])[name].config["segment.ms"] == "3600000"


def test_a_topic_with_more_partitions_is_left(topics: Topics, name: str) -> None:
    topics.create(TopicSpec(name, 5, {}))
    eventually(lambda: name in topics.partitions())
    assert missing_topics(topics, [TopicSpec(name, 3, {})]) == []
    assert ensure_topics(topics, [TopicSpec(name, 3, {})]) == []


def test_making_a_topic_that_is_there_is_no_error(topics: Topics, name: str) -> None:
    topics.create(TopicSpec(name, 1, {}))
    eventually(lambda: name in topics.partitions())
    topics.create(TopicSpec(name, 2, {}))
    assert topics.partitions()[name] == 1


@pytest.mark.parametrize("change", ["grow", "configure"])
def test_changing_an_unknown_topic_is_an_error(topics: Topics, name: str, change: str) -> None:
    with pytest.raises(TopicError, match=name):
        topics.grow(name, 2) if change == "grow" else topics.configure(name, {"retention.ms": "-1"})


def test_a_wrong_entry_is_an_error_that_names_topic_and_reason(kafka: Kafka, name: str) -> None:
    real = KafkaTopics(kafka.bootstrap_servers)
    with pytest.raises(TopicError, match=f"could not create topic {name}: .*retention.ms"):
        real.create(TopicSpec(name, 1, {"retention.ms": "soon"}))


def test_a_broker_that_is_away_is_an_error_that_names_it() -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(TopicError, match=f"Kafka at {address} does not answer"):
        KafkaTopics(address).partitions()
