"""Which of a key's records counts.

A record whose content was there before is a *repeat*. Of a key's different contents, the one whose first record
is the latest is *current*; the others are *superseded*. So A, B, A gives B, in whatever order and in however many
portions the records arrive: only the place of each content's first record matters, and the first of all is the
first of the firsts of all portions.

Records are ordered by ``recorded_at``, ``partition``, ``offset``, ``log_id``. ``offset`` may be a number, or text
of digits of any length (a sequence number), which is compared as a number, and then by the number behind its point
(``4966….1``: the sub-records of one Kinesis record).
"""

from typing import Final, Literal, get_args

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as fn

KEY: Final = "ind"
CONTENT: Final = "content_hash"
SUPERSEDED: Final = "superseded"

Fate = Literal["current", "superseded", "repeated"]
FATES: Final[tuple[Fate, ...]] = get_args(Fate)


def current_rows(rows: DataFrame, key: str = KEY) -> DataFrame:
    """One row per key: the input's columns, of the winner's first record, then ``superseded``.

    ``rows`` has the key, the coordinate, ``content_hash`` and any other columns. ``superseded`` is an array of the
    same columns: the key's other contents, each with its first record, in their order. If ``rows`` has that
    column already, it holds current rows, or a union of current rows with new ones (by name; null in new rows):
    then its contents take part, and the result is the one of all their records at once. A row whose key is null
    is left out; cleaning has quarantined it.
    """
    names = [name for name in rows.columns if name != SUPERSEDED]
    order = _order(rows)
    row = fn.struct(*names)
    first = Window.partitionBy(key, CONTENT).orderBy(*order)
    contents = (
        _exploded(rows, names)
        .where(fn.col(key).isNotNull())
        .select("*", fn.row_number().over(first).alias("__nth"))
        .where(fn.col("__nth") == 1)
    )
    versions = contents.groupBy(key).agg(
        fn.array_sort(fn.collect_list(fn.struct(fn.struct(*order).alias("order"), row.alias("row")))).alias("versions")
    )
    split = versions.select(
        fn.element_at("versions", -1)["row"].alias("current"),
        fn.slice("versions", fn.lit(1), fn.size("versions") - 1)["row"].alias(SUPERSEDED),
    )
    return split.select(*[fn.col("current")[name].alias(name) for name in names], SUPERSEDED)


def fates(records: DataFrame, key: str = KEY) -> DataFrame:
    """Every input row and column, and ``fate``: ``current``, ``superseded`` or ``repeated``.

    ``records`` is one row per stored record that cleaning let pass. With n records of d contents, a key has
    1 current, d - 1 superseded and n - d repeated ones.
    """
    order = _order(records)
    first = Window.partitionBy(key, CONTENT).orderBy(*order)
    nth = records.select("*", fn.row_number().over(first).alias("__nth"))
    # Firsts come before repeats, the latest first of all is the winner.
    latest = Window.partitionBy(key).orderBy((fn.col("__nth") > 1).asc(), *[column.desc() for column in order])
    ranked = nth.select("*", fn.row_number().over(latest).alias("__rank"))
    fate = fn.when(fn.col("__nth") > 1, "repeated").when(fn.col("__rank") == 1, "current").otherwise("superseded")
    return ranked.select(*records.columns, fate.alias("fate"))


def _exploded(rows: DataFrame, names: list[str]) -> DataFrame:
    """One row per content: current rows and what they superseded."""
    if SUPERSEDED not in rows.columns:
        return rows.select(*names)
    # The row itself is not put into the array: for most rows there is nothing to unpack.
    others = rows.where(fn.size(SUPERSEDED) > 0).select(fn.explode(SUPERSEDED).alias("row"))
    return rows.select(*names).unionByName(others.select(*[fn.col("row")[name].alias(name) for name in names]))


def _order(rows: DataFrame) -> list[Column]:
    offset = fn.col("offset")
    number = fn.substring_index(offset, ".", 1)
    is_text = dict(rows.dtypes)["offset"] == "string"
    by_offset = [fn.length(number), number, fn.length(offset), offset] if is_text else [offset]
    columns = [fn.col("recorded_at"), fn.col("partition"), *by_offset, fn.col("log_id")]
    return [column.alias(f"by_{position}") for position, column in enumerate(columns)]
