"""The ``kinesis`` source into Spark's noop sink, and the stream reader's batches into Delta, beside plain loops.

Run ``.venv/bin/python benchmarks/kinesis_drain.py --records 400000 --runs 3``. Both read the same records of about
1 KB, from the oldest on, from a server that does little: Kinesis in memory with its answers made beforehand, in a
process of its own. (``--localstack`` adds LocalStack, whose own speed is the limit there.) The plain loop is one
process: botocore with ``timestamp_parser=float``, all shards in turn, records decoded and dropped. The loop into Delta
reads in the same way; DuckDB cleans each page by the pipeline's rules for pins (``tests/support/recompute.py``), and
delta-rs appends it. The stream reader hashes contents, keeps the raw text and leaves out what it has seen, besides.

Rates are taken from the begin of the first batch with rows to the end of the last, nothing left out; 100,000 other
records (on LocalStack 1,000) have warmed up the JVM before, by the same two queries. The session is the stream
reader's, and so are its query's limits and waits, as they are where nothing is set. Shares of the two cores:
everything runs on one machine.
"""

import argparse
import asyncio
import base64
import itertools
import json
import logging
import multiprocessing
import os
import random
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import duckdb
import kinesis_source
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, write_deltalake
from pipeline_contracts.kinesis import StreamSummary
from pipeline_contracts.lake import stream_table
from pipeline_contracts.names import Names
from pipeline_local.layout import Layout
from prometheus_client import CollectorRegistry
from pyspark.sql import SparkSession
from service_kit.clock import SystemClock
from service_kit.retries import RetryPolicy
from spark_kit.jvm import JvmConfig
from spark_kit.session import SessionConfig, build_session, stop_session
from stream_reader.lake.delta import DeltaTables
from stream_reader.lake.tables import create_all
from stream_reader.latency import Latencies
from stream_reader.metrics import Metrics
from stream_reader.popularity.arrivals import Arrivals
from stream_reader.queries.batch import BatchWriter, Sink, Source
from stream_reader.queries.beginning import begin
from stream_reader.queries.decode import read_rows
from stream_reader.queries.rejects import RejectWindow
from stream_reader.settings import SMALL_BATCHES, Settings

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
import recompute
from servers import LocalStack

BARS = {"source_to_plain_loop": 0.6, "reader_to_delta_loop": 0.5}
NAMES = Names("bench")
LOG_ID = "arn:aws:kinesis:us-east-1:000000000000:stream/bench@0"
PAGE = 10_000
WARM_UP = 100_000
STREAM = "bench"
REGION = "us-east-1"
DEFAULTS = Settings.model_construct()
"""What the reader runs with where nothing is set."""
WORDS = "the garden of small things made by hand with paper wood and light über día".split()  # noqa: SIM905
DEADLINE_S = 300


def data(chance: random.Random, index: int) -> bytes:
    """A record of about 1 KB, as a pin of the real sample with its description doubled."""
    row = {
        "index": index,
        "title": " ".join(chance.choices(WORDS, k=10)),
        "description": " ".join(chance.choices(WORDS, k=125)),
        "poster_name": " ".join(chance.choices(WORDS, k=3)),
        "tag_list": ",".join(chance.choices(WORDS, k=20)),
        "category": "christmas",
    }
    return json.dumps(row, ensure_ascii=False).encode()


class Stub(asyncio.Protocol):
    """The few requests that a reader makes, over HTTP/1.1 with connections kept open."""

    def __init__(self, streams: dict[str, list[list[bytes]]]) -> None:
        self._streams, self._buffer = streams, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            lines = self._buffer[:end].decode("latin-1").split("\r\n")[1:]
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            length = int(headers.get("content-length", 0))
            if len(self._buffer) < end + 4 + length:
                return
            request = json.loads(self._buffer[end + 4 : end + 4 + length] or b"{}")
            self._buffer = self._buffer[end + 4 + length :]
            body = self._answer(headers["x-amz-target"].rpartition(".")[2], request)
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: {len(body)}\r\n\r\n"
            self._transport.writelines([head.encode(), body])  # type: ignore[attr-defined]

    def _answer(self, operation: str, request: dict[str, Any]) -> bytes:
        if operation == "GetRecords":
            name, shard, page = request["ShardIterator"].split("/")
            pages = self._streams[name][int(shard)]
            return pages[min(int(page), len(pages) - 1)]
        shards = self._streams[request["StreamName"]]
        answer: dict[str, Any] = {}
        if operation == "DescribeStreamSummary":
            arn = f"arn:aws:kinesis:{REGION}:000000000000:stream/{request['StreamName']}"
            summary = {"StreamARN": arn, "StreamCreationTimestamp": 1.7e9, "RetentionPeriodHours": 24}
            answer = {"StreamDescriptionSummary": summary}
        elif operation == "ListShards":
            answer = {
                "Shards": [
                    {"ShardId": shard_id(number), "SequenceNumberRange": {"StartingSequenceNumber": "49"}}
                    for number in range(len(shards))
                ]
            }
        elif operation == "GetShardIterator":
            answer = {"ShardIterator": f"{request['StreamName']}/{int(request['ShardId'][-12:])}/0"}
        return json.dumps(answer).encode()


def shard_id(number: int) -> str:
    return f"shardId-{number:012}"


def render(name: str, records: int, shards: int) -> list[list[bytes]]:
    """Per shard the bodies of all answers; the last one is empty and leads to itself."""
    chance = random.Random(1)
    arrival_s = time.time() - 3600  # within retention, or the source would look for records that expired
    values = [base64.b64encode(data(chance, number)).decode() for number in range(2_000)]
    numbers = itertools.count(49_600_000_000_000_000_000_000_000_000_000_000_000_000_000_000_000_000_000)
    bodies = []
    for shard in range(shards):
        pages: list[str] = []
        for at in range(0, records // shards, PAGE):
            found = ",".join(
                f'{{"SequenceNumber":"{next(numbers)}","ApproximateArrivalTimestamp":{arrival_s + row / 1000:.3f},'
                f'"Data":"{values[row % len(values)]}","PartitionKey":"{row}"}}'
                for row in range(at, min(at + PAGE, records // shards))
            )
            pages.append(
                f'{{"Records":[{found}],"NextShardIterator":"{name}/{shard}/{len(pages) + 1}",'
                '"MillisBehindLatest":1000}'
            )
        pages.append(f'{{"Records":[],"NextShardIterator":"{name}/{shard}/{len(pages)}","MillisBehindLatest":0}}')
        bodies.append([page.encode() for page in pages])
    return bodies


def serve(ready: Connection, records: int, shards: int) -> None:
    """The stub's process: two streams, one to warm up with."""

    async def run() -> None:
        streams = {STREAM: render(STREAM, records, shards), "warm": render("warm", WARM_UP, shards)}
        server = await asyncio.get_running_loop().create_server(lambda: Stub(streams), "127.0.0.1", 0)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


@contextmanager
def stub(records: int, shards: int) -> Iterator[str]:
    mine, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs, records, shards), daemon=True)
    process.start()
    yield f"http://127.0.0.1:{mine.recv()}"
    process.terminate()
    process.join()


def client(endpoint: str) -> Any:
    session = botocore.session.get_session()
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=float)
    return boto3.Session(botocore_session=session).client("kinesis", endpoint_url=endpoint, region_name=REGION)


def plain_loop(endpoint: str, records: int, shards: int) -> float:
    """Records per second of one process that does nothing but read."""
    kinesis = client(endpoint)
    iterators = [
        kinesis.get_shard_iterator(StreamName=STREAM, ShardId=shard_id(n), ShardIteratorType="TRIM_HORIZON")
        for n in range(shards)
    ]
    positions = [iterator["ShardIterator"] for iterator in iterators]
    began, seen = time.perf_counter(), 0
    while seen < records:
        for number, position in enumerate(positions):
            answer = kinesis.get_records(ShardIterator=position, Limit=PAGE)
            positions[number] = answer["NextShardIterator"]
            seen += len(answer["Records"])
    return seen / (time.perf_counter() - began)


def source(spark: SparkSession, endpoint: str, stream: str, records: int) -> dict[str, float]:
    """Records per second of a query into the noop sink, and its batches."""
    options = {"streamName": stream, "endpoint": endpoint, "region": REGION, "initialPosition": "trim_horizon"}
    rows = spark.readStream.format("kinesis").options(**options, pollInterval="0ms").load()
    with tempfile.TemporaryDirectory() as folder:
        asked = time.perf_counter()
        query = rows.writeStream.format("noop").option("checkpointLocation", folder).start()
        end = time.monotonic() + DEADLINE_S
        while sum(progress["numInputRows"] for progress in query.recentProgress) < records:
            assert query.isActive, str(query.exception())
            assert time.monotonic() < end, "the query does not get on"
            time.sleep(0.05)
        whole_s = time.perf_counter() - asked
        batches = [progress for progress in query.recentProgress if progress["numInputRows"]]
        query.stop()
    return {
        "records_per_s": records / seconds(batches),
        "whole_records_per_s": records / whole_s,
        "batches": len(batches),
        "batch_s": statistics.median(batch["durationMs"]["triggerExecution"] for batch in batches) / 1000,
    }


def seconds(batches: Sequence[Mapping[str, Any]]) -> float:
    """From the begin of the first batch to the end of the last."""
    first, last = batches[0], batches[-1]
    ended_s = datetime.fromisoformat(last["timestamp"]).timestamp() + last["durationMs"]["triggerExecution"] / 1000
    began_s: float = datetime.fromisoformat(first["timestamp"]).timestamp()
    return float(ended_s) - began_s


def delta_loop(endpoint: str, records: int, shards: int) -> float:
    """Records per second of one process that reads, cleans and appends to a Delta table."""
    kinesis = client(endpoint)
    positions = [
        kinesis.get_shard_iterator(StreamName=STREAM, ShardId=shard_id(n), ShardIteratorType="TRIM_HORIZON")[
            "ShardIterator"
        ]
        for n in range(shards)
    ]
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as db:
        began, seen = time.perf_counter(), 0
        while seen < records:
            for number, position in enumerate(positions):
                answer = kinesis.get_records(ShardIterator=position, Limit=PAGE)
                positions[number] = answer["NextShardIterator"]
                if page := answer["Records"]:
                    write_deltalake(f"{folder}/pin", cleaned_page(db, Path(folder), page), mode="append")
                    seen += len(page)
        taken = time.perf_counter() - began
        assert DeltaTable(f"{folder}/pin").to_pyarrow_dataset().count_rows() == records
    return seen / taken


def cleaned_page(db: duckdb.DuckDBPyConnection, folder: Path, page: list[dict[str, Any]]) -> pa.Table:
    """The good rows of one page, cleaned, with their coordinates."""
    file = folder / "page.jsonl"
    file.write_bytes(b"\n".join(record["Data"] for record in page))
    columns = ", ".join(f"'{name}': 'VARCHAR'" for name in recompute.FIELDS["pin"])
    cleaned = db.sql(
        f"""
        SELECT coalesce(try_cast(index AS INTEGER), try_cast(ind AS INTEGER)) AS ind, {recompute.COLUMNS["pin"]},
               coalesce({recompute.BAD["pin"]}, false) AS bad
        FROM read_json('{file}', format='newline_delimited', columns={{{columns}}})
        """
    )
    rows: pa.Table = cleaned.to_arrow_table()
    rows = rows.append_column("offset", pa.array([record["SequenceNumber"] for record in page]))
    arrived = [record["ApproximateArrivalTimestamp"] for record in page]
    rows = rows.append_column("recorded_at", pa.array([int(at * 1e6) for at in arrived], pa.timestamp("us", "UTC")))
    return rows.filter(pc.invert(rows["bad"])).drop_columns(["bad"])


class OneStream:
    """Describes one stream."""

    def describe(self, name: str) -> StreamSummary:  # noqa: ARG002 (the interface)
        return StreamSummary(LOG_ID.partition("@")[0], 0.0)


def reader(spark: SparkSession, endpoint: str, stream: str, records: int) -> dict[str, float]:
    """Records per second of the stream reader's own batches: cleaned, into its Delta table."""
    options = {
        "streamName": stream,
        "endpoint": endpoint,
        "region": REGION,
        "initialPosition": "trim_horizon",
        "pollInterval": f"{DEFAULTS.poll_interval_ms}ms",
        "maxRecordsPerTrigger": str(DEFAULTS.max_records),
        "fetchBufferSize": f"{DEFAULTS.fetch_buffer_mib}mb",
    }
    rows = spark.readStream.format("kinesis").options(**options).load()
    with tempfile.TemporaryDirectory() as folder:
        uri = Path(folder).as_uri()
        tables, metrics = DeltaTables(uri), Metrics(CollectorRegistry())
        create_all(tables, NAMES)
        sink = Sink(tables, NAMES, Arrivals(1), metrics, Latencies(metrics.table_latency), SystemClock())
        checkpoint = Path(folder) / "checkpoint"
        begun = begin(tables, NAMES, "pin", LOG_ID, checkpoint)
        source, rejects, retries = Source("pin", stream, LOG_ID), RejectWindow(1_000, 0.5, sink.clock), RetryPolicy(15)
        writer = BatchWriter(source, sink, OneStream(), begun, rejects, retries)
        query = (
            read_rows(rows, "pin", LOG_ID)
            .writeStream.foreachBatch(writer)
            .option("checkpointLocation", str(checkpoint))
            .start()
        )
        writer.query_id.set_result(query.id)
        end = time.monotonic() + DEADLINE_S
        while sum(progress["numInputRows"] for progress in query.recentProgress) < records:
            assert query.isActive, str(query.exception())
            assert time.monotonic() < end, "the query does not get on"
            time.sleep(0.05)
        done = [progress for progress in query.recentProgress if progress["numInputRows"]]
        taken = seconds(done)
        batches = [progress["durationMs"]["triggerExecution"] / 1000 for progress in done]
        query.stop()
        assert sum(part.num_rows for part in tables.read(stream_table(NAMES, "pin"), ("ind",))) == records
    return {"records_per_s": records / taken, "batch_s": statistics.median(batches)}


def fill(endpoint: str, records: int, shards: int) -> None:
    kinesis = client(endpoint)
    for name, count in ((STREAM, records), ("warm", 1_000)):
        kinesis.create_stream(StreamName=name, ShardCount=shards)
        kinesis.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1})
        chance = random.Random(1)
        for at in range(0, count, 500):
            entries = [{"Data": data(chance, n), "PartitionKey": str(n)} for n in range(at, at + 500)]
            answer = kinesis.put_records(StreamName=name, Records=entries)
            assert answer["FailedRecordCount"] == 0


def compare(endpoint: str, *, records: int, warm_up: int, shards: int, runs: int) -> dict[str, Any]:
    layout = Layout.of_checkout()
    jvm = JvmConfig(layout.spark_jars, layout.class_archives, heap=DEFAULTS.heap)
    spark = build_session(SessionConfig("bench", jvm, cores=DEFAULTS.cores, conf=SMALL_BATCHES))
    results: dict[str, list[float]] = defaultdict(list)
    batches: dict[str, float] = {}
    cleaned: dict[str, float] = {}
    try:
        kinesis_source.register(spark)
        source(spark, endpoint, "warm", warm_up)
        reader(spark, endpoint, "warm", warm_up)
        for _ in range(runs):
            results["plain boto3 loop"].append(plain_loop(endpoint, records, shards))
            batches = source(spark, endpoint, STREAM, records)
            results["source to noop"].append(batches["records_per_s"])
            results["source to noop, whole query"].append(batches["whole_records_per_s"])
            results["boto3, DuckDB, delta-rs loop"].append(delta_loop(endpoint, records, shards))
            cleaned = reader(spark, endpoint, STREAM, records)
            results["reader to Delta"].append(cleaned["records_per_s"])
    finally:
        stop_session(spark)
    medians = {name: statistics.median(rates) for name, rates in results.items()}
    return {
        "records": records,
        "records_per_s": {name: [round(rate) for rate in rates] for name, rates in results.items()},
        "batches_of_the_last_run": batches["batches"],
        "median_batch_s": batches["batch_s"],
        "median_batch_s_to_delta": round(cleaned["batch_s"], 3),
        "source_to_plain_loop": round(medians["source to noop"] / medians["plain boto3 loop"], 2),
        "reader_to_delta_loop": round(medians["reader to Delta"] / medians["boto3, DuckDB, delta-rs loop"], 2),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=400_000)
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--localstack", type=int, default=0, metavar="RECORDS", help="read so many from it, too")
    parser.add_argument("--json", type=Path, help="write the report to this file too")
    asked = parser.parse_args()
    logging.disable(logging.INFO)
    # The servers here take any.
    os.environ |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "TZ": "UTC"}
    time.tzset()
    sizes = {"shards": asked.shards, "runs": asked.runs}
    records = asked.records // (asked.shards * PAGE) * asked.shards * PAGE
    report: dict[str, Any] = {"bars": BARS, "shards": asked.shards}
    with stub(records, asked.shards) as endpoint:
        report["stub"] = compare(endpoint, records=records, warm_up=WARM_UP, **sizes)
    if asked.localstack:
        count = asked.localstack // 500 * 500
        with tempfile.TemporaryDirectory() as folder, LocalStack(Path(folder)) as localstack:
            fill(localstack.endpoint_url, count, asked.shards)
            report["localstack"] = compare(localstack.endpoint_url, records=count, warm_up=1_000, **sizes)
    print(json.dumps(report, indent=2))
    if asked.json is not None:
        asked.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0 if all(report["stub"][name] >= bar for name, bar in BARS.items()) else 1


if __name__ == "__main__":
    sys.exit(main())
