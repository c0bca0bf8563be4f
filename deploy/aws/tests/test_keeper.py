from collections.abc import Collection, Sequence

import pytest
from aws_deploy.errors import DeployError
from aws_deploy.mirror.keeper import SEEN_WITHIN_S, Keeper, Metrics
from aws_deploy.mirror.sides import KafkaSide
from fake_topics import FakeTopics
from pipeline_contracts.kafka_topics import TopicSpec
from prometheus_client import CollectorRegistry
from service_kit.clock import ManualClock
from service_kit.ops import NotReadyError
from service_kit.shutdown import Shutdown


class FakeSide:
    name = "side"

    def __init__(self) -> None:
        self.away: Collection[str] = ()
        self.errors: list[Exception] = []
        self.made: list[Collection[str]] = []

    def lost(self) -> Collection[str]:
        if self.errors:
            raise self.errors.pop(0)
        return self.away

    def make(self, lost: Collection[str]) -> Sequence[str]:
        self.made.append(lost)
        if self.errors:
            raise self.errors.pop(0)
        self.away = ()
        return ["made"]


class Bench:
    def __init__(self) -> None:
        self.side = FakeSide()
        self.clock = ManualClock()
        self.registry = CollectorRegistry()
        self.keeper = Keeper(self.side, metrics=Metrics(self.registry), clock=self.clock, check_seconds=2)

    def count(self, outcome: str) -> float | None:
        return self.registry.get_sample_value("mirror_deployments_total", {"side": "side", "outcome": outcome})


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_it_is_not_ready_before_the_first_deployment(bench: Bench) -> None:
    with pytest.raises(NotReadyError, match="has not been deployed yet"):
        bench.keeper.ready()


def test_it_deploys_once_though_nothing_seems_lost(bench: Bench) -> None:
    bench.keeper.step()
    bench.keeper.step()
    assert bench.side.made == [()]
    assert bench.keeper.ready() == "seen 0 s ago"
    assert bench.count("ok") == 1


def test_it_deploys_again_what_is_lost(bench: Bench) -> None:
    bench.keeper.step()
    bench.side.away = ["data"]
    bench.keeper.step()
    assert bench.side.made == [(), ["data"]]


def test_it_is_not_ready_when_it_was_not_seen_lately(bench: Bench) -> None:
    bench.keeper.step()
    bench.clock.sleep(SEEN_WITHIN_S + 1)
    with pytest.raises(NotReadyError, match="has not been seen for 16 s"):
        bench.keeper.ready()


def test_a_failed_deployment_is_tried_again_though_nothing_seems_lost_then(bench: Bench) -> None:
    bench.keeper.step()
    bench.side.away = ["api"]
    bench.side.errors = []

    def fail_once(lost: Collection[str]) -> Sequence[str]:
        bench.side.away = ()  # half of it was made
        raise DeployError("half")

    make, bench.side.make = bench.side.make, fail_once  # type: ignore[method-assign]
    with pytest.raises(DeployError):
        bench.keeper.step()
    with pytest.raises(NotReadyError):
        bench.keeper.ready()
    bench.side.make = make  # type: ignore[method-assign]
    bench.keeper.step()
    assert bench.keeper.ready()
    assert (bench.count("failed"), bench.count("ok")) == (1, 2)


class Stopping(Shutdown):
    """Ends the loop after some waits, which it keeps."""

    def __init__(self, waits: int) -> None:
        super().__init__()
        self.waits: list[float] = []
        self._left = waits

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self._left -= 1
        if self._left == 0:
            self.request()
        return self.requested


@pytest.mark.parametrize("error", [DeployError("away"), ZeroDivisionError("a bug")])
def test_the_loop_survives_failures_says_why_and_waits(bench: Bench, error: Exception) -> None:
    bench.side.errors = [error]
    stopping = Stopping(1)
    bench.keeper.run(stopping)
    with pytest.raises(NotReadyError, match=str(error)):
        bench.keeper.ready()
    assert stopping.waits[0] <= 0.2
    again = Stopping(2)
    bench.keeper.run(again)
    assert again.waits == [2, 2]
    assert bench.keeper.ready()


def test_topics_are_a_side() -> None:
    topics = FakeTopics()
    side = KafkaSide(topics, [TopicSpec("t", 3, {})])
    assert side.lost() == ["t"]
    assert side.make(["t"]) == ["t: created"]
    assert side.lost() == []
