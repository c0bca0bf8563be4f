"""The deployer against a real LocalStack."""

import json
import uuid
from dataclasses import replace

import pytest
from aws_deploy.apply import apply_stacks, read_outputs
from aws_deploy.cli import main
from aws_deploy.clients import Clients
from aws_deploy.deployer import Deployer
from aws_deploy.errors import ForeignStackError, StackFailedError, UnsupportedResourceError
from aws_deploy.stacks import Stack, stack_name
from aws_deploy.wanted import ORDER, Wanted
from aws_deploy.watcher import Change, Watcher
from click.testing import CliRunner
from pipeline_contracts.names import Names
from pydantic import SecretStr
from servers import LocalStack


class Recorder(Watcher):
    def __init__(self) -> None:
        self.changed: dict[str, list[Change]] = {}
        self.rebuilt: list[str] = []

    def changes(self, stack: str, changes: list[Change]) -> None:
        self.changed[stack] = changes

    def rebuilding(self, stack: str) -> None:
        self.rebuilt.append(stack)


@pytest.fixture
def clients(localstack: LocalStack) -> Clients:
    return Clients.on_localstack(localstack.endpoint_url, "us-east-1")


@pytest.fixture
def wanted(clients: Clients) -> Wanted:
    names = Names(f"dep-{uuid.uuid4().hex[:8]}")
    return Wanted(
        names, "localstack", clients.endpoint_url, "http://127.0.0.1:1", SecretStr(f"key-of-{names.pipeline_id}-0001")
    )


def deployer(clients: Clients, watcher: Watcher | None = None) -> Deployer:
    return Deployer(clients.cloudformation, "localstack", watcher=watcher or Watcher(), poll_s=0.1, deadline_s=60)


def resource_stack(resources: dict[str, object]) -> Stack:
    name = f"dep-{uuid.uuid4().hex[:8]}"
    return Stack(name, json.dumps({"Resources": resources}), {}, {"project": name})


def test_applying_twice_changes_nothing_the_second_time(clients: Clients, wanted: Wanted) -> None:
    first = apply_stacks(deployer(clients), wanted)
    recorder = Recorder()
    assert apply_stacks(deployer(clients, recorder), wanted) == first
    assert recorder.changed == {stack_name(wanted.names, kind): [] for kind in ORDER}
    assert read_outputs(deployer(clients), wanted.names) == first


def test_what_stands_in_the_contracts_is_what_is_deployed(clients: Clients, wanted: Wanted) -> None:
    apply_stacks(deployer(clients), wanted)
    bucket = wanted.names.bucket
    access = clients.s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert set(access.values()) == {True}
    assert clients.s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    for stream in wanted.names.streams:
        summary = clients.kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]
        assert summary["OpenShardCount"] == 2


def test_a_changed_api_reaches_the_stage_and_the_rest_stays(clients: Clients, wanted: Wanted) -> None:
    apply_stacks(deployer(clients), wanted)
    clients.s3.put_object(Bucket=wanted.names.bucket, Key="kept", Body=b"kept")
    recorder = Recorder()
    apply_stacks(deployer(clients, recorder), replace(wanted, proxy_url="http://127.0.0.1:2"))
    assert recorder.rebuilt == [stack_name(wanted.names, "api")]
    api = wanted.names.api_id
    [resource] = [
        item for item in clients.apigateway.get_resources(restApiId=api)["items"] if item["path"] == "/topics/{proxy+}"
    ]
    method = clients.apigateway.get_method(restApiId=api, resourceId=resource["id"], httpMethod="ANY")
    assert method["methodIntegration"]["uri"] == "http://127.0.0.1:2/topics/{proxy}"
    assert clients.s3.get_object(Bucket=wanted.names.bucket, Key="kept")["Body"].read() == b"kept"


def test_a_rebuilt_stack_keeps_objects_and_records(clients: Clients, wanted: Wanted) -> None:
    apply_stacks(deployer(clients), wanted)
    stream = wanted.names.stream("pin")
    clients.s3.put_object(Bucket=wanted.names.bucket, Key="kept", Body=b"kept")
    put = clients.kinesis.put_record(StreamName=stream, Data=b"kept", PartitionKey="1")
    apply_stacks(deployer(clients), wanted, rebuild=ORDER)
    assert clients.s3.get_object(Bucket=wanted.names.bucket, Key="kept")["Body"].read() == b"kept"
    iterator = clients.kinesis.get_shard_iterator(
        StreamName=stream, ShardId=put["ShardId"], ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    assert [r["Data"] for r in clients.kinesis.get_records(ShardIterator=iterator)["Records"]] == [b"kept"]


def test_a_lost_bucket_comes_back(clients: Clients, wanted: Wanted) -> None:
    apply_stacks(deployer(clients), wanted)
    clients.s3.delete_bucket(Bucket=wanted.names.bucket)
    apply_stacks(deployer(clients), wanted, rebuild=["data"])
    clients.s3.head_bucket(Bucket=wanted.names.bucket)


def test_a_failure_names_stack_resource_and_reason_and_can_be_mended(clients: Clients) -> None:
    stack = resource_stack({"Bad": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "Not A Bucket"}}})
    with pytest.raises(StackFailedError, match=f"Stack {stack.name}: resource Bad failed: .*Invalid bucket name"):
        deployer(clients).apply(stack)
    good = {"Bad": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": stack.name}}}
    deployer(clients).apply(replace(stack, body=json.dumps({"Resources": good})))
    clients.s3.head_bucket(Bucket=stack.name)


def test_a_stream_with_other_shards_is_not_taken_for_the_wanted_one(clients: Clients, wanted: Wanted) -> None:
    clients.kinesis.create_stream(StreamName=wanted.names.stream("geo"), ShardCount=1)
    clients.kinesis.get_waiter("stream_exists").wait(StreamName=wanted.names.stream("geo"), WaiterConfig={"Delay": 1})
    with pytest.raises(StackFailedError, match=r"resource GeoStream failed: .*already exists"):
        apply_stacks(deployer(clients), wanted)


def test_a_type_that_localstack_lacks_is_noticed(clients: Clients) -> None:
    stack = resource_stack(
        {"Made": {"Type": "AWS::SNS::Topic"}, "Lacking": {"Type": "AWS::MSK::Configuration", "Properties": {}}}
    )
    with pytest.raises(UnsupportedResourceError, match=r"Lacking \(AWS::MSK::Configuration\)$|Lacking") as caught:
        deployer(clients).apply(stack)
    assert "Made" not in str(caught.value)
    allowing = replace(deployer(clients), may_be_unsupported=frozenset({"AWS::MSK::Configuration"}))
    allowing.apply(stack)


def test_somebody_elses_stack_is_not_touched(clients: Clients, wanted: Wanted) -> None:
    clients.cloudformation.create_stack(
        StackName=stack_name(wanted.names, "data"),
        TemplateBody=json.dumps({"Resources": {"Theirs": {"Type": "AWS::SNS::Topic"}}}),
    )
    with pytest.raises(ForeignStackError, match=stack_name(wanted.names, "data")):
        apply_stacks(deployer(clients), wanted)


def test_the_command_applies_and_shows(clients: Clients, wanted: Wanted) -> None:
    env = {
        "PIPELINE_ID": wanted.names.pipeline_id,
        "AWS_ENDPOINT_URL": clients.endpoint_url,
        "PROXY_URL": "http://127.0.0.1:1",
        "GATEWAY_API_KEY": wanted.api_key.get_secret_value(),
    }
    applied = CliRunner().invoke(main, ["apply"], env=env)
    assert applied.exit_code == 0, applied.output
    assert f"{wanted.names.pipeline_id}-api: add RestApi (AWS::ApiGateway::RestApi)" in applied.output
    assert wanted.api_key.get_secret_value() not in applied.output
    shown = CliRunner().invoke(main, ["outputs", "--format", "json"], env=env)
    assert json.loads(shown.stdout)["data"] == {"BucketName": wanted.names.bucket}


def test_the_command_says_in_one_line_that_nobody_answers() -> None:
    env = {"AWS_ENDPOINT_URL": "http://localhost:1", "PROXY_URL": "http://p", "GATEWAY_API_KEY": "k" * 20}
    failed = CliRunner().invoke(main, ["apply"], env=env)
    assert failed.exit_code == 1
    assert failed.output == 'Error: Could not connect to the endpoint URL: "http://localhost:1/"\n'
