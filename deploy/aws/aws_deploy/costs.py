"""What a deployment costs while nobody uses it, by resource.

List prices of us-east-1 as an order of magnitude, from general knowledge and not checked against a bill: they are for
choosing sizes, not for budgets. What is paid by use (requests, records, bytes, log lines) is left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

HOURS_PER_MONTH = 730

_BROKER = {
    "kafka.t3.small": 0.046,
    "kafka.m7g.large": 0.204,
    "kafka.m7g.xlarge": 0.408,
    "kafka.m7g.2xlarge": 0.816,
    "kafka.m7g.4xlarge": 1.632,
}
_AIRFLOW = {
    "mw1.micro": 0.25,
    "mw1.small": 0.49,
    "mw1.medium": 0.74,
    "mw1.large": 0.99,
    "mw1.xlarge": 1.98,
    "mw1.2xlarge": 3.96,
}
_GIB_MONTH = 0.10
_PER_HOUR = {
    "AWS::EC2::NatGateway": 0.045,
    "AWS::EC2::EIP": 0.005,
    "AWS::EC2::Instance": 0.0104,
    "AWS::ElasticLoadBalancingV2::LoadBalancer": 0.0225,
    "AWS::KMS::Key": 1 / HOURS_PER_MONTH,
    "AWS::SecretsManager::Secret": 0.4 / HOURS_PER_MONTH,
    "AWS::CloudWatch::Alarm": 0.1 / HOURS_PER_MONTH,
    "AWS::CloudWatch::Dashboard": 3 / HOURS_PER_MONTH,
}
_ENDPOINT, _SHARD, _ON_DEMAND, _MCU, _VCPU, _TASK_GIB = 0.01, 0.015, 0.04, 0.11, 0.04048, 0.004445
_SHARD_BEYOND_A_DAY = 0.02
"""On top, where records stay for more than 24 hours. On demand that is paid by size."""


@dataclass(frozen=True)
class Idle:
    """What one resource costs in an hour without traffic."""

    resource: str
    kind: str
    usd_per_hour: float


def idle_costs(resources: Mapping[str, Mapping[str, Any]]) -> list[Idle]:
    """Of resources that ``resolve`` gave; those that cost nothing while idle are left out."""
    tasks = {name: item["Properties"] for name, item in resources.items() if item["Type"] == "AWS::ECS::TaskDefinition"}
    found = [
        Idle(n, item["Type"], _per_hour(item["Type"], item.get("Properties", {}), tasks))
        for n, item in resources.items()
    ]
    return [idle for idle in found if idle.usd_per_hour > 0]


def _per_hour(kind: str, properties: Mapping[str, Any], tasks: Mapping[str, Any]) -> float:
    usd = _PER_HOUR.get(kind, 0.0)
    match kind:
        case "AWS::MSK::Cluster":
            nodes = properties["BrokerNodeGroupInfo"]
            disk = float(nodes["StorageInfo"]["EBSStorageInfo"]["VolumeSize"]) * _GIB_MONTH / HOURS_PER_MONTH
            usd = int(properties["NumberOfBrokerNodes"]) * (_BROKER[nodes["InstanceType"]] + disk)
        case "AWS::KafkaConnect::Connector":
            capacity = properties["Capacity"]["ProvisionedCapacity"]
            usd = int(capacity["McuCount"]) * int(capacity["WorkerCount"]) * _MCU
        case "AWS::MWAA::Environment":
            usd = _AIRFLOW[properties["EnvironmentClass"]]
        case "AWS::Kinesis::Stream":
            longer = int(properties.get("RetentionPeriodHours", 24)) > 24
            shard = _SHARD + (_SHARD_BEYOND_A_DAY if longer else 0)
            usd = int(properties["ShardCount"]) * shard if "ShardCount" in properties else _ON_DEMAND
        case "AWS::EC2::VPCEndpoint" if properties["VpcEndpointType"] == "Interface":
            usd = len(properties["SubnetIds"]) * _ENDPOINT
        case "AWS::ECS::Service":
            task = tasks[properties["TaskDefinition"]["Ref"]]
            one = int(task["Cpu"]) / 1024 * _VCPU + int(task["Memory"]) / 1024 * _TASK_GIB
            usd = int(properties["DesiredCount"]) * one
    return usd
