"""``aws_deploy.topics.Topics`` in memory; ``test_gateway_topics.py`` runs one suite on it and on a real Kafka."""

from collections.abc import Mapping, Sequence

from aws_deploy.errors import TopicError
from aws_deploy.topics import Topic
from pipeline_contracts.kafka_topics import TopicSpec

DEFAULTS = {"retention.ms": "604800000", "max.message.bytes": "1048588"}


class FakeTopics:
    """A cluster of one broker; set ``down`` to make every call fail."""

    def __init__(self) -> None:
        self._topics: dict[str, Topic] = {}
        self.down = False

    def partitions(self) -> Mapping[str, int]:
        self._answer()
        return {name: topic.partitions for name, topic in self._topics.items()}

    def describe(self, names: Sequence[str]) -> Mapping[str, Topic]:
        self._answer()
        return {name: self._topics[name] for name in names if name in self._topics}

    def create(self, spec: TopicSpec) -> None:
        self._answer()
        self._topics.setdefault(spec.name, Topic(spec.partitions, DEFAULTS | spec.config))

    def grow(self, name: str, partitions: int) -> None:
        topic = self._known(name)
        if partitions <= topic.partitions:
            raise TopicError(f"{name} has {topic.partitions} partitions already")
        self._topics[name] = Topic(partitions, topic.config)

    def configure(self, name: str, config: Mapping[str, str]) -> None:
        topic = self._known(name)
        self._topics[name] = Topic(topic.partitions, {**topic.config, **config})

    def _known(self, name: str) -> Topic:
        self._answer()
        if name not in self._topics:
            raise TopicError(f"{name} is not there")
        return self._topics[name]

    def _answer(self) -> None:
        if self.down:
            raise TopicError("does not answer")
