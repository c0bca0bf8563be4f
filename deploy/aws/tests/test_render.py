import json
from typing import Any

import pytest
import yaml
from aws_deploy.render import MAX_BODY_BYTES, render, template_path

API = """
Parameters:
  Url: {Type: String}
  Other: {Type: String}
  Secret: {Type: String, NoEcho: true}
  Kind: {Type: String}
Mappings:
  Lines: {aws: {Line: one}}
  Others: {aws: {Line: one}}
Conditions:
  Far: {"Fn::Equals": [{Ref: Kind}, far]}
  Unused: {"Fn::Equals": [{Ref: Other}, far]}
Resources:
  Api:
    Type: AWS::ApiGateway::RestApi
    Properties:
      Body:
        paths: {/a: &route {uri: {"Fn::Sub": "${Url}/${Secret}"}}, /b: *route}
        line: {"Fn::If": [Far, {"Fn::FindInMap": [Lines, aws, Line]}, none]}
  Refusal: {Type: AWS::ApiGateway::GatewayResponse, Properties: {StatusCode: "400"}}
  Snapshot: {Type: AWS::ApiGateway::Deployment, Properties: {RestApiId: {Ref: Api}}}
  Stage: {Type: AWS::ApiGateway::Stage, DependsOn: Snapshot, Properties: {DeploymentId: {Ref: Snapshot}}}
"""
PARAMETERS = {"Url": "http://a", "Other": "1", "Secret": "s", "Kind": "far"}


def rendered(template: str = API, **changed: str) -> Any:
    return json.loads(render(template, PARAMETERS | changed))


def deployment(document: Any) -> str:
    [name] = [n for n, r in document["Resources"].items() if r["Type"] == "AWS::ApiGateway::Deployment"]
    return str(name)


def test_aliases_are_resolved() -> None:
    body = rendered()["Resources"]["Api"]["Properties"]["Body"]
    assert body["paths"]["/a"] == body["paths"]["/b"]


def test_the_deployment_is_renamed_wherever_it_is_named() -> None:
    document = rendered()
    name = deployment(document)
    assert name.startswith("Snapshot")
    assert len(name) == len("Snapshot") + 12
    stage = document["Resources"]["Stage"]
    assert (stage["DependsOn"], stage["Properties"]["DeploymentId"]) == (name, {"Ref": name})


def test_the_name_follows_the_body_and_what_it_names() -> None:
    name = deployment(rendered())
    assert deployment(rendered()) == name
    assert deployment(rendered(API.replace("/b:", "/c:"))) != name
    assert deployment(rendered(Url="http://b")) != name


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("Lines: {aws: {Line: one}}", "Lines: {aws: {Line: two}}"),
        ("{Ref: Kind}, far", "{Ref: Kind}, near"),
        ('StatusCode: "400"', 'StatusCode: "422"'),
    ],
)
def test_the_name_follows_mappings_conditions_and_gateway_responses(text: str, other: str) -> None:
    assert deployment(rendered(API.replace(text, other))) != deployment(rendered())
    assert deployment(rendered(Kind="near")) != deployment(rendered())


def test_the_name_ignores_other_parameters_and_secrets() -> None:
    name = deployment(rendered())
    assert deployment(rendered(Other="2")) == name
    assert deployment(rendered(API.replace("Others: {aws: {Line: one}}", "Others: {aws: {Line: two}}"))) == name
    assert deployment(rendered(Secret="t")) == name


def test_names_of_what_outlives_its_stack_are_plain_strings() -> None:
    shared = "&all {BucketName: {Ref: Other}, AccessControl: {Ref: Url}}"
    template = API.replace("Resources:", f"Resources:\n  One: {{Type: AWS::S3::Bucket, Properties: {shared}}}")
    [one] = [item for name, item in rendered(template)["Resources"].items() if name == "One"]
    assert one["Properties"] == {"BucketName": "1", "AccessControl": {"Ref": "Url"}}
    regional = template.replace("{Ref: Other}", '{"Fn::Sub": "a-${AWS::Region}"}')
    with pytest.raises(ValueError, match=r"One\.BucketName must follow from parameters alone"):
        rendered(regional)


def test_a_template_without_an_api_stays_as_it_is() -> None:
    text = template_path("network").read_text(encoding="utf-8")
    assert json.loads(render(text, {})) == yaml.safe_load(text)


def test_a_template_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="CloudFormation takes"):
        render(f"Description: {'x' * MAX_BODY_BYTES}\nResources: {{}}", {})
