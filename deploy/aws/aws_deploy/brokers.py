"""The brokers: they outlive stack ``kafka``, and neither it nor the network can go while they are there."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pipeline_contracts.names import Names
from service_kit.clock import Clock, SystemClock

from aws_deploy import own_names
from aws_deploy.errors import DeployTimeoutError


@dataclass(frozen=True)
class Cluster:
    """An MSK cluster of ours."""

    arn: str
    going: bool
    """Somebody is deleting it."""


class Brokers(Protocol):
    """The cluster of one pipeline."""

    def find(self) -> Cluster | None:
        """The cluster; None where there is none of ours."""

    def delete(self, cluster: Cluster) -> None:
        """Delete it with all that is in it, if nobody is at it already. Blocks until it is gone.

        Raises:
            DeployTimeoutError: it is not gone by the deadline.
        """


@dataclass(frozen=True)
class MskBrokers:
    """``Brokers`` of an account and region, through MSK's client."""

    kafka: Any
    names: Names
    clock: Clock = field(default_factory=SystemClock)
    deadline_s: float = 5400.0
    poll_s: float = 15.0

    def find(self) -> Cluster | None:
        """The cluster; None where there is none of ours."""
        info = cluster_info(self.kafka, own_names.brokers(self.names))
        if info is None or info.get("Tags", {}).get("project") != self.names.pipeline_id:
            return None
        return Cluster(info["ClusterArn"], going=info.get("State") == "DELETING")

    def delete(self, cluster: Cluster) -> None:
        """Delete it with all that is in it; blocks until it is gone."""
        if not cluster.going:
            self.kafka.delete_cluster(ClusterArn=cluster.arn)
        end = self.clock.monotonic() + self.deadline_s
        while self.find():
            if self.clock.monotonic() >= end:
                raise DeployTimeoutError(
                    f"MSK cluster {own_names.brokers(self.names)} is still being deleted after "
                    f"{self.deadline_s:.0f} s; destroy again later"
                )
            self.clock.sleep(self.poll_s)


def cluster_info(kafka: Any, name: str) -> Mapping[str, Any] | None:
    """What MSK says of the cluster of this name; None where there is none."""
    found: list[Mapping[str, Any]] = kafka.list_clusters(ClusterNameFilter=name)["ClusterInfoList"]
    return next((info for info in found if info["ClusterName"] == name), None)
