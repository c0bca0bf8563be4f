"""Gives each record of the streams its one fate, by coordinate, in SQL over what streams, tables and ledger hold.

A row of a stream table is *current*, *superseded* or *repeated*, by the order of first occurrences; a record of
``quarantine/stream`` is *quarantined*. One that only the stream holds is *in flight*, or *missing* when its shard
has a later row in the table: the reader went past it. One that nobody but the ledger knows is *expired* where the
stream no longer keeps what is so old (or the stream itself is gone), and else *missing*.

So that the reader can be caught at any moment, the stream is read before the tables, and the tables before the
quarantine: a batch goes into the quarantine first.
"""

from dataclasses import dataclass
from typing import Final

import duckdb
import pyarrow as pa
from msgspec.structs import replace
from pipeline_contracts.audits import AuditRow, Range
from pipeline_contracts.lake import STREAM_QUARANTINE, stream_table
from pipeline_contracts.names import Names

from pipeline_local.audit.ranges import ranges
from pipeline_local.audit.stream_stage import StreamContents
from pipeline_local.lake import EARLIEST_FIRST, LATEST_FIRST, PLACE_ORDER, Lake

_EMPTY_TABLES: Final = """
create table logs (name text, log_id text, created_at timestamptz, horizon timestamptz);
create table shards (name text, log_id text, "partition" text);
create table stored (
  name text, log_id text, "partition" text, "offset" text, content_hash text, recorded_at timestamptz, ind bigint);
create table refused (name text, log_id text, "partition" text, "offset" text);
"""

_COORDINATES: Final = f"""
create table coordinates as
with occurrences as (
  select *, row_number() over (partition by name, ind, content_hash order by {EARLIEST_FIRST}) nth from stored
),
ranked as (
  select *, row_number() over (partition by name, ind, nth > 1 order by {LATEST_FIRST}) rank from occurrences
),
rows as (
  select *, case when nth > 1 then 'repeated' when rank = 1 then 'current' else 'superseded' end fate from ranked
),
seen as (
  select name, log_id, "partition", "offset", content_hash, recorded_at, nth, fate, 'table' stage from rows
  union all select name, log_id, "partition", "offset", null, null, null, 'quarantined', 'quarantine' from refused
  union all select *, null, null, null, 'stream' from held
  union all select *, null, null, null, 'ledger' from acknowledged
)
select name, log_id, "partition", "offset",
  row_number() over (partition by name, log_id, "partition" order by {", ".join(PLACE_ORDER)}) place,
  count(*) filter (stage = 'table') in_table,
  count(*) filter (stage = 'quarantine') in_quarantine,
  count(*) filter (stage = 'stream') > 0 in_stream,
  count(*) filter (stage = 'ledger') in_ledger,
  count(distinct content_hash) contents,
  min(recorded_at) recorded_at,
  coalesce(arg_min(fate, nth), min(fate)) fate
from seen group by name, log_id, "partition", "offset"
"""  # noqa: S608 (columns of ours)
"""One row per coordinate. ``place`` numbers a shard's records in their order."""

_FATES: Final = """
create table fates as
with reached as (
  select name, log_id, "partition", max(place) place from coordinates where in_table > 0 group by all
),
kept as (
  select c.name, c.log_id, c."partition", min(place) place
  from coordinates c join logs l using (name, log_id) where in_stream or recorded_at >= horizon group by all
)
select c.* exclude (fate),
  case when c.fate is not null then c.fate
       when in_stream and c.place > coalesce(reached.place, 0) then 'in_flight'
       when in_stream then 'missing'
       when l.name is null then 'expired'
       when l.created_at < l.horizon and c.place < coalesce(kept.place, c.place + 1) then 'expired'
       else 'missing' end fate
from coordinates c
left join reached using (name, log_id, "partition")
left join kept using (name, log_id, "partition")
left join logs l using (name, log_id)
"""

_COUNTS: Final = """
with keys as (select name, log_id, "partition" from shards union select name, log_id, "partition" from fates)
select keys.name, keys.log_id, keys."partition",
  coalesce(sum(in_ledger), 0)::bigint acknowledged,
  count(*) filter (in_ledger = 0) unacknowledged,
  count(*) filter (fate != 'missing' or in_stream) in_log,
  count(*) filter (fate = 'expired') expired,
  count(*) filter (fate = 'current') current,
  count(*) filter (fate = 'superseded') superseded,
  count(*) filter (fate = 'repeated') repeated,
  count(*) filter (fate = 'quarantined') quarantined,
  count(*) filter (fate = 'in_flight') in_flight
from keys left join fates using (name, log_id, "partition") group by all order by all
"""


@dataclass(frozen=True)
class StreamStages:
    """What is known beside the lake: the streams as they are, and the ledger's columns of ``StreamRecords``."""

    contents: StreamContents
    acknowledged: pa.Table


def audit(names: Names, lake: Lake, stages: StreamStages) -> list[AuditRow]:
    """Judge every record of the stream path; a row per shard, those of streams that are gone included."""
    with lake.database() as connection:
        connection.execute(_EMPTY_TABLES)
        _load_lake(connection, names, lake)
        for log in stages.contents.logs:
            connection.execute(
                "insert into logs values (?, ?, ?, ?)", [log.name, log.log_id, log.created_at, log.horizon]
            )
            for shard in log.shards:
                connection.execute("insert into shards values (?, ?, ?)", [log.name, log.log_id, shard])
        connection.register("held", stages.contents.records)
        connection.register("acknowledged", stages.acknowledged)
        connection.execute(_COORDINATES)
        connection.execute(_FATES)
        return _rows(connection)


def not_stored(names: Names, lake: Lake, acknowledged: pa.Table) -> int:
    """How many acknowledged records (columns of ``StreamRecords``) neither tables nor quarantine hold yet."""
    with lake.database() as connection:
        connection.execute(_EMPTY_TABLES)
        _load_lake(connection, names, lake)
        connection.register("acknowledged", acknowledged)
        row = connection.execute(
            """
            select count(*) from acknowledged
            anti join (
              select name, log_id, "partition", "offset" from stored
              union all select name, log_id, "partition", "offset" from refused
            ) using (name, log_id, "partition", "offset")
            """
        ).fetchone()
        return int(row[0]) if row else 0


def _load_lake(connection: duckdb.DuckDBPyConnection, names: Names, lake: Lake) -> None:
    for name, kind in names.streams.items():
        table = lake.dataset(stream_table(names, kind))
        if table is not None:
            connection.register("incoming", table)
            connection.execute(
                'insert into stored select $name, log_id, "partition", "offset", content_hash, recorded_at, ind '
                "from incoming",
                {"name": name},
            )
            connection.unregister("incoming")
    quarantine = lake.dataset(STREAM_QUARANTINE)
    if quarantine is not None:
        connection.register("incoming", quarantine)
        connection.execute('insert into refused select stream, log_id, "partition", "offset" from incoming')
        connection.unregister("incoming")


def _rows(connection: duckdb.DuckDBPyConnection) -> list[AuditRow]:
    counted = connection.execute(_COUNTS)
    columns = [column[0] for column in counted.description or []]
    rows = [AuditRow("stream", **dict(zip(columns, row, strict=True))) for row in counted.fetchall()]
    missing = _ranges(connection, "fate = 'missing'")
    doubled = _ranges(connection, "in_table + in_quarantine > 1")
    altered = _ranges(connection, "in_ledger > 0 and contents > 1")
    lost = _ranges(connection, "fate = 'expired'")
    return [
        replace(
            row,
            missing=missing.get(key, []),
            doubled=doubled.get(key, []),
            altered=altered.get(key, []),
            lost=lost.get(key, []),
        )
        for row in rows
        for key in [(row.name, row.log_id, row.partition)]
    ]


def _ranges(connection: duckdb.DuckDBPyConnection, condition: str) -> dict[tuple[object, ...], list[Range]]:
    return ranges(connection, f'select name, log_id, "partition", "offset", place from fates where {condition}')  # noqa: S608
