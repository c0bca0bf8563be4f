"""Runs of neighbouring coordinates, as the audit names what is missing, doubled or altered."""

import duckdb
from pipeline_contracts.audits import Range


def ranges(connection: duckdb.DuckDBPyConnection, coordinates: str) -> dict[tuple[object, ...], list[Range]]:
    """First and last offset of each run, by (name, log id, partition), in the order of the log.

    ``coordinates`` is a SELECT of ``name``, ``log_id``, ``partition``, ``offset`` and ``place``: a whole number that
    rises by 1 from one record of the partition to the next. A coordinate may come more than once.
    """
    rows = connection.execute(
        f"""
        with numbered as (
          select *, place - row_number() over (partition by name, log_id, "partition" order by place) run
          from (select distinct name, log_id, "partition", "offset", place from ({coordinates}))
        )
        select name, log_id, "partition", arg_min("offset", place), arg_max("offset", place)
        from numbered group by name, log_id, "partition", run
        order by name, log_id, "partition", min(place)
        """  # noqa: S608 (statements of this package)
    ).fetchall()
    found: dict[tuple[object, ...], list[Range]] = {}
    for name, log_id, partition, first, last in rows:
        found.setdefault((name, log_id, partition), []).append([first, last])
    return found
