"""The figures above the paths: is anything lost, what was not taken, how the last run went. Each is a block."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal

from pipeline_contracts.runs import RunState, RunStates
from pipeline_contracts.runs import State as RunsState

from dashboard import words
from dashboard.blocks import Block
from dashboard.lake.runs import Run
from dashboard.lake.watch import NotTaken

Level = Literal["ready", "slow", "down", "idle"]
"""How it stands: well, needs a look, bad, neither."""

_GOING: Final[set[RunsState]] = {"queued", "running", "ending"}
_RUN_WORDS: Final[dict[RunsState, str]] = {
    "queued": "waiting",
    "running": "running",
    "ending": "being cancelled",
    "success": "succeeded",
    "failed": "failed",
    "not_run": "not run",
    "cancelled": "cancelled",
    "timed_out": "took too long",
    "interrupted": "interrupted",
}


@dataclass(frozen=True)
class Verdict:
    """What the newest audit found: in few words, how that stands, and one line more."""

    text: str
    level: Level
    note: str


@dataclass(frozen=True)
class Figure:
    """One thing to see at a glance. ``state``: a block's state, or the level of what a fresh one holds."""

    id: str
    title: str
    state: str
    text: str
    note: str
    link: str


def verdict(block: Block[Verdict], now: datetime) -> Figure:
    """Whether anything is lost."""
    figure = Figure("audit", "Audit", "empty", "Not audited yet", "", "/audit")
    if block.value is None:
        return _without_value(figure, block)
    found = block.value
    return _aged(replace(figure, state=found.level, text=found.text, note=found.note), block, now)


def quarantined(block: Block[NotTaken], now: datetime) -> Figure:
    """Records that a cleaner refused, or in objects that could not be read."""
    figure = Figure("quarantined", "Quarantined", "empty", words.NONE, "", "/records")
    if block.value is None:
        return _without_value(figure, block)
    batch, stream = block.value.batch, block.value.stream
    figure = replace(figure, state="ready", text="0", note="No record was refused")
    if batch + stream:
        note = f"{words.number(batch)} batch, {words.number(stream)} stream"
        figure = replace(figure, state="slow", text=words.number(batch + stream), note=note)
    return _aged(figure, block, now)


def dead_letters(block: Block[NotTaken], now: datetime) -> Figure:
    """Records that could not be archived."""
    figure = Figure("dead-letters", "Dead letters", "empty", words.NONE, "", "/records")
    if block.value is None:
        return _without_value(figure, block)
    count = block.value.dead_letters
    figure = replace(figure, state="ready", text="0", note="All could be archived")
    if count:
        figure = replace(figure, state="slow", text=words.number(count), note="could not be archived")
    return _aged(figure, block, now)


def last_run(block: Block[RunStates], complete: Block[Run], now: datetime) -> Figure:
    """The newest run of the analysis: as the analyser tells; else the last complete one, as the lake does."""
    figure = Figure("run", "Last run", "empty", words.NONE, "", "/answers")
    batch = [run for run in block.value.runs if run.name.endswith("-batch")] if block.value else []
    if block.state == "fresh" and batch:
        text, level, note = _told(batch[0], now)
        return replace(figure, state=level, text=text, note=note)
    if complete.value is None:
        return _without_value(figure, complete)
    run = complete.value
    took = words.age((run.finished_at - run.started_at).total_seconds())
    note = f"{words.age((now - run.finished_at).total_seconds())} ago, took {took}"
    return _aged(replace(figure, state="ready", text="succeeded", note=note), complete, now)


def _told(run: RunState, now: datetime) -> tuple[str, Level, str]:
    word = _RUN_WORDS[run.state]
    if run.state in _GOING:
        task = next((task.name for task in run.tasks if task.state == "running"), "")
        since = words.age((now - (run.started or run.created)).total_seconds())
        return word, "idle", f"{task}, for {since}" if task else f"for {since}"
    ended = f"{words.age((now - run.ended).total_seconds())} ago" if run.ended else ""
    if run.state == "success":
        took = f", took {words.age((run.ended - run.started).total_seconds())}" if run.ended and run.started else ""
        return word, "ready", ended + took
    failed = next((f"{task.name}: {task.error}" for task in run.tasks if task.error), run.error or "")
    return word, "down", f"{ended}; {failed}" if failed else ended


def _aged(figure: Figure, block: Block[object], now: datetime) -> Figure:
    """The figure of a block's value; of a stale block, with its age."""
    if block.state != "stale" or block.as_of is None:
        return figure
    age = words.age((now - block.as_of).total_seconds())
    return replace(figure, state="stale", note=f"{age} old: {block.why}")


def _without_value(figure: Figure, block: Block[object]) -> Figure:
    note = f"{block.why}. To fill it: {block.fills}" if block.fills else block.why
    return replace(figure, state=block.state, note=note)
