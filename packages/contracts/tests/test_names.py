import pytest
from pipeline_contracts.kafka_topics import topic_specs
from pipeline_contracts.names import InvalidPipelineIdError, Names


def test_names_follow_the_pipeline_id() -> None:
    names = Names("a-1")
    assert list(names.topics) == ["a-1.pin", "a-1.geo", "a-1.user"]
    assert names.stream("user") == "streaming-a-1-user"
    assert (names.bucket, names.dead_letter_topic, names.job("batch")) == ("a-1-raw", "a-1.dlq", "a-1-batch")


@pytest.mark.parametrize("bad", ["", "A", "-a", "a-", "a" * 21, "a_b", "a b", "ä"])
def test_bad_ids_are_refused_with_the_rule(bad: str) -> None:
    with pytest.raises(InvalidPipelineIdError, match="1 to 20 characters"):
        Names(bad)


def test_dead_letter_topic_has_room_for_headers() -> None:
    *events, dlq = topic_specs(Names())
    assert max(int(spec.config["max.message.bytes"]) for spec in events) < int(dlq.config["max.message.bytes"])
