"""Deployments whose stacks are in the states that CloudFormation knows."""

import json
from dataclasses import replace
from typing import Any

import pytest
from aws_deploy.apply import apply_stacks
from aws_deploy.errors import SettingError, StackBlockedError
from aws_deploy.plan import plan_stacks
from aws_deploy.printing import show_plan
from aws_deploy.wanted import StackKind, Wanted
from deployment_bench import BARE, USUAL, Around, Bench
from fake_cloudformation import FakeStack
from fake_stacks import FakeStacks
from rendered import IMAGE

TAGS = [{"Key": "project", "Value": "pinterest"}]
BLOCKED = {
    "CREATE_FAILED": "delete-stack",
    "ROLLBACK_FAILED": "delete-stack",
    "DELETE_FAILED": "delete-stack",
    "UPDATE_FAILED": "rollback-stack",
    "UPDATE_ROLLBACK_FAILED": "continue-update-rollback",
}
WITHOUT_OUTPUTS = ["CREATE_FAILED", "ROLLBACK_FAILED", "ROLLBACK_COMPLETE", "DELETE_FAILED", "REVIEW_IN_PROGRESS"]


@pytest.mark.parametrize("status", BLOCKED)
def test_plan_and_apply_refuse_a_stack_that_only_a_person_may_end(status: str) -> None:
    bench = Bench()
    bench.apply(BARE)
    bench.cloud.stacks["pinterest-streams"].status = status
    told = f"pinterest-streams is {status}.*cloudformation {BLOCKED[status]} "
    with pytest.raises(StackBlockedError, match=told):
        plan_stacks(bench.deployer(), BARE, USUAL, Around())
    with pytest.raises(StackBlockedError, match=told):
        bench.apply(BARE)


@pytest.mark.parametrize("status", WITHOUT_OUTPUTS)
def test_a_stack_that_was_never_whole_is_not_there_for_those_that_need_it(status: str) -> None:
    bench = Bench()
    apply_stacks(bench.deployer(), BARE, kinds=("data", "network"), surroundings=Around())
    bench.cloud.stacks["pinterest-kafka"] = FakeStack("pinterest-kafka", status, TAGS)
    with pytest.raises(SettingError, match="Stack connect needs kafka"):
        apply_stacks(bench.deployer(), BARE, kinds=["connect"], surroundings=Around())


def test_a_needed_stack_that_is_being_made_is_waited_for() -> None:
    bench = Bench()
    bench.apply(BARE)
    kafka = bench.cloud.stacks["pinterest-kafka"]
    kafka.status, kafka.coming = "UPDATE_IN_PROGRESS", ["UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"]
    apply_stacks(bench.deployer(), BARE, kinds=["connect"], surroundings=Around())
    assert kafka.status == "UPDATE_COMPLETE"


def test_plan_says_what_comes_after_a_stack_that_is_being_made() -> None:
    bench = Bench()
    apply_stacks(bench.deployer(), BARE, kinds=("data", "network"), surroundings=Around())
    bench.cloud.stacks["pinterest-kafka"] = FakeStack("pinterest-kafka", "CREATE_IN_PROGRESS", TAGS)
    planned = plan_stacks(bench.deployer(), BARE, USUAL, Around())
    assert [stack.kind for stack in planned] == list(USUAL)


class NothingIsLeft(Around):
    """Would take what a stack that is there holds for an earlier deployment's, and say how to delete it."""

    def has_leftovers(self, kind: StackKind, wanted: Wanted) -> bool:
        raise AssertionError(kind)


@pytest.mark.parametrize("form", ["json", "table"])
def test_plan_leaves_a_stack_alone_that_is_being_changed(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    bench = Bench()
    bench.apply(BARE)
    kafka = bench.cloud.stacks["pinterest-kafka"]
    kafka.status, kafka.coming = "UPDATE_IN_PROGRESS", ["UPDATE_IN_PROGRESS"] * 9
    planned = plan_stacks(bench.deployer(), BARE, USUAL, NothingIsLeft())
    assert not any(stack.changes for stack in planned)
    show_plan(planned, form)
    told = capsys.readouterr().out
    if form == "json":
        document = json.loads(told)
        assert document["in_progress"] == ["pinterest-kafka"]
        assert "pinterest-kafka" not in document["unchanged"]
        assert "pinterest-data" in document["unchanged"]
    else:
        assert "pinterest-kafka: UPDATE_IN_PROGRESS; plan again once that has ended" in told


class ImportsAll(FakeStacks):
    """Ends as a stack does into which somebody, or a change set, has imported."""

    def execute_change_set(self, *, RetainExceptOnCreate: bool = False, **asked: Any) -> None:
        super().execute_change_set(RetainExceptOnCreate=RetainExceptOnCreate, **asked)
        self.stacks[asked["StackName"]].coming = ["IMPORT_COMPLETE"]


def test_a_stack_whose_import_is_complete_is_whole() -> None:
    bench = Bench(ImportsAll())
    bench.apply(BARE)
    bench.apply(replace(BARE, images={"proxy": IMAGE.replace("0" * 64, "1" * 64)}))
    assert {stack.status for stack in bench.cloud.stacks.values()} == {"IMPORT_COMPLETE"}
