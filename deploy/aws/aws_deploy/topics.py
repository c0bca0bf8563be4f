"""Makes the topics what ``pipeline_contracts.kafka_topics`` says, and looks whether they still are."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)
from pipeline_contracts.kafka_topics import TopicSpec

from aws_deploy.errors import TopicError

LOOK_TIMEOUT_S = 4.0
CHANGE_TIMEOUT_S = 15.0


@dataclass(frozen=True)
class Topic:
    """A topic as the broker has it."""

    partitions: int
    config: Mapping[str, str]


class Topics(Protocol):
    """What is needed of a Kafka cluster. Every call blocks for some seconds at most and may raise ``TopicError``."""

    def partitions(self) -> Mapping[str, int]:
        """Partitions by name, of all topics."""

    def describe(self, names: Sequence[str]) -> Mapping[str, Topic]:
        """The topics of these names that exist."""

    def create(self, spec: TopicSpec) -> None:
        """Make a topic; one that exists already is no error."""

    def grow(self, name: str, partitions: int) -> None:
        """Raise the number of partitions."""

    def configure(self, name: str, config: Mapping[str, str]) -> None:
        """Set these entries and leave the others."""


def ensure_topics(topics: Topics, specs: Sequence[TopicSpec]) -> list[str]:
    """Make, grow or configure what is not as it should be, and say what was done, one line each.

    A topic with more partitions than asked for stays as it is: somebody has scaled it, and Kafka cannot take
    partitions away.

    Raises:
        TopicError: Kafka did not answer, or refused.
    """
    done = []
    found = topics.describe([spec.name for spec in specs])
    for spec in specs:
        topic = found.get(spec.name)
        if topic is None:
            topics.create(spec)
            done.append(f"{spec.name}: created")
            continue
        if topic.partitions < spec.partitions:
            topics.grow(spec.name, spec.partitions)
            done.append(f"{spec.name}: partitions {topic.partitions} -> {spec.partitions}")
        wrong = {key: value for key, value in spec.config.items() if topic.config.get(key) != value}
        if wrong:
            topics.configure(spec.name, wrong)
            done += [f"{spec.name}: {key} {topic.config.get(key)} -> {value}" for key, value in wrong.items()]
    return done


def missing_topics(topics: Topics, specs: Sequence[TopicSpec]) -> list[str]:
    """Names of topics that are not there or have too few partitions. One cheap request.

    Raises:
        TopicError: Kafka did not answer.
    """
    partitions = topics.partitions()
    return [spec.name for spec in specs if partitions.get(spec.name, 0) < spec.partitions]


class KafkaTopics:
    """``Topics`` of a real cluster."""

    def __init__(self, bootstrap_servers: str, timeout_s: float = CHANGE_TIMEOUT_S) -> None:
        # A broker that comes back is seen within a second.
        self._admin = AdminClient(
            {"bootstrap.servers": bootstrap_servers, "log_level": 0, "reconnect.backoff.max.ms": 1000}
        )
        self._servers = bootstrap_servers
        self._timeout_s = timeout_s

    def partitions(self) -> Mapping[str, int]:
        """Partitions by name, of all topics."""
        try:
            listed = self._admin.list_topics(timeout=LOOK_TIMEOUT_S).topics
        except KafkaException as error:
            raise TopicError(f"Kafka at {self._servers} does not answer: {error}") from error
        return {name: len(topic.partitions) for name, topic in listed.items() if topic.error is None}

    def describe(self, names: Sequence[str]) -> Mapping[str, Topic]:
        """The topics of these names that exist, with their configuration."""
        partitions = self.partitions()
        known = [name for name in names if name in partitions]
        if not known:
            return {}
        asked = self._admin.describe_configs(
            [ConfigResource(ResourceType.TOPIC, name) for name in known], request_timeout=self._timeout_s
        )
        return {
            resource.name: Topic(
                partitions[resource.name],
                {
                    key: entry.value
                    for key, entry in self._result(future, "describe", resource.name).items()
                    if entry.value is not None
                },
            )
            for resource, future in asked.items()
        }

    def create(self, spec: TopicSpec) -> None:
        """Make a topic, with the broker's own replication factor; one that exists already is no error."""
        new = NewTopic(spec.name, num_partitions=spec.partitions, replication_factor=-1, config=dict(spec.config))
        made = self._admin.create_topics([new], operation_timeout=self._timeout_s, request_timeout=self._timeout_s)
        try:
            made[spec.name].result(self._timeout_s + 1)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise self._refused("create", spec.name, error) from error
        except TimeoutError as error:
            raise TopicError(f"Kafka at {self._servers} did not create topic {spec.name} in time") from error

    def grow(self, name: str, partitions: int) -> None:
        """Raise the number of partitions."""
        grown = self._admin.create_partitions([NewPartitions(name, partitions)], request_timeout=self._timeout_s)
        self._result(grown[name], "grow", name)

    def configure(self, name: str, config: Mapping[str, str]) -> None:
        """Set these entries and leave the others."""
        resource = ConfigResource(
            ResourceType.TOPIC,
            name,
            incremental_configs=[
                ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in config.items()
            ],
        )
        altered = self._admin.incremental_alter_configs([resource], request_timeout=self._timeout_s)
        self._result(altered[resource], "configure", name)

    def _result[T](self, future: "Future[T]", doing: str, name: str) -> T:
        try:
            return future.result(self._timeout_s + 1)
        except KafkaException as error:
            raise self._refused(doing, name, error) from error
        except TimeoutError as error:
            raise TopicError(f"Kafka at {self._servers} did not {doing} topic {name} in time") from error

    def _refused(self, doing: str, name: str, error: KafkaException) -> TopicError:
        return TopicError(f"Kafka at {self._servers} could not {doing} topic {name}: {error.args[0].str()}")
