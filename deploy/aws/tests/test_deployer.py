import json
from dataclasses import replace
from typing import cast

import pytest
import yaml
from aws_deploy.clients import Target
from aws_deploy.deployer import Deployer
from aws_deploy.errors import (
    DeployTimeoutError,
    ForeignStackError,
    StackBlockedError,
    StackFailedError,
    UnsupportedResourceError,
)
from aws_deploy.render import NAMED_BY, template_path
from aws_deploy.resolve import resolve
from aws_deploy.stacks import Stack
from aws_deploy.wanted import ALL, NEEDS, StackKind
from aws_deploy.watcher import Change, Progress, Watcher
from fake_cloudformation import FakeStack, refused
from fake_stacks import FakeStacks
from mypy_boto3_cloudformation import CloudFormationClient
from rendered import document, stack
from service_kit.clock import ManualClock

TAGS = [{"Key": "project", "Value": "p"}]


def body(kind: str = "AWS::S3::Bucket") -> str:
    declared = {"PipelineId": {"Type": "String"}, "Other": {"Type": "String", "Default": "0"}}
    outputs = {"Name": {"Value": "made"}}
    return json.dumps({"Parameters": declared, "Resources": {"Made": {"Type": kind}}, "Outputs": outputs})


STACK = Stack("p-data", body(), {"PipelineId": "p"}, {"project": "p"})


class Recorder(Watcher):
    def __init__(self) -> None:
        self.told: list[str] = []

    def changes(self, stack: str, changes: list[Change]) -> None:
        self.told += [f"{change.action} {change.resource}" for change in changes] or ["no changes"]

    def rebuilding(self, stack: str) -> None:
        self.told.append("rebuilding")

    def making_anew(self, stack: str) -> None:
        self.told.append("making anew")

    def adopted(self, stack: str, difference: str) -> None:
        self.told.append(difference)

    def progress(self, stack: str, event: Progress) -> None:
        self.told.append(f"{event.resource} {event.status}")


class Bench:
    def __init__(self, target: Target) -> None:
        self.cloud = FakeStacks()
        self.watcher = Recorder()
        self.deployer = Deployer(
            cast("CloudFormationClient", self.cloud), target, watcher=self.watcher, clock=ManualClock(), deadline_s=60
        )

    def have(self, status: str, *, tags: list[dict[str, str]] = TAGS, coming: tuple[str, ...] = ()) -> None:
        self.cloud.stacks["p-data"] = FakeStack("p-data", status, tags, coming=list(coming))


@pytest.fixture
def aws() -> Bench:
    return Bench("aws")


@pytest.fixture
def local() -> Bench:
    return Bench("localstack")


@pytest.mark.parametrize("target", ["aws", "localstack"])
def test_a_new_stack_is_shown_made_and_followed(target: Target) -> None:
    bench = Bench(target)
    assert bench.deployer.apply(STACK) == {"Name": "made"}
    assert bench.watcher.told == ["Add Made", "Made CREATE_IN_PROGRESS", "Made CREATE_COMPLETE"]
    assert bench.cloud.calls == ["CREATE p-data"]


@pytest.mark.parametrize("target", ["aws", "localstack"])
def test_no_changes_is_success(target: Target) -> None:
    bench = Bench(target)
    first = bench.deployer.apply(STACK)
    bench.watcher.told.clear()
    assert bench.deployer.apply(STACK) == first
    assert bench.watcher.told == ["no changes"]


def test_a_change_is_an_update_on_aws(aws: Bench) -> None:
    aws.deployer.apply(STACK)
    aws.deployer.apply(replace(STACK, body=body("AWS::SNS::Topic")))
    assert aws.cloud.calls == ["CREATE p-data", "UPDATE p-data"]
    assert "Made UPDATE_COMPLETE" in aws.watcher.told


def test_a_change_makes_the_stack_anew_on_localstack(local: Bench) -> None:
    local.deployer.apply(STACK)
    local.deployer.apply(replace(STACK, body=body("AWS::SNS::Topic")))
    assert local.cloud.calls == ["CREATE p-data", "UPDATE p-data", "DELETE p-data", "CREATE p-data"]
    assert "rebuilding" in local.watcher.told


@pytest.mark.parametrize(
    "kind",
    ["AWS::KafkaConnect::Connector", "AWS::KafkaConnect::CustomPlugin", "AWS::KafkaConnect::WorkerConfiguration"],
)
def test_a_connector_that_would_be_replaced_goes_with_its_stack_and_comes_again(aws: Bench, kind: str) -> None:
    aws.deployer.apply(replace(STACK, body=body(kind)))
    aws.cloud.replaced = {"Made"}
    aws.watcher.told.clear()
    aws.deployer.apply(replace(STACK, body=body(kind), parameters={"PipelineId": "p", "Other": "1"}))
    assert aws.cloud.calls == ["CREATE p-data", "UPDATE p-data", "DELETE p-data", "CREATE p-data"]
    assert aws.watcher.told[:3] == ["Modify Made", "making anew", "Add Made"]


def test_nothing_else_is_deleted_to_be_replaced(aws: Bench) -> None:
    aws.deployer.apply(STACK)
    aws.cloud.replaced = {"Made"}
    with pytest.raises(StackFailedError, match="already exists"):
        aws.deployer.apply(replace(STACK, parameters={"PipelineId": "p", "Other": "1"}))
    assert aws.cloud.calls == ["CREATE p-data", "UPDATE p-data"]


def test_no_stack_reads_from_one_that_may_be_made_anew() -> None:
    """CloudFormation deletes no stack whose exports are in use."""
    assert not any("connect" in needed for needed in NEEDS.values())
    types = {kind: {item["Type"] for item in document(kind)["Resources"].values()} for kind in ALL}
    assert [kind for kind in ALL if any(name.startswith("AWS::KafkaConnect::") for name in types[kind])] == ["connect"]


def test_a_rebuild_happens_without_a_change_and_on_localstack_only(local: Bench, aws: Bench) -> None:
    for bench in (local, aws):
        bench.deployer.apply(STACK)
        bench.deployer.apply(STACK, rebuild=True)
    assert local.cloud.calls == ["CREATE p-data", "DELETE p-data", "CREATE p-data"]
    assert aws.cloud.calls == ["CREATE p-data", "UPDATE p-data"]


@pytest.mark.parametrize("target", ["aws", "localstack"])
def test_a_failure_names_stack_resource_and_first_reason(target: Target) -> None:
    bench = Bench(target)
    bench.cloud.fail_next = ("Made", "the name\n is taken")
    with pytest.raises(StackFailedError) as caught:
        bench.deployer.apply(STACK)
    assert str(caught.value) == "Stack p-data: resource Made failed: the name is taken"


def test_a_failure_is_not_blamed_on_an_earlier_one(aws: Bench) -> None:
    aws.cloud.fail_next = ("First", "an old reason")
    with pytest.raises(StackFailedError):
        aws.deployer.apply(STACK)
    aws.cloud.stacks["p-data"].status = "UPDATE_ROLLBACK_COMPLETE"
    aws.cloud.fail_next = ("Second", "a new reason")
    with pytest.raises(StackFailedError, match="resource Second failed: a new reason"):
        aws.deployer.apply(replace(STACK, body=body("AWS::SNS::Topic")))


@pytest.mark.parametrize("status", ["CREATE_FAILED", "ROLLBACK_COMPLETE", "UPDATE_FAILED", "REVIEW_IN_PROGRESS"])
def test_a_dead_stack_is_made_anew_on_localstack(local: Bench, status: str) -> None:
    local.have(status)
    local.deployer.apply(STACK)
    assert local.cloud.calls == ["DELETE p-data", "CREATE p-data"]


@pytest.mark.parametrize(
    ("status", "way"),
    [
        ("CREATE_FAILED", "delete-stack"),
        ("DELETE_FAILED", "delete-stack"),
        ("UPDATE_ROLLBACK_FAILED", "continue-update-rollback"),
    ],
)
def test_a_dead_stack_on_aws_is_left_to_a_person(aws: Bench, status: str, way: str) -> None:
    aws.have(status)
    with pytest.raises(StackBlockedError, match=f"p-data is {status}.*aws cloudformation {way} --stack-name p-data"):
        aws.deployer.apply(STACK)
    assert aws.cloud.calls == []


def test_a_stack_that_never_came_to_life_is_made_anew_on_aws_too(aws: Bench) -> None:
    aws.have("ROLLBACK_COMPLETE")
    aws.deployer.apply(STACK)
    assert aws.cloud.calls == ["DELETE p-data", "CREATE p-data"]


def test_a_creation_that_fails_leaves_nothing_behind(aws: Bench) -> None:
    aws.deployer.apply(STACK)
    aws.deployer.apply(replace(STACK, body=body("AWS::SNS::Topic")))
    assert aws.cloud.options == ["clean p-data"]


def test_leftovers_are_taken_over_and_then_not_cleaned_away(aws: Bench) -> None:
    aws.deployer.apply(replace(STACK, adopt=True))
    assert aws.cloud.options == ["import p-data"]


@pytest.mark.parametrize("kind", ["data", "streams", "images"])
def test_retained_resources_are_taken_over_under_literal_names(kind: StackKind) -> None:
    """CloudFormation imports nothing whose name is a function: it makes it, and fails since the name is taken."""
    template = yaml.safe_load(template_path(kind).read_text(encoding="utf-8"))
    found = stack(kind)
    made = resolve(template, found.parameters).values()
    names = {one["Properties"][NAMED_BY[one["Type"]]] for one in made if one["Type"] in NAMED_BY}
    assert len(names) >= 3
    bench = Bench("aws")
    bench.cloud.taken = names
    bench.deployer.apply(replace(found, adopt=True))
    bench = Bench("aws")
    bench.cloud.taken = names
    with pytest.raises(StackFailedError, match="already exists"):
        bench.deployer.apply(replace(found, adopt=True, body=json.dumps(template)))
    with pytest.raises(StackFailedError, match="already exists"):
        bench.deployer.apply(replace(found, adopt=False))


def test_what_is_taken_over_and_not_as_the_template_says_is_told(aws: Bench) -> None:
    changed = {"LogicalResourceId": "Made", "ResourceType": "AWS::S3::Bucket", "StackResourceDriftStatus": "MODIFIED"}
    unlike = {"PropertyPath": "/BucketEncryption", "ActualValue": "old", "ExpectedValue": "new"}
    gone = {"LogicalResourceId": "Other", "ResourceType": "AWS::S3::Bucket", "StackResourceDriftStatus": "DELETED"}
    aws.cloud.drift = [{**changed, "PropertyDifferences": [unlike]}, gone]
    aws.deployer.apply(replace(STACK, adopt=True))
    assert aws.watcher.told[-2:] == [
        "Made (AWS::S3::Bucket): /BucketEncryption is old, not new",
        "Other (AWS::S3::Bucket): is gone",
    ]


def test_a_comparison_that_is_not_allowed_stops_nothing(aws: Bench) -> None:
    aws.cloud.drift_error = refused("DetectStackDrift", "not authorized")
    assert aws.deployer.apply(replace(STACK, adopt=True)) == {"Name": "made"}
    assert "could not be compared with its template" in aws.watcher.told[-1]


def test_what_holds_data_is_protected(aws: Bench, local: Bench) -> None:
    for bench in (aws, local):
        bench.deployer.apply(replace(STACK, protected=True))
    assert aws.cloud.protected == {"p-data"}
    [_, denied] = aws.cloud.policies["p-data"]["Statement"]
    assert (denied["Effect"], denied["Resource"]) == ("Deny", ["LogicalResourceId/Made"])
    assert local.cloud.protected == set()


def test_an_interrupted_review_goes_on_on_aws(aws: Bench) -> None:
    aws.have("REVIEW_IN_PROGRESS")
    aws.deployer.apply(STACK)
    assert aws.cloud.calls == ["CREATE p-data"]


@pytest.mark.parametrize("target", ["aws", "localstack"])
def test_it_waits_for_somebody_elses_run(target: Target) -> None:
    bench = Bench(target)
    bench.have("UPDATE_IN_PROGRESS", coming=("UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"))
    bench.deployer.apply(STACK)
    assert bench.cloud.calls[0] == "UPDATE p-data"


@pytest.mark.parametrize("target", ["aws", "localstack"])
def test_a_review_without_tags_is_gone_on_with(target: Target) -> None:
    bench = Bench(target)
    bench.have("REVIEW_IN_PROGRESS", tags=[])
    assert bench.deployer.apply(STACK) == {"Name": "made"}
    bench.have("REVIEW_IN_PROGRESS", tags=[{"Key": "project", "Value": "other"}])
    with pytest.raises(ForeignStackError):
        bench.deployer.apply(STACK)


def test_an_update_that_was_rolled_back_can_be_tried_again(aws: Bench) -> None:
    aws.have("UPDATE_ROLLBACK_COMPLETE")
    aws.deployer.apply(STACK)
    assert aws.cloud.calls == ["UPDATE p-data"]


@pytest.mark.parametrize("target", ["aws", "localstack"])
@pytest.mark.parametrize("tags", [[], [{"Key": "project", "Value": "other"}]])
def test_a_stack_without_our_tag_is_not_touched(target: Target, tags: list[dict[str, str]]) -> None:
    bench = Bench(target)
    bench.have("ROLLBACK_COMPLETE", tags=tags)
    with pytest.raises(ForeignStackError, match="p-data exists and has no tag project=p"):
        bench.deployer.apply(STACK, rebuild=True)
    assert bench.cloud.calls == []


def test_the_wait_has_a_deadline(aws: Bench) -> None:
    aws.cloud.stuck = True
    with pytest.raises(DeployTimeoutError, match="p-data is still CREATE_IN_PROGRESS after 60 s"):
        aws.deployer.apply(STACK)


def test_a_type_that_localstack_lacks_is_an_error_unless_allowed(local: Bench) -> None:
    local.cloud.unknown = {"AWS::S3::Bucket"}
    with pytest.raises(UnsupportedResourceError, match=r"Made \(AWS::S3::Bucket\)"):
        local.deployer.apply(STACK)
    replace(local.deployer, may_be_unsupported=frozenset({"AWS::S3::Bucket"})).apply(STACK)


def test_a_stack_that_is_not_there_has_no_outputs(aws: Bench) -> None:
    assert aws.deployer.outputs("p-data") == {}
