import io

import pytest
from emitter.ledger import Run
from emitter.metrics import Metrics
from emitter.progress import ProgressBar, ProgressLines
from emitter.sources.source import Taken
from emitter.watchers import Tally
from prometheus_client import CollectorRegistry
from service_kit.ops import NotReadyError

RUN = Run(3, resumed=True, taken=Taken(40))


def test_metrics_and_readiness() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    tally = Tally(metrics)
    tally.began(RUN, 100)
    tally.took(7)
    assert metrics.accepting() == "records are accepted"
    tally.waiting("batch", "t", 5, "503 no broker", 1.0)
    with pytest.raises(NotReadyError, match="batch path: 503 no broker"):
        metrics.accepting()
    tally.resolved("batch", "t", 4, 1)
    assert metrics.accepting()
    assert tally.retried == 5
    labels = {"path": "batch", "destination": "t"}
    assert registry.get_sample_value("emitter_rows_total") == 7
    assert registry.get_sample_value("emitter_records_sent_again_total", labels) == 5
    assert registry.get_sample_value("emitter_records_total", {**labels, "outcome": "acknowledged"}) == 4
    assert registry.get_sample_value("emitter_records_total", {**labels, "outcome": "refused"}) == 1


def test_lines_come_now_and_then() -> None:
    lines: list[str] = []
    now = [0.0]
    progress = ProgressLines(lines.append, lambda: now[0])
    progress.began(RUN, 100)
    for second in range(12):
        now[0] = float(second)
        progress.resolved("batch", "t", 10, 0)
    progress.waiting("batch", "t", 5, "503", 0.5)
    assert lines == ["run 3: 100 events, going on after 40", "60 records done", "110 records done"]


def test_the_bar_shows_reasons_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    with ProgressBar(paths=2) as progress:
        progress.began(RUN, 100)
        progress.resolved("batch", "t", 30, 0)
        progress.waiting("batch", "t", 5, "no answer: [Errno 111] refused [/red]", 0.5)
    text = screen.getvalue()
    assert "run 3" in text
    assert "[Errno 111] refused [/red]" in text
