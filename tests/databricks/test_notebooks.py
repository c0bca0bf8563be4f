"""The notebooks of ``spark/notebooks``, run from their first cell to their last, with the platform's part faked."""

import gzip
import json
import runpy
import shutil
import sys
import xml.etree.ElementTree as ET
from base64 import b64decode
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from batch_analyser.jobs import answers, upkeep
from batch_analyser.lake import Lake
from batch_analyser.raw_frames import raw_frames
from batch_analyser.settings import AnalyserSettings
from deltalake import DeltaTable
from pipeline_contracts.lake import ANSWERS as TITLES
from pipeline_contracts.lake import STREAM_QUARANTINE, gold, silver, stream_table
from pipeline_contracts.names import KINDS, Kind, Names
from pipeline_contracts.objects import ObjectName
from pipeline_transforms.answers import ANSWERS
from pipeline_transforms.cleaning import clean, good_rows
from pipeline_transforms.versions import current_rows
from posts import write_generated
from pyspark import cloudpickle
from pyspark.errors import StreamingQueryException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.datasource import DataSource, SimpleDataSourceStreamReader
from raw_objects import post
from recompute import recompute
from spark_session import spark_session
from stream_reader.lake.delta import DeltaTables
from stream_reader.lake.tables import create_all, record_tables
from stream_reader.queries.fake_streams import FakeStreams, log_id
from stream_reader.queries.streams import StreamError

pytestmark = pytest.mark.spark

NOTEBOOKS = Path(__file__).parents[2] / "spark" / "notebooks"
NAMES = Names()
ELSEWHERE = {
    "spark.sql.session.timeZone": "America/New_York",
    "spark.sql.ansi.enabled": "false",
    "spark.sql.parquet.outputTimestampType": "INT96",
}
"""What a cluster may be set to."""


class Widgets:
    """``dbutils.widgets``: a job's parameter wins over a default."""

    def __init__(self, given: dict[str, str]) -> None:
        self._values = given

    def text(self, name: str, default: str) -> None:
        self._values.setdefault(name, default)

    def dropdown(self, name: str, default: str, choices: Sequence[str]) -> None:
        self.text(name, default)
        assert self._values[name] in choices

    def get(self, name: str) -> str:
        return self._values[name]


class Platform:
    """What a notebook finds around it."""

    def __init__(self, spark: Any, **widgets: str) -> None:
        self.shown: list[Any] = []
        self.pictures: list[str] = []
        self.spark = spark
        self.files: dict[str, str] = {}
        file_system = SimpleNamespace(
            mounts=lambda: [SimpleNamespace(mountPoint=point, source=source) for point, source in self.files.items()],
            mount=lambda source, mount_point: self.files.update({mount_point: source}),
            refreshMounts=lambda: True,
            ls=lambda path: [path],
        )
        self.dbutils = SimpleNamespace(widgets=Widgets(widgets), fs=file_system)

    def run(self, name: str) -> None:
        around = {
            "spark": self.spark,
            "dbutils": self.dbutils,
            "display": lambda value: self.shown.append(value.collect() if isinstance(value, DataFrame) else value),
            "displayHTML": self.pictures.append,
        }
        runpy.run_path(str(NOTEBOOKS / f"{name}.py"), init_globals=around)


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    with spark_session(cores=2) as session:
        yield session


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Posts, as they were sent; they lie as raw objects in the folder ``raw`` beside."""
    source = write_generated(tmp_path / "source", 300, 7)
    for kind in KINDS:
        lines = (source / f"{kind}.jsonl").read_text().splitlines()
        rows = [
            json.dumps({"offset": number, "value": json.loads(line), "key": None, "timestamp": "2026-01-01T00:00:00Z"})
            for number, line in enumerate(lines)
        ]
        file = tmp_path / "raw" / ObjectName(NAMES.topic(kind), 0, 0, None).key
        file.parent.mkdir(parents=True)
        file.write_bytes(gzip.compress("".join(f"{row}\n" for row in rows).encode()))
    return source


def test_batch_shows_the_eight_questions(spark: SparkSession, source: Path, tmp_path: Path) -> None:
    platform = Platform(spark, root=(tmp_path / "raw").as_uri())
    platform.run("batch")
    answers = dict(
        zip(ANSWERS, [[row.asDict() for row in rows] for rows in platform.shown[-len(ANSWERS) :]], strict=True)
    )
    expected = recompute(source)
    assert answers == {name: expected[name] for name in ANSWERS}
    assert len(platform.pictures) == len(ANSWERS)
    assert all(ET.fromstring(picture).tag.endswith("svg") for picture in platform.pictures)
    assert len(platform.shown) == 3 * len(KINDS) + len(ANSWERS)


@pytest.mark.parametrize(("widgets", "catalog"), [({}, "spark_catalog"), ({"catalog": "ours"}, "ours")])
def test_batch_looks_into_the_volume_that_mount_made(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch, widgets: dict[str, str], catalog: str
) -> None:
    def looked_into(_spark: SparkSession, root: str, _names: Names) -> None:
        raise LookupError(root)

    monkeypatch.setattr("batch_analyser.raw_frames.raw_frames", looked_into)
    with pytest.raises(LookupError, match=f"^/Volumes/{catalog}/pinterest/raw$"):
        Platform(spark, **widgets).run("batch")


@pytest.mark.usefixtures("source")
def test_answers_shows_the_last_complete_run(spark: SparkSession, tmp_path: Path) -> None:
    uri = (tmp_path / "lake").as_uri()
    with pytest.raises(RuntimeError, match="no complete run yet"):
        Platform(spark, lake_uri=uri).run("answers")
    settings = AnalyserSettings(LAKE_URI=uri)  # type: ignore[call-arg]
    lake = Lake(spark, uri)
    lake.create_all()
    for kind, rows in raw_frames(spark, (tmp_path / "raw").as_uri(), NAMES).items():
        lake.append(silver(kind), current_rows(good_rows(clean(rows, kind), kind)))
    report = answers.run(spark, settings)
    for name in TITLES:
        lake.overwrite(gold(name), lake.read(gold(name)).limit(0))  # as a run that was cut off
    platform = Platform(spark, lake_uri=uri)
    platform.run("answers")
    run, *tables = platform.shown
    assert [row["run_id"] for row in run] == [report.run_id]
    stored = answers.stored(spark, settings)
    assert stored is not None
    assert all(len(table) for table in tables)
    assert [[row.asDict() for row in table] for table in tables] == list(stored[1].values())
    assert [title.partition(">")[2] for title in platform.pictures] == [f"{title}</h3>" for title in TITLES.values()]


class FakeKinesis(DataSource):
    """Databricks' columns, three records per stream: a good one, one that is no JSON, a good one."""

    @classmethod
    def name(cls) -> str:
        return "kinesis"

    def schema(self) -> str:
        return (
            "partitionKey string, data binary, stream string, shardId string, sequenceNumber string, "
            "approximateArrivalTimestamp timestamp"
        )

    def simpleStreamReader(self, schema: Any) -> SimpleDataSourceStreamReader:
        return _Records(self.options["streamName"])


class _Records(SimpleDataSourceStreamReader):
    data: ClassVar[dict[str, list[bytes | tuple[bytes, ...]]]] = {
        NAMES.stream(kind): [json.dumps(post(0)[kind]).encode(), b"nonsense", json.dumps(post(2)[kind]).encode()]
        for kind in KINDS
    }

    def __init__(self, stream: str) -> None:
        at = datetime(2026, 1, 1, tzinfo=UTC)
        self._rows = [
            ("key", data, stream, "shardId-000000000000", f"{number:056d}", at)
            for number, record in enumerate(self.data[stream])
            for data in (record if isinstance(record, tuple) else (record,))
        ]

    def initialOffset(self) -> dict[str, int]:
        return {"next": 0}

    def read(self, start: dict[str, int]) -> tuple[Iterator[Any], dict[str, int]]:
        return iter(self._rows[start["next"] :]), {"next": len(self._rows)}

    def readBetweenOffsets(self, start: dict[str, int], end: dict[str, int]) -> Iterator[Any]:
        return iter(self._rows[start["next"] : end["next"]])


class Streams:
    """The notebook on three streams, in the place of Databricks and Kinesis."""

    def __init__(self, spark: SparkSession, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        cloudpickle.register_pickle_by_value(sys.modules[__name__])  # type: ignore[no-untyped-call]  # workers cannot import it
        monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "17.3")
        self.described = described = FakeStreams(**dict.fromkeys(NAMES.streams, 1.0))
        monkeypatch.setattr("stream_reader.queries.streams.KinesisStreams", lambda _endpoint, _region: described)
        monkeypatch.setattr(_Records, "data", {stream: list(data) for stream, data in _Records.data.items()})
        self.folder = folder / "lake"
        self._spark = spark

    def run(self) -> list[list[int]]:
        """Take what is there; the keys in the three tables then."""
        self._spark.dataSource.register(FakeKinesis)
        platform = Platform(self._spark, lake_uri=self.folder.as_uri(), once="true")
        platform.run("stream")
        return [sorted(row["ind"] for row in rows) for rows in platform.shown]

    def table(self, name: str) -> DataFrame:
        return self._spark.read.format("delta").load(f"{self.folder.as_uri()}/{name}")

    def properties(self, name: str) -> dict[str, str]:
        detail = self._spark.sql(f"DESCRIBE DETAIL delta.`{self.folder.as_uri()}/{name}`").collect()[0]
        return dict(detail["properties"])


@pytest.fixture
def streams(spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Streams:
    return Streams(spark, tmp_path, monkeypatch)


def test_stream_takes_each_record_once(streams: Streams, tmp_path: Path) -> None:
    for _ in range(2):
        assert streams.run() == [[0, 2]] * len(KINDS)
    bad = streams.table("quarantine/stream").collect()
    assert sorted((row["log_id"], row["stream"], row["offset"][-1], row["reason"]) for row in bad) == [
        (log_id(stream, 1.0), stream, "1", "not_json") for stream in sorted(NAMES.streams)
    ]
    assert {(row["source"], b64decode(row["raw_base64"])) for row in bad} == {("record", b"nonsense")}
    create_all(DeltaTables((tmp_path / "reader").as_uri()), NAMES)
    for name, (schema, _) in record_tables(NAMES).items():
        assert streams.table(name).schema == schema, name
        assert streams.properties(name) == DeltaTable(tmp_path / "reader" / name).metadata().configuration, name
    sent = post(2)["pin"]
    [row] = streams.table(stream_table(NAMES, "pin")).where("ind = 2").collect()
    assert json.loads(row["value"]) == sent


def test_tables_of_an_older_version_stay_and_good_records_leave_quarantine_alone(
    spark: SparkSession, streams: Streams
) -> None:
    lake = Lake(spark, streams.folder.as_uri())
    for name, (schema, _) in record_tables(NAMES).items():
        lake.create(name, schema)
    for data in _Records.data.values():
        del data[1]
    assert streams.run() == [[0, 2]] * len(KINDS)
    assert lake.version(STREAM_QUARANTINE) == 0


def test_kinesis_may_be_away_for_a_moment(streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    describe, asked = streams.described.describe, Counter[str]()

    def every_other_time(name: str) -> Any:
        asked[name] += 1
        if asked[name] % 2:
            raise StreamError("Kinesis is away")
        return describe(name)

    monkeypatch.setattr(streams.described, "describe", every_other_time)
    assert streams.run() == [[0, 2]] * len(KINDS)
    assert set(asked.values()) == {4}, "at the start and in the batch, twice each"


def test_streams_take_turns_and_a_cluster_s_settings_change_no_time_and_no_number(
    spark: SparkSession, streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    alike = {name: spark.conf.get(name) for name in ELSEWHERE}
    for name, value in ELSEWHERE.items():
        spark.conf.set(name, value)
    pools: dict[Kind, str | None] = {}

    def cleaned(rows: DataFrame, kind: Kind) -> DataFrame:
        pools[kind] = spark.sparkContext.getLocalProperty("spark.scheduler.pool")
        return clean(rows, kind)

    monkeypatch.setattr("pipeline_transforms.cleaning.clean", cleaned)
    streams.run()
    assert pools == {kind: kind for kind in KINDS}
    assert {name: spark.conf.get(name) for name in ELSEWHERE} == alike


def test_after_its_checkpoint_is_lost_the_stream_loses_and_doubles_nothing(streams: Streams) -> None:
    streams.run()
    shutil.rmtree(streams.folder / "checkpoints")
    for kind in KINDS:
        _Records.data[NAMES.stream(kind)].append(json.dumps(post(4)[kind]).encode())
    assert streams.run() == [[0, 2, 4]] * len(KINDS)
    assert streams.table("quarantine/stream").count() == len(KINDS)


def test_the_records_of_an_aggregate_are_rows_of_their_own(streams: Streams) -> None:
    """They share a sequence number (KPL)."""
    for kind in KINDS:
        inner = [json.dumps(post(ind)[kind]).encode() for ind in range(4, 16)]
        _Records.data[NAMES.stream(kind)].append((*inner, b"nonsense"))
    expected = [0, 2, *range(4, 16)]
    assert streams.run() == [expected] * len(KINDS)
    shutil.rmtree(streams.folder / "checkpoints")
    for kind in KINDS:
        _Records.data[NAMES.stream(kind)].append(json.dumps(post(16)[kind]).encode())
    assert streams.run() == [[*expected, 16]] * len(KINDS)
    for kind in KINDS:
        offsets = {row["ind"]: row["offset"] for row in streams.table(stream_table(NAMES, kind)).collect()}
        third = f"{3:056d}"
        assert [offsets[ind] for ind in range(4, 16)] == [third, *(f"{third}.{nth}" for nth in range(1, 12))]
    bad = [row["offset"] for row in streams.table("quarantine/stream").collect()]
    assert sorted(bad) == sorted([f"{1:056d}", f"{third}.12"] * len(KINDS))


def test_a_stream_made_anew_while_a_batch_is_read_leaves_no_row(
    streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So its stream is described after its rows were read, as they cannot become another stream's then."""
    read = streams.folder.parent / "read"
    describe = streams.described.describe

    def noted(batches: Any) -> Any:
        read.touch()
        yield from batches

    def cleaned(rows: DataFrame, kind: Kind) -> DataFrame:
        return clean(rows.mapInArrow(noted, rows.schema), kind)

    def anew(name: str) -> Any:
        if read.exists():
            streams.described.created[name] = 2.0
        return describe(name)

    monkeypatch.setattr("pipeline_transforms.cleaning.clean", cleaned)
    monkeypatch.setattr(streams.described, "describe", anew)
    with pytest.raises(StreamingQueryException, match="was recreated"):
        streams.run()
    assert all(
        streams.table(name).isEmpty() for name in (*(stream_table(NAMES, kind) for kind in KINDS), STREAM_QUARANTINE)
    )


def test_upkeep_looks_after_what_the_notebook_appends(
    spark: SparkSession, streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams.run()
    for kind in KINDS:
        _Records.data[NAMES.stream(kind)] += [json.dumps(post(4)[kind]).encode(), b"nonsense"]
    streams.run()
    followed = DeltaTables(streams.folder.as_uri())
    tables = [*(stream_table(NAMES, kind) for kind in KINDS), STREAM_QUARANTINE]
    before = {table: (followed.version(table), rows_of(followed, table)) for table in tables}
    settings = AnalyserSettings(LAKE_URI=streams.folder.as_uri())  # type: ignore[call-arg]
    Lake(spark, settings.lake_uri, use_delta_rs=True).create_all()  # which takes Spark a minute
    report = upkeep.run(spark, settings.model_copy(update={"compact_files": 1}))
    assert set(tables) <= set(report.compacted)
    for table, (version, rows) in before.items():
        assert len(DeltaTable(streams.folder / table).file_uris()) == 1
        assert rows_of(followed, table) == rows
        assert rows_of(followed, table, since=version) == rows, "who follows it sees them again, and knows them"

    monkeypatch.delenv("DATABRICKS_RUNTIME_VERSION")
    assert not upkeep.stream_tables(Lake(spark, settings.lake_uri), NAMES), "elsewhere they are the stream reader's"


def rows_of(tables: DeltaTables, table: str, since: int | None = None) -> list[tuple[str, str]]:
    found = tables.read(table, ["log_id", "offset"], since=since)
    return sorted(
        place for rows in found for place in zip(*(rows[n].to_pylist() for n in ("log_id", "offset")), strict=True)
    )


def test_a_stream_made_anew_is_told_from_the_old_one(streams: Streams) -> None:
    streams.run()
    streams.described.created = dict.fromkeys(NAMES.streams, 2.0)
    assert streams.run() == [[0, 0, 2, 2]] * len(KINDS)
    pins = streams.table(stream_table(NAMES, "pin")).collect()
    assert {row["log_id"] for row in pins} == {log_id(NAMES.stream("pin"), made) for made in (1.0, 2.0)}


def test_mount_mounts_or_makes_a_volume() -> None:
    statements: list[str] = []
    catalog = SimpleNamespace(currentCatalog=lambda: "theirs")
    for widgets, name in (({}, "theirs"), ({"catalog": "ours"}, "ours")):
        statements.clear()
        platform = Platform(SimpleNamespace(sql=statements.append, catalog=catalog), **widgets)
        platform.run("mount")
        assert len(statements) == 3
        assert all(f"`{name}`.`pinterest`" in statement for statement in statements[1:])
        assert platform.shown == [[f"/Volumes/{name}/pinterest/raw/topics"]]
    old = Platform(SimpleNamespace(), way="mount")
    for _ in range(2):
        old.run("mount")
    assert old.files == {"/mnt/pinterest-raw": "s3a://pinterest-raw"}
    assert old.shown[-1] == ["/mnt/pinterest-raw/topics"]
