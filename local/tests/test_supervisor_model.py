"""The supervisor over random histories: exits, hangs, services that are unready or cannot be started, full disks, stop.

The real ``Supervisor`` on a clock that is moved by hand, with processes and health that the test decides. What must
hold is checked at every start, kill and turn of its loop.
"""

import os
import random
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path

import pytest
from fake_process import FakeProcess
from pipeline_local.command import Command
from pipeline_local.layout import Layout
from pipeline_local.status import DamagedStatusError, Status, read_status
from pipeline_local.supervision import disk, troubles
from pipeline_local.supervision.child import LOOK_AT_READY_S, TRY_AGAIN_S
from pipeline_local.supervision.lifecycle import Health, Limits
from pipeline_local.supervisor import LOOK_AT_DISK_S, Supervisor
from pipeline_local.topology import Service, Topology
from service_kit.clock import ManualClock
from service_kit.shutdown import Shutdown

NEEDS = {
    "kafka": (), "localstack": (), "mirror": ("kafka", "localstack"), "proxy": ("kafka",), "s3-sink": ("mirror",),
    "analyser": (), "stream-reader": ("localstack",), "airflow": ("analyser",),
}  # fmt: skip
LIMITS = Limits(first_pause_s=0.5, longest_pause_s=4, failing_after=3, steady_s=5, start_s=8, silence_s=4, stop_s=3)
MODES = ("well", "well", "well", "unready", "hangs", "dies", "cannot start", "cannot be killed")
NOWHERE = "/no/such/program"
SLACK_S = 1.0
"""Some turns of the loop."""


class World:
    """The truth of each service, and what the supervisor did that it must not do."""

    def __init__(self, seed: int, clock: ManualClock) -> None:
        self.random = random.Random(seed)
        self.clock = clock
        self.mode = dict.fromkeys(NEEDS, "well")
        self.processes: dict[str, Watched] = {}
        self.free_bytes = 10 * 1024**3
        self.full_since: float | None = None
        self.space_since = 0.0
        self.stopping = False
        self.wrong: list[str] = []


class Watched(FakeProcess):
    """A process that does what ``World.mode`` says, and tells when the supervisor does what it must not do."""

    def __init__(self, world: World, log: Path, owner: str) -> None:
        super().__init__(log, owner)
        self._world, self._name = world, owner.rpartition("/")[2].rstrip(":")
        self.started_at = self.down_since = self.changed_at = 0.0
        self.hangs_since: float | None = None
        self.last_ready_at = self.last_answer_at = float("-inf")
        self.starts = 0
        self.dies_at = float("inf")
        self.terminated = False
        world.processes[self._name] = self

    @property
    def mode(self) -> str:
        return self._world.mode[self._name]

    def start(self, command: Command) -> None:
        now = self._world.clock.monotonic()
        if self.pid is not None:
            self._wrong("was started while it runs")
        if self._world.full_since is not None and now - self._world.full_since > LOOK_AT_DISK_S + SLACK_S:
            self._wrong("was started on a full disk")
        seen = [self._world.processes[need].last_ready_at for need in NEEDS[self._name]]
        if self.starts == 0 and any(now - at > LOOK_AT_READY_S + SLACK_S for at in seen):
            self._wrong("was started before what it waits for")
        if self._world.stopping:
            self._wrong("was started while all are stopped")
        self.starts += 1
        self.down_since = now
        super().start(Command([NOWHERE]) if self.mode == "cannot start" else command)
        self.started_at = now
        self.hangs_since = now if self.mode == "hangs" else None
        self.dies_at = now + self._world.random.uniform(0, 3) if self.mode == "dies" else float("inf")

    def exit_code(self) -> int | None:
        if self._world.clock.monotonic() >= self.dies_at:
            self.says("no such\ttable")
            self.ends(7)
        return super().exit_code()

    def ends(self, code: int) -> None:
        if self.is_alive:
            self.down_since = self._world.clock.monotonic()
        super().ends(code)

    def terminate(self) -> None:
        for name, needs in NEEDS.items():
            other = self._world.processes[name]
            if self._name in needs and other.pid is not None and not other.terminated:
                self._wrong(f"was stopped before {name}, which needs it")
        self.terminated = True
        super().terminate()

    def wait(self, seconds: float) -> None:
        self._world.clock.sleep(min(seconds, 0.1))

    def kill(self) -> None:
        now = self._world.clock.monotonic()
        is_silent = now - max(self.last_answer_at, self.started_at) >= LIMITS.silence_s
        if self.is_alive and not is_silent and not self._world.stopping:
            self._wrong(f"was killed while it runs ({self.mode})")
        self.immortal = self.mode == "cannot be killed"
        if self.is_alive and not self.immortal:
            self.down_since = now
        super().kill()
        self.hangs_since = None

    def _wrong(self, what: str) -> None:
        self._world.wrong.append(f"{self._name} {what} at {self._world.clock.monotonic():.1f}")

    def look(self) -> Health:
        mode = self.mode
        if mode == "hangs":
            return Health(live=False, ready=False, said="it does not answer")
        self.last_answer_at = self._world.clock.monotonic()
        if mode == "unready":
            return Health(live=True, ready=False, said="kafka: no topics")
        self.last_ready_at = self.last_answer_at
        return Health(live=True, ready=True)


class AtOnce(Executor):
    """Runs what is submitted before it returns."""

    def submit[**P, T](self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        future: Future[T] = Future()
        future.set_result(call(*args, **kwargs))
        return future


class Script(Shutdown):
    """Moves the clock between two turns, lets things happen, and asks to stop in the end."""

    def __init__(self, world: World, turn: Callable[[int], bool]) -> None:
        super().__init__()
        self._world, self._turn, self._number = world, turn, 0

    def wait(self, seconds: float) -> bool:
        self._world.clock.sleep(seconds)
        if not self._turn(self._number):
            self._world.stopping = True
            self.request()
        self._number += 1
        return self.requested


class History:
    """One run: ``troubled`` turns in which things happen, then ``healed`` turns in which all is well."""

    def __init__(self, home: Path, seed: int, troubled: int, healed: int) -> None:
        self.clock = ManualClock()
        self.world = World(seed, self.clock)
        self.layout = Layout(home, home)
        self._troubled, self._healed = troubled, healed
        self._often = self.world.random.choice((0.1, 0.3, 0.8))
        self._in_the_way = self.layout.status_file.with_suffix(f".{os.getpid()}.tmp")
        self.retry = threading.Event()
        self.last: Status | None = None
        """When all has been well for a while."""
        services = {name: Service(name, {}, 1, "P", needs, is_job=False) for name, needs in NEEDS.items()}
        self.supervisor = Supervisor(
            Topology(services),
            self.layout,
            Script(self.world, self._turn),
            command=lambda *_: Command([sys.executable]),
            probe=lambda service: self.world.processes[service.name].look,
            free_bytes=lambda _: self.world.free_bytes,
            limits=LIMITS,
            clock=self.clock,
            process=lambda log, owner: Watched(self.world, log, owner),
            looks=AtOnce(),
            retry=self.retry,
        )

    @property
    def status(self) -> Status:
        status = read_status(self.layout.status_file)
        assert status is not None
        return status

    def _turn(self, number: int) -> bool:
        if number == self._troubled:
            self._heal()
        elif number < self._troubled and self.world.random.random() < self._often:
            self._happen()
        self._check(number)
        if number == self._troubled + self._healed - 1:
            self.last = self.status
        return number < self._troubled + self._healed

    def _happen(self) -> None:
        world, now = self.world, self.clock.monotonic()
        name = world.random.choice(list(NEEDS))
        process = world.processes[name]
        match world.random.choice(("mode", "mode", "mode", "mode", "exit", "disk", "damage", "block", "retry")):
            case "mode":
                world.mode[name] = mode = world.random.choice(MODES)
                process.hangs_since = now if mode == "hangs" and process.is_alive else None
                process.changed_at = now
            case "exit":
                process.ends(world.random.choice((-9, 0, 1, 3)))
            case "disk":
                self._fill(world.random.random() < 0.5)
            case "retry":
                self.retry.set()
            case "block":
                self._block(world.random.random() < 0.5)
            case "damage":
                self.layout.status_file.write_text(world.random.choice(("", "{", "[]", '{"services": 1}')))

    def _fill(self, full: bool) -> None:
        world, now = self.world, self.clock.monotonic()
        world.free_bytes = disk.FULL_BYTES - 1 if full else disk.SPACE_BYTES
        if full and world.full_since is None:
            world.full_since = now
        if not full and world.full_since is not None:
            world.full_since, world.space_since = None, now

    def _block(self, blocked: bool) -> None:
        """The status cannot be written where its draft is a folder."""
        if blocked:
            self._in_the_way.mkdir(exist_ok=True)
        elif self._in_the_way.exists():
            self._in_the_way.rmdir()

    def _heal(self) -> None:
        for name, process in self.world.processes.items():
            self.world.mode[name] = "well"
            process.hangs_since = None
            process.changed_at = self.clock.monotonic()
        self._fill(full=False)
        self._block(blocked=False)

    def _check(self, number: int) -> None:
        world, now = self.world, self.clock.monotonic()
        for name, process in world.processes.items():
            longest = LIMITS.longest_pause_s + TRY_AGAIN_S + SLACK_S
            is_down = process.starts and not process.is_alive
            may_start = world.full_since is None and world.mode[name] != "cannot be killed"
            if is_down and may_start and now - max(process.changed_at, process.down_since, world.space_since) > longest:
                world.wrong.append(f"{name} was not retried at {now:.1f}")
            if process.is_alive and process.hangs_since is not None and world.mode[name] == "hangs":
                patience = max(LIMITS.silence_s, LIMITS.start_s) + LOOK_AT_READY_S + TRY_AGAIN_S + SLACK_S
                if now - process.hangs_since > patience:
                    world.wrong.append(f"{name} hangs and was left so at {now:.1f}")
        if number % 5:
            return
        try:
            status = read_status(self.layout.status_file)
        except DamagedStatusError:
            return
        if status is None:
            return
        for name, service in status.services.items():
            lines = [line for line in troubles.lines(status) if line.startswith(f"{name} ")]
            if len(lines) > 1 or any("\n" in line for line in lines):
                world.wrong.append(f"{name} has more than one line: {lines}")
            if service.state in {"failing", "unready"} and not lines:
                world.wrong.append(f"{name} is {service.state} without a word")


@pytest.mark.parametrize("seed", range(15))
def test_whatever_happens_to_one_the_others_run_and_all_comes_back(tmp_path: Path, seed: int) -> None:
    history = History(tmp_path, seed, troubled=300, healed=200)
    assert history.supervisor.run() == 0
    assert history.world.wrong == []
    assert history.last is not None
    assert (history.last.state, troubles.lines(history.last)) == ("ready", [])
    assert history.status.state == "stopped"
    assert not [name for name, process in history.world.processes.items() if process.pid is not None]
