import json
from typing import cast

import pytest
from aws_deploy.deployer import Deployer
from aws_deploy.destroy import delete_leftovers, destroy_stacks
from aws_deploy.errors import ForeignResourceError, ForeignStackError, ProtectedStackError, SettingError
from aws_deploy.leftovers import Leftover, Place, find, places
from aws_deploy.wanted import ALL, StackKind
from aws_policies import Deployment
from fake_cloudformation import FakeStack
from fake_stacks import FakeStacks
from mypy_boto3_cloudformation import CloudFormationClient
from pipeline_contracts.names import Names
from rendered import document, documents
from service_kit.clock import ManualClock
from stubbed_aws import StubbedAws

NAMES = Names("p")
NAME_KEYS = ("BucketName", "ClusterName", "RepositoryName", "Name")
TAGS = [{"Key": "project", "Value": "p"}]


@pytest.fixture
def cloud() -> FakeStacks:
    cloud = FakeStacks()
    for kind in ("data", "network", "kafka"):
        body = json.dumps({"Resources": document(kind)["Resources"]})
        cloud.stacks[f"p-{kind}"] = FakeStack(f"p-{kind}", "CREATE_COMPLETE", TAGS, body)
    return cloud


def deployer(cloud: FakeStacks) -> Deployer:
    return Deployer(cast("CloudFormationClient", cloud), "aws", clock=ManualClock())


def test_the_last_goes_first_and_what_stays_is_told(cloud: FakeStacks) -> None:
    retained = destroy_stacks(deployer(cloud), NAMES)
    assert cloud.calls == ["DELETE p-kafka", "DELETE p-network", "DELETE p-data"]
    told = {(item.stack, item.kind) for item in retained}
    assert {("p-kafka", "AWS::MSK::Cluster"), ("p-data", "AWS::S3::Bucket"), ("p-data", "AWS::KMS::Key")} <= told
    assert "p-network" not in {item.stack for item in retained}
    assert next(item.note for item in retained if item.kind == "AWS::MSK::Cluster") == "brokers are paid by the hour"


def test_nothing_is_deleted_while_one_is_protected(cloud: FakeStacks) -> None:
    cloud.protected = {"p-data"}
    with pytest.raises(ProtectedStackError, match="p-data are protected against deletion; nothing was deleted"):
        destroy_stacks(deployer(cloud), NAMES)
    assert cloud.calls == []
    destroy_stacks(deployer(cloud), NAMES, unprotect=True)
    assert len(cloud.calls) == 3


def test_a_stack_that_another_needs_stays(cloud: FakeStacks) -> None:
    with pytest.raises(SettingError, match="Stack kafka needs network; destroy it first, or with them"):
        destroy_stacks(deployer(cloud), NAMES, ["network"])
    assert cloud.calls == []


def test_a_foreign_stack_keeps_all_from_being_deleted(cloud: FakeStacks) -> None:
    cloud.stacks["p-data"].tags = []
    with pytest.raises(ForeignStackError):
        destroy_stacks(deployer(cloud), NAMES)
    assert cloud.calls == []


def left(*kinds: StackKind) -> tuple[StubbedAws, list[Leftover]]:
    """What there is of these stacks, which are gone themselves: one bucket, stream, cluster, secret of each."""
    aws = StubbedAws()
    s3, kinesis = aws.stub("s3"), aws.stub("kinesis")
    if "data" in kinds:
        s3.add_response("head_bucket", {}, {"Bucket": "p-raw"})
        s3.add_response("get_bucket_tagging", {"TagSet": TAGS})
        for _ in range(3):
            s3.add_client_error("head_bucket", "404")
    if "streams" in kinds:
        kinesis.add_response("list_tags_for_stream", {"Tags": TAGS, "HasMoreTags": False})
        for _ in range(2):
            kinesis.add_client_error("list_tags_for_stream", "ResourceNotFoundException")
    if "kafka" in kinds:
        brokers = {"ClusterName": "p", "ClusterArn": "arn", "Tags": {"project": "p"}}
        aws.stub("kafka").add_response("list_clusters", {"ClusterInfoList": [brokers]})
    if "mwaa" in kinds:
        aws.stub("secretsmanager").add_response(
            "describe_secret", {"ARN": "arn-of-the-secret-of-airflow", "Tags": TAGS}
        )
    return aws, find(aws.clients, places(NAMES, kinds, "aws"))


def test_data_of_stacks_that_are_gone_is_found_and_deleted() -> None:
    aws, found = left("data", "streams", "kafka", "mwaa")
    versions = {"Versions": [{"Key": "k", "VersionId": "1"}], "DeleteMarkers": [{"Key": "k", "VersionId": "2"}]}
    aws.stub("s3").add_response("list_object_versions", versions, {"Bucket": "p-raw"})
    aws.stub("s3").add_response("delete_objects", {})
    aws.stub("s3").add_response("delete_bucket", {}, {"Bucket": "p-raw"})
    stream = {"StreamName": "streaming-p-pin", "EnforceConsumerDeletion": True}
    aws.stub("kinesis").add_response("delete_stream", {}, stream)
    aws.stub("kafka").add_response("delete_cluster", {}, {"ClusterArn": "arn"})
    secret = {"SecretId": "p/airflow/connections/databricks_default", "ForceDeleteWithoutRecovery": True}
    aws.stub("secretsmanager").add_response("delete_secret", {}, secret)
    assert list(delete_leftovers(aws.clients, found, "p")) == [
        "bucket p-raw: deleted with 2 versions of objects",
        "stream streaming-p-pin: deleted",
        "brokers p: being deleted",
        "secret p/airflow/connections/databricks_default: deleted",
    ]
    aws.nothing_left()


def test_images_stay() -> None:
    aws = StubbedAws()
    images = Leftover(Place("images", "AWS::ECR::Repository", "p/proxy"), "p/proxy", {"project": "p"})
    assert list(delete_leftovers(aws.clients, [images], "p")) == []


def test_data_that_is_not_ours_is_named_and_not_deleted() -> None:
    aws = StubbedAws()
    aws.stub("kinesis").add_response("delete_stream", {})
    found = [
        Leftover(Place("data", "AWS::S3::Bucket", "p-raw"), "p-raw", {"project": "other"}),
        Leftover(Place("data", "AWS::S3::Bucket", "p-lake"), "p-lake", None),
        Leftover(Place("streams", "AWS::Kinesis::Stream", "s"), "s", {"project": "p"}),
    ]
    deleting = delete_leftovers(aws.clients, found, "p")
    assert next(deleting) == "stream s: deleted"
    with pytest.raises(ForeignResourceError, match=r"Without our tag project=p, and so not touched: Bucket p-raw$"):
        next(deleting)


def test_every_retained_resource_with_a_name_is_looked_for() -> None:
    """Templates and the looks name the same; keys, file systems and topics have no name of their own in an account."""
    looked = {(place.stack, place.kind, place.name) for place in places(Names("pinterest"), ALL, "aws")}
    retained = {
        (resource.stack, resource.kind, name)
        for resource in Deployment(documents()).all()
        if resource.whole.get("DeletionPolicy") == "Retain"
        and resource.kind not in {"AWS::KMS::Key", "AWS::EFS::FileSystem", "AWS::MSK::Topic"}
        for name in [next(resource.properties[key] for key in NAME_KEYS if key in resource.properties)]
    }
    assert looked == retained
