"""The templates as CloudFormation gets them: cfn-lint, and the lines of the security list that they can show."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from aws_deploy.resolve import resolve
from aws_deploy.stacks import build
from aws_deploy.wanted import ALL, ORDER, StackKind
from cfnlint.api import lint  # type: ignore[import-untyped]
from cfnlint.config import ManualArgs  # type: ignore[import-untyped]
from pipeline_contracts.names import STREAM_SHARDS, Names
from rendered import document, stack, wanted

TEMPLATES = Path(__file__).parents[2] / "deploy" / "aws" / "templates"


def resources(kind: StackKind, of_type: str) -> dict[str, Any]:
    return {name: item for name, item in document(kind)["Resources"].items() if item["Type"] == of_type}


def operations() -> dict[tuple[str, str], Any]:
    paths = document("api")["Resources"]["RestApi"]["Properties"]["Body"]["paths"]
    return {
        (path, verb): operation
        for path, verbs in paths.items()
        for verb, operation in verbs.items()
        if verb != "parameters"
    }


def test_every_template_is_a_stack() -> None:
    assert {path.stem for path in TEMPLATES.iterdir()} == set(ALL)
    assert [kind for kind in ALL if kind in ORDER] == list(ORDER)


@pytest.mark.parametrize("kind", ALL)
def test_every_parameter_is_given_and_known(kind: StackKind) -> None:
    declared, given = document(kind)["Parameters"], set(stack(kind).parameters)
    assert given <= set(declared)
    assert {name for name, parameter in declared.items() if "Default" not in parameter} <= given


@pytest.mark.parametrize("kind", ALL)
def test_cfn_lint_finds_nothing(kind: StackKind) -> None:
    found = lint(json.dumps(document(kind)), config=ManualArgs(regions=["us-east-1"]))
    assert [str(match) for match in found] == []


def test_cfn_lint_would_find_something() -> None:
    broken = document("streams")
    broken["Resources"]["PinStream"]["Properties"]["StreamModeDetails"]["StreamMode"] = "SOMETIMES"
    assert lint(json.dumps(broken), config=ManualArgs(regions=["us-east-1"]))


@pytest.mark.parametrize("kind", ALL)
def test_sources_use_no_short_tags(kind: StackKind) -> None:
    yaml.safe_load((TEMPLATES / f"{kind}.yaml").read_text(encoding="utf-8"))


def test_buckets_are_closed_versioned_and_kept() -> None:
    buckets = resources("data", "AWS::S3::Bucket")
    assert buckets
    for bucket in buckets.values():
        properties = bucket["Properties"]
        assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
        assert len(properties["PublicAccessBlockConfiguration"]) == 4
        assert properties["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
        assert properties["VersioningConfiguration"] == {"Status": "Enabled"}
        assert any("AbortIncompleteMultipartUpload" in rule for rule in properties["LifecycleConfiguration"]["Rules"])
        assert (bucket["DeletionPolicy"], bucket["UpdateReplacePolicy"]) == ("Retain", "Retain")


def test_every_bucket_refuses_plain_http() -> None:
    policies = resources("data", "AWS::S3::BucketPolicy").values()
    closed = [
        policy["Properties"]["Bucket"]["Ref"]
        for policy in policies
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Deny" and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    ]
    assert sorted(closed) == sorted(resources("data", "AWS::S3::Bucket"))


def test_the_raw_bucket_uses_the_key_and_the_key_rotates() -> None:
    [key] = resources("data", "AWS::KMS::Key").values()
    assert key["Properties"]["EnableKeyRotation"] is True
    assert key["DeletionPolicy"] == "RetainExceptOnCreate"
    raw = resources("data", "AWS::S3::Bucket")["RawBucket"]["Properties"]
    [rule] = raw["BucketEncryption"]["Fn::If"][1]["ServerSideEncryptionConfiguration"]
    assert rule["BucketKeyEnabled"] is True
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"


def test_streams_are_encrypted_kept_and_named_as_in_the_contracts() -> None:
    streams = resources("streams", "AWS::Kinesis::Stream")
    named = {s["Properties"]["Name"] for s in streams.values()}
    assert named == set(Names("pinterest").streams)
    for stream in streams.values():
        assert stream["Properties"]["StreamEncryption"]["Fn::If"][1]["EncryptionType"] == "KMS"
        assert stream["DeletionPolicy"] == "Retain"
    assert document("streams")["Parameters"]["Shards"]["Default"] == STREAM_SHARDS


def test_every_route_needs_the_key() -> None:
    assert len(operations()) == 7
    for operation in operations().values():
        assert operation["security"] == [{"api_key": []}]


def test_streams_are_managed_by_signed_requests_and_a_role_of_their_own() -> None:
    signed = {route for route, operation in operations().items() if "x-amazon-apigateway-auth" in operation}
    assert signed == {("/streams/{stream}", "post"), ("/streams/{stream}", "delete")}
    for route, operation in operations().items():
        role = operation["x-amazon-apigateway-integration"].get("credentials", {}).get("Fn::GetAtt", [None])[0]
        assert role == ("StreamsRole" if route in signed else "RecordsRole" if "streams" in route[0] else None)


def test_no_error_of_kinesis_becomes_a_200() -> None:
    for (path, _), operation in operations().items():
        integration = operation["x-amazon-apigateway-integration"]
        if integration["type"] == "aws":
            assert integration["passthroughBehavior"] == "never", path
            by_pattern = {pattern: answer["statusCode"] for pattern, answer in integration["responses"].items()}
            assert by_pattern == {
                "default": "200",
                **{status: status for status in ("400", "403", "404", "413", "503")},
                r"4(?!00|03|04|13)\d{2}": "400",
                r"5(?!03)\d{2}": "500",
            }


@pytest.mark.parametrize("kind", ALL)
def test_no_action_is_a_wildcard_outside_key_and_deny(kind: StackKind) -> None:
    for role in resources(kind, "AWS::IAM::Role").values():
        assert "*" not in json.dumps([_actions(policy) for policy in role["Properties"]["Policies"]])


def _actions(policy: Any) -> list[Any]:
    policy = policy.get("Fn::If", [None, policy])[1]
    return [statement["Action"] for statement in policy["PolicyDocument"]["Statement"]]


def test_subnets_lie_in_the_zones_that_are_chosen() -> None:
    chosen = build("network", wanted(network={"Zones": "x-1a,x-1c,x-1d", "NatGateways": "per-zone"}), {})
    subnets = {
        name: item["Properties"]["AvailabilityZone"]
        for name, item in resolve(document("network"), chosen.parameters).items()
        if item["Type"] == "AWS::EC2::Subnet"
    }
    split = {"Fn::Split": [",", "x-1a,x-1c,x-1d"]}
    assert subnets == {
        f"{side}{zone}": {"Fn::Select": [place, split]}
        for side in ("Private", "Public")
        for place, zone in enumerate("ABC")
    }
    by_default = resolve(document("network"), stack("network").parameters)
    assert by_default["PrivateB"]["Properties"]["AvailabilityZone"] == {"Fn::Select": [1, {"Fn::GetAZs": ""}]}


def test_the_dashboard_is_json_and_shows_every_broker() -> None:
    board = resolve(document("alarms"), stack("alarms").parameters)["Dashboard"]["Properties"]["DashboardBody"]
    shown = json.loads(board)["widgets"]
    assert (
        sum('{AWS/Kafka,"Broker ID","Cluster Name"}' in str(widget["properties"]["metrics"]) for widget in shown) == 3
    )


def test_airflow_has_the_version_that_the_dag_and_its_pins_are_for() -> None:
    pins = (TEMPLATES.parents[2] / "dags" / "requirements.txt").read_text(encoding="utf-8")
    [version] = set(re.findall(r"constraints-(\d+\.\d+\.\d+)/", pins))
    assert document("mwaa")["Parameters"]["AirflowVersion"]["AllowedValues"] == [version]


def test_the_api_keys_are_not_echoed() -> None:
    parameters = document("api")["Parameters"]
    assert (parameters["ApiKeyValue"]["NoEcho"], parameters["ApiKeyValue"]["MinLength"]) == (True, 20)
    assert (parameters["AdminKeyValue"]["NoEcho"], parameters["AdminKeyValue"]["Default"]) == (True, "")
    assert "KeyValue" not in json.dumps(document("api")["Outputs"])


def test_only_the_second_key_manages_streams() -> None:
    """Any key of the stage opens any route of a REST API: the templates of both verbs look which one it was."""
    asked = "#if($context.identity.apiKeyId == $stageVariables.adminKeyId)"
    for route, operation in operations().items():
        integration = operation["x-amazon-apigateway-integration"]
        texts = [*integration.get("requestTemplates", {}).values()]
        managing = route in {("/streams/{stream}", "post"), ("/streams/{stream}", "delete")}
        assert all((asked in str(text)) == managing for text in texts), route
        if managing:
            assert asked in integration["responses"]["400"]["responseTemplates"]["application/json"]
    [stage] = resources("api", "AWS::ApiGateway::Stage").values()
    assert stage["Properties"]["Variables"] == {"adminKeyId": {"Fn::If": ["HasAdminKey", {"Ref": "AdminKey"}, "none"]}}


def test_bodies_have_no_field_that_nothing_reads() -> None:
    schemas = document("api")["Resources"]["RestApi"]["Properties"]["Body"]["components"]["schemas"]
    rows = {"Data", "data"}

    def closed(name: str, schema: dict[str, Any]) -> bool:
        if schema.get("type") == "array":
            return closed(name, schema["items"])
        if schema.get("type") != "object" or name in rows:
            return True
        inner = schema["properties"].items()
        return schema.get("additionalProperties") is False and all(closed(key, value) for key, value in inner)

    assert all(closed(name, schema) for name, schema in schemas.items())


def test_a_log_line_stays_json() -> None:
    """``error.message`` may hold quotes; ``error.messageString`` is quoted already."""
    [stage] = resources("api", "AWS::ApiGateway::Stage").values()
    line = stage["Properties"]["AccessLogSetting"]["Fn::If"][1]["Format"]
    assert '"error":$context.error.messageString}' in line
    assert '$context.error.message"' not in line


def test_every_parameter_is_checked() -> None:
    for kind in ALL:
        for name, parameter in document(kind)["Parameters"].items():
            checks = {"AllowedValues", "AllowedPattern", "MinValue"} & set(parameter)
            assert checks, f"{kind}: {name}"
