"""The page of the eight questions, and one page for each of their tables with all of its rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from flask import Blueprint, render_template

from dashboard.api.answers import MOST_IN_FILE, named, read
from dashboard.api.frame import parameters
from dashboard.api.tables import behind, cursor
from dashboard.charts.drawn import Picture, Pictures
from dashboard.charts.marks import text
from dashboard.charts.specs import has_chart
from dashboard.lake.answers import Answer, Answers, Row, by_meaning
from dashboard.lake.answers_watch import AnswersWatch
from dashboard.lake.runs import Run
from dashboard.pages.findings import finding
from dashboard.pages.questions import COLUMNS, QUESTIONS, Question, rule
from dashboard.words import number

SHORT: Final = 10
"""Rows of a table beside its chart; one with a few more is shown whole."""
_NEARLY: Final = 15
PAGE: Final = 500
"""Rows of a page of one table."""
LETTERS: Final = 300
"""Letters of a cell; files and the API have all of it."""


@dataclass(frozen=True)
class Shown:
    """One table as a page shows it: its first rows, or all. ``drawing``: its chart is not there, but will be."""

    name: str
    title: str
    finding: str
    columns: list[tuple[str, str]]
    rows: list[list[object]]
    total: int
    picture: Picture | None
    drawing: bool
    trouble: str
    partly: str

    @property
    def cut(self) -> bool:
        """Whether there are more rows."""
        return len(self.rows) < self.total

    @property
    def in_file(self) -> bool:
        """Whether it can be downloaded whole."""
        return self.total <= MOST_IN_FILE


@dataclass(frozen=True)
class Asked:
    """One question: what its policy says, its tables, and those that the last run does not know."""

    question: Question
    rule: str
    tables: list[Shown]
    newer: list[str]


def blueprint(lake: AnswersWatch, pictures: Pictures) -> Blueprint:
    """Their routes."""
    made = Blueprint("answers", __name__)

    def answers() -> str:
        parameters()
        block = lake.answers.block()
        found = block.value
        asked = [] if found is None else [_asked(found, question, pictures) for question in QUESTIONS]
        return render_template("answers.html", block=block, asked=asked)

    def table(name: str) -> str:
        given = parameters("after")
        run, found = named(lake, name)
        after = behind(given.get("after"), run.run_id, found)
        rows = read(lake, run, found, after, PAGE + 1)
        following = cursor(run.run_id, found, rows[PAGE - 1]) if len(rows) > PAGE else None
        question = question_of(name)
        return render_template(
            "answer.html",
            block=lake.answers.block(),
            run=run,
            question=question,
            rule=rule(question, run.policies),
            shown=_shown(run, found, pictures, rows[:PAGE], every=True),
            first=after is None,
            following=following,
        )

    made.add_url_rule("/answers", "answers", answers, methods=["GET"])
    made.add_url_rule("/answers/<name>", "table", table, methods=["GET"])
    return made


def question_of(name: str) -> Question:
    """The question that a table answers."""
    return next(question for question in QUESTIONS if name in question.tables)


def _asked(answers: Answers, question: Question, pictures: Pictures) -> Asked:
    tables = [answers.tables[name] for name in question.tables if name in answers.tables]
    shown = [_shown(answers.run, table, pictures, table.rows) for table in tables]
    newer = [name for name in question.tables if name in answers.missing]
    return Asked(question, rule(question, answers.run.policies), shown, newer)


def _shown(run: Run, answer: Answer, pictures: Pictures, rows: Sequence[Row], *, every: bool = False) -> Shown:
    most = len(rows) if every or len(rows) <= _NEARLY else SHORT
    picture = pictures.of(run.run_id, answer.name)
    trouble = pictures.trouble(run.run_id)
    partly = "" if answer.whole else f"From the first {number(len(answer.rows))} of {number(answer.total)} rows."
    return Shown(
        name=answer.name,
        title=answer.title.partition(". ")[2] or answer.title,
        finding=finding(answer),
        columns=[COLUMNS.get(column, (column, "text")) for column in answer.columns],
        rows=[_cells(row) for row in by_meaning(rows)[:most]],
        total=answer.total,
        picture=picture,
        drawing=picture is None and not trouble and bool(answer.rows) and has_chart(answer.name),
        trouble=trouble if picture is None else "",
        partly=partly,
    )


def _cells(row: Row) -> list[object]:
    measures = {column for column, (_, kind) in COLUMNS.items() if kind == "num"}
    return [number(value) if column in measures else text(value, LETTERS) for column, value in row.items()]
