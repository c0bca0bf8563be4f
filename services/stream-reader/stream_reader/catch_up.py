"""Brings the posts up to date with the tables, before the queries go on.

An orderly stop leaves nothing to do. After a kill it is the last commits; without the file, everything.
"""

import logging
from collections.abc import Iterator, Sequence

from pipeline_contracts.names import KINDS, Names
from pyspark.errors import PySparkException
from pyspark.sql import functions as fn

from stream_reader.contents import content_rows, contents
from stream_reader.posts import Posts, Version
from stream_reader.tables import StreamLake, stream_table

logger = logging.getLogger(__name__)

_FILES_AT_ONCE = 8


def catch_up(lake: StreamLake, names: Names, posts: Posts) -> bool:
    """Take in what the tables hold and ``posts`` does not; True where it had to begin with nothing.

    Nobody may write to the tables meanwhile. Blocks for as long as it takes to read the new files.

    Raises:
        PySparkException: the tables cannot be read.
    """
    tables = {stream_table(names, kind): kind for kind in KINDS}
    newest = {table: Version(lake.id(table), lake.version(table)) for table in tables}
    covered = posts.covered()
    added = {table: _added(lake, table, covered.get(table), version) for table, version in newest.items()}
    anew = any(files is None for files in added.values())
    if anew:
        posts.clear()
        added = {table: lake.files(table, version.version) for table, version in newest.items()}
    for table, kind in tables.items():
        files = added[table] or []
        schema = lake.read(table).schema
        for part in _parts(sorted(files)):
            posts.add(kind, contents(content_rows(lake.spark.read.schema(schema).parquet(*part), kind)))
        posts.add(kind, [], {table: newest[table]})
        if files:
            logger.info("posts are read from new files", extra={"table": table, "files": len(files)})
    return anew


def _added(lake: StreamLake, table: str, covered: Version | None, newest: Version) -> set[str] | None:
    """The files that are new since what is covered; None where nobody can say.

    They hold all new rows, and after a compaction in between some old ones, too.
    """
    if covered is None or covered.table_id != newest.table_id or covered.version > newest.version:
        return None
    if covered.version == newest.version:
        return set()
    try:
        history = lake.delta(table).history().where(fn.col("version") > covered.version)
        commits = history.select("version", "operation").collect()
        writes = [int(row["version"]) for row in commits if row["operation"] == "WRITE"]
        if len(commits) < newest.version - covered.version:
            return None
        if not writes:
            return set()
        # Upkeep before the first of them, or behind the last, brings nothing new.
        return lake.files(table, max(writes)) - lake.files(table, min(writes) - 1)
    except PySparkException as error:
        logger.warning("all posts are read again", extra={"table": table, "reason": str(error)[:300]})
        return None


def _parts(files: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(files), _FILES_AT_ONCE):
        yield files[first : first + _FILES_AT_ONCE]
