"""The two things that are kept: what to look at cheaply, and how to make it again."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from botocore.exceptions import BotoCoreError, ClientError
from pipeline_contracts.kafka_topics import TopicSpec
from pipeline_contracts.names import API_STAGE, STREAM_SHARDS

from aws_deploy.apply import apply_stacks
from aws_deploy.clients import Clients
from aws_deploy.deployer import Deployer
from aws_deploy.errors import DeployError, StackFailedError
from aws_deploy.leftovers import unless_gone
from aws_deploy.stacks import stack_name
from aws_deploy.topics import Topics, ensure_topics, missing_topics
from aws_deploy.wanted import ORDER, StackKind, Wanted

_LOG = logging.getLogger(__name__)


class Side(Protocol):
    """Something that can come back empty."""

    @property
    def name(self) -> str:
        """What health, logs and metrics call it."""

    def lost(self) -> Collection[str]:
        """What is not there any more. Cheap; blocks for some seconds at most.

        Raises:
            DeployError: it does not answer.
        """

    def make(self, lost: Collection[str]) -> Sequence[str]:
        """Make everything that is not there, and say what was done. Changes nothing where nothing is missing.

        Raises:
            DeployError: it could not be made.
        """


@dataclass(frozen=True)
class LocalStackSide:
    """The stacks. One call each to bucket, stream and API tells whether LocalStack has forgotten them."""

    clients: Clients
    deployer: Deployer
    wanted: Wanted
    name: str = "localstack"

    def lost(self) -> Collection[StackKind]:
        """The stacks whose resources are gone."""
        names = self.wanted.names
        try:
            there: dict[StackKind, bool] = {
                "data": self._has_bucket(names.bucket),
                "streams": all(self._has_stream(name) for name in names.streams),
                "api": self._has_stage(names.api_id),
            }
        except (BotoCoreError, ClientError) as error:
            raise DeployError(f"LocalStack at {self.clients.endpoint_url} does not answer: {error}") from error
        return [kind for kind, present in there.items() if not present]

    def make(self, lost: Collection[str]) -> Sequence[str]:
        """Apply all stacks; those that lost resources are recreated.

        Streams of another shape than the template's, such as somebody has made meanwhile, are kept as they are, with
        their records: no stack could be made over them, and the side would stay unready for ever.
        """
        rebuild = [kind for kind in ORDER if kind in lost]
        try:
            try:
                outputs = apply_stacks(self.deployer, self.wanted, rebuild)
            except StackFailedError as error:
                if error.stack != stack_name(self.wanted.names, "streams") or not self._adopt_streams():
                    raise
                _LOG.warning("streams are kept as they are", extra={"reason": str(error)})
                outputs = apply_stacks(
                    self.deployer, self.wanted, [kind for kind in rebuild if kind == "api"], kinds=("data", "api")
                )
        except (BotoCoreError, ClientError) as error:
            raise DeployError(f"LocalStack at {self.clients.endpoint_url} failed: {error}") from error
        return [f"{kind}: {key}={value}" for kind, values in outputs.items() for key, value in values.items()]

    def _has_bucket(self, name: str) -> bool:
        try:
            self.clients.s3.head_bucket(Bucket=name)
        except ClientError as error:
            return unless_gone(error)
        return True

    def _has_stream(self, name: str) -> bool:
        # Not by a list of all: kinesalite gives ten of them, and no NextToken to go on with.
        try:
            self.clients.kinesis.describe_stream_summary(StreamName=name)
        except ClientError as error:
            return unless_gone(error)
        return True

    def _adopt_streams(self) -> bool:
        """Make the streams that are not there at all; whether every one can be written to now."""
        kinesis = self.clients.kinesis
        for name in self.wanted.names.streams:
            if not self._has_stream(name):
                kinesis.create_stream(StreamName=name, ShardCount=STREAM_SHARDS)
        found = [kinesis.describe_stream_summary(StreamName=name) for name in self.wanted.names.streams]
        return all(one["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE" for one in found)

    def _has_stage(self, api_id: str) -> bool:
        try:
            self.clients.apigateway.get_stage(restApiId=api_id, stageName=API_STAGE)
        except ClientError as error:
            return unless_gone(error)
        return True


@dataclass(frozen=True)
class KafkaSide:
    """The topics."""

    topics: Topics
    specs: Sequence[TopicSpec]
    name: str = "kafka"

    def lost(self) -> Collection[str]:
        """Topics that are not there."""
        return missing_topics(self.topics, self.specs)

    def make(self, lost: Collection[str]) -> Sequence[str]:  # noqa: ARG002 (looks for itself)
        """Make the topics what they must be."""
        return ensure_topics(self.topics, self.specs)
