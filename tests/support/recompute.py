"""The answers once more, by DuckDB, in plain SQL on raw files: no line of it is shared with the pipeline.

``folder`` holds ``pin.jsonl``, ``geo.jsonl`` and ``user.jsonl``, one record a line, in the order of arrival. The SQL
follows the written rules of cleaning, versions and questions; it is there to disagree with the pipeline when one
of the two is wrong.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import duckdb

# Python's own idea of white space, less the four separators that Unicode does not count as such.
SPACES = "".join(chr(code) for code in range(0x110000) if chr(code).isspace() and not 0x1C <= code <= 0x1F)

_OF_PIN = "index ind unique_id title description poster_name follower_count tag_list is_image_or_video image_src"
FIELDS = {
    kind: fields.split(" ")
    for kind, fields in {
        "pin": f"{_OF_PIN} downloaded save_location category latitude first_name",
        "geo": "index ind timestamp latitude longitude country unique_id first_name",
        "user": "index ind first_name last_name age date_joined unique_id latitude",
    }.items()
}
TELLS = {"pin": "unique_id", "geo": "latitude", "user": "first_name"}
DATE = r"^(\d{4})[-:](\d\d)[-:](\d\d)[ T](\d\d:\d\d:\d\d(?:\.\d+)?)(Z|[+-]\d\d(?::?\d\d)?)?$"


class Switches(Protocol):
    """The policies of the answers."""

    @property
    def ties(self) -> str: ...
    @property
    def median(self) -> str: ...
    @property
    def users(self) -> str: ...
    @property
    def from_year(self) -> int | None: ...
    @property
    def to_year(self) -> int | None: ...


@dataclass(frozen=True)
class Defaults:
    ties: Literal["all", "first"] = "all"
    median: Literal["exact", "lower"] = "exact"
    users: Literal["persons", "posts"] = "persons"
    from_year: int | None = None
    to_year: int | None = None


def recompute(folder: Path, policies: Switches = Defaults()) -> dict[str, list[dict[str, Any]]]:
    """The nine tables and the three tables of counts, as rows in their order."""
    with duckdb.connect() as db:
        load(db, folder)
        return {name: _rows(db, sql) for name, sql in questions(policies).items()}


def fates(folder: Path) -> dict[str, dict[str, int]]:
    """Per topic: how many of its records are current, superseded, repeated, quarantined."""
    with duckdb.connect() as db:
        load(db, folder)
        counted = {}
        for kind in FIELDS:
            (row,) = _rows(
                db,
                f"""
                SELECT count(*) FILTER (bad) AS quarantined,
                       count(DISTINCT ind) FILTER (NOT bad) AS current,
                       count(DISTINCT (ind, content)) FILTER (NOT bad) AS contents,
                       count(*) FILTER (NOT bad) AS good
                FROM {kind}s_read
                """,
            )
            counted[kind] = {
                "current": row["current"],
                "superseded": row["contents"] - row["current"],
                "repeated": row["good"] - row["contents"],
                "quarantined": row["quarantined"],
            }
        return counted


def load(db: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Make the tables pins, geos and users: cleaned, one row per key; and ``<kind>s_read``: every record."""
    for kind, fields in FIELDS.items():
        columns = ", ".join(f"'{name}': 'VARCHAR'" for name in fields)
        content = ", ".join(f"'{name}': \"{name}\"" for name in fields)
        others = " OR ".join(f"{name} IS NOT NULL" for other, name in TELLS.items() if other != kind)
        own = " AND ".join(f'"{name}" IS NULL' for name in fields if name not in {"index", "ind", *TELLS.values()})
        key = "coalesce(try_cast(index AS INTEGER), try_cast(ind AS INTEGER))"
        db.execute(
            f"""
            CREATE TABLE {kind}s_read AS
            WITH raw AS (
                SELECT row_number() OVER () AS n, {{{content}}} AS content, *
                FROM read_json('{folder / kind}.jsonl', format='newline_delimited', columns={{{columns}}})
            )
            SELECT n, content, {key} AS ind, {COLUMNS[kind]},
                   coalesce({TELLS[kind]} IS NULL AND (({others}) OR ({own}))
                            OR {key} IS NULL OR {key} < 0 OR {BAD[kind]}, false) AS bad
            FROM raw
            """
        )
        db.execute(
            f"""
            CREATE TABLE {kind}s AS
            WITH firsts AS (SELECT ind, content, min(n) AS n FROM {kind}s_read WHERE NOT bad GROUP BY ALL),
                 winners AS (SELECT max(n) AS n FROM firsts GROUP BY ind)
            SELECT * EXCLUDE (n, content, bad) FROM {kind}s_read SEMI JOIN winners USING (n)
            """
        )


def _text(column: str) -> str:
    return f"""nullif(trim("{column}", '{SPACES}'), '')"""


def _date(column: str) -> str:
    part = f"regexp_extract(\"{column}\", '{DATE}', "
    zone = f"CASE WHEN {part}5) = '' THEN 'Z' ELSE {part}5) END"
    return (
        f"try_cast({part}1) || '-' || {part}2) || '-' || {part}3) || ' ' || {part}4) || {zone} AS TIMESTAMPTZ) "
        f"AT TIME ZONE 'UTC'"
    )


def _bad_date(column: str) -> str:
    value = f"({_date(column)})"
    return f'("{column}" IS NOT NULL AND ({value} IS NULL OR year({value}) NOT BETWEEN 1 AND 2100))'


FOLLOWERS = f"nullif({_text('follower_count')}, 'User Info Error')"
NUMBER = f"regexp_extract({FOLLOWERS}, '^([0-9]+([.][0-9]+)?)[kKmM]?$', 1)"
COUNT = f"""CAST(round(try_cast({NUMBER} AS DECIMAL(30, 6)) * CASE lower(right({FOLLOWERS}, 1))
            WHEN 'k' THEN 1000 WHEN 'm' THEN 1000000 ELSE 1 END) AS BIGINT)"""

COLUMNS = {
    "pin": f"""
        {_text("unique_id")} AS unique_id,
        nullif({_text("title")}, 'No Title Data Available') AS title,
        CASE WHEN {_text("description")} NOT IN
            ('No description available', 'No description available Story format', 'Untitled')
            THEN {_text("description")} END AS description,
        {COUNT} AS follower_count,
        nullif({_text("poster_name")}, 'User Info Error') AS poster_name,
        nullif({_text("tag_list")}, 'N,o, ,T,a,g,s, ,A,v,a,i,l,a,b,l,e') AS tag_list,
        CASE {_text("is_image_or_video")} WHEN 'multi-video(story page format)' THEN 'video'
            ELSE {_text("is_image_or_video")} END AS is_image_or_video,
        CASE WHEN {_text("image_src")} NOT IN ('Image src error', 'Image src error.')
            THEN {_text("image_src")} END AS image_src,
        nullif(regexp_replace({_text("save_location")}, '^Local save in ', ''), '') AS save_location,
        {_text("category")} AS category
    """,
    "geo": f"""
        {_text("country")} AS country,
        CASE WHEN latitude IS NOT NULL AND longitude IS NOT NULL
            THEN [try_cast(latitude AS DOUBLE), try_cast(longitude AS DOUBLE)] END AS coordinates,
        {_date("timestamp")} AS "timestamp"
    """,
    "user": f"""
        nullif(concat_ws(' ', {_text("first_name")}, {_text("last_name")}), '') AS user_name,
        try_cast(age AS INTEGER) AS age,
        {_date("date_joined")} AS date_joined
    """,
}
BAD = {
    "pin": f"({FOLLOWERS} IS NOT NULL AND ({NUMBER} = '' OR {COUNT} IS NULL))",
    "geo": f"""
        (latitude IS NOT NULL AND coalesce(abs(try_cast(latitude AS DOUBLE)), 'NaN') > 90)
        OR (longitude IS NOT NULL AND coalesce(abs(try_cast(longitude AS DOUBLE)), 'NaN') > 180)
        OR {_bad_date("timestamp")}
    """,
    "user": f"""
        (age IS NOT NULL AND (coalesce(try_cast(age AS INTEGER), -1) NOT BETWEEN 0 AND 130 OR age LIKE '%.%'))
        OR {_bad_date("date_joined")}
    """,
}

AGE_GROUP = """CASE WHEN age > 50 THEN '+50' WHEN age > 35 THEN '36-50' WHEN age > 24 THEN '25-35'
               WHEN age > 17 THEN '18-24' WHEN age IS NOT NULL THEN 'under 18' END"""
POSTERS = """SELECT country, poster_name, max(follower_count) AS follower_count FROM pins JOIN geos USING (ind)
             WHERE country IS NOT NULL AND poster_name IS NOT NULL AND follower_count IS NOT NULL GROUP BY ALL"""


def questions(policies: Switches) -> dict[str, str]:
    """One SELECT for each table, over the tables of ``load``."""
    years = f"post_year >= {policies.from_year or -9999} AND post_year <= {policies.to_year or 9999}"
    country = _counts("country", "country", "geos")
    year = _counts("year(timestamp)", "post_year", "geos", years)
    age = _counts(AGE_GROUP, "age_group", "users")
    users = {"persons": "SELECT DISTINCT user_name, age, date_joined FROM users", "posts": "FROM users"}[policies.users]
    top = f"SELECT country, max(follower_count) AS follower_count FROM ({POSTERS}) GROUP BY country"
    first = "ORDER BY country LIMIT 1" if policies.ties == "first" else "ORDER BY country"
    return {
        "most_popular_category_by_country": _best(country, "country", "category", "category_count", policies),
        "most_popular_category_by_year": _best(year, "post_year", "category", "category_count", policies),
        "top_poster_by_country": _best(POSTERS, "country", "poster_name", "follower_count", policies),
        "country_of_top_poster": f"""
            FROM ({top}) WHERE follower_count = (SELECT max(follower_count) FROM ({top})) {first}""",
        "most_popular_category_by_age_group": _best(age, "age_group", "category", "category_count", policies),
        "median_followers_by_age_group": _median({"age_group": AGE_GROUP}, policies),
        "users_joined_by_year": f"""
            SELECT year(date_joined) AS post_year, count(*) AS number_users_joined FROM ({users})
            WHERE date_joined IS NOT NULL GROUP BY ALL ORDER BY ALL""",
        "median_followers_by_join_year": _median({"post_year": "year(date_joined)"}, policies),
        "median_followers_by_join_year_and_age_group": _median(
            {"post_year": "year(date_joined)", "age_group": AGE_GROUP}, policies
        ),
        "most_popular_category_by_country_counts": f"FROM ({country}) ORDER BY 1, 2",
        "most_popular_category_by_year_counts": f"FROM ({year}) ORDER BY 1, 2",
        "most_popular_category_by_age_group_counts": f"FROM ({age}) ORDER BY 1, 2",
    }


def _counts(group: str, name: str, other: str, condition: str = "true") -> str:
    grouped = f"SELECT {group} AS {name}, category FROM pins JOIN {other} USING (ind)"
    return f"""SELECT {name}, category, count(*) AS category_count FROM ({grouped})
               WHERE {name} IS NOT NULL AND category IS NOT NULL AND {condition} GROUP BY ALL"""


def _best(counts: str, group: str, name: str, measure: str, policies: Switches) -> str:
    place = {
        "all": f"rank() OVER (PARTITION BY {group} ORDER BY {measure} DESC)",
        "first": f"row_number() OVER (PARTITION BY {group} ORDER BY {measure} DESC, {name})",
    }[policies.ties]
    return f"SELECT {group}, {name}, {measure} FROM ({counts}) QUALIFY {place} = 1 ORDER BY 1, 2"


def _median(groups: dict[str, str], policies: Switches) -> str:
    function = {"exact": "median(follower_count)", "lower": "quantile_disc(follower_count, 0.5)"}[policies.median]
    columns = ", ".join(f"{sql} AS {name}" for name, sql in groups.items())
    known = " AND ".join(f"{name} IS NOT NULL" for name in groups)
    posts = f"SELECT {columns}, follower_count FROM pins JOIN users USING (ind)"
    return f"""SELECT {", ".join(groups)}, CAST({function} AS DOUBLE) AS median_follower_count FROM ({posts})
               WHERE follower_count IS NOT NULL AND {known} GROUP BY ALL ORDER BY ALL"""


def _rows(db: duckdb.DuckDBPyConnection, sql: str) -> list[dict[str, Any]]:
    relation = db.sql(sql)
    return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]
