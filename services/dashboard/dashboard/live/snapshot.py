"""What the Overview shows, at one moment: for its page, for ``/api/v1/live``, and as the texts that move."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from pipeline_contracts.runs import RunStates
from service_kit.clock import Clock

from dashboard import words
from dashboard.blocks import Block
from dashboard.lake.runs import Run
from dashboard.lake.watch import NotTaken
from dashboard.live import figures
from dashboard.live.figures import Figure, Verdict
from dashboard.live.nodes import NODES, Node, Number
from dashboard.live.poller import Poller
from dashboard.live.samples import Trend
from dashboard.live.traces import traces
from dashboard.live.watched import State

_LEAST_LAG_S: Final = 1.0
_LEAST_WAITING: Final = 50.0
_TRENDS: Final[dict[Trend, str]] = {"grows": "▲ grows", "shrinks": "▼ shrinks", "steady": "", "": ""}
_OF_BLOCKS: Final[dict[str, State]] = {
    "loading": "loading",
    "empty": "empty",
    "fresh": "ready",
    "stale": "slow",
    "error": "down",
}


@dataclass(frozen=True)
class Sources:
    """Where the Overview's blocks come from; each is a call that does not block."""

    poller: Poller
    verdict: Callable[[], Block[Verdict]]
    not_taken: Callable[[], Block[NotTaken]]
    runs: Callable[[], Block[RunStates]]
    complete_run: Callable[[], Block[Run]]
    stream_rows: Callable[[], Block[int]]


@dataclass(frozen=True)
class Station:
    """A node as it is now. ``per_second`` of ``unit``; ``lag_s`` behind; numbers that are not known are None."""

    id: str
    state: State
    why: str
    per_second: float | None
    unit: str
    lag_s: float | None
    trend: Trend
    note: str


@dataclass(frozen=True)
class Snapshot:
    """All of it. ``shown`` has each text that moves, by the name in the page's ``data-live``."""

    at: datetime
    figures: tuple[Figure, ...]
    stations: Mapping[str, Station]
    shown: Mapping[str, str]


def snapshot(sources: Sources, clock: Clock) -> Snapshot:
    """As of now; does not block."""
    now = clock.now()
    not_taken = sources.not_taken()
    shown_figures = (
        figures.verdict(sources.verdict(), now),
        figures.quarantined(not_taken, now),
        figures.dead_letters(not_taken, now),
        figures.last_run(sources.runs(), sources.complete_run(), now),
    )
    stations = {node.id: _station(node, sources, now) for node in NODES}
    shown: dict[str, str] = {"now": words.moment(now, now)}
    for figure in shown_figures:
        shown |= {
            f"{figure.id}.state": figure.state,
            f"{figure.id}.text": figure.text,
            f"{figure.id}.note": figure.note,
        }
    for station in stations.values():
        shown |= {f"{station.id}.{name}": text for name, text in _texts(station).items()}
    for path, trace in traces(sources.poller).items():
        shown |= {f"{path}.points": trace.points, f"{path}.area": trace.area, f"{path}.most": trace.most}
    return Snapshot(now, shown_figures, stations, {name: str(words.inert(text)) for name, text in shown.items()})


def document(taken: Snapshot) -> dict[str, Any]:
    """For ``/api/v1/live``: exact values, and ``shown``."""
    return {
        "as_of": words.iso(taken.at),
        "figures": [asdict(figure) for figure in taken.figures],
        "stations": [asdict(station) for station in taken.stations.values()],
        "shown": taken.shown,
    }


def _station(node: Node, sources: Sources, now: datetime) -> Station:
    if node.service == "lake":
        return _of_the_lake(node, sources, now)
    state, failing = sources.poller.seen(node.service).part(*node.parts)
    why = sources.poller.seen(node.service).why
    if failing is not None:
        why = f"{failing.name}: {failing.detail}"
    elif state == "ready" and node.parts:
        why = ""
    lag, waits = _number(sources.poller, node.lag), _number(sources.poller, node.waits)
    held = _number(sources.poller, node.holds)
    counts = ((node.waits, waits), (node.holds, held))
    trend: Trend = ""
    if node.lag is not None and lag:
        trend = sources.poller.watched[node.lag.service].trend(node.lag.name, _LEAST_LAG_S)
    elif node.waits is not None and waits:
        trend = sources.poller.watched[node.waits.service].trend(node.waits.name, _LEAST_WAITING)
    return Station(
        id=node.id,
        state=state,
        why=why,
        per_second=_rate(sources.poller, node.rates),
        unit=node.rates[0].unit if node.rates else "",
        lag_s=lag,
        trend=trend,
        note=", ".join(number.said(count) for number, count in counts if number and count is not None),
    )


def _of_the_lake(node: Node, sources: Sources, now: datetime) -> Station:
    lag: float | None = None
    note = ""
    block: Block[Run] | Block[int]
    if node.id == "answers":
        block = run = sources.complete_run()
        if run.value is not None:
            lag = (now - run.value.finished_at).total_seconds()
            note = "" if run.value.posts is None else f"from {words.number(run.value.posts)} posts"
    else:
        block = rows = sources.stream_rows()
        note = "" if rows.value is None else f"{words.number(rows.value)} rows"
    why = f"{block.why}: {block.fills}" if block.fills else block.why
    return Station(node.id, _OF_BLOCKS[block.state], why, None, "", lag, "", note)


def _number(poller: Poller, number: Number | None) -> float | None:
    watched = poller.watched.get(number.service) if number else None
    return watched.number(number.name) if watched and number else None


def _rate(poller: Poller, numbers: tuple[Number, ...]) -> float | None:
    """Of all of them together; None where one is not known."""
    watched = [(poller.watched.get(number.service), number.name) for number in numbers]
    rates = [one.rate(name) if one else None for one, name in watched]
    known = [rate for rate in rates if rate is not None]
    return sum(known) if known and len(known) == len(rates) else None


def _texts(station: Station) -> dict[str, str]:
    behind = "old" if station.id == "answers" else "behind"
    return {
        "state": station.state,
        "why": station.why,
        "rate": "" if station.per_second is None else f"{words.rate(station.per_second)} {station.unit}/s",
        "lag": "" if station.lag_s is None else f"{words.age(station.lag_s)} {behind}",
        "trend": _TRENDS[station.trend],
        "note": station.note,
    }
