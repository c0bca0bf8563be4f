"""One rule per line of the security and reliability list; each is seen to fail on a broken copy of the templates."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from aws_deploy.wanted import ALL, NEEDS, Size, StackKind
from aws_policies import RULES, Deployment, Documents, Rule
from cfnlint.api import lint  # type: ignore[import-untyped]
from cfnlint.config import ManualArgs  # type: ignore[import-untyped]
from pipeline_contracts.kafka_topics import topic_specs
from pipeline_contracts.names import Names
from rendered import documents

ROOT = Path(__file__).parents[2]
BROKEN = [(rule, name, break_) for rule in RULES for name, break_ in rule.breaks.items()]


def test_every_line_of_the_list_has_a_rule_with_a_counter_example() -> None:
    assert [rule.line for rule in RULES] == list(range(1, 15))
    assert all(rule.breaks for rule in RULES)


@pytest.mark.parametrize("size", ["dev", "prod"])
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.line:02}")
def test_rule_holds(rule: Rule, size: Size) -> None:
    assert rule.check(Deployment(documents(), size)) == [], rule.title


@pytest.mark.parametrize(("rule", "name", "break_"), BROKEN, ids=[f"{r.line:02} {name}" for r, name, _ in BROKEN])
def test_rule_refuses(rule: Rule, name: str, break_: Callable[[Documents], None]) -> None:
    broken = documents()
    break_(broken)
    assert rule.check(Deployment(broken)) != [], name


@pytest.mark.parametrize("action", ["kafka-cluster:WriteDatum", "kinesis:PutRecordz"])
def test_misspelt_actions_are_found(action: str) -> None:
    document = documents()["proxy"]
    role = document["Resources"]["TaskRole"]["Properties"]
    role["Policies"][0]["PolicyDocument"]["Statement"][1]["Action"] = [action]
    found = lint(json.dumps(document), config=ManualArgs(regions=["us-east-1"]))
    assert [match.rule.id for match in found] == ["W3037"]


def imports(node: Any) -> set[str]:
    """Names of exports that a template reads, for pipeline ``pinterest``."""
    text = json.dumps(node).replace("${PipelineId}", "pinterest")
    return set(re.findall(r'"Fn::ImportValue": \{"Fn::Sub": "([^"]+)"', text))


def exports(document: Any) -> set[str]:
    names = [output["Export"]["Name"]["Fn::Sub"] for output in document["Outputs"].values() if "Export" in output]
    return {name.replace("${PipelineId}", "pinterest") for name in names}


def test_stacks_import_from_earlier_ones_and_as_declared() -> None:
    found = documents()
    giver = {name: kind for kind in ALL for name in exports(found[kind])}
    for position, kind in enumerate(ALL):
        givers = {giver[name] for name in imports(found[kind])}
        assert givers <= set(ALL[:position]), kind
        # What the deployer hands over, or puts into a bucket, is no import, and is needed all the same.
        by_parameter: dict[StackKind, set[str]] = {
            "streams": {"data"},
            "connect": {"kafka"},
            "proxy": {"kafka"},
            "api": {"data"},
            "databricks": {"data"},
        }
        assert givers | by_parameter.get(kind, set()) == NEEDS[kind], kind


def test_no_two_stacks_export_one_name() -> None:
    names = [name for document in documents().values() for name in exports(document)]
    assert len(names) == len(set(names))


def test_the_lake_is_in_one_place() -> None:
    """Whoever writes the tables and whoever follows them have one address, and the bundle's default is it."""
    found = documents()
    [container] = found["popularity"]["Resources"]["Task"]["Properties"]["ContainerDefinitions"]
    followed = next(item["Value"] for item in container["Environment"] if item["Name"] == "LAKE_URI")
    assert found["databricks"]["Outputs"]["LakeUri"]["Value"] == followed
    bundle = yaml.safe_load((ROOT / "databricks.yml").read_text(encoding="utf-8"))
    assert bundle["variables"]["lake_uri"]["default"] == followed["Fn::Sub"].replace("${PipelineId}", "pinterest")


def test_the_jobs_machines_may_do_what_the_jobs_do() -> None:
    deployment = Deployment(documents())
    [profile] = [item for item in deployment.of("AWS::IAM::InstanceProfile") if item.stack == "databricks"]
    [[role]] = [
        [item for item in deployment.of("AWS::IAM::Role") if item.stack == "databricks" and item.name == named["Ref"]]
        for named in profile.properties["Roles"]
    ]
    [trust] = role.properties["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "ec2.amazonaws.com"}
    rights: dict[str, set[str]] = {}
    for policy in role.properties["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            resources = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
            for resource in resources:
                rights.setdefault(resource.rpartition(":")[2], set()).update(actions)
    assert rights == {
        "pinterest-raw/*": {"s3:GetObject"},
        "pinterest-lake/*": {"s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"},
        "pinterest-raw": {"s3:ListBucket", "s3:GetBucketLocation"},
        "pinterest-lake": {"s3:ListBucket", "s3:GetBucketLocation"},
        "stream/streaming-pinterest-*": {
            "kinesis:DescribeStream",
            "kinesis:DescribeStreamSummary",
            "kinesis:ListShards",
            "kinesis:GetShardIterator",
            "kinesis:GetRecords",
        },
        "key/*": {"kms:Decrypt", "kms:GenerateDataKey"},
    }
    told = (ROOT / "docs" / "airflow.md").read_text(encoding="utf-8")
    assert {action for actions in rights.values() for action in actions if f"`{action.split(':')[1]}`" not in told
            and f"`{action}`" not in told} == set()  # fmt: skip


def test_the_bundles_command_gives_every_variable_that_a_deployment_decides() -> None:
    bundle = yaml.safe_load((ROOT / "databricks.yml").read_text(encoding="utf-8"))
    told = (ROOT / "docs" / "airflow.md").read_text(encoding="utf-8")
    given = dict(re.findall(r"\bBUNDLE_VAR_(\w+)=(\S+)", told))
    assert set(given) == set(bundle["variables"]) - {"spark_version", "node_type", "stream_node_type"}
    outputs = set(documents()["databricks"]["Outputs"])
    assert {given["lake_uri"], given["instance_profile_arn"]} <= {f"<{name}>" for name in outputs}


def test_a_task_can_write_where_it_mounts_an_empty_volume() -> None:
    """On Fargate such a volume is root's alone, unless the image has a VOLUME there: then it is as that is."""
    services = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    looked = 0
    for task in Deployment(documents()).of("AWS::ECS::TaskDefinition"):
        empty = {volume["Name"] for volume in task.properties.get("Volumes", []) if set(volume) == {"Name"}}
        [container] = task.properties["ContainerDefinitions"]
        build = services[{"popularity": "stream-reader"}.get(task.stack, task.stack)]["build"]
        dockerfile = (ROOT / build["dockerfile"]).read_text(encoding="utf-8")
        last_stage = dockerfile.rpartition("\nFROM ")[2]
        assert f" AS {build['target']}\n" in last_stage if "target" in build else " AS " not in last_stage
        for mount in container.get("MountPoints", []):
            if mount["SourceVolume"] in empty:
                assert f'\nVOLUME ["{mount["ContainerPath"]}"]\n' in last_stage, task
                looked += 1
    assert looked == 3


def test_topics_are_those_of_the_contracts() -> None:
    deployment = Deployment(documents(), "dev")
    made = {topic.properties["TopicName"]: topic.properties for topic in deployment.of("AWS::MSK::Topic")}
    specs = {spec.name: spec for spec in topic_specs(Names("pinterest"))}
    assert set(made) == set(specs)
    for name, properties in made.items():
        settings = json.loads(properties["Configs"]["Fn::Base64"])
        assert int(properties["PartitionCount"]) == specs[name].partitions
        # Kept for ever on a laptop only, where buckets are lost with LocalStack.
        assert settings == {**specs[name].config, "retention.ms": "604800000", "min.insync.replicas": "2"}
