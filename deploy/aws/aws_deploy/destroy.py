"""Takes a deployment down, the last stack first, and says what stays."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError
from pipeline_contracts.names import Names

from aws_deploy.brokers import Brokers
from aws_deploy.calls import StackCalls
from aws_deploy.clients import Clients
from aws_deploy.costs import idle_costs
from aws_deploy.errors import ForeignResourceError, ProtectedStackError, SettingError
from aws_deploy.leftovers import BROKERS, Leftover
from aws_deploy.render import parse, template_path
from aws_deploy.resolve import resolve
from aws_deploy.stacks import stack_name
from aws_deploy.wanted import ALL, NEEDS, StackKind

_COSTS = {
    "AWS::MSK::Cluster": "brokers are paid by the hour",
    "AWS::Kinesis::Stream": "shards are paid by the hour",
    "AWS::KMS::Key": "1 USD a month",
    "AWS::SecretsManager::Secret": "0.40 USD a month",
}
# MSK keeps a configuration that brokers use, and EC2 a subnet that they are in. These stacks import from ``data``.
_UNDER_BROKERS: frozenset[StackKind] = NEEDS["kafka"] | {"kafka"}
_STREAM_GONE: Any = {"Delay": 2, "MaxAttempts": 150}
_RETAINING = {"Retain", "RetainExceptOnCreate"}
_GO_WITH_BROKERS = {BROKERS, "AWS::MSK::Topic"}


@dataclass(frozen=True)
class Retained:
    """A resource that outlives its stack."""

    stack: str
    kind: str
    physical_id: str

    @property
    def note(self) -> str:
        """What it costs to keep it."""
        return _COSTS.get(self.kind, "paid by size")


@dataclass(frozen=True)
class Standing:
    """A stack that cannot go while the brokers are there."""

    stack: str
    usd_per_hour: float


@dataclass(frozen=True)
class Left:
    """What ``destroy_stacks`` has not deleted."""

    retained: list[Retained]
    standing: list[Standing]


def destroy_stacks(
    calls: StackCalls,
    names: Names,
    kinds: Collection[StackKind] = ALL,
    *,
    brokers: Brokers | None,
    delete_data: bool = False,
    unprotect: bool = False,
) -> Left:
    """Delete the stacks, the last first; those that are not there are no error. Blocks until it is done.

    With ``delete_data`` the brokers go before the stacks that they stand on. Without it those stacks stay where there
    are brokers. ``brokers`` is None where there can be none.

    Raises:
        ProtectedStackError: one of them is protected and ``unprotect`` is not set; nothing was deleted.
        SettingError: a stack outside ``kinds`` needs one of them, or brokers outside ``kinds`` do, whose data was not
            to be kept; nothing was deleted.
        ForeignStackError: one lacks our tag; nothing was deleted.
        StackFailedError: a resource could not be deleted; the stacks before it are still there.
        DeployTimeoutError: the brokers are not gone yet; the stacks that they stand on are still there.
    """
    there = [kind for kind in ALL if calls.status(stack_name(names, kind), names.pipeline_id)]
    _check_nobody_needs_them(there, kinds)
    cluster = brokers.find() if brokers and _UNDER_BROKERS & set(kinds) else None
    if cluster and not cluster.going and delete_data and "kafka" not in kinds:
        raise SettingError(
            f"The brokers of {names.pipeline_id} are still there; --stack kafka deletes them with the rest"
        )
    stay = _UNDER_BROKERS if cluster and not cluster.going and not delete_data else frozenset()
    going = [kind for kind in reversed(ALL) if kind in kinds and kind in there and kind not in stay]
    protected = [stack_name(names, kind) for kind in going if _protected(calls, stack_name(names, kind))]
    if protected and not unprotect:
        raise ProtectedStackError(
            f"{', '.join(protected)} are protected against deletion; nothing was deleted. "
            "With --unprotect they go too (what holds data is retained all the same)"
        )
    users = [kind for kind in going if ALL.index(kind) > ALL.index("kafka")]
    retained = [item for kind in users for item in _delete(calls, kind, stack_name(names, kind))]
    if brokers and cluster and not stay:
        brokers.delete(cluster)
    rest = [kind for kind in going if kind not in users]
    retained += [item for kind in rest for item in _delete(calls, kind, stack_name(names, kind))]
    standing = [kind for kind in there if kind in kinds and kind in stay]
    return Left(retained, [_standing(calls, names, kind) for kind in standing])


def _delete(calls: StackCalls, kind: StackKind, name: str) -> list[Retained]:
    if _protected(calls, name):
        calls.client.update_termination_protection(StackName=name, EnableTerminationProtection=False)
    retained = list(_retained(calls, kind, name))
    calls.delete(name, tell=True)
    return retained


def _check_nobody_needs_them(there: Collection[StackKind], kinds: Collection[StackKind]) -> None:
    for kind in there:
        if kind not in kinds and (used := NEEDS[kind] & set(kinds)):
            raise SettingError(f"Stack {kind} needs {', '.join(sorted(used))}; destroy it first, or with them")


def _standing(calls: StackCalls, names: Names, kind: StackKind) -> Standing:
    name = stack_name(names, kind)
    found = calls.find(name)
    given = {item["ParameterKey"]: item["ParameterValue"] for item in found.get("Parameters", [])} if found else {}
    return Standing(name, sum(idle.usd_per_hour for idle in idle_costs(resolve(_template(kind), given))))


def _template(kind: StackKind) -> Mapping[str, Any]:
    return parse(template_path(kind).read_text(encoding="utf-8"))


def _protected(calls: StackCalls, name: str) -> bool:
    found = calls.find(name)
    return bool(found and found.get("EnableTerminationProtection"))


def _retained(calls: StackCalls, kind: StackKind, name: str) -> Iterator[Retained]:
    keep = {
        logical
        for logical, resource in _template(kind)["Resources"].items()
        if resource.get("DeletionPolicy") in _RETAINING and resource["Type"] not in _GO_WITH_BROKERS
    }
    for page in calls.client.get_paginator("list_stack_resources").paginate(StackName=name):
        for resource in page["StackResourceSummaries"]:
            # A stack whose creation was undone still lists what it had.
            gone = resource["ResourceStatus"] == "DELETE_COMPLETE"
            if resource["LogicalResourceId"] in keep and resource.get("PhysicalResourceId") and not gone:
                yield Retained(name, resource["ResourceType"], resource["PhysicalResourceId"])


def delete_leftovers(clients: Clients, leftovers: Collection[Leftover], project: str) -> Iterator[str]:
    """Delete them with all data in them, as far as they are ours: buckets, streams, the secret; a line each.

    Key, images and ledger stay: they cost little, and without the key nothing old can be read. Blocks until they are
    gone, a stream for five minutes at most.

    Raises:
        botocore.exceptions.WaiterError: a stream is not gone by then.
        ForeignResourceError: some of this account lack our tag; they were not touched, all others are gone.
    """
    for item in leftovers:
        name = item.place.name
        match item.place.kind if item.ours(project) else None:
            case "AWS::S3::Bucket":
                yield f"bucket {name}: deleted with {_empty(clients, name)} versions of objects"
            case "AWS::Kinesis::Stream":
                clients.kinesis.delete_stream(StreamName=name, EnforceConsumerDeletion=True)
                # The next apply would take over a stream that is on its way out.
                clients.kinesis.get_waiter("stream_not_exists").wait(StreamName=name, WaiterConfig=_STREAM_GONE)
                yield f"stream {name}: deleted"
            case "AWS::SecretsManager::Secret":
                clients.other("secretsmanager").delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
                yield f"secret {name}: deleted"
    untagged = [str(item.place) for item in leftovers if item.tags is not None and not item.ours(project)]
    if untagged:
        raise ForeignResourceError(f"Without our tag project={project}, and so not touched: {', '.join(untagged)}")


def _empty(clients: Clients, bucket: str) -> int:
    count = 0
    for page in clients.s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        keys: Any = [{"Key": item["Key"], "VersionId": item["VersionId"]} for item in found]
        if keys:
            failed = clients.s3.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True}).get("Errors", [])
            if failed:
                raise ClientError(
                    {"Error": {"Code": failed[0].get("Code", ""), "Message": str(failed[0])}}, "DeleteObjects"
                )
        count += len(keys)
    clients.s3.delete_bucket(Bucket=bucket)
    return count
