import json
from typing import Any, cast

import pytest
from aws_deploy.brokers import Cluster, MskBrokers
from aws_deploy.deployer import Deployer
from aws_deploy.destroy import Left, delete_leftovers, destroy_stacks
from aws_deploy.errors import (
    DeployTimeoutError,
    ForeignResourceError,
    ForeignStackError,
    ProtectedStackError,
    SettingError,
)
from aws_deploy.leftovers import Leftover, Place, find, places
from aws_deploy.wanted import ALL, StackKind
from aws_policies import Deployment
from fake_cloudformation import FakeStack
from fake_stacks import FakeBrokers, FakeStacks
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


def destroy(cloud: FakeStacks, *kinds: StackKind, delete_data: bool = False, unprotect: bool = False) -> Left:
    return destroy_stacks(
        deployer(cloud),
        NAMES,
        kinds or ALL,
        brokers=FakeBrokers(cloud),
        delete_data=delete_data,
        unprotect=unprotect,
    )


def test_the_last_goes_first_and_what_stays_is_told(cloud: FakeStacks) -> None:
    left = destroy(cloud)
    assert cloud.calls == ["DELETE p-kafka", "DELETE p-network", "DELETE p-data"]
    told = {(item.stack, item.kind) for item in left.retained}
    assert {("p-data", "AWS::S3::Bucket"), ("p-data", "AWS::KMS::Key")} <= told
    assert {item.stack for item in left.retained} == {"p-data"}
    assert left.standing == []


def test_what_a_creation_that_was_undone_had_is_not_told_as_there(cloud: FakeStacks) -> None:
    cloud.stacks["p-data"].status = "ROLLBACK_COMPLETE"
    assert destroy(cloud, "data", "network", "kafka").retained == []


def test_what_brokers_stand_on_stays_with_them_and_is_told_with_its_price(cloud: FakeStacks) -> None:
    cloud.cluster = Cluster("arn", going=False)
    body = json.dumps({"Resources": document("proxy")["Resources"]})
    cloud.stacks["p-proxy"] = FakeStack("p-proxy", "CREATE_COMPLETE", TAGS, body)
    cloud.protected = {"p-kafka"}
    left = destroy(cloud)
    assert cloud.calls == ["DELETE p-proxy"]
    assert {stack.stack: round(stack.usd_per_hour, 1) for stack in left.standing} == {
        "p-data": 0.0,
        "p-network": 0.2,
        "p-kafka": 0.2,
    }
    assert left.retained == []
    assert [stack.stack for stack in destroy(cloud, "kafka").standing] == ["p-kafka"]


def test_brokers_whose_data_may_go_are_gone_before_what_they_stand_on(cloud: FakeStacks) -> None:
    cloud.cluster = Cluster("arn", going=False)
    body = json.dumps({"Resources": document("proxy")["Resources"]})
    cloud.stacks["p-proxy"] = FakeStack("p-proxy", "CREATE_COMPLETE", TAGS, body)
    left = destroy(cloud, delete_data=True)
    assert cloud.calls == [
        "DELETE p-proxy",
        "DELETE brokers",
        "DELETE p-kafka",
        "DELETE p-network",
        "DELETE p-data",
    ]
    assert left.standing == []
    assert not {item.kind for item in left.retained} & {"AWS::MSK::Cluster", "AWS::MSK::Topic"}


def test_brokers_that_somebody_is_deleting_are_waited_for(cloud: FakeStacks) -> None:
    cloud.cluster = Cluster("arn", going=True)
    assert destroy(cloud).standing == []
    assert cloud.calls[:2] == ["await the end of the brokers", "DELETE p-kafka"]


def test_brokers_without_their_stack_go_too(cloud: FakeStacks) -> None:
    cloud.stacks.clear()
    cloud.cluster = Cluster("arn", going=False)
    assert destroy(cloud).standing == []
    assert cloud.calls == []
    destroy(cloud, "kafka", delete_data=True)
    assert cloud.calls == ["DELETE brokers"]


def test_brokers_that_are_not_meant_keep_their_network(cloud: FakeStacks) -> None:
    del cloud.stacks["p-kafka"]
    cloud.cluster = Cluster("arn", going=False)
    with pytest.raises(SettingError, match="The brokers of p are still there; --stack kafka deletes them"):
        destroy(cloud, "network", delete_data=True)
    assert [stack.stack for stack in destroy(cloud, "network").standing] == ["p-network"]
    assert cloud.calls == []


def msk(aws: StubbedAws, clock: ManualClock) -> MskBrokers:
    return MskBrokers(aws.clients.other("kafka"), NAMES, clock=clock, deadline_s=60, poll_s=15)


def listed(**more: str) -> dict[str, Any]:
    one = {"ClusterName": "p", "ClusterArn": "arn", "Tags": {"project": "p"}, "State": "ACTIVE", **more}
    return {"ClusterInfoList": [{"ClusterName": "p-two", "ClusterArn": "arn-2"}, one]}


def test_the_end_of_brokers_is_waited_for() -> None:
    aws, clock = StubbedAws(), ManualClock()
    kafka = aws.stub("kafka")
    kafka.add_response("list_clusters", listed(), {"ClusterNameFilter": "p"})
    kafka.add_response("delete_cluster", {}, {"ClusterArn": "arn"})
    for _ in range(3):
        kafka.add_response("list_clusters", listed(State="DELETING"))
    kafka.add_response("list_clusters", {"ClusterInfoList": []})
    brokers = msk(aws, clock)
    found = brokers.find()
    assert found == Cluster("arn", going=False)
    brokers.delete(found)
    aws.nothing_left()
    assert clock.monotonic() == 45


def test_the_wait_for_brokers_has_a_deadline() -> None:
    aws = StubbedAws()
    for _ in range(5):
        aws.stub("kafka").add_response("list_clusters", listed(State="DELETING"))
    with pytest.raises(DeployTimeoutError, match="MSK cluster p is still being deleted after 60 s; destroy again"):
        msk(aws, ManualClock()).delete(Cluster("arn", going=True))
    aws.nothing_left()


def test_brokers_of_somebody_else_are_none() -> None:
    aws = StubbedAws()
    theirs = {"ClusterInfoList": [{"ClusterName": "p", "ClusterArn": "arn", "Tags": {"project": "q"}}]}
    aws.stub("kafka").add_response("list_clusters", theirs)
    assert msk(aws, ManualClock()).find() is None


def test_nothing_is_deleted_while_one_is_protected(cloud: FakeStacks) -> None:
    cloud.protected = {"p-data"}
    with pytest.raises(ProtectedStackError, match="p-data are protected against deletion; nothing was deleted"):
        destroy(cloud)
    assert cloud.calls == []
    destroy(cloud, unprotect=True)
    assert len(cloud.calls) == 3


def test_a_stack_that_another_needs_stays(cloud: FakeStacks) -> None:
    with pytest.raises(SettingError, match="Stack kafka needs network; destroy it first, or with them"):
        destroy(cloud, "network")
    assert cloud.calls == []


def test_a_foreign_stack_keeps_all_from_being_deleted(cloud: FakeStacks) -> None:
    cloud.stacks["p-data"].tags = []
    with pytest.raises(ForeignStackError):
        destroy(cloud)
    assert cloud.calls == []


def left(*kinds: StackKind) -> tuple[StubbedAws, list[Leftover]]:
    """What there is of these stacks, which are gone themselves: one bucket, stream, secret of each."""
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
    if "mwaa" in kinds:
        aws.stub("secretsmanager").add_response(
            "describe_secret", {"ARN": "arn-of-the-secret-of-airflow", "Tags": TAGS}
        )
    return aws, find(aws.clients, places(NAMES, kinds, "aws"))


def test_data_of_stacks_that_are_gone_is_found_and_deleted() -> None:
    aws, found = left("data", "streams", "mwaa")
    versions = {"Versions": [{"Key": "k", "VersionId": "1"}], "DeleteMarkers": [{"Key": "k", "VersionId": "2"}]}
    aws.stub("s3").add_response("list_object_versions", versions, {"Bucket": "p-raw"})
    aws.stub("s3").add_response("delete_objects", {})
    aws.stub("s3").add_response("delete_bucket", {}, {"Bucket": "p-raw"})
    stream = {"StreamName": "streaming-p-pin", "EnforceConsumerDeletion": True}
    kinesis = aws.stub("kinesis")
    kinesis.add_response("delete_stream", {}, stream)
    # It is told as deleted once Kinesis does not know it any more.
    kinesis.add_client_error("describe_stream", "ResourceNotFoundException")
    secret = {"SecretId": "p/airflow/connections/databricks_default", "ForceDeleteWithoutRecovery": True}
    aws.stub("secretsmanager").add_response("delete_secret", {}, secret)
    assert list(delete_leftovers(aws.clients, found, "p")) == [
        "bucket p-raw: deleted with 2 versions of objects",
        "stream streaming-p-pin: deleted",
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
    aws.stub("kinesis").add_client_error("describe_stream", "ResourceNotFoundException")
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
