"""A lake as it is after an analysis of many posts, written in seconds without Spark: seeded, shaped like real ones."""

import sys
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from deltalake import write_deltalake
from pipeline_contracts.lake import EVENTS, QUARANTINE, STREAM_QUARANTINE, gold, silver, stream_table
from pipeline_contracts.names import KINDS, Names

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
import delta_tables
import recompute

NAMES = Names()
RUN = "run-1"
_CLEANED = {
    "pin": """ind, md5(ind::VARCHAR) AS unique_id, title, NULL::VARCHAR AS description, follower_count, poster_name,
        NULL::VARCHAR AS tag_list, 'image' AS is_image_or_video, NULL::VARCHAR AS image_src,
        NULL::VARCHAR AS save_location, category""",
    "geo": "ind, country, NULL::DOUBLE[] AS coordinates, timestamp::TIMESTAMPTZ AS timestamp",
    "user": "ind, user_name, age, date_joined::TIMESTAMPTZ AS date_joined",
}
_PLACE = """'log-1' AS log_id, (ind % 3)::{place} AS partition, (ind // 3)::{offset} AS "offset",
    TIMESTAMPTZ '2026-11-01 12:00:00+00' + to_milliseconds(ind) AS recorded_at, md5('{kind}' || ind) AS content_hash"""


def write_lake(root: Path, posts: int) -> None:
    """Bronze, silver, the streams' tables, quarantine, gold and one run, of so many posts."""
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'; SELECT setseed(0.5)")
        _make_posts(db, posts)
        for kind in KINDS:
            place = _PLACE.format(place="INTEGER", offset="BIGINT", kind=kind)
            _write(db, root / silver(kind), f"SELECT {_CLEANED[kind]}, {place} FROM {kind}s ORDER BY ind")
            place = _PLACE.format(place="VARCHAR", offset="VARCHAR", kind=kind)
            rows = f"SELECT {_CLEANED[kind]}, {place}, '{{}}' AS value FROM {kind}s ORDER BY ind"
            _write(db, root / stream_table(NAMES, kind), rows)
        events = " UNION ALL ".join(
            f"""SELECT {_PLACE.format(place="INTEGER", offset="BIGINT", kind=kind)}, '{NAMES.topic(kind)}' AS topic,
                ind::VARCHAR AS key, '{{"index": ' || ind || '}}' AS value, 'objects/' || ind // 1000 AS object_key,
                1::BIGINT AS ingest_batch FROM {kind}s"""
            for kind in KINDS
        )
        _write(db, root / EVENTS, events)
        held = """SELECT 'record' AS source, 'log-1' AS log_id, 'pinterest.pin' AS topic, 0 AS partition,
            range AS "offset", TIMESTAMPTZ '2026-11-01 12:00:00+00' AS recorded_at, 'not_json' AS reason,
            '{' AS value, 'ew==' AS raw_base64, TIMESTAMPTZ '2026-11-01 12:01:00+00' AS quarantined_at
            FROM range(1000)"""
        for table in (QUARANTINE, STREAM_QUARANTINE):
            _write(db, root / table, held)
        versions, records = {}, {"posts": posts}
        answers = recompute.questions(recompute.Defaults())
        for name in delta_tables.GOLD:
            rows = f"SELECT *, '{RUN}' AS run_id FROM ({answers[name]})"
            records[name] = _write(db, root / gold(name), rows)
            versions[gold(name)] = 0
    delta_tables.write_run(root, RUN, 1, versions, records)


def _make_posts(db: duckdb.DuckDBPyConnection, posts: int) -> None:
    db.execute(
        f"""
        CREATE TABLE pins AS SELECT range::INTEGER AS ind, 'A post of number ' || range AS title,
            'category-' || (random() * 13)::INTEGER AS category,
            'Poster ' || (random() * {max(posts // 4, 1)})::INTEGER AS poster_name,
            (exp(random() * 14))::BIGINT AS follower_count FROM range({posts});
        CREATE TABLE geos AS SELECT range::INTEGER AS ind, 'Country ' || (random() * 239)::INTEGER AS country,
            TIMESTAMP '2017-10-01' + to_days((random() * 1800)::INTEGER) AS timestamp FROM range({posts});
        CREATE TABLE users AS SELECT range::INTEGER AS ind, 'User ' || range AS user_name,
            (15 + random() * 50)::INTEGER AS age,
            TIMESTAMP '2015-10-01' + to_days((random() * 800)::INTEGER) AS date_joined FROM range({posts});
        """
    )


def _write(db: duckdb.DuckDBPyConnection, folder: Path, sql: str) -> int:
    rows: Any = db.sql(sql).to_arrow_table()
    # What the analyser writes: points in time in UTC.
    fields = [pa.field(one.name, _stored(one.type)) for one in rows.schema]
    folder.mkdir(parents=True)
    write_deltalake(str(folder), rows.cast(pa.schema(fields)))
    return int(rows.num_rows)


def _stored(kind: pa.DataType) -> pa.DataType:
    return pa.timestamp("us", tz="UTC") if pa.types.is_timestamp(kind) else kind
