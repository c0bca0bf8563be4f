import pytest
from aws_deploy.errors import TopicError
from aws_deploy.topics import ensure_topics, missing_topics
from fake_topics import FakeTopics
from pipeline_contracts.kafka_topics import TopicSpec

SPEC = TopicSpec("t", 3, {"retention.ms": "-1"})


def test_only_what_differs_is_changed() -> None:
    topics = FakeTopics()
    assert ensure_topics(topics, [SPEC]) == ["t: created"]
    assert ensure_topics(topics, [SPEC]) == []
    topics.configure("t", {"retention.ms": "5"})
    assert ensure_topics(topics, [SPEC]) == ["t: retention.ms 5 -> -1"]


def test_missing_are_the_absent_and_the_too_small() -> None:
    topics = FakeTopics()
    topics.create(TopicSpec("t", 1, {}))
    assert missing_topics(topics, [SPEC, TopicSpec("u", 1, {})]) == ["t", "u"]


def test_a_broker_that_is_away_is_an_error() -> None:
    topics = FakeTopics()
    topics.down = True
    with pytest.raises(TopicError):
        ensure_topics(topics, [SPEC])
