"""The Overview over sources that do whatever they like."""

import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from dashboard.api import live as api
from dashboard.background import Repeated, stop_all
from dashboard.blocks import Block, Kept, empty, error, fresh, loading
from dashboard.lake.runs import Run
from dashboard.lake.watch import NotTaken
from dashboard.live.figures import Verdict
from dashboard.live.looks import CheckLine, Look, NoAnswerError, Source
from dashboard.live.nodes import BATCH, KEEPERS, NODES, STREAM
from dashboard.live.poller import Poller
from dashboard.live.snapshot import Sources, snapshot
from dashboard.live.watched import GIVEN_UP_S, SILENT_S, Seen, Watched
from dashboard.pages import overview
from dashboard_frame import FrameOfTests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pipeline_contracts.runs import RunState, RunStates, TaskState
from service_kit.clock import Clock, ManualClock, SystemClock

SERVICES = ("proxy", "kafka", "s3-sink", "localstack", "analyser", "stream-reader", "mirror", "airflow")
WELL = CheckLine("check", ok=True, detail="fine")
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.just("<script>\u202e\x1b[31m</script>")


class FakeSource:
    """Answers with what it is given: a look, or an error that it raises."""

    def __init__(self, answer: Look | NoAnswerError) -> None:
        self.answer = answer

    def look(self) -> Look:
        if isinstance(self.answer, NoAnswerError):
            raise self.answer
        return self.answer


def nothing[T]() -> Block[T]:
    return empty(None, "nothing", "pipeline send")


def sources(poller: Poller, **blocks: Callable[[], Any]) -> Sources:
    named = {"verdict": nothing, "not_taken": nothing, "runs": nothing, "complete_run": nothing, "stream_rows": nothing}
    return Sources(poller, **{**named, **blocks})


def test_the_stations_are_in_the_order_of_the_topology() -> None:
    assert [node.id for node in BATCH] == ["proxy", "kafka", "s3-sink", "s3", "analyser", "answers"]
    assert [node.id for node in STREAM] == ["kinesis", "stream-reader", "tables", "popularity"]
    assert [node.id for node in KEEPERS] == ["mirror", "airflow"]
    assert len({node.id for node in NODES}) == len(NODES) == 13


def test_a_service_that_fails_is_slow_then_down_then_back() -> None:
    clock = ManualClock()
    source = FakeSource(Look((WELL,), {"n": 1.0}))
    watched = Watched(source, clock)
    assert watched.seen().state == "loading"
    watched.look()
    assert (watched.seen().state, watched.number("n")) == ("ready", 1.0)
    source.answer = NoAnswerError("no answer within 2 s")
    clock.sleep(15)  # as while nobody looks: the last answer is old, which is no fault of the service's
    watched.look()
    assert (watched.seen().state, watched.seen().why) == ("slow", "no answer within 2 s")
    assert watched.number("n") is None
    clock.sleep(GIVEN_UP_S)
    assert watched.seen().state == "down"
    source.answer = Look((WELL, CheckLine("disk", ok=False, detail="is full")))
    watched.look()
    assert (watched.seen().state, watched.seen().why) == ("not ready", "disk: is full")
    source.answer = NoAnswerError("nothing answers at proxy:8082", gone=True)
    watched.look()
    assert watched.seen().state == "down"


def test_a_look_that_does_not_end_is_no_answer() -> None:
    clock = ManualClock()
    entered, release = threading.Event(), threading.Event()

    class Hanging:
        def look(self) -> Look:
            entered.set()
            release.wait(10)
            return Look((WELL,))

    watched = Watched(Hanging(), clock)
    thread = threading.Thread(target=watched.look)
    thread.start()
    assert entered.wait(5)
    clock.sleep(SILENT_S + 1)
    assert (watched.seen().state, watched.seen().why) == ("down", "no answer for 5 s")
    release.set()
    thread.join(5)
    assert watched.seen().state == "ready"


def test_a_part_is_judged_by_its_own_checks() -> None:
    well = CheckLine("s3", ok=True, detail="running")
    not_started = CheckLine("s3control", ok=False, detail="disabled")
    watched = Watched(FakeSource(Look((well, not_started, CheckLine("kinesis a", ok=False, detail="")))), ManualClock())
    watched.look()
    seen = watched.seen()
    assert (seen.part("s3")[0], seen.part("kinesis")[0], seen.part("apigateway")[0]) == (
        "ready",
        "not ready",
        "not measured",
    )


class AnySources:
    """Those of one example, behind an application that is made once."""

    poller: Poller
    blocks: Mapping[str, Block[Any]]

    def block(self, name: str) -> Callable[[], Block[Any]]:
        return lambda: self.blocks[name]


class AnyPoller(Poller):
    """The example's."""

    def __init__(self) -> None:
        pass

    @property
    def watched(self) -> dict[str, Watched]:  # type: ignore[override]
        return ANY.poller.watched

    def seen(self, service: str) -> Seen:
        return ANY.poller.seen(service)


FRAME, ANY = FrameOfTests(), AnySources()
SHOWN = ("verdict", "not_taken", "runs", "complete_run", "stream_rows")
SEEN = Sources(AnyPoller(), **{name: ANY.block(name) for name in SHOWN})
APP = FRAME.app([overview.blueprint(SEEN, FRAME.clock), api.blueprint(SEEN, FRAME.clock)])
numbers = st.dictionaries(
    st.sampled_from(["records", "waiting", "lag_s", "objects", "runs_waiting", "popularity_lag_s", "profiles"]),
    st.floats(0, 1e15),
)
answers = st.builds(
    Look, st.lists(st.builds(CheckLine, words, st.booleans(), words), max_size=3).map(tuple), st.none() | numbers, words
) | st.builds(NoAnswerError, words)
texts = st.builds(Verdict, words, st.sampled_from(["ready", "slow", "down", "idle"]), words)


def blocks(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Block[Any]]:
    now = ManualClock().now()
    return st.one_of(
        st.just(loading()),
        st.builds(lambda why: empty(None, why, "pipeline send"), words),
        st.builds(lambda value: fresh(value, now), values),
        st.builds(lambda value, why: Block("stale", value, now - timedelta(hours=1), why), values, words),
        st.builds(error, words),
    )


def run_states() -> st.SearchStrategy[RunStates]:
    now = ManualClock().now()
    state = st.sampled_from(["queued", "running", "ending", "success", "failed", "cancelled", "interrupted"])
    task = st.builds(TaskState, words, state, st.none() | st.just(now), st.none() | st.just(now), st.none() | words)
    run = st.builds(
        RunState, st.integers(), st.sampled_from(["pinterest-batch", "pinterest-upkeep"]), state, st.just(now),
        st.none() | st.just(now), st.none() | st.just(now), st.none() | words, st.lists(task, max_size=3),
    )  # fmt: skip
    return st.builds(RunStates, st.integers(0, 5), st.lists(run, max_size=3))


complete = st.builds(
    lambda posts: Run("a", ManualClock().now(), ManualClock().now(), {}, {}, posts),
    st.dictionaries(st.just("posts"), st.integers(0)),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    given_answers=st.dictionaries(st.sampled_from(SERVICES), st.lists(answers, min_size=1, max_size=3)),
    left_out=st.sets(st.sampled_from(SERVICES)),
    shown=st.fixed_dictionaries(
        {
            "verdict": blocks(texts),
            "not_taken": blocks(st.builds(NotTaken, st.integers(0), st.integers(0), st.integers(0))),
            "runs": blocks(run_states()),
            "complete_run": blocks(complete),
            "stream_rows": blocks(st.integers(0)),
        }
    ),
)
def test_whatever_sources_do_the_page_is_shown_and_inert(
    given_answers: Mapping[str, list[Look | NoAnswerError]], left_out: set[str], shown: dict[str, Block[Any]]
) -> None:
    fakes = {name: FakeSource(looks[0]) for name, looks in given_answers.items()}
    poller = Poller(fakes, frozenset(left_out), FRAME.clock)
    for step in range(3):
        for name, watched in poller.watched.items():
            fakes[name].answer = given_answers[name][step % len(given_answers[name])]
            watched.look()
        FRAME.clock.sleep(2)
    ANY.poller, ANY.blocks = poller, shown
    client = APP.test_client()
    page, told = client.get("/"), client.get("/api/v1/live")
    assert (page.status_code, told.status_code) == (200, 200)
    assert "<script>" not in page.text
    hostile = {"\u202e", "\x1b", "\u200b", "\x00"}
    assert not hostile & set(page.text)
    document = told.get_json()
    assert not hostile & set("".join(document["shown"].values()))
    states = {station["id"]: station["state"] for station in document["stations"]}
    for name in ("proxy", "kafka", "s3-sink", "analyser", "mirror", "airflow"):
        if name in left_out:
            assert states[name] == "left out"
        elif name not in given_answers:
            assert states[name] == "not measured"
        else:
            last = given_answers[name][2 % len(given_answers[name])]
            well = isinstance(last, Look) and last.failing() is None
            assert (states[name] == "ready") == well
    assert all(figure["text"] for figure in document["figures"] if figure["id"] != "audit")


def test_what_script_puts_is_what_the_server_wrote(frame: FrameOfTests) -> None:
    seen = sources(Poller({}, frozenset(), frame.clock))
    text = frame.app([overview.blueprint(seen, frame.clock)]).test_client().get("/").text
    taken = snapshot(seen, frame.clock)
    named = set(_attributes(text, "data-live"))
    assert named <= set(taken.shown)
    assert set(_attributes(text, "data-live-state")) <= set(taken.shown)


def _attributes(text: str, name: str) -> list[str]:
    return [piece.split('"')[0] for piece in text.split(f'{name}="')[1:]]


def test_more_profiles_are_no_growing_lag(frame: FrameOfTests) -> None:
    """▲ is said of what is behind or waits, not of what a station holds."""
    source = FakeSource(Look((CheckLine("popularity", ok=True, detail=""),)))
    poller = Poller({"stream-reader": source, "s3-sink": source}, frozenset(), frame.clock)
    for second in range(61):
        count = 100.0 * (1 + second)
        source.answer = Look((WELL,), {"profiles": count, "popularity_lag_s": 0.0, "waiting": count, "lag_s": 0.0})
        for watched in poller.watched.values():
            watched.look()
        frame.clock.sleep(1)
    shown = snapshot(sources(poller), frame.clock).shown
    assert (shown["popularity.note"], shown["popularity.trend"]) == ("6,100 profiles", "")
    assert (shown["kafka.note"], shown["kafka.trend"]) == ("6,100 records wait", "▲ grows")


def test_what_needs_a_look_names_what_there_is_where_it_runs(frame: FrameOfTests) -> None:
    seen = sources(Poller({}, frozenset(), frame.clock))
    here = frame.app([overview.blueprint(seen, frame.clock)]).test_client().get("/").text
    for said in ("pipeline logs proxy", "docker compose logs proxy", "docs/troubleshooting.md, While it runs"):
        assert said in here
    aws = frame.app([overview.blueprint(seen, frame.clock, on_aws=True)]).test_client().get("/").text
    assert "docs/aws/runbooks.md" in aws
    assert "pipeline logs" not in aws, "there is no such command on AWS"
    assert "troubleshooting" not in aws, "that is for a laptop"


def test_a_source_that_hangs_or_breaks_delays_no_other(frame: FrameOfTests) -> None:
    clock: Clock = SystemClock()
    release = threading.Event()

    class Hanging:
        def look(self) -> Look:
            release.wait(20)
            raise NoAnswerError("late")

    class Broken:
        calls = 0

        def look(self) -> Look:
            self.calls += 1
            raise RuntimeError("a defect")

    broken = Broken()
    fakes: dict[str, Source] = {"proxy": Hanging(), "mirror": broken, "s3-sink": FakeSource(Look((WELL,)))}
    poller = Poller(fakes, frozenset(), clock)
    threads = [Repeated(name, watched.look, lambda: 0.0, clock) for name, watched in poller.watched.items()]
    for thread in threads:
        thread.start()
    try:
        seen = sources(poller)
        client = frame.app([overview.blueprint(seen, clock)]).test_client()
        deadline = time.monotonic() + 10
        while poller.seen("s3-sink").state != "ready" or broken.calls < 2:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        began = time.monotonic()
        assert client.get("/").status_code == 200
        assert time.monotonic() - began < 1
        assert poller.seen("proxy").state == "loading"
    finally:
        release.set()
        for thread in threads:
            thread.stop()


def test_what_hangs_delays_no_stop() -> None:
    release = threading.Event()

    def hang() -> None:
        release.wait(20)

    threads = [Repeated(f"hangs {number}", hang, lambda: 0.0, SystemClock()) for number in range(10)]
    for thread in threads:
        thread.start()
    began = time.monotonic()
    stop_all(threads, 0.3)
    assert time.monotonic() - began < 1.5
    release.set()
    stop_all(threads, 5)
    assert time.monotonic() - began < 5


def test_runs_that_cannot_be_read_leave_the_complete_one_of_the_lake(frame: FrameOfTests) -> None:
    now = frame.clock.now()
    run = Run("a", now - timedelta(seconds=12), now, {}, {}, {"posts": 3})
    kept: Kept[RunStates] = Kept(frame.clock, 30)
    kept.failed("it is down")
    seen = sources(Poller({}, frozenset(), frame.clock), runs=kept.block, complete_run=lambda: fresh(run, now))
    figure = next(figure for figure in snapshot(seen, frame.clock).figures if figure.id == "run")
    assert (figure.text, figure.state, figure.note) == ("succeeded", "ready", "0 s ago, took 12 s")
