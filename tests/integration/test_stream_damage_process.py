"""The stream reader as a process: damage of all three kinds at once, and a shard that holds what cannot be decoded."""

import json
import shutil
from functools import partial
from pathlib import Path

import pytest
from kinesis_front import KinesisFront
from pipeline_contracts.lake import STREAM_QUARANTINE, stream_table
from pipeline_contracts.names import KINDS, Kind, Names
from raw_objects import post
from servers import LocalStack
from stream_process import ReaderProcess, Streams

pytestmark = [pytest.mark.spark, pytest.mark.timeout(600)]


def data(kind: Kind, ind: int) -> bytes:
    return json.dumps(post(ind)[kind]).encode()


def stored(reader: ReaderProcess, kind: Kind, posts: int) -> bool:
    """Each post once; whatever the test waits for, more than that never comes."""
    inds = sorted(row["ind"] for row in reader.stream_rows(kind))
    assert len(set(inds)) == len(inds)
    return inds == list(range(posts))


def reasons(reader: ReaderProcess) -> list[str]:
    return sorted(row["reason"] for row in reader.rows(STREAM_QUARANTINE))


def test_each_kind_goes_on_by_itself(localstack: LocalStack, tmp_path: Path) -> None:
    names = Names("damaged")
    streams = Streams(localstack.endpoint_url, names)
    streams.create(shards=1)
    with KinesisFront(localstack.endpoint_url).serving() as front:
        reader = ReaderProcess(front.url, names, tmp_path, source_retry_s=5)
        reader.up()

        # A partition key that is no text is quarantined; later records are read, and nothing is late.
        streams.client.put_record(StreamName=names.stream("pin"), Data=data("pin", 99), PartitionKey="Nice \ud83d")
        streams.put("geo", [("k", b"no json")])
        streams.put_posts(post(ind) for ind in range(5))
        for kind in KINDS:
            reader.wait_for(kind, partial(stored, reader, kind, 5))
        reader.wait_for("quarantine", lambda: reasons(reader) == ["bad_envelope", "not_json"])
        reader.wait_for("nothing is late", lambda: all(reader.query(kind)["lag_ms"] == 0 for kind in KINDS))
        assert reader.is_ready()

        # An answer that nobody can place: its shard waits, its lag grows, and /readyz names it; the others go on.
        front.spoil(data("pin", 5))
        streams.put_posts([post(5)])
        for kind in ("geo", "user"):
            reader.wait_for(kind, partial(stored, reader, kind, 6))
        reader.wait_for("lag", lambda: reader.query("pin")["lag_ms"] > 10_000)
        named = b"shard shardId-000000000000: no records from Kinesis for 5 s"
        reader.wait_for("/readyz", lambda: named in reader.request("/readyz")[1])
        assert [kind for kind in KINDS if reader.query(kind)["problem"] is not None] in (["pin"], [])
        assert stored(reader, "pin", 5)
        front.heal()
        reader.wait_for("the pin", partial(stored, reader, "pin", 6))
        reader.wait_for("nothing is late", lambda: reader.query("pin")["lag_ms"] == 0)

        # Between two runs: a torn checkpoint of the pins, a lost table of the geos, a damaged quarantine.
        reader.kill()
        offsets = sorted(reader.state.glob("checkpoints/pin/*/offsets/[0-9]*"), key=lambda file: int(file.name))
        offsets[-1].write_bytes(b"")
        shutil.rmtree(reader.lake / stream_table(names, "geo"))
        (reader.lake / STREAM_QUARANTINE / "_delta_log" / f"{0:020}.json").write_bytes(b"\0" * 300)
        streams.put_posts([post(6)])
        reader.start()
        for kind in KINDS:
            reader.wait_for(kind, partial(stored, reader, kind, 7))
        reader.wait_for("quarantine", lambda: reasons(reader) == ["bad_envelope", "not_json"])
        reader.wait_for("ready", reader.is_ready)
        assert len(list(reader.state.glob("checkpoints/pin/*.damaged"))) == 1
        assert len(list(reader.lake.glob(f"{STREAM_QUARANTINE}.damaged*"))) == 1
        assert reader.stop() == 0
    for kind in KINDS:
        streams.delete(kind)  # an account has 100 shards at most
