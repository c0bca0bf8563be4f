"""Whether both paths made the same of the same events, judged outside Spark: plain SQL on the tables' own files.

Three sides are compared, on the cleaned columns: the raw files (``recompute``), ``silver`` of the batch path, and
the current rows of the stream tables. The rule of the current row is written here once more.
"""

from pathlib import Path
from typing import Any

import duckdb
from deltalake import DeltaTable
from recompute import load

COLUMNS = {
    "pin": "ind, unique_id, title, description, follower_count, poster_name, tag_list, is_image_or_video, image_src,"
    " save_location, category",
    "geo": 'ind, country, coordinates, CAST("timestamp" AS TIMESTAMP) AS "timestamp"',
    "user": "ind, user_name, age, CAST(date_joined AS TIMESTAMP) AS date_joined",
}
PLACE = '(recorded_at, "partition", length("offset"), "offset")'
HALF_LIFE_S = 3600


def differences(raw: Path, lake: Path) -> dict[str, list[Any]]:
    """Rows that one side has and another has not (three of each such pair at most); empty when all agree."""
    found = {}
    with _connected() as db:
        load(db, raw)
        for kind, columns in COLUMNS.items():
            _register(db, f"{kind}_silver", lake / "silver" / kind)
            _current(db, kind, lake)
            sides = {"raw": f"{kind}s", "silver": f"{kind}_silver", "stream": f"{kind}_current"}
            for one, left in sides.items():
                for other, right in sides.items():
                    rows = db.sql(
                        f"(SELECT {columns} FROM {left}) EXCEPT ALL (SELECT {columns} FROM {right}) LIMIT 3"
                    ).fetchall()
                    if rows:
                        found[f"{kind}: in {one}, not in {other}"] = rows
    return found


def current_counts(lake: Path) -> dict[str, dict[str, int]]:
    """Per kind: all rows of the stream table, and how many are current."""
    counts = {}
    with _connected() as db:
        for kind in COLUMNS:
            _current(db, kind, lake)
            sql = f"SELECT (SELECT count(*) FROM {kind}_stream), (SELECT count(*) FROM {kind}_current)"
            [(rows, current)] = db.sql(sql).fetchall()
            counts[kind] = {"rows": rows, "current": current}
    return counts


def popularity(lake: Path, half_life_s: float = HALF_LIFE_S) -> dict[str, dict[str, tuple[int, float]]]:
    """Posts and score of each profile: ``stored`` in the table, and ``expected`` from the stream's current pins.

    The expected score is as of the moment that the profile's row names.
    """
    with _connected() as db:
        _current(db, "pin", lake)
        _register(db, "profiles", lake / "stream" / "profile_popularity")
        stored = db.sql("SELECT poster_name, posts, score FROM profiles").fetchall()
        expected = db.sql(
            f"""
            SELECT poster_name, count(*), sum(log10(1 + coalesce(pin.follower_count, 0))
                * pow(2, -(epoch(as_of) - epoch(recorded_at)) / {half_life_s}))
            FROM pin_current AS pin LEFT JOIN profiles USING (poster_name)
            WHERE poster_name IS NOT NULL GROUP BY poster_name
            """
        ).fetchall()
    return {
        "stored": {name: (posts, score) for name, posts, score in stored},
        "expected": {name: (posts, score) for name, posts, score in expected},
    }


def _connected() -> duckdb.DuckDBPyConnection:
    db = duckdb.connect()
    db.execute("SET timezone = 'UTC'")
    return db


def _register(db: duckdb.DuckDBPyConnection, view: str, table: Path) -> None:
    files = [uri.removeprefix("file://") for uri in DeltaTable(table).file_uris()]
    db.execute(f"CREATE TABLE {view} AS FROM read_parquet({files})")


def _current(db: duckdb.DuckDBPyConnection, kind: str, lake: Path) -> None:
    _register(db, f"{kind}_stream", lake / "stream" / f"pinterest_{kind}_table")
    db.execute(
        f"""
        CREATE TABLE {kind}_current AS
        WITH firsts AS (SELECT ind, content_hash, min({PLACE}) AS place FROM {kind}_stream GROUP BY ALL),
             winners AS (SELECT ind, max(place) AS place FROM firsts GROUP BY ind)
        SELECT s.* FROM {kind}_stream AS s JOIN winners AS w ON s.ind = w.ind AND {PLACE} = w.place
        """
    )
