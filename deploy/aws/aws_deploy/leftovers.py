"""What outlives its stack and has a fixed name, so that it is found when the stack is gone."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from botocore.exceptions import ClientError
from pipeline_contracts.names import Names

from aws_deploy.brokers import cluster_info
from aws_deploy.clients import Clients, Target
from aws_deploy.own_names import (
    Service,
    access_log_bucket,
    artifact_bucket,
    brokers,
    connection_secret,
    lake_bucket,
    repository,
)
from aws_deploy.wanted import StackKind

BUCKET = "AWS::S3::Bucket"
STREAM = "AWS::Kinesis::Stream"
REPOSITORY = "AWS::ECR::Repository"
BROKERS = "AWS::MSK::Cluster"
SECRET = "AWS::SecretsManager::Secret"  # noqa: S105 (a type's name)

_WORDS = {BUCKET: "Bucket", STREAM: "Stream", REPOSITORY: "Repository", BROKERS: "MSK cluster", SECRET: "Secret"}
_GONE = {
    "404",
    "NoSuchBucket",
    "NoSuchTagSet",
    "NotFound",
    "NotFoundException",
    "RepositoryNotFoundException",
    "ResourceNotFoundException",
}
_ANOTHER_ACCOUNT = {"403", "AccessDenied", "301"}


@dataclass(frozen=True)
class Place:
    """A name that a stack gives to what it retains."""

    stack: StackKind
    kind: str
    """Its CloudFormation type."""
    name: str

    def __str__(self) -> str:
        return f"{_WORDS[self.kind]} {self.name}"


@dataclass(frozen=True)
class Leftover:
    """What is there under such a name."""

    place: Place
    physical_id: str
    """As CloudFormation calls it: a name, or an ARN."""
    tags: Mapping[str, str] | None
    """None where it belongs to another account."""

    def ours(self, project: str) -> bool:
        """Whether it is this pipeline's."""
        return self.tags is not None and self.tags.get("project") == project


def places(names: Names, stacks: Collection[StackKind], target: Target) -> list[Place]:
    """Where these stacks' leftovers would be.

    Keys and the emitter's file system have no name: they are found by their tag alone.
    """
    buckets = names.bucket, access_log_bucket(names), lake_bucket(names), artifact_bucket(names)
    found = [Place("data", BUCKET, name) for name in buckets]
    found += [Place("streams", STREAM, name) for name in names.streams]
    # LocalStack, where it stands in for AWS, has none of these services' calls.
    if target == "aws":
        found += [Place("images", REPOSITORY, repository(names, service)) for service in get_args(Service)]
        found.append(Place("kafka", BROKERS, brokers(names)))
        found.append(Place("mwaa", SECRET, connection_secret(names)))
    return [place for place in found if place.stack in stacks]


def find(clients: Clients, looked: Collection[Place]) -> list[Leftover]:
    """What is there, ours or not.

    Raises:
        botocore.exceptions.ClientError: one could not be looked for.
    """
    return [found for place in looked if (found := look(clients, place))]


def look(clients: Clients, place: Place) -> Leftover | None:
    """What is there under this name; None where nothing is, or where it is being deleted.

    Raises:
        botocore.exceptions.ClientError: it could not be asked.
    """
    try:
        found = _LOOKS[place.kind](clients, place.name)
    except ClientError as error:
        unless_gone(error)
        return None
    return Leftover(place, *found) if found else None


def unless_gone(error: ClientError) -> bool:
    """False where the error says that something is not there; any other error goes on."""
    if error.response.get("Error", {}).get("Code") in _GONE:
        return False
    raise error


def _bucket(clients: Clients, name: str) -> tuple[str, Mapping[str, str] | None]:
    try:
        clients.s3.head_bucket(Bucket=name)
    except ClientError as error:
        if error.response["Error"]["Code"] in _ANOTHER_ACCOUNT:
            return name, None
        raise
    try:
        return name, _tags(clients.s3.get_bucket_tagging(Bucket=name)["TagSet"])
    except ClientError as error:
        unless_gone(error)
        return name, {}


def _stream(clients: Clients, name: str) -> tuple[str, Mapping[str, str]]:
    return name, _tags(clients.kinesis.list_tags_for_stream(StreamName=name)["Tags"])


def _repository(clients: Clients, name: str) -> tuple[str, Mapping[str, str]]:
    ecr = clients.other("ecr")
    arn = ecr.describe_repositories(repositoryNames=[name])["repositories"][0]["repositoryArn"]
    return name, _tags(ecr.list_tags_for_resource(resourceArn=arn)["tags"])


def _brokers(clients: Clients, name: str) -> tuple[str, Mapping[str, str]] | None:
    info = cluster_info(clients.other("kafka"), name)
    if info is None or info.get("State") == "DELETING":
        return None
    return info["ClusterArn"], info.get("Tags", {})


def _secret(clients: Clients, name: str) -> tuple[str, Mapping[str, str]]:
    found = clients.other("secretsmanager").describe_secret(SecretId=name)
    return found["ARN"], _tags(found.get("Tags", []))


def _tags(listed: Any) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in listed}


_LOOKS = {BUCKET: _bucket, STREAM: _stream, REPOSITORY: _repository, BROKERS: _brokers, SECRET: _secret}
