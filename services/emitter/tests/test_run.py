import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pytest
from emitter.errors import LedgerError, SourceError
from emitter.ledger import Ledger
from emitter.ledger_reader import LedgerReader
from emitter.report import as_json, as_text
from emitter.rows import Row
from emitter.run import Options, lanes_of, send
from emitter.settings import EmitterSettings
from emitter.sources.generator import GeneratorSource
from emitter.sources.jsonl import JsonlSource
from emitter.sources.source import Taken
from emitter.summary import Summary
from emitter.transport import HttpTransport
from fake_gateway import LOG_ID, FakeGateway, Fault, ProcessDiedError
from pipeline_contracts.content import content_hash
from service_kit.clock import ManualClock
from service_kit.shutdown import Shutdown


@pytest.fixture
def settings(tmp_path: Path) -> EmitterSettings:
    return EmitterSettings(ledger=tmp_path / "ledger.sqlite", batch_size=50, lanes=3)


def go(settings: EmitterSettings, gateway: FakeGateway, events: int = 600, *, fresh: bool = False) -> Summary:
    return send(
        settings, GeneratorSource(1), Options(events=events, fresh=fresh), transport=gateway, clock=ManualClock()
    )


def check_ledger(settings: EmitterSettings, gateway: FakeGateway) -> int:
    """Each acknowledged coordinate holds the content that was sent; returns how many there are."""
    total = 0
    with LedgerReader(settings.ledger) as reader:
        for part in reader.acknowledged():
            assert part.log_id == LOG_ID
            log = {
                stored.offset: content_hash(stored.value)
                for stored in gateway.logs[part.name]
                if str(stored.partition) == part.partition
            }
            for coordinate in reader.coordinates(part.path, part.name, part.log_id, part.partition):
                assert isinstance(coordinate.offset, int)
                assert log[coordinate.offset] == coordinate.content_hash
                total += 1
    return total


def test_everything_is_sent_once(settings: EmitterSettings) -> None:
    gateway = FakeGateway()
    summary = go(settings, gateway)
    assert sum(summary.sent.values()) == summary.acknowledged == check_ledger(settings, gateway) == 600
    assert {kind: len(gateway.logs[f"pinterest.{kind}"]) for kind in summary.sent} == summary.sent
    assert (summary.exit_code, summary.retried, summary.unfinished) == (0, 0, None)
    assert max(records for _, records in gateway.requests) <= 50


def test_a_finished_run_given_again_is_sent_again(settings: EmitterSettings) -> None:
    gateway = FakeGateway()
    assert [go(settings, gateway).run, go(settings, gateway).run] == [1, 2]
    assert sum(map(len, gateway.logs.values())) == 1_200


@pytest.mark.parametrize("fault", ["down", "busy", "no_api", "some_fail", "lost"])
def test_failures_are_ridden_out(settings: EmitterSettings, fault: Fault) -> None:
    gateway = FakeGateway(fault=lambda number: fault if number % 3 else "ok")
    summary = go(settings, gateway)
    assert summary.exit_code == 0
    assert summary.retried > 0
    assert check_ledger(settings, gateway) == 600
    assert sum(map(len, gateway.logs.values())) == 600 + gateway.unanswered


def test_gives_up_after_the_deadline_and_goes_on_later(settings: EmitterSettings) -> None:
    gateway = FakeGateway(fault=lambda number: "ok" if number < 4 else "no_api")
    summary = go(settings, gateway)
    assert summary.exit_code == 3
    assert "nothing was accepted within 120 s: 403" in (summary.unfinished or "")
    before = summary.acknowledged
    assert 0 < before < 600
    gateway.fault = lambda _: "ok"
    again = go(settings, gateway)
    assert (again.run, again.resumed, again.exit_code, again.acknowledged) == (summary.run, True, 0, 600)
    assert sum(map(len, gateway.logs.values())) == 600, "what was acknowledged is not sent a second time"
    assert "The same command resumes" in as_text(summary)


@pytest.mark.parametrize("fault", ["crash_before", "crash_after"])
def test_a_run_that_died_goes_on(settings: EmitterSettings, fault: Fault) -> None:
    gateway = FakeGateway(fault=lambda number: "ok" if number < 5 else fault)
    with pytest.raises(ProcessDiedError):
        go(settings, gateway)
    gateway.fault = lambda _: "ok"
    summary = go(settings, gateway)
    assert (summary.resumed, summary.acknowledged, summary.sent) == (True, 600, {"pin": 200, "geo": 200, "user": 200})
    assert check_ledger(settings, gateway) == 600
    assert sum(map(len, gateway.logs.values())) == 600 + gateway.unanswered


def test_fresh_begins_anew(settings: EmitterSettings) -> None:
    gateway = FakeGateway(fault=lambda _: "crash_before")
    with pytest.raises(ProcessDiedError):
        go(settings, gateway)
    gateway.fault = lambda _: "ok"
    summary = go(settings, gateway, fresh=True)
    assert (summary.run, summary.resumed, summary.acknowledged) == (2, False, 600)


def test_bad_rows_are_kept_and_the_rest_is_sent(settings: EmitterSettings, tmp_path: Path) -> None:
    (tmp_path / "pin.jsonl").write_bytes(b'{"index":1}\n{"index":"2"}\nnot json\n{"index":4}\n')
    (tmp_path / "geo.jsonl").write_bytes(b"")
    (tmp_path / "user.jsonl").write_bytes(b'[]\n{"ind":9}\n')
    gateway = FakeGateway()
    summary = send(settings, JsonlSource(tmp_path), Options(), transport=gateway, clock=ManualClock())
    assert summary.sent == {"pin": 2, "geo": 0, "user": 1}
    assert sum(problem.records for problem in summary.rejected) == 3
    assert summary.exit_code == 1
    text = as_text(summary)
    assert "rejected before sending: 3" in text
    assert "(first: pin 2)" in text


def test_refused_records_are_isolated_and_named(settings: EmitterSettings, tmp_path: Path) -> None:
    def lines(large: int | None) -> bytes:
        sizes = ((number, b"y" * (3_000 if number == large else 1)) for number in range(40))
        return b"".join(b'{"ind":%d,"x":"%b"}\n' % each for each in sizes)

    for kind, large in (("pin", 5), ("geo", None), ("user", None)):
        (tmp_path / f"{kind}.jsonl").write_bytes(lines(large))
    # The topic of users is unknown, a large body is refused as a whole, and each 7 for its content.
    gateway = FakeGateway(
        topics=("pinterest.pin", "pinterest.geo"),
        most_bytes=2_000,
        refuse=lambda value: "unlucky" if value["ind"] == 7 else None,
    )
    summary = send(settings, JsonlSource(tmp_path), Options(), transport=gateway, clock=ManualClock())
    assert summary.sent == {"pin": 38, "geo": 39, "user": 0}
    assert {problem.reason: (problem.records, problem.position) for problem in summary.refused} == {
        "404 40401 Topic not found: pinterest.user": (40, "1"),
        "413 413 the body is too large": (1, "6"),
        "unlucky": (2, "8"),
    }
    assert summary.exit_code == 1
    assert msgspec.json.decode(as_json(summary))["paths"]["batch"]["refused"] == 43


def test_stopped_on_request(settings: EmitterSettings) -> None:
    shutdown = Shutdown()

    def fault(number: int) -> Fault:
        if number == 3:
            shutdown.request()
        return "ok"

    gateway = FakeGateway(fault=fault)
    summary = send(
        settings, GeneratorSource(1), Options(events=50_000), transport=gateway, shutdown=shutdown, clock=ManualClock()
    )
    assert (summary.exit_code, summary.unfinished) == (3, "stopped on request")
    assert check_ledger(settings, gateway) == sum(map(len, gateway.logs.values())) == summary.acknowledged


def test_a_source_that_fails_in_the_middle(settings: EmitterSettings) -> None:
    class Breaks(GeneratorSource):
        broken = True

        def rows(self, taken: Taken) -> Iterator[Row]:
            yield from islice(super().rows(taken), 2_500)
            if self.broken:
                raise SourceError("cannot read on")

    gateway = FakeGateway()
    source = Breaks(1)
    summary = send(settings, source, Options(events=3_000), transport=gateway, clock=ManualClock())
    assert (summary.exit_code, summary.unfinished) == (3, "cannot read on")
    assert summary.acknowledged == 2_000, "all that was in the ledger before is sent"
    source.broken = False
    summary = send(settings, source, Options(events=3_000), transport=gateway, clock=ManualClock())
    assert (summary.exit_code, summary.acknowledged) == (0, 3_000)
    assert check_ledger(settings, gateway) == sum(map(len, gateway.logs.values())) == 3_000


def fail_after(monkeypatch: pytest.MonkeyPatch, method: str, calls: int) -> None:
    """Of this method of the ledger, all later calls meet a full disk."""
    works = getattr(Ledger, method)
    numbers = iter(range(1_000))

    def fails_later(*arguments: Any, **named: Any) -> Any:
        if next(numbers) >= calls:
            raise LedgerError("disk full")
        return works(*arguments, **named)

    monkeypatch.setattr(Ledger, method, fails_later)


@pytest.mark.parametrize(("method", "calls"), [("resolve", 3), ("_transaction", 5), ("close_run", 0)])
def test_a_ledger_that_cannot_be_written_on(
    settings: EmitterSettings, monkeypatch: pytest.MonkeyPatch, method: str, calls: int
) -> None:
    gateway = FakeGateway()
    fail_after(monkeypatch, method, calls)
    summary = go(settings, gateway)
    assert (summary.exit_code, summary.unfinished) == (3, "disk full")
    assert summary.acknowledged > 0
    monkeypatch.undo()
    again = go(settings, gateway)
    assert (again.resumed, again.exit_code) == (True, 0)
    assert again.acknowledged == check_ledger(settings, gateway) == 600


def test_a_full_disk_does_not_hide_a_programming_error(
    settings: EmitterSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_after(monkeypatch, "close_run", 0)
    with pytest.raises(ProcessDiedError):
        go(settings, FakeGateway(fault=lambda _: "crash_before"))


@pytest.mark.parametrize(("rate", "lanes"), [(None, 3), (0.1, 1), (50, 1), (51, 2), (10_000, 3)])
def test_a_rate_takes_no_more_lanes_than_it_needs(settings: EmitterSettings, rate: float | None, lanes: int) -> None:
    assert lanes_of(settings, rate) == lanes


def test_rate(settings: EmitterSettings) -> None:
    clock = ManualClock()
    send(settings, GeneratorSource(1), Options(events=60, rate=20), transport=FakeGateway(), clock=clock)
    assert clock.monotonic() == pytest.approx(3, abs=0.2)


@pytest.mark.parametrize("fault", ["ok", "crash_before"])
def test_its_own_connections_are_closed_however_a_run_ends(
    settings: EmitterSettings, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    closed: list[bool] = []

    class Connections(FakeGateway):
        def __init__(self, *_: object) -> None:
            super().__init__(fault=lambda _: fault)

        def close(self) -> None:
            closed.append(True)

    monkeypatch.setattr("emitter.run.HttpTransport", Connections)
    with suppress(ProcessDiedError):
        send(settings, GeneratorSource(1), Options(events=60), clock=ManualClock())
    assert closed == [True]


def test_the_callers_connections_stay_open(settings: EmitterSettings) -> None:
    class Connections(HttpTransport):
        closed = False

        def close(self) -> None:
            self.closed = True

    transport = Connections("http://127.0.0.1:1", None, 1.0, 1)
    send(settings, GeneratorSource(1), Options(events=3), transport=transport, clock=ManualClock())
    assert not transport.closed


def test_a_stop_does_not_wait_for_an_answer_that_never_comes(settings: EmitterSettings) -> None:
    shutdown, answer = Shutdown(), threading.Event()

    class Fast(ManualClock):
        def monotonic(self) -> float:
            self.sleep(10)
            return super().monotonic()

    def fault(_: int) -> Fault:
        shutdown.request()
        answer.wait()
        return "ok"

    begun = time.monotonic()
    try:
        gateway = FakeGateway(fault=fault)
        summary = send(
            settings, GeneratorSource(1), Options(events=60), transport=gateway, shutdown=shutdown, clock=Fast()
        )
        assert (summary.exit_code, summary.acknowledged) == (3, 0)
        assert time.monotonic() - begun < 10, "by its own clock, the wait is over at once"
    finally:
        answer.set()
