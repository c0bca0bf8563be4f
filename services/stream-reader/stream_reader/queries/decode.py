"""From Kinesis' columns to cleaned rows, by Spark; and from those, collected, to the rows of the tables."""

from base64 import b64encode
from datetime import datetime
from typing import Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from kinesis_source.envelope import UNREADABLE
from kinesis_source.places import places
from pipeline_contracts.content import content_hash
from pipeline_contracts.lake import Reason
from pipeline_contracts.names import Kind
from pipeline_transforms.cleaning import clean
from pipeline_transforms.schemas import CLEANED
from pyspark.sql import DataFrame
from pyspark.sql import functions as fn

from stream_reader.lake.tables import COORDINATE, STORED

BAD_ENVELOPE: Final[Reason] = "bad_envelope"


def read_rows(frame: DataFrame, kind: Kind, log_id: str) -> DataFrame:
    """Decode and clean what ``format("kinesis")`` gives.

    Each record has its coordinate (sub-records of an aggregate share one), cleaned columns, ``reason`` (null: a good
    row), ``key``, ``stream``, ``value`` (null where the bytes are not UTF-8), and ``bytes``, those of a record that has
    no ``value``.
    """
    records = frame.select(
        fn.lit(log_id).alias("log_id"),
        fn.col("shardId").alias("partition"),
        fn.col("sequenceNumber").alias("offset"),
        fn.col("approximateArrivalTimestamp").alias("recorded_at"),
        fn.col("partitionKey").alias("key"),
        "stream",
        fn.try_validate_utf8(fn.col("data").cast("string")).alias("value"),
        "data",
    )
    no_text = fn.col("value").isNull()
    return clean(records, kind).select(
        *CLEANED[kind].names,
        *COORDINATE,
        "recorded_at",
        "value",
        "key",
        "stream",
        fn.when(no_text & fn.col("data").isNotNull(), "not_json").otherwise(fn.col("reason")).alias("reason"),
        fn.when(no_text, fn.col("data")).alias("bytes"),
    )


def collect(rows: DataFrame) -> pa.Table:
    """``read_rows``, computed: the offset tells the sub-records of an aggregate apart; with each ``content_hash``.

    A record whose envelope cannot be decoded has the reason ``bad_envelope``, what is wrong in ``value``, and its data
    in ``bytes``. The text comes here anyway. Hashed by a function in Spark, it would go to a Python process and back
    before.
    """
    read = rows.toArrow()
    # In the order in which the source gives them: nothing here has moved rows between partitions.
    read = _replaced(read, "offset", places(read["partition"], read["offset"]))
    hashes = map(content_hash, read["value"].cast(pa.binary()).to_pylist())
    return _judged_envelopes(read.append_column("content_hash", pa.array(hashes, pa.string()))).drop_columns(["key"])


def _judged_envelopes(read: pa.Table) -> pa.Table:
    keys = read["key"]
    if not pc.any(pc.starts_with(keys, UNREADABLE)).as_py():
        return read
    bad = [key is not None and _is_bad(key) for key in keys.to_pylist()]
    told = [(key or "").removeprefix(UNREADABLE) for key in keys.to_pylist()]
    mask = pa.chunked_array([pa.array(bad, pa.bool_())])
    data = pc.coalesce(read["value"].cast(pa.binary()), read["bytes"])
    read = _replaced(read, "bytes", pc.if_else(mask, data, read["bytes"]))
    read = _replaced(read, "value", pc.if_else(mask, pa.array(told, pa.string()), read["value"]))
    return _replaced(read, "reason", pc.if_else(mask, BAD_ENVELOPE, read["reason"]))


def _is_bad(key: str) -> bool:
    """Whether the source marked a field; not so a key that is text and only begins with the mark itself."""
    if not key.startswith(UNREADABLE):
        return False
    try:
        _decode_marked(key.removeprefix(UNREADABLE))
    except (msgspec.DecodeError, msgspec.ValidationError):
        return True  # half a surrogate pair stands there as an escape, which this decoder refuses
    return False


class _MarkedKey(msgspec.Struct, forbid_unknown_fields=True):
    """What the source tells of a key that is text."""

    key: str = msgspec.field(name="PartitionKey")


def _replaced(table: pa.Table, name: str, values: pa.ChunkedArray) -> pa.Table:
    index = table.schema.get_field_index(name)
    return table.set_column(index, table.schema.field(index), values)


def table_rows(rows: pa.Table, kind: Kind) -> pa.Table:
    """The good rows, as the kind's table holds them."""
    return rows.filter(pc.is_null(rows["reason"])).select([*CLEANED[kind].names, *STORED, "value"])


def quarantine_rows(rows: pa.Table, now: datetime) -> pa.Table:
    """The other rows, as ``quarantine/stream`` holds them: with their bytes, in Base64."""
    rejected = rows.filter(pc.is_valid(rows["reason"]))
    columns = ("log_id", "stream", "partition", "offset", "recorded_at", "reason", "value")
    told = {"source": pa.array(["record"] * rejected.num_rows, pa.string())}
    told |= {name: rejected[name] for name in columns}
    text = pc.if_else(pc.equal(rejected["reason"], BAD_ENVELOPE), None, rejected["value"])  # there it is not the data
    raw = pc.coalesce(rejected["bytes"], text.cast(pa.binary())).to_pylist()
    told["raw_base64"] = pa.array([None if one is None else b64encode(one).decode() for one in raw], pa.string())
    told["quarantined_at"] = pa.array([now] * rejected.num_rows, pa.timestamp("us", "UTC"))
    return pa.table(told)


_decode_marked = msgspec.json.Decoder(_MarkedKey).decode
