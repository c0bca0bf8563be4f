"""Whatever a record, a log or a service holds: no command's output moves the cursor or hides anything."""

import ast
import csv
import io
import json
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline_contracts.audits import AuditRow
from pipeline_contracts.lake import ANSWERS
from pipeline_local import answers, commands_data, commands_stream, printing, tables
from pipeline_local.audit.report import Audit
from pipeline_local.cli import CommandGroup, logs, status
from pipeline_local.installation import Installation, InstallationError
from pipeline_local.layout import Layout
from pipeline_local.options import tell
from pipeline_local.status import ServiceStatus, Status

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "local" / "pipeline_local").rglob("*.py"))
ATTACK = '[/red]\x1b]0;PWNED\x07\x1b[2J\x1b[31m\x9b31m\u202egnp.exe\u2066\u200b\x7f\x00\r[bold]X\ud83d:bomb:"'
HOSTILE = st.text(st.one_of(st.sampled_from(ATTACK), st.characters()), max_size=30).map(lambda text: ATTACK + text)
STORED = st.text(st.one_of(st.sampled_from(ATTACK.replace("\ud83d", "\n=+-@'")), st.characters(codec="utf-8")))
FORMULAS = ["=1+1", "+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "＝1"]


def obeyed(text: str) -> set[str]:
    """What a terminal would obey, but for line breaks; and what nobody sees, but for the joiners of scripts."""
    bad = {one for one in text if unicodedata.category(one) in {"Cc", "Cf", "Cs", "Zl", "Zp"}}
    return {one for one in bad if unicodedata.bidirectional(one) not in {"AN", "AL", "L"}} - {"\n", "\u200c", "\u200d"}


class Told(Installation):
    """An installation that failed, and says what one of its services had written."""

    def __init__(self, words: str) -> None:
        super().__init__(Layout(ROOT, Path(__file__).parent))
        self.words = words

    def __setattr__(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    @property
    def status(self) -> Status:
        return Status(1, "failed", self.words, {self.words: ServiceStatus()})

    @property
    def runs(self) -> bool:
        return False

    def log_tail(self, name: str, lines: int) -> str:
        return f"{name} {lines}: {self.words}"


def printed(printer: Callable[[], None]) -> Result:
    @click.command("it")
    def command() -> None:
        printer()

    return CliRunner().invoke(CommandGroup(commands={"it": command}), ["it"])


def ran(command: click.Command, arguments: list[str], text: str) -> Result:
    return CliRunner().invoke(command, arguments, obj=Told(text))


def fail(text: str) -> None:
    raise InstallationError(text)


def stored(text: str) -> answers.Answers:
    return answers.Answers({name: [{"poster_name": text, "posts": 1}] for name in ANSWERS}, {"ties": text}, text)


def quarantined(text: str) -> list[dict[str, Any]]:
    row = {"reason": text, "source": text, "partition": text, "offset": text, "raw_base64": text, "value": None}
    return [{"path": "batch", "topic": text, **row}, {"path": "stream", "stream": text, **row, "value": text}]


def popular(text: str) -> dict[str, Any]:
    profile = {"poster_name": text, "score": 1.0, "posts": 1, "follower_count": 1, "last_post_at": text}
    return {"profiles": [profile], "as_of": text, "half_life_s": text}


def audit(text: str) -> Audit:
    return Audit([AuditRow("stream", text, text, text, missing=[[text, text]]), AuditRow("batch", text, text, 0)])


PRINTERS: dict[str, Callable[[str], Result]] = {
    "answers": lambda text: printed(lambda: answers.show(stored(text), "table")),
    "query": lambda text: printed(lambda: commands_data.show([text], [(text,), (None,)], "table")),
    "quarantine": lambda text: printed(lambda: tables.print_quarantine(printing.console(), quarantined(text), 9)),
    "popular": lambda text: printed(lambda: commands_stream.show_popular(printing.console(), popular(text))),
    "audit": lambda text: printed(lambda: tables.print_audit(printing.console(), audit(text))),
    "demo": lambda text: printed(
        lambda: tables.print_stream_tables(printing.console(), {text: {"rows": 1, "current": 1}})
    ),
    "latencies": lambda text: printed(
        lambda: tables.print_latencies(printing.console(), {text: {"p50": 1.0, "p95": None}})
    ),
    "status": lambda text: ran(status, [], text),
    "logs": lambda text: ran(logs, [], text),
    "progress": lambda text: printed(lambda: tell(text)),
    "an error": lambda text: printed(lambda: fail(text)),
}
DOCUMENTS: dict[str, Callable[[str], Result]] = {
    "answers": lambda text: printed(lambda: answers.show(stored(text), "json")),
    "query": lambda text: printed(lambda: commands_data.show([text], [(text,)], "json")),
    "consume": lambda text: printed(lambda: printing.say_json({"key": text, "value": text})),
    "status": lambda text: ran(status, ["--format", "json"], text),
}


@pytest.mark.parametrize("name", PRINTERS)
@settings(max_examples=15, deadline=None)
@given(text=HOSTILE)
def test_every_text_and_table_is_inert(name: str, text: str) -> None:
    said = PRINTERS[name](text).stdout_bytes or PRINTERS[name](text).output_bytes
    assert "x1b" in said.decode()
    assert obeyed(said.decode()) <= {"\t"}


@pytest.mark.parametrize("name", DOCUMENTS)
@settings(max_examples=15, deadline=None)
@given(text=HOSTILE)
def test_every_json_document_is_inert_and_means_the_same(name: str, text: str) -> None:
    said = DOCUMENTS[name](text).stdout_bytes.decode()
    assert obeyed(said) == set()
    assert json.dumps(text) in json.dumps(json.loads(said))


@settings(deadline=None)
@given(st.lists(st.lists(STORED, min_size=2, max_size=2), min_size=1, max_size=4))
def test_csv_holds_the_very_values(rows: list[list[str]]) -> None:
    said = printed(lambda: printing.say_csv(rows, spreadsheet_safe=False)).stdout_bytes
    assert list(csv.reader(io.StringIO(said.decode(), newline=""), strict=True)) == rows


def test_both_commands_write_csv_so() -> None:
    text = ATTACK.replace("\ud83d", "=1")
    for printer in (
        lambda: answers.show(stored(text), "csv"),
        lambda: commands_data.show(["poster_name"], [(text,)], "csv"),
    ):
        rows = list(csv.reader(io.StringIO(printed(printer).stdout_bytes.decode(), newline="")))
        assert text in rows[1]


@pytest.mark.parametrize("text", FORMULAS)
def test_formulas_become_text_where_that_is_asked_for(text: str) -> None:
    rows: list[list[object]] = [[text, "plain", -1, None]]
    said = printed(lambda: printing.say_csv(rows, spreadsheet_safe=True)).stdout_bytes.decode()
    assert list(csv.reader(io.StringIO(said, newline=""))) == [[f"'{text}", "plain", "-1", ""]]
    header = printed(lambda: commands_data.show([text], [], "csv", spreadsheet_safe=True)).stdout_bytes.decode()
    assert header.lstrip('"').startswith("'")


def test_csv_on_a_terminal_is_inert(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    printing.say_csv([[ATTACK]], spreadsheet_safe=False)
    assert obeyed(capsys.readouterr().out) == set()


@pytest.mark.parametrize("command", [commands_data.answers, commands_data.query])
def test_the_option_is_of_csv_alone(command: click.Command) -> None:
    done = CliRunner().invoke(command, ["--spreadsheet-safe", "x"], obj=Told(""))
    assert (done.exit_code, "needs --format csv" in done.output) == (2, True)


def test_nothing_else_prints() -> None:
    """A printer of its own would have to remember all of this."""
    found = [
        f"{file.name}:{node.lineno}"
        for file in SOURCES
        if file.name != "printing.py"
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"click.echo", "print", "Console", "click.secho"}
    ]
    assert found == []
