"""An apply changes what it was asked to change, and nothing else, whatever earlier ones were told."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from aws_deploy.apply import apply_stacks
from aws_deploy.errors import SettingError
from aws_deploy.plan import plan_stacks
from aws_deploy.render import parse, template_path
from aws_deploy.resolve import resolve
from aws_deploy.stacks import build
from aws_deploy.surroundings import Account
from aws_deploy.wanted import Size, StackKind, Wanted
from deployment_bench import BARE, USUAL, Around, Bench
from hypothesis import given, settings
from hypothesis import strategies as st
from rendered import EARLIER, IMAGE
from stubbed_aws import StubbedAws

type Place = tuple[StackKind, str]

CHOICES: dict[Place, tuple[str, ...]] = {
    ("kafka", "VolumeGiB"): ("200", "300"),
    ("kafka", "Partitions"): ("6", "9"),
    ("streams", "Shards"): ("4", "8"),
    ("network", "NatGateways"): ("per-zone", "none"),
    ("connect", "FlushIntervalMs"): ("30000", "120000"),
    ("api", "RequestsPerSecond"): ("100", "200"),
    ("databricks", "DatabricksExternalId"): ("12345678-1234-1234-1234-123456789012",),
    ("alarms", "Email"): ("ops@example.com",),
}
OURS = {("streams", "Shards"): "2", ("kafka", "Partitions"): "3"}
PLACES = st.sampled_from(sorted(CHOICES))
PICKED = st.dictionaries(PLACES, st.integers(0, 1), max_size=3)


def default(kind: StackKind, name: str) -> str:
    declared: Any = parse(template_path(kind).read_text(encoding="utf-8"))["Parameters"]
    return OURS.get((kind, name), str(declared[name]["Default"]))


def asking(
    picked: Mapping[tuple[StackKind, str], int], resets: set[tuple[StackKind, str]], size: Size | None
) -> Wanted:
    overrides: dict[StackKind, dict[str, str]] = {}
    for (kind, name), index in picked.items():
        values = CHOICES[kind, name]
        overrides.setdefault(kind, {})[name] = values[index % len(values)]
    named = {kind: frozenset(name for of, name in resets if of == kind) for kind, _ in resets}
    return replace(BARE, overrides=overrides, resets=named, size=size)


@settings(max_examples=8, deadline=None)
@given(
    st.lists(
        st.tuples(
            PICKED, st.sets(st.sampled_from(sorted(CHOICES)), max_size=2), st.sampled_from([None, "dev", "prod"])
        ),
        min_size=1,
        max_size=3,
    )
)
def test_what_an_apply_does_not_name_stays(
    applies: list[tuple[dict[Place, int], set[Place], Size | None]],
) -> None:
    bench = Bench()
    expected = {place: default(*place) for place in CHOICES}
    expected_size: Size = "dev"
    for picked, resets, size in applies:
        asked = asking(picked, resets - set(picked), size)
        bench.apply(asked)
        for kind, name in resets - set(picked):
            expected[kind, name] = default(kind, name)
        for (kind, name), index in picked.items():
            expected[kind, name] = CHOICES[kind, name][index % len(CHOICES[kind, name])]
        expected_size = size or expected_size
        found = bench.all()
        assert {place: found[place[0]][place[1]] for place in CHOICES} == expected
        assert {values["Size"] for values in found.values() if "Size" in values} == {expected_size}
        assert found["proxy"]["Stage"] == found["alarms"]["Stage"] == found["api"]["Stage"]
        assert found["alarms"]["ProxyTasks"] == ("2" if expected_size == "prod" else "1")
        assert found["connect"]["PluginSha256"] == "1" * 64
        # The same again changes nothing at all.
        bench.apply(BARE)
        assert bench.all() == found


def test_a_second_apply_without_options_keeps_prods_size_protection_tags_and_trust() -> None:
    bench = Bench()
    chosen: dict[StackKind, dict[str, str]] = {
        "kafka": {"VolumeGiB": "500"},
        "proxy": {"CertificateArn": "arn:aws:acm:us-east-1:1:certificate/1", "HostName": "in.example.com"},
        "databricks": {"DatabricksExternalId": "12345678-1234-1234-1234-123456789012"},
    }
    bench.apply(replace(BARE, size="prod", environment="live", owner="data-team", overrides=chosen))
    before = bench.all()
    bench.cloud.calls.clear()
    bench.apply(BARE)
    assert bench.all() == before
    assert bench.cloud.protected == {"pinterest-data", "pinterest-streams", "pinterest-kafka"}
    for stack in bench.cloud.stacks.values():
        tags = {tag["Key"]: tag["Value"] for tag in stack.tags}
        assert tags == {"project": "pinterest", "env": "live", "owner": "data-team", "size": "prod"}
    assert all(not planned.changes for planned in plan_stacks(bench.deployer(), BARE, USUAL, Around()))


def test_a_tag_that_somebody_else_gave_a_stack_stays() -> None:
    bench = Bench()
    bench.apply(BARE)
    kafka = bench.cloud.stacks["pinterest-kafka"]
    kafka.tags += [{"Key": "cost-centre", "Value": "7"}, {"Key": "aws:servicecatalog:owner", "Value": "reserved"}]
    bench.apply(replace(BARE, owner="data-team"))
    tags = {tag["Key"]: tag["Value"] for tag in kafka.tags}
    assert tags == {"project": "pinterest", "env": "dev", "owner": "data-team", "size": "dev", "cost-centre": "7"}
    assert all(not planned.changes for planned in plan_stacks(bench.deployer(), BARE, USUAL, Around()))


def test_a_stack_that_comes_later_has_the_others_size() -> None:
    bench = Bench()
    kinds: tuple[StackKind, ...] = ("data", "network", "kafka", "proxy")
    apply_stacks(bench.deployer(), replace(BARE, size="prod"), kinds=kinds, surroundings=Around())
    bench.apply(BARE)
    assert bench.parameters("popularity")["Size"] == "prod"
    assert bench.parameters("alarms")["ProxyTasks"] == "2"


@pytest.mark.parametrize(
    ("resets", "overrides", "text"),
    [
        ("Size", {}, "follows from an option, a variable or another stack each time"),
        ("VolumeGB", {}, "pinterest-kafka has no parameter VolumeGB"),
        ("BootstrapServers", {}, "has no parameter BootstrapServers"),
        ("VolumeGiB", {"VolumeGiB": "200"}, "given by both --set and --reset"),
        ("PipelineId", {}, "has no default to go back to"),
    ],
)
def test_a_reset_that_cannot_be_is_said(resets: str, overrides: dict[str, str], text: str) -> None:
    bench = Bench()
    asked = replace(BARE, resets={"kafka": frozenset({resets})}, overrides={"kafka": overrides})
    with pytest.raises(SettingError, match=text):
        bench.apply(asked)


def test_a_secret_that_is_told_as_asterisks_is_never_sent_as_such() -> None:
    has = {"AdminKeyValue": "****", "RequestsPerSecond": "100"}
    kept = build("api", BARE, EARLIER, has)
    assert {"AdminKeyValue", "RequestsPerSecond"} <= kept.kept
    made_anew = build("api", replace(BARE, target="localstack"), EARLIER, has)
    assert "AdminKeyValue" not in made_anew.parameters
    assert made_anew.parameters["RequestsPerSecond"] == "100"


def test_image_and_plugin_stay_where_nobody_names_others() -> None:
    aws = StubbedAws()
    there = Account(aws.clients).before("proxy", BARE, {"Image": IMAGE})
    assert there.images == {}
    aws.stub("s3").add_response("head_object", {}, {"Bucket": "pinterest-artifacts", "Key": f"plugins/{'1' * 64}.zip"})
    assert Account(aws.clients).before("connect", BARE, {"PluginSha256": "1" * 64}).plugin_sha256 == "1" * 64
    aws.nothing_left()


@pytest.mark.parametrize("asked", [{"overrides": {"kafka": {"Brokers": "6"}}}, {"resets": {"kafka": {"Brokers"}}}])
def test_what_is_asked_of_a_stack_that_is_not_meant_is_refused(asked: dict[str, Any]) -> None:
    bench = Bench()
    bench.apply(BARE)
    for command in (apply_stacks, plan_stacks):
        with pytest.raises(SettingError, match=r"set kafka.Brokers: stack kafka is not among .* \(data, proxy\)"):
            command(bench.deployer(), replace(BARE, **asked), kinds=("data", "proxy"), surroundings=Around())


@pytest.mark.parametrize(
    "asked",
    [
        {"overrides": {"alarms": {"Email": "nobody"}}},
        {"overrides": {"alarms": {"Mail": "a@example.com"}}},
        {"resets": {"alarms": frozenset({"Mail"})}},
        {"resets": {"alarms": frozenset({"Email"})}, "overrides": {"alarms": {"Email": "a@example.com"}}},
    ],
)
def test_what_the_last_template_does_not_allow_is_said_before_the_first_stack_is_begun(asked: dict[str, Any]) -> None:
    bench = Bench()
    with pytest.raises(SettingError, match="Stack pinterest-alarms"):
        bench.apply(replace(BARE, **asked))
    assert bench.cloud.calls == []


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [("streams", "PipelineId", "other"), ("data", "BucketName", "other-raw"), ("data", "Target", "localstack")],
)
def test_a_name_that_everything_goes_by_is_not_set_for_one_stack(kind: StackKind, name: str, value: str) -> None:
    bench = Bench()
    bench.apply(BARE)
    before = bench.all()
    with pytest.raises(SettingError, match=rf"--set {kind}.{name}: it follows from --pipeline-id and the target"):
        bench.apply(replace(BARE, overrides={kind: {name: value}}))
    assert bench.all() == before


def staged(stage: str) -> Wanted:
    return replace(BARE, overrides={"api": {"Stage": stage}})


def test_the_stage_is_chosen_when_the_api_is_made_and_never_moves_from_under_its_callers() -> None:
    bench = Bench()
    bench.apply(staged("live"))
    before = bench.all()
    assert [before[kind]["Stage"] for kind in ("proxy", "api", "alarms")] == ["live"] * 3
    for kinds in (USUAL, ("api",)):
        with pytest.raises(SettingError, match="the API is there with stage live"):
            apply_stacks(bench.deployer(), staged("two"), kinds=kinds, surroundings=Around())
    assert bench.all() == before
    bench.apply(staged("live"))

    # What stands beside an API that is gone must go with it to another stage.
    del bench.cloud.stacks["pinterest-emitter"], bench.cloud.stacks["pinterest-api"]
    with pytest.raises(SettingError, match=r"The API's stage is to be two, and stack (proxy|alarms) has another"):
        apply_stacks(bench.deployer(), staged("two"), kinds=["api"], surroundings=Around())
    bench.apply(BARE)
    assert bench.parameters("api")["Stage"] == "live"


def test_a_workers_name_can_be_chosen_for_one_apply() -> None:
    has = {"PluginSha256": "1" * 64, "WorkerName": "old", "FlushIntervalMs": "60000"}
    chosen = build("connect", replace(BARE, overrides={"connect": {"WorkerName": "mine"}}), EARLIER, has)
    assert chosen.parameters["WorkerName"] == "mine"
    assert build("connect", BARE, EARLIER, has).parameters["WorkerName"].startswith("pinterest-worker-")


@pytest.mark.parametrize(("tasks", "count"), [("0", 1), ("4", 4)])
def test_the_alarm_wants_as_many_tasks_as_the_proxy_has(tasks: str, count: int) -> None:
    template: Any = parse(template_path("proxy").read_text(encoding="utf-8"))
    value = template | {"Resources": {"Tasks": {"Properties": template["Outputs"]["Tasks"]}}}
    found = resolve(value, {"Size": "dev", "Tasks": tasks})["Tasks"]["Properties"]["Value"]
    assert found == {"Fn::Sub": ["${Count}", {"Count": type(found["Fn::Sub"][1]["Count"])(count)}]}
    earlier = {**EARLIER, "proxy": {"Tasks": str(count)}}
    assert build("alarms", BARE, earlier).parameters["ProxyTasks"] == str(count)
