"""Which objects of the bucket the ledger does not hold."""

from collections.abc import Iterable

from pipeline_contracts.lake import OBJECTS
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as fn

from batch_analyser.lake import SAME_ROWS, Lake
from batch_analyser.objects.fetch import s3_client
from batch_analyser.objects.listing import Bucket, Listed, Listing, Tail, list_candidates, new_objects
from batch_analyser.objects.tails import from_note
from batch_analyser.settings import AnalyserSettings

_LONGEST_FILTER = 64


def tails(ledger: DataFrame) -> dict[str, Tail]:
    """The end of each folder that the ledger knows.

    A hole before or between the ranges of known objects means that an object may yet come behind the last one's back
    (one was deleted, and the sink fills its place), so that such a folder has to be listed whole: not ``even``. So is
    the folder of a log whose first records expired before the sink came: one request more per thousand objects.
    """
    width = fn.length(fn.regexp_extract("object_key", r"\+(\d+)\.[^/]*$", 1))
    each = Window.partitionBy("folder")
    from_last = each.orderBy(fn.col("object_key").desc())
    reached = fn.max("next_offset").over(
        each.orderBy("first_offset", "next_offset").rowsBetween(Window.unboundedPreceding, -1)
    )
    rows = (
        ledger.groupBy("object_key")
        .agg(
            *[fn.max_by(name, "ingested_at").alias(name) for name in ("etag", "first_offset")],
            fn.max("next_offset").alias("next_offset"),
        )
        .select("*", fn.regexp_extract("object_key", "^(.*/)", 1).alias("folder"), width.alias("width"))
        .select("*", (fn.coalesce(reached, fn.lit(0)) < fn.col("first_offset")).alias("hole"))
        .select(
            "*",
            fn.row_number().over(from_last).alias("place"),
            fn.lead("object_key").over(from_last).alias("previous_key"),
            (fn.min("width").over(each) == fn.max("width").over(each)).alias("one_width"),
            fn.max("hole").over(each).alias("holes"),
            fn.max("next_offset").over(each).alias("reach"),
        )
        .where("place = 1")
        .collect()
    )
    return {
        row["folder"]: Tail(
            row["object_key"],
            row["etag"],
            row["previous_key"],
            even=row["one_width"] and not row["holes"],
            reach=row["reach"],
        )
        for row in rows
    }


def known_tails(lake: Lake) -> dict[str, Tail]:
    """The end of each folder that the ledger knows, as its newest commit notes it; else by reading all of it."""
    if lake.never_written(OBJECTS):
        return {}
    for commit in lake.history(OBJECTS):
        if commit.operation not in SAME_ROWS:
            found = from_note(commit.note)
            return tails(lake.read(OBJECTS)) if found is None else found
    return tails(lake.read(OBJECTS))


def find_new(
    lake: Lake, settings: AnalyserSettings, known: dict[str, Tail], *, all_keys: bool
) -> tuple[Listing, list[Listed]]:
    """What the bucket lists behind what is known, and what of that the ledger does not hold.

    Raises:
        BucketMissingError: there is no bucket.
    """
    bucket = Bucket(s3_client(settings.aws_endpoint_url, settings.aws_region, 1), settings.bucket)
    ledger = lake.read(OBJECTS)
    first = lake.never_written(OBJECTS)
    topics = [*settings.names.topics, settings.names.dead_letter_topic]
    listing = list_candidates(bucket, topics, known, all_keys=all_keys)
    if first or not listing.candidates:
        return listing, new_objects(listing.candidates, set())
    asked = lake.spark.createDataFrame(
        [(entry.key, entry.etag) for entry in listing.candidates], "object_key string, etag string"
    )
    there = ledger.where(_between(listing.candidates)).join(fn.broadcast(asked), ["object_key", "etag"], how="inner")
    read = {(row["object_key"], row["etag"]) for row in there.select("object_key", "etag").collect()}
    return listing, new_objects(listing.candidates, read)


def _between(candidates: Iterable[Listed]) -> Column:
    """Rows of the ledger with keys among the candidates', by folder: Delta skips the files of older objects."""
    keys: dict[str, list[str]] = {}
    for entry in candidates:
        keys.setdefault(entry.key.rpartition("/")[0], []).append(entry.key)
    if len(keys) > _LONGEST_FILTER:
        return fn.lit(True)
    condition: Column = fn.lit(False)
    for folder in keys.values():
        condition |= fn.col("object_key").between(min(folder), max(folder))
    return condition
