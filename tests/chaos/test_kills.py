"""kill -9 of each process of the batch path in the middle of a run, restarted by the runner: the answers are those of
all raw files sent so far, and every record is accounted for. (The stream reader's are in ``tests/integration``.)"""

import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest
from pipeline_contracts.names import KINDS
from posts import write_generated
from recompute import recompute
from stack import Stack
from waiting import wait_until

EVENTS = 3_000
RATE = "750"


@dataclass
class Posts:
    """Made-up posts, other ones for each test, and all that were sent so far in the order of arrival."""

    folder: Path
    seeds: Iterator[int] = field(default_factory=lambda: count(11))

    def new(self) -> Path:
        """A folder to send; it counts as sent."""
        seed = next(self.seeds)
        made = write_generated(self.folder / str(seed), EVENTS, seed)
        self.sent.mkdir(exist_ok=True)
        for kind in KINDS:
            with (self.sent / f"{kind}.jsonl").open("ab") as all_of_kind:
                all_of_kind.write((made / f"{kind}.jsonl").read_bytes())
        return made

    @property
    def sent(self) -> Path:
        return self.folder / "sent"


@pytest.fixture(scope="module")
def posts(tmp_path_factory: pytest.TempPathFactory) -> Posts:
    return Posts(tmp_path_factory.mktemp("posts"))


def acknowledged(stack: Stack) -> int:
    ledger = stack.home / "emitter" / "ledger.sqlite"
    if not ledger.exists():
        return 0
    with sqlite3.connect(f"{ledger.as_uri()}?mode=ro", uri=True) as database:
        try:
            (records,) = database.execute("select count(*) from acknowledgements").fetchone()
        except sqlite3.OperationalError:
            return 0  # the emitter is making its tables
    return int(records)


def await_acknowledged(stack: Stack, records: int) -> None:
    """Block until the ledger holds so many acknowledgements."""
    wait_until(f"{records} acknowledged", lambda: acknowledged(stack) >= records)


def must_equal_all_that_was_sent(stack: Stack, posts: Posts) -> None:
    audit = stack.audit()
    assert audit["ok"], audit
    expected = recompute(posts.sent)
    answers = stack.answers()
    assert answers == {name: expected[name] for name in answers}


@pytest.mark.parametrize("service", ["kafka", "proxy", "s3-sink", "localstack"])
def test_killed_while_events_flow(service: str, stack: Stack, posts: Posts) -> None:
    before, raw = acknowledged(stack), posts.new()
    sending = stack.start("send", "--source", str(raw), "--rate", RATE)
    await_acknowledged(stack, before + EVENTS // 4)
    pid = stack.kill(service)
    assert sending.poll() is None, "killed too late"
    stack.await_restarted(service, pid)
    said, _ = sending.communicate(timeout=200)
    assert sending.returncode == 0, said
    must_equal_all_that_was_sent(stack, posts)


def test_emitter_killed_goes_on_from_its_ledger(stack: Stack, posts: Posts) -> None:
    before, raw = acknowledged(stack), posts.new()
    sending = stack.start("send", "--source", str(raw), "--rate", RATE)
    await_acknowledged(stack, before + EVENTS // 4)
    sending.kill()
    sending.communicate(timeout=20)
    stack.pipeline("send", "--source", str(raw))
    must_equal_all_that_was_sent(stack, posts)


def test_analyser_killed_while_it_analyses(stack: Stack, posts: Posts) -> None:
    stack.pipeline("send", "--source", str(posts.new()))
    bronze = stack.home / "lake" / "bronze" / "events" / "_delta_log"
    commits = set(bronze.glob("*.json"))
    analysing = stack.start("analyse")
    wait_until("something is ingested", lambda: set(bronze.glob("*.json")) - commits, 120, poll_s=0.05)
    stack.kill("analyser")
    said, _ = analysing.communicate(timeout=200)
    assert analysing.returncode == 0, said
    must_equal_all_that_was_sent(stack, posts)


def test_kafka_wiped_between_two_runs_begins_a_new_log(stack: Stack, posts: Posts) -> None:
    """The second run's offsets begin at 0 again, under another log id, and collide with nothing."""
    raw = posts.new()
    stack.pipeline("send", "--source", str(raw), "--events", str(EVENTS // 2))
    first = stack.audit()
    assert first["ok"], first
    stack.down()
    shutil.rmtree(stack.home / "kafka")
    stack.up()
    stack.pipeline("send", "--source", str(raw))
    must_equal_all_that_was_sent(stack, posts)
    rows = stack.json("audit", "--path", "batch", check=False)["rows"]
    assert len({row["log_id"] for row in rows}) == 6
