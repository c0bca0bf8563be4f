from dataclasses import replace
from pathlib import Path

import pytest
from aws_deploy.connectors import include_connectors, worker_name
from aws_deploy.costs import idle_costs
from aws_deploy.errors import SettingError
from aws_deploy.resolve import resolve
from aws_deploy.stacks import build
from aws_deploy.wanted import ALL, NEEDS, StackKind
from pydantic import SecretStr
from rendered import EARLIER, document, optional, wanted


@pytest.mark.parametrize(
    ("stack", "name", "value", "text"),
    [
        ("kafka", "KafkaVersion", "banana", "must be one of 3.9.x.kraft, 4.1.x.kraft"),
        ("kafka", "InstanceType", "kafka.huge", "must be one of by-size, kafka.t3.small"),
        ("mwaa", "AirflowVersion", "9.9.9", "must be one of 3.2.1"),
        ("kafka", "VolumeGiB", "5", "must be from 10 to 16384"),
        ("kafka", "VolumeGiB", "many", "must be a whole number"),
        ("network", "VpcPrefix", "8.8", "must be the first two numbers of a private /16"),
        ("streams", "Shard", "2", "has no parameter Shard. It has: KeyArn, Mode"),
        ("proxy", "Image", "proxy:latest", "must name the image by its digest"),
    ],
)
def test_a_bad_value_is_said_with_the_rule(stack: str, name: str, value: str, text: str) -> None:
    with pytest.raises(SettingError, match=f"pinterest-{stack}") as caught:
        build(stack, wanted(**{stack: {name: value}}), EARLIER)  # type: ignore[arg-type]
    assert text in str(caught.value)


CERTIFICATE = "arn:aws:acm:us-east-1:000000000000:certificate/1"


@pytest.mark.parametrize(("kind", "output"), [("proxy", "ProxyUrl"), ("popularity", "PopularityUrl")])
def test_a_certificate_comes_with_the_name_that_is_called(kind: StackKind, output: str) -> None:
    with pytest.raises(SettingError, match=rf"give --set {kind}\.HostName="):
        build(kind, wanted("dev", **{kind: {"CertificateArn": CERTIFICATE}}), EARLIER)
    chosen = {"CertificateArn": CERTIFICATE, "HostName": "in.example.com"}
    given = build(kind, wanted("dev", **{kind: chosen}), EARLIER).parameters
    # Outputs are resolved as properties are.
    template = document(kind) | {"Resources": {"Url": {"Properties": document(kind)["Outputs"][output]}}}
    value = resolve(template, given)["Url"]["Properties"]["Value"]
    assert "".join(value["Fn::Join"][1] if isinstance(value, dict) else value).startswith("https://in.example.com")


def test_a_secret_is_not_repeated() -> None:
    with pytest.raises(SettingError) as caught:
        build("api", wanted(api={"ApiKeyValue": "sh rt"}), EARLIER)
    assert "sh rt" not in str(caught.value)
    assert "(not shown)" in str(caught.value)


def test_the_workers_name_follows_its_settings() -> None:
    name = worker_name("p", "60000")
    assert name == worker_name("p", "60000")
    assert name != worker_name("p", "30000")
    stack = build("connect", wanted(connect={"FlushIntervalMs": "30000"}), EARLIER)
    assert stack.parameters["WorkerName"] == worker_name("pinterest", "30000")


def test_an_unknown_placeholder_in_a_connectors_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.properties").write_text("# comment\nname=x\ntopics=${PIPELINE_ID}.pin\nother=${WHAT}\n")
    with pytest.raises(ValueError, match="unknown placeholder in other"):
        include_connectors({"C": {"Pipeline::Connector": "a.properties"}}, tmp_path)
    (tmp_path / "a.properties").write_text("name=x\ntopics=${PIPELINE_ID}.pin\nplain=1\n")
    included = include_connectors({"C": {"Pipeline::Connector": "a.properties", "more": "2"}}, tmp_path)
    assert included == {"C": {"topics": {"Fn::Sub": "${PipelineId}.pin"}, "plain": "1", "more": "2"}}


TEMPLATE = {
    "Parameters": {"Size": {"Default": "dev"}, "Empty": {"Default": ""}},
    "Mappings": {"Sizes": {"dev": {"N": 1}, "prod": {"N": 2}}},
    "Conditions": {
        "Prod": {"Fn::Equals": [{"Ref": "Size"}, "prod"]},
        "Dev": {"Fn::Not": [{"Condition": "Prod"}]},
        "Never": {"Fn::And": [{"Condition": "Prod"}, {"Condition": "Dev"}]},
        "Always": {"Fn::Or": [{"Condition": "Prod"}, {"Condition": "Dev"}]},
    },
    "Resources": {
        "A": {
            "Type": "T",
            "Properties": {
                "N": {"Fn::FindInMap": ["Sizes", {"Ref": "Size"}, "N"]},
                "Gone": {"Fn::If": ["Prod", 1, {"Ref": "AWS::NoValue"}]},
                "List": [{"Fn::If": ["Prod", 1, {"Ref": "AWS::NoValue"}]}, 2],
                "Text": {"Fn::Sub": "${Size}-${AWS::Region}"},
                "Later": {"Fn::Sub": "${Size}-${B.Arn}"},
                "Other": {"Fn::GetAtt": ["B", "Arn"]},
            },
        },
        "B": {"Type": "T", "Condition": "Always"},
        "C": {"Type": "T", "Condition": "Never"},
    },
}


def test_what_can_be_known_is_put_in() -> None:
    found = resolve(TEMPLATE, {})
    assert set(found) == {"A", "B"}
    assert found["A"]["Properties"] == {
        "N": 1,
        "List": [2],
        "Text": "dev-us-east-1",
        "Later": {"Fn::Sub": "dev-${B.Arn}"},
        "Other": {"Fn::GetAtt": ["B", "Arn"]},
    }
    assert resolve(TEMPLATE, {"Size": "prod"})["A"]["Properties"]["List"] == [1, 2]


def test_every_size_has_a_price_and_prod_costs_more() -> None:
    totals = []
    for size in ("dev", "prod"):
        asked = wanted(size, **optional(*ALL))
        found = [
            idle for kind in ALL for idle in idle_costs(resolve(document(kind), build(kind, asked, EARLIER).parameters))
        ]
        kinds = {idle.kind for idle in found}
        assert {"AWS::MSK::Cluster", "AWS::MWAA::Environment", "AWS::EC2::NatGateway", "AWS::ECS::Service"} <= kinds
        totals.append(sum(idle.usd_per_hour for idle in found))
    assert 1 < totals[0] < totals[1] < 5


@pytest.mark.parametrize(("hours", "usd"), [("24", 6 * 0.015), ("25", 6 * 0.035), ("168", 6 * 0.035)])
def test_a_stream_that_keeps_records_longer_than_a_day_costs_more(hours: str, usd: float) -> None:
    given = build("streams", wanted(streams={"RetentionHours": hours}), EARLIER).parameters
    assert sum(idle.usd_per_hour for idle in idle_costs(resolve(document("streams"), given))) == pytest.approx(usd)


@pytest.mark.parametrize("kind", ["kafka", "mwaa"])
def test_every_type_that_can_be_chosen_has_a_price(kind: str) -> None:
    name = {"kafka": "InstanceType", "mwaa": "EnvironmentClass"}[kind]
    for value in document(kind)["Parameters"][name]["AllowedValues"]:  # type: ignore[arg-type]
        stack = build(kind, wanted(**{kind: {name: value}}), EARLIER)  # type: ignore[arg-type]
        assert idle_costs(resolve(document(kind), stack.parameters))  # type: ignore[arg-type]


def test_needs_are_earlier_stacks() -> None:
    for position, kind in enumerate(ALL):
        assert NEEDS[kind] <= set(ALL[:position])


def test_one_key_cannot_be_for_sending_and_for_managing() -> None:
    key = wanted().api_key
    with pytest.raises(SettingError, match="GATEWAY_ADMIN_KEY is GATEWAY_API_KEY"):
        build("api", replace(wanted(), admin_key=key), EARLIER)
    other = SecretStr("another-key-of-20-characters")
    assert (
        build("api", replace(wanted(), admin_key=other), EARLIER).parameters["AdminKeyValue"]
        == other.get_secret_value()
    )
    assert "AdminKeyValue" not in build("api", wanted(), EARLIER).parameters
