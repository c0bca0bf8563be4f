import json
from typing import cast

import pytest
from aws_deploy.deployer import Deployer
from aws_deploy.destroy import Retained, delete_retained, destroy_stacks
from aws_deploy.errors import ForeignResourceError, ForeignStackError, ProtectedStackError, SettingError
from fake_cloudformation import FakeStack
from fake_stacks import FakeStacks
from mypy_boto3_cloudformation import CloudFormationClient
from pipeline_contracts.names import Names
from rendered import document
from service_kit.clock import ManualClock
from stubbed_aws import StubbedAws

NAMES = Names("p")
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


def test_data_that_is_not_ours_is_not_deleted() -> None:
    aws = StubbedAws()
    aws.stub("s3").add_response("get_bucket_tagging", {"TagSet": [{"Key": "project", "Value": "other"}]})
    with pytest.raises(ForeignResourceError, match="has no tag project=p; it was not touched"):
        list(delete_retained(aws.clients, [Retained("p-data", "AWS::S3::Bucket", "p-raw")], "p"))


def test_streams_and_brokers_go_with_their_data_and_keys_stay() -> None:
    aws = StubbedAws()
    kinesis, kafka = aws.stub("kinesis"), aws.stub("kafka")
    kinesis.add_response("list_tags_for_stream", {"Tags": TAGS, "HasMoreTags": False})
    kinesis.add_response("delete_stream", {}, {"StreamName": "s", "EnforceConsumerDeletion": True})
    kafka.add_response("describe_cluster", {"ClusterInfo": {"Tags": {"project": "p"}}}, {"ClusterArn": "arn"})
    kafka.add_response("delete_cluster", {}, {"ClusterArn": "arn"})
    left = [
        Retained("p-streams", "AWS::Kinesis::Stream", "s"),
        Retained("p-kafka", "AWS::MSK::Cluster", "arn"),
        Retained("p-mwaa", "AWS::SecretsManager::Secret", "secret"),
        Retained("p-data", "AWS::KMS::Key", "key"),
    ]
    secrets = aws.stub("secretsmanager")
    secrets.add_response("describe_secret", {"Tags": TAGS})
    secrets.add_response("delete_secret", {}, {"SecretId": "secret", "ForceDeleteWithoutRecovery": True})
    done = ["stream s: deleted", "brokers arn: being deleted", "secret secret: deleted"]
    assert list(delete_retained(aws.clients, left, "p")) == done
    aws.nothing_left()
