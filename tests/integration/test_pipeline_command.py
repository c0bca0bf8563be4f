import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner
from deltalake import write_deltalake
from pipeline_contracts.lake import QUARANTINE
from pipeline_local.cli import logs
from pipeline_local.installation import Installation
from pipeline_local.layout import Layout

ROOT = Path(__file__).parents[2]
# The command in a process of its own, with `up` in the place of all that it does.
UP = """
import time
from pipeline_local.cli import main
from pipeline_local.installation import Installation

def up(*_):
    try:
        print("began", flush=True)
        time.sleep(60)
    finally:
        print("cleaned up", flush=True)

Installation.up = up
main(["up"])
"""


def up(hang_up: signal.Handlers) -> subprocess.Popen[str]:
    started = subprocess.Popen(
        [sys.executable, "-c", UP],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, hang_up),  # noqa: PLW1509
    )
    assert started.stdout is not None
    assert started.stdout.readline() == "began\n"
    return started


def test_a_log_that_is_not_there_yet(tmp_path: Path) -> None:
    for arguments in (["proxy"], ["proxy", "-f"]):
        said = CliRunner().invoke(logs, arguments, obj=Installation(Layout(ROOT, tmp_path)))
        assert (said.exit_code, said.output) == (1, "Error: proxy has no log yet; `pipeline up` starts it\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_what_was_begun_is_cleaned_up(number: signal.Signals) -> None:
    with up(signal.SIG_DFL) as command:
        command.send_signal(number)
        assert command.communicate(timeout=10)[0] == "cleaned up\n"
        assert command.returncode == 128 + number


def test_under_nohup_a_closed_terminal_ends_nothing() -> None:
    with up(signal.SIG_IGN) as command:
        command.send_signal(signal.SIGHUP)
        command.send_signal(signal.SIGTERM)
        assert command.communicate(timeout=10)[0] == "cleaned up\n"
        assert command.returncode == 128 + signal.SIGTERM


def test_a_command_that_reads_tables_imports_no_client_and_no_frames(tmp_path: Path) -> None:
    """They are installed, and would take longer to import than all that it needs."""
    write_deltalake(tmp_path / "lake" / QUARANTINE, pa.table({"reason": ["not_json"]}))
    told = subprocess.run(
        [sys.executable, "-X", "importtime", Path(sys.executable).with_name("pipeline"), "quarantine", "--format=json"],
        env={**os.environ, "PIPELINE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(told.stdout) == [{"path": "batch", "reason": "not_json"}]
    imported = {line.rpartition("|")[2].strip() for line in told.stderr.splitlines()}
    assert {"duckdb", "deltalake", "pyarrow.dataset"} <= imported
    assert not {"numpy.version", "pandas.core", "boto3.session", "confluent_kafka.cimpl"} & imported
