"""Gives each stored record of the batch path its one fate, by coordinate, in SQL over what the stages hold.

A record of bronze is *quarantined* or *current* or *superseded* where those tables name its coordinate; it is
*repeated* where its content already has a winner or a superseded first occurrence elsewhere. One that has none of
these is *in flight* while the cleaner has not come to its batch, and *missing* afterwards. A record that is not in
bronze is *dead-lettered*, *expired* (in no object, and the log does not hold it any more), *in flight* (no object holds
it yet, or ingest has not read that object yet), or else *missing*.

An offset is no record, and has no fate, where everything is accounted for that its object says it holds, lines and
dead letters: what the object covers beyond that are transaction markers, aborted or compacted records.
"""

from dataclasses import astuple, dataclass
from typing import Final

import duckdb
import pyarrow as pa
from msgspec.structs import replace
from pipeline_contracts.audits import AuditRow, Range
from pipeline_contracts.lake import EVENTS, OBJECTS, QUARANTINE, Cleaned, silver
from pipeline_contracts.names import Names

from pipeline_local.audit.bounds import Key, bounds, cuts
from pipeline_local.audit.ranges import ranges
from pipeline_local.audit.stages import Coordinate, CoveredRange, LogPartition
from pipeline_local.lake import Lake

Acknowledged = pa.schema(
    [
        ("topic", pa.string()),
        ("log_id", pa.string()),
        ("partition", pa.int64()),
        ("offset", pa.int64()),
        ("content_hash", pa.string()),
    ]
)
"""Columns of the ledger's acknowledgements."""

_EMPTY_TABLES = """
create table bronze (topic text, log_id text, "partition" bigint, "offset" bigint, content_hash text, batch bigint);
create table objects_read (object_key text, etag text);
create table quarantined (source text, topic text, log_id text, "partition" bigint, "offset" bigint);
create table settled (
  topic text, log_id text, "partition" bigint, "offset" bigint, content_hash text, ind bigint, is_current boolean);
create table cleaned (topic text, batch bigint);
create table logs (topic text, log_id text, "partition" bigint, low bigint, high bigint, ends bigint);
create table covered (
  topic text, log_id text, "partition" bigint, first bigint, next bigint, records bigint, object_key text, etag text,
  dead_lettered bigint);
create table dead (topic text, log_id text, "partition" bigint, "offset" bigint);
"""

_FATES = """
create table fates as
with distinct_dead as (
  select distinct topic, log_id, "partition", "offset" from dead
  union select topic, log_id, "partition", "offset" from quarantined where source = 'dead_letter'
),
in_bronze as (
  select topic, log_id, "partition", "offset", min(content_hash) content_hash, max(batch) batch
  from bronze group by all
),
of_bronze as (
  select b.topic, b.log_id, b."partition", b."offset",
    case when q."offset" is not null then 'quarantined'
         when s.is_current then 'current'
         when s."offset" is not null then 'superseded'
         when c.content_hash is not null then 'repeated'
         when b.batch > coalesce(m.batch, 0) then 'in_flight'
         else 'missing' end as fate
  from in_bronze b
  left join (select distinct topic, log_id, "partition", "offset" from quarantined where source = 'record') q
    using (topic, log_id, "partition", "offset")
  left join (select topic, log_id, "partition", "offset", bool_or(is_current) is_current from settled group by all) s
    using (topic, log_id, "partition", "offset")
  left join cleaned m on m.topic = b.topic
  left join (select distinct topic, content_hash from settled) c
    on c.topic = b.topic and c.content_hash = b.content_hash
),
known as (
  select * from of_bronze
  union all
  select topic, log_id, "partition", "offset", 'dead_lettered' from distinct_dead
  anti join in_bronze using (topic, log_id, "partition", "offset")
),
elsewhere as (
  select l.topic, l.log_id, l."partition", o."offset", l.low, l.ends
  from logs l, lateral (select unnest(range(l.high)) as "offset") o
  anti join known k on (k.topic, k.log_id, k."partition", k."offset") = (l.topic, l.log_id, l."partition", o."offset")
),
with_holes as (select * from covered where next - first > records + dead_lettered),
accounted as (
  select h.object_key, h.etag, count(*) n from known k
  asof join with_holes h
    on h.topic = k.topic and h.log_id = k.log_id and h."partition" = k."partition" and h.first <= k."offset"
  where k."offset" < h.next
  group by all
),
owed as (
  select object_key, etag, records + dead_lettered - coalesce(n, 0) n
  from with_holes left join accounted using (object_key, etag)
),
placed as (
  select e.topic, e.log_id, e."partition", e."offset", c.object_key, r.object_key is not null has_been_read, o.n owed,
    case when c.next is not null and e."offset" < c.next then 'covered'
         when e."offset" < e.low or e."offset" >= e.ends then 'expired'
         else 'in_flight' end as fate
  from elsewhere e
  asof left join covered c
    on c.topic = e.topic and c.log_id = e.log_id and c."partition" = e."partition" and c.first <= e."offset"
  left join objects_read r on r.object_key = c.object_key and r.etag = c.etag
  left join owed o on o.object_key = c.object_key and o.etag = c.etag
)
select * from known
union all
select topic, log_id, "partition", "offset",
  case when fate != 'covered' then fate when has_been_read then 'missing' else 'in_flight' end
from placed where fate != 'covered' or owed is null or (has_been_read and owed > 0)
union all
-- Which of them are its records nobody knows before the object is read, only how many.
select topic, log_id, "partition", "offset", 'in_flight'
from placed where fate = 'covered' and not has_been_read and owed > 0
qualify row_number() over (partition by object_key order by "offset") <= owed
"""

_COUNTS: Final = """
with keys as (
  select topic, log_id, "partition" from logs
  union select topic, log_id, "partition" from fates
  union select topic, log_id, "partition" from acknowledged
),
by_fate as (
  select topic, log_id, "partition",
    count(*) total,
    count(*) filter (fate = 'expired') expired,
    count(*) filter (fate = 'dead_lettered') dead_lettered,
    count(*) filter (fate = 'current') current,
    count(*) filter (fate = 'superseded') superseded,
    count(*) filter (fate = 'repeated') repeated,
    count(*) filter (fate = 'quarantined') quarantined,
    count(*) filter (fate = 'in_flight') in_flight
  from fates group by all
),
said as (select topic, log_id, "partition", count(*) n from acknowledged group by all),
archived as (select topic, log_id, "partition", sum(records)::bigint n from covered group by all),
ingested as (
  select topic, log_id, "partition", count(distinct "offset") n from bronze group by all
)
select topic as name, log_id, "partition",
  coalesce(said.n, 0) acknowledged,
  greatest(coalesce(total, 0) - coalesce(said.n, 0), 0) unacknowledged,
  coalesce(total, 0) in_log,
  coalesce(expired, 0) expired,
  coalesce(dead_lettered, 0) dead_lettered,
  coalesce(archived.n, 0) in_objects,
  coalesce(ingested.n, 0) in_bronze,
  coalesce(current, 0) current,
  coalesce(superseded, 0) superseded,
  coalesce(repeated, 0) repeated,
  coalesce(quarantined, 0) quarantined,
  coalesce(in_flight, 0) in_flight
from keys
left join by_fate using (topic, log_id, "partition")
left join said using (topic, log_id, "partition")
left join archived using (topic, log_id, "partition")
left join ingested using (topic, log_id, "partition")
order by all
"""


@dataclass(frozen=True)
class Stages:
    """What the stages of the batch path hold beside the lake.

    ``logs`` are the partitions of the event topics (their watermarks read before all else), ``covered`` the
    objects of our sink, ``dead`` the origins of dead letters, ``acknowledged`` the ledger's coordinates and
    content hashes (columns of ``Acknowledged``). ``logs_after`` are the same partitions, read after all of these: only
    from them it can be told that a log ends before what is known of it.
    """

    logs: list[LogPartition]
    covered: list[CoveredRange]
    dead: set[Coordinate]
    acknowledged: pa.Table
    logs_after: list[LogPartition]


def audit(names: Names, lake: Lake, stages: Stages) -> list[AuditRow]:
    """Judge every record of the batch path; a row per partition, those of logs that are gone included."""
    with lake.database() as connection:
        connection.execute(_EMPTY_TABLES)
        _load_lake(connection, names, lake)
        logs = bounds(stages.logs, stages.logs_after, stages.covered)
        _insert(connection, "logs", [astuple(one) for one in logs])
        _insert(connection, "covered", [astuple(one) for one in stages.covered])
        _insert(connection, "dead", [astuple(one) for one in stages.dead])
        connection.register("acknowledged", stages.acknowledged)
        connection.execute(_FATES)
        return _rows(connection, cuts(stages.logs_after, stages.covered, stages.acknowledged))


def _insert(connection: duckdb.DuckDBPyConnection, table: str, rows: list[tuple[object, ...]]) -> None:
    if rows:
        columns = [list(column) for column in zip(*rows, strict=True)]
        connection.register("incoming", pa.table(columns, names=[f"c{number}" for number in range(len(columns))]))
        connection.execute(f"insert into {table} select * from incoming")  # noqa: S608 (our own table names)
        connection.unregister("incoming")


def _load_lake(connection: duckdb.DuckDBPyConnection, names: Names, lake: Lake) -> None:
    """Read what is committed later first: nothing is missed that an analysis does meanwhile.

    Marks come before the rows that they cover; quarantine, which a replay leaves last, before silver; bronze after all.
    """
    for topic, kind in names.topics.items():
        connection.execute(
            "insert into cleaned values (?, ?)", [topic, Cleaned.newest(lake.notes(silver(kind))).cleaned_batch]
        )
    quarantine = lake.dataset(QUARANTINE)
    if quarantine is not None:
        connection.register("quarantine", quarantine)
        connection.execute(
            'insert into quarantined select source, topic, log_id, "partition", "offset" from quarantine'
            ' where "offset" is not null'
        )
    for topic, kind in names.topics.items():
        table = lake.dataset(silver(kind))
        if table is None:
            continue
        connection.register("silver", table)
        connection.execute(
            'insert into settled select $topic, log_id, "partition", "offset", content_hash, ind, true from silver '
            'union all select $topic, s.log_id, s."partition", s."offset", s.content_hash, s.ind, false '
            "from (select unnest(superseded) s from silver)",
            {"topic": topic},
        )
        connection.unregister("silver")
    ledger = lake.dataset(OBJECTS)
    if ledger is not None:
        connection.register("ledger", ledger)
        connection.execute("insert into objects_read select distinct object_key, etag from ledger")
    events = lake.dataset(EVENTS)
    if events is not None:
        connection.register("events", events)
        connection.execute(
            'insert into bronze select topic, log_id, "partition", "offset", content_hash, ingest_batch from events'
        )


def _rows(connection: duckdb.DuckDBPyConnection, cut: dict[Key, list[Range]]) -> list[AuditRow]:
    counted = connection.execute(_COUNTS)
    columns = [column[0] for column in counted.description or []]
    rows = [AuditRow("batch", **dict(zip(columns, row, strict=True))) for row in counted.fetchall()]
    missing = _ranges(
        connection,
        """
        select topic, log_id, "partition", "offset" from fates where fate = 'missing'
        union select topic, log_id, "partition", "offset" from acknowledged
        anti join fates using (topic, log_id, "partition", "offset")
        """,
    )
    doubled = _ranges(
        connection,
        """
        select topic, log_id, "partition", "offset" from bronze group by all having count(*) > 1
        union select topic, log_id, "partition", "offset" from settled s where is_current
          and (select count(*) from settled o where o.is_current and o.topic = s.topic and o.ind = s.ind) > 1
        """,
    )
    altered = _ranges(
        connection,
        """
        select a.topic, a.log_id, a."partition", a."offset" from acknowledged a
        join bronze b using (topic, log_id, "partition", "offset") where a.content_hash != b.content_hash
        """,
    )
    lost = _ranges(connection, 'select topic, log_id, "partition", "offset" from fates where fate = \'expired\'')
    return [
        replace(
            row,
            missing=missing.get(key, []),
            doubled=doubled.get(key, []),
            altered=altered.get(key, []),
            lost=lost.get(key, []),
            cut=cut.get((row.name, row.log_id, int(row.partition)), []),
        )
        for row in rows
        for key in [(row.name, row.log_id, row.partition)]
    ]


def _ranges(connection: duckdb.DuckDBPyConnection, coordinates: str) -> dict[tuple[object, ...], list[Range]]:
    return ranges(
        connection,
        f'select topic as name, log_id, "partition", "offset", "offset" as place from ({coordinates})',  # noqa: S608
    )
