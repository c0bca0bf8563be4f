"""The emitter's SQL source against a real MariaDB, with the original's tables."""

import getpass
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from emitter.errors import SourceError
from emitter.rows import Row
from emitter.run import Options, send
from emitter.settings import EmitterSettings
from emitter.sources.source import Taken
from emitter.sources.sql import SqlSource
from fake_gateway import FakeGateway
from service_kit.clock import ManualClock

SAMPLE = Path(__file__).parents[3] / "shared/data/pinterest-sample"
START_S = 60
TABLES = """
CREATE TABLE pinterest_data (`index` BIGINT, unique_id TEXT, title TEXT, description TEXT, poster_name TEXT,
  follower_count TEXT, tag_list TEXT, is_image_or_video TEXT, image_src TEXT, downloaded BIGINT, save_location TEXT,
  category TEXT);
CREATE TABLE geolocation_data (ind BIGINT, timestamp DATETIME, latitude DOUBLE, longitude DOUBLE, country TEXT);
CREATE TABLE user_data (ind BIGINT, first_name TEXT, last_name TEXT, age BIGINT, date_joined DATETIME);
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A private server on a free port, empty but for the three tables."""
    server, install = shutil.which("mariadbd"), shutil.which("mariadb-install-db")
    if server is None or install is None:
        pytest.skip("no MariaDB server on this machine (Debian: apt-get install mariadb-server)")
    folder = tmp_path_factory.mktemp("mariadb")
    user = f"--user={getpass.getuser()}"
    subprocess.run([install, "--no-defaults", f"--datadir={folder}/data", user], check=True, capture_output=True)
    first = folder / "first.sql"
    first.write_text(
        "CREATE DATABASE posts CHARACTER SET utf8mb4;\nCREATE USER 'reader'@'%' IDENTIFIED BY 's3cret';\n"
        "GRANT ALL ON posts.* TO 'reader'@'%';\n"
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = [
        *(server, "--no-defaults", user, f"--datadir={folder}/data", f"--socket={folder}/s", f"--init-file={first}"),
        *(f"--port={port}", "--bind-address=127.0.0.1", "--skip-name-resolve", "--innodb-buffer-pool-size=32M"),
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(arguments, stdout=log, stderr=log)
    try:
        yield _ready(f"mysql+pymysql://reader:s3cret@127.0.0.1:{port}/posts?charset=utf8mb4", process, folder / "log")
    finally:
        process.terminate()
        process.wait(30)


def _ready(url: str, process: "subprocess.Popen[bytes]", log: Path) -> str:
    engine = sa.create_engine(url)
    deadline = time.monotonic() + START_S
    while True:
        try:
            with engine.begin() as connection:
                for statement in TABLES.split(";")[:-1]:
                    connection.exec_driver_sql(statement)
            engine.dispose()
            return url
        except sa.exc.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"MariaDB did not start:\n{log.read_text()[-2_000:]}")
            time.sleep(0.2)


@pytest.fixture
def sample(url: str) -> dict[str, list[dict[str, object]]]:
    """The sample's rows in the database, repeats included; the four misrouted pins left out."""
    if not SAMPLE.is_dir():
        pytest.skip("the sample is not beside this checkout")
    rows: dict[str, list[dict[str, object]]] = {}
    engine = sa.create_engine(url)
    for kind, table in (("pin", "pinterest_data"), ("geo", "geolocation_data"), ("user", "user_data")):
        lines = [json.loads(line) for line in (SAMPLE / f"{kind}.jsonl").read_text("utf-8").splitlines()]
        rows[kind] = [line for line in lines if kind == "pin" or "ind" in line]
        reflected = sa.Table(table, sa.MetaData(), autoload_with=engine)
        with engine.begin() as connection:
            connection.execute(reflected.delete())
            connection.execute(reflected.insert(), rows[kind])
    engine.dispose()
    return rows


def decoded(rows: list[Row], kind: str) -> list[dict[str, object]]:
    return [json.loads(row.value) for row in rows if row.kind == kind]


@pytest.mark.parametrize("page_rows", [100, 1_000])
def test_rows_are_those_that_were_stored(url: str, sample: dict[str, list[dict[str, object]]], page_rows: int) -> None:
    source = SqlSource(url, page_rows)
    rows = list(source.rows(Taken()))
    for kind, stored in sample.items():
        found = decoded(rows, kind)
        assert sorted(map(_canonical, found)) == sorted(map(_canonical, stored))
        assert [list(row) for row in found[:5]] == [list(row) for row in stored[:5]], "fields keep the wire's order"
    assert list(source.rows(Taken().after(rows[:1_234]))) == rows[1_234:]
    source.close()


def test_a_run_sends_them(url: str, sample: dict[str, list[dict[str, object]]], tmp_path: Path) -> None:
    settings = EmitterSettings(ledger=tmp_path / "ledger.sqlite")
    gateway = FakeGateway()
    summary = send(settings, SqlSource(url), Options(), transport=gateway, clock=ManualClock())
    assert summary.sent == {kind: len(rows) for kind, rows in sample.items()}
    assert summary.exit_code == 0
    assert b"s3cret" not in settings.ledger.read_bytes()


def test_errors_name_what_is_missing_and_no_password(url: str) -> None:
    with pytest.raises(SourceError, match="Access denied") as denied:
        SqlSource(url.replace("s3cret", "wr0ng"))
    with pytest.raises(SourceError, match="Access denied"):
        SqlSource(url.replace("/posts", "/nothing"))
    assert "wr0ng" not in str(denied.value)


def _canonical(row: dict[str, object]) -> str:
    return json.dumps(row, sort_keys=True)
