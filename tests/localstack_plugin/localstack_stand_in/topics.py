"""Topics on the test's broker, which is one broker: one copy is all it can keep."""

import base64
import json
import os
from collections.abc import Collection
from concurrent.futures import Future
from typing import Any

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

from localstack_stand_in.schema import InvalidPropertyError

_TIMEOUT_S = 15.0
_NOT_WITH_ONE_BROKER = {"min.insync.replicas"}


def ensure_topic(model: dict[str, Any]) -> None:
    """Make, grow, configure; nothing where the test has no broker.

    Raises:
        InvalidPropertyError: the broker refused, or ``Configs`` is not JSON in Base64.
    """
    settings = _settings(model)
    if (admin := _admin()) is None:
        return
    name, partitions = model["TopicName"], model["PartitionCount"]
    new = NewTopic(name, num_partitions=partitions, replication_factor=1, config=settings)
    if _done(admin.create_topics([new])[name], {KafkaError.TOPIC_ALREADY_EXISTS}):
        return
    there = len(admin.list_topics(name, timeout=_TIMEOUT_S).topics[name].partitions)
    if there < partitions:
        _done(admin.create_partitions([NewPartitions(name, partitions)])[name])
    entries = [ConfigEntry(k, v, incremental_operation=AlterConfigOpType.SET) for k, v in settings.items()]
    resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
    _done(admin.incremental_alter_configs([resource])[resource])


def delete_topic(model: dict[str, Any]) -> None:
    """Delete it; one that is not there is no error."""
    if (admin := _admin()) is not None:
        _done(admin.delete_topics([model["TopicName"]])[model["TopicName"]], {KafkaError.UNKNOWN_TOPIC_OR_PART})


def _settings(model: dict[str, Any]) -> dict[str, str]:
    try:
        settings: dict[str, str] = json.loads(base64.b64decode(model.get("Configs", ""), validate=True) or b"{}")
    except ValueError as error:
        raise InvalidPropertyError(f"Configs: not JSON in Base64: {error}") from error
    return {key: value for key, value in settings.items() if key not in _NOT_WITH_ONE_BROKER}


def _admin() -> AdminClient | None:
    servers = os.environ.get("STAND_IN_KAFKA")
    return AdminClient({"bootstrap.servers": servers, "log_level": 0}) if servers else None


def _done(future: "Future[Any]", allowed: Collection[int] = ()) -> bool:
    """True where it was done, False where the broker gave an allowed error."""
    try:
        future.result(_TIMEOUT_S)
    except KafkaException as error:
        if error.args[0].code() in allowed:
            return False
        raise InvalidPropertyError(f"the broker refused: {error.args[0].str()}") from error
    return True
