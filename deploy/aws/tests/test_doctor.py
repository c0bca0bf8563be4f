import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from aws_deploy.connection import airflow_connection
from aws_deploy.doctor import examine
from aws_deploy.errors import SettingError
from aws_deploy.surroundings import Account
from aws_deploy.wanted import ALL, StackKind
from pydantic import SecretStr
from rendered import IMAGE, SIGN_IN, wanted
from stubbed_aws import StubbedAws

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
WANTED = replace(wanted(), images={})


def zones(*names: str, **ids: str) -> dict[str, Any]:
    return {"AvailabilityZones": [{"ZoneName": name, "ZoneId": ids.get(name, f"id-of-{name}")} for name in names]}


def no_stacks(
    aws: StubbedAws, *but: StackKind, status: str = "CREATE_COMPLETE", parameters: dict[str, str] | None = None
) -> None:
    given = [{"ParameterKey": key, "ParameterValue": value} for key, value in (parameters or {}).items()]
    # What is deployed is asked for first, and each stack's state with its name.
    for kind in (*ALL, *ALL):
        if kind in but:
            there = {"StackName": f"pinterest-{kind}", "StackStatus": status, "CreationTime": NOON}
            tagged = {**there, "Tags": [{"Key": "project", "Value": "pinterest"}], "Parameters": given}
            aws.stub("cloudformation").add_response("describe_stacks", {"Stacks": [tagged]})
        else:
            aws.stub("cloudformation").add_client_error("describe_stacks", "ValidationError", "it does not exist")


def healthy(aws: StubbedAws) -> None:
    aws.stub("sts").add_response("get_caller_identity", {"Arn": "arn:aws:iam::000000000000:user/me", "Account": "0"})
    aws.stub("ec2").add_response("describe_availability_zones", zones("a", "b", "c"))
    aws.stub("apigateway").add_response("get_account", {"cloudwatchRoleArn": "arn:role"})
    no_stacks(aws)
    for _ in range(4):
        aws.stub("s3").add_client_error("head_bucket", "404")
    for _ in range(3):
        aws.stub("kinesis").add_client_error("list_tags_for_stream", "ResourceNotFoundException")
    for _ in range(4):
        aws.stub("ecr").add_client_error("describe_repositories", "RepositoryNotFoundException")
    aws.stub("kafka").add_response("list_clusters", {"ClusterInfoList": []})
    aws.stub("secretsmanager").add_client_error("describe_secret", "ResourceNotFoundException")
    for _ in range(3):
        aws.stub("ecr").add_response("describe_images", {"imageDetails": [{"imageDigest": f"sha256:{'a' * 64}"}]})
        aws.stub("ecr").add_response("describe_repositories", {"repositories": [{"repositoryUri": "uri"}]})
    for _ in range(2):
        aws.stub("service-quotas").add_response("get_service_quota", {"Quota": {"Value": 5.0}})


def states(aws: StubbedAws) -> dict[str, str]:
    return {found.name: found.state for found in examine(Account(aws.clients, tag="v1"), WANTED, None)}


def test_a_healthy_account() -> None:
    aws = StubbedAws()
    healthy(aws)
    assert states(aws) == {
        "credentials": "ok",
        "settings": "ok",
        "zones": "ok",
        "gateway logs": "ok",
        "names": "ok",
        "image proxy": "ok",
        "image emitter": "ok",
        "image stream-reader": "ok",
        "plugin": "warning",
        "quota: VPCs": "ok",
        "quota: Elastic IP addresses": "ok",
    }
    aws.nothing_left()


def test_one_thing_that_is_wrong_does_not_hide_the_others() -> None:
    aws = StubbedAws()
    aws.stub("sts").add_client_error("get_caller_identity", "ExpiredToken")
    aws.stub("ec2").add_response("describe_availability_zones", zones("a", "b"))
    aws.stub("apigateway").add_response("get_account", {})
    no_stacks(aws)
    aws.stub("s3").add_client_error("head_bucket", "403")
    for _ in range(3):
        aws.stub("ecr").add_client_error("describe_images", "ImageNotFoundException")
    aws.stub("service-quotas").add_response("get_service_quota", {"Quota": {"Value": 0.0}})
    aws.stub("service-quotas").add_response("get_service_quota", {"Quota": {"Value": 2.0}})
    assert {name for name, state in states(aws).items() if state == "failed"} == {
        "credentials",
        "zones",
        "gateway logs",
        "names",
        "image proxy",
        "image emitter",
        "image stream-reader",
        "quota: VPCs",
        "quota: Elastic IP addresses",
    }


def look_at_names(aws: StubbedAws) -> tuple[str, str]:
    (look,) = [item for item in examine(Account(aws.clients, tag="v1"), WANTED, None) if item.name == "names"]
    aws.nothing_left()
    return look.state, look.text


def test_what_apply_cannot_take_over_is_told_of_every_stack_that_is_not_there() -> None:
    aws = StubbedAws()
    no_stacks(aws, "streams")
    ours = [{"Key": "project", "Value": "pinterest"}]
    aws.stub("s3").add_response("head_bucket", {})
    aws.stub("s3").add_response("get_bucket_tagging", {"TagSet": ours})
    for _ in range(3):
        aws.stub("s3").add_client_error("head_bucket", "404")
    for _ in range(4):
        aws.stub("ecr").add_client_error("describe_repositories", "RepositoryNotFoundException")
    cluster = {"ClusterName": "pinterest", "ClusterArn": "arn-of-it", "Tags": {"project": "pinterest"}}
    aws.stub("kafka").add_response("list_clusters", {"ClusterInfoList": [cluster]})
    secret = {"ARN": "arn-of-the-secret-of-airflow", "Tags": ours}
    aws.stub("secretsmanager").add_response("describe_secret", secret)
    state, text = look_at_names(aws)
    assert state == "failed"
    assert "MSK cluster pinterest of an earlier deployment is still there" in text
    assert "Secret pinterest/airflow/connections/databricks_default of an earlier deployment is still there" in text
    assert "Bucket" not in text, "that one is taken over"


def test_nothing_is_looked_for_that_a_stack_holds() -> None:
    aws = StubbedAws()
    no_stacks(aws, *ALL)
    assert look_at_names(aws) == ("ok", "nothing is in the way")


def test_a_stack_that_only_a_person_may_go_on_with_is_told() -> None:
    aws = StubbedAws()
    no_stacks(aws, *ALL, status="UPDATE_ROLLBACK_FAILED")
    state, text = look_at_names(aws)
    assert state == "failed"
    assert "aws cloudformation continue-update-rollback --stack-name pinterest-data" in text


def test_what_apply_would_keep_is_not_asked_for_again() -> None:
    aws = StubbedAws()
    no_stacks(aws, *ALL, parameters={"Image": IMAGE, "PluginSha256": "1" * 64, "Zones": "a,c,d"})
    aws.stub("ec2").add_response("describe_availability_zones", zones("a", "b", "c", "d", b="use1-az3"))
    found = {look.name: (look.state, look.text) for look in examine(Account(aws.clients), WANTED, None)}
    assert found["zones"] == ("ok", "a, c, d")
    assert found["plugin"] == ("ok", f"stays {'1' * 64}")
    assert {found[f"image {name}"] for name in ("proxy", "emitter", "stream-reader")} == {("ok", f"stays {IMAGE}")}


def test_what_the_dashboard_needs_is_looked_for_where_it_is_asked_for() -> None:
    aws = StubbedAws()
    healthy(aws)
    aws.stub("ecr").add_client_error("describe_images", "ImageNotFoundException")
    aws.stub("secretsmanager").add_client_error("describe_secret", "ResourceNotFoundException")
    asked = replace(WANTED, overrides={"dashboard": SIGN_IN})
    found = {look.name: look for look in examine(Account(aws.clients, tag="v1"), asked, None)}
    assert (found["image dashboard"].state, found["sign-in"].state) == ("failed", "failed")
    assert "aws secretsmanager create-secret --name pinterest/dashboard/oidc" in found["sign-in"].text
    aws.nothing_left()


def test_a_setting_that_apply_would_refuse_is_told() -> None:
    asked = replace(WANTED, overrides={"alarms": {"Email": "nobody"}})
    found = {look.name: look for look in examine(Account(StubbedAws().clients), asked, None)}
    assert found["settings"].state == "failed"
    assert "Stack pinterest-alarms: parameter Email is 'nobody'" in found["settings"].text


def test_an_image_that_is_given_by_its_digest_needs_no_tag() -> None:
    found = {look.name: look.state for look in examine(Account(StubbedAws().clients), wanted(), None)}
    assert [found[f"image {name}"] for name in ("proxy", "emitter", "stream-reader")] == ["ok"] * 3


def look_at_zones(found: dict[str, Any], **network: str) -> tuple[str, str]:
    aws = StubbedAws()
    aws.stub("ec2").add_response("describe_availability_zones", found)
    asked = replace(WANTED, overrides={"network": network})
    (look,) = [item for item in examine(Account(aws.clients, tag="v1"), asked, None) if item.name == "zones"]
    return look.state, look.text


def test_a_zone_without_brokers_is_told_with_the_cure() -> None:
    state, text = look_at_zones(zones("a", "b", "c", "d", "e", b="use1-az3"))
    assert state == "failed"
    assert text == "a, b, c; MSK has no brokers in b (use1-az3): --set network.Zones=a,c,d"
    assert look_at_zones(zones("a", "b", "c", "d", d="use1-az3"))[0] == "ok"


def test_zones_that_were_chosen_are_looked_at() -> None:
    found = zones("a", "b", "c", "d", b="use1-az3")
    assert look_at_zones(found, Zones="a,c,d") == ("ok", "a, c, d")
    assert look_at_zones(found, Zones="a,b,c")[0] == "failed"
    assert look_at_zones(found, Zones="a,c,x") == (
        "failed",
        "a, c, x; three different ones of a, b, c, d are needed: --set network.Zones=a,c,d",
    )
    assert look_at_zones(found, Zones="a,a,c")[0] == "failed"


def test_fewer_than_three_zones_have_no_cure() -> None:
    told = "a, b; three different ones of a, b are needed: choose another region"
    assert look_at_zones(zones("a", "b")) == ("failed", told)


def test_databricks_that_does_not_answer_is_a_failure() -> None:
    aws = StubbedAws()
    healthy(aws)
    found = {f.name: f for f in examine(Account(aws.clients, tag="v1"), WANTED, "127.0.0.1:1")}
    assert found["databricks"].state == "failed"
    assert "127.0.0.1:1 does not answer" in found["databricks"].text


def test_the_connection_is_a_service_principal_or_a_token() -> None:
    principal = json.loads(airflow_connection("https://h/", "id", SecretStr("s"), None))
    assert principal["extra"] == {"service_principal_oauth": True}
    assert (principal["host"], principal["login"], principal["password"]) == ("h", "id", "s")
    assert json.loads(airflow_connection("h", None, None, SecretStr("t")))["password"] == "t"
    for given in ((None, None, None), ("id", None, None), ("id", SecretStr("s"), SecretStr("t"))):
        with pytest.raises(SettingError):
            airflow_connection("h", *given)
